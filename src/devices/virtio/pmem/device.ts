/**
 * The pmem device (VIRTIO 1.2, section 5.19): tells the driver of a range of memory whose contents are a file, and makes durable
 * what the guest has written to it.
 *
 * Reads and writes are the guest's own loads and stores; only flushes are requests. However many a driver has in the queue, one is
 * under way on the host and one, for all that came meanwhile, waits: the file is flushed as a whole.
 *
 * Refuses flushes of a read-only file, so that a guest does not take for durable what is gone at the end: the specification has
 * no other way to say it.
 *
 * @module
 */
import type { AccessWidth } from '../../../bus/bus-device.ts';
import type { PersistentRange } from '../../../memory/persistent-memory.ts';
import {
  type Features,
  features,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_RING_PACKED,
  VIRTIO_ID_PMEM,
} from '../defs.ts';
import type { DriverSession, VirtioDevice } from '../device.ts';
import type { Chain } from '../queue/chain.ts';
import { takeChains } from '../queue/take-chains.ts';
import {
  PMEM_CONFIG_BYTES,
  PMEM_CONFIG_SIZE,
  PMEM_CONFIG_START,
  PMEM_RESP_BYTES,
  VIRTIO_PMEM_RESP_TYPE_EIO,
  VIRTIO_PMEM_RESP_TYPE_OK,
} from './defs.ts';
import { parseRequest } from './request.ts';

const QUEUE_SIZE = 256;

export interface PmemOptions {
  /** For messages. */
  readonly name: string;
  readonly range: PersistentRange;
  /** Nothing that the guest writes gets into the file. */
  readonly readOnly: boolean;
  /** Resolves when all that was in the range at the call is durable. */
  readonly flush: () => Promise<void>;
  /** Calls back after the host's event loop has turned. */
  readonly yieldTurn: (resume: () => void) => void;
  /** Told of the first of failures in a row. */
  readonly onError: (message: string) => void;
}

export class PmemDevice implements VirtioDevice {
  readonly name: string;
  readonly type: number = VIRTIO_ID_PMEM;
  readonly features: Features = features(VIRTIO_F_INDIRECT_DESC, VIRTIO_F_EVENT_IDX, VIRTIO_F_RING_PACKED);
  readonly queueSizes: readonly number[] = [QUEUE_SIZE];
  readonly configBytes: number = PMEM_CONFIG_BYTES;
  readonly #options: PmemOptions;
  readonly #config = new DataView(new ArrayBuffer(PMEM_CONFIG_BYTES));
  readonly #response = new DataView(new ArrayBuffer(PMEM_RESP_BYTES));
  readonly #responseBytes = new Uint8Array(this.#response.buffer);
  readonly #take = (chain: Chain): void => this.#start(chain);
  #session: DriverSession | undefined;
  #yielded = false;
  /** Flushes that no flush of the host covers yet: at most as many as the queue has places. */
  #waiting: Chain[] = [];
  #flushing: Promise<void> | undefined;
  #failing = false;

  constructor(options: PmemOptions) {
    this.#options = options;
    this.name = options.name;
    this.#config.setBigUint64(PMEM_CONFIG_START, BigInt(options.range.address), true);
    this.#config.setBigUint64(PMEM_CONFIG_SIZE, BigInt(options.range.bytes), true);
  }

  readConfig(offset: number, width: AccessWidth): number {
    let value = 0;
    for (let byte = 0; byte < width; byte++) value |= this.#config.getUint8(offset + byte) << (byte * 8);
    return value >>> 0;
  }

  /** All of it is the device's. */
  writeConfig(): void {}

  onConfigChanged(): void {}

  activate(session: DriverSession): void {
    this.#session = session;
  }

  /** A flush that is under way has no chain any more that it could answer; the file is not closed before it has ended. */
  reset(): Promise<void> | undefined {
    this.#session = undefined;
    this.#waiting = [];
    return this.#flushing;
  }

  notify(): void {
    if (!this.#yielded) this.#serve();
  }

  #serve(): void {
    const session = this.#session;
    const queue = session?.queues[0];
    if (session === undefined || queue === undefined) return;
    const end = takeChains(queue, this.#take);
    this.#publish();
    if (this.#waiting.length > 0 && this.#flushing === undefined) this.#flush(session);
    if (end === 'more') {
      this.#yielded = true;
      this.#options.yieldTurn(() => {
        this.#yielded = false;
        this.#serve();
      });
    } else if (end !== 'empty') session.needsReset(`queue 0: ${end}`);
  }

  #start(chain: Chain): void {
    const request = parseRequest(chain);
    if (request === 'response-too-short') this.#session?.queues[0]?.complete(chain, 0);
    else if (request !== 'flush' || this.#options.readOnly) this.#answer(chain, VIRTIO_PMEM_RESP_TYPE_EIO);
    else this.#waiting.push(chain);
  }

  /** One flush of the host for all chains that wait now. */
  #flush(session: DriverSession): void {
    const chains = this.#waiting;
    this.#waiting = [];
    this.#flushing = this.#options.flush().then(
      () => {
        this.#failing = false;
        this.#flushed(session, chains, VIRTIO_PMEM_RESP_TYPE_OK);
      },
      (error: unknown) => {
        this.#report(error);
        this.#flushed(session, chains, VIRTIO_PMEM_RESP_TYPE_EIO);
      },
    );
  }

  #flushed(session: DriverSession, chains: readonly Chain[], result: number): void {
    this.#flushing = undefined;
    // Those of a driver that has been reset are nobody's any more; they must not be answered in its successor's queue.
    if (session === this.#session) {
      for (const chain of chains) this.#answer(chain, result);
      this.#publish();
    }
    if (this.#session !== undefined && this.#waiting.length > 0) this.#flush(this.#session);
  }

  #answer(chain: Chain, result: number): void {
    this.#response.setUint32(0, result, true);
    this.#session?.queues[0]?.complete(chain, chain.write(0, this.#responseBytes));
  }

  #publish(): void {
    const session = this.#session;
    if (session?.queues[0]?.publish()) session.interrupt(0);
  }

  /** A guest that goes on flushing to a broken disk is told each time, the user once. */
  #report(error: unknown): void {
    if (this.#failing) return;
    this.#failing = true;
    const reason = error instanceof Error ? error.message : String(error);
    this.#options.onError(`${this.name}: flush failed: ${reason}`);
  }
}
