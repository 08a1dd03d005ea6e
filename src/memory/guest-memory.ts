/**
 * Guest-physical RAM as the devices and the loaders see it.
 *
 * Addresses come from the guest and are hostile: every access is checked, and one outside RAM throws
 * `GuestMemoryError`, which a device turns into its own error status. Values are little-endian.
 *
 * @module
 */
import { FOUR_GIB } from './machine-memory.ts';

/** A guest-physical address, in bytes. */
export type Gpa = number & { readonly __unit: 'gpa' };

export const gpa = (address: number): Gpa => address as Gpa;

export class GuestMemoryError extends Error {
  override readonly name = 'GuestMemoryError';
  readonly address: number;
  readonly bytes: number;
  constructor(address: number, bytes: number) {
    super(`guest-physical range 0x${address.toString(16)}+0x${bytes.toString(16)} is not RAM`);
    this.address = address;
    this.bytes = bytes;
  }
}

export class GuestMemory {
  /** Size in bytes of the RAM from guest-physical address 0 on; all of it, but in a machine that has some above 4 GiB. */
  readonly bytes: number;
  /** Size of the RAM from 4 GiB on. */
  readonly highBytes: number;
  /** The RAM from address 0 on. Over shared memory: copy before passing to APIs that refuse shared buffers. */
  readonly ram: Uint8Array;
  /** All RAM: what is above 4 GiB lies directly behind the rest. `place` says where an address is. */
  readonly all: Uint8Array;
  readonly #view: DataView;

  /** RAM lies at `offset` in the buffer, what is above 4 GiB directly behind the rest. */
  constructor(buffer: ArrayBufferLike, offset: number, bytes: number, highBytes = 0) {
    this.bytes = bytes;
    this.highBytes = highBytes;
    this.all = new Uint8Array(buffer, offset, bytes + highBytes);
    this.ram = highBytes === 0 ? this.all : this.all.subarray(0, bytes);
    this.#view = new DataView(buffer, offset, bytes + highBytes);
  }

  /** True when the whole range lies in RAM. */
  contains(address: number, bytes: number): boolean {
    return Number.isInteger(address) && bytes >= 0 && this.#isRam(address, bytes);
  }

  #isRam(address: number, bytes: number): boolean {
    if (address >= FOUR_GIB) return address + bytes <= FOUR_GIB + this.highBytes;
    return address >= 0 && address + bytes <= this.bytes;
  }

  /** Where an address in RAM is in `all`. It has been checked. */
  place(address: number): number {
    return address >= FOUR_GIB ? address - FOUR_GIB + this.bytes : address;
  }

  /** Where a range is in the views. */
  #offset(address: number, bytes: number): number {
    if (!this.contains(address, bytes)) throw new GuestMemoryError(address, bytes);
    return this.place(address);
  }

  /** A live view of a range of RAM; no copy. */
  slice(address: Gpa, bytes: number): Uint8Array {
    const at = this.#offset(address, bytes);
    return this.all.subarray(at, at + bytes);
  }

  readU8(address: Gpa): number {
    return this.#view.getUint8(this.#offset(address, 1));
  }

  readU16(address: Gpa): number {
    return this.#view.getUint16(this.#offset(address, 2), true);
  }

  readU32(address: Gpa): number {
    return this.#view.getUint32(this.#offset(address, 4), true);
  }

  /** A 64-bit value; for cold paths. */
  readU64(address: Gpa): bigint {
    return this.#view.getBigUint64(this.#offset(address, 8), true);
  }

  writeU8(address: Gpa, value: number): void {
    this.#view.setUint8(this.#offset(address, 1), value);
  }

  writeU16(address: Gpa, value: number): void {
    this.#view.setUint16(this.#offset(address, 2), value, true);
  }

  writeU32(address: Gpa, value: number): void {
    this.#view.setUint32(this.#offset(address, 4), value, true);
  }

  writeU64(address: Gpa, value: bigint): void {
    this.#view.setBigUint64(this.#offset(address, 8), value, true);
  }

  write(address: Gpa, bytes: Uint8Array): void {
    this.all.set(bytes, this.#offset(address, bytes.length));
  }

  fill(address: Gpa, bytes: number, value: number): void {
    const at = this.#offset(address, bytes);
    this.all.fill(value, at, at + bytes);
  }
}
