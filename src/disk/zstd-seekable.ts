/**
 * Zstandard's seekable format (zstd, contrib/seekable_format), read-only: zstd frames one after the other, and a table of their
 * lengths at the end, in a frame that decompressors skip. Checksums of the table are not looked at; frames may have their own. All
 * numbers are little-endian.
 *
 * @module
 */
import { scatter, type Buffers } from './buffers.ts';
import type { Decompressors } from './decompressors.ts';
import { DiskFormatError } from './disk-format-error.ts';
import type { ImageFile } from './image-file.ts';
import { ReadOnlyDisk } from './read-only.ts';

const SEEKABLE_MAGIC = 0x8f92_eab1;
/** A skippable frame's, with the number that the format chose. */
const SEEK_TABLE_MAGIC = 0x184d_2a5e;
const FOOTER_BYTES = 9;
const SKIPPABLE_HEADER_BYTES = 8;
const MAX_FRAMES = 1 << 22;
/** A read of one byte unpacks a frame: larger ones make no sense as a disk. */
const MAX_FRAME_BYTES = 64 * 1024 * 1024;
/** Memory for frames that were unpacked last; one is kept however large. */
const CACHE_BYTES = 32 * 1024 * 1024;

export class ZstdSeekableDisk extends ReadOnlyDisk {
  readonly #decompressors: Decompressors;
  /** Where frames begin in the file, and where the last ends. */
  readonly #offsets: Float64Array;
  readonly #sizes: Uint32Array;
  /** By frame, the latest last. */
  readonly #cache = new Map<number, Promise<Uint8Array>>();
  #cachedBytes = 0;

  private constructor(
    file: ImageFile,
    starts: Float64Array,
    offsets: Float64Array,
    sizes: Uint32Array,
    decompressors: Decompressors,
  ) {
    super(file, starts);
    this.#offsets = offsets;
    this.#sizes = sizes;
    this.#decompressors = decompressors;
  }

  /** Reads the table. Throws DiskFormatError. */
  static async open(file: ImageFile, decompressors: Decompressors): Promise<ZstdSeekableDisk> {
    const refuse = (field: string, value: number, reason: string): never => {
      throw new DiskFormatError(file.name, field, value, reason);
    };
    if (file.bytes < SKIPPABLE_HEADER_BYTES + FOOTER_BYTES)
      refuse('length', file.bytes, 'is too short for a seek table');
    const footer = new DataView(new ArrayBuffer(FOOTER_BYTES));
    await file.read(file.bytes - FOOTER_BYTES, [new Uint8Array(footer.buffer)]);
    const magic = footer.getUint32(5, true);
    if (magic !== SEEKABLE_MAGIC)
      refuse('seekable magic', magic, 'is not there: zstd data without a seek table is no disk');
    const descriptor = footer.getUint8(4);
    if (descriptor & 0x7c) refuse('seek table descriptor', descriptor, 'has reserved bits set');
    const entryBytes = descriptor & 0x80 ? 12 : 8;
    const frames = footer.getUint32(0, true);
    const tableBytes = SKIPPABLE_HEADER_BYTES + frames * entryBytes + FOOTER_BYTES;
    if (frames > MAX_FRAMES || tableBytes > file.bytes)
      refuse('number of frames', frames, 'is more than the file can hold');
    const table = new DataView(new ArrayBuffer(tableBytes));
    await file.read(file.bytes - tableBytes, [new Uint8Array(table.buffer)]);
    const tableMagic = table.getUint32(0, true);
    if (tableMagic !== SEEK_TABLE_MAGIC) refuse('seek table magic', tableMagic, 'is not that of a seek table');
    const frameBytes = table.getUint32(4, true);
    if (frameBytes !== tableBytes - SKIPPABLE_HEADER_BYTES)
      refuse('seek table size', frameBytes, 'does not agree with its frames');
    const starts = new Float64Array(frames + 1);
    const offsets = new Float64Array(frames + 1);
    const sizes = new Uint32Array(frames);
    for (let frame = 0; frame < frames; frame++) {
      const at = SKIPPABLE_HEADER_BYTES + frame * entryBytes;
      const size = table.getUint32(at + 4, true);
      if (size > MAX_FRAME_BYTES) refuse(`size of frame ${frame}`, size, 'is more than 64 MiB');
      const packed = table.getUint32(at, true);
      // zstd leaves what it cannot pack as it is, with three bytes per 128 KiB and a header.
      if (packed > size + size / 64 + 1024)
        refuse(`packed size of frame ${frame}`, packed, 'is more than it unpacks to');
      sizes[frame] = size;
      offsets[frame + 1] = (offsets[frame] ?? 0) + packed;
      starts[frame + 1] = (starts[frame] ?? 0) + size;
    }
    const end = offsets[frames] ?? 0;
    if (end !== file.bytes - tableBytes)
      refuse('length of all frames', end, `is not the ${file.bytes - tableBytes} bytes before the table`);
    return new ZstdSeekableDisk(file, starts, offsets, sizes, decompressors);
  }

  protected async readPiece(frame: number, start: number, into: Buffers): Promise<void> {
    let contents = this.#cache.get(frame);
    if (contents === undefined) {
      contents = this.#unpack(frame);
      this.#cachedBytes += this.#sizes[frame] ?? 0;
      contents.catch(() => this.#drop(frame));
    } else this.#cache.delete(frame);
    this.#cache.set(frame, contents);
    for (const oldest of this.#cache.keys()) {
      if (this.#cachedBytes <= CACHE_BYTES || oldest === frame) break;
      this.#drop(oldest);
    }
    scatter((await contents).subarray(start), into);
  }

  #drop(frame: number): void {
    if (this.#cache.delete(frame)) this.#cachedBytes -= this.#sizes[frame] ?? 0;
  }

  async #unpack(frame: number): Promise<Uint8Array> {
    const offset = this.#offsets[frame] ?? 0;
    const size = this.#sizes[frame] ?? 0;
    const packed = new Uint8Array((this.#offsets[frame + 1] ?? 0) - offset);
    await this.file.read(offset, [packed]);
    let contents: Uint8Array;
    try {
      contents = await this.#decompressors.zstd(packed, size);
    } catch (error) {
      throw new DiskFormatError(this.name, `frame ${frame} at`, offset, 'cannot be unpacked', error);
    }
    if (contents.length !== size)
      throw new DiskFormatError(this.name, `frame ${frame} at`, offset, `has ${contents.length} bytes, not ${size}`);
    return contents;
  }
}
