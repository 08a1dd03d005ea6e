/**
 * The entropy device (VIRTIO 1.2, section 5.4): fills buffers with random bytes.
 *
 * A buffer gets at most a fixed number of bytes, however long it is, which section 5.4.6.2 allows: what a guest can make the
 * host do in one turn is bounded.
 *
 * @module
 */
import {
  type Features,
  features,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_RING_PACKED,
  VIRTIO_ID_RNG,
} from '../defs.ts';
import type { DriverSession, VirtioDevice } from '../device.ts';
import { FilledChains } from '../filled-chains.ts';
import type { Chain } from '../queue/chain.ts';
import { takeChains } from '../queue/take-chains.ts';

const QUEUE_SIZE = 256;
/** Bytes that one buffer gets. Linux asks for 64 at most. */
export const MAX_RANDOM_BYTES = 4096;
const CHAINS_PER_TURN = 64;

export interface RngOptions {
  /** Fills its argument with unpredictable bytes. */
  readonly random: (into: Uint8Array<ArrayBuffer>) => void;
  /** Calls back after the host's event loop has turned. */
  readonly yieldTurn: (resume: () => void) => void;
}

export class RngDevice implements VirtioDevice {
  readonly name = 'rng';
  readonly type: number = VIRTIO_ID_RNG;
  readonly features: Features = features(
    VIRTIO_F_INDIRECT_DESC,
    VIRTIO_F_EVENT_IDX,
    VIRTIO_F_RING_PACKED,
    VIRTIO_F_IN_ORDER,
  );
  readonly queueSizes: readonly number[] = [QUEUE_SIZE];
  readonly configBytes = 0;
  readonly #options: RngOptions;
  /** Copied into guest memory from here: hosts refuse to fill shared memory. */
  readonly #bytes = new Uint8Array(MAX_RANDOM_BYTES);
  readonly #filled = new FilledChains();
  readonly #take = (chain: Chain): void => this.#fill(chain);
  #session: DriverSession | undefined;
  /** For another turn, or until what was filled may be shown. */
  #waiting = false;

  constructor(options: RngOptions) {
    this.#options = options;
  }

  readConfig(): number {
    return 0;
  }

  writeConfig(): void {}

  onConfigChanged(): void {}

  activate(session: DriverSession): void {
    this.#session = session;
  }

  reset(): undefined {
    this.#session = undefined;
  }

  notify(): void {
    if (!this.#waiting) this.#serve();
  }

  #serve(): void {
    const session = this.#session;
    const queue = session?.queues[0];
    if (session === undefined || queue === undefined) return;
    const end = takeChains(queue, this.#take, CHAINS_PER_TURN);
    const dropped = this.#filled.complete(queue, (parts) => session.hostWrote(parts));
    const finish = (): void => {
      if (queue.publish()) session.interrupt(0);
      if (end !== 'empty' && end !== 'more') session.needsReset(`queue 0: ${end}`);
    };
    if (dropped === undefined) finish();
    else {
      this.#waiting = true;
      void dropped.then(() => {
        finish();
        this.#resume();
      });
      return;
    }
    if (end !== 'more') return;
    this.#waiting = true;
    this.#options.yieldTurn(() => this.#resume());
  }

  /** Nobody's notification was heard meanwhile. */
  #resume(): void {
    this.#waiting = false;
    this.#serve();
  }

  #fill(chain: Chain): void {
    const bytes = this.#bytes.subarray(0, Math.min(chain.writableBytes, MAX_RANDOM_BYTES));
    this.#options.random(bytes);
    this.#filled.add(chain, chain.write(0, bytes));
  }
}
