/** Copies the contents of a disk to another, without what reads as zeros. @module */
import { isZero } from '../../disk/buffers.ts';
import type { Disk } from '../../disk/disk.ts';
import type { SparseDisk } from '../../disk/image-file.ts';

/** Big enough for the speed of the host, small enough for a progress line. */
const PIECE_BYTES = 2 * 1024 * 1024;
/** Zeros shorter than that are written: leaving them out would make more pieces than it saves. */
const GRAIN_BYTES = 64 * 1024;

export type Progress = (doneBytes: number) => void;

/** Writes what is not zero on a disk to an empty `target`, which has room for it. */
export async function copyData(source: Disk & Partial<SparseDisk>, target: Disk, progress: Progress): Promise<void> {
  const { bytes } = source;
  const buffer = new Uint8Array(Math.min(PIECE_BYTES, bytes));
  for (let offset = 0; offset < bytes; ) {
    const data = (await source.nextData?.(offset)) ?? offset;
    // Pieces keep their alignment: a hole may end anywhere.
    offset = Math.max(offset, Math.floor(data / GRAIN_BYTES) * GRAIN_BYTES);
    if (data < bytes) {
      const piece = buffer.subarray(0, Math.min(PIECE_BYTES, bytes - offset));
      await source.read(offset, [piece]);
      for (const [start, end] of dataRuns(piece)) await target.write(offset + start, [piece.subarray(start, end)]);
      offset += piece.length;
    } else offset = bytes;
    progress(offset);
  }
}

/** The runs of a piece that hold something, in whole grains. */
function* dataRuns(piece: Uint8Array): IterableIterator<[start: number, end: number]> {
  let start = -1;
  for (let at = 0; at < piece.length; at += GRAIN_BYTES) {
    const isData = !isZero(piece.subarray(at, at + GRAIN_BYTES));
    if (isData && start < 0) start = at;
    if (!isData && start >= 0) {
      yield [start, at];
      start = -1;
    }
  }
  if (start >= 0) yield [start, piece.length];
}
