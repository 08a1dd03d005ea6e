/**
 * What both transports do behind their registers (VIRTIO 1.2, sections 2.1 to 2.5 and 3.1): device status, feature
 * negotiation, queue set-up, notifications, reset.
 *
 * Refused, without effect: status bits that are taken back or come out of order, features after FEATURES_OK, queue registers
 * before it and after DRIVER_OK, queues that are not there. A queue that lies where it cannot, and any fault in a ring, sets
 * DEVICE_NEEDS_RESET.
 *
 * A reset closes the queues at once. While the host still reads or writes buffers, the device is draining: the next driver's
 * DRIVER_OK takes effect when that is over.
 *
 * @module
 */
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import {
  type Features,
  features,
  hasFeature,
  VIRTIO_CONFIG_S_ACKNOWLEDGE as ACKNOWLEDGE,
  VIRTIO_CONFIG_S_DRIVER as DRIVER,
  VIRTIO_CONFIG_S_DRIVER_OK as DRIVER_OK,
  VIRTIO_CONFIG_S_FAILED as FAILED,
  VIRTIO_CONFIG_S_FEATURES_OK as FEATURES_OK,
  VIRTIO_CONFIG_S_NEEDS_RESET as NEEDS_RESET,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_VERSION_1,
} from '../defs.ts';
import type { DriverSession, VirtioDevice } from '../device.ts';
import { areasFault, createQueue } from '../queue/create-queue.ts';
import type { QueueFormat, Virtqueue } from '../queue/virtqueue.ts';

const FOUR_GIB = 0x1_0000_0000;
/** Feature words that a driver may select; those beyond have nothing. */
const FEATURE_WORDS = 4;

/** Which half of which area an address register sets. */
export type QueueArea = 'descriptors' | 'driver' | 'device';

export type HostWrote = DriverSession['hostWrote'];

/** How a transport raises its two kinds of interrupts. */
export interface TransportInterrupts {
  queue(index: number): void;
  config(): void;
}

export interface TransportCoreOptions {
  readonly device: VirtioDevice;
  readonly memory: GuestMemory;
  readonly interrupts: TransportInterrupts;
  /** `DriverSession.hostWrote`; none where processors keep nothing of the code they run. */
  readonly hostWrote?: HostWrote | undefined;
  /** Told why the device stopped; a guest can cause any number of these. */
  readonly onFault?: ((message: string) => void) | undefined;
  /**
   * The status keeps its value while a reset drains, and registers take nothing, as drivers of PCI functions expect
   * (4.1.4.3.1). Otherwise it is 0 at once, as drivers of MMIO devices assume.
   */
  readonly showsDraining: boolean;
}

/** The registers of one queue. */
class QueueRegisters {
  readonly maxSize: number;
  size: number;
  enabled = false;
  /** Low and high halves. */
  readonly areas: Record<QueueArea, [low: number, high: number]> = {
    descriptors: [0, 0],
    driver: [0, 0],
    device: [0, 0],
  };

  constructor(maxSize: number) {
    this.maxSize = maxSize;
    this.size = maxSize;
  }

  address(area: QueueArea): number {
    const [low, high] = this.areas[area];
    return low + high * FOUR_GIB;
  }
}

export class TransportCore {
  readonly device: VirtioDevice;
  readonly #options: TransportCoreOptions;
  readonly #offered: Features;
  #status = 0;
  #accepted: Features = 0n;
  #registers: QueueRegisters[];
  #queues: (Virtqueue | undefined)[] = [];
  #draining: Promise<void> | undefined;
  /** Counts changes of the configuration space. */
  configGeneration = 0;
  /** The select registers, which both transports have. */
  deviceFeatureSelect = 0;
  driverFeatureSelect = 0;
  queueSelect = 0;

  constructor(options: TransportCoreOptions) {
    const { device } = options;
    this.#options = options;
    this.device = device;
    this.#offered = device.features | features(VIRTIO_F_VERSION_1);
    this.#registers = device.queueSizes.map((size) => new QueueRegisters(size));
    device.onConfigChanged(() => {
      this.configGeneration = (this.configGeneration + 1) >>> 0;
      if ((this.#status & DRIVER_OK) !== 0) options.interrupts.config();
    });
  }

  get queueCount(): number {
    return this.#registers.length;
  }

  // --- Features ---

  get deviceFeatures(): number {
    return word(this.#offered, this.deviceFeatureSelect);
  }

  get driverFeatures(): number {
    return word(this.#accepted, this.driverFeatureSelect);
  }

  set driverFeatures(value: number) {
    const select = this.driverFeatureSelect;
    if (this.#locked || (this.#status & FEATURES_OK) !== 0 || select >= FEATURE_WORDS) return;
    const shift = BigInt(select * 32);
    this.#accepted = (this.#accepted & ~(0xffff_ffffn << shift)) | (BigInt(value >>> 0) << shift);
  }

  // --- Status ---

  get status(): number {
    return this.#status;
  }

  set status(value: number) {
    if (this.#locked) return;
    const old = this.#status;
    if (value === 0) {
      void this.reset();
      return;
    }
    // Bits stay until a reset; DEVICE_NEEDS_RESET is not the driver's.
    if ((old & ~value & ~NEEDS_RESET) !== 0) return;
    const added = value & ~old;
    this.#status |= added & (ACKNOWLEDGE | FAILED);
    if ((added & DRIVER) !== 0 && (this.#status & ACKNOWLEDGE) !== 0) this.#status |= DRIVER;
    if ((added & FEATURES_OK) !== 0 && (old & DRIVER) !== 0 && this.#featuresFit) this.#status |= FEATURES_OK;
    if ((added & DRIVER_OK) !== 0 && (old & FEATURES_OK) !== 0 && (this.#status & (FAILED | NEEDS_RESET)) === 0) {
      this.#status |= DRIVER_OK;
      if (this.#draining === undefined) this.#activate();
    }
  }

  get #featuresFit(): boolean {
    return (this.#accepted & ~this.#offered) === 0n && hasFeature(this.#accepted, VIRTIO_F_VERSION_1);
  }

  /** The transport shows that a reset is not over: registers take nothing until it is. */
  get #locked(): boolean {
    return this.#draining !== undefined && this.#options.showsDraining;
  }

  // --- Queues ---

  get #selected(): QueueRegisters | undefined {
    return this.#registers[this.queueSelect];
  }

  /** The selected queue, while the driver may still set it up. */
  get #settable(): QueueRegisters | undefined {
    if (this.#locked || (this.#status & (FEATURES_OK | DRIVER_OK)) !== FEATURES_OK) return undefined;
    const selected = this.#selected;
    return selected?.enabled === true ? undefined : selected;
  }

  get queueMaxSize(): number {
    return this.#selected?.maxSize ?? 0;
  }

  get queueSize(): number {
    return this.#selected?.size ?? 0;
  }

  set queueSize(value: number) {
    const queue = this.#settable;
    if (queue !== undefined && value >= 1 && value <= queue.maxSize) queue.size = value;
  }

  get queueEnabled(): boolean {
    return this.#selected?.enabled ?? false;
  }

  enableQueue(): void {
    const queue = this.#settable;
    if (queue === undefined) return;
    const areas = {
      size: queue.size,
      descriptors: queue.address('descriptors'),
      driver: queue.address('driver'),
      device: queue.address('device'),
    };
    const fault = areasFault(this.#options.memory, areas, this.#format.packed);
    if (fault === undefined) queue.enabled = true;
    else this.#fail(`queue ${this.queueSelect}: ${fault}`);
  }

  queueArea(area: QueueArea, half: 0 | 1): number {
    return this.#selected?.areas[area][half] ?? 0;
  }

  setQueueArea(area: QueueArea, half: 0 | 1, value: number): void {
    const queue = this.#settable;
    if (queue !== undefined) queue.areas[area][half] = value >>> 0;
  }

  /** The driver made buffers available in a queue. */
  notify(index: number): void {
    if (this.#queues[index] !== undefined) this.device.notify(index);
  }

  // --- Life ---

  get #format(): QueueFormat {
    return {
      packed: hasFeature(this.#accepted, VIRTIO_F_RING_PACKED),
      eventIndex: hasFeature(this.#accepted, VIRTIO_F_EVENT_IDX),
      indirect: hasFeature(this.#accepted, VIRTIO_F_INDIRECT_DESC),
      inOrder: hasFeature(this.#accepted, VIRTIO_F_IN_ORDER),
    };
  }

  #activate(): void {
    const format = this.#format;
    const { memory, interrupts, hostWrote } = this.#options;
    const queues = this.#registers.map((queue) => {
      if (!queue.enabled) return undefined;
      const areas = {
        size: queue.size,
        descriptors: queue.address('descriptors'),
        driver: queue.address('driver'),
        device: queue.address('device'),
      };
      return createQueue(memory, areas, format);
    });
    this.#queues = queues;
    this.device.activate({
      features: this.#accepted,
      queues,
      memory,
      interrupt: (queue) => {
        // A device that finishes something from before a reset has nobody to tell.
        if (this.#queues === queues) interrupts.queue(queue);
      },
      hostWrote: hostWrote ?? (() => undefined),
      needsReset: (reason) => {
        if (this.#queues === queues) this.#fail(reason);
      },
    });
  }

  #fail(reason: string): void {
    const { device, interrupts, onFault } = this.#options;
    if ((this.#status & NEEDS_RESET) !== 0) return;
    onFault?.(`${device.name}: ${reason}`);
    this.#status |= NEEDS_RESET;
    for (const queue of this.#queues) queue?.close();
    this.#queues = [];
    if ((this.#status & DRIVER_OK) !== 0) interrupts.config();
  }

  /** Back to power-up. Resolves when the host touches no buffer any more. */
  async reset(): Promise<void> {
    const before = this.#status;
    for (const queue of this.#queues) queue?.close();
    this.#queues = [];
    this.#accepted = 0n;
    this.#registers = this.device.queueSizes.map((size) => new QueueRegisters(size));
    this.deviceFeatureSelect = 0;
    this.driverFeatureSelect = 0;
    this.queueSelect = 0;
    this.#status = 0;
    const draining = this.device.reset();
    if (draining !== undefined) {
      const all = Promise.all([this.#draining, draining]).then(() => {
        if (this.#draining === all) this.#drained();
      });
      this.#draining = all;
      if (this.#options.showsDraining) this.#status = before;
    }
    await this.#draining;
  }

  #drained(): void {
    this.#draining = undefined;
    if (this.#options.showsDraining) this.#status = 0;
    else if ((this.#status & (DRIVER_OK | NEEDS_RESET)) === DRIVER_OK) {
      this.#activate();
      // Notifications that came meanwhile were for nobody.
      for (const index of this.#queues.keys()) this.notify(index);
    }
  }
}

const word = (set: Features, select: number): number =>
  select < FEATURE_WORDS ? Number((set >> BigInt(select * 32)) & 0xffff_ffffn) : 0;
