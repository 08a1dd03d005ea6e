/**
 * The block device (VIRTIO 1.2, section 5.2): Parse (request.ts) -> Execute (execute.ts) -> Complete (here).
 *
 * Any number of requests is under way, as many as the queues hold, and they end in any order. Those that are there at once and follow each other
 * on the disk are one operation of the host's (request-run.ts). What ends within one turn of
 * the host's event loop is shown to the driver at once, with one interrupt a queue at most. A host error is an I/O error for
 * the guest; the device goes on.
 *
 * Not offered: the legacy barrier and geometry features, CONFIG_WCE, SECURE_ERASE, zoned disks.
 *
 * @module
 */
import type { AccessWidth } from '../../../bus/bus-device.ts';
import type { Disk } from '../../../disk/disk.ts';
import {
  type Features,
  features,
  hasFeature,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_RING_PACKED,
  VIRTIO_ID_BLOCK,
} from '../defs.ts';
import { BatchPublisher } from '../batch-publisher.ts';
import type { DriverSession, VirtioDevice } from '../device.ts';
import { DiskCapacity, Flights } from '../disk-capacity.ts';
import type { Chain } from '../queue/chain.ts';
import { takeChains } from '../queue/take-chains.ts';
import type { Virtqueue } from '../queue/virtqueue.ts';
import * as B from './defs.ts';
import { type BlockTarget, execute, executeRun, writtenBytes } from './execute.ts';
import { type BlockLimits, type BlockRequest, faultStatus, parseRequest } from './request.ts';
import { RequestRun, type Transfer } from './request-run.ts';

const QUEUE_SIZE = 256;
/** Buffers of data in a request: all places of a queue but those of header and status. */
const SEG_MAX = QUEUE_SIZE - 2;
/** crosvm's limits of discards. */
const MAX_RANGES = 32;
const DISCARD_ALIGNMENT_SECTORS = 128;
/** 32 MiB: where a host cannot make holes, it writes that many zeros. */
const MAX_RANGE_SECTORS = 65536;
/** What hosts' file systems work in. */
const PHYSICAL_BLOCK_BYTES = 4096;

export interface BlockOptions {
  readonly disk: Disk;
  /** For messages: "block vda". */
  readonly name: string;
  readonly readOnly: boolean;
  /** What GET_ID answers; at most VIRTIO_BLK_ID_BYTES of ASCII. */
  readonly id: string;
  /** A power of two from 512 on. */
  readonly blockSize: number;
  readonly queues: number;
  /** Offers DISCARD. */
  readonly sparse: boolean;
  /** Offers packed rings. */
  readonly packed: boolean;
  /** Calls back after the host's event loop has turned. */
  readonly yieldTurn: (resume: () => void) => void;
  /** Told of the first of the host's errors in a row. */
  readonly onError: (message: string) => void;
}

/** Where chains come from, and go back to. */
interface Source {
  readonly session: DriverSession;
  readonly index: number;
  readonly queue: Virtqueue;
}

interface StartedRequest {
  readonly source: Source;
  readonly chain: Chain;
  readonly request: BlockRequest;
  readonly flight: ReturnType<Flights['enter']>;
}

interface StartedTransfer extends StartedRequest {
  readonly request: Transfer;
}

export class BlockDevice implements VirtioDevice {
  readonly name: string;
  readonly type: number = VIRTIO_ID_BLOCK;
  readonly features: Features;
  readonly queueSizes: readonly number[];
  readonly configBytes: number = B.BLK_CONFIG_BYTES;
  readonly #options: BlockOptions;
  readonly #config = new DataView(new ArrayBuffer(B.BLK_CONFIG_BYTES));
  readonly #status = new Uint8Array(1);
  readonly #id: Uint8Array;
  #limits: BlockLimits;
  #target: BlockTarget;
  #session: DriverSession | undefined;
  readonly #publisher: BatchPublisher;
  /** Queues that wait for another turn to be taken from. */
  readonly #waiting: boolean[];
  readonly #flights = new Flights();
  readonly #capacity: DiskCapacity;
  #failing = false;
  #changed: () => void = () => {};

  constructor(options: BlockOptions) {
    const { disk, name, id, queues } = options;
    const readOnly = options.readOnly || disk.readOnly;
    this.#options = { ...options, readOnly };
    this.name = name;
    this.#capacity = new DiskCapacity({
      disk,
      flights: this.#flights,
      onLimit: () => {
        this.#limits = this.#limitsFor(this.#session?.features ?? 0n);
      },
      onChange: () => {
        this.#fillConfig();
        this.#changed();
      },
    });
    this.queueSizes = Array.from({ length: queues }, () => QUEUE_SIZE);
    this.#publisher = new BatchPublisher(this.queueSizes.length, options.yieldTurn);
    this.#waiting = this.queueSizes.map(() => false);
    this.#id = new Uint8Array(B.VIRTIO_BLK_ID_BYTES);
    for (let n = 0; n < Math.min(id.length, B.VIRTIO_BLK_ID_BYTES); n++) this.#id[n] = id.charCodeAt(n) & 0x7f;
    const bits = [
      ...[VIRTIO_F_INDIRECT_DESC, VIRTIO_F_EVENT_IDX, B.VIRTIO_BLK_F_SEG_MAX, B.VIRTIO_BLK_F_BLK_SIZE],
      B.VIRTIO_BLK_F_TOPOLOGY,
      ...(options.packed ? [VIRTIO_F_RING_PACKED] : []),
      ...(queues > 1 ? [B.VIRTIO_BLK_F_MQ] : []),
      ...(readOnly ? [B.VIRTIO_BLK_F_RO] : [B.VIRTIO_BLK_F_FLUSH, B.VIRTIO_BLK_F_WRITE_ZEROES]),
      ...(!readOnly && options.sparse ? [B.VIRTIO_BLK_F_DISCARD] : []),
    ];
    this.features = features(...bits);
    this.#limits = this.#limitsFor(0n);
    this.#target = { disk, id: this.#id, writeThrough: true, hostWrote: () => undefined };
    this.#fillConfig();
  }

  #limitsFor(negotiated: Features): BlockLimits {
    return {
      capacitySectors: Math.floor(this.#capacity.bytes / B.SECTOR_BYTES),
      readOnly: this.#options.readOnly,
      canDiscard: hasFeature(negotiated, B.VIRTIO_BLK_F_DISCARD),
      canWriteZeroes: hasFeature(negotiated, B.VIRTIO_BLK_F_WRITE_ZEROES),
      maxRanges: MAX_RANGES,
      maxRangeSectors: MAX_RANGE_SECTORS,
    };
  }

  #fillConfig(): void {
    const { blockSize, queues } = this.#options;
    const config = this.#config;
    const { capacitySectors } = this.#limits;
    config.setUint32(B.BLK_CONFIG_CAPACITY, capacitySectors % 0x1_0000_0000, true);
    config.setUint32(B.BLK_CONFIG_CAPACITY + 4, Math.floor(capacitySectors / 0x1_0000_0000), true);
    config.setUint32(B.BLK_CONFIG_SEG_MAX, SEG_MAX, true);
    config.setUint32(B.BLK_CONFIG_BLK_SIZE, blockSize, true);
    const physical = Math.max(blockSize, PHYSICAL_BLOCK_BYTES);
    config.setUint8(B.BLK_CONFIG_PHYSICAL_BLOCK_EXP, Math.log2(physical / blockSize));
    config.setUint16(B.BLK_CONFIG_MIN_IO_SIZE, physical / blockSize, true);
    config.setUint16(B.BLK_CONFIG_NUM_QUEUES, queues, true);
    config.setUint32(B.BLK_CONFIG_MAX_DISCARD_SECTORS, MAX_RANGE_SECTORS, true);
    config.setUint32(B.BLK_CONFIG_MAX_DISCARD_SEG, MAX_RANGES, true);
    config.setUint32(B.BLK_CONFIG_DISCARD_SECTOR_ALIGNMENT, DISCARD_ALIGNMENT_SECTORS, true);
    config.setUint32(B.BLK_CONFIG_MAX_WRITE_ZEROES_SECTORS, MAX_RANGE_SECTORS, true);
    config.setUint32(B.BLK_CONFIG_MAX_WRITE_ZEROES_SEG, MAX_RANGES, true);
    config.setUint8(B.BLK_CONFIG_WRITE_ZEROES_MAY_UNMAP, 1);
  }

  readConfig(offset: number, width: AccessWidth): number {
    let value = 0;
    for (let byte = 0; byte < width; byte++) value |= this.#config.getUint8(offset + byte) << (byte * 8);
    return value >>> 0;
  }

  /** All of it is the device's: WCE is not offered. */
  writeConfig(): void {}

  onConfigChanged(listener: () => void): void {
    this.#changed = listener;
  }

  /** Neither the guest nor the host's file allows a write. */
  get readOnly(): boolean {
    return this.#options.readOnly;
  }

  /** Gives the disk another capacity, and tells the driver. Rejects with the host's error. */
  resize(bytes: number): Promise<void> {
    return this.#capacity.resize(bytes);
  }

  activate(session: DriverSession): void {
    this.#session = session;
    this.#publisher.activate(session);
    this.#limits = this.#limitsFor(session.features);
    const writeThrough = !this.#options.readOnly && !hasFeature(session.features, B.VIRTIO_BLK_F_FLUSH);
    this.#target = {
      disk: this.#options.disk,
      id: this.#id,
      writeThrough,
      hostWrote: (parts) => session.hostWrote(parts),
    };
  }

  reset(): Promise<void> | undefined {
    this.#session = undefined;
    this.#publisher.reset();
    return this.#flights.none ? undefined : this.#flights.landed();
  }

  notify(index: number): void {
    if (this.#waiting[index] === false) this.#serve(index);
  }

  #serve(index: number): void {
    const session = this.#session;
    const queue = session?.queues[index];
    if (session === undefined || queue === undefined) return;
    const run = new RequestRun<StartedTransfer>((started) => this.#startRun(started));
    const source = { session, index, queue };
    const end = takeChains(queue, (chain) => this.#start(source, chain, run));
    run.flush();
    if (end === 'more') {
      this.#waiting[index] = true;
      this.#options.yieldTurn(() => {
        this.#waiting[index] = false;
        this.#serve(index);
      });
    } else if (end !== 'empty') session.needsReset(`queue ${index}: ${end}`);
  }

  #start(source: Source, chain: Chain, run: RequestRun<StartedTransfer>): void {
    // Without a byte for the status nothing can be said but that the chain is the driver's again.
    if (chain.writableBytes === 0) {
      this.#finish(source, chain, undefined, 0);
      return;
    }
    const request = parseRequest(chain, this.#limits);
    if (typeof request === 'string') {
      this.#finish(source, chain, faultStatus(request), 0);
      return;
    }
    const flight = this.#flights.enter();
    if (request.kind === 'read' || request.kind === 'write') {
      run.add({ source, chain, request, flight });
      return;
    }
    run.flush();
    const started = { source, chain, request, flight };
    execute(request, chain, this.#target).then(
      () => this.#succeeded(started),
      (error: unknown) => this.#failed(started, error),
    );
  }

  #startRun(run: readonly StartedTransfer[]): void {
    executeRun(run, this.#target).then(
      () => {
        for (const one of run) this.#succeeded(one);
      },
      (error: unknown) => {
        for (const one of run) {
          if (run.length === 1) this.#failed(one, error);
          // Which of several it was each finds out for itself.
          else this.#startRun([one]);
        }
      },
    );
  }

  #succeeded({ source, chain, request, flight }: StartedRequest): void {
    this.#failing = false;
    this.#finish(source, chain, B.VIRTIO_BLK_S_OK, writtenBytes(request, this.#id.length));
    flight.leave();
  }

  #failed({ source, chain, request, flight }: StartedRequest, error: unknown): void {
    this.#report(request, error);
    this.#finish(source, chain, B.VIRTIO_BLK_S_IOERR, 0);
    flight.leave();
  }

  /** A guest that goes on writing to a full disk is told each time, the user once. */
  #report(request: BlockRequest, error: unknown): void {
    if (this.#failing) return;
    this.#failing = true;
    const reason = error instanceof Error ? error.message : String(error);
    this.#options.onError(`${this.name}: ${request.kind} failed: ${reason}`);
  }

  /** `written`: bytes from the start of the writable part, the status not among them. */
  #finish({ session, index, queue }: Source, chain: Chain, status: number | undefined, written: number): void {
    let total = written;
    if (status !== undefined && !queue.closed) {
      this.#status[0] = status;
      chain.write(chain.writableBytes - 1, this.#status);
      // The length says how much is written from the start on, without gaps.
      if (total === chain.writableBytes - 1) total++;
    }
    queue.complete(chain, total);
    this.#publisher.ended(session, index);
  }
}
