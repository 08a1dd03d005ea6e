/**
 * Growing byte buffers and their readers, with LEB128 integers: the columns of a vector file.
 *
 * @module
 */

export class VectorFileError extends Error {
  override readonly name = 'VectorFileError';
}

export class ByteWriter {
  #bytes = new Uint8Array(1024);
  #length = 0;

  #grow(by: number): void {
    if (this.#length + by <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + by));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }

  u8(value: number): void {
    this.#grow(1);
    this.#bytes[this.#length++] = value;
  }

  /** Unsigned LEB128 of an integer below 2^53. */
  varint(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      this.u8((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.u8(rest);
  }

  /** The low `count` bytes of a value, least significant first. */
  little(value: bigint, count: number): void {
    for (let i = 0; i < count; i++) this.u8(Number((value >> BigInt(i * 8)) & 0xffn));
  }

  write(bytes: Uint8Array): void {
    this.#grow(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }
}

export class ByteReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    // A Buffer's slice would be a view.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  u8(): number {
    const value = this.#bytes[this.#at++];
    if (value === undefined) throw new VectorFileError('a column ends inside a record');
    return value;
  }

  varint(): number {
    let value = 0,
      scale = 1;
    for (;;) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
      if (scale > 2 ** 49) throw new VectorFileError('an integer has too many bytes');
    }
  }

  little(count: number): bigint {
    let value = 0n;
    for (let i = 0; i < count; i++) value |= BigInt(this.u8()) << BigInt(i * 8);
    return value;
  }

  /** A copy of the next bytes. */
  take(count: number): Uint8Array {
    if (this.#at + count > this.#bytes.length) throw new VectorFileError('a column ends inside a record');
    const out = this.#bytes.slice(this.#at, this.#at + count);
    this.#at += count;
    return out;
  }

  get done(): boolean {
    return this.#at === this.#bytes.length;
  }
}
