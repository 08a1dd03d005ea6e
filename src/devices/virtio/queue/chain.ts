/**
 * One request in a virtqueue: the buffers of a descriptor chain, checked, device-readable ones first (VIRTIO 1.2, 2.7.4.2).
 *
 * The descriptors were read once, when the chain was taken; what the driver does to them afterwards changes nothing here. The
 * contents of the buffers stay the driver's to change: copy what is to be believed. Chains are made once and used again.
 *
 * @module
 */
import type { GuestMemory } from '../../../memory/guest-memory.ts';

/** What the driver did wrong in a chain's buffers. */
export type ChainFault =
  /** A buffer is not all RAM. */
  | 'buffer-outside-memory'
  /** More descriptors than a chain may have: a loop. */
  | 'chain-too-long'
  /** More bytes than a length can say (2.7.4: at most 2^32). */
  | 'chain-too-large'
  /** A device-readable buffer behind a device-writable one. */
  | 'readable-after-writable';

const FIRST_CAPACITY = 8;
const MAX_BYTES = 0xffff_ffff;

export class Chain {
  /** The head's index (split) or the buffer ID (packed): what the used ring names it by. */
  id = 0;
  /** Places that it takes in a packed ring. */
  slots = 0;
  /** Total bytes of the device-readable and the device-writable buffers. */
  readableBytes = 0;
  writableBytes = 0;
  /** For queues that give chains back in order. */
  done = false;
  written = 0;
  inFlight = false;

  readonly #memory: GuestMemory;
  readonly #limit: number;
  /** Places in `GuestMemory.all`. */
  #places = new Float64Array(FIRST_CAPACITY);
  #lengths = new Uint32Array(FIRST_CAPACITY);
  #count = 0;
  #readable = 0;
  #descriptors = 0;

  /** `limit`: descriptors that a chain may have. */
  constructor(memory: GuestMemory, limit: number) {
    this.#memory = memory;
    this.#limit = limit;
  }

  /** Empties it, for another request. */
  begin(): void {
    this.#count = 0;
    this.#readable = 0;
    this.#descriptors = 0;
    this.readableBytes = 0;
    this.writableBytes = 0;
    this.slots = 0;
    this.done = false;
    this.written = 0;
  }

  /** Appends a buffer. Empty ones are counted and otherwise forgotten. */
  append(address: number, bytes: number, writable: boolean): ChainFault | undefined {
    if (++this.#descriptors > this.#limit) return 'chain-too-long';
    if (!writable && this.writableBytes > 0) return 'readable-after-writable';
    if (bytes === 0) return undefined;
    if (!this.#memory.contains(address, bytes)) return 'buffer-outside-memory';
    if (this.readableBytes + this.writableBytes + bytes > MAX_BYTES) return 'chain-too-large';
    if (this.#count === this.#lengths.length) this.#grow();
    this.#places[this.#count] = this.#memory.place(address);
    this.#lengths[this.#count] = bytes;
    this.#count++;
    if (writable) this.writableBytes += bytes;
    else {
      this.readableBytes += bytes;
      this.#readable++;
    }
    return undefined;
  }

  /** Up to the limit: a guest cannot make it grow further. */
  #grow(): void {
    const capacity = Math.min(this.#lengths.length * 2, Math.max(this.#limit, FIRST_CAPACITY));
    const places = new Float64Array(capacity);
    const lengths = new Uint32Array(capacity);
    places.set(this.#places);
    lengths.set(this.#lengths);
    this.#places = places;
    this.#lengths = lengths;
  }

  /** Copies device-readable bytes from `offset` on; gives how many there were, up to `into.length`. */
  read(offset: number, into: Uint8Array): number {
    return this.#copy(0, this.#readable, offset, into, false);
  }

  /** Copies into the device-writable bytes from `offset` on; gives how many fitted. */
  write(offset: number, from: Uint8Array): number {
    return this.#copy(this.#readable, this.#count, offset, from, true);
  }

  #copy(first: number, end: number, offset: number, host: Uint8Array, toGuest: boolean): number {
    const { all } = this.#memory;
    let skip = offset;
    let copied = 0;
    for (let n = first; n < end && copied < host.length; n++) {
      const length = this.#lengths[n]!;
      if (skip >= length) {
        skip -= length;
        continue;
      }
      const at = this.#places[n]! + skip;
      const bytes = Math.min(length - skip, host.length - copied);
      // Small copies, a header or a status: a loop costs less than the views that `set` would need.
      if (toGuest) for (let byte = 0; byte < bytes; byte++) all[at + byte] = host[copied + byte]!;
      else for (let byte = 0; byte < bytes; byte++) host[copied + byte] = all[at + byte]!;
      copied += bytes;
      skip = 0;
    }
    return copied;
  }

  /** Live views of `bytes` device-readable bytes from `offset` on, for I/O without a copy. */
  readableViews(offset: number, bytes: number): Uint8Array[] {
    return this.#views(0, this.#readable, offset, bytes);
  }

  /** Live views of `bytes` device-writable bytes from `offset` on. */
  writableViews(offset: number, bytes: number): Uint8Array[] {
    return this.#views(this.#readable, this.#count, offset, bytes);
  }

  #views(first: number, end: number, offset: number, bytes: number): Uint8Array[] {
    const { all } = this.#memory;
    const views: Uint8Array[] = [];
    let skip = offset;
    let left = bytes;
    for (let n = first; n < end && left > 0; n++) {
      const length = this.#lengths[n]!;
      if (skip >= length) {
        skip -= length;
        continue;
      }
      const at = this.#places[n]! + skip;
      const part = Math.min(length - skip, left);
      views.push(all.subarray(at, at + part));
      left -= part;
      skip = 0;
    }
    return views;
  }
}
