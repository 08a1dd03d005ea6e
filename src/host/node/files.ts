/**
 * Files of the host as the loaders read them: opened once, checked, read in positioned pieces so that an image goes
 * straight into guest RAM. Every failure is a `FileError` that names what the file is for, its path and the reason.
 *
 * @module
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { ByteFile } from '../../boot/byte-file.ts';

export class FileError extends Error {
  override readonly name = 'FileError';
  readonly path: string;
  /** The system's error code, such as ENOENT, or a code of our own: EMPTY, ETOOLARGE, ESHORT. */
  readonly code: string;
  constructor(role: string, path: string, code: string, reason: string, cause?: unknown) {
    super(`${role} ${JSON.stringify(path)}: ${reason} (${code})`, { cause });
    this.path = path;
    this.code = code;
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'permission denied',
  EISDIR: 'it is a folder',
  ENOTDIR: 'a part of its path is not a folder',
  ELOOP: 'its path has too many symbolic links',
  EMFILE: 'too many files are open',
  ENAMETOOLONG: 'its path is too long',
  EIO: 'the system cannot read it',
  ENOSPC: 'no space is left on its device',
  ENXIO: 'nobody reads this pipe',
  EROFS: 'its file system is read-only',
};

/** The system's error, told in terms of the file. */
export function systemError(role: string, path: string, error: unknown): FileError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'EUNKNOWN';
  const message = error instanceof Error ? error.message : String(error);
  return new FileError(role, path, code, REASONS[code] ?? message, error);
}

/** Runs a system call on a file. */
function attempt<T>(role: string, path: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw systemError(role, path, error);
  }
}

/** An open file; whoever opens it disposes of it. */
export interface HostFile extends ByteFile, Disposable {}

/** Pieces in which a pipe is read. */
const PIPE_PIECE_BYTES = 1024 * 1024;

/** Reads until the end, at most `maxBytes` and one more, which shows that there is more. */
function readPipe(fd: number, maxBytes: number): Uint8Array<ArrayBuffer> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  while (bytes <= maxBytes) {
    const piece = new Uint8Array(Math.min(PIPE_PIECE_BYTES, maxBytes + 1 - bytes));
    const got = readSync(fd, piece, 0, piece.length, null);
    if (got === 0) break;
    pieces.push(piece.subarray(0, got));
    bytes += got;
  }
  const whole = new Uint8Array(bytes);
  let offset = 0;
  for (const piece of pieces) {
    whole.set(piece, offset);
    offset += piece.length;
  }
  return whole;
}

/**
 * Opens a file for reading. `role` says what it is for ("kernel", "initrd") and starts every error message. An empty file
 * is refused, and so is one of more than `maxBytes`. A pipe, as the shell makes for `<(zcat x)`, is read to its end here.
 */
export function openFile(path: string, role: string, maxBytes: number): HostFile {
  const fd = attempt(role, path, () => openSync(path, 'r'));
  try {
    const stat = attempt(role, path, () => fstatSync(fd));
    if (stat.isDirectory()) throw new FileError(role, path, 'EISDIR', REASONS['EISDIR'] ?? '');
    const contents = stat.isFile() ? undefined : attempt(role, path, () => readPipe(fd, maxBytes));
    const bytes = contents?.length ?? stat.size;
    if (bytes === 0) throw new FileError(role, path, 'EMPTY', 'it is empty');
    if (bytes > maxBytes) {
      const size = contents === undefined ? `it has ${bytes} bytes` : 'it has more';
      throw new FileError(role, path, 'ETOOLARGE', `${size}, and at most ${maxBytes} are possible here`);
    }
    return {
      name: path,
      bytes,
      read: (offset, into) => {
        if (contents !== undefined) into.set(contents.subarray(offset, offset + into.length));
        else readFully(fd, offset, into, role, path);
      },
      [Symbol.dispose]: () => closeSync(fd),
    };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Fills `into`; a file that shrank since it was opened is an error. */
function readFully(fd: number, offset: number, into: Uint8Array, role: string, path: string): void {
  let done = 0;
  while (done < into.length) {
    const got = attempt(role, path, () => readSync(fd, into, done, into.length - done, offset + done));
    if (got === 0) {
      throw new FileError(role, path, 'ESHORT', `it ends at byte ${offset + done}; it was longer when it was opened`);
    }
    done += got;
  }
}
