/**
 * A disk image's file on Linux: positioned reads and writes on Node's pool, straight from and to the buffers, which may be
 * the guest's memory.
 *
 * A file that may be written to is locked against everybody else, one that is only read against writers, with flock(2) as crosvm
 * does it, and with QEMU's own locks (`qemu-locks.ts`). Refuses folders, pipes and character devices.
 *
 * @module
 */
import {
  close,
  closeSync,
  constants,
  fdatasync,
  fstatSync,
  ftruncate,
  openSync,
  readv,
  writev,
  type Stats,
} from 'node:fs';
import { getSystemErrorName } from 'node:util';
import type { ImageFile } from '../../disk/image-file.ts';
import { fillZero, sliceBuffers, totalBytes, zeroBuffers, type Buffers } from '../../disk/buffers.ts';
import { FileError, systemError } from './files.ts';
import { lockAsQemu } from './qemu-locks.ts';
import {
  LOCK_EX,
  LOCK_NB,
  LOCK_SH,
  type LinuxCalls,
  linuxCalls,
  MAX_CACHED_BUFFERS,
  MIN_CACHED_BYTES,
} from './linux-calls.ts';

export interface ImageFileOptions {
  readonly readOnly: boolean;
  /** What the file is, in messages. The default is disk. */
  readonly role?: string;
  /** Whether others are kept from writing, and from reading what is written here. The default is true. */
  readonly lock?: boolean;
  /** Whether space may be given back. The default is true. */
  readonly sparse?: boolean;
  /**
   * Past the page cache (O_DIRECT): offsets, lengths and addresses are multiples of `DIRECT_ALIGNMENT`, for which
   * `direct-file.ts` cares. The default is false.
   */
  readonly direct?: boolean;
  /** Makes the file: `new` refuses one that exists, `replace` empties it. Absent, the file has to exist. */
  readonly create?: 'new' | 'replace';
}

/** What every device and file system takes for O_DIRECT. */
export const DIRECT_ALIGNMENT = 4096;

const DEFAULT_ROLE = 'disk';
/** IOV_MAX of Linux. */
const MAX_BUFFERS = 1024;
/** Copying more at once would hold up the event loop for too long. */
const MAX_CACHED_READ_BYTES = 256 * 1024;

function openDescriptor(path: string, role: string, options: ImageFileOptions): number {
  const { readOnly, create, direct = false } = options;
  const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_NONBLOCK, O_DIRECT } = constants;
  // A pipe without a writer would be waited for. A file that is to be replaced is emptied when it is locked.
  const flags = (readOnly ? O_RDONLY : O_RDWR) | O_NONBLOCK | (direct ? O_DIRECT : 0);
  try {
    return openSync(path, create === undefined ? flags : flags | O_CREAT | (create === 'new' ? O_EXCL : 0), 0o644);
  } catch (error) {
    if (direct && error instanceof Error && 'code' in error && error.code === 'EINVAL')
      throw new FileError(role, path, 'EINVAL', 'its file system cannot do without its cache: direct=false', error);
    throw systemError(role, path, error);
  }
}

function lockDescriptor(
  fd: number,
  path: string,
  role: string,
  readOnly: boolean,
  calls: LinuxCalls | undefined,
): void {
  if (calls === undefined)
    throw new FileError(
      role,
      path,
      'ENOLCK',
      'it cannot be locked, for koffi is not installed; lock=false goes without',
    );
  const error = calls.flock(fd, (readOnly ? LOCK_SH : LOCK_EX) | LOCK_NB);
  if (error === 0) {
    if (lockAsQemu(calls, fd, readOnly)) return;
    throw new FileError(role, path, 'EAGAIN', 'QEMU uses it; lock=false ignores that');
  }
  const code = getSystemErrorName(-error);
  const reason =
    code === 'EAGAIN'
      ? `it is in use${readOnly ? ' by a writer' : ''}; lock=false ignores that`
      : 'it cannot be locked';
  throw new FileError(role, path, code, reason);
}

/** The length of what can hold an image. */
function lengthOf(fd: number, path: string, role: string, stat: Stats, calls: LinuxCalls | undefined): number {
  if (stat.isFile()) return stat.size;
  if (stat.isDirectory()) throw new FileError(role, path, 'EISDIR', 'it is a folder');
  const bytes = stat.isBlockDevice() ? (calls?.lengthOf(fd) ?? -1) : -1;
  if (bytes < 0) throw new FileError(role, path, 'ENODEV', 'it is neither a file nor a block device of known length');
  return bytes;
}

/** Which file it is, under whatever names. */
export const identityOf = ({ dev, ino }: Stats): string => `${dev}:${ino}`;

/** Opens an image's file. Throws FileError. */
export async function openImageFile(path: string, options: ImageFileOptions): Promise<NodeImageFile> {
  const calls = linuxCalls();
  const { role = DEFAULT_ROLE } = options;
  const fd = openDescriptor(path, role, options);
  try {
    lengthOf(fd, path, role, fstatSync(fd), calls);
    if (options.lock !== false) lockDescriptor(fd, path, role, options.readOnly, calls);
    // Only now nobody changes it any more.
    const stat = fstatSync(fd);
    const bytes = lengthOf(fd, path, role, stat, calls);
    const file = new NodeImageFile(path, fd, options, stat, bytes, calls);
    if (options.create === 'replace' && bytes > 0) await file.truncate?.(0);
    return file;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

export class NodeImageFile implements ImageFile {
  readonly name: string;
  readonly readOnly: boolean;
  /** Which file it is, under whatever names: equal for the same file. */
  readonly identity: string;
  readonly isBlockDevice: boolean;
  readonly truncate: ((bytes: number) => Promise<void>) | undefined;
  readonly nextData: ((offset: number) => number) | undefined;
  readonly #fd: number;
  readonly #role: string;
  /** A read that is no multiple of this long has reached the end of the file. */
  readonly #unit: number;
  #bytes: number;
  /** Operations under way: the descriptor is closed behind the last, for its number may serve another file at once. */
  #active = 0;
  #idle: (() => void) | undefined;
  #closed = false;
  /** Why nothing can be called durable any more. */
  #flushError: FileError | undefined;
  /** For holes; undefined where there are none. */
  #holeCalls: LinuxCalls | undefined;
  /** For zeros without writing; undefined where they are not to be had. */
  #zeroCalls: LinuxCalls | undefined;
  /** For reads without waiting; undefined where they are not to be had. */
  #cacheCalls: LinuxCalls | undefined;

  constructor(
    path: string,
    fd: number,
    options: ImageFileOptions,
    stat: Stats,
    bytes: number,
    calls: LinuxCalls | undefined,
  ) {
    this.name = path;
    this.readOnly = options.readOnly;
    this.identity = identityOf(stat);
    this.isBlockDevice = stat.isBlockDevice();
    this.#fd = fd;
    this.#role = options.role ?? DEFAULT_ROLE;
    this.#bytes = bytes;
    this.#cacheCalls = options.direct === true ? undefined : calls;
    this.#unit = options.direct === true ? DIRECT_ALIGNMENT : 1;
    if (!this.isBlockDevice) {
      if (calls !== undefined) this.nextData = (offset) => this.#nextData(calls, offset);
      this.truncate = async (length) => {
        await this.#run((done) => ftruncate(fd, length, (error) => done(error, 0)));
        this.#bytes = length;
      };
      if (options.sparse !== false) this.#holeCalls = calls;
      this.#zeroCalls = calls;
    }
  }

  get bytes(): number {
    return this.#bytes;
  }

  get punchHole(): ((offset: number, bytes: number) => Promise<void>) | undefined {
    const calls = this.#holeCalls;
    return calls && ((offset, bytes) => this.#punch(calls, offset, bytes));
  }

  /** For calls that are not made here; the file's own until it is closed. */
  get descriptor(): number {
    return this.#fd;
  }

  async read(offset: number, into: Buffers): Promise<void> {
    const total = totalBytes(into);
    for (let done = this.#readCached(offset, into, total); done < total; ) {
      const buffers = done === 0 && into.length <= MAX_BUFFERS ? into : sliceBuffers(into, done, total - done);
      const got = await this.#run((end) => readv(this.#fd, buffers.slice(0, MAX_BUFFERS), offset + done, end));
      done += got;
      if (got === 0 || got % this.#unit !== 0) return fillZero(sliceBuffers(into, done, total - done));
    }
  }

  /**
   * Reads what the system has in memory at once: 2 µs for 4 KiB where the way over a thread of the pool takes 17 (measured). Returns
   * how much that was.
   */
  #readCached(offset: number, into: Buffers, total: number): number {
    if (
      this.#cacheCalls === undefined ||
      this.#closed ||
      total > MAX_CACHED_READ_BYTES ||
      into.length > MAX_CACHED_BUFFERS
    )
      return 0;
    for (const buffer of into) if (buffer.length < MIN_CACHED_BYTES) return 0;
    const got = this.#cacheCalls.readCached(this.#fd, offset, into);
    if (got >= 0) return got;
    if (getSystemErrorName(got) !== 'EAGAIN') this.#cacheCalls = undefined;
    return 0;
  }

  async write(offset: number, from: Buffers): Promise<void> {
    const total = totalBytes(from);
    for (let done = 0; done < total; ) {
      const buffers = done === 0 && from.length <= MAX_BUFFERS ? from : sliceBuffers(from, done, total - done);
      done += await this.#run((end) => writev(this.#fd, buffers.slice(0, MAX_BUFFERS), offset + done, end));
    }
    if (total > 0) this.#bytes = Math.max(this.#bytes, offset + total);
  }

  /**
   * After a failure Linux may have dropped what it could not write, and a later call would succeed without it: so once a flush
   * has failed, all do.
   */
  async flush(): Promise<void> {
    if (this.#flushError !== undefined) throw this.#flushError;
    try {
      await this.#run((end) => fdatasync(this.#fd, (error) => end(error, 0)));
    } catch (error) {
      this.#flushError ??= error instanceof FileError ? error : systemError(this.#role, this.name, error);
      throw error;
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#active > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    }
    await new Promise<void>((resolve, reject) => {
      close(this.#fd, (error) =>
        error === null || error === undefined ? resolve() : reject(systemError(this.#role, this.name, error)),
      );
    });
  }

  #nextData(calls: LinuxCalls, offset: number): number {
    if (this.#closed) throw new FileError(this.#role, this.name, 'EBADF', 'it is closed');
    if (offset >= this.#bytes) return this.#bytes;
    const at = calls.nextData(this.#fd, offset);
    if (at >= 0) return at;
    // Behind the last data there is a hole. Any other error means that nothing is known.
    return getSystemErrorName(at) === 'ENXIO' ? this.#bytes : offset;
  }

  /** A file system that has no holes is asked once: that range is written, and there is no `punchHole` from then on. */
  async #punch(calls: LinuxCalls, offset: number, bytes: number): Promise<void> {
    const length = Math.min(bytes, this.#bytes - offset);
    if (length <= 0) return;
    const error = await this.#during(() => calls.punchHole(this.#fd, offset, length));
    if (error === 0) return;
    const code = getSystemErrorName(-error);
    if (code !== 'ENOTSUP') throw new FileError(this.#role, this.name, code, 'a hole cannot be punched');
    this.#holeCalls = undefined;
    await this.write(offset, zeroBuffers(length));
  }

  /** A file system that cannot is asked once. */
  async zeroRange(offset: number, bytes: number): Promise<boolean> {
    const calls = this.#zeroCalls;
    if (calls === undefined || offset + bytes > this.#bytes) return false;
    const error = await this.#during(() => calls.zeroRange(this.#fd, offset, bytes));
    if (error === 0) return true;
    const code = getSystemErrorName(-error);
    if (code !== 'ENOTSUP') throw systemError(this.#role, this.name, Object.assign(new Error(code), { code }));
    this.#zeroCalls = undefined;
    return false;
  }

  /** Runs a call of Node's that ends with a number. */
  #run(call: (end: (error: Error | null | undefined, result: number) => void) => void): Promise<number> {
    return this.#during(
      () =>
        new Promise((resolve, reject) => {
          call((error, result) => {
            if (error === null || error === undefined) resolve(result);
            else reject(systemError(this.#role, this.name, error));
          });
        }),
    );
  }

  async #during<T>(operation: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new FileError(this.#role, this.name, 'EBADF', 'it is closed');
    this.#active++;
    try {
      return await operation();
    } finally {
      this.#active--;
      if (this.#active === 0) this.#idle?.();
    }
  }
}
