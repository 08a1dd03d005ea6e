/**
 * The receiving half of the UART: the FIFO, and when bytes are taken from the host into it.
 *
 * A wire delivers bytes one after the other, whether anybody listens or not. The host's bytes wait, so that none is
 * lost: to a full FIFO, to a driver that clears the FIFO and reads the receiver once to get it into a known state, or
 * to a kernel that has not opened its console yet. So bytes are taken
 *
 * - only while the guest listens: the receive interrupt is enabled, or the line status is read over and over;
 * - at a bounded rate, so that a paste leaves the guest time to use what it gets (a terminal there buffers 64 KiB and
 *   drops the rest);
 * - again, after the guest has cleared them out of the FIFO unread.
 *
 * @module
 */
import type { ByteSource } from '../../../bus/byte-stream.ts';
import type { Clock } from '../../../util/clock.ts';
import type { TimerHandle, Timers } from '../../../util/timers.ts';
import { FIFO_BYTES } from './defs.ts';

/** About four times as fast as 115,200 baud. */
const NANOSECONDS_PER_BYTE = 25_000;
/** Drivers that probe switch the receive interrupt on and off again in a few microseconds. */
const SETTLE_NS = 1_000_000;
/** What a byte in the FIFO is: from the host or the loop; a break that the line status has yet to tell; one it has told. */
const DATA = 0;
const BREAK = 1;
const BREAK_TOLD = 2;
/** Reads of the line status with nothing between them that mean "waits for input". */
const POLLING_READS = 32;

export class Receiver {
  readonly #input: ByteSource;
  readonly #clock: Clock;
  readonly #timers: Timers;
  /** Called when bytes have arrived at the host, or may be taken now; it calls `take`. */
  readonly #arrived: () => void;
  readonly #bytes = new Uint8Array(FIFO_BYTES);
  readonly #marks = new Uint8Array(FIFO_BYTES);
  #head = 0;
  #count = 0;
  #capacity = 1;
  #returned: number[] = [];
  /** The host has bytes, or had when last asked. */
  #waiting = false;
  #interrupts = false;
  #loopback = false;
  #idleReads = 0;
  #notBefore = 0;
  #timer: TimerHandle | undefined;

  constructor(input: ByteSource, clock: Clock, timers: Timers, arrived: () => void) {
    this.#input = input;
    this.#clock = clock;
    this.#timers = timers;
    this.#arrived = arrived;
  }

  /** Listens to the host. Once, after the device is complete. */
  start(): void {
    this.#input.onReadable(() => {
      this.#waiting = true;
      this.#arrived();
    });
  }

  get count(): number {
    return this.#count;
  }

  /** Bytes from the host wait, and the guest gives no sign yet that it listens. */
  get held(): boolean {
    return (this.#waiting || this.#returned.length > 0) && !this.#listening;
  }

  get #polling(): boolean {
    return this.#idleReads >= POLLING_READS;
  }

  get #listening(): boolean {
    return !this.#loopback && (this.#interrupts || this.#polling);
  }

  reset(): void {
    this.clear();
    this.#capacity = 1;
    this.#interrupts = false;
    this.#loopback = false;
    this.#idleReads = 0;
    this.#disarm();
  }

  /** FIFO mode holds 16 bytes, the other one. */
  setCapacity(bytes: number): void {
    this.#capacity = bytes;
  }

  /** Drops what is in the FIFO as far as the guest can see: it is received again. */
  clear(): void {
    if (!this.#loopback) {
      const unread: number[] = [];
      for (let n = 0; n < this.#count; n++) {
        const at = (this.#head + n) % FIFO_BYTES;
        if (this.#marks[at] === DATA) unread.push(this.#bytes[at]!);
      }
      this.#returned = [...unread, ...this.#returned];
    }
    this.#head = 0;
    this.#count = 0;
    this.#idleReads = 0;
  }

  setInterrupts(enabled: boolean): void {
    if (enabled && !this.#interrupts)
      this.#notBefore = Math.max(this.#notBefore, this.#clock.nanoseconds() + SETTLE_NS);
    this.#interrupts = enabled;
    this.#idleReads = 0;
  }

  setLoopback(on: boolean): void {
    if (on !== this.#loopback) this.clear();
    this.#loopback = on;
  }

  /** The line status was read while it said that the transmitter is free. */
  lineStatusRead(): void {
    if (!this.#polling) this.#idleReads++;
  }

  /** The guest did something else than wait. */
  busy(): void {
    if (!this.#polling) this.#idleReads = 0;
  }

  /** Puts one byte in, from the loop or as a break. False when the FIFO is full. */
  push(byte: number, isBreak: boolean): boolean {
    if (this.#count >= this.#capacity) return false;
    const at = (this.#head + this.#count) % FIFO_BYTES;
    this.#bytes[at] = byte;
    this.#marks[at] = isBreak ? BREAK : DATA;
    this.#count++;
    return true;
  }

  /** The oldest byte; 0 when there is none. */
  shift(): number {
    if (this.#count === 0) return 0;
    const byte = this.#bytes[this.#head]!;
    this.#head = (this.#head + 1) % FIFO_BYTES;
    this.#count--;
    return byte;
  }

  /** True when the oldest byte is a break that has not been told yet; it is told now. */
  takeBreak(): boolean {
    if (this.#count === 0 || this.#marks[this.#head] !== BREAK) return false;
    this.#marks[this.#head] = BREAK_TOLD;
    return true;
  }

  /** A break anywhere in the FIFO that has not been told. */
  get hasBreak(): boolean {
    for (let n = 0; n < this.#count; n++) if (this.#marks[(this.#head + n) % FIFO_BYTES] === BREAK) return true;
    return false;
  }

  /** Takes from the host what fits, or sees to it that it is taken when its time has come. */
  take(): void {
    if (!this.#waiting && this.#returned.length === 0) return;
    const room = this.#capacity - this.#count;
    if (!this.#listening || room <= 0) return;
    const now = this.#clock.nanoseconds();
    if (now < this.#notBefore) {
      this.#arm();
      return;
    }
    const again = this.#returned.splice(0, room);
    for (const byte of again) this.push(byte, false);
    let taken = again.length;
    if (this.#waiting && taken < room) {
      const fresh = this.#input.read(room - taken);
      this.#waiting = fresh.length === room - taken;
      for (let n = 0; n < fresh.length && this.push(fresh[n]!, false); n++) taken++;
    }
    this.#notBefore = now + taken * NANOSECONDS_PER_BYTE;
  }

  #arm(): void {
    if (this.#timer !== undefined) return;
    this.#timer = this.#timers.set(this.#notBefore, () => {
      this.#timer = undefined;
      this.#arrived();
    });
  }

  #disarm(): void {
    if (this.#timer !== undefined) this.#timers.clear(this.#timer);
    this.#timer = undefined;
    this.#notBefore = 0;
  }

  save(): { received: number[]; marks: number[]; returned: number[] } {
    const order = Array.from({ length: this.#count }, (_, n) => (this.#head + n) % FIFO_BYTES);
    return {
      received: order.map((at) => this.#bytes[at]!),
      marks: order.map((at) => this.#marks[at]!),
      returned: [...this.#returned],
    };
  }

  /** After the capacity, the interrupts and the loop have been set. */
  restore(received: readonly number[], marks: readonly number[], returned: readonly number[]): void {
    this.#head = 0;
    this.#count = 0;
    received.forEach((byte, n) => {
      if (this.push(byte, false)) this.#marks[n] = marks[n] ?? DATA;
    });
    this.#returned = returned.slice(0, FIFO_BYTES);
    this.#idleReads = 0;
    this.#disarm();
  }
}
