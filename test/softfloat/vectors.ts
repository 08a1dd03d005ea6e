/**
 * Vector files: a JSON header with the forms, then one packed record a case; gzip around both.
 *
 * @module
 */
import { readFileSync } from 'node:fs';
import { gunzipSync, gzipSync } from 'node:zlib';

export class ByteWriter {
  #bytes = new Uint8Array(1 << 16);
  #length = 0;

  bytes(value: Uint8Array): void {
    while (this.#length + value.length > this.#bytes.length) {
      const larger = new Uint8Array(this.#bytes.length * 2);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
  }

  u8(value: number): void {
    this.bytes(Uint8Array.of(value));
  }

  u16(value: number): void {
    this.bytes(Uint8Array.of(value, value >> 8));
  }

  take(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }
}

export class ByteReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  bytes(length: number): Uint8Array {
    if (this.#at + length > this.#bytes.length) throw new Error('vector file ends inside a case');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  u8(): number {
    return this.bytes(1)[0]!;
  }

  u16(): number {
    const [low, high] = this.bytes(2) as unknown as [number, number];
    return low | (high << 8);
  }
}

/** Packs header and cases; the same input gives the same bytes. */
export function packVectors(header: unknown, cases: Uint8Array): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(header));
  const writer = new ByteWriter();
  writer.u16(json.length);
  writer.bytes(json);
  writer.bytes(cases);
  return gzipSync(writer.take(), { level: 9 });
}

export function openVectors<Header>(name: string): { header: Header; cases: ByteReader } {
  const reader = new ByteReader(gunzipSync(readFileSync(new URL(`vectors/${name}`, import.meta.url))));
  const header = JSON.parse(new TextDecoder().decode(reader.bytes(reader.u16()))) as Header;
  return { header, cases: reader };
}

export const hex = (value: Uint8Array): string =>
  [...value]
    .reverse()
    .map((x) => x.toString(16).padStart(2, '0'))
    .join('');

export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i]);
