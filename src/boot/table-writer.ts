/**
 * Writes firmware tables: little-endian fields at their offsets, in the order and spelling of the specifications, and the
 * checksum that ACPI, MP and SMBIOS share.
 *
 * @module
 */
export class TableWriter {
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  constructor(length: number) {
    this.bytes = new Uint8Array(length);
    this.#view = new DataView(this.bytes.buffer);
  }
  u8(offset: number, value: number): this {
    this.#view.setUint8(offset, value);
    return this;
  }
  u16(offset: number, value: number): this {
    this.#view.setUint16(offset, value, true);
    return this;
  }
  u32(offset: number, value: number): this {
    this.#view.setUint32(offset, value, true);
    return this;
  }
  u64(offset: number, value: number): this {
    this.#view.setBigUint64(offset, BigInt(value), true);
    return this;
  }
  ascii(offset: number, text: string): this {
    for (let index = 0; index < text.length; index++) this.u8(offset + index, text.charCodeAt(index) & 0x7f);
    return this;
  }
  copy(offset: number, bytes: Uint8Array): this {
    this.bytes.set(bytes, offset);
    return this;
  }
}

/** The byte that makes `bytes`, with a zero in its place, add up to zero. */
export function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (const byte of bytes) sum += byte;
  return -sum & 0xff;
}

export function concat(...parts: readonly (readonly number[] | Uint8Array)[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** The little-endian bytes of an unsigned number below 2^53. */
export function littleEndian(value: number, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, index) => Math.floor(value / 2 ** (8 * index)) % 256);
}
