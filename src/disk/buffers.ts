/**
 * Requests come with their bytes scattered over buffers; these functions treat such a list as one run of bytes.
 *
 * @module
 */
import type { Disk } from './disk.ts';

export type Buffers = readonly Uint8Array[];

export function totalBytes(buffers: Buffers): number {
  let total = 0;
  for (const buffer of buffers) total += buffer.length;
  return total;
}

/** The part of the run from `start`, `bytes` long, as views of the same memory. */
export function sliceBuffers(buffers: Buffers, start: number, bytes: number): Uint8Array[] {
  const slices: Uint8Array[] = [];
  let skip = start;
  let left = bytes;
  for (const buffer of buffers) {
    if (left === 0) break;
    if (skip >= buffer.length) {
      skip -= buffer.length;
      continue;
    }
    const take = Math.min(left, buffer.length - skip);
    slices.push(take === buffer.length ? buffer : buffer.subarray(skip, skip + take));
    skip = 0;
    left -= take;
  }
  return slices;
}

export function fillZero(buffers: Buffers): void {
  for (const buffer of buffers) buffer.fill(0);
}

/** Copies `from` into the buffers; it is as long as they are. */
export function scatter(from: Uint8Array, buffers: Buffers): void {
  let done = 0;
  for (const buffer of buffers) {
    buffer.set(from.subarray(done, done + buffer.length));
    done += buffer.length;
  }
}

/** One zero-filled piece that all writers of zeros share: nothing writes to it. */
const ZEROS = new Uint8Array(64 * 1024);

/** Buffers that hold `bytes` zeros, without memory of that size. They are not to be written to. */
export function zeroBuffers(bytes: number): Uint8Array[] {
  const buffers: Uint8Array[] = [];
  for (let left = bytes; left > 0; left -= ZEROS.length) buffers.push(ZEROS.subarray(0, Math.min(left, ZEROS.length)));
  return buffers;
}

/** Whether a buffer holds nothing but zeros. */
export function isZero(buffer: Uint8Array): boolean {
  const end = buffer.length;
  let at = 0;
  if (buffer.byteOffset % 8 === 0) {
    const words = new Float64Array(buffer.buffer, buffer.byteOffset, end >>> 3);
    // Eight bytes at a time; a negative zero, which is equal to zero, is told by its sign below.
    for (const word of words) if (word !== 0) return false;
    const halves = new Uint32Array(buffer.buffer, buffer.byteOffset, words.length * 2);
    for (let index = 1; index < halves.length; index += 2) if (halves[index] !== 0) return false;
    at = words.length * 8;
  }
  for (; at < end; at++) if (buffer[at] !== 0) return false;
  return true;
}

/**
 * Waits until all have ended, then rejects with the first error: a request that has failed no longer touches its buffers.
 */
export async function allSettled(operations: readonly Promise<void>[]): Promise<void> {
  if (operations.length === 1) return operations[0];
  for (const result of await Promise.allSettled(operations)) if (result.status === 'rejected') throw result.reason;
}

/** Throws RangeError unless the range lies on the disk. */
export function requireOnDisk(disk: Pick<Disk, 'name' | 'bytes'>, offset: number, bytes: number): void {
  if (!(Number.isSafeInteger(offset) && Number.isSafeInteger(bytes) && offset >= 0 && bytes >= 0)) {
    throw new RangeError(`${disk.name}: offset ${offset} with length ${bytes} is no range of bytes`);
  }
  if (offset > disk.bytes - bytes) {
    throw new RangeError(
      `${disk.name}: offset ${offset} + ${bytes} lies beyond the end of the disk (${disk.bytes} bytes)`,
    );
  }
}

/** A disk that may not be written to was asked to. */
export class ReadOnlyDiskError extends Error {
  override readonly name = 'ReadOnlyDiskError';
  constructor(disk: string) {
    super(`${disk}: the disk is read-only`);
  }
}
