/**
 * The memory balloon (VIRTIO 1.2, section 5.5): the guest gives pages up, and the host has them until the guest takes them back;
 * free page reporting, by which the guest says what it does not use; statistics of the guest's memory.
 *
 * Pages that are given up read as zeros afterwards, and are backed by memory again when the guest touches them: there is nothing
 * to do when the balloon is deflated. What a list names beside RAM is left alone and counted. Free page hints and page poisoning
 * are not offered; a guest that poisons its pages then reports none.
 *
 * @module
 */
import type { AccessWidth } from '../../../bus/bus-device.ts';
import {
  type Features,
  features,
  hasFeature,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_RING_PACKED,
  VIRTIO_ID_BALLOON,
} from '../defs.ts';
import type { DriverSession, VirtioDevice } from '../device.ts';
import type { Chain } from '../queue/chain.ts';
import { takeChains } from '../queue/take-chains.ts';
import type { QueueFault } from '../queue/virtqueue.ts';
import * as B from './defs.ts';
import { MAX_LIST_PAGES, PageList, wholePages } from './pages.ts';
import { type BalloonStatistics, MAX_STATISTICS_BYTES, parseStatistics } from './statistics.ts';

const QUEUE_SIZE = 128;
const CHAINS_PER_TURN = 32;
/** Page numbers in a turn of the event loop: each may be a system call, of up to 25 µs. A reported buffer counts as one page. */
const PAGES_PER_TURN = MAX_LIST_PAGES;

/**
 * Gives whole pages of guest RAM back to the host: they read as zeros from then on, and take memory again when they are
 * touched. False where the host cannot do that: nothing has changed then.
 */
export type ReleaseMemory = (part: Uint8Array) => boolean;

export interface BalloonOptions {
  readonly release: ReleaseMemory;
  /** What the guest has as RAM: a balloon is not larger. What lies behind it in the machine's memory is not given away. */
  readonly memoryBytes: number;
  /** What the guest is to give up at first. */
  readonly targetBytes: number;
  /** Offers free page reporting. */
  readonly pageReporting: boolean;
  /** Calls back after the host's event loop has turned. */
  readonly yieldTurn: (resume: () => void) => void;
}

/** What was done since the machine was made, in bytes. */
export interface BalloonCounters {
  /** What the guest put into the balloon and took out, as often as it did. */
  readonly inflatedBytes: number;
  readonly deflatedBytes: number;
  /** What it reported as free. */
  readonly reportedBytes: number;
  /** What the host took back of all that; 0 where it cannot. */
  readonly releasedBytes: number;
  /** Named by the guest for the balloon, and no RAM. */
  readonly refusedBytes: number;
}

/** The host's hand on the balloon. */
export interface BalloonControl {
  /** What the guest is asked to give up. */
  readonly targetBytes: number;
  /** What it says that it has given up. */
  readonly actualBytes: number;
  readonly counters: BalloonCounters;
  /** Asks the guest to give up so much, rounded down to whole pages. @throws RangeError */
  resize(bytes: number): void;
  /**
   * Asks the guest for figures. Undefined when no driver gives any, or when it resets before it answers; a guest that hangs never
   * answers.
   */
  statistics(): Promise<BalloonStatistics | undefined>;
}

interface StatisticsRequest {
  readonly answer: Promise<BalloonStatistics | undefined>;
  readonly resolve: (statistics: BalloonStatistics | undefined) => void;
}

type Progress = 'empty' | 'more' | QueueFault;

export class BalloonDevice implements VirtioDevice, BalloonControl {
  readonly name = 'balloon';
  readonly type: number = VIRTIO_ID_BALLOON;
  readonly features: Features;
  readonly queueSizes: readonly number[];
  readonly configBytes: number = B.BALLOON_CONFIG_BYTES;
  readonly #options: BalloonOptions;
  readonly #config = new DataView(new ArrayBuffer(B.BALLOON_CONFIG_BYTES));
  readonly #list = new PageList();
  readonly #counters = { inflatedBytes: 0, deflatedBytes: 0, reportedBytes: 0, releasedBytes: 0, refusedBytes: 0 };
  readonly #statisticsBytes = new Uint8Array(MAX_STATISTICS_BYTES);
  #session: DriverSession | undefined;
  #reportingQueue: number | undefined;
  #changed: () => void = () => {};
  #waiting = false;
  /** In this turn: pages that may still be looked at, what was released, chains to give back by queue. */
  #pagesLeft = 0;
  #released: Uint8Array[] = [];
  readonly #finished: readonly Chain[][];
  /** A list that is longer than a turn, and how much of it is done. */
  #partial: Chain | undefined;
  #partialBytes = 0;
  /** The driver's buffer for statistics, which it gets back when it is to fill it. */
  #statisticsChain: Chain | undefined;
  #request: StatisticsRequest | undefined;

  constructor(options: BalloonOptions) {
    this.#options = options;
    this.features = features(
      VIRTIO_F_INDIRECT_DESC,
      VIRTIO_F_EVENT_IDX,
      VIRTIO_F_RING_PACKED,
      B.VIRTIO_BALLOON_F_MUST_TELL_HOST,
      B.VIRTIO_BALLOON_F_STATS_VQ,
      B.VIRTIO_BALLOON_F_DEFLATE_ON_OOM,
      ...(options.pageReporting ? [B.VIRTIO_BALLOON_F_PAGE_REPORTING] : []),
    );
    const queues = 1 + (options.pageReporting ? B.REPORTING_QUEUE : B.STATISTICS_QUEUE);
    this.queueSizes = Array.from({ length: queues }, () => QUEUE_SIZE);
    this.#finished = Array.from({ length: queues }, () => []);
    this.#setTarget(options.targetBytes);
  }

  // --- The host's side ---

  get targetBytes(): number {
    return this.#config.getUint32(B.BALLOON_CONFIG_NUM_PAGES, true) * B.BALLOON_PAGE_BYTES;
  }

  get actualBytes(): number {
    return this.#config.getUint32(B.BALLOON_CONFIG_ACTUAL, true) * B.BALLOON_PAGE_BYTES;
  }

  get counters(): BalloonCounters {
    return { ...this.#counters };
  }

  resize(bytes: number): void {
    this.#setTarget(bytes);
    this.#changed();
  }

  #setTarget(bytes: number): void {
    const { memoryBytes } = this.#options;
    if (!(bytes >= 0 && bytes <= memoryBytes)) {
      throw new RangeError(`a balloon of ${bytes} bytes: the guest has ${memoryBytes}`);
    }
    this.#config.setUint32(B.BALLOON_CONFIG_NUM_PAGES, Math.floor(bytes / B.BALLOON_PAGE_BYTES), true);
  }

  statistics(): Promise<BalloonStatistics | undefined> {
    const session = this.#session;
    const queue = session === undefined ? undefined : this.#statisticsQueue(session);
    if (session === undefined || queue === undefined) return Promise.resolve(undefined);
    if (this.#request !== undefined) return this.#request.answer;
    const { promise: answer, resolve } = Promise.withResolvers<BalloonStatistics | undefined>();
    this.#request = { answer, resolve };
    const chain = this.#statisticsChain;
    if (chain !== undefined) {
      this.#statisticsChain = undefined;
      queue.complete(chain, 0);
      if (queue.publish()) session.interrupt(B.STATISTICS_QUEUE);
      // The next buffer is looked for, and the driver asked to notify of it.
      this.#serve();
    }
    return answer;
  }

  // --- The driver's side ---

  readConfig(offset: number, width: AccessWidth): number {
    let value = 0;
    for (let byte = 0; byte < width; byte++) value |= this.#config.getUint8(offset + byte) << (byte * 8);
    return value >>> 0;
  }

  /** The driver says how large the balloon is; what it should be is not its to set. */
  writeConfig(offset: number, width: AccessWidth, value: number): void {
    for (let byte = 0; byte < width; byte++) {
      const at = offset + byte;
      if (at >= B.BALLOON_CONFIG_ACTUAL) this.#config.setUint8(at, (value >>> (byte * 8)) & 0xff);
    }
  }

  onConfigChanged(listener: () => void): void {
    this.#changed = listener;
  }

  activate(session: DriverSession): void {
    this.#session = session;
    this.#reportingQueue = reportingQueueOf(session);
    this.#serve();
  }

  /** The next driver begins with an empty balloon. */
  reset(): undefined {
    this.#endSession();
    this.#config.setUint32(B.BALLOON_CONFIG_ACTUAL, 0, true);
  }

  #endSession(): void {
    this.#session = undefined;
    this.#partial = undefined;
    this.#partialBytes = 0;
    this.#statisticsChain = undefined;
    for (const chains of this.#finished) chains.length = 0;
    this.#request?.resolve(undefined);
    this.#request = undefined;
  }

  notify(): void {
    this.#serve();
  }

  // --- Work ---

  /** A turn: takes from every queue, within limits, then gives back what is done. */
  #serve(): void {
    const session = this.#session;
    if (session === undefined || this.#waiting) return;
    this.#pagesLeft = PAGES_PER_TURN;
    const progress = session.queues.map((queue, index): Progress => {
      if (queue === undefined) return 'empty';
      if (index === this.#reportingQueue) return this.#take(session, index, (chain) => this.#report(session, chain));
      if (index === B.INFLATE_QUEUE) return this.#take(session, index, (chain) => this.#inflate(session, chain));
      if (index === B.DEFLATE_QUEUE) return this.#take(session, index, (chain) => this.#deflate(chain));
      if (queue === this.#statisticsQueue(session)) return this.#takeStatistics(session);
      // Of a feature that was not negotiated: the driver gets its buffers back as they are.
      return this.#take(session, index, () => true);
    });
    // Released pages have other contents now: what was decoded or translated from them has to go before the driver goes on.
    const dropped = this.#released.length === 0 ? undefined : session.hostWrote(this.#released);
    this.#released = [];
    if (dropped === undefined) this.#end(session, progress);
    else {
      this.#waiting = true;
      void dropped.then(() => {
        this.#waiting = false;
        if (this.#session === session) this.#end(session, progress);
        else this.#serve();
      });
    }
  }

  /** Gives `work` the chains of a queue; false says that a chain goes on in another turn. */
  #take(session: DriverSession, index: number, work: (chain: Chain) => boolean): Progress {
    const queue = session.queues[index];
    if (queue === undefined) return 'empty';
    const take = (chain: Chain): void => {
      if (work(chain)) this.#finished[index]!.push(chain);
      else this.#partial = chain;
    };
    if (index === B.INFLATE_QUEUE && this.#partial !== undefined) {
      const chain = this.#partial;
      this.#partial = undefined;
      take(chain);
    }
    for (let taken = 0; taken < CHAINS_PER_TURN; taken++) {
      // One chain at least, whatever other queues took: none waits for another's flood.
      if ((taken > 0 && this.#pagesLeft <= 0) || (index === B.INFLATE_QUEUE && this.#partial !== undefined))
        return 'more';
      const end = takeChains(queue, take, 1);
      if (end !== 'more') return end;
    }
    return 'more';
  }

  #inflate({ memory }: DriverSession, chain: Chain): boolean {
    const { bytes } = this.#list;
    const { memoryBytes } = this.#options;
    while (this.#pagesLeft > 0) {
      const pages = Math.floor(chain.read(this.#partialBytes, bytes) / B.PAGE_NUMBER_BYTES);
      const refused = this.#list.runs(memory, memoryBytes, pages, (part) => this.#release(part));
      this.#counters.inflatedBytes += (pages - refused) * B.BALLOON_PAGE_BYTES;
      this.#counters.refusedBytes += refused * B.BALLOON_PAGE_BYTES;
      this.#pagesLeft -= pages;
      this.#partialBytes += pages * B.PAGE_NUMBER_BYTES;
      if (pages < MAX_LIST_PAGES) {
        this.#partialBytes = 0;
        return true;
      }
    }
    return false;
  }

  #deflate(chain: Chain): boolean {
    this.#counters.deflatedBytes += Math.floor(chain.readableBytes / B.PAGE_NUMBER_BYTES) * B.BALLOON_PAGE_BYTES;
    return true;
  }

  #report({ memory }: DriverSession, chain: Chain): boolean {
    for (const buffer of chain.writableViews(0, chain.writableBytes)) {
      const part = wholePages(memory, this.#options.memoryBytes, buffer);
      if (part === undefined) continue;
      this.#counters.reportedBytes += part.length;
      this.#pagesLeft--;
      this.#release(part);
    }
    return true;
  }

  #release(part: Uint8Array): void {
    if (!this.#options.release(part)) return;
    this.#counters.releasedBytes += part.length;
    this.#released.push(part);
  }

  #statisticsQueue({ features: negotiated, queues }: DriverSession): DriverSession['queues'][number] {
    return hasFeature(negotiated, B.VIRTIO_BALLOON_F_STATS_VQ) ? queues[B.STATISTICS_QUEUE] : undefined;
  }

  /** There is one buffer at a time: what a driver puts behind it stays in the ring. */
  #takeStatistics(session: DriverSession): Progress {
    const queue = session.queues[B.STATISTICS_QUEUE];
    if (queue === undefined || this.#statisticsChain !== undefined) return 'empty';
    const bytes = this.#statisticsBytes;
    const end = takeChains(
      queue,
      (chain) => {
        this.#statisticsChain = chain;
        this.#request?.resolve(parseStatistics(bytes.subarray(0, chain.read(0, bytes))));
        this.#request = undefined;
      },
      1,
    );
    return end === 'more' && this.#statisticsChain !== undefined ? 'empty' : end;
  }

  #end(session: DriverSession, progress: readonly Progress[]): void {
    for (const [index, queue] of session.queues.entries()) {
      const finished = this.#finished[index]!;
      for (const chain of finished) queue?.complete(chain, 0);
      finished.length = 0;
      if (queue?.publish()) session.interrupt(index);
    }
    for (const [index, end] of progress.entries()) {
      if (end === 'empty' || end === 'more') continue;
      this.#endSession();
      session.needsReset(`queue ${index}: ${end}`);
      return;
    }
    if (!progress.includes('more')) return;
    this.#waiting = true;
    this.#options.yieldTurn(() => {
      this.#waiting = false;
      this.#serve();
    });
  }
}

const reportingQueueOf = ({ features: negotiated, queues }: DriverSession): number | undefined =>
  B.reportingQueue(negotiated, (queue) => queues[queue] !== undefined);
