/**
 * The system calls of Linux that the KVM hypervisor makes, as one small interface. A host implements it through a foreign-function
 * interface; nothing else of this folder knows how a call is made.
 *
 * A call returns what the kernel returns: the result, or the negated number of the error. Addresses are plain numbers: those of a
 * process on x86-64 are below 2^47.
 *
 * @module
 */
export interface SystemCalls {
  /** What makes the calls, for messages. */
  readonly implementation: string;
  open(path: string, flags: number): number;
  close(fd: number): number;
  /** Both block as long as the descriptor does. */
  read(fd: number, into: Uint8Array): number;
  write(fd: number, from: Uint8Array): number;
  /** With a plain argument. Called for every exit of a vCPU: does not allocate. */
  ioctl(fd: number, request: number, argument: number): number;
  /** With the address of a structure, which the kernel may change. */
  ioctlStruct(fd: number, request: number, argument: Uint8Array): number;
  /** The address of the mapping. */
  mmap(address: number, bytes: number, protection: number, flags: number, fd: number, offset: number): number;
  munmap(address: number, bytes: number): number;
  memfdCreate(name: string, flags: number): number;
  ftruncate(fd: number, bytes: number): number;
  eventfd(initial: number, flags: number): number;
  /** The kernel's number of the calling thread. */
  gettid(): number;
  /** Sends a signal to a thread of this process. */
  signalThread(thread: number, signal: number): number;
  /** Makes a signal interrupt system calls, and do nothing else, in all threads. */
  interruptOn(signal: number): number;
  /** The version of Landlock that the kernel has. */
  landlockVersion(): number;
  /** Where a buffer's bytes are. It must stay referenced while the address is in use. */
  addressOf(buffer: ArrayBufferLike): number;
  /** The bytes at an address. The view must not be used once they are unmapped. */
  view(address: number, bytes: number): ArrayBuffer;
  /** Calls back from the event loop whenever the descriptor can be read, until disposed of. Undefined where that cannot be done. */
  readonly watch?: ((fd: number, onReadable: () => void) => Disposable) | undefined;
}

/** errno values of asm-generic/errno-base.h that a caller tells apart. */
export const EPERM = 1;
export const EINTR = 4;
export const EAGAIN = 11;

/** The names of the errors that open, mmap and KVM's ioctls give. */
const ERROR_NAMES: Readonly<Record<number, string>> = {
  1: 'EPERM',
  2: 'ENOENT',
  4: 'EINTR',
  5: 'EIO',
  6: 'ENXIO',
  7: 'E2BIG',
  9: 'EBADF',
  11: 'EAGAIN',
  12: 'ENOMEM',
  13: 'EACCES',
  14: 'EFAULT',
  16: 'EBUSY',
  17: 'EEXIST',
  19: 'ENODEV',
  22: 'EINVAL',
  23: 'ENFILE',
  24: 'EMFILE',
  25: 'ENOTTY',
  28: 'ENOSPC',
  38: 'ENOSYS',
  95: 'EOPNOTSUPP',
};

export const errorName = (errno: number): string => ERROR_NAMES[errno] ?? `errno ${errno}`;

/** A system call failed: "/dev/kvm: EACCES: what to do about it". */
export class SystemCallError extends Error {
  override readonly name = 'SystemCallError';
  /** What was called: an ioctl's name, or a file. */
  readonly call: string;
  readonly errno: number;

  constructor(call: string, errno: number, hint?: string) {
    super(`${call}: ${errorName(errno)}${hint === undefined ? '' : `: ${hint}`}`);
    this.call = call;
    this.errno = errno;
  }
}

/** The result of a call that must not fail. @throws SystemCallError when it did. */
export function expectSuccess(result: number, call: string, hint?: string): number {
  if (result < 0) throw new SystemCallError(call, -result, hint);
  return result;
}
