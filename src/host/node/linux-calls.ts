/**
 * The system calls for disk images and guest memory that Node does not have, through koffi when that is installed: it is an optional
 * dependency.
 *
 * @module
 */
import { loadKoffi } from './koffi.ts';

/** flock(2). */
export const LOCK_SH = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;
/** fallocate(2). */
const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
const FALLOC_FL_ZERO_RANGE = 16;
/** fcntl(2), locks of open file descriptions. */
const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;
/** lseek(2). */
const SEEK_END = 2;
const SEEK_DATA = 3;
/** preadv2(2). */
const RWF_NOWAIT = 8;
/** madvise(2). */
export const MADV_DONTNEED = 4;
export const MADV_REMOVE = 9;
export const MADV_HUGEPAGE = 14;
/** Buffers of one `readCached`. */
export const MAX_CACHED_BUFFERS = 64;
/** V8 keeps the bytes of smaller arrays in its heap, where they move: their address is no use. */
export const MIN_CACHED_BYTES = 128;

export interface LinuxCalls {
  /** Returns 0, or the error's number. */
  flock(fd: number, operation: number): number;
  /** Locks one byte of the file shared, as far as the file system can. */
  lockByte(fd: number, offset: number): void;
  /** Whether another open file description has a lock on a byte. */
  isByteLocked(fd: number, offset: number): boolean;
  /** Punches a hole on a thread of the pool. Resolves with 0, or the error's number. */
  punchHole(fd: number, offset: number, bytes: number): Promise<number>;
  /** Has a range read as zeros and keep its space, on a thread of the pool. Resolves with 0, or the error's number. */
  zeroRange(fd: number, offset: number, bytes: number): Promise<number>;
  /**
   * Fills buffers from what the system has in memory, without waiting for a device. Returns the number of bytes, or the negative
   * number of an error: EAGAIN when none are there, EOPNOTSUPP when the file system cannot do that. At most `MAX_CACHED_BUFFERS`,
   * each of `MIN_CACHED_BYTES` and more.
   */
  readCached(fd: number, offset: number, into: readonly Uint8Array[]): number;
  /** The first byte from `offset` on that is no hole; the negative number of an error, ENXIO when there is none. */
  nextData(fd: number, offset: number): number;
  /** Whether the bytes begin at a multiple of `alignment` in memory, a power of two. */
  isAligned(bytes: Uint8Array, alignment: number): boolean;
  /** The length of a file or block device, negative when it has none. */
  lengthOf(fd: number): number;
  /** For whole pages outside V8's heap. Returns 0, or the error's number. */
  madvise(pages: Uint8Array, advice: number): number;
}

type Call = ((...args: (number | BigUint64Array | Uint8Array)[]) => number) & {
  async(...args: [...number[], (error: Error | null, result: number) => void]): void;
};

/** The part of koffi that is used here. */
interface Koffi {
  load(library: string): { func(declaration: string): Call };
  errno(): number;
  address(bytes: Uint8Array): bigint;
}

let loaded: LinuxCalls | null | undefined;

/** The calls, or undefined where koffi or the C library is missing. */
export function linuxCalls(): LinuxCalls | undefined {
  loaded ??= load();
  return loaded ?? undefined;
}

function load(): LinuxCalls | null {
  try {
    const koffi = loadKoffi() as unknown as Koffi;
    const libc = koffi.load('libc.so.6');
    const flock = libc.func('int flock(int fd, int operation)');
    const fcntl = libc.func('int fcntl(int fd, int cmd, void *lock)');
    const fallocate = libc.func('int fallocate(int fd, int mode, int64_t offset, int64_t len)');
    const allocate = (fd: number, mode: number, offset: number, bytes: number): Promise<number> =>
      new Promise((resolve, reject) => {
        fallocate.async(fd, mode | FALLOC_FL_KEEP_SIZE, offset, bytes, (error, result) => {
          if (error !== null) reject(error);
          else resolve(result === 0 ? 0 : koffi.errno());
        });
      });
    const preadv2 = libc.func('int64_t preadv2(int fd, const void *iov, int iovcnt, int64_t offset, int flags)');
    // struct iovec: address and length. The call is over when another begins.
    const iov = new BigUint64Array(2 * MAX_CACHED_BUFFERS);
    const madvise = libc.func('int madvise(const void *addr, size_t length, int advice)');
    const lseek = libc.func('int64_t lseek(int fd, int64_t offset, int whence)');
    return {
      flock: (fd, operation) => (flock(fd, operation) === 0 ? 0 : koffi.errno()),
      lockByte: (fd, offset) => {
        fcntl(fd, F_OFD_SETLK, fileLock(F_RDLCK, offset));
      },
      isByteLocked: (fd, offset) => {
        const lock = fileLock(F_WRLCK, offset);
        // The call puts what is in the way into the structure, or says that nothing is.
        return fcntl(fd, F_OFD_GETLK, lock) === 0 && new DataView(lock.buffer).getInt16(0, true) !== F_UNLCK;
      },
      punchHole: (fd, offset, bytes) => allocate(fd, FALLOC_FL_PUNCH_HOLE, offset, bytes),
      zeroRange: (fd, offset, bytes) => allocate(fd, FALLOC_FL_ZERO_RANGE, offset, bytes),
      readCached: (fd, offset, into) => {
        for (let index = 0; index < into.length; index++) {
          const buffer = into[index];
          if (buffer === undefined) break;
          iov[2 * index] = koffi.address(buffer);
          iov[2 * index + 1] = BigInt(buffer.length);
        }
        const got = preadv2(fd, iov, into.length, offset, RWF_NOWAIT);
        return got < 0 ? -koffi.errno() : got;
      },
      isAligned: (bytes, alignment) => (koffi.address(bytes) & BigInt(alignment - 1)) === 0n,
      nextData: (fd, offset) => {
        const at = lseek(fd, offset, SEEK_DATA);
        return at < 0 ? -koffi.errno() : at;
      },
      lengthOf: (fd) => lseek(fd, 0, SEEK_END),
      madvise: (pages, advice) => (madvise(pages, pages.length, advice) === 0 ? 0 : koffi.errno()),
    };
  } catch {
    return null;
  }
}

/** struct flock for one byte from the start of the file: l_type, l_whence, l_start, l_len, l_pid. */
function fileLock(type: number, offset: number): Uint8Array<ArrayBuffer> {
  const lock = new DataView(new ArrayBuffer(32));
  lock.setInt16(0, type, true);
  lock.setBigInt64(8, BigInt(offset), true);
  lock.setBigInt64(16, 1n, true);
  return new Uint8Array(lock.buffer);
}
