/**
 * The clocks of a Node host. @module
 */
import type { Clock, WallClock } from '../../util/clock.ts';

const NS_PER_MS = 1e6;
/** How often the offset is measured; the quietest sample wins. */
const SAMPLES = 8;

/**
 * Nanoseconds that `performance.now()` of this thread lags behind the system's monotonic clock. The former counts from the
 * start of the thread, the latter from the start of the system and so is the same everywhere, but reading it costs a
 * BigInt. Of two clocks read one after the other, the pair with the least time in between is the most exact.
 */
function monotonicOffset(): number {
  let offset = 0;
  let shortest = Infinity;
  for (let sample = 0; sample < SAMPLES; sample++) {
    const before = process.hrtime.bigint();
    const now = performance.now();
    const after = process.hrtime.bigint();
    const span = Number(after - before);
    if (span < shortest) {
      shortest = span;
      offset = Number(before) + span / 2 - now * NS_PER_MS;
    }
  }
  return offset;
}

/** The machine clock of this thread. Clocks of different threads agree to within a microsecond. */
export function createClock(): Clock {
  const offset = monotonicOffset();
  return { nanoseconds: () => offset + performance.now() * NS_PER_MS };
}

export const wallClock: WallClock = { milliseconds: () => Date.now() };
