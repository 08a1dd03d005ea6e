/**
 * Guest RAM under KVM: a memfd mapped over its place in the machine's WebAssembly memory. The devices go on seeing the same bytes there,
 * KVM takes the address for its memory slots, and other processes can be given the memfd.
 *
 * @module
 */
import type { MachineMemoryMap } from '../../memory/machine-memory.ts';
import { MAP_FIXED, MAP_NORESERVE, MAP_SHARED, MFD_CLOEXEC, PROT_READ, PROT_WRITE } from './defs.ts';
import { expectSuccess, SystemCallError, type SystemCalls } from './system-calls.ts';

export interface GuestRam extends Disposable {
  readonly fd: number;
  /** Where guest-physical address 0 is in this process. */
  readonly address: number;
}

/** Maps zeroed memory over the RAM of a machine that nobody has written to yet. The memory outlives the disposed `GuestRam`. */
export function mapGuestRam(calls: SystemCalls, buffer: ArrayBufferLike, map: MachineMemoryMap): GuestRam {
  const fd = expectSuccess(calls.memfdCreate('guest-ram', MFD_CLOEXEC), 'memfd_create');
  try {
    expectSuccess(calls.ftruncate(fd, map.ramBytes), 'ftruncate of guest RAM');
    const address = calls.addressOf(buffer) + map.ram;
    const flags = MAP_SHARED | MAP_FIXED | MAP_NORESERVE;
    const mapped = calls.mmap(address, map.ramBytes, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (expectSuccess(mapped, 'mmap of guest RAM') !== address) throw new SystemCallError('mmap of guest RAM', 22);
    return { fd, address, [Symbol.dispose]: () => void calls.close(fd) };
  } catch (error) {
    calls.close(fd);
    throw error;
  }
}
