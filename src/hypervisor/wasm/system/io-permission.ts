/**
 * Who may use an I/O port: IOPL and the permission bitmap in the TSS (SDM 1 19.5.2; 3A 7.2.1, 7.7).
 *
 * @module
 */
import { TR, segmentOffset } from '../state.ts';
import { raiseGp, readSystem } from './cpu.ts';
import type { Cpu } from './cpu.ts';

/** Offset of the bitmap's offset, in 32- and 64-bit TSSs alike. */
const IO_MAP_BASE = 0x66;

/** Raises #GP(0) unless IN, OUT, INS, OUTS may access `bytes` ports from `port` on. */
export function checkPort(cpu: Cpu, port: number, bytes: number): void {
  const { state } = cpu;
  if (!state.protectedMode || (state.cpl <= state.iopl && !state.virtual8086)) return;
  const type = state.attributes(TR) & 0x1f;
  const limit = state.limit(TR);
  if ((type !== 9 && type !== 11) || limit < IO_MAP_BASE + 1) raiseGp(cpu, 0);
  const base = readSystem(cpu, segmentOffset(TR), IO_MAP_BASE, 2);
  const at = base + (port >> 3);
  // Two bytes are read whatever the port, so the bitmap ends with a byte of ones.
  if (at + 1 > limit) raiseGp(cpu, 0);
  const bits = readSystem(cpu, segmentOffset(TR), at, 2) >> (port & 7);
  if ((bits & ((1 << bytes) - 1)) !== 0) raiseGp(cpu, 0);
}
