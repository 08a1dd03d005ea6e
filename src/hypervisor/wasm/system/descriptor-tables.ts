/**
 * Descriptor-table registers and descriptor queries: LGDT LIDT SGDT SIDT LLDT LTR SLDT STR, LAR LSL VERR VERW ARPL (SDM 2A-2B,
 * 3A 2.4, 5.10).
 *
 * SGDT and SIDT store all 32 bits of the base with a 16-bit operand too, as processors do (the manual's 24 bits are the 286's).
 *
 * @module
 */
import { ATTR_UNUSABLE, GDTR, IDTR, LDTR, TR } from '../state.ts';
import { checkUmip } from './control-registers.ts';
import {
  checkAlignment,
  isCanonical,
  operandAddress,
  raise,
  raiseGp,
  raiseUd,
  readOperand,
  readRm16,
  requireCpl0,
  requireProtected,
  VECTOR_NP,
  writeOperand,
} from './cpu.ts';
import type { Cpu, SystemInsn } from './cpu.ts';
import {
  Descriptor,
  fetchDescriptor,
  isNull,
  tryFetch,
  tryFetchUpper,
  TYPE_CALL_GATE16,
  TYPE_CALL_GATE32,
  TYPE_LDT,
  TYPE_TASK_GATE,
  TYPE_TSS16,
  TYPE_TSS16_BUSY,
  TYPE_TSS32,
  TYPE_TSS32_BUSY,
  writeTypeByte,
} from './descriptor.ts';

const descriptor = new Descriptor();
const upper = new Descriptor();

function loadTable(cpu: Cpu, insn: SystemInsn, table: number): void {
  const { state, mmu } = cpu;
  if (insn.rm >= 0) raiseUd(cpu);
  requireCpl0(cpu);
  const long = state.codeSize === 64;
  const limit = readOperand(cpu, insn, 0, 2);
  let lo = readOperand(cpu, insn, 2, long ? 8 : 4);
  const hi = long ? mmu.high : 0;
  if (!long && insn.opsize === 2) lo &= 0xff_ffff;
  if (!isCanonical(hi)) raiseGp(cpu, 0);
  state.setTable(table, lo, hi, limit);
}
function storeTable(cpu: Cpu, insn: SystemInsn, table: number): void {
  const { state } = cpu;
  if (insn.rm >= 0) raiseUd(cpu);
  checkUmip(cpu);
  const long = state.codeSize === 64;
  writeOperand(cpu, insn, 2, long ? 8 : 4, state.lo(table), state.hi(table));
  writeOperand(cpu, insn, 0, 2, state.tableLimit(table), 0);
}
export const lgdt = (cpu: Cpu, insn: SystemInsn): void => loadTable(cpu, insn, GDTR);
export const lidt = (cpu: Cpu, insn: SystemInsn): void => loadTable(cpu, insn, IDTR);
export const sgdt = (cpu: Cpu, insn: SystemInsn): void => storeTable(cpu, insn, GDTR);
export const sidt = (cpu: Cpu, insn: SystemInsn): void => storeTable(cpu, insn, IDTR);

/** Reads the upper half of a 16-byte descriptor in IA-32e mode: base bits 32-63; its type bits must be zero. */
function upperBase(cpu: Cpu, selector: number): number {
  if (!cpu.state.longMode) return 0;
  if (!tryFetchUpper(cpu, selector, upper)) raiseGp(cpu, selector & 0xfffc);
  if ((upper.hi & 0x1f00) !== 0 || !isCanonical(upper.lo)) raiseGp(cpu, selector & 0xfffc);
  return upper.lo;
}

/** LLDT. */
export function lldt(cpu: Cpu, insn: SystemInsn): void {
  const { state } = cpu;
  requireProtected(cpu);
  requireCpl0(cpu);
  const selector = readRm16(cpu, insn);
  if (isNull(selector)) {
    state.setSegment(LDTR, selector, 0, 0, 0, ATTR_UNUSABLE);
    return;
  }
  const error = selector & 0xfffc;
  if ((selector & 4) !== 0) raiseGp(cpu, error);
  fetchDescriptor(cpu, selector, descriptor);
  if (descriptor.isSegment || descriptor.type !== TYPE_LDT) raiseGp(cpu, error);
  if (!descriptor.present) raise(cpu, VECTOR_NP, error);
  const baseHi = upperBase(cpu, selector);
  state.setSegment(LDTR, selector, descriptor.base, baseHi, descriptor.limit, descriptor.attributes);
}

/** LTR: marks the TSS busy. */
export function ltr(cpu: Cpu, insn: SystemInsn): void {
  const { state } = cpu;
  requireProtected(cpu);
  requireCpl0(cpu);
  const selector = readRm16(cpu, insn);
  if (isNull(selector)) raiseGp(cpu, 0);
  const error = selector & 0xfffc;
  if ((selector & 4) !== 0) raiseGp(cpu, error);
  fetchDescriptor(cpu, selector, descriptor);
  const available = descriptor.type === TYPE_TSS32 || (descriptor.type === TYPE_TSS16 && !state.longMode);
  if (descriptor.isSegment || !available) raiseGp(cpu, error);
  if (!descriptor.present) raise(cpu, VECTOR_NP, error);
  const baseHi = upperBase(cpu, selector);
  descriptor.hi |= 0x200;
  writeTypeByte(cpu, descriptor);
  state.setSegment(TR, selector, descriptor.base, baseHi, descriptor.limit, descriptor.attributes);
}

function storeSelector(cpu: Cpu, insn: SystemInsn, register: number): void {
  requireProtected(cpu);
  checkUmip(cpu);
  const selector = cpu.state.selector(register);
  if (insn.rm >= 0) cpu.state.setGprSized(insn.rm, insn.opsize, selector, 0);
  else writeOperand(cpu, insn, 0, 2, selector, 0);
}
export const sldt = (cpu: Cpu, insn: SystemInsn): void => storeSelector(cpu, insn, LDTR);
export const str = (cpu: Cpu, insn: SystemInsn): void => storeSelector(cpu, insn, TR);

/** Fetches the descriptor a query names, if the current level may see it. Conforming code is visible to all. */
function visible(cpu: Cpu, selector: number): boolean {
  if (isNull(selector) || !tryFetch(cpu, selector, descriptor)) return false;
  return descriptor.isConforming || (cpu.state.cpl <= descriptor.dpl && (selector & 3) <= descriptor.dpl);
}

/** VERR, VERW: ZF says whether the segment can be read or written. */
function verify(cpu: Cpu, insn: SystemInsn, write: boolean): void {
  requireProtected(cpu);
  const allowed =
    visible(cpu, readRm16(cpu, insn)) &&
    descriptor.isSegment &&
    (write ? descriptor.isWritable : descriptor.isReadable);
  cpu.state.setZf(allowed);
}
export const verr = (cpu: Cpu, insn: SystemInsn): void => verify(cpu, insn, false);
export const verw = (cpu: Cpu, insn: SystemInsn): void => verify(cpu, insn, true);

/** System types LAR and LSL accept outside IA-32e mode, and in it (SDM 2A LAR table 3-53, LSL table 3-55): one bit a type. */
const typeSet = (...types: number[]): number => types.reduce((sum, type) => sum | (1 << type), 0);
const LAR_TYPES = typeSet(
  TYPE_TSS16,
  TYPE_LDT,
  TYPE_TSS16_BUSY,
  TYPE_CALL_GATE16,
  TYPE_TASK_GATE,
  TYPE_TSS32,
  TYPE_TSS32_BUSY,
  TYPE_CALL_GATE32,
);
const LAR_TYPES_LONG = typeSet(TYPE_LDT, TYPE_TSS32, TYPE_TSS32_BUSY, TYPE_CALL_GATE32);
const LSL_TYPES = typeSet(TYPE_TSS16, TYPE_LDT, TYPE_TSS16_BUSY, TYPE_TSS32, TYPE_TSS32_BUSY);
const LSL_TYPES_LONG = typeSet(TYPE_LDT, TYPE_TSS32, TYPE_TSS32_BUSY);

function query(cpu: Cpu, insn: SystemInsn, types: number, longTypes: number): boolean {
  requireProtected(cpu);
  const accepted =
    visible(cpu, readRm16(cpu, insn)) &&
    (descriptor.isSegment || (((cpu.state.longMode ? longTypes : types) >> descriptor.type) & 1) !== 0);
  cpu.state.setZf(accepted);
  return accepted;
}

/** LAR: access rights, the second doubleword under a mask. */
export function lar(cpu: Cpu, insn: SystemInsn): void {
  if (query(cpu, insn, LAR_TYPES, LAR_TYPES_LONG))
    cpu.state.setGprSized(insn.reg, insn.opsize, descriptor.hi & 0xf0_ff00, 0);
}
/** LSL: the limit in bytes. */
export function lsl(cpu: Cpu, insn: SystemInsn): void {
  if (query(cpu, insn, LSL_TYPES, LSL_TYPES_LONG)) cpu.state.setGprSized(insn.reg, insn.opsize, descriptor.limit, 0);
}

/** ARPL: raises the RPL of the destination to that of the source. #UD in real and virtual-8086 mode; 64-bit mode has MOVSXD here. */
export function arpl(cpu: Cpu, insn: SystemInsn): void {
  const { state } = cpu;
  requireProtected(cpu);
  if (insn.rm < 0) {
    operandAddress(cpu, insn, 0, 2, false);
    checkAlignment(cpu, 2);
  }
  const destination = readRm16(cpu, insn);
  const source = state.gprLo(insn.reg) & 3;
  const raised = (destination & 3) < source;
  if (raised) {
    const value = (destination & 0xfffc) | source;
    if (insn.rm >= 0) state.setGpr16(insn.rm, value);
    else writeOperand(cpu, insn, 0, 2, value, 0);
  }
  state.setZf(raised);
}
