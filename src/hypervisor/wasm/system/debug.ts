/**
 * Debug registers, hardware breakpoints and single-stepping (SDM 3B 17.2, 17.3).
 *
 * The interpreter stays out of here until `debugArmed` says otherwise: with no breakpoint enabled in DR7 and TF clear nothing
 * is checked. While armed it calls, for each instruction, `checkInstructionBreakpoints` before, `noteDataAccess` and
 * `notePortAccess` during, `finishInstruction` after.
 *
 * @module
 */
import { CS } from '../state.ts';
import { raise, raiseGp, raiseUd, requireCpl0, VECTOR_DB } from './cpu.ts';
import type { Cpu, SystemInsn } from './cpu.ts';
import { CR4_DE, FLAG_RF, FLAG_TF } from './cpu-state.ts';
import { DEBUGCTL_BTF, MSR_DEBUGCTL } from './private-state.ts';

/** DR6 bits. */
export const DR6_BD = 1 << 13,
  DR6_BS = 1 << 14,
  DR6_BT = 1 << 15;
const DR6_FIXED = 0xffff_0ff0,
  DR6_WRITABLE = 0xe00f;
/** DR7: general detect, and the bits that read as one or can be written. */
const DR7_GD = 1 << 13,
  DR7_FIXED = 0x400,
  DR7_WRITABLE = 0xffff_23ff;

/** Values at power-on. */
export const DR6_RESET = DR6_FIXED,
  DR7_RESET = DR7_FIXED;

/** INTERRUPT_SHADOW after MOV SS and POP SS: debug traps are held off too; after STI it is 1 and they are not. */
export const SHADOW_MOV_SS = 2;

/** Breakpoint conditions in DR7 (R/W fields). */
const CONDITION_EXECUTE = 0,
  CONDITION_WRITE = 1,
  CONDITION_IO = 2,
  CONDITION_ACCESS = 3;

/** True when the interpreter must check each instruction. */
export const debugArmed = (cpu: Cpu): boolean =>
  (cpu.state.dr7 & 0xff) !== 0 || (cpu.state.systemFlags & FLAG_TF) !== 0 || cpu.state.pendingDebug !== 0;

const condition = (dr7: number, index: number): number => (dr7 >>> (16 + index * 4)) & 3;
const enabled = (dr7: number, index: number): boolean => ((dr7 >>> (index * 2)) & 3) !== 0;
/** Length field: 0 is 1 byte, 1 is 2, 2 is 8, 3 is 4. */
const breakpointBytes = (dr7: number, index: number): number => [1, 2, 8, 4][(dr7 >>> (18 + index * 4)) & 3]!;

/** Records a #DB in DR6: `cause` is a combination of B0..B3, BD, BS, BT. */
export function recordDebug(cpu: Cpu, cause: number): void {
  const { state } = cpu;
  state.dr6 = ((state.dr6 & ~15) | cause) >>> 0;
  // BTF is cleared whenever a debug exception is generated (17.4.2).
  state.setBig(MSR_DEBUGCTL, state.big(MSR_DEBUGCTL) & ~BigInt(DEBUGCTL_BTF));
}

/** Before an instruction. True: an execution breakpoint matches its address; #DB is pending as a fault. EFLAGS.RF suppresses it once. */
export function checkInstructionBreakpoints(cpu: Cpu): boolean {
  const { state } = cpu;
  cpu.stepped = false;
  const { dr7 } = state;
  if ((dr7 & 0xff) === 0 || (state.systemFlags & FLAG_RF) !== 0) return false;
  let linear = state.rip;
  if (state.codeSize !== 64) linear = (linear + BigInt(state.baseLo(CS))) & 0xffff_ffffn;
  let cause = 0;
  for (let index = 0; index < 4; index++) {
    if (enabled(dr7, index) && condition(dr7, index) === CONDITION_EXECUTE && state.dr(index) === linear)
      cause |= 1 << index;
  }
  if (cause === 0) return false;
  recordDebug(cpu, cause);
  state.faultVector = VECTOR_DB;
  state.faultError = -1;
  return true;
}

/** During an instruction: notes data breakpoints that an access to linear memory hits; they trap after the instruction. */
export function noteDataAccess(cpu: Cpu, lo: number, hi: number, bytes: number, write: boolean): void {
  const { state } = cpu;
  const { dr7 } = state;
  const first = (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
  for (let index = 0; index < 4; index++) {
    const kind = condition(dr7, index);
    if (!enabled(dr7, index) || (kind !== CONDITION_ACCESS && !(kind === CONDITION_WRITE && write))) continue;
    const length = BigInt(breakpointBytes(dr7, index));
    const start = state.dr(index) & ~(length - 1n);
    if (first < start + length && start < first + BigInt(bytes)) state.pendingDebug |= 1 << index;
  }
}

/** During IN, OUT, INS, OUTS: notes I/O breakpoints (CR4.DE). */
export function notePortAccess(cpu: Cpu, port: number, bytes: number): void {
  const { state } = cpu;
  const { dr7 } = state;
  if ((state.cr4 & CR4_DE) === 0) return;
  for (let index = 0; index < 4; index++) {
    if (!enabled(dr7, index) || condition(dr7, index) !== CONDITION_IO) continue;
    const length = breakpointBytes(dr7, index);
    const start = Number(state.dr(index) & 0xffff_ffffn) & ~(length - 1);
    if (port < start + length && start < port + bytes) state.pendingDebug |= 1 << index;
  }
}

/**
 * After an instruction. `tfBefore`: TF was set when it began; `branched`: it was a taken branch (for BTF); `keepsRf`: it was
 * IRET or a task switch. True: DR6 is set, deliver a #DB trap. There is none for an instruction that delivered an event
 * (INT n), nor after SYSCALL when IA32_FMASK cleared TF.
 */
export function finishInstruction(cpu: Cpu, tfBefore: boolean, branched: boolean, keepsRf: boolean): boolean {
  const { state } = cpu;
  if (!keepsRf) state.systemFlags = state.systemFlags & ~FLAG_RF;
  // A single-step trap after MOV SS is lost; data breakpoints wait for the next instruction (3A 6.8.3).
  if (state.interruptShadow === SHADOW_MOV_SS) return false;
  let cause = state.pendingDebug;
  const branchOnly = (state.lo(MSR_DEBUGCTL) & DEBUGCTL_BTF) !== 0;
  if (tfBefore && !cpu.stepped && (!branchOnly || branched)) cause |= DR6_BS;
  if (cause === 0) return false;
  state.pendingDebug = 0;
  recordDebug(cpu, cause);
  return true;
}

/** The debug register a MOV names, with DR4 and DR5 as DR6 and DR7 unless CR4.DE; #UD, #GP(0), general detect. */
function debugRegister(cpu: Cpu, insn: SystemInsn): number {
  const { state } = cpu;
  let register = insn.reg;
  if (register > 7) raiseUd(cpu);
  if (register === 4 || register === 5) {
    if ((state.cr4 & CR4_DE) !== 0) raiseUd(cpu);
    register += 2;
  }
  requireCpl0(cpu);
  if ((state.dr7 & DR7_GD) !== 0) {
    recordDebug(cpu, DR6_BD);
    raise(cpu, VECTOR_DB, -1);
  }
  return register;
}

/** MOV DRn, r: `reg` is the debug register, `rm` the source. */
export function movToDebug(cpu: Cpu, insn: SystemInsn): void {
  const { state } = cpu;
  const register = debugRegister(cpu, insn);
  const lo = state.gprLo(insn.rm);
  const hi = state.codeSize === 64 ? state.gprHi(insn.rm) : 0;
  if (register >= 6 && hi !== 0) raiseGp(cpu, 0);
  if (register === 6) state.dr6 = ((lo & DR6_WRITABLE) | DR6_FIXED) >>> 0;
  else if (register === 7) state.dr7 = ((lo & DR7_WRITABLE) | DR7_FIXED) >>> 0;
  else state.setDr(register, (BigInt(hi) << 32n) | BigInt(lo));
}

/** MOV r, DRn. */
export function movFromDebug(cpu: Cpu, insn: SystemInsn): void {
  const { state } = cpu;
  const register = debugRegister(cpu, insn);
  const long = state.codeSize === 64;
  if (register === 6) state.setGprHalves(insn.rm, state.dr6, 0);
  else if (register === 7) state.setGprHalves(insn.rm, state.dr7, 0);
  else state.setGpr(insn.rm, long ? state.dr(register) : state.dr(register) & 0xffff_ffffn);
}
