/**
 * Entry of a sampler's thread.
 *
 * @module
 */
import { workerData } from 'node:worker_threads';
import { OCCUPATIONS } from '../../hypervisor/stats.ts';
import { createGlance, type VcpuGlance } from '../../hypervisor/wasm/measures.ts';
import { createClock } from './clock.ts';
import { SAMPLE_MS, type SamplerTask } from './sampler.ts';
import { counterTrack } from './trace-file.ts';

/** Between two points of the curves. */
const CURVE_NS = 20e6;

const { memory, cpu, index, stop, totals, trace } = workerData as SamplerTask;
const clock = createClock();
const glance = createGlance(memory.buffer, cpu);
const curves = trace === undefined ? undefined : counterTrack(trace, clock);

/** The point that closes the interval since `before`, `nanoseconds` ago. */
function draw(now: number, before: VcpuGlance, after: VcpuGlance, nanoseconds: number): void {
  const translated = after.translated - before.translated;
  // Instructions are counted when a slice ends, those of regions when a region does.
  const interpreted = Math.max(0, after.instructions - before.instructions - translated);
  const perMicrosecond = (count: number): number => Math.round((count / nanoseconds) * 1e6) / 1e3;
  const name = (what: string): string => (index === 0 ? what : `${what}, vCPU ${index}`);
  curves?.trace.counters(name('million instructions a second'), now, {
    interpreted: perMicrosecond(interpreted),
    translated: perMicrosecond(translated),
  });
  curves?.trace.counters(name('regions'), now, { live: after.liveRegions });
  const misses = Math.round((after.tlbMisses - before.tlbMisses) / (nanoseconds / 1e6));
  curves?.trace.counters(name('TLB misses a millisecond'), now, { misses });
}

let last = clock.nanoseconds();
let drawn = { at: last, glance: glance() };
while (Atomics.wait(stop, 0, 0, SAMPLE_MS) === 'timed-out') {
  const seen = glance();
  const now = clock.nanoseconds();
  (totals[seen.occupation] as number) += now - last;
  (totals[OCCUPATIONS.length] as number)++;
  last = now;
  if (now - drawn.at >= CURVE_NS) {
    draw(now, drawn.glance, seen, now - drawn.at);
    drawn = { at: now, glance: seen };
  }
}
curves?.flush();
