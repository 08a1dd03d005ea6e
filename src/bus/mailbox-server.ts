/**
 * The VMM thread's side of device access: runs posted writes and answers mailboxes.
 *
 * Posted writes run in the order in which the vCPUs made them, and before any call that was made after them. A turn does a bounded amount of work and then
 * goes through the event loop, so a guest that floods a port holds up neither timers nor standard input nor the other
 * vCPUs.
 *
 * @module
 */
import type { Trace } from '../util/trace.ts';
import type { AccessWidth } from './bus-device.ts';
import { allOnes, type Bus } from './bus.ts';
import {
  ACCESS_MMIO_READ,
  ACCESS_MMIO_WRITE,
  ACCESS_PORT_READ,
  ACCESS_PORT_WRITE,
  type ControlArea,
  MAILBOX_ADDRESS_HIGH,
  MAILBOX_ADDRESS_LOW,
  MAILBOX_BUSY,
  MAILBOX_IDLE,
  MAILBOX_KIND,
  MAILBOX_REQUEST,
  MAILBOX_STATE,
  MAILBOX_VALUE,
  MAILBOX_WIDTH,
  RING_ENTRIES,
  RING_HEAD,
  RING_TAIL,
  RING_WAITING,
} from './control.ts';

/** Posted writes between two looks at the mailboxes, and rounds over all vCPUs that one turn does at most. */
const WRITES_PER_ROUND = 128;
const ROUNDS_PER_TURN = 32;
/**
 * Looks at the doorbell after an answered call before the thread goes to sleep, some 8 ns each: drivers make calls in rows, and to be
 * woken costs a hundred times what a call does.
 */
const LINGERING_LOOKS = 3000;

export interface MailboxServerOptions {
  readonly control: ControlArea;
  readonly ports: Bus;
  readonly mmio: Bus;
  /** Calls back after the host's event loop has looked at timers and input: `setImmediate` in Node. */
  readonly yieldTurn: (resume: () => void) => void;
  /** Told of an exception out of a device, which breaks the contract of BusDevice; the access is answered all the same. */
  readonly onFault: (error: unknown) => void;
  readonly trace?: Trace | undefined;
}

export class MailboxServer {
  readonly #control: ControlArea;
  readonly #words: Int32Array;
  readonly #ports: Bus;
  readonly #mmio: Bus;
  readonly #yieldTurn: (resume: () => void) => void;
  readonly #onFault: (error: unknown) => void;
  readonly #trace: Trace | undefined;
  #running = false;
  /** Calls answered and posted writes done so far, for statistics. */
  calls = 0;
  posted = 0;

  constructor(options: MailboxServerOptions) {
    this.#control = options.control;
    this.#words = options.control.words;
    this.#ports = options.ports;
    this.#mmio = options.mmio;
    this.#yieldTurn = options.yieldTurn;
    this.#onFault = options.onFault;
    this.#trace = options.trace;
  }

  /**
   * Answers the calls that are there, after the writes before them, and does some of the posted writes. True when there was anything
   * to do. Before devices are reset or saved, with the vCPUs at rest, call it until it is false: what was posted belongs to the time
   * before.
   */
  service(): boolean {
    let worked = false;
    for (let vcpu = 0; vcpu < this.#control.vcpuCount; vcpu++) if (this.#answer(vcpu)) worked = true;
    return this.#drain(WRITES_PER_ROUND) || worked;
  }

  /** Serves until `stop`. Resolves when it has stopped. */
  async run(): Promise<void> {
    this.#running = true;
    while (this.#running) {
      let seen = this.#control.doorbell();
      let rounds = 0;
      const { calls: callsBefore, posted: postedBefore } = this;
      const from = this.#trace?.now() ?? 0;
      while (rounds < ROUNDS_PER_TURN && (this.service() || (this.calls !== callsBefore && this.#linger(seen)))) {
        seen = this.#control.doorbell();
        rounds++;
      }
      if (rounds > 0) {
        const values = { calls: this.calls - callsBefore, 'posted writes': this.posted - postedBefore };
        this.#trace?.slice('devices', from, this.#trace.now(), values);
      }
      const rung = rounds < ROUNDS_PER_TURN ? this.#control.sleep(seen) : undefined;
      if (rung !== undefined) {
        await rung;
        this.#control.awake();
      } else {
        // Out of rounds, or rung since the last look: going on at once would never let the event loop turn.
        await new Promise<void>((resume) => this.#yieldTurn(resume));
      }
    }
  }

  /** True when the doorbell is rung within a moment. */
  #linger(seen: number): boolean {
    for (let look = 0; look < LINGERING_LOOKS; look++) if (this.#control.doorbell() !== seen) return true;
    return false;
  }

  /** Ends `run` after the work at hand. */
  stop(): void {
    this.#running = false;
    this.#control.ring();
  }

  /** Does posted writes, at most so many. True when there were any. */
  #drain(limit: number): boolean {
    const words = this.#words;
    const ring = this.#control.ringAt;
    let head = words[ring + RING_HEAD]!;
    const waiting = (Atomics.load(words, ring + RING_TAIL) - head) | 0;
    // A guest cannot write the ring, but a count that makes no sense must not run away either.
    const count = waiting >= 0 && waiting <= RING_ENTRIES ? Math.min(waiting, limit) : 0;
    if (count === 0) return false;
    for (let n = 0; n < count; n++) {
      const entry = this.#control.ringEntryAt(head);
      const tag = words[entry]!;
      const address = (words[entry + 1]! >>> 0) + (words[entry + 2]! >>> 0) * 0x1_0000_0000;
      this.#perform(tag & 0xff, address, (tag >>> 8) as AccessWidth, words[entry + 3]! >>> 0);
      head = (head + 1) | 0;
    }
    this.posted += count;
    Atomics.store(words, ring + RING_HEAD, head);
    if (Atomics.exchange(words, ring + RING_WAITING, 0) !== 0) Atomics.notify(words, ring + RING_HEAD);
    return true;
  }

  /** Answers the call of a vCPU. True when there was one. */
  #answer(vcpu: number): boolean {
    const words = this.#words;
    const mailbox = this.#control.mailboxAt(vcpu);
    // Looked at before the ring: a call that is here now was made after the writes that are in the ring now.
    if (Atomics.load(words, mailbox + MAILBOX_STATE) !== MAILBOX_REQUEST) return false;
    this.#drain(RING_ENTRIES);
    const was = Atomics.compareExchange(words, mailbox + MAILBOX_STATE, MAILBOX_REQUEST, MAILBOX_BUSY);
    // A vCPU that was told to stop may have taken its call back.
    if (was !== MAILBOX_REQUEST) return true;
    this.calls++;
    const width = words[mailbox + MAILBOX_WIDTH] as AccessWidth;
    const address =
      (words[mailbox + MAILBOX_ADDRESS_LOW]! >>> 0) + (words[mailbox + MAILBOX_ADDRESS_HIGH]! >>> 0) * 0x1_0000_0000;
    words[mailbox + MAILBOX_VALUE] = this.#perform(
      words[mailbox + MAILBOX_KIND]!,
      address,
      width,
      words[mailbox + MAILBOX_VALUE]! >>> 0,
    );
    Atomics.store(words, mailbox + MAILBOX_STATE, MAILBOX_IDLE);
    Atomics.notify(words, mailbox + MAILBOX_STATE);
    return true;
  }

  #perform(kind: number, address: number, width: AccessWidth, value: number): number {
    try {
      switch (kind) {
        case ACCESS_PORT_READ:
          return this.#ports.read(address, width);
        case ACCESS_MMIO_READ:
          return this.#mmio.read(address, width);
        case ACCESS_PORT_WRITE:
          this.#ports.write(address, width, value);
          break;
        case ACCESS_MMIO_WRITE:
          this.#mmio.write(address, width, value);
          break;
      }
    } catch (error) {
      this.#onFault(error);
    }
    return allOnes(width);
  }
}
