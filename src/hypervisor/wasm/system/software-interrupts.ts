/**
 * INT n, INT3, INTO, INT1 (SDM 2A INT n), and the instructions that do nothing but raise or stop: UD2, HLT, RSM.
 *
 * @module
 */
import { ACTIVITY_HALTED } from '../state.ts';
import { raiseGp, raiseUd, requireCpl0, VECTOR_BP, VECTOR_DB, VECTOR_OF } from './cpu.ts';
import type { Cpu, SystemInsn } from './cpu.ts';
import { FLAG_OF } from './cpu-state.ts';
import { deliverEvent } from './exceptions.ts';

/** INT n; `imm` is the vector. In virtual-8086 mode it needs IOPL 3 (no VME here). */
export function intN(cpu: Cpu, insn: SystemInsn): void {
  if (cpu.state.virtual8086 && cpu.state.iopl < 3) raiseGp(cpu, 0);
  deliverEvent(cpu, insn.imm & 0xff, -1, 'software');
}

/** INT3 (CC): not subject to IOPL in virtual-8086 mode. */
export function int3(cpu: Cpu): void {
  deliverEvent(cpu, VECTOR_BP, -1, 'software');
}

/** INTO; #UD in 64-bit mode. */
export function into(cpu: Cpu): void {
  if (cpu.state.codeSize === 64) raiseUd(cpu);
  if ((cpu.state.rflags & FLAG_OF) !== 0) deliverEvent(cpu, VECTOR_OF, -1, 'software');
}

/** INT1 (F1): #DB without a gate privilege check and without a DR6 bit. */
export function int1(cpu: Cpu): void {
  deliverEvent(cpu, VECTOR_DB, -1, 'icebp');
}

/** UD0, UD1, UD2, RSM outside SMM, MONITOR, MWAIT: not there. */
export function undefinedInstruction(cpu: Cpu): void {
  raiseUd(cpu);
}

/** HLT: CPL 0. */
export function hlt(cpu: Cpu): void {
  requireCpl0(cpu);
  cpu.state.activity = ACTIVITY_HALTED;
}
