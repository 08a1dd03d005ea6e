/**
 * A growable byte buffer with WebAssembly's integer encodings (WebAssembly core specification, section 5.2.2).
 *
 * @module
 */

/** Most bytes of a number of 32 bits. */
const ROOM = 5;

/** How many bytes `ByteWriter.u32` writes. */
export function sizeOfU32(value: number): number {
  let size = 1;
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) size++;
  return size;
}

export class ByteWriter {
  #bytes: Uint8Array;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  /** Starts anew, in the memory that it has. */
  clear(): void {
    this.#length = 0;
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + count));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }

  byte(value: number): void {
    if (this.#length === this.#bytes.length) this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  bytes(values: ArrayLike<number>): void {
    this.#reserve(values.length);
    this.#bytes.set(values, this.#length);
    this.#length += values.length;
  }

  /** Unsigned LEB128 of a value up to 2^32 - 1. */
  u32(value: number): void {
    if (this.#length + ROOM > this.#bytes.length) this.#reserve(ROOM);
    const bytes = this.#bytes;
    let at = this.#length;
    let rest = value >>> 0;
    while (rest >= 0x80) {
      bytes[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[at++] = rest;
    this.#length = at;
  }

  /** Two bytes. */
  pair(first: number, second: number): void {
    if (this.#length + 2 > this.#bytes.length) this.#reserve(2);
    const bytes = this.#bytes;
    const at = this.#length;
    bytes[at] = first;
    bytes[at + 1] = second;
    this.#length = at + 2;
  }

  /** Signed LEB128 of a 32-bit value. */
  s32(value: number): void {
    let rest = value | 0;
    if (this.#length + ROOM > this.#bytes.length) this.#reserve(ROOM);
    const bytes = this.#bytes;
    let at = this.#length;
    while (rest < -64 || rest > 63) {
      bytes[at++] = (rest & 0x7f) | 0x80;
      rest >>= 7;
    }
    bytes[at++] = rest & 0x7f;
    this.#length = at;
  }

  /** Signed LEB128 of a 64-bit value. */
  s64(value: bigint): void {
    let rest = BigInt.asIntN(64, value);
    if (rest >= -0x8000_0000n && rest <= 0x7fff_ffffn) {
      this.s32(Number(rest));
      return;
    }
    for (;;) {
      const low = Number(rest & 0x7fn);
      rest >>= 7n;
      if ((rest === 0n && (low & 0x40) === 0) || (rest === -1n && (low & 0x40) !== 0)) {
        this.byte(low);
        return;
      }
      this.byte(low | 0x80);
    }
  }

  name(text: string): void {
    this.u32(text.length);
    this.#reserve(text.length);
    for (let i = 0; i < text.length; i++) this.#bytes[this.#length++] = text.charCodeAt(i);
  }

  /** What `content` writes, behind its length: a section, a body. The length is known last, so the bytes are moved for it. */
  sized(content: () => void): void {
    const start = this.#length;
    content();
    const end = this.#length;
    const size = sizeOfU32(end - start);
    this.#reserve(size);
    this.#bytes.copyWithin(start + size, start, end);
    this.#length = start;
    this.u32(end - start);
    this.#length = end + size;
  }

  /** The bytes so far; valid until the next write. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  toBytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length) as Uint8Array<ArrayBuffer>;
  }
}
