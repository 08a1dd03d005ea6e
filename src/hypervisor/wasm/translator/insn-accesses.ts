/**
 * Memory accesses of an instruction of 64-bit code, as far as they can be seen from outside.
 *
 * @module
 */
import type { Decoded } from '../decode/decoder.ts';
import { memorySize } from '../interpreter/forms.ts';
import { FS, GS, RBP, RSP } from '../state.ts';
import { AddressParts, PARTS_OF_REGISTER } from './guest-address.ts';
import type { InsnForm } from './insn-forms.ts';

export interface Access {
  readonly parts: AddressParts;
  readonly displacement: number;
  readonly bytes: number;
  readonly write: boolean;
}

const NONE: readonly Access[] = [];

/** The parts of an instruction's memory operand; undefined where an address is made of something else as well. */
export function partsOf(d: Decoded): AddressParts | undefined {
  const { encoding } = d;
  if (!d.hasMemory || d.addressSize !== 8 || encoding.absolute || encoding.vsib) return undefined;
  const segment = d.segment === FS || d.segment === GS ? d.segment : -1;
  if (d.index < 0 && segment < 0 && !d.ripRelative && d.base >= 0) return PARTS_OF_REGISTER[d.base];
  // Only what can be shared counts.
  return new AddressParts(d.base, d.index, d.index < 0 ? 0 : d.scale, segment, d.ripRelative);
}

/** The displacement of a memory operand: from the page of the region's entry where it is relative to RIP. */
export const displacementOf = (d: Decoded, delta: number): number =>
  d.ripRelative ? delta + d.length + d.displacement : d.displacement;

/** `operand`: the parts of the memory operand, `displacement` its displacement. */
export function accessesOf(
  d: Decoded,
  { form, traits, called, memoryOperand, stack }: InsnForm,
  operand: AddressParts | undefined,
  displacement: number,
): readonly Access[] {
  if (called || !traits.raises) return NONE;
  const own = ownAccess(stack, form.size);
  if (operand === undefined || memoryOperand < 0) return own === undefined ? NONE : [own];
  const bytes = form.vector !== 0 ? form.vector : memorySize(d.encoding, memoryOperand, d.operandSize);
  const write = traits.stores && stack !== 'push';
  const access = { parts: operand, displacement, bytes, write };
  return own === undefined ? [access] : [access, own];
}

/** What the instruction does to the stack besides. */
function ownAccess(stack: InsnForm['stack'], size: number): Access | undefined {
  switch (stack) {
    case 'push':
      return at(RSP, -size, size, true);
    case 'pop':
      return at(RSP, 0, size, false);
    case 'leave':
      return at(RBP, 0, size, false);
    default:
      return undefined;
  }
}

const at = (register: number, displacement: number, bytes: number, write: boolean): Access => ({
  parts: PARTS_OF_REGISTER[register] as AddressParts,
  displacement,
  bytes,
  write,
});
