/**
 * What the translator knows of an instruction by its encoding and prefixes, found once for each.
 *
 * @module
 */
import type { Decoded } from '../decode/decoder.ts';
import type { Encoding } from '../decode/table.ts';
import { contextBits, contextOf, formKey, formOf } from '../interpreter/forms.ts';
import type { Form } from '../insn/lift-builder.ts';
import type { Row } from '../insn/row.ts';
import { type Traits, traitsOf } from './traits.ts';

export interface InsnForm {
  readonly form: Form;
  readonly traits: Traits;
  /** Executed by the interpreter's handler rather than translated. */
  readonly called: boolean;
}

interface KnownEncoding {
  /** A shift whose count is an immediate: its effect on flags depends on whether that is 0. */
  readonly hasCount: boolean;
  readonly forms: Map<number, InsnForm>;
}

/** Beside the bits of a context. */
const SHIFTS_BY_0 = 0x1_0000;

const known = new Map<Encoding, KnownEncoding>();
const traitsByForm = new Map<string, Traits>();

/** Of an instruction that has a lift. */
export function insnFormOf(decoded: Decoded): InsnForm {
  const { encoding } = decoded;
  let of = known.get(encoding);
  if (of === undefined) {
    const isByOne = encoding.operands.some(({ kind, register }) => kind === 'implicit' && register < 0);
    of = { hasCount: /^(sh|sa|ro|rc)[lr]/.test(encoding.row.name) && !isByOne, forms: new Map() };
    known.set(encoding, of);
  }
  const context = contextOf(decoded);
  const isBy0 = of.hasCount && (decoded.immediateLow & (decoded.operandSize === 8 ? 63 : 31)) === 0;
  const bits = contextBits(context) | (isBy0 ? SHIFTS_BY_0 : 0);
  let found = of.forms.get(bits);
  if (found === undefined) {
    const form = formOf(encoding, context);
    const traits = traitsFor(encoding.row, form, isBy0 ? 0 : 1);
    found = { form, traits, called: isCalled(encoding.row, traits) };
    of.forms.set(bits, found);
  }
  return found;
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
