/**
 * A raw image, or a block device of the host, as a `Disk`: every byte of the disk is the byte of the file at the same place.
 *
 * Reads and writes go straight between the file and the buffers given, which may be guest RAM, through the thread pool of
 * Node. Node has no call that makes holes: `punchHole` is a host's that has one (FFI); without it a discard does nothing, and
 * zeros are written out.
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
  readFileSync,
  readv,
  type Stats,
  writev,
} from 'node:fs';
import type { Disk } from '../../disk/disk.ts';
import { FileError, systemError } from './files.ts';

export interface RawDiskOptions {
  readonly readOnly: boolean;
  /** Past the host's page cache (O_DIRECT), where offset, length and buffers are aligned for it. */
  readonly direct?: boolean;
  /** Gives the space of a range of the file back; it reads as zeros then. */
  readonly punchHole?: ((fd: number, offset: number, bytes: number) => Promise<void>) | undefined;
}

const ROLE = 'disk';
const SECTOR_BYTES = 512;
/** What every file system and device accepts for O_DIRECT. */
const DIRECT_ALIGNMENT = 4096;
/** Buffers of one system call (IOV_MAX), and bytes of zeros. */
const MAX_BUFFERS = 1024;
const ZERO_BYTES = 1024 * 1024;

type VectorCall = (
  fd: number,
  buffers: readonly Uint8Array[],
  position: number,
  callback: (error: NodeJS.ErrnoException | null, bytes: number) => void,
) => void;

/** The size of a block device, which `stat` does not tell. */
function blockDeviceBytes(path: string, { rdev }: Stats): number {
  const major = (rdev >> 8) & 0xfff;
  const minor = (rdev & 0xff) | ((rdev >> 12) & 0xfff00);
  const sectors = Number(readFileSync(`/sys/dev/block/${major}:${minor}/size`, 'utf8'));
  if (!Number.isSafeInteger(sectors)) throw new FileError(ROLE, path, 'ESIZE', 'its size is unknown');
  return sectors * SECTOR_BYTES;
}

/** @throws FileError when the file cannot be opened or is no disk. */
export function openRawDisk(path: string, options: RawDiskOptions): Disk {
  const { O_RDONLY, O_RDWR, O_DIRECT, O_NONBLOCK } = constants;
  // A pipe without a writer would be waited for.
  const flags = (options.readOnly ? O_RDONLY : O_RDWR) | O_NONBLOCK;
  const opened: number[] = [];
  const open = (extra: number): number => {
    const fd = openSync(path, flags | extra);
    opened.push(fd);
    return fd;
  };
  try {
    const fd = open(0);
    const stat = fstatSync(fd);
    if (stat.isDirectory()) throw new FileError(ROLE, path, 'EISDIR', 'it is a folder');
    if (!stat.isFile() && !stat.isBlockDevice()) {
      throw new FileError(ROLE, path, 'ENOTDISK', 'it is neither a file nor a block device');
    }
    const bytes = stat.isFile() ? stat.size : blockDeviceBytes(path, stat);
    if (bytes < SECTOR_BYTES) throw new FileError(ROLE, path, 'EMPTY', `it has ${bytes} bytes, less than a sector`);
    const directFd = options.direct === true ? open(O_DIRECT) : undefined;
    return new RawDisk(path, fd, directFd, bytes, stat.isFile(), options);
  } catch (error) {
    for (const fd of opened) closeSync(fd);
    throw error instanceof FileError ? error : systemError(ROLE, path, error);
  }
}

class RawDisk implements Disk {
  readonly name: string;
  readonly readOnly: boolean;
  readonly resize: ((bytes: number) => Promise<void>) | undefined;
  bytes: number;
  readonly #fd: number;
  readonly #directFd: number | undefined;
  readonly #punchHole: RawDiskOptions['punchHole'];
  #zeros: Uint8Array | undefined;
  #isClosed = false;

  constructor(
    name: string,
    fd: number,
    directFd: number | undefined,
    bytes: number,
    isFile: boolean,
    { readOnly, punchHole }: RawDiskOptions,
  ) {
    this.name = name;
    this.readOnly = readOnly;
    this.bytes = bytes;
    this.#fd = fd;
    this.#directFd = directFd;
    this.#punchHole = punchHole;
    if (isFile && !readOnly) this.resize = (size) => this.#resize(size);
  }

  async read(offset: number, into: readonly Uint8Array[]): Promise<void> {
    this.#check('read', offset, total(into));
    await this.#transfer(readv as VectorCall, offset, into);
  }

  async write(offset: number, from: readonly Uint8Array[]): Promise<void> {
    this.#checkWrite('write', offset, total(from));
    await this.#transfer(writev as VectorCall, offset, from);
  }

  flush(): Promise<void> {
    return this.readOnly ? Promise.resolve() : this.#call((done) => fdatasync(this.#fd, done));
  }

  async discard(offset: number, bytes: number): Promise<void> {
    this.#checkWrite('discard', offset, bytes);
    if (bytes > 0) await this.#punchHole?.(this.#fd, offset, bytes);
  }

  async writeZeroes(offset: number, bytes: number, unmap: boolean): Promise<void> {
    this.#checkWrite('writeZeroes', offset, bytes);
    if (unmap && bytes > 0 && this.#punchHole !== undefined) {
      await this.#punchHole(this.#fd, offset, bytes);
      return;
    }
    this.#zeros ??= new Uint8Array(ZERO_BYTES);
    for (let done = 0; done < bytes; done += ZERO_BYTES) {
      const piece = this.#zeros.subarray(0, Math.min(ZERO_BYTES, bytes - done));
      await this.#transfer(writev as VectorCall, offset + done, [piece]);
    }
  }

  async #resize(bytes: number): Promise<void> {
    if (!Number.isSafeInteger(bytes) || bytes < SECTOR_BYTES) {
      throw new RangeError(`disk ${JSON.stringify(this.name)}: ${bytes} bytes is no size of a disk`);
    }
    await this.#call((done) => ftruncate(this.#fd, bytes, done));
    this.bytes = bytes;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    await this.flush();
    this.#isClosed = true;
    await this.#call((done) => close(this.#fd, done));
    const direct = this.#directFd;
    if (direct !== undefined) await this.#call((done) => close(direct, done));
  }

  #check(what: string, offset: number, bytes: number): void {
    const isInside = Number.isSafeInteger(offset) && offset >= 0 && bytes >= 0 && offset + bytes <= this.bytes;
    if (!isInside || this.#isClosed) {
      const reason = this.#isClosed ? 'it is closed' : `it has ${this.bytes} bytes`;
      throw new RangeError(`disk ${JSON.stringify(this.name)}: ${what} of ${bytes} bytes at ${offset}: ${reason}`);
    }
  }

  #checkWrite(what: string, offset: number, bytes: number): void {
    this.#check(what, offset, bytes);
    if (this.readOnly) throw new RangeError(`disk ${JSON.stringify(this.name)}: ${what}: it is read-only`);
  }

  /** Moves all bytes of the buffers, in as many system calls as that takes. */
  async #transfer(call: VectorCall, offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    let rest = buffers;
    let position = offset;
    let direct = this.#directFd;
    while (rest.length > 0) {
      const now = rest.length > MAX_BUFFERS ? rest.slice(0, MAX_BUFFERS) : rest;
      const isDirect = direct !== undefined && isAligned(position, now);
      const fd = isDirect ? (direct as number) : this.#fd;
      let moved: number;
      try {
        moved = await this.#vector(call, fd, now, position);
      } catch (error) {
        // The buffers' memory may be aligned worse than their offsets in it say.
        if (isDirect && error instanceof FileError && error.code === 'EINVAL') {
          direct = undefined;
          continue;
        }
        throw error;
      }
      if (moved === 0) {
        throw new FileError(ROLE, this.name, 'ESHORT', `it ends at byte ${position}; it was longer when it was opened`);
      }
      position += moved;
      rest = without(rest, moved);
    }
  }

  #vector(call: VectorCall, fd: number, buffers: readonly Uint8Array[], position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      call(fd, buffers, position, (error, bytes) => {
        if (error === null) resolve(bytes);
        else reject(systemError(ROLE, this.name, error));
      });
    });
  }

  #call(start: (done: (error: NodeJS.ErrnoException | null) => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      start((error) => {
        if (error === null || error === undefined) resolve();
        else reject(systemError(ROLE, this.name, error));
      });
    });
  }
}

const total = (buffers: readonly Uint8Array[]): number => {
  let bytes = 0;
  for (const buffer of buffers) bytes += buffer.length;
  return bytes;
};

const isAligned = (position: number, buffers: readonly Uint8Array[]): boolean =>
  position % DIRECT_ALIGNMENT === 0 &&
  buffers.every((buffer) => buffer.byteOffset % DIRECT_ALIGNMENT === 0 && buffer.length % DIRECT_ALIGNMENT === 0);

/** What is left of the buffers when the first `bytes` of them are done. */
function without(buffers: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  let left = bytes;
  let index = 0;
  for (; index < buffers.length; index++) {
    const { length } = buffers[index] as Uint8Array;
    if (left < length) break;
    left -= length;
  }
  if (index === buffers.length) return [];
  const rest = buffers.slice(index);
  if (left > 0) rest[0] = (rest[0] as Uint8Array).subarray(left);
  return rest;
}
