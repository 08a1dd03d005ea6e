/**
 * What is measured of a vCPU on request: what its thread is doing, and counters that the usual code does without. The interpreter is built
 * for it or not (`CoreOptions.measures`); the word for what the thread does is kept in any case, where that costs nothing to speak of:
 * between slices of guest code. Another thread reads it now and then (host/node/sampler.ts).
 *
 * @module
 */
import { type I32, i32, i64 } from './emit/expr.ts';
import { call, type Callee, type FunctionBuilder } from './emit/function-builder.ts';
import type { ModuleBuilder } from './emit/module-builder.ts';
import { type Occupation, OCCUPATIONS, type MeasuredStats } from '../stats.ts';
import {
  STATUS_AGAIN,
  STATUS_BUDGET,
  STATUS_FAULT,
  STATUS_JUMP,
  STATUS_LEAVE,
  STATUS_REFUSED,
} from './interpreter/record.ts';
import { LIVE_REGIONS, OCCUPATION, REGION_ENDS, TLB_MISSES } from './mmu/layout.ts';
import { INSTRUCTIONS, STATS_TRANSLATED } from './state.ts';

const numberOf = (occupation: Occupation): number => OCCUPATIONS.indexOf(occupation);

// biome-ignore format: a table
export const OTHER = numberOf('other'), INTERPRETED = numberOf('interpreted'), TRANSLATED = numberOf('translated'), MEMORY = numberOf('memory');
// biome-ignore format: a table
export const DECODING = numberOf('decoding'), SYSTEM = numberOf('system'), FLOAT = numberOf('float'), DEVICES = numberOf('devices');
// biome-ignore format: a table
export const INSTALLING = numberOf('installing'), DROPPING = numberOf('dropping'), EVENTS = numberOf('events'), HALTED = numberOf('halted');

/** Which counter of TLB_MISSES. */
// biome-ignore format: a table
export const MISS_READ = 0, MISS_WRITE = 1, MISS_EXECUTE = 2;

type HostFunction = (a: number, b: number, c: number, d: number, e: number) => number;

/** The word that says what a vCPU's thread is doing, as that thread keeps it. */
export class OccupationWord {
  readonly #words: Int32Array;

  constructor(buffer: ArrayBufferLike, cpu: number) {
    this.#words = new Int32Array(buffer, cpu + OCCUPATION, 1);
  }

  set(what: number): void {
    this.#words[0] = what;
  }

  /** `called`, which takes up to five numbers, as something that the thread does. */
  during<F extends (...args: never[]) => unknown>(what: number, called: F): F {
    const words = this.#words;
    const inner = called as unknown as HostFunction;
    const wrapped: HostFunction = (a, b, c, d, e) => {
      const before = words[0] as number;
      words[0] = what;
      const result = inner(a, b, c, d, e);
      words[0] = before;
      return result;
    };
    return wrapped as unknown as F;
  }
}

/** Emits that the thread is doing something. */
export const occupy = (f: FunctionBuilder, cpu: I32, what: number): void =>
  f.store(4, cpu, i32.const(what), OCCUPATION);

/** Emits `counter += 1`, the counter being an i64 at `field` of the vCPU's area. */
export const countUp = (f: FunctionBuilder, cpu: I32, field: number): void =>
  f.store(8, cpu, i64.add(i64.load(cpu, field), i64.const(1)), field);

/** A function that does what `inner(cpu, va, ...)` does, as a TLB miss. */
export function asMiss(module: ModuleBuilder, inner: Callee, extra: readonly 'i32'[], counter: number): Callee {
  const f = module.function(['i32', 'i64', ...extra], 'i32');
  const cpu = f.param('i32', 0);
  const before = f.let(i32.load(cpu, OCCUPATION));
  occupy(f, cpu, MEMORY);
  countUp(f, cpu, TLB_MISSES + counter * 8);
  const rest = extra.map((type, n) => f.param(type, n + 2));
  const result = f.let(call('i32', inner, cpu, f.param('i64', 1), ...rest));
  f.store(4, cpu, before, OCCUPATION);
  f.return(result);
  f.unreachable();
  return f;
}

/** What another thread may read of a vCPU at any time. */
export interface VcpuGlance {
  /** Number of what the thread is doing. */
  readonly occupation: number;
  readonly instructions: number;
  readonly translated: number;
  readonly liveRegions: number;
  readonly tlbMisses: number;
}

/** Looks at a vCPU from any thread. */
export function createGlance(buffer: ArrayBufferLike, cpu: number): () => VcpuGlance {
  const words = new Int32Array(buffer, cpu, (REGION_ENDS + 64) / 4);
  const longs = new BigUint64Array(buffer, cpu, (REGION_ENDS + 64) / 8);
  const long = (at: number): number => Number(longs[at >> 3]);
  return () => ({
    occupation: words[OCCUPATION >> 2] as number,
    instructions: long(INSTRUCTIONS),
    translated: long(STATS_TRANSLATED),
    liveRegions: words[LIVE_REGIONS >> 2] as number,
    tlbMisses: long(TLB_MISSES) + long(TLB_MISSES + 8) + long(TLB_MISSES + 16),
  });
}

/** The counters of an interpreter that measures. */
export function measuredStats(buffer: ArrayBufferLike, cpu: number): MeasuredStats {
  const longs = new BigUint64Array(buffer, cpu);
  const long = (at: number): number => Number(longs[at >> 3]);
  const ends = (status: number): number => long(REGION_ENDS + status * 8);
  return {
    tlbMisses: { read: long(TLB_MISSES), write: long(TLB_MISSES + 8), execute: long(TLB_MISSES + 16) },
    regionEnds: {
      jump: ends(STATUS_JUMP),
      fault: ends(STATUS_FAULT),
      budget: ends(STATUS_BUDGET),
      refused: ends(STATUS_REFUSED),
      leave: ends(STATUS_LEAVE) + ends(STATUS_AGAIN),
    },
  };
}
