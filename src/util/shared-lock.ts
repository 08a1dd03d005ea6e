/**
 * A lock in shared memory for short critical sections, in the manner of a futex: an uncontended pair costs two atomic
 * operations, a waiter spins briefly and then sleeps.
 *
 * Not re-entrant. Nothing inside may throw or wait.
 *
 * @module
 */
const FREE = 0;
const HELD = 1;
/** Held, and somebody may sleep. */
const CONTENDED = 2;

/** The critical sections last under a microsecond, about 300 trips round this loop. */
const SPINS = 300;
/** A bound on sleep, so that a wake-up lost to a terminated thread costs a millisecond and not the machine. */
const SLEEP_MS = 1;

export class SharedLock {
  readonly #words: Int32Array;
  readonly #at: number;
  #maySleep = true;

  /** `at`: index of the lock's word in `words`; zero means free. */
  constructor(words: Int32Array, at: number) {
    this.#words = words;
    this.#at = at;
  }

  lock(): void {
    if (Atomics.compareExchange(this.#words, this.#at, FREE, HELD) !== FREE) this.#lockSlowly();
  }

  unlock(): void {
    if (Atomics.exchange(this.#words, this.#at, FREE) === CONTENDED) Atomics.notify(this.#words, this.#at, 1);
  }

  #lockSlowly(): void {
    for (let spin = 0; spin < SPINS; spin++) {
      if (Atomics.load(this.#words, this.#at) !== FREE) continue;
      if (Atomics.compareExchange(this.#words, this.#at, FREE, HELD) === FREE) return;
    }
    while (Atomics.exchange(this.#words, this.#at, CONTENDED) !== FREE) this.#sleep();
  }

  #sleep(): void {
    if (!this.#maySleep) return;
    try {
      Atomics.wait(this.#words, this.#at, CONTENDED, SLEEP_MS);
    } catch {
      // A browser's main thread may not sleep: it goes on spinning.
      this.#maySleep = false;
    }
  }
}
