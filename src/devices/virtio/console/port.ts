/**
 * One port of a console: bytes from the host into the receive queue, bytes from the transmit queue to the host (VIRTIO 1.2,
 * section 5.3.6).
 *
 * What the guest sends waits in its own buffers while the host's reader is slow, and what the host has for it waits with the
 * host while the guest gives no buffers: a port keeps at most one piece of either.
 *
 * @module
 */
import type { ByteSink, ByteSource } from '../../../bus/byte-stream.ts';
import type { FilledChains } from '../filled-chains.ts';
import type { Chain } from '../queue/chain.ts';
import type { QueueFault, Virtqueue } from '../queue/virtqueue.ts';

/** Bytes that are moved at once. */
const PIECE_BYTES = 4096;
/** Pieces and chains that a turn moves at most. */
const STEPS_PER_TURN = 64;

export interface ConsoleSize {
  readonly columns: number;
  readonly rows: number;
}

export interface ConsolePortOptions {
  readonly input: ByteSource;
  readonly output: ByteSink;
  /** The terminal's size, where there is a terminal. */
  readonly size?: ConsoleSize | undefined;
}

/** How far a turn came: all done, more to do, or a fault of the driver's. */
export type PortProgress = 'done' | 'more' | QueueFault;

export class ConsolePort {
  readonly input: ByteSource;
  readonly output: ByteSink;
  size: ConsoleSize | undefined;
  /** Somebody in the guest listens: before that, what is sent would be lost. */
  isOpen = false;
  readonly #piece = new Uint8Array(PIECE_BYTES);
  /** Taken from the host, not yet in the guest. */
  #received: Uint8Array = new Uint8Array(0);
  /** A chain of the guest's that is being sent, and how much of it has been. */
  #sending: Chain | undefined;
  #sent = 0;

  constructor({ input, output, size }: ConsolePortOptions) {
    this.input = input;
    this.output = output;
    this.size = size;
  }

  /** The driver is gone, and its chains with it. */
  reset(): void {
    this.isOpen = false;
    this.#sending = undefined;
  }

  /** Host to guest: what is filled is the caller's to give back. */
  receive(queue: Virtqueue, filled: FilledChains): PortProgress {
    for (let step = 0; step < STEPS_PER_TURN; step++) {
      if (this.#received.length === 0) this.#received = this.input.read(PIECE_BYTES);
      if (this.#received.length === 0) {
        // Buffers that are made available are of no interest until there are bytes.
        queue.disableNotifications();
        return 'done';
      }
      const chain = queue.pop();
      if (typeof chain === 'string') return chain;
      if (chain === undefined) {
        if (!queue.enableNotifications()) return 'done';
        continue;
      }
      const written = chain.write(0, this.#received);
      this.#received = this.#received.subarray(written);
      filled.add(chain, written);
    }
    return 'more';
  }

  /** Guest to host. */
  transmit(queue: Virtqueue): PortProgress {
    queue.disableNotifications();
    for (let step = 0; step < STEPS_PER_TURN; step++) {
      // `onDrain` goes on from here.
      if (this.output.congested) return 'done';
      if (this.#sending === undefined) {
        const chain = queue.pop();
        if (typeof chain === 'string') return chain;
        if (chain === undefined) {
          if (!queue.enableNotifications()) return 'done';
          queue.disableNotifications();
          continue;
        }
        this.#sending = chain;
        this.#sent = 0;
      }
      const bytes = this.#sending.read(this.#sent, this.#piece);
      if (bytes > 0) this.output.write(this.#piece.subarray(0, bytes));
      this.#sent += bytes;
      if (this.#sent < this.#sending.readableBytes) continue;
      queue.complete(this.#sending, 0);
      this.#sending = undefined;
    }
    return 'more';
  }
}
