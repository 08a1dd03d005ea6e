/**
 * System calls through `node:ffi`, which Node has built in from 26.1 on and calls experimental. Takes the place of koffi where that is
 * not installed. Has no way to wait for a descriptor in the event loop.
 *
 * @module
 */
import type { SystemCalls } from '../../../hypervisor/kvm/system-calls.ts';
import { LANDLOCK_CREATE_RULESET, LANDLOCK_CREATE_RULESET_VERSION, SIGACTION_BYTES } from './linux.ts';

/** Every mapping of a process is below this; mmap's failure is -1, unsigned. */
const ADDRESS_LIMIT = 1n << 47n;

/** Loads without the warning that every thread would print: who chose this had nothing else. */
async function quietly<T>(load: () => Promise<T>): Promise<T> {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return await load();
  } finally {
    process.emitWarning = emitWarning;
  }
}

/** @throws what `import` throws where Node has no such module. */
export async function ffiCalls(): Promise<SystemCalls> {
  const ffi = await quietly(() => import('node:ffi'));
  const { lib, functions: c } = ffi.dlopen(null, {
    open: { arguments: ['string', 'int32', 'int32'], return: 'int32' },
    close: { arguments: ['int32'], return: 'int32' },
    read: { arguments: ['int32', 'pointer', 'uint64'], return: 'int64' },
    write: { arguments: ['int32', 'pointer', 'uint64'], return: 'int64' },
    // The kernel looks at 32 bits of the request; a wider argument would have to be a BigInt.
    ioctl: { arguments: ['int32', 'uint32', 'pointer'], return: 'int32' },
    mmap: { arguments: ['pointer', 'uint64', 'int32', 'int32', 'int32', 'int64'], return: 'pointer' },
    munmap: { arguments: ['pointer', 'uint64'], return: 'int32' },
    memfd_create: { arguments: ['string', 'uint32'], return: 'int32' },
    ftruncate: { arguments: ['int32', 'int64'], return: 'int32' },
    eventfd: { arguments: ['uint32', 'int32'], return: 'int32' },
    gettid: { arguments: [], return: 'int32' },
    tgkill: { arguments: ['int32', 'int32', 'int32'], return: 'int32' },
    sigaction: { arguments: ['int32', 'pointer', 'pointer'], return: 'int32' },
    syscall: { arguments: ['int64', 'pointer', 'uint64', 'uint32'], return: 'int64' },
    __errno_location: { arguments: [], return: 'pointer' },
  });
  const errno = (): number => ffi.getInt32(c.__errno_location());
  const result = (value: number | bigint): number => (value < 0 ? -errno() : Number(value));
  const pointer = (address: number): bigint => (address === 0 ? 0n : BigInt(address));

  return {
    implementation: 'node:ffi',
    open: (path, flags) => result(c.open(path, flags, 0)),
    close: (fd) => result(c.close(fd)),
    read: (fd, into) => result(c.read(fd, into, BigInt(into.length))),
    write: (fd, from) => result(c.write(fd, from, BigInt(from.length))),
    ioctl: (fd, request, argument) => result(c.ioctl(fd, request, pointer(argument))),
    ioctlStruct: (fd, request, argument) => result(c.ioctl(fd, request, argument)),
    mmap(address, bytes, protection, flags, fd, offset) {
      const at = c.mmap(pointer(address), BigInt(bytes), protection, flags, fd, BigInt(offset));
      return at >= ADDRESS_LIMIT ? -errno() : Number(at);
    },
    munmap: (address, bytes) => result(c.munmap(pointer(address), BigInt(bytes))),
    memfdCreate: (name, flags) => result(c.memfd_create(name, flags)),
    ftruncate: (fd, bytes) => result(c.ftruncate(fd, BigInt(bytes))),
    eventfd: (initial, flags) => result(c.eventfd(initial, flags)),
    gettid: () => c.gettid(),
    signalThread: (thread, signal) => result(c.tgkill(process.pid, thread, signal)),
    interruptOn(signal) {
      const action = new BigUint64Array(SIGACTION_BYTES / 8);
      action[0] = ffi.dlsym(lib, 'getppid');
      return result(c.sigaction(signal, new Uint8Array(action.buffer), 0n));
    },
    landlockVersion: () => result(c.syscall(BigInt(LANDLOCK_CREATE_RULESET), 0n, 0n, LANDLOCK_CREATE_RULESET_VERSION)),
    addressOf: (buffer) => Number(ffi.getRawPointer(new Uint8Array(buffer))),
    view: (address, bytes) => ffi.toArrayBuffer(BigInt(address), bytes, false),
  };
}
