/**
 * Split virtqueues (VIRTIO 1.2, 2.7): a descriptor table, a ring of available heads and a ring of used ones.
 *
 * @module
 */
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import type { Chain } from './chain.ts';
import {
  VIRTQ_AVAIL_F_NO_INTERRUPT,
  VIRTQ_AVAIL_IDX,
  VIRTQ_AVAIL_RING,
  VIRTQ_DESC_BYTES,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
  VIRTQ_DESC_FLAGS,
  VIRTQ_DESC_LEN,
  VIRTQ_DESC_NEXT,
  VIRTQ_MAX_SIZE,
  VIRTQ_USED_ELEM_BYTES,
  VIRTQ_USED_F_NO_NOTIFY,
  VIRTQ_USED_IDX,
  VIRTQ_USED_RING,
} from './defs.ts';
import type { RingMemory } from './ring-memory.ts';
import { MAX_CHAIN_DESCRIPTORS, type QueueAreas, type QueueFault, type QueueFormat, Virtqueue } from './virtqueue.ts';

const WRAP = 0xffff;
const FOUR_GIB = 0x1_0000_0000;

/** What is wrong with a split queue's areas (2.7: power of two; alignments 16, 2 and 4), or undefined. */
export function splitAreasFault(ring: RingMemory, areas: QueueAreas): string | undefined {
  const { size, descriptors, driver, device } = areas;
  if (size < 1 || size > VIRTQ_MAX_SIZE || (size & (size - 1)) !== 0) return `size ${size} is no power of two`;
  if (!ring.holds(descriptors, size * VIRTQ_DESC_BYTES, 16)) return 'the descriptor table is misaligned or no RAM';
  // Both rings end in an event index, whether or not it is used.
  if (!ring.holds(driver, VIRTQ_AVAIL_RING + size * 2 + 2, 2)) return 'the available ring is misaligned or no RAM';
  if (!ring.holds(device, VIRTQ_USED_RING + size * VIRTQ_USED_ELEM_BYTES + 2, 4)) {
    return 'the used ring is misaligned or no RAM';
  }
  return undefined;
}

export class SplitQueue extends Virtqueue {
  readonly #descriptors: number;
  readonly #available: number;
  readonly #used: number;
  readonly #availableEvent: number;
  readonly #usedEvent: number;
  readonly #mask: number;
  /** One byte per head: 1 while the device has it. */
  readonly #taken: Uint8Array;
  #nextAvailable = 0;
  #nextUsed = 0;

  /** The areas are known to have no fault. */
  constructor(memory: GuestMemory, areas: QueueAreas, format: QueueFormat) {
    super(memory, areas, format);
    const { size } = areas;
    this.#descriptors = this.ring.place(areas.descriptors);
    this.#available = this.ring.place(areas.driver);
    this.#used = this.ring.place(areas.device);
    this.#availableEvent = this.#used + VIRTQ_USED_RING + size * VIRTQ_USED_ELEM_BYTES;
    this.#usedEvent = this.#available + VIRTQ_AVAIL_RING + size * 2;
    this.#mask = size - 1;
    this.#taken = new Uint8Array(size);
  }

  protected override take(chain: Chain): boolean | QueueFault {
    const { ring, size } = this;
    const waiting = (ring.loadU16(this.#available + VIRTQ_AVAIL_IDX) - this.#nextAvailable) & WRAP;
    if (waiting === 0) return false;
    if (waiting > size) return 'available-index-jump';
    const head = ring.loadU16(this.#available + VIRTQ_AVAIL_RING + (this.#nextAvailable & this.#mask) * 2);
    if (head >= size) return 'descriptor-out-of-range';
    if (this.#taken[head] !== 0) return 'chain-in-flight';
    const fault = this.#walk(chain, this.#descriptors, size, head, false);
    if (fault !== undefined) return fault;
    this.#nextAvailable = (this.#nextAvailable + 1) & WRAP;
    this.#taken[head] = 1;
    chain.id = head;
    return true;
  }

  /** Appends the buffers of a chain in a table of `count` descriptors. */
  #walk(chain: Chain, table: number, count: number, first: number, isIndirect: boolean): QueueFault | undefined {
    const { view } = this.ring;
    let index = first;
    for (let steps = 0; ; steps++) {
      if (index >= count) return 'descriptor-out-of-range';
      // A table has no more descriptors than it has places: one more step is a loop.
      if (steps >= count) return 'chain-too-long';
      const at = table + index * VIRTQ_DESC_BYTES;
      const address = view.getUint32(at, true) + view.getUint32(at + 4, true) * FOUR_GIB;
      const bytes = view.getUint32(at + VIRTQ_DESC_LEN, true);
      const flags = view.getUint16(at + VIRTQ_DESC_FLAGS, true);
      const next = view.getUint16(at + VIRTQ_DESC_NEXT, true);
      if ((flags & VIRTQ_DESC_F_INDIRECT) !== 0) {
        if (!this.format.indirect) return 'indirect-not-negotiated';
        if (isIndirect) return 'indirect-nested';
        if ((flags & VIRTQ_DESC_F_NEXT) !== 0) return 'indirect-with-next';
        const entries = bytes / VIRTQ_DESC_BYTES;
        if (!Number.isInteger(entries) || entries < 1 || entries > MAX_CHAIN_DESCRIPTORS) return 'indirect-table-size';
        if (!this.ring.memory.contains(address, bytes)) return 'indirect-table-outside-memory';
        return this.#walk(chain, this.ring.place(address), entries, 0, true);
      }
      const fault = chain.append(address, bytes, (flags & VIRTQ_DESC_F_WRITE) !== 0);
      if (fault !== undefined) return fault;
      if ((flags & VIRTQ_DESC_F_NEXT) === 0) return undefined;
      index = next;
    }
  }

  protected override give(chain: Chain, written: number): void {
    const at = this.#used + VIRTQ_USED_RING + (this.#nextUsed & this.#mask) * VIRTQ_USED_ELEM_BYTES;
    this.ring.setU32(at, chain.id);
    this.ring.setU32(at + 4, written);
    this.#nextUsed = (this.#nextUsed + 1) & WRAP;
    this.unpublished++;
    this.#taken[chain.id] = 0;
  }

  protected override show(): boolean {
    const { ring } = this;
    // Last: the driver may read the elements the moment the index moves (2.7.8.2).
    ring.storeU16(this.#used + VIRTQ_USED_IDX, this.#nextUsed);
    // The store above and the loads below are both sequentially consistent: a driver that asks for an interrupt and then
    // finds the ring empty is seen here.
    if (!this.format.eventIndex) return (ring.loadU16(this.#available) & VIRTQ_AVAIL_F_NO_INTERRUPT) === 0;
    const event = ring.loadU16(this.#usedEvent);
    return ((this.#nextUsed - event - 1) & WRAP) < this.unpublished;
  }

  override enableNotifications(): boolean {
    const { ring } = this;
    if (this.closed) return false;
    if (this.format.eventIndex) ring.storeU16(this.#availableEvent, this.#nextAvailable);
    else ring.storeU16(this.#used, 0);
    return ring.loadU16(this.#available + VIRTQ_AVAIL_IDX) !== this.#nextAvailable;
  }

  override disableNotifications(): void {
    // An event index that stays behind asks for none either.
    if (!this.closed && !this.format.eventIndex) this.ring.storeU16(this.#used, VIRTQ_USED_F_NO_NOTIFY);
  }
}
