/**
 * A disk image's file past the page cache (O_DIRECT), for requests of any shape. What is aligned in the file and in memory goes
 * straight through; the rest goes by way of aligned memory, and where a write begins or ends inside a block, that block is read first.
 * Writes to the same block come one after the other.
 *
 * @module
 */
import { scatter, sliceBuffers, totalBytes, type Buffers } from '../../disk/buffers.ts';
import type { ImageFile } from '../../disk/image-file.ts';
import { RangeLock } from '../../disk/range-lock.ts';
import { DIRECT_ALIGNMENT, type ImageFileOptions, type NodeImageFile, openImageFile } from './image-file.ts';
import { type LinuxCalls, linuxCalls } from './linux-calls.ts';

/** Aligned memory comes in pieces of this size, and larger requests are done piece by piece. */
const PIECE_BYTES = 1024 * 1024;
const WASM_PAGE_BYTES = 65536;
/** Pieces that are kept for later. */
const KEPT_PIECES = 8;

const alignDown = (value: number): number => Math.floor(value / DIRECT_ALIGNMENT) * DIRECT_ALIGNMENT;
const alignUp = (value: number): number => Math.ceil(value / DIRECT_ALIGNMENT) * DIRECT_ALIGNMENT;

/** Opens an image's file past the page cache. Throws FileError. */
export async function openDirectFile(path: string, options: ImageFileOptions): Promise<DirectFile> {
  return new DirectFile(await openImageFile(path, { ...options, direct: true }), linuxCalls());
}

export class DirectFile implements ImageFile {
  readonly name: string;
  readonly readOnly: boolean;
  readonly identity: string;
  readonly isBlockDevice: boolean;
  readonly truncate: ((bytes: number) => Promise<void>) | undefined;
  readonly #file: NodeImageFile;
  readonly #calls: LinuxCalls | undefined;
  /** Blocks that are written to. */
  readonly #blocks = new RangeLock();
  readonly #pieces: Uint8Array[] = [];
  /** The file's own may be more for a moment, while a last block is written. */
  #bytes: number;

  constructor(file: NodeImageFile, calls: LinuxCalls | undefined) {
    this.name = file.name;
    this.readOnly = file.readOnly;
    this.identity = file.identity;
    this.isBlockDevice = file.isBlockDevice;
    this.#file = file;
    this.#calls = calls;
    this.#bytes = file.bytes;
    const { truncate } = file;
    if (truncate !== undefined) {
      this.truncate = (bytes) =>
        this.#holding(0, Infinity, async () => {
          await truncate.call(file, bytes);
          this.#bytes = bytes;
        });
    }
  }

  get bytes(): number {
    return this.#bytes;
  }

  get punchHole(): ((offset: number, bytes: number) => Promise<void>) | undefined {
    const punch = this.#file.punchHole;
    return punch && ((offset, bytes) => this.#holding(offset, offset + bytes, () => punch(offset, bytes)));
  }

  zeroRange(offset: number, bytes: number): Promise<boolean> {
    return this.#holding(offset, offset + bytes, () => this.#file.zeroRange(offset, bytes));
  }

  get nextData(): ((offset: number) => number) | undefined {
    return this.#file.nextData;
  }

  async read(offset: number, into: Buffers): Promise<void> {
    const total = totalBytes(into);
    if (this.#isAligned(offset, into)) return this.#file.read(offset, into);
    for (let done = 0; done < total; ) {
      const start = alignDown(offset + done);
      const skip = offset + done - start;
      const bytes = Math.min(total - done, PIECE_BYTES - skip);
      await this.#withPiece(async (piece) => {
        await this.#file.read(start, [piece.subarray(0, alignUp(skip + bytes))]);
        scatter(piece.subarray(skip, skip + bytes), sliceBuffers(into, done, bytes));
      });
      done += bytes;
    }
  }

  async write(offset: number, from: Buffers): Promise<void> {
    const total = totalBytes(from);
    if (total === 0) return;
    const end = offset + total;
    // Who makes the file longer does it alone: the length is set behind it.
    const isLonger = alignUp(end) > this.#bytes;
    await this.#holding(offset, isLonger ? Infinity : end, async () => {
      if (this.#isAligned(offset, from)) await this.#file.write(offset, from);
      else await this.#writePieces(offset, from, total);
      this.#bytes = Math.max(this.#bytes, end);
      if (this.#file.bytes > this.#bytes) await this.#file.truncate?.(this.#bytes);
    });
  }

  flush(): Promise<void> {
    return this.#file.flush();
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  async #writePieces(offset: number, from: Buffers, total: number): Promise<void> {
    for (let done = 0; done < total; ) {
      const start = alignDown(offset + done);
      const skip = offset + done - start;
      const bytes = Math.min(total - done, PIECE_BYTES - skip);
      await this.#withPiece(async (piece) => {
        const length = alignUp(skip + bytes);
        const last = length - DIRECT_ALIGNMENT;
        if (skip > 0) await this.#file.read(start, [piece.subarray(0, DIRECT_ALIGNMENT)]);
        const isLastPartial = skip + bytes < length;
        if (isLastPartial && (skip === 0 || last > 0))
          await this.#file.read(start + last, [piece.subarray(last, length)]);
        let at = skip;
        for (const buffer of sliceBuffers(from, done, bytes)) {
          piece.set(buffer, at);
          at += buffer.length;
        }
        await this.#file.write(start, [piece.subarray(0, length)]);
      });
      done += bytes;
    }
  }

  #isAligned(offset: number, buffers: Buffers): boolean {
    const calls = this.#calls;
    if (offset % DIRECT_ALIGNMENT !== 0 || calls === undefined) return false;
    return buffers.every(
      (buffer) =>
        buffer.length > 0 && buffer.length % DIRECT_ALIGNMENT === 0 && calls.isAligned(buffer, DIRECT_ALIGNMENT),
    );
  }

  /** Runs work that changes the bytes from `start` to `end`, while nobody else changes their blocks. */
  async #holding<T>(start: number, end: number, work: () => Promise<T>): Promise<T> {
    const release = await this.#blocks.acquire(
      Math.floor(start / DIRECT_ALIGNMENT),
      Math.ceil(end / DIRECT_ALIGNMENT) - 1,
    );
    try {
      return await work();
    } finally {
      release();
    }
  }

  async #withPiece(work: (piece: Uint8Array) => Promise<void>): Promise<void> {
    // WebAssembly's memory begins on a page of the system; an ArrayBuffer's need not.
    const piece =
      this.#pieces.pop() ?? new Uint8Array(new WebAssembly.Memory({ initial: PIECE_BYTES / WASM_PAGE_BYTES }).buffer);
    try {
      await work(piece);
    } finally {
      if (this.#pieces.length < KEPT_PIECES) this.#pieces.push(piece);
    }
  }
}
