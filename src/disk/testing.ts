/**
 * A file in memory for tests of disk formats: it remembers every write with the flushes between them, so that a crash can be
 * played at any point, and it fails where it is told to.
 *
 * @module
 */
import { fillZero, totalBytes, type Buffers } from './buffers.ts';
import type { ImageFile } from './image-file.ts';

/** What happened to the file, in order. A hole is a write of zeros. */
export type FileEvent =
  | { readonly kind: 'write'; readonly offset: number; readonly data: Uint8Array }
  | { readonly kind: 'truncate'; readonly bytes: number }
  | { readonly kind: 'flush' };

export class MemoryFile implements ImageFile {
  readonly name: string;
  readonly readOnly: boolean;
  contents: Uint8Array;
  bytes: number;
  readonly log: FileEvent[] = [];
  closed = false;
  /** Called before each operation; may throw in its place, or take its time. */
  before: ((operation: 'read' | 'write' | 'flush', offset: number, bytes: number) => void | Promise<void>) | undefined;

  constructor(contents: Uint8Array | number = 0, name = 'image', readOnly = false) {
    this.contents = typeof contents === 'number' ? new Uint8Array(contents) : contents.slice();
    this.bytes = this.contents.length;
    this.name = name;
    this.readOnly = readOnly;
  }

  /** The file as it is now. */
  snapshot(): Uint8Array {
    return this.contents.slice(0, this.bytes);
  }

  async read(offset: number, into: Buffers): Promise<void> {
    await this.before?.('read', offset, totalBytes(into));
    let at = offset;
    for (const buffer of into) {
      fillZero([buffer]);
      buffer.set(this.contents.subarray(Math.min(at, this.bytes), Math.min(at + buffer.length, this.bytes)));
      at += buffer.length;
    }
  }

  async write(offset: number, from: Buffers): Promise<void> {
    const data = new Uint8Array(totalBytes(from));
    let done = 0;
    for (const buffer of from) {
      data.set(buffer, done);
      done += buffer.length;
    }
    await this.before?.('write', offset, data.length);
    this.log.push({ kind: 'write', offset, data });
    this.#apply(offset, data);
  }

  async flush(): Promise<void> {
    await this.before?.('flush', 0, 0);
    this.log.push({ kind: 'flush' });
  }

  truncate: ImageFile['truncate'] = async (bytes) => {
    this.log.push({ kind: 'truncate', bytes });
    this.#grow(bytes);
    this.contents.fill(0, bytes);
    this.bytes = bytes;
  };

  punchHole: ImageFile['punchHole'] = async (offset, bytes) => {
    const data = new Uint8Array(Math.max(0, Math.min(bytes, this.bytes - offset)));
    this.log.push({ kind: 'write', offset, data });
    this.#apply(offset, data);
  };

  /** As on a host that cannot. */
  zeroRange: ImageFile['zeroRange'] = async () => false;

  nextData: ImageFile['nextData'] = (offset) => {
    for (let at = offset; at < this.bytes; at++) if (this.contents[at] !== 0) return at;
    return this.bytes;
  };

  async close(): Promise<void> {
    this.closed = true;
  }

  #apply(offset: number, data: Uint8Array): void {
    this.#grow(offset + data.length);
    this.contents.set(data, offset);
    this.bytes = Math.max(this.bytes, offset + data.length);
  }

  #grow(bytes: number): void {
    if (bytes <= this.contents.length) return;
    const larger = new Uint8Array(Math.max(bytes, this.contents.length * 2));
    larger.set(this.contents);
    this.contents = larger;
  }
}

/** xorshift32: the same numbers for the same seed on every machine. */
export function randomSource(start: number): (below: number) => number {
  let state = Math.imul(start, 0x9e37_79b9) || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** Bytes that differ from place to place and from seed to seed, and are never zero. */
export function pattern(bytes: number, seed: number): Uint8Array {
  const data = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at++) data[at] = ((at * 31 + seed * 17 + (at >>> 8) * 7) % 255) + 1;
  return data;
}
