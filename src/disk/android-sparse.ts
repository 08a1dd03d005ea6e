/**
 * Android's sparse images (AOSP, system/core/libsparse/sparse_format.h), read-only: a list of chunks that hold data, a repeated
 * word, or nothing. Checksums are not looked at. All numbers are little-endian.
 *
 * @module
 */
import { fillZero, type Buffers } from './buffers.ts';
import { DiskFormatError } from './disk-format-error.ts';
import type { ImageFile } from './image-file.ts';
import { ReadOnlyDisk } from './read-only.ts';

export const ANDROID_SPARSE_MAGIC = 0xed26_ff3a;
const HEADER_BYTES = 28;
const CHUNK_HEADER_BYTES = 12;

const CHUNK_TYPE_RAW = 0xcac1;
const CHUNK_TYPE_FILL = 0xcac2;
const CHUNK_TYPE_DONT_CARE = 0xcac3;
const CHUNK_TYPE_CRC32 = 0xcac4;

/** Images of many gigabytes have some ten thousand chunks. */
const MAX_CHUNKS = 1 << 20;
const MAX_BLOCK_BYTES = 1 << 30;
/** The list is read in pieces of this size, for small chunks stand close together. */
const WINDOW_BYTES = 64 * 1024;

/** What stands at an offset of the file, read by way of a window that moves forward. */
class Window {
  readonly #file: ImageFile;
  readonly #bytes = new Uint8Array(WINDOW_BYTES);
  #start = -WINDOW_BYTES;

  constructor(file: ImageFile) {
    this.#file = file;
  }

  async view(offset: number, bytes: number): Promise<DataView> {
    if (offset < this.#start || offset + bytes > this.#start + WINDOW_BYTES) {
      await this.#file.read(offset, [this.#bytes]);
      this.#start = offset;
    }
    return new DataView(this.#bytes.buffer, offset - this.#start, bytes);
  }
}

export class AndroidSparseDisk extends ReadOnlyDisk {
  /** By chunk: where its data is in the file, or -1. */
  readonly #data: Float64Array;
  /** By chunk: the word that it repeats. */
  readonly #fill: Uint32Array;

  private constructor(file: ImageFile, starts: Float64Array, data: Float64Array, fill: Uint32Array) {
    super(file, starts);
    this.#data = data;
    this.#fill = fill;
  }

  /** Reads the list of chunks. Throws DiskFormatError. */
  static async open(file: ImageFile): Promise<AndroidSparseDisk> {
    const refuse = (field: string, value: number, reason: string): never => {
      throw new DiskFormatError(file.name, field, value, reason);
    };
    if (file.bytes < HEADER_BYTES) refuse('length', file.bytes, 'is too short for a sparse image');
    const window = new Window(file);
    const header = await window.view(0, HEADER_BYTES);
    const magic = header.getUint32(0, true);
    if (magic !== ANDROID_SPARSE_MAGIC) refuse('magic', magic, 'is not that of a sparse image');
    const major = header.getUint16(4, true);
    if (major !== 1) refuse('major_version', major, 'is not 1');
    const [headerBytes, chunkHeaderBytes] = [header.getUint16(8, true), header.getUint16(10, true)];
    if (headerBytes < HEADER_BYTES) refuse('file_hdr_sz', headerBytes, 'is less than 28');
    if (chunkHeaderBytes < CHUNK_HEADER_BYTES) refuse('chunk_hdr_sz', chunkHeaderBytes, 'is less than 12');
    const blockBytes = header.getUint32(12, true);
    if (blockBytes === 0 || blockBytes % 4 !== 0 || blockBytes > MAX_BLOCK_BYTES)
      refuse('blk_sz', blockBytes, 'is not a multiple of 4 up to 1 GiB');
    const [totalBlocks, chunks] = [header.getUint32(16, true), header.getUint32(20, true)];
    if (chunks > MAX_CHUNKS || headerBytes + chunks * chunkHeaderBytes > file.bytes)
      refuse('total_chunks', chunks, 'is more than the file can hold');
    const starts = new Float64Array(chunks + 1);
    const data = new Float64Array(chunks).fill(-1);
    const fill = new Uint32Array(chunks);
    let blocks = 0;
    let at: number = headerBytes;
    for (let chunk = 0; chunk < chunks; chunk++) {
      if (at + chunkHeaderBytes > file.bytes) refuse('chunk', chunk, 'lies beyond the end of the file');
      const view = await window.view(at, CHUNK_HEADER_BYTES + 4);
      const type = view.getUint16(0, true);
      const chunkBlocks = view.getUint32(4, true);
      const bytes = view.getUint32(8, true) - chunkHeaderBytes;
      const expected = bodyBytes(type, chunkBlocks * blockBytes);
      if (expected === undefined) return refuse(`type of chunk ${chunk}`, type, 'is not known');
      if (bytes !== expected)
        refuse(`total_sz of chunk ${chunk}`, bytes + chunkHeaderBytes, 'does not agree with its type and blocks');
      if (at + chunkHeaderBytes + bytes > file.bytes) refuse('chunk', chunk, 'goes beyond the end of the file');
      if (type === CHUNK_TYPE_CRC32 && chunkBlocks !== 0)
        refuse(`blocks of chunk ${chunk}`, chunkBlocks, 'are too many for a checksum');
      if (type === CHUNK_TYPE_RAW) data[chunk] = at + chunkHeaderBytes;
      if (type === CHUNK_TYPE_FILL) fill[chunk] = (await window.view(at + chunkHeaderBytes, 4)).getUint32(0, true);
      blocks += chunkBlocks;
      starts[chunk + 1] = blocks * blockBytes;
      at += chunkHeaderBytes + bytes;
    }
    if (blocks !== totalBlocks) refuse('total_blks', totalBlocks, `is not the ${blocks} blocks of all chunks`);
    return new AndroidSparseDisk(file, starts, data, fill);
  }

  protected async readPiece(chunk: number, start: number, into: Buffers): Promise<void> {
    const data = this.#data[chunk] ?? -1;
    if (data >= 0) return this.file.read(data + start, into);
    const word = this.#fill[chunk] ?? 0;
    if (word === 0) return fillZero(into);
    let phase = start;
    for (const buffer of into) {
      for (let index = 0; index < buffer.length; index++, phase++) buffer[index] = word >>> (8 * (phase & 3));
    }
  }
}

/** How long a chunk of a type is behind its header. */
function bodyBytes(type: number, dataBytes: number): number | undefined {
  switch (type) {
    case CHUNK_TYPE_RAW:
      return dataBytes;
    case CHUNK_TYPE_FILL:
    case CHUNK_TYPE_CRC32:
      return 4;
    case CHUNK_TYPE_DONT_CARE:
      return 0;
    default:
      return undefined;
  }
}
