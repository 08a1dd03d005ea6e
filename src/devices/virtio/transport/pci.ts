/**
 * The modern PCI transport (VIRTIO 1.2, section 4.1), with crosvm's register file: everything in one 32-bit memory BAR.
 *
 *     0000h   common configuration     one page each
 *     1000h   ISR status
 *     2000h   device configuration
 *     3000h   notifications: 4 bytes a queue, posted by the vCPUs
 *     6000h   MSI-X table
 *     7000h   MSI-X pending bits
 *
 * One MSI-X vector per queue and one for configuration changes; INTA# without MSI-X. No legacy interface.
 *
 * @module
 */
import type { AccessWidth, BusDevice, InterruptLine } from '../../../bus/bus-device.ts';
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import { PCI_CAP_ID_VENDOR, type PciFunction } from '../../pci/config-space.ts';
import { PciEndpoint } from '../../pci/endpoint.ts';
import type { PciMemory } from '../../pci/memory.ts';
import { Msix, type SendMsi } from '../../pci/msix.ts';
import { VIRTIO_ID_BLOCK, VIRTIO_ID_CONSOLE } from '../defs.ts';
import type { VirtioDevice } from '../device.ts';
import { type HostWrote, type QueueArea, TransportCore } from './core.ts';
import * as C from './pci-defs.ts';

/** Where a function's doorbells are, for the vCPUs to post. */
export interface Doorbells {
  add(address: number, bytes: number): unknown;
  remove(address: number, bytes: number): void;
}

export interface VirtioPciOptions {
  readonly device: VirtioDevice;
  readonly memory: GuestMemory;
  readonly pciMemory: PciMemory;
  readonly interrupt: { readonly line: InterruptLine; readonly gsi: number };
  readonly sendMsi: SendMsi;
  readonly doorbells: Doorbells;
  readonly hostWrote?: HostWrote | undefined;
  readonly onFault?: ((message: string) => void) | undefined;
}

const PAGE = 0x1000;
const BAR = 0;
/** The table's page has room for 256 entries, and the page of notifications for 1024 queues. */
const MAX_QUEUES = PAGE / 16 - 1;

/** Class codes by device type (4.1.2.1 leaves them open; these are the usual ones). */
const CLASS_OTHER = 0x088000;
const CLASSES: Readonly<Record<number, number>> = { [VIRTIO_ID_BLOCK]: 0x018000, [VIRTIO_ID_CONSOLE]: 0x078000 };

const AREAS: readonly QueueArea[] = ['descriptors', 'driver', 'device'];

export class VirtioPci implements PciFunction {
  readonly endpoint: PciEndpoint;
  readonly core: TransportCore;
  readonly #msix: Msix;
  readonly #configWindow: number;
  #isr = 0;
  #configVector: number = C.VIRTIO_MSI_NO_VECTOR;
  readonly #queueVectors: number[];

  constructor(options: VirtioPciOptions) {
    const { device, memory, hostWrote, onFault } = options;
    const queues = device.queueSizes.length;
    if (queues > MAX_QUEUES) throw new RangeError(`virtio device "${device.name}": ${queues} queues`);
    this.#queueVectors = device.queueSizes.map(() => C.VIRTIO_MSI_NO_VECTOR);
    this.#msix = new Msix(queues + 1, options.sendMsi);
    this.core = new TransportCore({
      device,
      memory,
      hostWrote,
      onFault,
      showsDraining: true,
      interrupts: {
        queue: (index) => this.#interrupt(C.VIRTIO_PCI_ISR_QUEUE, this.#queueVectors[index]!),
        config: () => this.#interrupt(C.VIRTIO_PCI_ISR_CONFIG, this.#configVector),
      },
    });
    const doorbells = C.BAR_NOTIFY;
    let posted: number | undefined;
    this.endpoint = new PciEndpoint({
      name: device.name,
      identity: {
        vendor: C.VIRTIO_PCI_VENDOR,
        device: C.VIRTIO_PCI_DEVICE_BASE + device.type,
        revision: C.VIRTIO_PCI_REVISION,
        classCode: CLASSES[device.type] ?? CLASS_OTHER,
        subsystemVendor: C.VIRTIO_PCI_VENDOR,
        subsystem: C.VIRTIO_PCI_SUBSYSTEM,
      },
      memory: options.pciMemory,
      bars: [
        {
          index: BAR,
          bytes: C.BAR_BYTES,
          is64Bit: false,
          device: this.registers,
          onMoved: (address) => {
            if (posted !== undefined) options.doorbells.remove(posted + doorbells, PAGE);
            if (address !== undefined) options.doorbells.add(address + doorbells, PAGE);
            posted = address;
          },
        },
      ],
      interrupt: options.interrupt,
      msix: { msix: this.#msix, bar: BAR, tableOffset: C.BAR_MSIX_TABLE, pendingOffset: C.BAR_MSIX_PENDING },
    });
    this.#addCapability(C.VIRTIO_PCI_CAP_COMMON_CFG, C.BAR_COMMON, C.COMMON_BYTES);
    this.#addCapability(C.VIRTIO_PCI_CAP_ISR_CFG, C.BAR_ISR, 1);
    // Zero length would be no structure at all (4.1.4): devices without configuration space have none.
    if (device.configBytes > 0) this.#addCapability(C.VIRTIO_PCI_CAP_DEVICE_CFG, C.BAR_DEVICE, device.configBytes);
    this.#addCapability(C.VIRTIO_PCI_CAP_NOTIFY_CFG, C.BAR_NOTIFY, PAGE, C.NOTIFY_MULTIPLIER);
    this.#configWindow = this.#addCapability(C.VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 0);
    this.shared = { config: this.endpoint.config, asks: [this.#configWindow + C.CAP_EXTRA] };
    // The driver chooses what the window shows (4.1.4.9).
    const { config } = this.endpoint;
    config.setWritable(this.#configWindow + C.CAP_BAR, 1, 0xff);
    config.setWritable(this.#configWindow + C.CAP_OFFSET, 4, 0xffff_ffff);
    config.setWritable(this.#configWindow + C.CAP_LENGTH, 4, 0xffff_ffff);
  }

  /** struct virtio_pci_cap (4.1.4), with one more word for some. */
  #addCapability(type: number, offset: number, length: number, extra?: number): number {
    const bytes = extra === undefined ? 16 : 20;
    const body = new Uint8Array(bytes - 2);
    const view = new DataView(body.buffer);
    body[0] = bytes;
    body[1] = type;
    body[2] = BAR;
    view.setUint32(C.CAP_OFFSET - 2, offset, true);
    view.setUint32(C.CAP_LENGTH - 2, length, true);
    if (extra !== undefined) view.setUint32(C.CAP_EXTRA - 2, extra, true);
    return this.endpoint.addCapability(PCI_CAP_ID_VENDOR, body);
  }

  // --- Configuration space ---

  readonly shared: NonNullable<PciFunction['shared']>;

  readConfig(offset: number, width: AccessWidth): number {
    const data = this.#configWindow + C.CAP_EXTRA;
    // The only registers with a read that does something.
    if (offset < data + 4 && offset + width > data) {
      const window = this.#window();
      if (window !== undefined) this.endpoint.config.set(data, 4, this.registers.read(window.offset, window.width));
    }
    return this.endpoint.readConfig(offset, width);
  }

  writeConfig(offset: number, width: AccessWidth, value: number): void {
    const data = this.#configWindow + C.CAP_EXTRA;
    if (offset === data) {
      const window = this.#window();
      if (window?.width === width) this.registers.write(window.offset, width, value);
      return;
    }
    this.endpoint.writeConfig(offset, width, value);
  }

  /** What the window in configuration space shows; undefined when the driver chose nothing that is there. */
  #window(): { offset: number; width: AccessWidth } | undefined {
    const { config } = this.endpoint;
    const bar = config.get(this.#configWindow + C.CAP_BAR, 1);
    const offset = config.get(this.#configWindow + C.CAP_OFFSET, 4);
    const length = config.get(this.#configWindow + C.CAP_LENGTH, 4);
    if (bar !== BAR || (length !== 1 && length !== 2 && length !== 4)) return undefined;
    if (offset % length !== 0 || offset + length > C.BAR_BYTES) return undefined;
    return { offset, width: length };
  }

  /** Power-up state; resolves when the host touches no buffer any more. */
  async reset(): Promise<void> {
    this.endpoint.reset();
    this.#resetVectors();
    await this.core.reset();
  }

  #resetVectors(): void {
    this.#isr = 0;
    this.#configVector = C.VIRTIO_MSI_NO_VECTOR;
    this.#queueVectors.fill(C.VIRTIO_MSI_NO_VECTOR);
    this.endpoint.interrupt = false;
  }

  // --- Interrupts ---

  #interrupt(bit: number, vector: number): void {
    if (this.#msix.enabled) this.#msix.raise(vector);
    else {
      this.#isr |= bit;
      this.endpoint.interrupt = true;
    }
  }

  /** Reading says why the pin is asserted, and releases it (4.1.4.5). */
  #takeIsr(): number {
    const isr = this.#isr;
    this.#isr = 0;
    this.endpoint.interrupt = false;
    return isr;
  }

  // --- The BAR ---

  get registers(): BusDevice {
    return {
      read: (offset, width) => this.#read(offset, width),
      write: (offset, width, value) => this.#write(offset, width, value),
    };
  }

  #read(offset: number, width: AccessWidth): number {
    const within = offset % PAGE;
    switch (offset - within) {
      case C.BAR_COMMON:
        return this.#readCommon(within, width);
      case C.BAR_ISR:
        return within === 0 ? this.#takeIsr() : 0;
      case C.BAR_DEVICE:
        return within + width <= this.core.device.configBytes ? this.core.device.readConfig(within, width) : 0;
      case C.BAR_MSIX_TABLE:
        return this.#msix.table.read(within, width);
      case C.BAR_MSIX_PENDING:
        return this.#msix.pendingBits.read(within, width);
      default:
        return 0;
    }
  }

  #write(offset: number, width: AccessWidth, value: number): void {
    const within = offset % PAGE;
    switch (offset - within) {
      case C.BAR_COMMON:
        this.#writeCommon(within, width, value);
        break;
      case C.BAR_DEVICE:
        if (within + width <= this.core.device.configBytes) this.core.device.writeConfig(within, width, value);
        break;
      case C.BAR_NOTIFY:
        this.core.notify(Math.floor(within / C.NOTIFY_MULTIPLIER));
        break;
      case C.BAR_MSIX_TABLE:
        this.#msix.table.write(within, width, value);
        break;
    }
  }

  /** Any width: no register here does anything when it is read. */
  #readCommon(offset: number, width: AccessWidth): number {
    let value = 0;
    for (let byte = 0; byte < width; byte++) {
      const at = offset + byte;
      value |= ((this.#commonWord(at & ~3) >>> ((at & 3) * 8)) & 0xff) << (byte * 8);
    }
    return value >>> 0;
  }

  #commonWord(offset: number): number {
    const { core } = this;
    switch (offset) {
      case C.VIRTIO_PCI_COMMON_DFSELECT:
        return core.deviceFeatureSelect;
      case C.VIRTIO_PCI_COMMON_DF:
        return core.deviceFeatures;
      case C.VIRTIO_PCI_COMMON_GFSELECT:
        return core.driverFeatureSelect;
      case C.VIRTIO_PCI_COMMON_GF:
        return core.driverFeatures;
      case C.VIRTIO_PCI_COMMON_MSIX:
        return this.#configVector | (core.queueCount << 16);
      case C.VIRTIO_PCI_COMMON_STATUS:
        return core.status | ((core.configGeneration & 0xff) << 8) | (core.queueSelect << 16);
      case C.VIRTIO_PCI_COMMON_Q_SIZE:
        return core.queueSize | ((this.#queueVectors[core.queueSelect] ?? C.VIRTIO_MSI_NO_VECTOR) << 16);
      case C.VIRTIO_PCI_COMMON_Q_ENABLE:
        // A queue's place among the notifications is its index.
        return (core.queueEnabled ? 1 : 0) | ((core.queueSelect < core.queueCount ? core.queueSelect : 0) << 16);
      default: {
        const area = AREAS[(offset - C.VIRTIO_PCI_COMMON_Q_DESCLO) >> 3];
        return area === undefined ? 0 : core.queueArea(area, (offset & 4) === 0 ? 0 : 1);
      }
    }
  }

  /** Registers take writes of their own width; 64-bit ones by halves (4.1.3.1). Others are dropped. */
  #writeCommon(offset: number, width: AccessWidth, value: number): void {
    const { core } = this;
    if (width === 4) {
      switch (offset) {
        case C.VIRTIO_PCI_COMMON_DFSELECT:
          core.deviceFeatureSelect = value;
          return;
        case C.VIRTIO_PCI_COMMON_GFSELECT:
          core.driverFeatureSelect = value;
          return;
        case C.VIRTIO_PCI_COMMON_GF:
          core.driverFeatures = value;
          return;
      }
      const area = offset % 4 === 0 ? AREAS[(offset - C.VIRTIO_PCI_COMMON_Q_DESCLO) >> 3] : undefined;
      if (area !== undefined) core.setQueueArea(area, (offset & 4) === 0 ? 0 : 1, value);
    } else if (width === 2) {
      switch (offset) {
        case C.VIRTIO_PCI_COMMON_MSIX:
          this.#configVector = this.#vector(value);
          break;
        case C.VIRTIO_PCI_COMMON_Q_SELECT:
          core.queueSelect = value;
          break;
        case C.VIRTIO_PCI_COMMON_Q_SIZE:
          core.queueSize = value;
          break;
        case C.VIRTIO_PCI_COMMON_Q_MSIX:
          if (core.queueSelect < core.queueCount) this.#queueVectors[core.queueSelect] = this.#vector(value);
          break;
        case C.VIRTIO_PCI_COMMON_Q_ENABLE:
          if (value === 1) core.enableQueue();
          break;
      }
    } else if (offset === C.VIRTIO_PCI_COMMON_STATUS) {
      if (value === 0) this.#resetVectors();
      core.status = value;
    }
  }

  /** A vector that is not there reads back as none, which is how a driver learns of it (4.1.5.1.2.1). */
  #vector(value: number): number {
    return value < this.#msix.vectors ? value : C.VIRTIO_MSI_NO_VECTOR;
  }
}
