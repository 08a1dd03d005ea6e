/**
 * The ACPI power-management timer (ACPI 6.5, section 4.8.3.3): a free-running counter at 3.579545 MHz, 32 bits wide,
 * as the FADT's TMR_VAL_EXT flag announces. It has no state of its own but the time it counts from.
 *
 * @module
 */
export const PM_TIMER_HZ = 3_579_545;
export const PM_TIMER_PORT = 0x608;

const TICKS_PER_NS = PM_TIMER_HZ / 1e9;

/** The counter `nanoseconds` after it stood at zero; unsigned. */
export function pmTimerValue(nanoseconds: number): number {
  return Math.floor(nanoseconds * TICKS_PER_NS) % 0x1_0000_0000;
}
