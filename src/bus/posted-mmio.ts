/**
 * Which MMIO writes a vCPU may post and run on: the doorbells of devices. A table in shared memory, in the control area; the VMM
 * thread writes it, vCPU threads read it at every write that no device of their own takes.
 *
 * One entry is a range within one page of 4 KiB:
 *
 *     word 0   number of the page, 0 while the entry is free (nothing is posted into RAM's first page)
 *     word 1   first offset | end offset << 16
 *
 * An entry is emptied before it changes, so a reader sees an old range or none. Either is harmless: a write that is posted
 * reaches whatever device is at its address by then, in order; one that is not is a call.
 *
 * @module
 */

/** Devices that have a doorbell, at most. */
export const POSTED_MMIO_ENTRIES = 64;
const ENTRY_WORDS = 2;
export const POSTED_MMIO_WORDS: number = POSTED_MMIO_ENTRIES * ENTRY_WORDS;

const PAGE_BYTES = 4096;
/** The greatest page number that fits: addresses of 43 bits. */
const MAX_PAGE = 0x7fff_ffff;

/** Where the table is: a `ControlArea`. */
export interface PostedMmioArea {
  readonly words: Int32Array;
  readonly postedMmioAt: number;
}

export class PostedMmio {
  readonly #words: Int32Array;
  readonly #at: number;

  constructor(area: PostedMmioArea) {
    this.#words = area.words;
    this.#at = area.postedMmioAt;
  }

  /**
   * Lets writes within the range be posted. False when the table is full or the range crosses a page or lies too high:
   * its writes are calls then, which is slower and nothing else.
   */
  add(address: number, bytes: number): boolean {
    const page = Math.floor(address / PAGE_BYTES);
    const first = address - page * PAGE_BYTES;
    if (page <= 0 || page > MAX_PAGE || bytes <= 0 || first + bytes > PAGE_BYTES) return false;
    for (let entry = 0; entry < POSTED_MMIO_ENTRIES; entry++) {
      const at = this.#at + entry * ENTRY_WORDS;
      if (Atomics.load(this.#words, at) !== 0) continue;
      Atomics.store(this.#words, at + 1, first | ((first + bytes) << 16));
      Atomics.store(this.#words, at, page);
      return true;
    }
    return false;
  }

  /** Takes back what `add` with the same range did. */
  remove(address: number, bytes: number): void {
    const page = Math.floor(address / PAGE_BYTES);
    const first = address - page * PAGE_BYTES;
    for (let entry = 0; entry < POSTED_MMIO_ENTRIES; entry++) {
      const at = this.#at + entry * ENTRY_WORDS;
      if (Atomics.load(this.#words, at) !== page) continue;
      if (Atomics.load(this.#words, at + 1) !== (first | ((first + bytes) << 16))) continue;
      Atomics.store(this.#words, at, 0);
      return;
    }
  }

  /** True when a write of `width` bytes to `address` may be posted. */
  has(address: number, width: number): boolean {
    const page = Math.floor(address / PAGE_BYTES);
    const first = address - page * PAGE_BYTES;
    for (let entry = 0; entry < POSTED_MMIO_ENTRIES; entry++) {
      const at = this.#at + entry * ENTRY_WORDS;
      if (this.#words[at] !== page || page === 0) continue;
      const range = Atomics.load(this.#words, at + 1);
      if (first >= (range & 0xffff) && first + width <= range >>> 16) return true;
    }
    return false;
  }
}
