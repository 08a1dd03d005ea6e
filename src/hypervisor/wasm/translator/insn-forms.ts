/**
 * What the translator knows of an instruction by its encoding and prefixes, found once for each.
 *
 * @module
 */
import type { Decoded } from '../decode/decoder.ts';
import type { Encoding } from '../decode/table.ts';
import { contextOf, formKey, formOf } from '../interpreter/forms.ts';
import type { Form } from '../insn/lift-builder.ts';
import type { Row } from '../insn/row.ts';
import { bankOf, isRegisterShape, type RegisterBank } from './operand-registers.ts';
import { type Traits, traitsOf } from './traits.ts';

/** An operand that is a register. */
export interface RegisterOperand {
  readonly index: number;
  readonly bank: RegisterBank;
  readonly written: boolean;
}

export interface InsnForm {
  readonly form: Form;
  readonly traits: Traits;
  /** Executed by the interpreter's handler rather than translated. */
  readonly called: boolean;
  readonly registers: readonly RegisterOperand[];
  /** The operand in memory, or -1. */
  readonly memoryOperand: number;
  /** What it does to the stack besides what its operands say. */
  readonly stack: 'push' | 'pop' | 'leave' | undefined;
  /** It transfers control, or goes on behind. */
  readonly conditional: boolean;
  /** After it translations, or the bases of segments, may be others. */
  readonly forgets: boolean;
}

interface KnownEncoding {
  /** A shift whose count is an immediate: its effect on flags depends on whether that is 0. */
  readonly hasCount: boolean;
  readonly forms: Map<number, InsnForm>;
}

const CONDITIONAL = /^(j(?!mp)|loop)/;
const STACK: Readonly<Record<string, InsnForm['stack']>> = {
  push: 'push',
  call: 'push',
  pop: 'pop',
  ret: 'pop',
  leave: 'leave',
};
const WRITES_BASES = new Set(['swapgs', 'wrfsbase', 'wrgsbase']);

const known = new Map<Encoding, KnownEncoding>();
const traitsByForm = new Map<string, Traits>();

/** Of an instruction that has a lift. */
export function insnFormOf(decoded: Decoded): InsnForm {
  const { encoding, operandSize } = decoded;
  let of = known.get(encoding);
  if (of === undefined) {
    const isByOne = encoding.operands.some(({ kind, register }) => kind === 'implicit' && register < 0);
    of = { hasCount: /^(sh|sa|ro|rc)[lr]/.test(encoding.row.name) && !isByOne, forms: new Map() };
    known.set(encoding, of);
  }
  const isBy0 = of.hasCount && (decoded.immediateLow & (operandSize === 8 ? 63 : 31)) === 0;
  // All that the context of a form in 64-bit code is made of: `contextOf`.
  const repeat = encoding.row.rep === undefined ? 0 : decoded.rep;
  const flags = (decoded.hasMemory ? 1 : 0) | (decoded.lock ? 2 : 0) | (isBy0 ? 4 : 0);
  const bits = flags | (operandSize << 3) | (decoded.addressSize << 8) | (repeat << 12);
  let found = of.forms.get(bits);
  if (found === undefined) {
    const form = formOf(encoding, contextOf(decoded));
    found = makeForm(encoding, form, traitsFor(encoding.row, form, isBy0 ? 0 : 1), false);
    of.forms.set(bits, found);
  }
  return found;
}

/** Of a system instruction, which does what `traits` say. */
export const systemFormOf = (decoded: Decoded, traits: Traits): InsnForm =>
  makeForm(decoded.encoding, formOf(decoded.encoding, contextOf(decoded)), traits, true);

function makeForm({ row, operands }: Encoding, form: Form, traits: Traits, isSystem: boolean): InsnForm {
  const called = !isSystem && isCalled(row, traits);
  const registers: RegisterOperand[] = [];
  operands.forEach(({ kind }, index) => {
    if (!isRegisterShape(form.shapes[index])) return;
    registers.push({ index, bank: bankOf(kind), written: called || ((traits.operandsWritten >> index) & 1) !== 0 });
  });
  return {
    form,
    traits,
    called,
    registers,
    memoryOperand: form.shapes.indexOf('m'),
    stack: STACK[row.name],
    conditional: CONDITIONAL.test(row.name),
    forgets: isSystem || called || traits.changesMode || WRITES_BASES.has(row.name),
  };
}

function traitsFor(row: Row, form: Form, count: number): Traits {
  const { lift } = row;
  if (lift === undefined) throw new Error(`${row.name} has no lift`);
  const key = `${formKey(lift, form)}/${count}`;
  let traits = traitsByForm.get(key);
  if (traits === undefined) {
    traits = traitsOf(lift, form, count);
    traitsByForm.set(key, traits);
  }
  return traits;
}

/** Rows whose handlers in the interpreter are called: large, rare, or on registers that are not in locals. */
const isCalled = (row: Row, traits: Traits): boolean =>
  row.rep !== undefined || row.unit === 'mmx' || traits.mmx || /^v?pcmp[ei]str/.test(row.name);
