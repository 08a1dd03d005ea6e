/**
 * Guest RAM under KVM: the machine's WebAssembly memory itself, or a memfd mapped over RAM's place in it, which other processes can be given. The
 * devices see the same bytes there either way, and KVM takes the address for its memory slots.
 *
 * Linux gives memfds huge pages only where that is switched on, hardly anywhere; anonymous memory gets them almost everywhere, and with them a
 * guest's first touch of its memory is one exit in place of 512.
 *
 * @module
 */
import type { MachineMemoryMap, RamBacking } from '../../memory/machine-memory.ts';
import { MAP_FIXED, MAP_NORESERVE, MAP_SHARED, MFD_CLOEXEC, PROT_READ, PROT_WRITE } from './defs.ts';
import { expectSuccess, SystemCallError, type SystemCalls } from './system-calls.ts';

export interface GuestRam extends Disposable {
  /** The memfd, where there is one. */
  readonly fd: number | undefined;
  /** Where guest-physical address 0 is in this process. */
  readonly address: number;
}

/** The RAM of a machine that nobody has written to yet, which is zeroed memory. It outlives the disposed `GuestRam`. */
export function mapGuestRam(
  calls: SystemCalls,
  buffer: ArrayBufferLike,
  map: MachineMemoryMap,
  backing: RamBacking,
): GuestRam {
  if (backing === 'anonymous') {
    return { fd: undefined, address: calls.addressOf(buffer) + map.ram, [Symbol.dispose]: () => undefined };
  }
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
