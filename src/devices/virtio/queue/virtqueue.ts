/**
 * What split and packed virtqueues have in common on the device's side (VIRTIO 1.2, 2.6): chains are taken, given back, and
 * the driver is told once for a batch.
 *
 *     for (;;) {
 *       const chain = queue.pop();          // a Chain, a fault of the driver's, or nothing
 *       …
 *       queue.complete(chain, written);     // now or later, in any order
 *     }
 *     if (queue.publish()) interrupt();     // once for all that was completed
 *
 * A fault means that the driver broke a rule of the ring: nothing can be said about what follows, so the device stops and
 * asks for a reset. After `close` a queue touches guest memory no more, whatever is still completed.
 *
 * @module
 */
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import { Chain, type ChainFault } from './chain.ts';
import { RingMemory } from './ring-memory.ts';

/** What the driver did wrong in a ring. */
export type QueueFault =
  | ChainFault
  /** The available index ran ahead by more than the queue's size. */
  | 'available-index-jump'
  /** A head or a link that the table does not have. */
  | 'descriptor-out-of-range'
  /** A head or a buffer ID that the device has not given back yet. */
  | 'chain-in-flight'
  /** More descriptors are with the device than the ring has places. */
  | 'ring-overrun'
  | 'indirect-not-negotiated'
  | 'indirect-nested'
  | 'indirect-with-next'
  /** An indirect table that is empty, too long, no multiple of a descriptor, or not all RAM. */
  | 'indirect-table-size'
  | 'indirect-table-outside-memory';

/** Where a queue lies, as the driver set it. */
export interface QueueAreas {
  readonly size: number;
  /** Guest-physical addresses of the descriptor area, the driver area and the device area. */
  readonly descriptors: number;
  readonly driver: number;
  readonly device: number;
}

/** The features that change the format of a queue. */
export interface QueueFormat {
  readonly packed: boolean;
  readonly eventIndex: boolean;
  readonly indirect: boolean;
  readonly inOrder: boolean;
}

/**
 * Descriptors that a chain may have, as in QEMU: drivers make chains longer than a short queue with indirect tables, and none
 * as long as the longest queue. It bounds what a guest can make the device keep: 12 KiB for each chain in flight.
 */
export const MAX_CHAIN_DESCRIPTORS = 1024;

export abstract class Virtqueue {
  readonly size: number;
  protected readonly ring: RingMemory;
  protected readonly format: QueueFormat;
  /** Used elements since the last `publish`. */
  protected unpublished = 0;
  readonly #free: Chain[] = [];
  /** The chains in the order in which they were taken, where they go back in that order. */
  readonly #order: Chain[] = [];
  #closed = false;
  #inFlight = 0;

  constructor(memory: GuestMemory, areas: QueueAreas, format: QueueFormat) {
    this.size = areas.size;
    this.ring = new RingMemory(memory);
    this.format = format;
  }

  /** Takes the next chain that the driver made available. */
  pop(): Chain | QueueFault | undefined {
    if (this.#closed) return undefined;
    const chain = this.#free.pop() ?? new Chain(this.ring.memory, MAX_CHAIN_DESCRIPTORS);
    chain.begin();
    const taken = this.take(chain);
    if (taken !== true) {
      this.#free.push(chain);
      return taken === false ? undefined : taken;
    }
    chain.inFlight = true;
    this.#inFlight++;
    if (this.format.inOrder) this.#order.push(chain);
    return chain;
  }

  /**
   * Gives a chain back, `written` being the bytes that the device wrote from the start of its writable part. The driver may
   * reuse it from the next `publish` on, or at once.
   */
  complete(chain: Chain, written: number): void {
    if (!chain.inFlight) throw new Error(`virtqueue: chain ${chain.id} was completed twice`);
    chain.inFlight = false;
    this.#inFlight--;
    if (this.#closed) return;
    if (!this.format.inOrder) {
      this.give(chain, written);
      this.#free.push(chain);
      return;
    }
    chain.done = true;
    chain.written = written;
    while (this.#order[0]?.done === true) {
      const first = this.#order.shift()!;
      this.give(first, first.written);
      this.#free.push(first);
    }
  }

  /** Chains that were taken and not completed. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Ends all access to guest memory. */
  close(): void {
    this.#closed = true;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Shows the driver what was completed. True when it wants an interrupt for that. */
  publish(): boolean {
    if (this.#closed || this.unpublished === 0) return false;
    const wanted = this.show();
    this.unpublished = 0;
    return wanted;
  }

  /**
   * Asks the driver to notify of what it makes available from here on. True when there is something already, of which it
   * may not notify.
   */
  abstract enableNotifications(): boolean;
  /** Tells the driver that it need not notify. */
  abstract disableNotifications(): void;

  /** Reads the next chain: true when there was one, false when there is none. */
  protected abstract take(chain: Chain): boolean | QueueFault;
  /** Writes a used element. */
  protected abstract give(chain: Chain, written: number): void;
  /** Publishes used elements; true when the driver wants an interrupt. */
  protected abstract show(): boolean;
}
