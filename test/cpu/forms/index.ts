/**
 * All form tables, by vector file.
 *
 * @module
 */
import { branchForms, privilegedForms, segmentForms, stackForms, stringForms } from './control.ts';
import type { Form } from './form.ts';
import { integerForms } from './integer.ts';
import { doubleForms, fromIntegerForms, mmxForms, singleForms, xmmIntegerForms } from './vector.ts';
import { extendedStateForms, stateForms, x87Forms } from './x87.ts';

export interface FormGroup {
  /** Name of the vector file. */
  readonly file: string;
  readonly forms: readonly Form[];
  /** Draws per form of weight 1. */
  readonly draws: number;
}

export const FORM_GROUPS: readonly FormGroup[] = [
  { file: 'integer', forms: integerForms, draws: 60 },
  { file: 'control', forms: [...stackForms, ...branchForms, ...stringForms, ...privilegedForms], draws: 60 },
  { file: 'segment', forms: segmentForms, draws: 40 },
  { file: 'mmx', forms: mmxForms, draws: 40 },
  { file: 'xmm', forms: xmmIntegerForms, draws: 45 },
  { file: 'float', forms: [...singleForms, ...doubleForms, ...fromIntegerForms], draws: 70 },
  { file: 'x87', forms: [...x87Forms, ...stateForms, ...extendedStateForms], draws: 60 },
];
