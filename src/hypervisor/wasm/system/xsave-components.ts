/**
 * The state components XSAVE manages here: x87 (0), SSE (1) and, on x86-64-v3, AVX (2): the upper halves of the YMM registers; SDM
 * 1 13.4, 13.6.
 *
 * @module
 */
import { FPR, FPU_CONTROL, FPU_CS, FPU_DP, FPU_DS, FPU_IP, FPU_OPCODE, FPU_STATUS, FPU_TAGS, XMM } from '../state.ts';
import type { Cpu } from './cpu.ts';

export const XSTATE_X87 = 1,
  XSTATE_SSE = 2,
  XSTATE_AVX = 4;
/** What XCR0 may hold. */
export const supportedComponents = (cpu: Cpu): number =>
  XSTATE_X87 | XSTATE_SSE | (cpu.topology.model === 'v3' ? XSTATE_AVX : 0);

/** XINUSE: the components that are not in their initial configuration (MXCSR does not count, SDM 1 13.6). */
export function xinuse(cpu: Cpu): number {
  const { u32 } = cpu.state;
  let used = 0;
  const x87 =
    u32[FPU_CONTROL >> 2] !== 0x37f ||
    u32[FPU_STATUS >> 2] !== 0 ||
    u32[FPU_TAGS >> 2] !== 0 ||
    u32[FPU_OPCODE >> 2] !== 0 ||
    u32[FPU_IP >> 2] !== 0 ||
    u32[(FPU_IP >> 2) + 1] !== 0 ||
    u32[FPU_DP >> 2] !== 0 ||
    u32[(FPU_DP >> 2) + 1] !== 0 ||
    u32[FPU_CS >> 2] !== 0 ||
    u32[FPU_DS >> 2] !== 0;
  if (x87 || anyRegister(u32, FPR, 8, 3, 16)) used |= XSTATE_X87;
  // In 64-bit mode and outside alike, all sixteen registers belong to the component.
  if (anyRegister(u32, XMM, 16, 4, 32)) used |= XSTATE_SSE;
  if (anyRegister(u32, XMM + 16, 16, 4, 32)) used |= XSTATE_AVX;
  return used;
}

/** True when any of `count` registers, `words` words each at `stride` bytes, is not zero. */
function anyRegister(u32: Uint32Array, field: number, count: number, words: number, stride: number): boolean {
  for (let register = 0; register < count; register++) {
    const at = (field + register * stride) >> 2;
    for (let word = 0; word < words; word++) if (u32[at + word] !== 0) return true;
  }
  return false;
}
