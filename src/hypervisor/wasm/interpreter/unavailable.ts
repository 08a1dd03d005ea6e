/**
 * Instructions of a unit that is switched off in an execution mode (CODE_MODE in mmu/layout.ts).
 *
 * @module
 */
import type { Row } from '../insn/row.ts';
import { MODE_AVX, MODE_VEX } from '../mmu/layout.ts';

const CR0_MP = 1 << 1,
  CR0_EM = 1 << 2,
  CR0_TS = 1 << 3;
const UD = 6,
  NM = 7;

/** Vector to raise for an instruction of a unit that is switched off, or -1 (SDM 3A, 2.5, 13.1). */
export function unavailable(row: Row, mode: number): number {
  if (row.unit === undefined) return -1;
  const em = (mode & (CR0_EM << 1)) !== 0;
  const ts = (mode & (CR0_TS << 1)) !== 0;
  const mp = (mode & (CR0_MP << 1)) !== 0;
  switch (row.unit) {
    case 'x87':
      return em || ts ? NM : -1;
    case 'fwait':
      return mp && ts ? NM : -1;
    case 'mmx':
      return em ? UD : ts ? NM : -1;
    case 'sse':
      return em || (mode & 0x20) === 0 ? UD : ts ? NM : -1;
    case 'avx':
      return (mode & MODE_AVX) === 0 ? UD : ts ? NM : -1;
    case 'vex':
      return (mode & MODE_VEX) === 0 ? UD : -1;
  }
}
