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

/** By how much an instruction moves a register that it writes: it adds a constant to it, in whatever width. Undefined for all else. */
export function moveOf({ decoded, form }: RegionInsn, register: number): number | undefined {
  const { row, operands, hasMemory, immediateLow } = decoded;
  const isDestination = (): boolean => !hasMemory && generalNumberOf(decoded, 0) === register;
  switch (row.name) {
    case 'add':
      return operands[1]?.kind === 'I' && isDestination() ? immediateLow : undefined;
    case 'sub':
      return operands[1]?.kind === 'I' && isDestination() ? -immediateLow : undefined;
    case 'inc':
      return isDestination() ? 1 : undefined;
    case 'dec':
      return isDestination() ? -1 : undefined;
    case 'lea':
      return decoded.base === register && decoded.index < 0 && decoded.reg === register
        ? decoded.displacement
        : undefined;
    case 'push':
    case 'call':
      return register === RSP ? -form.size : undefined;
    case 'pop':
      return register === RSP && decoded.rm !== RSP ? form.size : undefined;
    case 'ret':
      return register === RSP ? form.size + (form.shapes[0] === 'i' ? immediateLow & 0xffff : 0) : undefined;
    default:
      return undefined;
  }
}

/** Those that move RSP by what is no operand of theirs. */
const STACK = new Set(['push', 'pop', 'call', 'ret']);

/** The same where all 64 bits are moved, once, whenever the instruction completes. */
export function stepOf(insn: RegionInsn, register: number): number | undefined {
  const { row, hasMemory, addressSize } = insn.decoded;
  // POP into memory moves RSP before it finds the address.
  const isWhole = STACK.has(row.name)
    ? row.name !== 'pop' || !hasMemory
    : insn.form.size === 8 && (row.name !== 'lea' || addressSize === 8);
  return isWhole ? moveOf(insn, register) : undefined;
}
