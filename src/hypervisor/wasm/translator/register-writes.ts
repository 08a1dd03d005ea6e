/**
 * What instructions do to general registers.
 *
 * @module
 */
import { bankOf, generalNumberOf, isRegisterShape } from './operand-registers.ts';
import type { RegionInsn } from './region.ts';

export const RSP = 4,
  RBP = 5;

/** General registers that an instruction writes, by bit. */
export function gprsWrittenBy({ decoded, form, traits, called }: RegionInsn): number {
  let written = traits.gprsWritten;
  decoded.operands.forEach(({ kind }, index) => {
    if (!isRegisterShape(form.shapes[index]) || !(called || (traits.operandsWritten >> index) & 1)) return;
    if (bankOf(kind) === 'general') written |= 1 << generalNumberOf(decoded, index);
  });
  return written;
}

/**
 * By how much an instruction moves a register: it adds this constant to all 64 bits of it, whenever it completes. Undefined for whatever else
 * it does.
 */
export function stepOf({ decoded, form }: RegionInsn, register: number): number | undefined {
  const { row, operands, hasMemory, immediateLow } = decoded;
  const isDestination = (): boolean => !hasMemory && form.size === 8 && generalNumberOf(decoded, 0) === register;
  switch (row.name) {
    case 'add':
      return isDestination() && operands[1]?.kind === 'I' ? immediateLow : undefined;
    case 'sub':
      return isDestination() && operands[1]?.kind === 'I' ? -immediateLow : undefined;
    case 'inc':
      return isDestination() ? 1 : undefined;
    case 'dec':
      return isDestination() ? -1 : undefined;
    case 'lea': {
      const isMoved = decoded.base === register && decoded.index < 0 && decoded.addressSize === 8 && form.size === 8;
      return isMoved && decoded.reg === register ? decoded.displacement : undefined;
    }
    case 'push':
    case 'call':
      return register === RSP ? -form.size : undefined;
    case 'pop':
      return register === RSP && !hasMemory && decoded.rm !== RSP ? form.size : undefined;
    case 'ret':
      return register === RSP ? form.size + (form.shapes[0] === 'i' ? immediateLow & 0xffff : 0) : undefined;
    default:
      return undefined;
  }
}
