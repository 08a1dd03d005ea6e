/**
 * The console device (VIRTIO 1.2, section 5.3) with one port: bytes in, bytes out, the size of the terminal, emergency writes.
 *
 * What the guest sends waits in its own buffers while the host's reader is slow, and what the host has for it waits with the
 * host while the guest gives no buffers: the device keeps at most one piece of either.
 *
 * MULTIPORT is not offered. So nothing says when a program in the guest opens the console; Linux drops what comes in the
 * moment between its driver's start and its terminal's.
 *
 * @module
 */
import type { AccessWidth } from '../../../bus/bus-device.ts';
import type { ByteSink, ByteSource } from '../../../bus/byte-stream.ts';
import {
  type Features,
  features,
  hasFeature,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_RING_PACKED,
  VIRTIO_ID_CONSOLE,
} from '../defs.ts';
import type { DriverSession, VirtioDevice } from '../device.ts';
import type { Chain } from '../queue/chain.ts';
import * as C from './defs.ts';

const QUEUE_SIZE = 256;
/** Bytes that are moved at once. */
const PIECE_BYTES = 4096;
/** Pieces and chains that a turn moves at most. */
const STEPS_PER_TURN = 64;

export interface ConsoleSize {
  readonly columns: number;
  readonly rows: number;
}

export interface ConsoleOptions {
  readonly name: string;
  readonly input: ByteSource;
  readonly output: ByteSink;
  /** The terminal's size, where there is a terminal. */
  readonly size?: ConsoleSize | undefined;
  /** Calls back after the host's event loop has turned. */
  readonly yieldTurn: (resume: () => void) => void;
}

export class ConsoleDevice implements VirtioDevice {
  readonly name: string;
  readonly type: number = VIRTIO_ID_CONSOLE;
  readonly features: Features;
  readonly queueSizes: readonly number[] = [QUEUE_SIZE, QUEUE_SIZE];
  readonly configBytes: number = C.CONSOLE_CONFIG_BYTES;
  readonly #options: ConsoleOptions;
  readonly #config = new DataView(new ArrayBuffer(C.CONSOLE_CONFIG_BYTES));
  readonly #piece = new Uint8Array(PIECE_BYTES);
  #session: DriverSession | undefined;
  /** Taken from the host, not yet in the guest. */
  #received: Uint8Array = new Uint8Array(0);
  /** A chain of the guest's that is being sent, and how much of it has been. */
  #sending: Chain | undefined;
  #sent = 0;
  #waiting = false;
  #changed: () => void = () => {};

  constructor(options: ConsoleOptions) {
    this.#options = options;
    this.name = options.name;
    this.features = features(
      VIRTIO_F_INDIRECT_DESC,
      VIRTIO_F_EVENT_IDX,
      VIRTIO_F_RING_PACKED,
      VIRTIO_F_IN_ORDER,
      C.VIRTIO_CONSOLE_F_EMERG_WRITE,
      ...(options.size === undefined ? [] : [C.VIRTIO_CONSOLE_F_SIZE]),
    );
    this.#setSize(options.size);
    this.#config.setUint32(C.CONSOLE_CONFIG_MAX_NR_PORTS, 1, true);
    options.input.onReadable(() => this.#serve());
    options.output.onDrain(() => this.#serve());
  }

  #setSize(size: ConsoleSize | undefined): void {
    this.#config.setUint16(C.CONSOLE_CONFIG_COLS, size?.columns ?? 0, true);
    this.#config.setUint16(C.CONSOLE_CONFIG_ROWS, size?.rows ?? 0, true);
  }

  /** The terminal has another size: a driver that cares is told. */
  resized(size: ConsoleSize): void {
    if (!hasFeature(this.features, C.VIRTIO_CONSOLE_F_SIZE)) return;
    this.#setSize(size);
    this.#changed();
  }

  readConfig(offset: number, width: AccessWidth): number {
    let value = 0;
    for (let byte = 0; byte < width; byte++) value |= this.#config.getUint8(offset + byte) << (byte * 8);
    return value >>> 0;
  }

  /** An emergency write is a character, whatever state the device is in (5.3.5.1); lost when the host's reader is slow. */
  writeConfig(offset: number, _: AccessWidth, value: number): void {
    const { output } = this.#options;
    if (offset === C.CONSOLE_CONFIG_EMERG_WR && !output.congested) output.write(Uint8Array.of(value & 0xff));
  }

  onConfigChanged(listener: () => void): void {
    this.#changed = listener;
  }

  activate(session: DriverSession): void {
    this.#session = session;
    this.#serve();
  }

  reset(): undefined {
    this.#session = undefined;
    this.#sending = undefined;
  }

  notify(): void {
    this.#serve();
  }

  #serve(): void {
    const session = this.#session;
    if (session === undefined || this.#waiting) return;
    if (this.#receive(session) && this.#transmit(session)) return;
    if (session !== this.#session) return;
    this.#waiting = true;
    this.#options.yieldTurn(() => {
      this.#waiting = false;
      this.#serve();
    });
  }

  /** Host to guest. False when there is more to do than a turn allows. */
  #receive(session: DriverSession): boolean {
    const queue = session.queues[C.RECEIVE_QUEUE];
    if (queue === undefined) return true;
    let isDone = false;
    for (let step = 0; step < STEPS_PER_TURN && !isDone; step++) {
      if (this.#received.length === 0) this.#received = this.#options.input.read(PIECE_BYTES);
      if (this.#received.length === 0) {
        // Buffers that are made available are of no interest until there are bytes.
        queue.disableNotifications();
        isDone = true;
        continue;
      }
      const chain = queue.pop();
      if (typeof chain === 'string') {
        session.needsReset(`queue ${C.RECEIVE_QUEUE}: ${chain}`);
        return true;
      }
      if (chain === undefined) isDone = !queue.enableNotifications();
      else {
        const written = chain.write(0, this.#received);
        this.#received = this.#received.subarray(written);
        queue.complete(chain, written);
      }
    }
    if (queue.publish()) session.interrupt(C.RECEIVE_QUEUE);
    return isDone;
  }

  /** Guest to host. False when there is more to do than a turn allows. */
  #transmit(session: DriverSession): boolean {
    const queue = session.queues[C.TRANSMIT_QUEUE];
    if (queue === undefined) return true;
    let isDone = false;
    queue.disableNotifications();
    for (let step = 0; step < STEPS_PER_TURN && !isDone; step++) {
      // `onDrain` goes on from here.
      if (this.#options.output.congested) {
        isDone = true;
        continue;
      }
      if (this.#sending === undefined) {
        const chain = queue.pop();
        if (typeof chain === 'string') {
          session.needsReset(`queue ${C.TRANSMIT_QUEUE}: ${chain}`);
          return true;
        }
        if (chain === undefined) {
          isDone = !queue.enableNotifications();
          if (!isDone) queue.disableNotifications();
          continue;
        }
        this.#sending = chain;
        this.#sent = 0;
      }
      const bytes = this.#sending.read(this.#sent, this.#piece);
      if (bytes > 0) this.#options.output.write(this.#piece.subarray(0, bytes));
      this.#sent += bytes;
      if (this.#sent < this.#sending.readableBytes) continue;
      queue.complete(this.#sending, 0);
      this.#sending = undefined;
    }
    if (queue.publish()) session.interrupt(C.TRANSMIT_QUEUE);
    return isDone;
  }
}
