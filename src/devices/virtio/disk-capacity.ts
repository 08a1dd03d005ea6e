/**
 * The capacity of a disk that a guest uses: what its requests are held against, and how it changes.
 *
 * A smaller one holds from the start on, but the disk itself changes only when no request is under way any more that may reach behind the
 * new end: one that wrote there later would make a file long again. A larger one holds when the disk has it: before, its end may hold
 * anything.
 *
 * @module
 */
import type { Disk } from '../../disk/disk.ts';

/** Requests that somebody may wait for together. */
export class Flight {
  count = 0;
  #end: PromiseWithResolvers<void> | undefined;

  leave(): void {
    if (--this.count > 0) return;
    this.#end?.resolve();
    this.#end = undefined;
  }

  async ended(): Promise<void> {
    if (this.count === 0) return;
    this.#end ??= Promise.withResolvers();
    await this.#end.promise;
  }
}

/** All requests under way. */
export class Flights {
  /** New ones are in the last, the others are waited for. */
  #flights: Flight[] = [];
  #last = new Flight();

  enter(): Flight {
    this.#last.count++;
    return this.#last;
  }

  get none(): boolean {
    return this.#last.count === 0 && this.#flights.every(({ count }) => count === 0);
  }

  /** When all requests have ended that are under way now, whatever comes after them. */
  async landed(): Promise<void> {
    const flights = [...this.#flights.filter(({ count }) => count > 0), this.#last];
    this.#flights = flights;
    this.#last = new Flight();
    await Promise.all(flights.map((flight) => flight.ended()));
  }
}

export interface DiskCapacityOptions {
  readonly disk: Disk;
  readonly flights: Flights;
  /** `bytes` is another. */
  readonly onLimit: () => void;
  /** The disk has changed: the driver is to be told. */
  readonly onChange: () => void;
}

export class DiskCapacity {
  readonly #options: DiskCapacityOptions;
  #bytes: number;
  /** The end of the last resize: they come one after the other. */
  #resizes: Promise<void> = Promise.resolve();

  constructor(options: DiskCapacityOptions) {
    this.#options = options;
    this.#bytes = options.disk.bytes;
  }

  /** What requests may reach. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Rejects with the host's error; requests then meet the capacity that there is. */
  async resize(bytes: number): Promise<void> {
    const turn = this.#resizes.then(() => this.#resize(bytes));
    this.#resizes = turn.catch(() => undefined);
    await turn;
  }

  async #resize(bytes: number): Promise<void> {
    const { disk, flights, onChange } = this.#options;
    const before = disk.bytes;
    try {
      if (bytes < before) {
        this.#limit(bytes);
        await flights.landed();
      }
      await disk.resize?.(bytes);
    } finally {
      this.#limit(disk.bytes);
      if (disk.bytes !== before) onChange();
    }
  }

  #limit(bytes: number): void {
    this.#bytes = bytes;
    this.#options.onLimit();
  }
}
