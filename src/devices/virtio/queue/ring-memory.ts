/**
 * Guest RAM as virtqueues need it: aligned 16- and 32-bit words that are read and written in one piece, with the order
 * that threads agree on. A driver on another thread must never see half of an index.
 *
 * Little-endian hosts only, as WebAssembly memory is. Nothing here checks: a queue checks its areas once, when it is made, and knows them by
 * their places in `GuestMemory.all` from then on.
 *
 * @module
 */
import type { GuestMemory } from '../../../memory/guest-memory.ts';

export class RingMemory {
  readonly memory: GuestMemory;
  /** For descriptors, which need not be aligned when they are indirect. */
  readonly view: DataView;
  readonly #u16: Uint16Array;
  readonly #u32: Uint32Array;

  constructor(memory: GuestMemory) {
    const { buffer, byteOffset, length } = memory.all;
    this.memory = memory;
    this.view = new DataView(buffer, byteOffset, length);
    this.#u16 = new Uint16Array(buffer, byteOffset, length >>> 1);
    this.#u32 = new Uint32Array(buffer, byteOffset, length >>> 2);
  }

  /** True when the range lies in RAM and starts at a multiple of `alignment`. */
  holds(address: number, bytes: number, alignment: number): boolean {
    return address % alignment === 0 && this.memory.contains(address, bytes);
  }

  /** Where an address that is in RAM lies. */
  place(address: number): number {
    return this.memory.place(address);
  }

  /** An aligned word; what other threads wrote before it is seen after it. */
  loadU16(at: number): number {
    return Atomics.load(this.#u16, at / 2);
  }

  /** Writes an aligned word; who sees it sees what was written before it. */
  storeU16(at: number, value: number): void {
    Atomics.store(this.#u16, at / 2, value);
  }

  /** Writes an aligned word that a later store publishes. */
  setU32(at: number, value: number): void {
    this.#u32[at / 4] = value;
  }
}
