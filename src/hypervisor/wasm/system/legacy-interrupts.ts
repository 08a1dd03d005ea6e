/**
 * Delivery of exceptions and interrupts outside IA-32e mode: the real-mode vector table (SDM 3B 20.1.4), and interrupt,
 * trap and task gates of 16 and 32 bits in protected and virtual-8086 mode (3A 6.12, 3B 20.3; pseudo-code of INT n in 2A).
 *
 * @module
 */
import { CS, DS, ES, FS, GS, IDTR, RSP, SS, TR, segmentOffset } from '../state.ts';
import { raise, raiseGp, readSystem, VECTOR_GP, VECTOR_NP, VECTOR_SS, VECTOR_TS } from './cpu.ts';
import type { Cpu, EventKind } from './cpu.ts';
import { FLAG_AC, FLAG_IF, FLAG_NT, FLAG_RF, FLAG_TF, FLAG_VM } from './cpu-state.ts';
import {
  codeSizeOf,
  Descriptor,
  fetchDescriptor,
  isNull,
  loadFromDescriptor,
  markAccessed,
  TYPE_INTERRUPT_GATE16,
  TYPE_INTERRUPT_GATE32,
  TYPE_TASK_GATE,
  TYPE_TRAP_GATE16,
  TYPE_TRAP_GATE32,
} from './descriptor.ts';
import { Access } from './mmu.ts';
import { loadNull } from './segments.ts';
import { LegacyStack } from './legacy-stack.ts';
import { switchTask } from './task-switch.ts';

/** Delivers through the real-mode vector table: 4-byte far pointers at IDTR.base. No error codes. */
export function deliverReal(cpu: Cpu, vector: number, flags: number): void {
  const { state } = cpu;
  if (vector * 4 + 3 > state.tableLimit(IDTR)) raiseGp(cpu, (vector << 3) | 2);
  const pointer = readSystem(cpu, IDTR, vector * 4, 4);
  const stack = LegacyStack.current(cpu, 0, Access.Supervisor);
  stack.need(6);
  stack.push(2, flags);
  stack.push(2, state.selector(CS));
  stack.push(2, state.ripLo);
  stack.commit(RSP);
  state.setSelector(CS, pointer >>> 16);
  state.setBase(CS, (pointer >>> 16) << 4, 0);
  state.setRip(pointer & 0xffff, 0);
  state.systemFlags = state.systemFlags & ~(FLAG_TF | FLAG_IF | FLAG_AC | FLAG_RF);
}

const gate = new Descriptor();
const code = new Descriptor();
const stackSegment = new Descriptor();

/** Delivers through a protected-mode gate. Raises before any register changes. */
export function deliverProtected(cpu: Cpu, vector: number, error: number, kind: EventKind, flags: number): void {
  const { state, mmu } = cpu;
  const ext = kind === 'software' ? 0 : 1;
  const gateError = (vector << 3) | 2 | ext;
  if (vector * 8 + 7 > state.tableLimit(IDTR)) raiseGp(cpu, gateError);
  gate.lo = readSystem(cpu, IDTR, vector * 8, 8);
  gate.hi = mmu.high;
  const type = gate.isSegment ? -1 : gate.type;
  const wide = type === TYPE_INTERRUPT_GATE32 || type === TYPE_TRAP_GATE32;
  if (!wide && type !== TYPE_TASK_GATE && type !== TYPE_INTERRUPT_GATE16 && type !== TYPE_TRAP_GATE16)
    raiseGp(cpu, gateError);
  if (kind === 'software' && gate.dpl < state.cpl) raiseGp(cpu, gateError);
  if (!gate.present) raise(cpu, VECTOR_NP, gateError);
  if (type === TYPE_TASK_GATE) {
    switchTask(cpu, gate.gateSelector, 'interrupt', flags, ext, error);
    return;
  }

  const selector = gate.gateSelector;
  if (isNull(selector)) raiseGp(cpu, ext);
  fetchDescriptor(cpu, selector, code, VECTOR_GP, ext);
  const selectorError = (selector & 0xfffc) | ext;
  if (!code.isCode || code.dpl > state.cpl) raiseGp(cpu, selectorError);
  if (!code.present) raise(cpu, VECTOR_NP, selectorError);
  const virtual8086 = state.virtual8086;
  const inner = !code.isConforming && code.dpl < state.cpl;
  // From virtual-8086 mode only a non-conforming segment of DPL 0 will do (INT n pseudo-code, INTERRUPT-FROM-VIRTUAL-8086-MODE).
  if (virtual8086 && (!inner || code.dpl !== 0)) raiseGp(cpu, selectorError);
  const cpl = inner ? code.dpl : state.cpl;
  const size = wide ? 4 : 2;
  const target = wide ? gate.gateOffset : gate.gateOffset & 0xffff;

  let stack: LegacyStack;
  let newStackSelector = 0;
  if (inner) {
    newStackSelector = readInnerStack(cpu, cpl, ext);
    const stackError = (newStackSelector & 0xfffc) | ext;
    if (isNull(newStackSelector)) raise(cpu, VECTOR_TS, ext);
    fetchDescriptor(cpu, newStackSelector, stackSegment, VECTOR_TS, ext);
    if ((newStackSelector & 3) !== cpl || stackSegment.dpl !== cpl || !stackSegment.isWritable)
      raise(cpu, VECTOR_TS, stackError);
    if (!stackSegment.present) raise(cpu, VECTOR_SS, stackError);
    stack = LegacyStack.of(
      cpu,
      stackSegment.base,
      stackSegment.limit,
      stackSegment.attributes,
      cpu.lo,
      stackError,
      cpl === 3 ? Access.User : Access.Supervisor,
    );
  } else {
    stack = LegacyStack.current(cpu, ext, cpl === 3 ? Access.User : Access.Supervisor);
  }
  const slots = (virtual8086 ? 9 : inner ? 5 : 3) + (error === -1 ? 0 : 1);
  stack.need(slots * size);
  if (target > code.limit) raiseGp(cpu, ext);

  if (virtual8086) {
    stack.push(size, state.selector(GS));
    stack.push(size, state.selector(FS));
    stack.push(size, state.selector(DS));
    stack.push(size, state.selector(ES));
  }
  if (inner) {
    stack.push(size, state.selector(SS));
    stack.push(size, state.gprLo(RSP));
  }
  stack.push(size, flags);
  stack.push(size, state.selector(CS));
  stack.push(size, state.ripLo);
  if (error !== -1) stack.push(size, error);
  markAccessed(cpu, code);
  if (inner) markAccessed(cpu, stackSegment);

  if (inner) loadFromDescriptor(cpu, SS, newStackSelector, stackSegment);
  if (virtual8086) for (const register of [DS, ES, FS, GS]) loadNull(cpu, register, 0, 0);
  stack.commit(RSP);
  loadFromDescriptor(cpu, CS, (selector & 0xfffc) | cpl, code);
  state.setRip(target, 0);
  state.cpl = cpl;
  const interruptGate = type === TYPE_INTERRUPT_GATE32 || type === TYPE_INTERRUPT_GATE16;
  state.systemFlags = state.systemFlags & ~(FLAG_TF | FLAG_VM | FLAG_RF | FLAG_NT | (interruptGate ? FLAG_IF : 0));
  state.codeSize = codeSizeOf(cpu, code.attributes);
}

/** Reads the stack of an inner level from the TSS: the selector is returned, the pointer left in `cpu.lo`. SDM 3A 7.2.1, 7.6. */
export function readInnerStack(cpu: Cpu, cpl: number, ext: number): number {
  const { state } = cpu;
  const wide = (state.attributes(TR) & 8) !== 0;
  const at = wide ? cpl * 8 + 4 : cpl * 4 + 2;
  if (at + (wide ? 5 : 3) > state.limit(TR)) raise(cpu, VECTOR_TS, (state.selector(TR) & 0xfffc) | ext);
  const pointer = readSystem(cpu, segmentOffset(TR), at, wide ? 4 : 2);
  const selector = readSystem(cpu, segmentOffset(TR), at + (wide ? 4 : 2), 2);
  cpu.lo = pointer;
  return selector;
}
