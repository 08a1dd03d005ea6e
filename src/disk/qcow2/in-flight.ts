/**
 * Knows which requests are under way. A cluster that is given up may still be read or written by those that looked it up
 * before; it can serve something else only when they have ended.
 *
 * @module
 */

/** Requests that began between two calls of `drained`. */
class Generation {
  active = 0;
  closed = false;
  readonly ended: PromiseWithResolvers<void> = Promise.withResolvers<void>();

  settle(): void {
    if (this.closed && this.active === 0) this.ended.resolve();
  }
}

export class InFlight {
  #current = new Generation();
  /** Ends when all generations before the current have. */
  #earlier: Promise<unknown> = Promise.resolve();

  /** A request begins; what is returned says that it has ended. */
  enter(): () => void {
    const generation = this.#current;
    generation.active++;
    return () => {
      generation.active--;
      generation.settle();
    };
  }

  /** Waits for every request that is under way now. */
  async drained(): Promise<void> {
    const generation = this.#current;
    if (generation.active > 0) {
      generation.closed = true;
      this.#earlier = Promise.all([this.#earlier, generation.ended.promise]);
      this.#current = new Generation();
    }
    await this.#earlier;
  }
}
