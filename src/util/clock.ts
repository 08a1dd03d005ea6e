/**
 * The time source a host passes in. One value per machine, the same on every thread.
 *
 * @module
 */

/** Monotonic host time. */
export interface Clock {
  /** Nanoseconds since an arbitrary fixed instant; never goes back; the same zero on every thread of a machine. */
  nanoseconds(): number;
}

/** Wall-clock time, for the CMOS clock. */
export interface WallClock {
  /** Milliseconds since 1970-01-01T00:00:00Z. */
  milliseconds(): number;
}
