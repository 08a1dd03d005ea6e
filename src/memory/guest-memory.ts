/**
 * Guest-physical RAM as the devices and the loaders see it.
 *
 * Addresses come from the guest and are hostile: every access is checked, and one outside RAM throws
 * `GuestMemoryError`, which a device turns into its own error status. Values are little-endian.
 *
 * @module
 */

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
  /** Size of RAM in bytes; RAM starts at guest-physical address 0. */
  readonly bytes: number;
  /** All of RAM. Over shared memory: copy before passing to APIs that refuse shared buffers. */
  readonly ram: Uint8Array;
  readonly #view: DataView;

  constructor(buffer: ArrayBufferLike, offset: number, bytes: number) {
    this.bytes = bytes;
    this.ram = new Uint8Array(buffer, offset, bytes);
    this.#view = new DataView(buffer, offset, bytes);
  }

  /** True when the whole range lies in RAM. */
  contains(address: number, bytes: number): boolean {
    return Number.isInteger(address) && address >= 0 && bytes >= 0 && address + bytes <= this.bytes;
  }

  #check(address: number, bytes: number): void {
    if (!this.contains(address, bytes)) throw new GuestMemoryError(address, bytes);
  }

  /** A live view of a range of RAM; no copy. */
  slice(address: Gpa, bytes: number): Uint8Array {
    this.#check(address, bytes);
    return this.ram.subarray(address, address + bytes);
  }

  readU8(address: Gpa): number {
    this.#check(address, 1);
    return this.#view.getUint8(address);
  }

  readU16(address: Gpa): number {
    this.#check(address, 2);
    return this.#view.getUint16(address, true);
  }

  readU32(address: Gpa): number {
    this.#check(address, 4);
    return this.#view.getUint32(address, true);
  }

  /** A 64-bit value; for cold paths. */
  readU64(address: Gpa): bigint {
    this.#check(address, 8);
    return this.#view.getBigUint64(address, true);
  }

  writeU8(address: Gpa, value: number): void {
    this.#check(address, 1);
    this.#view.setUint8(address, value);
  }

  writeU16(address: Gpa, value: number): void {
    this.#check(address, 2);
    this.#view.setUint16(address, value, true);
  }

  writeU32(address: Gpa, value: number): void {
    this.#check(address, 4);
    this.#view.setUint32(address, value, true);
  }

  writeU64(address: Gpa, value: bigint): void {
    this.#check(address, 8);
    this.#view.setBigUint64(address, value, true);
  }

  write(address: Gpa, bytes: Uint8Array): void {
    this.#check(address, bytes.length);
    this.ram.set(bytes, address);
  }

  fill(address: Gpa, bytes: number, value: number): void {
    this.#check(address, bytes);
    this.ram.fill(value, address, address + bytes);
  }
}
