/**
 * Shows the driver what ended within one turn of the host's event loop at once: one `publish` and at most one interrupt a queue.
 *
 * @module
 */
import type { DriverSession } from './device.ts';

export class BatchPublisher {
  readonly #yieldTurn: (resume: () => void) => void;
  /** Queues with something to publish, by index; and whether a turn to do it is asked for. */
  readonly #ended: boolean[];
  #publishing = false;
  #session: DriverSession | undefined;

  constructor(queues: number, yieldTurn: (resume: () => void) => void) {
    this.#ended = Array.from({ length: queues }, () => false);
    this.#yieldTurn = yieldTurn;
  }

  /** With `activate`. */
  activate(session: DriverSession): void {
    this.#session = session;
  }

  /** With `reset`: what ends later is for nobody. */
  reset(): void {
    this.#session = undefined;
    this.#ended.fill(false);
  }

  /** A chain of a queue was completed. */
  ended(session: DriverSession, index: number): void {
    if (session !== this.#session) return;
    this.#ended[index] = true;
    if (this.#publishing) return;
    this.#publishing = true;
    this.#yieldTurn(() => this.#publish());
  }

  #publish(): void {
    this.#publishing = false;
    const session = this.#session;
    if (session === undefined) return;
    for (let index = 0; index < this.#ended.length; index++) {
      if (!this.#ended[index]) continue;
      this.#ended[index] = false;
      if (session.queues[index]?.publish()) session.interrupt(index);
    }
  }
}
