/**
 * System calls through koffi, an optional dependency of the package: 36 to 45 ns a call beside the kernel's own time.
 *
 * libc's variadic functions are declared with fixed arguments, which is the same to the callee on x86-64 Linux.
 *
 * @module
 */
import type { SystemCalls } from '../../../hypervisor/kvm/system-calls.ts';
import { loadKoffi } from '../koffi.ts';
import { LANDLOCK_CREATE_RULESET, LANDLOCK_CREATE_RULESET_VERSION, SIGACTION_BYTES } from './linux.ts';

/** koffi gives 64-bit results that are no safe integers, such as MAP_FAILED, as BigInt. */
type Long = number | bigint;

/** @throws what `require` throws where koffi is not installed or does not load. */
export function koffiCalls(): SystemCalls {
  const koffi = loadKoffi();
  const libc = koffi.load('libc.so.6');
  const open = libc.func('int open(const char *path, int flags, int mode)') as (...a: unknown[]) => number;
  const close = libc.func('int close(int fd)') as (fd: number) => number;
  const read = libc.func('int64_t read(int fd, void *into, size_t bytes)') as (...a: unknown[]) => Long;
  const write = libc.func('int64_t write(int fd, void *from, size_t bytes)') as (...a: unknown[]) => Long;
  const ioctl = libc.func('int ioctl(int fd, uint32_t request, uintptr_t argument)') as (...a: number[]) => number;
  const ioctlStruct = libc.func('ioctl', 'int', ['int', 'uint32_t', 'void *']) as (...a: unknown[]) => number;
  const mmap = libc.func(
    'uintptr_t mmap(uintptr_t address, size_t bytes, int protection, int flags, int fd, int64_t offset)',
  ) as (...a: number[]) => Long;
  const munmap = libc.func('int munmap(uintptr_t address, size_t bytes)') as (...a: number[]) => number;
  const memfd = libc.func('int memfd_create(const char *name, unsigned int flags)') as (...a: unknown[]) => number;
  const ftruncate = libc.func('int ftruncate(int fd, int64_t bytes)') as (...a: number[]) => number;
  const eventfd = libc.func('int eventfd(unsigned int initial, int flags)') as (...a: number[]) => number;
  const gettid = libc.func('int gettid()') as () => number;
  const tgkill = libc.func('int tgkill(int process, int thread, int signal)') as (...a: number[]) => number;
  const createRuleset = libc.func(
    'int64_t syscall(long number, uintptr_t attributes, size_t bytes, uint32_t flags)',
  ) as (...a: number[]) => Long;
  const sigaction = libc.func('int sigaction(int signal, void *action, void *old)') as (...a: unknown[]) => number;

  const result = (value: Long): number => (value < 0 ? -koffi.errno() : Number(value));

  return {
    implementation: 'koffi',
    open: (path, flags) => result(open(path, flags, 0)),
    close: (fd) => result(close(fd)),
    read: (fd, into) => result(read(fd, into, into.length)),
    write: (fd, from) => result(write(fd, from, from.length)),
    ioctl(fd, request, argument) {
      const value = ioctl(fd, request, argument);
      return value < 0 ? -koffi.errno() : value;
    },
    ioctlStruct: (fd, request, argument) => result(ioctlStruct(fd, request, argument)),
    mmap(address, bytes, protection, flags, fd, offset) {
      const at = mmap(address, bytes, protection, flags, fd, offset);
      return typeof at === 'bigint' ? -koffi.errno() : at;
    },
    munmap: (address, bytes) => result(munmap(address, bytes)),
    memfdCreate: (name, flags) => result(memfd(name, flags)),
    ftruncate: (fd, bytes) => result(ftruncate(fd, bytes)),
    eventfd: (initial, flags) => result(eventfd(initial, flags)),
    gettid,
    signalThread: (thread, signal) => result(tgkill(process.pid, thread, signal)),
    interruptOn(signal) {
      const action = new BigUint64Array(SIGACTION_BYTES / 8);
      action[0] = koffi.address(libc.symbol('getppid'));
      return result(sigaction(signal, action, null));
    },
    landlockVersion: () => result(createRuleset(LANDLOCK_CREATE_RULESET, 0, 0, LANDLOCK_CREATE_RULESET_VERSION)),
    addressOf: (buffer) => Number(koffi.address(new Uint8Array(buffer))),
    view: (address, bytes) => koffi.view(BigInt(address), bytes),
    watch(fd, onReadable) {
      const handle = koffi.node.poll(fd, { readable: true }, onReadable);
      return { [Symbol.dispose]: () => void handle.close() };
    },
  };
}
