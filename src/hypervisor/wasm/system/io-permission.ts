/**
 * Which ports a task may use: IOPL and the I/O permission bitmap of a 32- or 64-bit TSS (SDM volume 1, 19.5).
 *
 * @module
 */
import { SEG_BASE, segmentOffset, TR } from '../state.ts';
import { type Cpu, raiseGp, readSystem } from './cpu.ts';

/** TSS types with a bitmap: 32-bit or 64-bit, available or busy. */
const TSS_TYPES = new Set([9, 11]);
const MAP_BASE = 0x66;

/** #GP(0) unless `bytes` ports from `port` on may be accessed. */
export function checkPortAccess(cpu: Cpu, port: number, bytes: number): void {
  const { state } = cpu;
  if (!state.protectedMode || (state.cpl <= state.iopl && !state.virtual8086)) return;
  const limit = state.limit(TR);
  if (!TSS_TYPES.has(state.attributes(TR) & 15) || limit < MAP_BASE + 1) raiseGp(cpu, 0);
  const base = segmentOffset(TR) + SEG_BASE;
  const at = readSystem(cpu, base, MAP_BASE, 2) + (port >> 3);
  // Two bytes are read whatever the width, so the last one must lie within the limit.
  if (at + 1 > limit) raiseGp(cpu, 0);
  const bits = readSystem(cpu, base, at, 2) >> (port & 7);
  if ((bits & ((1 << bytes) - 1)) !== 0) raiseGp(cpu, 0);
}
