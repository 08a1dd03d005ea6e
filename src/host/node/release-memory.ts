/**
 * How pages of guest RAM go back to Linux (madvise(2)), so that they cost no memory and read as zeros.
 *
 * It depends on what RAM is. A `WebAssembly.Memory` is anonymous memory, private to the process although its threads share it:
 * MADV_DONTNEED drops the pages, and MADV_REMOVE is refused (EINVAL). Under KVM a memfd may be mapped over it: MADV_DONTNEED drops only
 * the mapping there, and the file keeps contents and memory; MADV_REMOVE punches a hole into the file. Both measured by the resident
 * set of the process: 256 MiB are gone after 7 and 24 ms.
 *
 * @module
 */
import type { ReleaseMemory } from '../../devices/virtio/balloon/device.ts';
import type { Logger } from '../../util/log.ts';
import type { RamBacking } from '../../memory/machine-memory.ts';
import { linuxCalls, MADV_DONTNEED, MADV_REMOVE } from './linux-calls.ts';

/** Without koffi the host keeps what the guest gives up; that is said once, when it gives up something. */
export function memoryReleaser(backing: RamBacking, logger: Logger): ReleaseMemory {
  const advice = backing === 'memfd' ? MADV_REMOVE : MADV_DONTNEED;
  let isTold = false;
  return (part) => {
    // Loaded now and not before: most machines never need it.
    const calls = linuxCalls();
    const errno = calls?.madvise(part, advice);
    if (errno === 0) return true;
    if (!isTold) {
      const reason = errno === undefined ? 'it needs the package koffi' : `madvise failed with error ${errno}`;
      logger.log('warn', 'balloon', `the host cannot take memory back: ${reason}`);
      isTold = true;
    }
    return false;
  };
}
