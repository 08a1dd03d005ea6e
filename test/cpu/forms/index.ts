/**
 * All form tables, by vector file.
 *
 * @module
 */
import { vexFloatForms, vexIntegerForms, vexUndefinedForms } from './avx.ts';
import { bmiForms } from './bmi.ts';
import { branchForms, privilegedForms, segmentForms, stackForms, stringForms } from './control.ts';
import { fmaForms } from './fma.ts';
import type { Form } from './form.ts';
import { integerForms } from './integer.ts';
import { longForms, undefinedForms } from './undefined.ts';
import { doubleForms, fromIntegerForms, mmxForms, singleForms, xmmIntegerForms } from './vector.ts';
import { avxStateForms, extendedStateForms, stateForms, x87Forms } from './x87.ts';

export interface FormGroup {
  /** Name of the vector file. */
  readonly file: string;
  readonly forms: readonly Form[];
  /** Draws per form of weight 1. */
  readonly draws: number;
  /** Draws run with RFLAGS.AC set: misaligned accesses are #AC. */
  readonly alignmentCheck?: true;
  /** For a processor of x86-64-v3, with YMM registers. */
  readonly model?: 'v3';
}

const hasMemory = (form: Form): boolean =>
  form.operands.some((o) => 'EMWQOX'.includes(o.kind)) ||
  form.words.has('stack') ||
  form.words.has('string') ||
  form.name === 'ret';
const checkedVexForms = [...bmiForms, ...vexIntegerForms, ...vexFloatForms, ...fmaForms].filter(hasMemory);

/** Forms whose accesses have one size and one address, so that what is misaligned is not in doubt. */
const checkedForms = [
  ...integerForms,
  ...stackForms,
  ...branchForms,
  ...stringForms,
  ...mmxForms,
  ...xmmIntegerForms,
  ...singleForms,
  ...doubleForms,
  ...x87Forms,
].filter(hasMemory);

export const FORM_GROUPS: readonly FormGroup[] = [
  { file: 'integer', forms: integerForms, draws: 60 },
  { file: 'control', forms: [...stackForms, ...branchForms, ...stringForms, ...privilegedForms], draws: 60 },
  { file: 'segment', forms: segmentForms, draws: 40 },
  { file: 'encoding', forms: [...undefinedForms, ...longForms], draws: 40 },
  { file: 'alignment', forms: checkedForms, draws: 6, alignmentCheck: true },
  { file: 'mmx', forms: mmxForms, draws: 40 },
  { file: 'xmm', forms: xmmIntegerForms, draws: 45 },
  { file: 'float', forms: [...singleForms, ...doubleForms, ...fromIntegerForms], draws: 70 },
  { file: 'x87', forms: [...x87Forms, ...stateForms, ...extendedStateForms], draws: 60 },
  { file: 'v3-integer', forms: bmiForms, draws: 60, model: 'v3' },
  { file: 'v3-encoding', forms: vexUndefinedForms, draws: 40, model: 'v3' },
  { file: 'v3-vector', forms: vexIntegerForms, draws: 20, model: 'v3' },
  { file: 'v3-float', forms: vexFloatForms, draws: 20, model: 'v3' },
  { file: 'v3-fma', forms: fmaForms, draws: 24, model: 'v3' },
  { file: 'v3-alignment', forms: checkedVexForms, draws: 3, alignmentCheck: true, model: 'v3' },
  { file: 'v3-state', forms: avxStateForms, draws: 50, model: 'v3' },
];
