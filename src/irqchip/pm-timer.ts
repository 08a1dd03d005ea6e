/**
 * The ACPI power-management timer (ACPI 6.5, section 4.8.3.3): a free-running counter at 3.579545 MHz, 32 bits wide,
 * as the FADT's TMR_VAL_EXT flag announces. It has no state of its own but the time it counts from, which every thread sees.
 *
 * @module
 */
import type { Bus } from '../bus/bus.ts';
import type { Clock } from '../util/clock.ts';
import { PIC, TIME_ORIGIN } from './layout.ts';

export const PM_TIMER_HZ = 3_579_545;
export const PM_TIMER_PORT = 0x608;
const PM_TIMER_BYTES = 4;

const TICKS_PER_NS = PM_TIMER_HZ / 1e9;

/** The counter `nanoseconds` after it stood at zero; unsigned. */
export function pmTimerValue(nanoseconds: number): number {
  return Math.floor(nanoseconds * TICKS_PER_NS) % 0x1_0000_0000;
}

/** The timer as one thread sees it. */
export class PmTimer {
  readonly #times: Float64Array;
  readonly #clock: Clock;

  constructor(buffer: ArrayBufferLike, map: { readonly irqchip: number }, clock: Clock) {
    this.#times = new Float64Array(buffer, map.irqchip, PIC / 8);
    this.#clock = clock;
  }

  /** Machine time at which the counter stood at zero. */
  get origin(): number {
    return this.#times[TIME_ORIGIN / 8]!;
  }

  /** The counter stands at zero now. */
  reset(): void {
    this.#times[TIME_ORIGIN / 8] = this.#clock.nanoseconds();
  }

  attach(ports: Bus): void {
    ports.add('ACPI PM timer', PM_TIMER_PORT, PM_TIMER_BYTES, {
      read: (offset) => pmTimerValue(this.#clock.nanoseconds() - this.origin) >>> (offset * 8),
      write: () => {},
    });
  }
}
