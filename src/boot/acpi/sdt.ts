/**
 * What all ACPI tables share: the header (ACPI 6.3, 5.2.6), the checksum, and a writer of little-endian fields.
 *
 * @module
 */
const HEADER_BYTES = 36;
const CHECKSUM_OFFSET = 9;

const OEM_ID = 'TYPVSR';
const OEM_TABLE_ID = 'TYPVISOR';
const OEM_REVISION = 1;
const CREATOR_ID = 'TYPV';
const CREATOR_REVISION = 1;

export const ACPI_OEM_ID: string = OEM_ID;

/** Writes fields at their offsets, in the order and spelling of the specification's tables. */
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

/** A table with its header; `body` starts at offset 36. The checksum is right as long as nobody changes the table. */
export function systemTable(signature: string, revision: number, body: Uint8Array): Uint8Array {
  const table = new TableWriter(HEADER_BYTES + body.length)
    .ascii(0, signature)
    .u32(4, HEADER_BYTES + body.length)
    .u8(8, revision)
    .ascii(10, OEM_ID)
    .ascii(16, OEM_TABLE_ID)
    .u32(24, OEM_REVISION)
    .ascii(28, CREATOR_ID)
    .u32(32, CREATOR_REVISION)
    .copy(HEADER_BYTES, body);
  return table.u8(CHECKSUM_OFFSET, checksum(table.bytes)).bytes;
}
