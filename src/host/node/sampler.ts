/**
 * Where the time of a vCPU's thread goes: a thread of its own looks every millisecond at the word that says what that one is doing
 * (hypervisor/wasm/measures.ts). For a trace it draws curves as well.
 *
 * @module
 */
import { Worker } from 'node:worker_threads';
import { type Occupation, OCCUPATIONS, type OccupationTimes } from '../../hypervisor/stats.ts';
import { siblingModule } from './sibling-module.ts';
import type { TraceWire } from './trace-file.ts';

export const SAMPLE_MS = 1;

/** What the sampler's thread is started with. */
export interface SamplerTask {
  readonly memory: WebAssembly.Memory;
  /** Offset of the vCPU's private area, and its index. */
  readonly cpu: number;
  readonly index: number;
  /** Not zero: the sampler is to end. */
  readonly stop: Int32Array;
  /** Nanoseconds by occupation, then the number of samples. */
  readonly totals: Float64Array;
  readonly trace: TraceWire | undefined;
}

export interface Sampler {
  /** Ends the sampler's thread. */
  stop(): Promise<OccupationTimes>;
}

/** Plain data from what the sampler's thread has summed up. */
export function occupationTimes(totals: Float64Array): OccupationTimes {
  const seconds = Object.fromEntries(OCCUPATIONS.map((name, at) => [name, (totals[at] as number) / 1e9]));
  return { samples: totals[OCCUPATIONS.length] as number, seconds: seconds as Record<Occupation, number> };
}

/** Starts a sampler of one vCPU. Whoever starts it stops it; it keeps no process alive. */
export function startSampler(task: Omit<SamplerTask, 'stop' | 'totals'>): Sampler {
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const totals = new Float64Array(new SharedArrayBuffer(8 * (OCCUPATIONS.length + 1)));
  const worker = new Worker(siblingModule(import.meta.url, './sampler-worker.ts'), {
    name: 'sampler',
    workerData: { ...task, stop, totals } satisfies SamplerTask,
  });
  worker.unref();
  const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  return {
    async stop() {
      Atomics.store(stop, 0, 1);
      Atomics.notify(stop, 0);
      worker.ref();
      await ended;
      return occupationTimes(totals);
    },
  };
}
