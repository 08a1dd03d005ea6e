/**
 * Far JMP, CALL and RET in every mode and width (SDM 2A CALL, JMP; 2B RET). Call gates are in call-gate.ts, task switches in
 * task-switch.ts.
 *
 * @module
 */
import { CS } from '../state.ts';
import { callThroughGate, jumpThroughGate } from './call-gate.ts';
import { currentAccess, raise, raiseGp, raiseUd, readOperand, VECTOR_NP } from './cpu.ts';
import type { Cpu, SystemInsn } from './cpu.ts';
import {
  codeSizeOf,
  Descriptor,
  fetchDescriptor,
  isNull,
  loadFromDescriptor,
  markAccessed,
  TYPE_CALL_GATE16,
  TYPE_CALL_GATE32,
  TYPE_TASK_GATE,
  TYPE_TSS16,
  TYPE_TSS16_BUSY,
  TYPE_TSS32,
  TYPE_TSS32_BUSY,
} from './descriptor.ts';
import { checkReturnAddress, checkReturnCode, checkReturnStack, loadReturnStack } from './iret.ts';
import type { AccessBytes } from './mmu.ts';
import { adjustStackPointer, dropPrivilegedSegments, loadRealSegment, stackAddress } from './segments.ts';
import { switchTask } from './task-switch.ts';

const target = new Descriptor();
const stackSegment = new Descriptor();

type Transfer = 'jmp' | 'call';

/** #SS(0) unless two slots of `size` bytes fit on the current stack. */
function checkReturnRoom(cpu: Cpu, size: number): void {
  stackAddress(cpu, -size, size, true);
  stackAddress(cpu, -2 * size, size, true);
}

/** Writes CS and the return address below the stack pointer, `size` bytes each; the pointer itself moves when nothing can fail any more. */
function writeReturnAddress(cpu: Cpu, size: number): void {
  const { state, mmu } = cpu;
  const access = currentAccess(cpu);
  stackAddress(cpu, -size, size, true);
  mmu.write(cpu.lo, cpu.hi, size as AccessBytes, access, state.selector(CS), 0);
  stackAddress(cpu, -2 * size, size, true);
  mmu.write(cpu.lo, cpu.hi, size as AccessBytes, access, state.ripLo, state.ripHi);
}

/** Loads CS and RIP after a transfer within the privilege level. */
function enterCode(cpu: Cpu, selector: number, lo: number, hi: number): void {
  const { state } = cpu;
  loadFromDescriptor(cpu, CS, (selector & 0xfffc) | state.cpl, target);
  state.setRip(lo, hi);
  state.codeSize = codeSizeOf(cpu, target.attributes);
  cpu.mmu.modeChanged();
}

function transferReal(cpu: Cpu, insn: SystemInsn, selector: number, lo: number, transfer: Transfer): void {
  const { state } = cpu;
  const offset = insn.opsize === 2 ? lo & 0xffff : lo;
  if (transfer === 'call') checkReturnRoom(cpu, insn.opsize);
  if (offset > state.limit(CS)) raiseGp(cpu, 0);
  if (transfer === 'call') {
    writeReturnAddress(cpu, insn.opsize);
    adjustStackPointer(cpu, -2 * insn.opsize);
  }
  loadRealSegment(cpu, CS, selector);
  state.setRip(offset, 0);
  cpu.mmu.modeChanged();
}

function transferProtected(
  cpu: Cpu,
  insn: SystemInsn,
  selector: number,
  lo: number,
  hi: number,
  transfer: Transfer,
): void {
  const { state } = cpu;
  const error = selector & 0xfffc;
  if (isNull(selector)) raiseGp(cpu, 0);
  fetchDescriptor(cpu, selector, target);
  if (!target.isSegment) {
    transferSystem(cpu, selector, transfer);
    return;
  }
  const rpl = selector & 3;
  if (!target.isCode) raiseGp(cpu, error);
  if (target.isConforming ? target.dpl > state.cpl : rpl > state.cpl || target.dpl !== state.cpl) raiseGp(cpu, error);
  if (state.longMode && target.long && target.big) raiseGp(cpu, error);
  if (!target.present) raise(cpu, VECTOR_NP, error);
  const offset = insn.opsize === 2 ? lo & 0xffff : lo;
  if (transfer === 'call') checkReturnRoom(cpu, insn.opsize);
  checkReturnAddress(cpu, target, offset, insn.opsize === 8 ? hi : 0);
  if (transfer === 'call') writeReturnAddress(cpu, insn.opsize);
  markAccessed(cpu, target);
  if (transfer === 'call') adjustStackPointer(cpu, -2 * insn.opsize);
  enterCode(cpu, selector, offset, insn.opsize === 8 ? hi : 0);
}

/** A far transfer to a call gate, task gate or TSS: `target` holds its descriptor. */
function transferSystem(cpu: Cpu, selector: number, transfer: Transfer): void {
  const { state } = cpu;
  const error = selector & 0xfffc;
  const { type } = target;
  const call = transfer === 'call';
  if (type === TYPE_CALL_GATE32 || (type === TYPE_CALL_GATE16 && !state.longMode)) {
    if (call) callThroughGate(cpu, selector, target);
    else jumpThroughGate(cpu, selector, target);
    return;
  }
  if (state.longMode) raiseGp(cpu, error);
  const isTss = type === TYPE_TSS16 || type === TYPE_TSS32 || type === TYPE_TSS16_BUSY || type === TYPE_TSS32_BUSY;
  if (!isTss && type !== TYPE_TASK_GATE) raiseGp(cpu, error);
  if (target.dpl < state.cpl || target.dpl < (selector & 3)) raiseGp(cpu, error);
  if (type === TYPE_TASK_GATE && !target.present) raise(cpu, VECTOR_NP, error);
  switchTask(cpu, isTss ? selector : target.gateSelector, transfer, state.rflags, 0, -1);
}

function transferTo(cpu: Cpu, insn: SystemInsn, selector: number, lo: number, hi: number, transfer: Transfer): void {
  const { state } = cpu;
  if (!state.protectedMode || state.virtual8086) transferReal(cpu, insn, selector, lo, transfer);
  else transferProtected(cpu, insn, selector, lo, hi, transfer);
}

/** A far pointer in memory: offset of the operand size, then a selector. */
function transferIndirect(cpu: Cpu, insn: SystemInsn, transfer: Transfer): void {
  if (insn.rm >= 0) raiseUd(cpu);
  const lo = readOperand(cpu, insn, 0, insn.opsize as AccessBytes);
  const hi = insn.opsize === 8 ? cpu.mmu.high : 0;
  const selector = readOperand(cpu, insn, insn.opsize, 2);
  transferTo(cpu, insn, selector, lo, hi, transfer);
}

/** JMP ptr16:16/32 (EA): `imm` is the offset, `selector` the selector. #UD in 64-bit mode is the decoder's. */
export const jmpFar = (cpu: Cpu, insn: SystemInsn): void =>
  transferTo(cpu, insn, insn.selector, insn.imm >>> 0, 0, 'jmp');
/** CALL ptr16:16/32 (9A). */
export const callFar = (cpu: Cpu, insn: SystemInsn): void =>
  transferTo(cpu, insn, insn.selector, insn.imm >>> 0, 0, 'call');
/** JMP m16:16/32/64 (FF /5). */
export const jmpFarIndirect = (cpu: Cpu, insn: SystemInsn): void => transferIndirect(cpu, insn, 'jmp');
/** CALL m16:16/32/64 (FF /3). */
export const callFarIndirect = (cpu: Cpu, insn: SystemInsn): void => transferIndirect(cpu, insn, 'call');

/** Reads `size` bytes at a displacement above the stack pointer; 8 bytes leave the high half in `mmu.high`. */
function peek(cpu: Cpu, displacement: number, size: number): number {
  stackAddress(cpu, displacement, size, false);
  return cpu.mmu.read(cpu.lo, cpu.hi, size as AccessBytes, currentAccess(cpu));
}

/** RETF: `imm` is the number of parameter bytes to release. */
export function retf(cpu: Cpu, insn: SystemInsn): void {
  const { state, mmu } = cpu;
  const size = insn.opsize;
  const parameters = insn.imm & 0xffff;
  const lo = peek(cpu, 0, size);
  const hi = size === 8 ? mmu.high : 0;
  const selector = peek(cpu, size, size) & 0xffff;
  if (!state.protectedMode || state.virtual8086) {
    if (lo > state.limit(CS)) raiseGp(cpu, 0);
    adjustStackPointer(cpu, 2 * size + parameters);
    loadRealSegment(cpu, CS, selector);
    state.setRip(lo, 0);
    mmu.modeChanged();
    return;
  }
  const cpl = checkReturnCode(cpu, selector, target);
  if (cpl === state.cpl) {
    checkReturnAddress(cpu, target, lo, hi);
    markAccessed(cpu, target);
    adjustStackPointer(cpu, 2 * size + parameters);
    enterCode(cpu, selector, lo, hi);
    return;
  }
  const sp = peek(cpu, 2 * size + parameters, size);
  const spHi = size === 8 ? mmu.high : 0;
  const stackSelector = peek(cpu, 3 * size + parameters, size) & 0xffff;
  const hasDescriptor = checkReturnStack(cpu, stackSelector, cpl, target, stackSegment);
  checkReturnAddress(cpu, target, lo, hi);
  markAccessed(cpu, target);
  if (hasDescriptor) markAccessed(cpu, stackSegment);
  const to64 = state.longMode && target.long;
  loadReturnStack(cpu, stackSelector, hasDescriptor, stackSegment, cpl, sp, spHi, to64);
  loadFromDescriptor(cpu, CS, selector, target);
  state.setRip(lo, hi);
  state.cpl = cpl;
  state.codeSize = codeSizeOf(cpu, target.attributes);
  adjustStackPointer(cpu, parameters);
  dropPrivilegedSegments(cpu, cpl);
  mmu.modeChanged();
}
