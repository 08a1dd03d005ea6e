/**
 * Packed virtqueues (VIRTIO 1.2, 2.8): one ring of descriptors that driver and device both write, told apart by two bits and
 * a wrap counter on either side.
 *
 * @module
 */
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import type { Chain } from './chain.ts';
import {
  PACKED_DESC_FLAGS,
  PACKED_DESC_ID,
  PACKED_EVENT_BYTES,
  PACKED_EVENT_FLAGS,
  PACKED_EVENT_WRAP,
  RING_EVENT_FLAGS_DESC,
  RING_EVENT_FLAGS_DISABLE,
  RING_EVENT_FLAGS_ENABLE,
  VIRTQ_DESC_BYTES,
  VIRTQ_DESC_F_AVAIL,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_USED,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_DESC_LEN,
  VIRTQ_MAX_SIZE,
} from './defs.ts';
import type { RingMemory } from './ring-memory.ts';
import { MAX_CHAIN_DESCRIPTORS, type QueueAreas, type QueueFault, type QueueFormat, Virtqueue } from './virtqueue.ts';

const FOUR_GIB = 0x1_0000_0000;
/** Buffer IDs are the driver's choice among all 16-bit numbers. */
const BUFFER_IDS = 65536;

/** What is wrong with a packed queue's areas (2.8: alignments 16, 4 and 4), or undefined. */
export function packedAreasFault(ring: RingMemory, areas: QueueAreas): string | undefined {
  const { size, descriptors, driver, device } = areas;
  if (size < 1 || size > VIRTQ_MAX_SIZE) return `size ${size} is not 1 to ${VIRTQ_MAX_SIZE}`;
  if (!ring.holds(descriptors, size * VIRTQ_DESC_BYTES, 16)) return 'the descriptor ring is misaligned or no RAM';
  if (!ring.holds(driver, PACKED_EVENT_BYTES, 4)) return 'the driver event structure is misaligned or no RAM';
  if (!ring.holds(device, PACKED_EVENT_BYTES, 4)) return 'the device event structure is misaligned or no RAM';
  return undefined;
}

export class PackedQueue extends Virtqueue {
  readonly #descriptors: number;
  readonly #driverEvent: number;
  readonly #deviceEvent: number;
  /** One bit per buffer ID: set while the device has it. */
  readonly #taken = new Uint8Array(BUFFER_IDS / 8);
  /** Places of the ring whose descriptors are with the device. */
  #slotsTaken = 0;
  #nextAvailable = 0;
  #availableWrap = true;
  #nextUsed = 0;
  #usedWrap = true;

  /** The areas are known to have no fault. */
  constructor(memory: GuestMemory, areas: QueueAreas, format: QueueFormat) {
    super(memory, areas, format);
    this.#descriptors = this.ring.place(areas.descriptors);
    this.#driverEvent = this.ring.place(areas.driver);
    this.#deviceEvent = this.ring.place(areas.device);
  }

  #flagsAt(slot: number): number {
    return this.ring.loadU16(this.#descriptors + slot * VIRTQ_DESC_BYTES + PACKED_DESC_FLAGS);
  }

  #isAvailable(flags: number): boolean {
    const available = (flags & VIRTQ_DESC_F_AVAIL) !== 0;
    const used = (flags & VIRTQ_DESC_F_USED) !== 0;
    return available === this.#availableWrap && used !== this.#availableWrap;
  }

  protected override take(chain: Chain): boolean | QueueFault {
    const { size } = this;
    // A driver that fills a place whose descriptor was not given back could go round for ever.
    if (this.#slotsTaken >= size) return false;
    // The driver writes the first descriptor's flags last: the rest of the chain is there when they are (2.8.21).
    let flags = this.#flagsAt(this.#nextAvailable);
    if (!this.#isAvailable(flags)) return false;
    const { view } = this.ring;
    let slot = this.#nextAvailable;
    let slots = 0;
    let id = 0;
    for (;;) {
      if (this.#slotsTaken + slots >= size) return 'ring-overrun';
      const at = this.#descriptors + slot * VIRTQ_DESC_BYTES;
      const address = view.getUint32(at, true) + view.getUint32(at + 4, true) * FOUR_GIB;
      const bytes = view.getUint32(at + VIRTQ_DESC_LEN, true);
      id = view.getUint16(at + PACKED_DESC_ID, true);
      const fault =
        (flags & VIRTQ_DESC_F_INDIRECT) === 0
          ? chain.append(address, bytes, (flags & VIRTQ_DESC_F_WRITE) !== 0)
          : this.#walkIndirect(chain, address, bytes, flags);
      if (fault !== undefined) return fault;
      slots++;
      if (++slot === size) slot = 0;
      if ((flags & VIRTQ_DESC_F_NEXT) === 0) break;
      flags = this.#flagsAt(slot);
    }
    const bit = 1 << (id & 7);
    if ((this.#taken[id >> 3]! & bit) !== 0) return 'chain-in-flight';
    this.#taken[id >> 3] = this.#taken[id >> 3]! | bit;
    this.#slotsTaken += slots;
    if (slot <= this.#nextAvailable) this.#availableWrap = !this.#availableWrap;
    this.#nextAvailable = slot;
    chain.id = id;
    chain.slots = slots;
    return true;
  }

  /** A table of descriptors one behind the other, in which only the write flag counts (2.8.7). */
  #walkIndirect(chain: Chain, table: number, bytes: number, flags: number): QueueFault | undefined {
    if (!this.format.indirect) return 'indirect-not-negotiated';
    if ((flags & VIRTQ_DESC_F_NEXT) !== 0) return 'indirect-with-next';
    const entries = bytes / VIRTQ_DESC_BYTES;
    if (!Number.isInteger(entries) || entries < 1 || entries > MAX_CHAIN_DESCRIPTORS) return 'indirect-table-size';
    if (!this.ring.memory.contains(table, bytes)) return 'indirect-table-outside-memory';
    const { view } = this.ring;
    const first = this.ring.place(table);
    for (let at = first; at < first + bytes; at += VIRTQ_DESC_BYTES) {
      const address = view.getUint32(at, true) + view.getUint32(at + 4, true) * FOUR_GIB;
      const length = view.getUint32(at + VIRTQ_DESC_LEN, true);
      const entryFlags = view.getUint16(at + PACKED_DESC_FLAGS, true);
      if ((entryFlags & VIRTQ_DESC_F_INDIRECT) !== 0) return 'indirect-nested';
      const fault = chain.append(address, length, (entryFlags & VIRTQ_DESC_F_WRITE) !== 0);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }

  protected override give(chain: Chain, written: number): void {
    const { ring, size } = this;
    const at = this.#descriptors + this.#nextUsed * VIRTQ_DESC_BYTES;
    ring.setU32(at + VIRTQ_DESC_LEN, written);
    ring.storeU16(at + PACKED_DESC_ID, chain.id);
    const wrap = this.#usedWrap ? VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED : 0;
    // Last: they make the descriptor used.
    ring.storeU16(at + PACKED_DESC_FLAGS, wrap | (written > 0 ? VIRTQ_DESC_F_WRITE : 0));
    this.#nextUsed += chain.slots;
    if (this.#nextUsed >= size) {
      this.#nextUsed -= size;
      this.#usedWrap = !this.#usedWrap;
    }
    this.#slotsTaken -= chain.slots;
    this.#taken[chain.id >> 3] = this.#taken[chain.id >> 3]! & ~(1 << (chain.id & 7));
    // In places of the ring: event offsets count those.
    this.unpublished += chain.slots;
  }

  protected override show(): boolean {
    const { ring, size } = this;
    const flags = ring.loadU16(this.#driverEvent + PACKED_EVENT_FLAGS) & 3;
    if (flags === RING_EVENT_FLAGS_DISABLE) return false;
    if (flags !== RING_EVENT_FLAGS_DESC || !this.format.eventIndex) return true;
    const event = ring.loadU16(this.#driverEvent);
    const offset = event & ~PACKED_EVENT_WRAP;
    // An offset of the other lap lies one ring behind.
    const place = ((event & PACKED_EVENT_WRAP) !== 0) === this.#usedWrap ? offset : offset - size;
    return place < this.#nextUsed && place >= this.#nextUsed - this.unpublished;
  }

  override enableNotifications(): boolean {
    const { ring } = this;
    if (this.closed) return false;
    if (this.format.eventIndex) {
      ring.storeU16(this.#deviceEvent, this.#nextAvailable | (this.#availableWrap ? PACKED_EVENT_WRAP : 0));
      ring.storeU16(this.#deviceEvent + PACKED_EVENT_FLAGS, RING_EVENT_FLAGS_DESC);
    } else ring.storeU16(this.#deviceEvent + PACKED_EVENT_FLAGS, RING_EVENT_FLAGS_ENABLE);
    return this.#slotsTaken < this.size && this.#isAvailable(this.#flagsAt(this.#nextAvailable));
  }

  override disableNotifications(): void {
    if (!this.closed) this.ring.storeU16(this.#deviceEvent + PACKED_EVENT_FLAGS, RING_EVENT_FLAGS_DISABLE);
  }
}
