/**
 * FXSAVE, FXRSTOR, the XSAVE family, LDMXCSR and STMXCSR (SDM 1 10.5, 13.7-13.13; 2A, 2C).
 *
 * x87 and SSE lie in the legacy region, and AVX comes first behind the header, so standard and compacted images have one layout.
 * Images go through a buffer: everything is read and checked before any register changes.
 *
 * @module
 */
import { RAX } from '../state.ts';
import {
  checkAlignment,
  currentAccess,
  operandAddress,
  raise,
  raiseGp,
  raiseUd,
  readOperand,
  requireCpl0,
  VECTOR_NM,
  writeOperand,
} from './cpu.ts';
import type { Cpu, SystemInsn } from './cpu.ts';
import { CR0_EM, CR0_TS, CR4_OSFXSR, CR4_OSXSAVE } from './cpu-state.ts';
import {
  FpuImage,
  IMAGE_MXCSR,
  IMAGE_ST,
  IMAGE_X87_BYTES,
  IMAGE_XMM,
  IMAGE_YMM,
  initX87,
  initXmm,
  initYmmHigh,
  LEGACY_BYTES,
  MXCSR_MASK,
  MXCSR_RESET,
  XSAVE_HEADER,
  XSAVE_HEADER_BYTES,
  YMM_BYTES,
} from './fpu-image.ts';
import { XSTATE_AVX, XSTATE_SSE, XSTATE_X87, xinuse } from './xsave-components.ts';

const COMPACTED = 0x8000_0000;

const image = new FpuImage();

/** XMM and YMM registers that a save or restore covers: eight outside 64-bit mode. */
const xmmCount = (cpu: Cpu): number => (cpu.state.codeSize === 64 ? 16 : 8);

/** Index of the operand in `mmu.words`, or -1: it crosses a page or is not RAM. */
let window = -1;

/**
 * Finds the operand, which must be aligned and accessible from byte `from` on (a multiple of 8). `cpu.lo/hi` is left at its
 * start.
 */
function locate(cpu: Cpu, insn: SystemInsn, bytes: number, alignment: number, write: boolean, from = 0): void {
  if (insn.rm >= 0) raiseUd(cpu);
  operandAddress(cpu, insn, 0, bytes, write);
  if ((cpu.lo & (alignment - 1)) !== 0) raiseGp(cpu, 0);
  const access = currentAccess(cpu);
  if (from > 0) {
    const lo = cpu.lo + from;
    window = -1;
    cpu.mmu.probe(lo >>> 0, lo > 0xffff_ffff ? cpu.hi + 1 : cpu.hi, bytes - from, access, write);
    return;
  }
  window = cpu.mmu.window(cpu.lo, cpu.hi, bytes, access, write);
  if (window < 0) cpu.mmu.probe(cpu.lo, cpu.hi, bytes, access, write);
}

/** Copies `from`..`to` (multiples of 8) of the buffer to or from memory at `cpu.lo/hi`. */
function writeRange(cpu: Cpu, from: number, to: number): void {
  if (window >= 0) {
    const { words } = cpu.mmu;
    for (let at = from >> 2; at < to >> 2; at++) words[window + at] = image.words[at]!;
    return;
  }
  const access = currentAccess(cpu);
  for (let at = from; at < to; at += 8) {
    const lo = cpu.lo + at;
    const hi = lo > 0xffff_ffff ? cpu.hi + 1 : cpu.hi;
    cpu.mmu.write(lo >>> 0, hi >>> 0, 8, access, image.words[at >> 2]!, image.words[(at >> 2) + 1]!);
  }
}
function readRange(cpu: Cpu, from: number, to: number): void {
  if (window >= 0) {
    const { words } = cpu.mmu;
    for (let at = from >> 2; at < to >> 2; at++) image.words[at] = words[window + at]!;
    return;
  }
  const access = currentAccess(cpu);
  for (let at = from; at < to; at += 8) {
    const lo = cpu.lo + at;
    const hi = lo > 0xffff_ffff ? cpu.hi + 1 : cpu.hi;
    image.words[at >> 2] = cpu.mmu.read(lo >>> 0, hi >>> 0, 8, access);
    image.words[(at >> 2) + 1] = cpu.mmu.high;
  }
}

function checkNoDevice(cpu: Cpu, mask: number): void {
  if ((cpu.state.cr0 & mask) !== 0) raise(cpu, VECTOR_NM, -1);
}

/** FXSAVE, FXSAVE64 (by the operand size). Bytes 464-511 are software's and stay. */
export function fxsave(cpu: Cpu, insn: SystemInsn): void {
  const { state } = cpu;
  checkNoDevice(cpu, CR0_EM | CR0_TS);
  locate(cpu, insn, LEGACY_BYTES, 16, true);
  image.takeX87(state, insn.opsize === 8);
  writeRange(cpu, 0, IMAGE_X87_BYTES);
  writeRange(cpu, IMAGE_ST, IMAGE_XMM);
  // Without OSFXSR the SSE state is left out (SDM 2A FXSAVE: implementation-specific).
  if ((state.cr4 & CR4_OSFXSR) === 0) return;
  saveSse(cpu, true);
}

/** Writes MXCSR with its mask, and the XMM registers. */
function saveSse(cpu: Cpu, registers: boolean): void {
  const { state } = cpu;
  image.words[IMAGE_MXCSR >> 2] = state.mxcsr;
  image.words[(IMAGE_MXCSR >> 2) + 1] = MXCSR_MASK;
  writeRange(cpu, IMAGE_MXCSR, IMAGE_MXCSR + 8);
  if (!registers) return;
  const count = xmmCount(cpu);
  image.takeXmm(state, count);
  writeRange(cpu, IMAGE_XMM, IMAGE_XMM + count * 16);
}

/** FXRSTOR, FXRSTOR64. */
export function fxrstor(cpu: Cpu, insn: SystemInsn): void {
  const { state } = cpu;
  checkNoDevice(cpu, CR0_EM | CR0_TS);
  locate(cpu, insn, LEGACY_BYTES, 16, false);
  const sse = (state.cr4 & CR4_OSFXSR) !== 0;
  readRange(cpu, 0, IMAGE_XMM + xmmCount(cpu) * 16);
  const mxcsr = image.words[IMAGE_MXCSR >> 2]!;
  if (sse && (mxcsr & ~MXCSR_MASK) !== 0) raiseGp(cpu, 0);
  image.giveX87(state, insn.opsize === 8);
  if (!sse) return;
  state.mxcsr = mxcsr;
  image.giveXmm(state, xmmCount(cpu));
}

/** Finds an XSAVE area; of one that no component is requested of, only the header is touched. */
function locateArea(cpu: Cpu, insn: SystemInsn, write: boolean): void {
  const components = requested(cpu);
  const bytes = IMAGE_YMM + ((components & XSTATE_AVX) !== 0 ? YMM_BYTES : 0);
  locate(cpu, insn, bytes, 64, write, components === 0 ? XSAVE_HEADER : 0);
}

/** The requested components: EDX:EAX and XCR0 (there are no supervisor components). */
const requested = (cpu: Cpu): number => cpu.state.gprLo(RAX) & cpu.state.xcr0;

function checkXsave(cpu: Cpu): void {
  if ((cpu.state.cr4 & CR4_OSXSAVE) === 0) raiseUd(cpu);
  checkNoDevice(cpu, CR0_TS);
}

/** Components in use as saves see them: an MXCSR of its own makes SSE count (SDM 1 13.7-13.11). */
function inUse(cpu: Cpu): number {
  return xinuse(cpu) | (cpu.state.mxcsr !== MXCSR_RESET ? XSTATE_SSE : 0);
}

/** Writes the components `saved` of those requested; `mxcsr`: MXCSR is written although SSE may not be. */
function saveComponents(cpu: Cpu, insn: SystemInsn, saved: number, mxcsr: boolean): void {
  if ((saved & XSTATE_X87) !== 0) {
    image.takeX87(cpu.state, insn.opsize === 8);
    writeRange(cpu, 0, IMAGE_X87_BYTES);
    writeRange(cpu, IMAGE_ST, IMAGE_XMM);
  }
  if (mxcsr || (saved & XSTATE_SSE) !== 0) saveSse(cpu, (saved & XSTATE_SSE) !== 0);
  if ((saved & XSTATE_AVX) !== 0) {
    const count = xmmCount(cpu);
    image.takeYmmHigh(cpu.state, count);
    writeRange(cpu, IMAGE_YMM, IMAGE_YMM + count * 16);
  }
}

/** XSAVE and XSAVEOPT: XSTATE_BV keeps the bits that are not requested. XSAVEOPT leaves out what is in its initial state. */
function saveStandard(cpu: Cpu, insn: SystemInsn, optimized: boolean): void {
  checkXsave(cpu);
  locateArea(cpu, insn, true);
  const components = requested(cpu);
  const used = inUse(cpu);
  readRange(cpu, XSAVE_HEADER, XSAVE_HEADER + 8);
  const header = XSAVE_HEADER >> 2;
  image.words[header] = (image.words[header]! & ~components) | (used & components);
  // MXCSR belongs to AVX too (SDM 1 13.7).
  const mxcsr = (components & (XSTATE_SSE | XSTATE_AVX)) !== 0;
  saveComponents(cpu, insn, optimized ? components & used : components, mxcsr);
  writeRange(cpu, XSAVE_HEADER, XSAVE_HEADER + 8);
}
export const xsave = (cpu: Cpu, insn: SystemInsn): void => saveStandard(cpu, insn, false);
export const xsaveopt = (cpu: Cpu, insn: SystemInsn): void => saveStandard(cpu, insn, true);

function saveCompacted(cpu: Cpu, insn: SystemInsn): void {
  locateArea(cpu, insn, true);
  const components = requested(cpu);
  const saved = components & inUse(cpu);
  saveComponents(cpu, insn, saved, false);
  const header = XSAVE_HEADER >> 2;
  image.words[header] = saved;
  image.words[header + 1] = 0;
  image.words[header + 2] = components;
  image.words[header + 3] = COMPACTED;
  writeRange(cpu, XSAVE_HEADER, XSAVE_HEADER + 16);
}
/** XSAVEC. */
export function xsavec(cpu: Cpu, insn: SystemInsn): void {
  checkXsave(cpu);
  saveCompacted(cpu, insn);
}
/** XSAVES: CPL 0. */
export function xsaves(cpu: Cpu, insn: SystemInsn): void {
  checkXsave(cpu);
  requireCpl0(cpu);
  saveCompacted(cpu, insn);
}

/** Checks the header in the buffer against the form it claims; `compactedOnly` for XRSTORS. Returns whether it is compacted. */
function checkHeader(cpu: Cpu, compactedOnly: boolean): boolean {
  const header = XSAVE_HEADER >> 2;
  const { words } = image;
  const { xcr0 } = cpu.state;
  const compacted = words[header + 3]! >>> 31 === 1;
  let bad: boolean;
  if (compacted) {
    const format = words[header + 2]!;
    bad =
      (format & ~xcr0) !== 0 ||
      (words[header + 3]! & 0x7fff_ffff) !== 0 ||
      (words[header]! & ~format) !== 0 ||
      words[header + 1] !== 0;
    for (let word = header + 4; word < header + 16; word++) bad ||= words[word] !== 0;
  } else {
    // Bytes 8-23 must be zero; the rest of the header is not looked at (SDM 1 13.8.1).
    bad = compactedOnly || (words[header]! & ~xcr0) !== 0 || words[header + 1] !== 0;
    for (let word = header + 2; word < header + 6; word++) bad ||= words[word] !== 0;
  }
  if (bad) raiseGp(cpu, 0);
  return compacted;
}

function restore(cpu: Cpu, insn: SystemInsn, compactedOnly: boolean): void {
  const { state } = cpu;
  const components = requested(cpu);
  const avxBytes = (components & XSTATE_AVX) !== 0 ? YMM_BYTES : 0;
  locate(cpu, insn, IMAGE_YMM, 64, false, XSAVE_HEADER);
  const { lo, hi } = cpu;
  // Of an area in one page all can be read when some can.
  if ((lo & 0xfff) + IMAGE_YMM + avxBytes <= 4096)
    window = cpu.mmu.window(lo, hi, IMAGE_YMM + avxBytes, currentAccess(cpu), false);
  readRange(cpu, XSAVE_HEADER, XSAVE_HEADER + XSAVE_HEADER_BYTES);
  const compacted = checkHeader(cpu, compactedOnly);
  const loaded = components & image.words[XSAVE_HEADER >> 2]!;
  const count = xmmCount(cpu);
  // The standard form loads MXCSR with SSE and AVX, even where it initialises the registers (SDM 1 13.8.1).
  const loadsMxcsr = (compacted ? loaded & XSTATE_SSE : components & (XSTATE_SSE | XSTATE_AVX)) !== 0;
  // Of an area across pages only what is loaded is touched, and MXCSR where the format has it.
  const formatSse = compacted ? components & XSTATE_SSE & image.words[(XSAVE_HEADER >> 2) + 2]! : 0;
  if (loadsMxcsr || formatSse !== 0 || (loaded & (XSTATE_X87 | XSTATE_SSE)) !== 0)
    readRange(cpu, 0, IMAGE_XMM + count * 16);
  if ((loaded & XSTATE_AVX) !== 0) {
    operandAddress(cpu, insn, IMAGE_YMM, count * 16, false);
    cpu.lo = lo;
    cpu.hi = hi;
    readRange(cpu, IMAGE_YMM, IMAGE_YMM + count * 16);
  }
  const mxcsr = image.words[IMAGE_MXCSR >> 2]!;
  if (loadsMxcsr && (mxcsr & ~MXCSR_MASK) !== 0) raiseGp(cpu, 0);

  if ((components & XSTATE_X87) !== 0) {
    if ((loaded & XSTATE_X87) !== 0) image.giveX87(state, insn.opsize === 8);
    else initX87(state);
  }
  if (loadsMxcsr) state.mxcsr = mxcsr;
  if ((components & XSTATE_SSE) !== 0) {
    if (!loadsMxcsr) state.mxcsr = MXCSR_RESET;
    if ((loaded & XSTATE_SSE) !== 0) image.giveXmm(state, count);
    else initXmm(state, count);
  }
  if ((components & XSTATE_AVX) !== 0) {
    if ((loaded & XSTATE_AVX) !== 0) image.giveYmmHigh(state, count);
    else initYmmHigh(state, count);
  }
}
/** XRSTOR: standard or compacted by the header. */
export function xrstor(cpu: Cpu, insn: SystemInsn): void {
  checkXsave(cpu);
  restore(cpu, insn, false);
}
/** XRSTORS: CPL 0, compacted only. */
export function xrstors(cpu: Cpu, insn: SystemInsn): void {
  checkXsave(cpu);
  requireCpl0(cpu);
  restore(cpu, insn, true);
}

function checkSse(cpu: Cpu): void {
  if ((cpu.state.cr0 & CR0_EM) !== 0 || (cpu.state.cr4 & CR4_OSFXSR) === 0) raiseUd(cpu);
  checkNoDevice(cpu, CR0_TS);
}
/** LDMXCSR: #GP(0) on reserved bits. */
export function ldmxcsr(cpu: Cpu, insn: SystemInsn): void {
  checkSse(cpu);
  vldmxcsr(cpu, insn);
}
/** VLDMXCSR; that AVX is enabled has been found out before. */
export function vldmxcsr(cpu: Cpu, insn: SystemInsn): void {
  operandAddress(cpu, insn, 0, 4, false);
  checkAlignment(cpu, 4);
  const value = readOperand(cpu, insn, 0, 4);
  if ((value & ~MXCSR_MASK) !== 0) raiseGp(cpu, 0);
  cpu.state.mxcsr = value;
}
/** STMXCSR. */
export function stmxcsr(cpu: Cpu, insn: SystemInsn): void {
  checkSse(cpu);
  vstmxcsr(cpu, insn);
}
/** VSTMXCSR. */
export function vstmxcsr(cpu: Cpu, insn: SystemInsn): void {
  operandAddress(cpu, insn, 0, 4, true);
  checkAlignment(cpu, 4);
  writeOperand(cpu, insn, 0, 4, cpu.state.mxcsr, 0);
}
