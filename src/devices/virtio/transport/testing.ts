/**
 * The driver's side of both transports, for tests of devices: finds the registers, negotiates, sets queues up, notifies.
 * What it does is what the specification tells drivers (VIRTIO 1.2, section 3.1); tests break rules through `registers`.
 *
 * @module
 */
import type { BusDevice } from '../../../bus/bus-device.ts';
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import { PCI_BASE_ADDRESS, PCI_COMMAND, PCI_COMMAND_MASTER, PCI_COMMAND_MEMORY } from '../../pci/config-space.ts';
import { PciMemory } from '../../pci/memory.ts';
import { FakeLine } from '../../testing.ts';
import {
  type Features,
  features,
  VIRTIO_CONFIG_S_ACKNOWLEDGE,
  VIRTIO_CONFIG_S_DRIVER,
  VIRTIO_CONFIG_S_DRIVER_OK,
  VIRTIO_CONFIG_S_FEATURES_OK,
  VIRTIO_F_VERSION_1,
} from '../defs.ts';
import type { VirtioDevice } from '../device.ts';
import type { QueueAreas } from '../queue/virtqueue.ts';
import type { HostWrote } from './core.ts';
import { VirtioMmio } from './mmio.ts';
import * as M from './mmio-defs.ts';
import { VirtioPci } from './pci.ts';
import * as C from './pci-defs.ts';

export const ACKNOWLEDGE_DRIVER: number = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
export const UP_TO_FEATURES_OK: number = ACKNOWLEDGE_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK;
export const UP_TO_DRIVER_OK: number = UP_TO_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK;

export const PCI_WINDOW: { readonly start: number; readonly end: number } = { start: 0xd000_0000, end: 0xf400_0000 };
const BAR_ADDRESS = 0xd000_8000;

/** A device behind a transport, as its driver sees it. */
export abstract class TransportDriver {
  readonly faults: string[] = [];
  /** What the device is to wait for when it has written data. */
  hostWrote: HostWrote = () => undefined;
  abstract readonly kind: 'pci' | 'mmio';
  abstract readonly registers: BusDevice;
  abstract status: number;
  abstract readonly deviceFeatures: Features;
  abstract writeFeatures(value: Features): void;
  abstract selectQueue(index: number): void;
  abstract readonly queueMaxSize: number;
  abstract queueSize: number;
  abstract readonly queueEnabled: boolean;
  abstract setArea(area: keyof QueueAreas, address: number): void;
  abstract enableQueue(): void;
  abstract notify(index: number): void;
  abstract readonly configOffset: number;
  abstract readonly configGeneration: number;
  /** Interrupts since the last look, and what they were for: bit 0 queues, bit 1 configuration. */
  abstract takeInterrupts(): number;
  abstract resetMachine(): Promise<void>;

  /** Sets the selected queue up. */
  setUpQueue(index: number, areas: QueueAreas): void {
    this.selectQueue(index);
    this.queueSize = areas.size;
    this.setArea('descriptors', areas.descriptors);
    this.setArea('driver', areas.driver);
    this.setArea('device', areas.device);
    this.enableQueue();
  }

  /** The whole handshake. */
  start(queues: readonly QueueAreas[], wanted: Features = 0n): void {
    this.status = 0;
    this.status = VIRTIO_CONFIG_S_ACKNOWLEDGE;
    this.status = ACKNOWLEDGE_DRIVER;
    this.writeFeatures(wanted | features(VIRTIO_F_VERSION_1));
    this.status = UP_TO_FEATURES_OK;
    for (const [index, areas] of queues.entries()) this.setUpQueue(index, areas);
    this.status = UP_TO_DRIVER_OK;
  }
}

class PciDriver extends TransportDriver {
  readonly kind = 'pci';
  readonly configOffset: number = C.BAR_DEVICE;
  readonly registers: BusDevice;
  readonly pci: VirtioPci;
  readonly #line = new FakeLine();

  constructor(device: VirtioDevice, memory: GuestMemory) {
    super();
    const pciMemory = new PciMemory([PCI_WINDOW]);
    this.pci = new VirtioPci({
      device,
      memory,
      pciMemory,
      interrupt: { line: this.#line, gsi: 16 },
      sendMsi: () => {},
      doorbells: { add() {}, remove() {} },
      hostWrote: (parts) => this.hostWrote(parts),
      onFault: (message) => void this.faults.push(message),
    });
    this.#enable();
    const window = pciMemory.window(PCI_WINDOW);
    const base = BAR_ADDRESS - PCI_WINDOW.start;
    this.registers = {
      read: (offset, width) => window.read(base + offset, width),
      write: (offset, width, value) => window.write(base + offset, width, value),
    };
  }

  get status(): number {
    return this.registers.read(C.VIRTIO_PCI_COMMON_STATUS, 1);
  }

  set status(value: number) {
    this.registers.write(C.VIRTIO_PCI_COMMON_STATUS, 1, value);
  }

  get deviceFeatures(): Features {
    return [1, 0].reduce((set, word) => {
      this.registers.write(C.VIRTIO_PCI_COMMON_DFSELECT, 4, word);
      return (set << 32n) | BigInt(this.registers.read(C.VIRTIO_PCI_COMMON_DF, 4));
    }, 0n);
  }

  writeFeatures(value: Features): void {
    for (const word of [0, 1]) {
      this.registers.write(C.VIRTIO_PCI_COMMON_GFSELECT, 4, word);
      this.registers.write(C.VIRTIO_PCI_COMMON_GF, 4, Number((value >> BigInt(word * 32)) & 0xffff_ffffn));
    }
  }

  selectQueue(index: number): void {
    this.registers.write(C.VIRTIO_PCI_COMMON_Q_SELECT, 2, index);
  }

  get queueMaxSize(): number {
    return this.registers.read(C.VIRTIO_PCI_COMMON_Q_SIZE, 2);
  }

  get queueSize(): number {
    return this.registers.read(C.VIRTIO_PCI_COMMON_Q_SIZE, 2);
  }

  set queueSize(value: number) {
    this.registers.write(C.VIRTIO_PCI_COMMON_Q_SIZE, 2, value);
  }

  get queueEnabled(): boolean {
    return this.registers.read(C.VIRTIO_PCI_COMMON_Q_ENABLE, 2) === 1;
  }

  setArea(area: keyof QueueAreas, address: number): void {
    const at = C.VIRTIO_PCI_COMMON_Q_DESCLO + ['descriptors', 'driver', 'device'].indexOf(area) * 8;
    this.registers.write(at, 4, address % 0x1_0000_0000);
    this.registers.write(at + 4, 4, Math.floor(address / 0x1_0000_0000));
  }

  enableQueue(): void {
    this.registers.write(C.VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
  }

  notify(index: number): void {
    this.registers.write(C.BAR_NOTIFY + index * C.NOTIFY_MULTIPLIER, 2, index);
  }

  get configGeneration(): number {
    return this.registers.read(C.VIRTIO_PCI_COMMON_STATUS + 1, 1);
  }

  takeInterrupts(): number {
    return this.#line.level ? this.registers.read(C.BAR_ISR, 1) : 0;
  }

  /** What firmware and kernel do first. */
  #enable(): void {
    this.pci.writeConfig(PCI_BASE_ADDRESS, 4, BAR_ADDRESS);
    this.pci.writeConfig(PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
  }

  async resetMachine(): Promise<void> {
    await this.pci.reset();
    this.#enable();
  }
}

class MmioDriver extends TransportDriver {
  readonly kind = 'mmio';
  readonly configOffset: number = M.VIRTIO_MMIO_CONFIG;
  readonly registers: VirtioMmio;
  readonly #line = new FakeLine();

  constructor(device: VirtioDevice, memory: GuestMemory) {
    super();
    const onFault = (message: string): void => void this.faults.push(message);
    this.registers = new VirtioMmio({
      device,
      memory,
      line: this.#line,
      hostWrote: (parts) => this.hostWrote(parts),
      onFault,
    });
  }

  get status(): number {
    return this.registers.read(M.VIRTIO_MMIO_STATUS, 4);
  }

  set status(value: number) {
    this.registers.write(M.VIRTIO_MMIO_STATUS, 4, value);
  }

  get deviceFeatures(): Features {
    return [1, 0].reduce((set, word) => {
      this.registers.write(M.VIRTIO_MMIO_DEVICE_FEATURES_SEL, 4, word);
      return (set << 32n) | BigInt(this.registers.read(M.VIRTIO_MMIO_DEVICE_FEATURES, 4));
    }, 0n);
  }

  writeFeatures(value: Features): void {
    for (const word of [0, 1]) {
      this.registers.write(M.VIRTIO_MMIO_DRIVER_FEATURES_SEL, 4, word);
      this.registers.write(M.VIRTIO_MMIO_DRIVER_FEATURES, 4, Number((value >> BigInt(word * 32)) & 0xffff_ffffn));
    }
  }

  selectQueue(index: number): void {
    this.registers.write(M.VIRTIO_MMIO_QUEUE_SEL, 4, index);
  }

  get queueMaxSize(): number {
    return this.registers.read(M.VIRTIO_MMIO_QUEUE_NUM_MAX, 4);
  }

  /** The register is write-only: what the device has is visible in the tests of the core. */
  get queueSize(): number {
    return this.registers.core.queueSize;
  }

  set queueSize(value: number) {
    this.registers.write(M.VIRTIO_MMIO_QUEUE_NUM, 4, value);
  }

  get queueEnabled(): boolean {
    return this.registers.read(M.VIRTIO_MMIO_QUEUE_READY, 4) === 1;
  }

  setArea(area: keyof QueueAreas, address: number): void {
    const at = M.VIRTIO_MMIO_QUEUE_DESC_LOW + ['descriptors', 'driver', 'device'].indexOf(area) * 0x10;
    this.registers.write(at, 4, address % 0x1_0000_0000);
    this.registers.write(at + 4, 4, Math.floor(address / 0x1_0000_0000));
  }

  enableQueue(): void {
    this.registers.write(M.VIRTIO_MMIO_QUEUE_READY, 4, 1);
  }

  notify(index: number): void {
    this.registers.write(M.VIRTIO_MMIO_QUEUE_NOTIFY, 4, index);
  }

  get configGeneration(): number {
    return this.registers.read(M.VIRTIO_MMIO_CONFIG_GENERATION, 4);
  }

  takeInterrupts(): number {
    if (!this.#line.level) return 0;
    const bits = this.registers.read(M.VIRTIO_MMIO_INTERRUPT_STATUS, 4);
    this.registers.write(M.VIRTIO_MMIO_INTERRUPT_ACK, 4, bits);
    return bits;
  }

  resetMachine(): Promise<void> {
    return this.registers.reset();
  }
}

export const TRANSPORTS = ['pci', 'mmio'] as const;

/** Puts a device behind a transport, BAR assigned and decoding where there is one. */
export const driverOf = (
  kind: (typeof TRANSPORTS)[number],
  device: VirtioDevice,
  memory: GuestMemory,
): TransportDriver => (kind === 'pci' ? new PciDriver(device, memory) : new MmioDriver(device, memory));
