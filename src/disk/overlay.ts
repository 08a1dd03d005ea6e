/**
 * A disk whose changes stay in memory: reads see them over the disk below, which is never written to. Memory grows with what the
 * guest writes; what it discards or zeroes gives it back.
 *
 * @module
 */
import { fillZero, requireOnDisk, scatter, sliceBuffers, totalBytes, type Buffers } from './buffers.ts';
import type { Disk } from './disk.ts';

/** Changes are kept in pieces of this size: a change of one byte costs so much memory. */
const PIECE_BYTES = 64 * 1024;

/** Stands for a piece that reads as zeros, without its memory. */
const ZERO = new Uint8Array(0);

export class OverlayDisk implements Disk {
  readonly name: string;
  readonly readOnly = false;
  readonly #base: Disk;
  #bytes: number;
  /** How far the disk below counts: it ends there, or was cut off there. */
  #baseBytes: number;
  /** What differs from the disk below, by number. A piece that is read from below yet is a promise. */
  readonly #pieces = new Map<number, Uint8Array | Promise<Uint8Array>>();

  constructor(base: Disk) {
    this.name = base.name;
    this.#base = base;
    this.#bytes = base.bytes;
    this.#baseBytes = base.bytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  async read(offset: number, into: Buffers): Promise<void> {
    requireOnDisk(this, offset, totalBytes(into));
    for (const { piece, start, at, bytes } of pieces(offset, totalBytes(into))) {
      const target = sliceBuffers(into, at, bytes);
      const contents = await this.#pieces.get(piece);
      if (contents === undefined) await this.#readBase(piece * PIECE_BYTES + start, target);
      else if (contents === ZERO) fillZero(target);
      else scatter(contents.subarray(start), target);
    }
  }

  async write(offset: number, from: Buffers): Promise<void> {
    requireOnDisk(this, offset, totalBytes(from));
    for (const { piece, start, at, bytes } of pieces(offset, totalBytes(from))) {
      const contents = await this.#writable(piece);
      let done = start;
      for (const buffer of sliceBuffers(from, at, bytes)) {
        contents.set(buffer, done);
        done += buffer.length;
      }
    }
  }

  async flush(): Promise<void> {}

  discard(offset: number, bytes: number): Promise<void> {
    return this.writeZeroes(offset, bytes);
  }

  async writeZeroes(offset: number, bytes: number): Promise<void> {
    requireOnDisk(this, offset, bytes);
    for (const { piece, start, bytes: length } of pieces(offset, bytes)) {
      const isWhole = start === 0 && (length === PIECE_BYTES || piece * PIECE_BYTES + length === this.#bytes);
      // A piece that is being read from below is waited for: it would come back.
      if (isWhole) {
        await this.#pieces.get(piece);
        this.#pieces.set(piece, ZERO);
      } else (await this.#writable(piece)).fill(0, start, start + length);
    }
  }

  readonly resize = async (bytes: number): Promise<void> => {
    if (!Number.isSafeInteger(bytes) || bytes < 0) throw new RangeError(`${this.name}: ${bytes} is no size`);
    if (bytes < this.#bytes) {
      const last = Math.floor(bytes / PIECE_BYTES);
      for (const piece of this.#pieces.keys()) if (piece > last) this.#pieces.delete(piece);
      const contents = await this.#pieces.get(last);
      contents?.fill(0, bytes - last * PIECE_BYTES);
      this.#baseBytes = Math.min(this.#baseBytes, bytes);
    }
    this.#bytes = bytes;
  };

  close(): Promise<void> {
    this.#pieces.clear();
    return this.#base.close();
  }

  /** A piece's own memory, filled from below when it had none. */
  async #writable(piece: number): Promise<Uint8Array> {
    const found = this.#pieces.get(piece);
    const contents = await found;
    if (contents !== undefined && contents !== ZERO) return contents;
    // Somebody else may have been faster while this one waited.
    if (this.#pieces.get(piece) !== found) return this.#writable(piece);
    const fresh = new Uint8Array(PIECE_BYTES);
    if (contents === ZERO) {
      this.#pieces.set(piece, fresh);
      return fresh;
    }
    const filled = this.#readBase(piece * PIECE_BYTES, [fresh]).then(() => fresh);
    this.#pieces.set(piece, filled);
    try {
      await filled;
    } catch (error) {
      this.#pieces.delete(piece);
      throw error;
    }
    if (this.#pieces.get(piece) === filled) this.#pieces.set(piece, fresh);
    return fresh;
  }

  async #readBase(offset: number, into: Buffers): Promise<void> {
    const bytes = totalBytes(into);
    const there = Math.max(0, Math.min(bytes, this.#baseBytes - offset));
    fillZero(sliceBuffers(into, there, bytes - there));
    if (there > 0) await this.#base.read(offset, sliceBuffers(into, 0, there));
  }

  /** Pieces that take memory. */
  get piecesInMemory(): number {
    let count = 0;
    for (const contents of this.#pieces.values()) if (contents !== ZERO) count++;
    return count;
  }
}

interface Part {
  readonly piece: number;
  /** In the piece. */
  readonly start: number;
  /** In the request. */
  readonly at: number;
  readonly bytes: number;
}

function* pieces(offset: number, bytes: number): IterableIterator<Part> {
  for (let at = 0; at < bytes; ) {
    const piece = Math.floor((offset + at) / PIECE_BYTES);
    const start = offset + at - piece * PIECE_BYTES;
    const length = Math.min(bytes - at, PIECE_BYTES - start);
    yield { piece, start, at, bytes: length };
    at += length;
  }
}
