/**
 * Debian's cloud kernel has its drivers as modules: some of them for an initrd, and the command of a shell that loads them.
 *
 * @module
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CpioEntry } from '../../guest/cpio.ts';
import { debianKernel, debianModules, need } from './debian.ts';

export type GuestTransport = 'pci' | 'mmio';

/** In the order in which modules are loaded, by their paths below drivers/. */
const TRANSPORTS: Record<GuestTransport, readonly string[]> = {
  pci: ['virtio/virtio_pci_legacy_dev', 'virtio/virtio_pci_modern_dev', 'virtio/virtio_pci'],
  mmio: ['virtio/virtio_mmio'],
};
export const PMEM_DRIVERS: readonly string[] = ['libnvdimm', 'nd_btt', 'nd_pmem', 'nd_virtio', 'virtio_pmem'].map(
  (name) => `nvdimm/${name}`,
);

export const moduleName = (path: string): string => `${path.split('/').at(-1)}.ko`;

/** The command of a shell that waits until devices open: drivers go on with them when they are loaded. */
export const waitForDevices = (...paths: readonly string[]): string =>
  paths.map((path) => `until head -c 1 ${path} >/dev/null 2>&1; do sleep 0.1; done`).join('; ');

/** Modules as files of a folder in an archive; `read` gives one by its path below drivers/. */
export const moduleFiles = (
  folder: string,
  paths: readonly string[],
  read: (path: string) => Uint8Array,
): CpioEntry[] => [
  { kind: 'directory', path: folder },
  ...paths.map(
    (path): CpioEntry => ({ kind: 'file', path: `${folder}/${moduleName(path)}`, data: read(`${path}.ko`) }),
  ),
];

/** A virtio transport, and drivers of devices on it. */
export class GuestModules {
  readonly #paths: readonly string[];

  constructor(transport: GuestTransport, drivers: readonly string[]) {
    this.#paths = ['virtio/virtio', 'virtio/virtio_ring', ...TRANSPORTS[transport], ...drivers];
  }

  get entries(): CpioEntry[] {
    const { release } = need(debianKernel('cloud'));
    const drivers = join(need(debianModules('cloud')), 'lib/modules', release, 'kernel/drivers');
    return moduleFiles('lib', this.#paths, (path) => readFileSync(join(drivers, path)));
  }

  /** Keeps the kernel's messages off the console, too. */
  get loadCommand(): string {
    return `dmesg -n 1; ${this.#paths.map((path) => `insmod /lib/${moduleName(path)}`).join(' && ')}`;
  }
}
