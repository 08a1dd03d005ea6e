/**
 * SYSCALL, SYSRET, SYSENTER, SYSEXIT (SDM 2B): Intel's rules, so SYSCALL and SYSRET work in 64-bit mode only and SYSENTER
 * and SYSEXIT in every protected mode. No descriptor is read: the segments get fixed contents.
 *
 * @module
 */
import {
  CS,
  MSR_FMASK,
  MSR_LSTAR,
  MSR_STAR,
  MSR_SYSENTER_CS,
  MSR_SYSENTER_EIP,
  MSR_SYSENTER_ESP,
  RCX,
  RDX,
  RSP,
  SS,
} from '../state.ts';
import { isCanonical, raiseGp, raiseUd, requireCpl0 } from './cpu.ts';
import type { Cpu, SystemInsn } from './cpu.ts';
import { EFER_SCE, FLAG_IF, FLAG_RF, FLAG_TF, FLAG_VM } from './cpu-state.ts';

const R11 = 11;

/** Flat segments: code (read, accessed, D or L added below) and data (write, accessed, 32-bit); G, P, S. */
const FLAT_CODE = 0x809b,
  FLAT_DATA = 0xc093,
  L = 0x2000,
  DB = 0x4000,
  DPL3 = 0x60;
const FLAT_LIMIT = 0xffff_ffff;

/** Loads CS and SS as the four instructions do. */
function loadFlat(cpu: Cpu, codeSelector: number, stackSelector: number, long: boolean, dpl: number): void {
  const { state } = cpu;
  state.setSegment(CS, codeSelector, 0, 0, FLAT_LIMIT, FLAT_CODE | (long ? L : DB) | dpl);
  state.setSegment(SS, stackSelector, 0, 0, FLAT_LIMIT, FLAT_DATA | dpl);
  state.cpl = dpl >> 5;
  state.codeSize = long ? 64 : 32;
  cpu.mmu.modeChanged();
}

/** SYSCALL. RFLAGS is saved in R11 with RF clear, then masked by IA32_FMASK. */
export function syscall(cpu: Cpu): void {
  const { state } = cpu;
  if (state.codeSize !== 64 || (state.efer & EFER_SCE) === 0) raiseUd(cpu);
  const flags = state.rflags & ~FLAG_RF;
  state.setGprHalves(RCX, state.ripLo, state.ripHi);
  state.setGprHalves(R11, flags, 0);
  state.setRip(state.lo(MSR_LSTAR), state.hi(MSR_LSTAR));
  state.rflags = flags & ~state.lo(MSR_FMASK);
  cpu.stepped = (state.systemFlags & FLAG_TF) === 0;
  const selector = state.hi(MSR_STAR) & 0xfffc;
  loadFlat(cpu, selector, selector + 8, true, 0);
}

/** SYSRET: to 64-bit code with a 64-bit operand size, else to compatibility mode. */
export function sysret(cpu: Cpu, insn: SystemInsn): void {
  const { state } = cpu;
  if (state.codeSize !== 64 || (state.efer & EFER_SCE) === 0) raiseUd(cpu);
  requireCpl0(cpu);
  const long = insn.opsize === 8;
  // Checked at CPL 0, with the user's stack pointer in place: the reason system software checks RCX itself.
  if (long && !isCanonical(state.gprHi(RCX))) raiseGp(cpu, 0);
  state.setRip(state.gprLo(RCX), long ? state.gprHi(RCX) : 0);
  state.rflags = state.gprLo(R11) & 0x3c_7fd7;
  const base = (state.hi(MSR_STAR) >>> 16) & 0xffff;
  loadFlat(cpu, ((base + (long ? 16 : 0)) & 0xffff) | 3, ((base + 8) & 0xffff) | 3, long, DPL3);
}

/** SYSENTER: to CPL 0 in 64-bit code when IA-32e mode is active, else in 32-bit code. */
export function sysenter(cpu: Cpu): void {
  const { state } = cpu;
  const selector = state.lo(MSR_SYSENTER_CS) & 0xffff;
  if (!state.protectedMode || (selector & 0xfffc) === 0) raiseGp(cpu, 0);
  const long = state.longMode;
  state.systemFlags = state.systemFlags & ~(FLAG_VM | FLAG_IF | FLAG_RF);
  state.setGprHalves(RSP, state.lo(MSR_SYSENTER_ESP), long ? state.hi(MSR_SYSENTER_ESP) : 0);
  state.setRip(state.lo(MSR_SYSENTER_EIP), long ? state.hi(MSR_SYSENTER_EIP) : 0);
  loadFlat(cpu, selector & 0xfffc, ((selector & 0xfffc) + 8) & 0xffff, long, 0);
}

/** SYSEXIT: to CPL 3, RIP from RDX, RSP from RCX; 64-bit code with a 64-bit operand size. */
export function sysexit(cpu: Cpu, insn: SystemInsn): void {
  const { state } = cpu;
  const selector = state.lo(MSR_SYSENTER_CS) & 0xffff;
  if (!state.protectedMode || (selector & 0xfffc) === 0 || state.cpl !== 0) raiseGp(cpu, 0);
  const long = insn.opsize === 8;
  if (long && (!isCanonical(state.gprHi(RDX)) || !isCanonical(state.gprHi(RCX)))) raiseGp(cpu, 0);
  state.setGprHalves(RSP, state.gprLo(RCX), long ? state.gprHi(RCX) : 0);
  state.setRip(state.gprLo(RDX), long ? state.gprHi(RDX) : 0);
  const code = selector + (long ? 32 : 16);
  loadFlat(cpu, (code & 0xffff) | 3, ((code + 8) & 0xffff) | 3, long, DPL3);
}
