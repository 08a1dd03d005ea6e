/**
 * Timers for devices on the VMM thread, on the machine's clock. The host passes an implementation in; `TimerQueue`
 * is the part of it that needs no host.
 *
 * @module
 */

/** A timer that was set. */
export type TimerHandle = number & { readonly __unit: 'timer' };

export interface Timers {
  /** Calls `callback` once, as soon as the machine clock reaches `deadlineNs` (nanoseconds); never from inside `set`. */
  set(deadlineNs: number, callback: () => void): TimerHandle;
  /** Forgets a timer; does nothing when it has fired or was cleared before. */
  clear(handle: TimerHandle): void;
}

interface Entry {
  readonly deadlineNs: number;
  readonly handle: TimerHandle;
  readonly callback: () => void;
}

/**
 * Timers in order of their deadlines. A host calls `run` when `nextDeadline` is reached, and is told through
 * `onEarlier` when that moment moves closer. Devices keep a handful of timers, so an ordered array does.
 */
export class TimerQueue implements Timers {
  #entries: Entry[] = [];
  #handles = 0;
  readonly #onEarlier: (deadlineNs: number) => void;

  constructor(onEarlier: (deadlineNs: number) => void = () => {}) {
    this.#onEarlier = onEarlier;
  }

  set(deadlineNs: number, callback: () => void): TimerHandle {
    const handle = ++this.#handles as TimerHandle;
    let at = this.#entries.length;
    while (at > 0 && this.#entries[at - 1]!.deadlineNs > deadlineNs) at--;
    this.#entries.splice(at, 0, { deadlineNs, handle, callback });
    if (at === 0) this.#onEarlier(deadlineNs);
    return handle;
  }

  clear(handle: TimerHandle): void {
    const at = this.#entries.findIndex((entry) => entry.handle === handle);
    if (at >= 0) this.#entries.splice(at, 1);
  }

  /** Nanoseconds on the machine clock; Infinity when no timer is set. */
  nextDeadline(): number {
    return this.#entries[0]?.deadlineNs ?? Infinity;
  }

  /** Fires what is due at `now`, in order. What a callback sets is left for the next call, so one call always ends. */
  run(now: number): void {
    const last = this.#handles;
    for (;;) {
      const at = this.#entries.findIndex((entry) => entry.handle <= last);
      const entry = this.#entries[at];
      if (entry === undefined || entry.deadlineNs > now) return;
      this.#entries.splice(at, 1);
      entry.callback();
    }
  }
}
