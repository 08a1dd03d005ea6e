/**
 * The MMIO transport (VIRTIO 1.2, section 4.2), version 2: a page of registers, each 32 bits wide and accessed whole, then the
 * device's configuration space. One interrupt line.
 *
 * Refused: the legacy interface (version 1), and accesses to registers that are narrower or misaligned, which read as zero.
 *
 * @module
 */
import type { AccessWidth, BusDevice, InterruptLine } from '../../../bus/bus-device.ts';
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import type { VirtioDevice } from '../device.ts';
import { type HostWrote, type QueueArea, TransportCore } from './core.ts';
import * as M from './mmio-defs.ts';

export interface VirtioMmioOptions {
  readonly device: VirtioDevice;
  readonly memory: GuestMemory;
  readonly line: InterruptLine;
  readonly hostWrote?: HostWrote | undefined;
  readonly onFault?: ((message: string) => void) | undefined;
}

/** What the registers of shared memory regions read as where there is none. */
const NO_REGION = 0xffff_ffff;

const AREAS: readonly QueueArea[] = ['descriptors', 'driver', 'device'];

export class VirtioMmio implements BusDevice {
  readonly core: TransportCore;
  readonly #line: InterruptLine;
  #interruptStatus = 0;

  constructor({ device, memory, line, hostWrote, onFault }: VirtioMmioOptions) {
    this.#line = line;
    this.core = new TransportCore({
      device,
      memory,
      hostWrote,
      onFault,
      showsDraining: false,
      interrupts: {
        queue: () => this.#interrupt(M.VIRTIO_MMIO_INT_VRING),
        config: () => this.#interrupt(M.VIRTIO_MMIO_INT_CONFIG),
      },
    });
  }

  #interrupt(bit: number): void {
    this.#interruptStatus |= bit;
    this.#line.set(true);
  }

  #acknowledge(bits: number): void {
    this.#interruptStatus &= ~bits;
    this.#line.set(this.#interruptStatus !== 0);
  }

  /** Power-up state; resolves when the host touches no buffer any more. */
  async reset(): Promise<void> {
    this.#acknowledge(0xff);
    await this.core.reset();
  }

  read(offset: number, width: AccessWidth): number {
    const { core } = this;
    if (offset >= M.VIRTIO_MMIO_CONFIG) {
      const within = offset - M.VIRTIO_MMIO_CONFIG;
      return within + width <= core.device.configBytes ? core.device.readConfig(within, width) : 0;
    }
    if (width !== 4 || offset % 4 !== 0) return 0;
    switch (offset) {
      case M.VIRTIO_MMIO_MAGIC_VALUE:
        return M.MAGIC;
      case M.VIRTIO_MMIO_VERSION:
        return M.VERSION;
      case M.VIRTIO_MMIO_DEVICE_ID:
        return core.device.type;
      case M.VIRTIO_MMIO_VENDOR_ID:
        return M.VENDOR;
      case M.VIRTIO_MMIO_DEVICE_FEATURES:
        return core.deviceFeatures;
      case M.VIRTIO_MMIO_QUEUE_NUM_MAX:
        return core.queueMaxSize;
      case M.VIRTIO_MMIO_QUEUE_READY:
        return core.queueEnabled ? 1 : 0;
      case M.VIRTIO_MMIO_INTERRUPT_STATUS:
        return this.#interruptStatus;
      case M.VIRTIO_MMIO_STATUS:
        return core.status;
      case M.VIRTIO_MMIO_CONFIG_GENERATION:
        return core.configGeneration;
      case M.VIRTIO_MMIO_SHM_LEN_LOW:
      case M.VIRTIO_MMIO_SHM_LEN_HIGH:
      case M.VIRTIO_MMIO_SHM_BASE_LOW:
      case M.VIRTIO_MMIO_SHM_BASE_HIGH:
        return NO_REGION;
      default:
        return 0;
    }
  }

  write(offset: number, width: AccessWidth, value: number): void {
    const { core } = this;
    if (offset >= M.VIRTIO_MMIO_CONFIG) {
      const within = offset - M.VIRTIO_MMIO_CONFIG;
      if (within + width <= core.device.configBytes) core.device.writeConfig(within, width, value);
      return;
    }
    if (width !== 4 || offset % 4 !== 0) return;
    switch (offset) {
      case M.VIRTIO_MMIO_DEVICE_FEATURES_SEL:
        core.deviceFeatureSelect = value;
        break;
      case M.VIRTIO_MMIO_DRIVER_FEATURES:
        core.driverFeatures = value;
        break;
      case M.VIRTIO_MMIO_DRIVER_FEATURES_SEL:
        core.driverFeatureSelect = value;
        break;
      case M.VIRTIO_MMIO_QUEUE_SEL:
        core.queueSelect = value;
        break;
      case M.VIRTIO_MMIO_QUEUE_NUM:
        core.queueSize = value;
        break;
      case M.VIRTIO_MMIO_QUEUE_READY:
        if (value === 1) core.enableQueue();
        break;
      case M.VIRTIO_MMIO_QUEUE_NOTIFY:
        core.notify(value);
        break;
      case M.VIRTIO_MMIO_INTERRUPT_ACK:
        this.#acknowledge(value);
        break;
      case M.VIRTIO_MMIO_STATUS:
        if (value === 0) this.#acknowledge(0xff);
        core.status = value & 0xff;
        break;
      default: {
        // Pairs of low and high halves, 16 bytes apart.
        const area = AREAS[((offset - M.VIRTIO_MMIO_QUEUE_DESC_LOW) / 0x10) | 0];
        const half = offset & 0xf;
        if (offset >= M.VIRTIO_MMIO_QUEUE_DESC_LOW && area !== undefined && half <= 4) {
          core.setQueueArea(area, half === 0 ? 0 : 1, value);
        }
      }
    }
  }
}
