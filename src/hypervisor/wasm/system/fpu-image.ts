/**
 * The x87, SSE and AVX registers as FXSAVE and XSAVE lay them out (SDM 1 10.5.1, 13.4; 2A FXSAVE): to and from a buffer that
 * mirrors the memory image.
 *
 *     0 FCW  2 FSW  4 abridged tags  6 FOP  8 FIP  16 FDP  24 MXCSR  28 MXCSR_MASK  32 ST0..ST7  160 XMM0..XMM15
 *     512 XSAVE header  576 upper halves of YMM0..YMM15, in both formats, for there is nothing before them
 *
 * @module
 */
import { FPR, FPU_CONTROL, FPU_CS, FPU_DP, FPU_DS, FPU_IP, FPU_OPCODE, FPU_STATUS, FPU_TAGS, XMM } from '../state.ts';
import type { CpuState } from './cpu-state.ts';

export const LEGACY_BYTES = 512,
  XSAVE_HEADER = 512,
  XSAVE_HEADER_BYTES = 64;
export const IMAGE_MXCSR = 24,
  IMAGE_ST = 32,
  IMAGE_XMM = 160,
  IMAGE_X87_BYTES = 24,
  IMAGE_YMM = LEGACY_BYTES + XSAVE_HEADER_BYTES,
  YMM_BYTES = 256;
/** DAZ and every exception and rounding bit. */
export const MXCSR_MASK = 0xffff;
export const MXCSR_RESET = 0x1f80;

const FSW_ES_B = 0x8080;

/** A copy of the memory image, filled and emptied 8 bytes at a time. */
export class FpuImage {
  readonly words: Uint32Array = new Uint32Array((IMAGE_YMM + YMM_BYTES) / 4);

  /** Takes the x87 registers; `wide`: FIP and FDP with 64 bits (REX.W), else 32 bits and selectors that read as zero (CPUID.7.EBX[13]). */
  takeX87(state: CpuState, wide: boolean): void {
    const { u32 } = state;
    const { words } = this;
    words[0] = (u32[FPU_CONTROL >> 2]! & 0xffff) | (u32[FPU_STATUS >> 2]! << 16);
    words[1] = (u32[FPU_TAGS >> 2]! & 0xff) | ((u32[FPU_OPCODE >> 2]! & 0x7ff) << 16);
    words[2] = u32[FPU_IP >> 2]!;
    words[3] = wide ? u32[(FPU_IP >> 2) + 1]! : 0;
    words[4] = u32[FPU_DP >> 2]!;
    words[5] = wide ? u32[(FPU_DP >> 2) + 1]! : 0;
    const top = (u32[FPU_STATUS >> 2]! >> 11) & 7;
    for (let st = 0; st < 8; st++) {
      const from = (FPR + ((top + st) & 7) * 16) >> 2;
      const to = (IMAGE_ST + st * 16) >> 2;
      words[to] = u32[from]!;
      words[to + 1] = u32[from + 1]!;
      words[to + 2] = u32[from + 2]! & 0xffff;
      words[to + 3] = 0;
    }
  }

  /** Gives the x87 registers back. ES and B follow from the exception flags and masks. */
  giveX87(state: CpuState, wide: boolean): void {
    const { u32 } = state;
    const { words } = this;
    const control = loadedControl(words[0]! & 0xffff);
    const status = loadedStatus(words[0]! >>> 16, control);
    u32[FPU_CONTROL >> 2] = control;
    u32[FPU_STATUS >> 2] = status;
    u32[FPU_TAGS >> 2] = words[1]! & 0xff;
    u32[FPU_OPCODE >> 2] = (words[1]! >>> 16) & 0x7ff;
    u32[FPU_IP >> 2] = words[2]!;
    u32[(FPU_IP >> 2) + 1] = wide ? words[3]! : 0;
    u32[FPU_DP >> 2] = words[4]!;
    u32[(FPU_DP >> 2) + 1] = wide ? words[5]! : 0;
    const top = (status >> 11) & 7;
    for (let st = 0; st < 8; st++) {
      const to = (FPR + ((top + st) & 7) * 16) >> 2;
      const from = (IMAGE_ST + st * 16) >> 2;
      u32[to] = words[from]!;
      u32[to + 1] = words[from + 1]!;
      u32[to + 2] = words[from + 2]! & 0xffff;
      u32[to + 3] = 0;
    }
  }

  takeXmm(state: CpuState, count: number): void {
    this.#take(state, count, XMM, IMAGE_XMM);
  }
  giveXmm(state: CpuState, count: number): void {
    this.#give(state, count, XMM, IMAGE_XMM);
  }
  takeYmmHigh(state: CpuState, count: number): void {
    this.#take(state, count, XMM + 16, IMAGE_YMM);
  }
  giveYmmHigh(state: CpuState, count: number): void {
    this.#give(state, count, XMM + 16, IMAGE_YMM);
  }

  #take(state: CpuState, count: number, field: number, image: number): void {
    const { u32 } = state;
    const { words } = this;
    for (let index = 0; index < count; index++) {
      const from = (field + index * 32) >> 2;
      const to = (image + index * 16) >> 2;
      for (let word = 0; word < 4; word++) words[to + word] = u32[from + word]!;
    }
  }
  #give(state: CpuState, count: number, field: number, image: number): void {
    const { u32 } = state;
    const { words } = this;
    for (let index = 0; index < count; index++) {
      const from = (image + index * 16) >> 2;
      const to = (field + index * 32) >> 2;
      for (let word = 0; word < 4; word++) u32[to + word] = words[from + word]!;
    }
  }
}

/** FCW as loads leave it: bit 6 reads as one, bits 13-15 and 7 as zero. */
export const loadedControl = (value: number): number => (value & 0x1f3f) | 0x40;

/** FSW as loads leave it: ES and B say whether an unmasked exception is flagged. */
export const loadedStatus = (value: number, control: number): number =>
  (value & 0x3f & ~control) !== 0 ? (value & 0xffff) | FSW_ES_B : value & 0xffff & ~FSW_ES_B;

/** The x87 registers in their initial state (FNINIT, and registers zero). */
export function initX87(state: CpuState): void {
  const { u32 } = state;
  // `fill` of a few bytes costs more than all of these stores.
  for (let at = FPR >> 2; at < FPU_CONTROL >> 2; at++) u32[at] = 0;
  for (const field of [FPU_STATUS, FPU_TAGS, FPU_OPCODE, FPU_CS, FPU_DS, FPU_IP, FPU_IP + 4, FPU_DP, FPU_DP + 4])
    u32[field >> 2] = 0;
  u32[FPU_CONTROL >> 2] = 0x37f;
}

/** XMM registers zero; the upper halves of YMM registers stay. */
export function initXmm(state: CpuState, count: number): void {
  const { u32 } = state;
  for (let index = 0; index < count; index++) {
    const at = (XMM + index * 32) >> 2;
    u32[at] = 0;
    u32[at + 1] = 0;
    u32[at + 2] = 0;
    u32[at + 3] = 0;
  }
}

/** Upper halves of YMM registers zero. */
export function initYmmHigh(state: CpuState, count: number): void {
  for (let index = 0; index < count; index++) {
    const at = (XMM + index * 32 + 16) >> 2;
    state.u32.fill(0, at, at + 4);
  }
}
