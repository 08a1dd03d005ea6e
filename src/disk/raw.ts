/**
 * A raw image: byte n of the file is byte n of the disk. Holes of the file stay holes: zeros that may be unmapped, and
 * discards, become holes where the host can punch them. Other zeros are the host's to make where it can, else written.
 *
 * @module
 */
import { ReadOnlyDiskError, requireOnDisk, totalBytes, zeroBuffers, type Buffers } from './buffers.ts';
import type { Disk } from './disk.ts';
import type { ImageFile, SparseDisk } from './image-file.ts';

/** Zeros are written in pieces of this size, so that a large range does not hold up other requests. */
const ZERO_PIECE_BYTES = 1024 * 1024;

export class RawDisk implements Disk, SparseDisk {
  readonly name: string;
  readonly readOnly: boolean;
  readonly resize: ((bytes: number) => Promise<void>) | undefined;
  readonly #file: ImageFile;
  /** The file's length when it was opened or resized: nothing else moves the end of the disk. */
  #bytes: number;

  constructor(file: ImageFile) {
    this.name = file.name;
    this.readOnly = file.readOnly;
    this.#file = file;
    this.#bytes = file.bytes;
    const { truncate } = file;
    this.resize =
      truncate === undefined
        ? undefined
        : async (bytes) => {
            this.#requireWritable();
            await truncate.call(file, bytes);
            this.#bytes = bytes;
          };
  }

  get bytes(): number {
    return this.#bytes;
  }

  async read(offset: number, into: Buffers): Promise<void> {
    requireOnDisk(this, offset, totalBytes(into));
    await this.#file.read(offset, into);
  }

  async write(offset: number, from: Buffers): Promise<void> {
    this.#requireWritable();
    requireOnDisk(this, offset, totalBytes(from));
    await this.#file.write(offset, from);
  }

  flush(): Promise<void> {
    return this.#file.flush();
  }

  async discard(offset: number, bytes: number): Promise<void> {
    this.#requireWritable();
    requireOnDisk(this, offset, bytes);
    if (bytes > 0) await this.#file.punchHole?.(offset, bytes);
  }

  async writeZeroes(offset: number, bytes: number, unmap: boolean): Promise<void> {
    this.#requireWritable();
    requireOnDisk(this, offset, bytes);
    if (unmap && bytes > 0 && this.#file.punchHole !== undefined) {
      await this.#file.punchHole(offset, bytes);
      return;
    }
    if (bytes > 0 && (await this.#file.zeroRange(offset, bytes))) return;
    for (let done = 0; done < bytes; done += ZERO_PIECE_BYTES) {
      await this.#file.write(offset + done, zeroBuffers(Math.min(bytes - done, ZERO_PIECE_BYTES)));
    }
  }

  async nextData(offset: number): Promise<number> {
    return Math.min(this.#bytes, this.#file.nextData?.(offset) ?? offset);
  }

  async close(): Promise<void> {
    try {
      if (!this.readOnly) await this.#file.flush();
    } finally {
      await this.#file.close();
    }
  }

  #requireWritable(): void {
    if (this.readOnly) throw new ReadOnlyDiskError(this.name);
  }
}
