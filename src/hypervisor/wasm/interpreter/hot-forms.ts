/**
 * The forms that the main loop executes inline, with the handler numbers of each, and of those that execute the conditional jump behind them too.
 *
 * @module
 */
import type { DecodeTable } from '../decode/table.ts';
import type { Form } from '../insn/lift-builder.ts';
import type { Lift } from '../insn/row.ts';
import { formKey, hotForms } from './forms.ts';
import { SPECIAL_HANDLERS } from './record.ts';

export interface HotForm {
  readonly lift: Lift;
  readonly form: Form;
  /** A conditional jump in the next record that the handler executes too. */
  readonly jump?: { readonly lift: Lift; readonly form: Form };
}

/** Conditions worth a fused handler: e ne b ae be a l ge le g, and s ns behind TEST. */
const FUSED_CONDITIONS = [4, 5, 2, 3, 6, 7, 12, 13, 14, 15, 8, 9];
const AFTER_TEST = new Set([4, 5, 8, 9]);

/** Key of a pair of handlers in `CoreModule.fused`. */
export const fusedKey = (handler: number, condition: number): number => handler * 16 + condition;

export function collectHotForms(table: DecodeTable): {
  forms: HotForm[];
  handlers: Map<string, number>;
  fused: Map<number, number>;
} {
  const forms: HotForm[] = [];
  const handlers = new Map<string, number>();
  const fused = new Map<number, number>();
  const first: { name: string; number: number }[] = [];
  const jumps = new Map<number, { lift: Lift; form: Form }>();
  for (const encoding of table.encodings()) {
    const { row } = encoding;
    const { lift } = row;
    if (row.hot !== true || lift === undefined) continue;
    for (const form of hotForms(encoding)) {
      if (row.fusedJump === true) jumps.set(form.arg, { lift, form });
      const key = formKey(lift, form);
      if (handlers.has(key)) continue;
      const number = SPECIAL_HANDLERS + forms.length;
      handlers.set(key, number);
      forms.push({ lift, form });
      if (row.fuses === true) first.push({ name: row.name, number });
    }
  }
  for (const { name, number } of first) {
    const { lift, form } = forms[number - SPECIAL_HANDLERS] as HotForm;
    if (form.shapes.includes('x')) continue;
    for (const condition of FUSED_CONDITIONS) {
      if (
        name === 'test'
          ? !AFTER_TEST.has(condition)
          : name === 'dec'
            ? condition !== 5
            : condition === 8 || condition === 9
      )
        continue;
      // Comparisons of bytes are mostly for equality.
      if (form.size === 1 && condition !== 4 && condition !== 5) continue;
      const jump = jumps.get(condition);
      if (jump === undefined) continue;
      fused.set(fusedKey(number, condition), SPECIAL_HANDLERS + forms.length);
      forms.push({ lift, form, jump });
    }
  }
  return { forms, handlers, fused };
}
