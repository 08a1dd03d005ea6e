/**
 * The control area of a machine's shared memory: how threads call for a vCPU's attention, and how a vCPU calls the
 * VMM thread.
 *
 *     +0      header: version, vCPU count
 *     +64     doorbell: i32 counter, rung when the VMM thread has work; i32 flag "the VMM thread sleeps"
 *     +128    one VcpuControl record of 64 bytes per vCPU
 *     ...     one mailbox of 64 bytes per vCPU: one synchronous port or MMIO access
 *     ...     the ranges of MMIO whose writes are posted   (posted-mmio.ts)
 *     ...     pages of code that the host wrote over       (code-writes.ts)
 *     ...     what vCPUs know of PCI configuration space   (pci-config.ts)
 *     ...     the ring: its lock, 64 bytes of head and tail, then posted writes of 16 bytes each; one for all vCPUs, so that their
 *             writes have the order in which they were made
 *
 * Every record starts on a cache line of its own. All words are i32.
 *
 * @module
 */
import type { MachineMemoryMap } from '../memory/machine-memory.ts';
import { SharedLock } from '../util/shared-lock.ts';
import { PCI_CONFIG_WORDS } from './pci-config.ts';
import { POSTED_MMIO_WORDS } from './posted-mmio.ts';

export const CONTROL_VERSION = 2;
/** The most vCPUs that the control area has room for. */
export const MAX_VCPUS = 64;

const LINE_WORDS = 16;
const CODE_WRITES_WORDS = 20 * LINE_WORDS;
const VERSION = 0;
const VCPU_COUNT = 1;
const DOORBELL = LINE_WORDS;
const SLEEPING = LINE_WORDS + 1;
const VCPUS = 2 * LINE_WORDS;

/** Words of a VcpuControl record. */
export const VCPU_KICK = 0;
export const VCPU_REQUESTS = 1;
export const VCPU_STATE = 2;
/** The host's number of the thread that runs the vCPU, where kicking it takes a signal; 0: none. */
export const VCPU_THREAD = 3;

/** Why a vCPU is asked to come out of guest code: bits of its request word. */
export const REQUEST_PAUSE: number = 1 << 0;
/** Leave for good. The only request that also ends a wait for the VMM thread. */
export const REQUEST_STOP: number = 1 << 1;
export const REQUEST_RESET: number = 1 << 2;
/** Drop what was made of code that the host wrote over. */
export const REQUEST_DROP_CODE: number = 1 << 3;

/** What a vCPU is doing: its state word. */
export const STATE_CREATED = 0;
export const STATE_RUNNING = 1;
export const STATE_HALTED = 2;
export const STATE_PAUSED = 3;
export const STATE_STOPPED = 4;

/** Words of a mailbox. */
export const MAILBOX_STATE = 0;
export const MAILBOX_KIND = 1;
export const MAILBOX_WIDTH = 2;
export const MAILBOX_VALUE = 3;
export const MAILBOX_ADDRESS_LOW = 4;
export const MAILBOX_ADDRESS_HIGH = 5;

/** Nobody waits; a vCPU waits for an answer; the VMM thread is working on it. */
export const MAILBOX_IDLE = 0;
export const MAILBOX_REQUEST = 1;
export const MAILBOX_BUSY = 2;

/** What a mailbox or a ring entry asks for. */
export const ACCESS_PORT_READ = 0;
export const ACCESS_PORT_WRITE = 1;
export const ACCESS_MMIO_READ = 2;
export const ACCESS_MMIO_WRITE = 3;

/** Words of the ring's header line: counters that run on modulo 2^32, and a flag "a vCPU waits for room". */
export const RING_HEAD = 0;
export const RING_TAIL = 1;
export const RING_WAITING = 2;
/** Words of a ring entry: kind | width << 8, address low, address high, value. */
export const ENTRY_WORDS = 4;
/** Posted writes that fit into the ring; a power of two. */
export const RING_ENTRIES = 2048;

/** The control area seen from one thread. Any thread may make one on the same memory. */
export class ControlArea {
  readonly words: Int32Array;
  readonly vcpuCount: number;
  /** Index into `words` of the table of posted MMIO ranges. */
  readonly postedMmioAt: number;
  /** Index and length of the table of overwritten code. */
  readonly codeWritesAt: number;
  readonly codeWritesWords: number = CODE_WRITES_WORDS;
  /** Index of the table of PCI configuration. */
  readonly pciConfigAt: number;
  readonly #mailboxes: number;
  /** Index into `words` of the ring's header line. */
  readonly ringAt: number;
  /** Held by a vCPU that is posting. */
  readonly postLock: SharedLock;

  /** @throws RangeError when the machine has more vCPUs than the area has room for. */
  constructor(buffer: ArrayBufferLike, map: MachineMemoryMap) {
    if (map.vcpuCount > MAX_VCPUS) throw new RangeError(`${map.vcpuCount} vCPUs are more than ${MAX_VCPUS}`);
    this.words = new Int32Array(buffer, map.control, map.controlBytes / 4);
    this.vcpuCount = map.vcpuCount;
    this.#mailboxes = VCPUS + map.vcpuCount * LINE_WORDS;
    this.postedMmioAt = this.#mailboxes + map.vcpuCount * LINE_WORDS;
    this.codeWritesAt = this.postedMmioAt + POSTED_MMIO_WORDS;
    this.pciConfigAt = this.codeWritesAt + CODE_WRITES_WORDS;
    const lockAt = this.pciConfigAt + PCI_CONFIG_WORDS;
    this.postLock = new SharedLock(this.words, lockAt);
    this.ringAt = lockAt + LINE_WORDS;
  }

  /** Puts the area into its first state. Done once, before any other thread looks at it. */
  initialize(): void {
    this.words.fill(0);
    this.words[VERSION] = CONTROL_VERSION;
    this.words[VCPU_COUNT] = this.vcpuCount;
  }

  vcpu(index: number): VcpuControl {
    return new VcpuControl(this, index);
  }

  /** Index into `words` of a vCPU's record and mailbox. */
  recordAt(vcpu: number): number {
    return VCPUS + vcpu * LINE_WORDS;
  }

  mailboxAt(vcpu: number): number {
    return this.#mailboxes + vcpu * LINE_WORDS;
  }

  /** Index into `words` of the posted write numbered `counter`. */
  ringEntryAt(counter: number): number {
    return this.ringAt + LINE_WORDS + (counter & (RING_ENTRIES - 1)) * ENTRY_WORDS;
  }

  /** Tells the VMM thread that there is work. Cheap while it is awake: the counter keeps it from falling asleep. */
  ring(): void {
    Atomics.add(this.words, DOORBELL, 1);
    // The first ring wakes; those after it, until the VMM thread sleeps again, have nobody to wake.
    if (Atomics.exchange(this.words, SLEEPING, 0) !== 0) Atomics.notify(this.words, DOORBELL);
  }

  /** The doorbell's count: read it, look for work, and sleep on this value only when there was none. */
  doorbell(): number {
    return Atomics.load(this.words, DOORBELL);
  }

  /** Resolves, or returns at once, when the doorbell is rung or has moved on from `seen`. */
  sleep(seen: number): Promise<unknown> | undefined {
    const wait = Atomics.waitAsync(this.words, DOORBELL, seen);
    if (!wait.async) return undefined;
    // Not before the wait exists: a ring that has counted already, but not yet looked at the flag, would take it back and wake
    // nobody, and so would every ring after it.
    Atomics.store(this.words, SLEEPING, 1);
    // A ring since then has either found the flag set or is seen here.
    if (this.doorbell() !== seen && Atomics.exchange(this.words, SLEEPING, 0) !== 0) {
      Atomics.notify(this.words, DOORBELL);
    }
    return wait.value;
  }

  awake(): void {
    Atomics.store(this.words, SLEEPING, 0);
  }
}

/** One vCPU's record: its kick word, requests and state. */
export class VcpuControl {
  /** Offset of the kick word in bytes from the start of the control area, for code that polls it from WebAssembly. */
  readonly kickOffset: number;
  readonly #words: Int32Array;
  readonly #record: number;
  readonly #mailbox: number;
  readonly #ring: number;

  constructor(area: ControlArea, index: number) {
    if (!(index >= 0 && index < area.vcpuCount)) throw new RangeError(`vCPU ${index} of ${area.vcpuCount}`);
    this.#words = area.words;
    this.#record = area.recordAt(index);
    this.#mailbox = area.mailboxAt(index);
    this.#ring = area.ringAt;
    this.kickOffset = (this.#record + VCPU_KICK) * 4;
  }

  /** Makes the vCPU look up from guest code, or wakes it. Any thread. */
  kick(): void {
    // A sleeper waits for the word to leave zero, so only the first kick has anyone to wake.
    if (Atomics.exchange(this.#words, this.#record + VCPU_KICK, 1) === 0) {
      Atomics.notify(this.#words, this.#record + VCPU_KICK);
    }
  }

  /** The vCPU: forgets kicks so far. Look at requests and interrupts after this, not before. */
  clearKick(): void {
    Atomics.store(this.#words, this.#record + VCPU_KICK, 0);
  }

  get kicked(): boolean {
    return Atomics.load(this.#words, this.#record + VCPU_KICK) !== 0;
  }

  /** The vCPU: sleeps until kicked, at most `milliseconds`. Returns at once when it has been kicked since `clearKick`. */
  waitForKick(milliseconds: number): void {
    if (milliseconds > 0) Atomics.wait(this.#words, this.#record + VCPU_KICK, 0, milliseconds);
  }

  /** Asks for REQUEST_* bits and kicks. */
  request(bits: number): void {
    Atomics.or(this.#words, this.#record + VCPU_REQUESTS, bits);
    this.kick();
    if ((bits & REQUEST_STOP) !== 0) {
      Atomics.notify(this.#words, this.#mailbox + MAILBOX_STATE);
      Atomics.notify(this.#words, this.#ring + RING_HEAD);
    }
  }

  clearRequest(bits: number): void {
    Atomics.and(this.#words, this.#record + VCPU_REQUESTS, ~bits);
  }

  get requests(): number {
    return Atomics.load(this.#words, this.#record + VCPU_REQUESTS);
  }

  get state(): number {
    return Atomics.load(this.#words, this.#record + VCPU_STATE);
  }

  /** Publishes a STATE_* value and wakes those who wait for it. */
  set state(value: number) {
    Atomics.store(this.#words, this.#record + VCPU_STATE, value);
    Atomics.notify(this.#words, this.#record + VCPU_STATE);
  }

  /** The host's number of the thread that runs the vCPU; 0: none that a signal should go to. */
  get thread(): number {
    return Atomics.load(this.#words, this.#record + VCPU_THREAD);
  }

  set thread(value: number) {
    Atomics.store(this.#words, this.#record + VCPU_THREAD, value);
  }

  /** Resolves when the state word is `wanted`. */
  async reaches(wanted: number): Promise<void> {
    for (;;) {
      const state = this.state;
      if (state === wanted) return;
      const wait = Atomics.waitAsync(this.#words, this.#record + VCPU_STATE, state);
      if (wait.async) await wait.value;
    }
  }
}
