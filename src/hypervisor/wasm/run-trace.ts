/**
 * What a vCPU's run loop does, as slices of its trace. Slices of guest code take some 50 µs each, too little to look at and too much to
 * write: they are put together until the guest halts, and cut every 10 ms.
 *
 * @module
 */
import type { Trace } from '../../util/trace.ts';
import type { VcpuGlance } from './measures.ts';

const LONGEST_NS = 10e6;

export class RunTrace {
  readonly #trace: Trace;
  readonly #glance: () => VcpuGlance;
  /** Start of the slice that is open, and what had been done then; undefined when none is. */
  #open: { readonly from: number; readonly before: VcpuGlance } | undefined;

  constructor(trace: Trace, glance: () => VcpuGlance) {
    this.#trace = trace;
    this.#glance = glance;
  }

  /** Guest code runs, from `now` on at the latest. */
  running(now: number): void {
    if (this.#open !== undefined && now - this.#open.from >= LONGEST_NS) this.stopped(now);
    this.#open ??= { from: now, before: this.#glance() };
  }

  /** Guest code does not run any more. */
  stopped(now: number): void {
    if (this.#open === undefined) return;
    const { from, before } = this.#open;
    const { instructions, translated, tlbMisses } = this.#glance();
    this.#trace.slice('guest code', from, now, {
      instructions: instructions - before.instructions,
      translated: translated - before.translated,
      'TLB misses': tlbMisses - before.tlbMisses,
    });
    this.#open = undefined;
  }

  /** The guest had nothing to do since `from`. */
  halted(from: number): void {
    this.#trace.slice('halt', from, this.#trace.now());
  }

  interrupt(vector: number): void {
    this.#trace.mark('interrupt', this.#trace.now(), { vector });
  }
}
