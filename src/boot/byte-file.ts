/**
 * A file as the loaders read it: positioned reads, so that a large image goes straight into guest RAM.
 *
 * The contents are hostile. Every range is checked against the length of the file here, before the host sees it.
 *
 * @module
 */
import { type GuestMemory, gpa } from '../memory/guest-memory.ts';
import { KernelFormatError } from './kernel-format-error.ts';

export interface ByteFile {
  /** As the user knows it: appears in error messages. */
  readonly name: string;
  /** Length of the file. */
  readonly bytes: number;
  /** Fills `into` from `offset`; throws the host's own error when it cannot. `into` may lie in shared memory. */
  read(offset: number, into: Uint8Array): void;
}

/** Told after every piece of a file that went into RAM. */
export type LoadProgress = (file: string, doneBytes: number, totalBytes: number) => void;

/** Big enough for the speed of the host, small enough for a progress line. */
const PIECE_BYTES = 4 * 1024 * 1024;

/** A file that is already in memory. */
export function fileFromBytes(name: string, contents: Uint8Array): ByteFile {
  return {
    name,
    bytes: contents.length,
    read: (offset, into) => into.set(contents.subarray(offset, offset + into.length)),
  };
}

/** Throws KernelFormatError, naming `field`, unless the range lies in the file. */
export function requireInFile(file: ByteFile, field: string, offset: number, bytes: number): void {
  if (offset < 0 || bytes < 0 || !Number.isSafeInteger(offset + bytes) || offset + bytes > file.bytes) {
    const end = offset + bytes;
    throw new KernelFormatError(
      file.name,
      field,
      offset,
      `+ 0x${bytes.toString(16)} = 0x${end.toString(16)} lies beyond the end of the file (0x${file.bytes.toString(16)} bytes)`,
    );
  }
}

/** Reads a range of the file once, as a view that later reads of the file cannot change. */
export function readRange(file: ByteFile, field: string, offset: number, bytes: number): DataView {
  requireInFile(file, field, offset, bytes);
  const contents = new Uint8Array(bytes);
  if (bytes > 0) file.read(offset, contents);
  return new DataView(contents.buffer);
}

/** Copies a range of the file into RAM. The caller has checked that both ranges exist. */
export function copyToRam(
  file: ByteFile,
  offset: number,
  bytes: number,
  memory: GuestMemory,
  address: number,
  progress?: LoadProgress,
): void {
  const target = memory.slice(gpa(address), bytes);
  for (let done = 0; done < bytes; done += PIECE_BYTES) {
    const piece = target.subarray(done, Math.min(done + PIECE_BYTES, bytes));
    file.read(offset + done, piece);
    progress?.(file.name, done + piece.length, bytes);
  }
}
