/**
 * Puts virtio devices into a machine, on PCI or on MMIO: registers, interrupts, doorbells, and the addresses that firmware
 * would give them.
 *
 * @module
 */
import type { VirtioMmioResource } from '../boot/acpi/dsdt.ts';
import {
  PCI_LOW_MMIO_END,
  PCI_LOW_MMIO_START,
  pciHighMmio,
  pciIntxGsi,
  VIRTIO_MMIO_BYTES,
  VIRTIO_MMIO_START,
} from '../boot/layout.ts';
import type { Bus } from '../bus/bus.ts';
import type { InterruptLine } from '../bus/bus-device.ts';
import type { PostedMmio } from '../bus/posted-mmio.ts';
import { PciMemory } from '../devices/pci/memory.ts';
import type { SendMsi } from '../devices/pci/msix.ts';
import type { PciRoot } from '../devices/pci/root.ts';
import type { VirtioDevice } from '../devices/virtio/device.ts';
import type { HostWrote } from '../devices/virtio/transport/core.ts';
import { VirtioMmio } from '../devices/virtio/transport/mmio.ts';
import { VIRTIO_MMIO_QUEUE_NOTIFY } from '../devices/virtio/transport/mmio-defs.ts';
import { VirtioPci } from '../devices/virtio/transport/pci.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import type { Logger } from '../util/log.ts';

export type VirtioTransport = 'pci' | 'mmio';

/** A device and its place, which is the same on either transport. */
export interface VirtioPlacement {
  readonly slot: number;
  readonly device: VirtioDevice;
}

export interface VirtioBusOptions {
  readonly transport: VirtioTransport;
  readonly memory: GuestMemory;
  /** RAM with the persistent memory behind it. */
  readonly ramBytes: number;
  readonly physicalAddressBits: number;
  readonly pci: PciRoot;
  readonly mmio: Bus;
  /** A new source on a global system interrupt. */
  readonly line: (gsi: number) => InterruptLine;
  readonly sendMsi: SendMsi;
  readonly postedMmio: PostedMmio;
  /** `CodeWrites.hostWrote`. */
  readonly hostWrote: HostWrote;
  readonly logger: Logger;
}

/** Room for a function's registers in the 32-bit window: the place is the slot's. */
const BAR_SPACING = 0x10_0000;
/** Lines in the log about what a guest's drivers did wrong, for each device: a guest can do it any number of times. */
const MAX_FAULTS_LOGGED = 5;

export class VirtioBus {
  readonly #options: VirtioBusOptions;
  readonly #pciMemory: PciMemory;
  readonly #resets: (() => Promise<void>)[] = [];
  readonly #mmioResources: VirtioMmioResource[] = [];

  constructor(options: VirtioBusOptions) {
    this.#options = options;
    const windows = [
      { start: PCI_LOW_MMIO_START, end: PCI_LOW_MMIO_END },
      pciHighMmio(options.ramBytes, options.physicalAddressBits),
    ].filter(({ start, end }) => end > start);
    this.#pciMemory = new PciMemory(windows);
    for (const window of windows) {
      options.mmio.add('PCI memory', window.start, window.end - window.start, this.#pciMemory.window(window));
    }
  }

  /** Before the guest starts. */
  add({ slot, device }: VirtioPlacement): void {
    const { transport, memory, line, sendMsi, postedMmio, hostWrote, pci, mmio } = this.#options;
    const gsi = pciIntxGsi(slot, 0);
    const onFault = this.#faultLog();
    if (transport === 'pci') {
      const made = new VirtioPci({
        device,
        memory,
        pciMemory: this.#pciMemory,
        interrupt: { line: line(gsi), gsi },
        sendMsi,
        doorbells: postedMmio,
        hostWrote,
        onFault,
      });
      made.endpoint.assign(0, PCI_LOW_MMIO_START + slot * BAR_SPACING);
      pci.add(0, slot, 0, made);
      this.#resets.push(() => made.reset());
    } else {
      const made = new VirtioMmio({ device, memory, line: line(gsi), hostWrote, onFault });
      const address = VIRTIO_MMIO_START + slot * VIRTIO_MMIO_BYTES;
      mmio.add(`virtio ${device.name}`, address, VIRTIO_MMIO_BYTES, made);
      postedMmio.add(address + VIRTIO_MMIO_QUEUE_NOTIFY, 4);
      this.#mmioResources.push({ slot, address, gsi });
      this.#resets.push(() => made.reset());
    }
  }

  #faultLog(): (message: string) => void {
    let logged = 0;
    return (message) => {
      if (++logged <= MAX_FAULTS_LOGGED) this.#options.logger.log('warn', 'virtio', `${message}; it waits for a reset`);
    };
  }

  /** What ACPI is to tell of: the devices that cannot be found otherwise. */
  get mmioResources(): readonly VirtioMmioResource[] {
    return this.#mmioResources;
  }

  /** Power-up state of every device. Resolves when the host touches no guest memory for any of them. */
  async reset(): Promise<void> {
    await Promise.all(this.#resets.map((reset) => reset()));
  }
}
