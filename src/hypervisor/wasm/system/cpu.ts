/**
 * What every system function works on: the CPU context, the decoded instruction, and how a guest exception is raised.
 *
 * Calling convention. The interpreter fills a `SystemInsn` and calls `executeSystem(cpu, fn, insn)` with RIP at the
 * instruction. The function runs with RIP already at the next instruction, so that one that transfers control just writes
 * RIP, and one that saves a return address just reads it. A guest exception leaves by throwing `guestFault`;
 * `executeSystem` catches it, puts RIP back and returns false: FAULT_VECTOR and FAULT_ERROR then say what to deliver
 * (exceptions.ts). All other state is as before the instruction.
 *
 * @module
 */
import type { Clock } from '../../../util/clock.ts';
import type { VcpuInterrupts } from '../../interrupts.ts';
import { ATTR_DB, ATTR_UNUSABLE, DS, FS, GS, SS, segmentOffset } from '../state.ts';
import type { CpuModel } from './cpu-model.ts';
import { CR0_AM, type CpuState, FLAG_AC } from './cpu-state.ts';
import { Access, guestFault } from './mmu.ts';
import type { AccessBytes, Mmu } from './mmu.ts';

/** Exception vectors (SDM 3A table 6-1). */
export const VECTOR_DE = 0,
  VECTOR_DB = 1,
  VECTOR_NMI = 2,
  VECTOR_BP = 3,
  VECTOR_OF = 4,
  VECTOR_BR = 5,
  VECTOR_UD = 6,
  VECTOR_NM = 7;
export const VECTOR_DF = 8,
  VECTOR_TS = 10,
  VECTOR_NP = 11,
  VECTOR_SS = 12,
  VECTOR_GP = 13,
  VECTOR_PF = 14;
export const VECTOR_MF = 16,
  VECTOR_AC = 17,
  VECTOR_MC = 18,
  VECTOR_XM = 19;

/** What the machine around the CPU provides. */
export interface SystemHost {
  readonly clock: Clock;
  readonly interrupts: VcpuInterrupts;
  /** 32 random bits of cryptographic quality, unsigned; undefined when there are none to be had right now (RDRAND then clears CF). */
  random32(): number | undefined;
}

/** Static facts about this processor, for CPUID. */
export interface CpuTopology {
  /** Number of logical processors of the machine. */
  readonly processors: number;
  readonly model: CpuModel;
}

export interface Cpu {
  readonly state: CpuState;
  readonly mmu: Mmu;
  readonly host: SystemHost;
  readonly topology: CpuTopology;
  /** Linear address found by `operandAddress` and its like: halves, unsigned. */
  lo: number;
  hi: number;
  /** Set by a task switch once the new task's registers are in: a fault after that belongs to the new task, at its RIP. */
  switched: boolean;
  /** Set by what ends single-stepping of the instruction it happens in: event delivery, and SYSCALL when it masks TF. */
  stepped: boolean;
}

export function createCpu(state: CpuState, mmu: Mmu, host: SystemHost, topology: CpuTopology): Cpu {
  return { state, mmu, host, topology, lo: 0, hi: 0, switched: false, stepped: false };
}

/** A decoded instruction, as far as system functions need it. One record, refilled for each call. */
export interface SystemInsn {
  /** Effective operand size in bytes: 2, 4 or 8. */
  opsize: number;
  /** Effective address size in bytes: 2, 4 or 8. */
  addrsize: number;
  /** Length in bytes. */
  length: number;
  /** ModRM.reg with REX.R. */
  reg: number;
  /** Register number of ModRM.rm with REX.B, or -1 for a memory operand. */
  rm: number;
  /** Memory operand: segment register (ES..GS) and offset in it, truncated to the address size; halves. */
  segment: number;
  offsetLo: number;
  offsetHi: number;
  /** Immediate, sign-extended to 32 bits: vector of INT, byte count of RETF, offset of a direct far pointer. */
  imm: number;
  /** Selector of a direct far pointer. */
  selector: number;
  /** REP prefix of a string instruction: 0, 0xf2, 0xf3. */
  rep: number;
  /** IN and OUT: the port is in DX, not in `imm`. */
  portInDx: boolean;
}

export const emptyInsn = (): SystemInsn => ({
  opsize: 4,
  addrsize: 4,
  length: 2,
  reg: 0,
  rm: -1,
  segment: DS,
  offsetLo: 0,
  offsetHi: 0,
  imm: 0,
  selector: 0,
  rep: 0,
  portInDx: false,
});

export type SystemFunction = (cpu: Cpu, insn: SystemInsn) => void;

/**
 * What is being delivered:
 * - `fault`: an exception whose saved RIP is that of the instruction (RF is set in the saved flags);
 * - `trap`: an exception after an instruction (#DB of single-step and data breakpoints, #BP and #OF are `software`);
 * - `interrupt`: an external interrupt or NMI;
 * - `software`: INT n, INT3, INTO: the gate's DPL is checked and EXT is 0;
 * - `icebp`: INT1, a #DB with no DPL check.
 */
export type EventKind = 'fault' | 'trap' | 'interrupt' | 'software' | 'icebp';

/** Raises a guest exception; `error` is -1 for vectors without an error code. */
export function raise(cpu: Cpu, vector: number, error: number): never {
  cpu.state.faultVector = vector;
  cpu.state.faultError = error;
  throw guestFault;
}
export const raiseGp = (cpu: Cpu, error: number): never => raise(cpu, VECTOR_GP, error);
export const raiseUd = (cpu: Cpu): never => raise(cpu, VECTOR_UD, -1);

/** Runs one instruction; see the head of this file. */
export function executeSystem(cpu: Cpu, fn: SystemFunction, insn: SystemInsn): boolean {
  const { state } = cpu;
  const lo = state.ripLo;
  const hi = state.ripHi;
  const next = lo + insn.length;
  if (state.codeSize === 64) state.setRip(next, hi + (next > 0xffff_ffff ? 1 : 0));
  else state.setRip(state.codeSize === 32 ? next : next & 0xffff, 0);
  cpu.switched = false;
  try {
    fn(cpu, insn);
    return true;
  } catch (fault) {
    if (fault !== guestFault) throw fault;
    if (!cpu.switched) state.setRip(lo, hi);
    return false;
  }
}

/** The access kind of an explicit access at the current privilege level. */
export const currentAccess = (cpu: Cpu): Access => (cpu.state.cpl === 3 ? Access.User : Access.Supervisor);

/** True for a canonical 48-bit linear address. */
export const isCanonical = (hi: number): boolean => {
  const top = hi >> 15;
  return top === 0 || top === -1;
};
export const isCanonicalBig = (value: bigint): boolean => {
  const top = BigInt.asUintN(64, value) >> 47n;
  return top === 0n || top === 0x1ffffn;
};

/** Which segment types may be read and written: one bit per type / 2 (SDM 3A table 3-1). */
const READABLE = 0b1010_1111,
  WRITABLE = 0b0000_1010;

/** True when `bytes` at a 32-bit `offset` lie within the limit of a segment outside 64-bit mode (SDM 3A 5.3). */
export function withinLimit(limit: number, attributes: number, offset: number, bytes: number): boolean {
  const last = offset + bytes - 1;
  const expandDown = (attributes & 0x1c) === 0x14;
  if (!expandDown) return last <= limit;
  return offset > limit && last <= ((attributes & ATTR_DB) !== 0 ? 0xffff_ffff : 0xffff);
}

/** Sets `cpu.lo/hi` to the linear address of `bytes` bytes at an offset of a segment, after the checks of SDM 3A 5.3-5.5 and 1 3.3.7.1. */
export function linearAddress(
  cpu: Cpu,
  segment: number,
  offsetLo: number,
  offsetHi: number,
  bytes: number,
  write: boolean,
): void {
  const { state } = cpu;
  const vector = segment === SS ? VECTOR_SS : VECTOR_GP;
  if (state.codeSize === 64) {
    let lo = offsetLo >>> 0;
    let hi = offsetHi >>> 0;
    if (segment === FS || segment === GS) {
      const at = segmentOffset(segment);
      lo += state.lo(at);
      hi = (hi + state.hi(at) + (lo > 0xffff_ffff ? 1 : 0)) >>> 0;
      lo >>>= 0;
    }
    const lastHi = (hi + (lo + bytes - 1 > 0xffff_ffff ? 1 : 0)) >>> 0;
    if (!isCanonical(hi) || !isCanonical(lastHi)) raise(cpu, vector, 0);
    cpu.lo = lo;
    cpu.hi = hi;
    return;
  }
  const attributes = state.attributes(segment);
  const offset = offsetLo >>> 0;
  if (state.protectedMode && !state.virtual8086) {
    if ((attributes & ATTR_UNUSABLE) !== 0) raise(cpu, vector, 0);
    const type = (attributes & 0xf) >> 1;
    if ((((write ? WRITABLE : READABLE) >> type) & 1) === 0) raise(cpu, vector, 0);
  }
  if (!withinLimit(state.limit(segment), attributes, offset, bytes)) raise(cpu, vector, 0);
  cpu.lo = (state.baseLo(segment) + offset) >>> 0;
  cpu.hi = 0;
}

/**
 * #AC(0) when the address found last is not a multiple of `width`, a power of two, and alignment is checked: CPL 3, EFLAGS.AC, CR0.AM
 * (SDM 3A 6.15).
 */
export function checkAlignment(cpu: Cpu, width: number): void {
  const { state } = cpu;
  if ((cpu.lo & (width - 1)) === 0 || state.cpl !== 3) return;
  if ((state.systemFlags & FLAG_AC) !== 0 && (state.cr0 & CR0_AM) !== 0) raise(cpu, VECTOR_AC, 0);
}

/** `linearAddress` for byte `displacement` of the instruction's memory operand; the sum wraps at the address size. */
export function operandAddress(cpu: Cpu, insn: SystemInsn, displacement: number, bytes: number, write: boolean): void {
  const sum = (insn.offsetLo >>> 0) + displacement;
  let lo = sum;
  let hi = 0;
  if (insn.addrsize === 8) hi = insn.offsetHi + (sum > 0xffff_ffff ? 1 : 0);
  else if (insn.addrsize === 2) lo = sum & 0xffff;
  linearAddress(cpu, insn.segment, lo >>> 0, hi, bytes, write);
}

/** Reads the instruction's memory operand (or part of it) at the current privilege; 8 bytes leave the high half in `mmu.high`. */
export function readOperand(cpu: Cpu, insn: SystemInsn, displacement: number, bytes: AccessBytes): number {
  operandAddress(cpu, insn, displacement, bytes, false);
  return cpu.mmu.read(cpu.lo, cpu.hi, bytes, currentAccess(cpu));
}

export function writeOperand(
  cpu: Cpu,
  insn: SystemInsn,
  displacement: number,
  bytes: AccessBytes,
  lo: number,
  hi: number,
): void {
  operandAddress(cpu, insn, displacement, bytes, true);
  cpu.mmu.write(cpu.lo, cpu.hi, bytes, currentAccess(cpu), lo, hi);
}

/** A 16-bit source operand: register or memory. */
export function readRm16(cpu: Cpu, insn: SystemInsn): number {
  return insn.rm >= 0 ? cpu.state.gprLo(insn.rm) & 0xffff : readOperand(cpu, insn, 0, 2);
}

/** Reads a system table at base + offset as an implicit supervisor access. `table` is the byte offset of a 64-bit base in the state. */
export function readSystem(cpu: Cpu, baseField: number, offset: number, bytes: AccessBytes): number {
  const { state, mmu } = cpu;
  const lo = state.lo(baseField) + offset;
  const hi = state.longMode ? state.hi(baseField) + (lo > 0xffff_ffff ? 1 : 0) : 0;
  return mmu.read(lo >>> 0, hi >>> 0, bytes, Access.System);
}
export function writeSystem(
  cpu: Cpu,
  baseField: number,
  offset: number,
  bytes: AccessBytes,
  valueLo: number,
  valueHi: number,
): void {
  const { state, mmu } = cpu;
  const lo = state.lo(baseField) + offset;
  const hi = state.longMode ? state.hi(baseField) + (lo > 0xffff_ffff ? 1 : 0) : 0;
  mmu.write(lo >>> 0, hi >>> 0, bytes, Access.System, valueLo, valueHi);
}

/** Requires CPL 0: #GP(0) otherwise. */
export function requireCpl0(cpu: Cpu): void {
  if (cpu.state.cpl !== 0) raiseGp(cpu, 0);
}
/** Requires protected mode outside virtual-8086 mode: #UD otherwise. */
export function requireProtected(cpu: Cpu): void {
  if (!cpu.state.protectedMode || cpu.state.virtual8086) raiseUd(cpu);
}
