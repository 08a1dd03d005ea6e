/**
 * What of the state record is the guest's, and how two states differ in it.
 *
 * @module
 */
import { NON_CANONICAL } from '../mmu/walk.ts';
import {
  CPL,
  CR2,
  FAULT_VECTOR,
  FLAG_RESULT,
  FPR,
  FPU_CONTROL,
  FPU_DS,
  GPR,
  INSTRUCTIONS,
  MXCSR,
  RIP,
  SEGMENTS,
  XMM,
  ZERO,
} from '../state.ts';
import type { CpuState } from '../system/cpu-state.ts';
import { VECTOR_GP } from '../system/cpu.ts';

/** One thing that is not the same: what it is, and its value by either way. */
export interface Difference {
  readonly what: string;
  readonly translated: string;
  readonly interpreted: string;
}

type Range = readonly [from: number, to: number];

/** Registers from the segments up to the x87, whose last field is four bytes long. */
const REGISTERS: Range = [SEGMENTS, (FPU_DS + 4 + 7) & ~7];
/** What guest code changes, or may be thought to. */
export const ARCHITECTURAL: readonly Range[] = [[GPR, ZERO], [FAULT_VECTOR, INSTRUCTIONS], REGISTERS];
/** The same without flags and fault, which have forms of their own; in pieces of eight bytes. */
const COMPARED: readonly Range[] = [[GPR, FLAG_RESULT], [CPL, INSTRUCTIONS], REGISTERS];

// biome-ignore format: a table
const GPRS = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'];
const NAMED: ReadonlyMap<number, string> = new Map([
  [RIP, 'rip'],
  [CR2, 'cr2'],
  [MXCSR, 'mxcsr'],
]);

function nameOf(field: number): string {
  if (field < RIP) return GPRS[field >> 3] as string;
  const named = NAMED.get(field);
  if (named !== undefined) return named;
  if (field >= XMM && field < MXCSR) {
    const register = (field - XMM) >> 5;
    return `${(field & 16) === 0 ? 'xmm' : 'upper half of ymm'}${register}, ${(field & 8) === 0 ? 'low' : 'high'} quadword`;
  }
  if (field >= FPR && field < FPU_CONTROL) return `x87 register ${(field - FPR) >> 4}`;
  return `state record at 0x${field.toString(16)}`;
}

const hex = (value: number | bigint): string => `0x${value.toString(16)}`;

/** Vector, error code or -1. A region leaves a non-canonical address to the vCPU, when it is not a stack's. */
function faultOf(state: CpuState): string {
  const vector = state.faultVector === NON_CANONICAL ? VECTOR_GP : state.faultVector;
  return state.faultError === -1 ? `vector ${vector}` : `vector ${vector}, error ${hex(state.faultError >>> 0)}`;
}

/** How the state that translated code left differs from the interpreter's; of the pending fault only when there is one. */
export function stateDifferences(translated: CpuState, interpreted: CpuState, isFault: boolean): Difference[] {
  const differences: Difference[] = [];
  const compare = (what: string, x: string, y: string): void => {
    if (x !== y) differences.push({ what, translated: x, interpreted: y });
  };
  for (const [from, to] of COMPARED) {
    for (let field = from; field < to; field += 8) {
      const at = field >> 2;
      const { u32: x } = translated;
      const { u32: y } = interpreted;
      if (x[at] === y[at] && x[at + 1] === y[at + 1]) continue;
      compare(nameOf(field), hex(translated.big(field)), hex(interpreted.big(field)));
    }
  }
  if (translated.rflags !== interpreted.rflags) compare('rflags', hex(translated.rflags), hex(interpreted.rflags));
  if (isFault) compare('fault', faultOf(translated), faultOf(interpreted));
  return differences;
}
