/**
 * How many instructions a vCPU runs before it looks up: at its kick word, at timers, at the profile and at what has been translated. That
 * takes some 2 µs, a fifth of the 9 µs in which good translated code does 20,000 instructions, and a twentieth of what the interpreter takes
 * for them. So slices become longer while they end in translated code and are over soon, up to what the interpreter does in less than a
 * millisecond: that is how long an interrupt waits when such code suddenly ends.
 *
 * @module
 */

/** Instructions of a slice whose pace is not known: some 50 µs of interpreted code. */
export const SLICE = 20_000;
export const SHORTEST_SLICE = 200;
export const LONGEST_SLICE = 200_000;
/** Nanoseconds that a slice of translated code shall take. */
const TARGET = 50_000;
/** Instructions a nanosecond that are counted on without knowing, for slices that end at a deadline. */
const PACE = 0.25;
/** What of a known pace is counted on. */
const TRUSTED = 0.9;

export class SliceLength {
  #length = SLICE;
  /** Instructions of the last slice, which ended in translated code; 0: it ended otherwise. */
  #translated = 0;
  #from = 0;

  /** Instructions of the slice that begins at `now`, with a deadline after `rest`; both in nanoseconds. */
  next(now: number, rest: number): number {
    const known = this.#translated === 0 ? 0 : this.#translated / Math.max(now - this.#from, 1);
    this.#from = now;
    const wanted = Math.min(known * TARGET, 2 * this.#length, LONGEST_SLICE);
    this.#length = Math.max(Math.floor(wanted), SLICE);
    const pace = Math.max(known * TRUSTED, PACE);
    return this.#length <= rest * pace ? this.#length : Math.max(SHORTEST_SLICE, Math.floor(rest * pace));
  }

  /** The slice is over after some instructions; `translated`: in the middle of translated code. */
  ended(instructions: number, translated: boolean): void {
    this.#translated = translated ? instructions : 0;
  }
}
