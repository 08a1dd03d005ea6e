/**
 * IRET in all widths and modes (SDM 2A IRET): real mode, protected mode with or without a privilege change, to and from
 * virtual-8086 mode, nested tasks, IA-32e mode.
 *
 * @module
 */
import { ATTR_L, CS, RSP, SS, segmentOffset, TR } from '../state.ts';
import {
  currentAccess,
  isCanonical,
  linearAddress,
  raise,
  raiseGp,
  readSystem,
  VECTOR_GP,
  VECTOR_NP,
  VECTOR_SS,
  VECTOR_TS,
} from './cpu.ts';
import type { Cpu, SystemInsn } from './cpu.ts';
import {
  FLAG_AC,
  FLAG_FIXED1,
  FLAG_ID,
  FLAG_IF,
  FLAG_IOPL,
  FLAG_NT,
  FLAG_RF,
  FLAG_TF,
  FLAG_DF,
  FLAG_VIF,
  FLAG_VIP,
  FLAG_VM,
  FLAGS_ARITHMETIC,
} from './cpu-state.ts';
import { codeSizeOf, Descriptor, fetchDescriptor, isNull, loadFromDescriptor, markAccessed } from './descriptor.ts';
import type { AccessBytes } from './mmu.ts';
import { dropPrivilegedSegments, loadNull, loadVirtual8086Segments, stackAddressBytes } from './segments.ts';
import { switchTask } from './task-switch.ts';

const code = new Descriptor();
const stackSegment = new Descriptor();

/** The popped frame: halves of up to nine slots. */
const frameLo = new Uint32Array(9);
const frameHi = new Uint32Array(9);

/** Reads slots `from`..`to`-1 of `size` bytes above the stack pointer, which does not move. #SS(0), #PF. */
export function readFrame(cpu: Cpu, from: number, to: number, size: number): void {
  const { state, mmu } = cpu;
  const stackBytes = stackAddressBytes(cpu);
  const access = currentAccess(cpu);
  for (let slot = from; slot < to; slot++) {
    const sum = state.gprLo(RSP) + slot * size;
    const hi = stackBytes === 8 ? (state.gprHi(RSP) + (sum > 0xffff_ffff ? 1 : 0)) >>> 0 : 0;
    linearAddress(cpu, SS, (stackBytes === 2 ? sum & 0xffff : sum) >>> 0, hi, size, false);
    frameLo[slot] = mmu.read(cpu.lo, cpu.hi, size as AccessBytes, access);
    frameHi[slot] = size === 8 ? mmu.high : 0;
  }
}

/** Moves the stack pointer past a frame of `bytes`. */
function dropFrame(cpu: Cpu, bytes: number): void {
  const { state } = cpu;
  const sum = state.gprLo(RSP) + bytes;
  const stackBytes = stackAddressBytes(cpu);
  if (stackBytes === 8) state.setGprHalves(RSP, sum, state.gprHi(RSP) + (sum > 0xffff_ffff ? 1 : 0));
  else if (stackBytes === 4) state.setGprHalves(RSP, sum, 0);
  else state.setGpr16(RSP, sum);
}

/** Loads the flags an IRET at privilege level `cpl` may change; `size` is the operand size. */
function loadFlags(cpu: Cpu, image: number, size: number, cpl: number): void {
  const { state } = cpu;
  let mask = FLAGS_ARITHMETIC | FLAG_TF | FLAG_DF | FLAG_NT;
  if (size !== 2) mask |= FLAG_RF | FLAG_AC | FLAG_ID;
  if (cpl <= state.iopl) mask |= FLAG_IF;
  if (cpl === 0) mask |= FLAG_IOPL | (size !== 2 ? FLAG_VIF | FLAG_VIP : 0);
  state.rflags = (state.rflags & ~mask) | (image & mask) | FLAG_FIXED1;
}

function returnReal(cpu: Cpu, size: number): void {
  const { state } = cpu;
  readFrame(cpu, 0, 3, size);
  if (size === 4 && frameLo[0]! > 0xffff) raiseGp(cpu, 0);
  dropFrame(cpu, 3 * size);
  state.setRip(frameLo[0]!, 0);
  const selector = frameLo[1]! & 0xffff;
  state.setSelector(CS, selector);
  state.setBase(CS, selector << 4, 0);
  // tempEFLAGS AND 257FD5H, VM VIF VIP of the old value kept.
  const mask = size === 2 ? 0x7fd5 : 0x25_7fd5;
  state.rflags = (state.rflags & ~mask) | (frameLo[2]! & mask);
}

/** From virtual-8086 mode to virtual-8086 mode, IOPL 3 (without it the monitor gets #GP(0)). VME is not there. */
function returnFromVirtual8086(cpu: Cpu, size: number): void {
  const { state } = cpu;
  if (state.iopl !== 3) raiseGp(cpu, 0);
  readFrame(cpu, 0, 3, size);
  if (frameLo[0]! > 0xffff) raiseGp(cpu, 0);
  dropFrame(cpu, 3 * size);
  const selector = frameLo[1]! & 0xffff;
  state.setRip(frameLo[0]!, 0);
  state.setSegment(CS, selector, selector << 4, 0, 0xffff, 0xf3);
  const mask =
    FLAGS_ARITHMETIC | FLAG_TF | FLAG_IF | FLAG_DF | FLAG_NT | (size === 4 ? FLAG_RF | FLAG_AC | FLAG_ID : 0);
  state.rflags = (state.rflags & ~mask) | (frameLo[2]! & mask);
}

/** To virtual-8086 mode from CPL 0: nine slots of 4 bytes. */
function returnToVirtual8086(cpu: Cpu): void {
  const { state } = cpu;
  readFrame(cpu, 3, 9, 4);
  if (frameLo[0]! > 0xffff) raiseGp(cpu, 0);
  state.rflags = frameLo[2]!;
  loadVirtual8086Segments(cpu, [frameLo[5]!, frameLo[1]!, frameLo[4]!, frameLo[6]!, frameLo[7]!, frameLo[8]!]);
  state.setRip(frameLo[0]!, 0);
  state.setGprHalves(RSP, frameLo[3]!, 0);
  state.cpl = 3;
  state.codeSize = 16;
}

/** The task switch of IRET with NT set: to the task in the back link. */
function returnToPreviousTask(cpu: Cpu): void {
  const link = readSystem(cpu, segmentOffset(TR), 0, 2);
  if ((link & 4) !== 0) raise(cpu, VECTOR_TS, link & 0xfffc);
  switchTask(cpu, link, 'iret', cpu.state.rflags & ~FLAG_NT, 0, -1);
}

/** Checks a return CS selector and leaves its descriptor in `into` (SDM 2A IRET, RET). Returns the new privilege level. */
export function checkReturnCode(cpu: Cpu, selector: number, into: Descriptor): number {
  const { state } = cpu;
  if (isNull(selector)) raiseGp(cpu, 0);
  fetchDescriptor(cpu, selector, into, VECTOR_GP);
  const error = selector & 0xfffc;
  const rpl = selector & 3;
  if (!into.isCode || rpl < state.cpl) raiseGp(cpu, error);
  if (into.isConforming ? into.dpl > rpl : into.dpl !== rpl) raiseGp(cpu, error);
  if (state.longMode && into.long && into.big) raiseGp(cpu, error);
  if (!into.present) raise(cpu, VECTOR_NP, error);
  return rpl;
}

/** Checks a stack selector for a return to privilege level `cpl`; `into` gets its descriptor, unless null, which returns false. */
export function checkReturnStack(
  cpu: Cpu,
  selector: number,
  cpl: number,
  target: Descriptor,
  into: Descriptor,
): boolean {
  if (isNull(selector)) {
    // A null SS is for 64-bit code below CPL 3 only, and its RPL must match.
    const long = cpu.state.longMode && target.long;
    if (!long || cpl === 3 || (selector & 3) !== cpl) raiseGp(cpu, 0);
    return false;
  }
  fetchDescriptor(cpu, selector, into, VECTOR_GP);
  const error = selector & 0xfffc;
  if ((selector & 3) !== cpl || !into.isWritable || into.dpl !== cpl) raiseGp(cpu, error);
  if (!into.present) raise(cpu, VECTOR_SS, error);
  return true;
}

/** Raises #GP(0) when a return address lies outside the code segment, or is not canonical in 64-bit code. */
export function checkReturnAddress(cpu: Cpu, target: Descriptor, lo: number, hi: number): void {
  if ((target.attributes & ATTR_L) !== 0 && cpu.state.longMode) {
    if (!isCanonical(hi)) raiseGp(cpu, 0);
  } else if (lo > target.limit || hi !== 0) raiseGp(cpu, 0);
}

/** Loads SS and the stack pointer for a return: `wide` is the size of the popped pointer. A 16-bit stack takes 16 bits of it. */
export function loadReturnStack(
  cpu: Cpu,
  selector: number,
  hasDescriptor: boolean,
  descriptor: Descriptor,
  cpl: number,
  lo: number,
  hi: number,
  to64: boolean,
): void {
  const { state } = cpu;
  if (hasDescriptor) loadFromDescriptor(cpu, SS, selector, descriptor);
  else loadNull(cpu, SS, selector, cpl);
  if (to64) state.setGprHalves(RSP, lo, hi);
  else if (hasDescriptor && descriptor.big) state.setGprHalves(RSP, lo, 0);
  else state.setGpr16(RSP, lo);
}

function returnProtected(cpu: Cpu, size: number): void {
  const { state } = cpu;
  const long = state.longMode;
  const from64 = state.codeSize === 64;
  if ((state.systemFlags & FLAG_NT) !== 0) {
    if (long) raiseGp(cpu, 0);
    returnToPreviousTask(cpu);
    return;
  }
  readFrame(cpu, 0, 3, size);
  const flags = frameLo[2]!;
  const oldCpl = state.cpl;
  if (!long && size === 4 && (flags & FLAG_VM) !== 0 && oldCpl === 0) {
    returnToVirtual8086(cpu);
    return;
  }
  const selector = frameLo[1]! & 0xffff;
  const cpl = checkReturnCode(cpu, selector, code);
  const to64 = long && code.long;
  const lo = frameLo[0]!;
  const hi = frameHi[0]!;
  const withStack = cpl !== oldCpl || from64;
  let hasStackDescriptor = false;
  let stackSelector = 0;
  if (withStack) {
    readFrame(cpu, 3, 5, size);
    stackSelector = frameLo[4]! & 0xffff;
    hasStackDescriptor = checkReturnStack(cpu, stackSelector, cpl, code, stackSegment);
  }
  checkReturnAddress(cpu, code, lo, hi);
  markAccessed(cpu, code);
  if (hasStackDescriptor) markAccessed(cpu, stackSegment);

  loadFlags(cpu, flags, size, oldCpl);
  if (withStack)
    loadReturnStack(cpu, stackSelector, hasStackDescriptor, stackSegment, cpl, frameLo[3]!, frameHi[3]!, to64);
  else dropFrame(cpu, 3 * size);
  loadFromDescriptor(cpu, CS, selector, code);
  state.setRip(lo, hi);
  state.cpl = cpl;
  state.codeSize = to64 ? 64 : codeSizeOf(cpu, code.attributes);
  if (cpl !== oldCpl) dropPrivilegedSegments(cpu, cpl);
}

/** IRET, IRETD, IRETQ by the operand size. NMIs are unblocked even when it faults (SDM 3A 6.7.1). */
export function iret(cpu: Cpu, insn: SystemInsn): void {
  const { state } = cpu;
  state.nmiBlocked = false;
  if (!state.protectedMode) returnReal(cpu, insn.opsize);
  else if (state.virtual8086) returnFromVirtual8086(cpu, insn.opsize);
  else returnProtected(cpu, insn.opsize);
  // RF only keeps an execution breakpoint from hitting twice. Every return from a fault sets it; without breakpoints it would
  // make the interpreter step one instruction for nothing.
  if ((state.dr7 & 0xff) === 0) state.systemFlags = state.systemFlags & ~FLAG_RF;
  cpu.mmu.modeChanged();
}
