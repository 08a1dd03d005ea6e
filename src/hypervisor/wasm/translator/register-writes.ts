/**
 * By how much instructions move general registers.
 *
 * @module
 */
import { RSP } from '../state.ts';
import type { RegionInsn } from './region-insn.ts';

/** By how much an instruction moves a register that it writes: it adds a constant to it, in whatever width. Undefined for all else. */
export function moveOf(insn: RegionInsn, register: number): number | undefined {
  const { decoded, form } = insn;
  const { row, operands, immediateLow } = decoded;
  switch (row.name) {
    case 'add':
      return operands[1]?.kind === 'I' && isDestination(insn, register) ? immediateLow : undefined;
    case 'sub':
      return operands[1]?.kind === 'I' && isDestination(insn, register) ? -immediateLow : undefined;
    case 'inc':
      return isDestination(insn, register) ? 1 : undefined;
    case 'dec':
      return isDestination(insn, register) ? -1 : undefined;
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

const isDestination = (insn: RegionInsn, register: number): boolean =>
  !insn.decoded.hasMemory && insn.generalNumberOf(0) === register;

/** The same where all 64 bits are moved, once, whenever the instruction completes. */
export function stepOf(insn: RegionInsn, register: number): number | undefined {
  const { row, hasMemory, addressSize } = insn.decoded;
  switch (insn.insnForm.stack) {
    case 'push':
      return moveOf(insn, register);
    case 'pop':
      // POP into memory moves RSP before it finds the address.
      return row.name === 'pop' && hasMemory ? undefined : moveOf(insn, register);
    default:
      return insn.form.size === 8 && (row.name !== 'lea' || addressSize === 8) ? moveOf(insn, register) : undefined;
  }
}
