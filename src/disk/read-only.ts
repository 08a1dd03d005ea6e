/** What formats that are only read have in common. @module */
import { ReadOnlyDiskError, requireOnDisk, sliceBuffers, totalBytes, type Buffers } from './buffers.ts';
import type { Disk } from './disk.ts';
import type { ImageFile } from './image-file.ts';

/** A disk made of pieces, each of which is read in its own way. */
export abstract class ReadOnlyDisk implements Disk {
  readonly name: string;
  readonly bytes: number;
  readonly readOnly = true;
  readonly resize = undefined;
  protected readonly file: ImageFile;
  /** Where the pieces begin on the disk, in order, and where the last ends. */
  readonly #starts: Float64Array;

  constructor(file: ImageFile, starts: Float64Array) {
    this.name = file.name;
    this.file = file;
    this.#starts = starts;
    this.bytes = starts.at(-1) ?? 0;
  }

  async read(offset: number, into: Buffers): Promise<void> {
    const total = totalBytes(into);
    requireOnDisk(this, offset, total);
    let piece = total === 0 ? 0 : pieceAt(this.#starts, offset);
    for (let done = 0; done < total; piece++) {
      const start = offset + done - (this.#starts[piece] ?? 0);
      const bytes = Math.min(total - done, (this.#starts[piece + 1] ?? 0) - (offset + done));
      if (bytes > 0) await this.readPiece(piece, start, sliceBuffers(into, done, bytes));
      done += bytes;
    }
  }

  /** Fills the buffers from `start` in a piece; they do not go beyond its end. */
  protected abstract readPiece(piece: number, start: number, into: Buffers): Promise<void>;

  async write(): Promise<void> {
    throw new ReadOnlyDiskError(this.name);
  }

  async flush(): Promise<void> {}

  async discard(): Promise<void> {
    throw new ReadOnlyDiskError(this.name);
  }

  async writeZeroes(): Promise<void> {
    throw new ReadOnlyDiskError(this.name);
  }

  close(): Promise<void> {
    return this.file.close();
  }
}

/** The last piece that begins at or before an offset. `starts` is in order; pieces may be empty. */
export function pieceAt(starts: Float64Array, offset: number): number {
  let low = 0;
  let high = starts.length - 1;
  while (low + 1 < high) {
    const middle = (low + high) >> 1;
    if ((starts[middle] ?? 0) <= offset) low = middle;
    else high = middle;
  }
  return low;
}
