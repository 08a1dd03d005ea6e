/**
 * The XSAVE family for the interpreter: the fast functions of fast-xsave.ts, and system/ where they refuse.
 *
 * @module
 */
import { FS } from '../state.ts';
import type { SystemFunction } from '../system/cpu.ts';
import { xrstor, xrstors, xsave, xsavec, xsaveopt, xsaves } from '../system/xsave.ts';
import { XSAVE_COMPACTED, XSAVE_OPTIMIZED, XSAVE_WIDE } from './fast-xsave.ts';

/** Does it at a linear address, or refuses with false. */
export type FastXsave = (low: number, high: number, kind: number) => boolean;

export function xsaveInstructions(save: FastXsave, restore: FastXsave): Record<string, SystemFunction> {
  const either = (fast: FastXsave, slow: SystemFunction, kind: number, isPrivileged: boolean): SystemFunction => {
    return (cpu, insn) => {
      // A register operand has no address, and segment bases are rare.
      const isUsual = insn.rm < 0 && insn.segment < FS && !(isPrivileged && cpu.state.cpl !== 0);
      const wide = insn.opsize === 8 ? XSAVE_WIDE : 0;
      if (!isUsual || !fast(insn.offsetLo, insn.offsetHi, kind | wide)) slow(cpu, insn);
    };
  };
  return {
    xsave: either(save, xsave, 0, false),
    xsaveopt: either(save, xsaveopt, XSAVE_OPTIMIZED, false),
    xsavec: either(save, xsavec, XSAVE_COMPACTED, false),
    xsaves: either(save, xsaves, XSAVE_COMPACTED, true),
    xrstor: either(restore, xrstor, 0, false),
    xrstors: either(restore, xrstors, XSAVE_COMPACTED, true),
  };
}
