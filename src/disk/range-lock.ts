/**
 * Holds ranges of numbers, such as clusters whose mapping changes: two who need the same come one after the other, all others side
 * by side.
 *
 * @module
 */

interface Held {
  readonly first: number;
  readonly last: number;
  readonly released: Promise<void>;
}

export class RangeLock {
  readonly #held = new Set<Held>();

  /** Waits until nobody holds a part of the range, takes it, and returns what lets go of it. */
  async acquire(first: number, last: number): Promise<() => void> {
    for (let other = this.#overlapping(first, last); other !== undefined; other = this.#overlapping(first, last)) {
      await other.released;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    const held: Held = { first, last, released: promise };
    this.#held.add(held);
    return () => {
      this.#held.delete(held);
      resolve();
    };
  }

  #overlapping(first: number, last: number): Held | undefined {
    for (const held of this.#held) if (held.first <= last && first <= held.last) return held;
    return undefined;
  }
}
