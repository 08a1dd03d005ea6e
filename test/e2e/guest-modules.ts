/**
 * Debian's cloud kernel has its virtio drivers as modules: a busybox initrd with some of them, and the command that loads them.
 *
 * @module
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CpioEntry } from '../../guest/cpio.ts';
import { busyboxInitrd, type DebianKernel, need } from '../guest/debian.ts';
import type { Console } from './console.ts';

export type GuestTransport = 'pci' | 'mmio';

const TRANSPORTS: Record<GuestTransport, readonly string[]> = {
  pci: ['virtio/virtio_pci_legacy_dev', 'virtio/virtio_pci_modern_dev', 'virtio/virtio_pci'],
  mmio: ['virtio/virtio_mmio'],
};

const moduleName = (path: string): string => `${path.split('/').at(-1)}.ko`;

/** A transport's modules and others, all by their paths below drivers/, in the order in which they are loaded. */
export class GuestModules {
  readonly #paths: readonly string[];

  constructor(transport: GuestTransport, ...drivers: readonly string[]) {
    this.#paths = ['virtio/virtio', 'virtio/virtio_ring', ...TRANSPORTS[transport], ...drivers];
  }

  /** Writes an initrd with them, from a folder that has the kernel's modules. */
  writeInitrd(path: string, kernel: DebianKernel, modules: string): void {
    const drivers = join(modules, 'lib/modules', kernel.release, 'kernel/drivers');
    const entries = this.#paths.map(
      (module): CpioEntry => ({
        kind: 'file',
        path: `lib/${moduleName(module)}`,
        data: readFileSync(join(drivers, `${module}.ko`)),
      }),
    );
    writeFileSync(path, need(busyboxInitrd({ entries: [{ kind: 'directory', path: 'lib' }, ...entries] })));
  }

  async load(vm: Console): Promise<void> {
    const load = this.#paths.map((path) => `insmod /lib/${moduleName(path)}`);
    await vm.run(`dmesg -n 1; ${load.join(' && ')}`);
  }
}
