/**
 * Call gates of 16, 32 and 64 bits (SDM 3A 5.8.3-5.8.6; pseudo-code of CALL and JMP in 2A).
 *
 * @module
 */
import { CS, RSP, SS, TR, segmentOffset } from '../state.ts';
import { isCanonical, raise, raiseGp, readSystem, VECTOR_NP, VECTOR_SS, VECTOR_TS } from './cpu.ts';
import type { Cpu } from './cpu.ts';
import {
  codeSizeOf,
  Descriptor,
  fetchDescriptor,
  isNull,
  loadFromDescriptor,
  markAccessed,
  tryFetchUpper,
  TYPE_CALL_GATE32,
} from './descriptor.ts';
import { LegacyStack } from './legacy-stack.ts';
import { readInnerStack } from './legacy-interrupts.ts';
import { Access } from './mmu.ts';
import { loadNull } from './segments.ts';

const code = new Descriptor();
const upper = new Descriptor();
const stackSegment = new Descriptor();

/** The target of a gate after the checks that JMP and CALL share. `code` holds its descriptor. */
interface GateTarget {
  readonly selector: number;
  readonly lo: number;
  readonly hi: number;
  /** Bytes of a slot the gate pushes. */
  readonly size: 2 | 4 | 8;
}

function resolveGate(cpu: Cpu, selector: number, gate: Descriptor, transfer: 'jmp' | 'call'): GateTarget {
  const { state } = cpu;
  const gateError = selector & 0xfffc;
  if (gate.dpl < state.cpl || gate.dpl < (selector & 3)) raiseGp(cpu, gateError);
  if (!gate.present) raise(cpu, VECTOR_NP, gateError);
  let hi = 0;
  if (state.longMode) {
    if (!tryFetchUpper(cpu, selector, upper) || (upper.hi & 0x1f00) !== 0) raiseGp(cpu, gateError);
    hi = upper.lo;
  }
  const codeSelector = gate.gateSelector;
  if (isNull(codeSelector)) raiseGp(cpu, 0);
  const error = codeSelector & 0xfffc;
  fetchDescriptor(cpu, codeSelector, code);
  const allowed = code.isConforming || transfer === 'call' ? code.dpl <= state.cpl : code.dpl === state.cpl;
  if (!code.isCode || !allowed) raiseGp(cpu, error);
  if (state.longMode && (!code.long || code.big)) raiseGp(cpu, error);
  if (!code.present) raise(cpu, VECTOR_NP, error);
  if (state.longMode) return { selector: codeSelector, lo: gate.gateOffset, hi, size: 8 };
  if (gate.type === TYPE_CALL_GATE32) return { selector: codeSelector, lo: gate.gateOffset, hi: 0, size: 4 };
  return { selector: codeSelector, lo: gate.gateOffset & 0xffff, hi: 0, size: 2 };
}

function checkTarget(cpu: Cpu, { lo, hi, size }: GateTarget): void {
  if (size === 8 ? !isCanonical(hi) : lo > code.limit) raiseGp(cpu, 0);
}

function enter(cpu: Cpu, { selector, lo, hi }: GateTarget, cpl: number): void {
  const { state } = cpu;
  loadFromDescriptor(cpu, CS, (selector & 0xfffc) | cpl, code);
  state.setRip(lo, hi);
  state.cpl = cpl;
  state.codeSize = codeSizeOf(cpu, code.attributes);
  cpu.mmu.modeChanged();
}

/** JMP through a call gate: no privilege change. */
export function jumpThroughGate(cpu: Cpu, selector: number, gate: Descriptor): void {
  const target = resolveGate(cpu, selector, gate, 'jmp');
  checkTarget(cpu, target);
  markAccessed(cpu, code);
  enter(cpu, target, cpu.state.cpl);
}

/** CALL through a call gate. */
export function callThroughGate(cpu: Cpu, selector: number, gate: Descriptor): void {
  const target = resolveGate(cpu, selector, gate, 'call');
  const inner = !code.isConforming && code.dpl < cpu.state.cpl;
  const cpl = inner ? code.dpl : cpu.state.cpl;
  if (target.size === 8) callLong(cpu, target, inner, cpl);
  else if (inner) callInner(cpu, target, target.size, gate.gateParameters, cpl);
  else {
    const stack = LegacyStack.current(cpu, 0, cpl === 3 ? Access.User : Access.Supervisor);
    stack.need(2 * target.size);
    checkTarget(cpu, target);
    stack.push(target.size, cpu.state.selector(CS));
    stack.push(target.size, cpu.state.ripLo);
    markAccessed(cpu, code);
    stack.commit(RSP);
    enter(cpu, target, cpl);
  }
}

/** A 64-bit gate: 8-byte slots, no parameters, SS null at an inner level. */
function callLong(cpu: Cpu, target: GateTarget, inner: boolean, cpl: number): void {
  const { state, mmu } = cpu;
  let lo = state.gprLo(RSP);
  let hi = state.gprHi(RSP);
  if (inner) {
    const at = 4 + cpl * 8;
    if (at + 7 > state.limit(TR)) raise(cpu, VECTOR_TS, state.selector(TR) & 0xfffc);
    lo = readSystem(cpu, segmentOffset(TR), at, 8);
    hi = mmu.high;
  }
  const slots = inner ? 4 : 2;
  const bottom = lo - slots * 8;
  const bottomHi = (bottom < 0 ? hi - 1 : hi) >>> 0;
  if (!isCanonical(bottomHi)) raise(cpu, VECTOR_SS, 0);
  checkTarget(cpu, target);
  const access = cpl === 3 ? Access.User : Access.Supervisor;
  const write = (slot: number, valueLo: number, valueHi: number): void => {
    const at = (bottom >>> 0) + slot * 8;
    mmu.write(at >>> 0, at > 0xffff_ffff ? bottomHi + 1 : bottomHi, 8, access, valueLo, valueHi);
  };
  if (inner) {
    write(3, state.selector(SS), 0);
    write(2, state.gprLo(RSP), state.gprHi(RSP));
  }
  write(1, state.selector(CS), 0);
  write(0, state.ripLo, state.ripHi);
  markAccessed(cpu, code);
  if (inner) loadNull(cpu, SS, cpl, cpl);
  state.setGprHalves(RSP, bottom, bottomHi);
  enter(cpu, target, cpl);
}

/** A 16- or 32-bit gate to an inner level: new stack, old SS:ESP, copied parameters, return address. */
function callInner(cpu: Cpu, target: GateTarget, size: 2 | 4, parameters: number, cpl: number): void {
  const { state } = cpu;
  const selector = readInnerStack(cpu, cpl, 0);
  const pointer = cpu.lo;
  const error = selector & 0xfffc;
  if (isNull(selector)) raise(cpu, VECTOR_TS, 0);
  fetchDescriptor(cpu, selector, stackSegment, VECTOR_TS);
  if ((selector & 3) !== cpl || stackSegment.dpl !== cpl || !stackSegment.isWritable) raise(cpu, VECTOR_TS, error);
  if (!stackSegment.present) raise(cpu, VECTOR_SS, error);
  const { base, limit, attributes } = stackSegment;
  const stack = LegacyStack.of(cpu, base, limit, attributes, pointer, error, Access.Supervisor);
  stack.need((4 + parameters) * size);
  checkTarget(cpu, target);
  const old = LegacyStack.current(cpu, 0, state.cpl === 3 ? Access.User : Access.Supervisor);
  const copied: number[] = [];
  for (let index = 0; index < parameters; index++) copied.push(old.pop(size));
  stack.push(size, state.selector(SS));
  stack.push(size, state.gprLo(RSP));
  for (const value of copied.reverse()) stack.push(size, value);
  stack.push(size, state.selector(CS));
  stack.push(size, state.ripLo);
  markAccessed(cpu, code);
  markAccessed(cpu, stackSegment);
  loadFromDescriptor(cpu, SS, selector, stackSegment);
  stack.commit(RSP);
  enter(cpu, target, cpl);
}
