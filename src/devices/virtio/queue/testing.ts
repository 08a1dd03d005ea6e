/**
 * The driver's side of a virtqueue, for tests and benchmarks: lays a queue out in guest memory, makes chains available, takes
 * used ones back, in either format. It keeps to the rules; to break one, write to the memory it names.
 *
 * @module
 */
import { type Gpa, GuestMemory, gpa } from '../../../memory/guest-memory.ts';
import { FOUR_GIB } from '../../../memory/machine-memory.ts';
import type { QueueAreas, QueueFormat } from './virtqueue.ts';
import * as Q from './defs.ts';

/** A buffer for a chain: bytes for the device to read, or room for it to write. */
export type Buffer = { readonly readable: Uint8Array } | { readonly writable: number };

export const readable = (...bytes: readonly number[]): Buffer => ({ readable: Uint8Array.from(bytes) });
export const readableBytes = (bytes: Uint8Array): Buffer => ({ readable: bytes });
export const writable = (bytes: number): Buffer => ({ writable: bytes });

/** A buffer as a descriptor names it. */
export interface Segment {
  readonly address: number;
  readonly bytes: number;
  readonly writable: boolean;
}

export interface UsedChain {
  readonly id: number;
  readonly written: number;
  readonly segments: readonly Segment[];
}

export const PLAIN: QueueFormat = { packed: false, eventIndex: false, indirect: false, inOrder: false };

const align = (value: number, alignment: number): number => Math.ceil(value / alignment) * alignment;

/** Guest memory and an allocator that only goes up: above 4 GiB where there is memory. */
export class TestMemory extends GuestMemory {
  #next = 0x1000;
  readonly #end: number;

  constructor(bytes: number, highBytes = 0) {
    super(new SharedArrayBuffer(bytes + highBytes), 0, bytes, highBytes);
    if (highBytes > 0) this.#next += FOUR_GIB;
    this.#end = highBytes > 0 ? FOUR_GIB + highBytes : bytes;
  }

  allocate(bytes: number, alignment = 16): number {
    const at = align(this.#next, alignment);
    if (at + bytes > this.#end) throw new RangeError('test memory is full');
    this.#next = at + bytes;
    return at;
  }
}

export class TestDriver {
  readonly memory: TestMemory;
  readonly format: QueueFormat;
  readonly areas: QueueAreas;
  /** Descriptors (split) or places in the ring (packed) that are free. */
  #free: number[] = [];
  readonly #inFlight = new Map<
    number,
    { readonly segments: readonly Segment[]; readonly indices: readonly number[] }
  >();
  #availableIndex = 0;
  #usedIndex = 0;
  #availableWrap = true;
  #usedWrap = true;
  #freeSlots: number;
  #nextId = 0;

  constructor(memory: TestMemory, size: number, format: QueueFormat = PLAIN) {
    this.memory = memory;
    this.format = format;
    const descriptors = memory.allocate(size * Q.VIRTQ_DESC_BYTES, 16);
    const driver = memory.allocate(format.packed ? Q.PACKED_EVENT_BYTES : Q.VIRTQ_AVAIL_RING + size * 2 + 2, 4);
    const device = memory.allocate(
      format.packed ? Q.PACKED_EVENT_BYTES : Q.VIRTQ_USED_RING + size * Q.VIRTQ_USED_ELEM_BYTES + 2,
      4,
    );
    this.areas = { size, descriptors, driver, device };
    this.#freeSlots = size;
    this.#free = Array.from({ length: size }, (_, index) => size - 1 - index);
  }

  #write16(address: number, value: number): void {
    this.memory.writeU16(gpa(address), value & 0xffff);
  }

  #read16(address: number): number {
    return this.memory.readU16(gpa(address));
  }

  /** Puts buffers into guest memory. */
  place(buffers: readonly Buffer[]): Segment[] {
    return buffers.map((buffer) => {
      const bytes = 'writable' in buffer ? buffer.writable : buffer.readable.length;
      const address = this.memory.allocate(bytes, 1);
      if ('readable' in buffer) this.memory.write(gpa(address), buffer.readable);
      return { address, bytes, writable: 'writable' in buffer };
    });
  }

  /** Makes buffers available; gives the chain's ID. */
  add(buffers: readonly Buffer[], indirect = false): number {
    return this.addSegments(this.place(buffers), indirect);
  }

  addSegments(segments: readonly Segment[], indirect = false): number {
    const slots = indirect ? 1 : segments.length;
    if (this.#freeSlots < slots) throw new RangeError('the test driver has no free descriptors');
    this.#freeSlots -= slots;
    const placed = indirect ? [this.#table(segments)] : segments;
    return this.format.packed
      ? this.#addPacked(segments, placed, indirect)
      : this.#addSplit(segments, placed, indirect);
  }

  #table(segments: readonly Segment[]): Segment {
    const address = this.memory.allocate(segments.length * Q.VIRTQ_DESC_BYTES, 16);
    for (const [n, segment] of segments.entries()) {
      const link = !this.format.packed && n + 1 < segments.length ? Q.VIRTQ_DESC_F_NEXT : 0;
      const flags = (segment.writable ? Q.VIRTQ_DESC_F_WRITE : 0) | link;
      this.descriptor(address + n * Q.VIRTQ_DESC_BYTES, segment.address, segment.bytes, flags, n + 1);
    }
    return { address, bytes: segments.length * Q.VIRTQ_DESC_BYTES, writable: false };
  }

  /** Writes a descriptor; `last` is the next index, or the buffer ID of a packed ring. */
  descriptor(at: number, address: number, bytes: number, flags: number, last: number): void {
    this.memory.writeU64(gpa(at), BigInt(address));
    this.memory.writeU32(gpa(at + Q.VIRTQ_DESC_LEN), bytes);
    this.#write16(at + 12, this.format.packed ? last : flags);
    this.#write16(at + 14, this.format.packed ? flags : last);
  }

  #addSplit(segments: readonly Segment[], placed: readonly Segment[], indirect: boolean): number {
    const indices = placed.map(() => this.#free.pop() as number);
    for (const [n, segment] of placed.entries()) {
      const flags =
        (segment.writable ? Q.VIRTQ_DESC_F_WRITE : 0) |
        (indirect ? Q.VIRTQ_DESC_F_INDIRECT : 0) |
        (n + 1 < placed.length ? Q.VIRTQ_DESC_F_NEXT : 0);
      const at = this.areas.descriptors + (indices[n] as number) * Q.VIRTQ_DESC_BYTES;
      this.descriptor(at, segment.address, segment.bytes, flags, indices[n + 1] ?? 0);
    }
    const head = indices[0] as number;
    this.#inFlight.set(head, { segments, indices });
    this.offer(head);
    return head;
  }

  /** Split: puts a head into the available ring and moves the index. */
  offer(head: number): void {
    const { driver, size } = this.areas;
    this.#write16(driver + Q.VIRTQ_AVAIL_RING + (this.#availableIndex % size) * 2, head);
    this.#availableIndex = (this.#availableIndex + 1) & 0xffff;
    this.#write16(driver + Q.VIRTQ_AVAIL_IDX, this.#availableIndex);
  }

  #addPacked(segments: readonly Segment[], placed: readonly Segment[], indirect: boolean): number {
    const { size, descriptors } = this.areas;
    do this.#nextId = (this.#nextId + 1) & 0xffff;
    while (this.#inFlight.has(this.#nextId));
    const id = this.#nextId;
    const firstSlot = this.#availableIndex;
    let firstFlags = 0;
    for (const [n, segment] of placed.entries()) {
      const wrap = this.#availableWrap ? Q.VIRTQ_DESC_F_AVAIL : Q.VIRTQ_DESC_F_USED;
      const flags =
        wrap |
        (segment.writable ? Q.VIRTQ_DESC_F_WRITE : 0) |
        (indirect ? Q.VIRTQ_DESC_F_INDIRECT : 0) |
        (n + 1 < placed.length ? Q.VIRTQ_DESC_F_NEXT : 0);
      const at = descriptors + this.#availableIndex * Q.VIRTQ_DESC_BYTES;
      // The first descriptor's flags are written last.
      if (n === 0) firstFlags = flags;
      this.memory.writeU64(gpa(at), BigInt(segment.address));
      this.memory.writeU32(gpa(at + Q.VIRTQ_DESC_LEN), segment.bytes);
      this.#write16(at + Q.PACKED_DESC_ID, id);
      if (n > 0) this.#write16(at + Q.PACKED_DESC_FLAGS, flags);
      if (++this.#availableIndex === size) {
        this.#availableIndex = 0;
        this.#availableWrap = !this.#availableWrap;
      }
    }
    this.#write16(descriptors + firstSlot * Q.VIRTQ_DESC_BYTES + Q.PACKED_DESC_FLAGS, firstFlags);
    this.#inFlight.set(id, { segments, indices: placed.map(() => 0) });
    return id;
  }

  /** Takes back the next used chain. */
  takeUsed(): UsedChain | undefined {
    const { device, descriptors, size } = this.areas;
    let id: number;
    let written: number;
    if (this.format.packed) {
      const at = descriptors + this.#usedIndex * Q.VIRTQ_DESC_BYTES;
      const flags = this.#read16(at + Q.PACKED_DESC_FLAGS);
      const bits = [Q.VIRTQ_DESC_F_AVAIL, Q.VIRTQ_DESC_F_USED].map((bit) => (flags & bit) !== 0);
      if (bits[0] !== this.#usedWrap || bits[1] !== this.#usedWrap) return undefined;
      id = this.#read16(at + Q.PACKED_DESC_ID);
      written = this.memory.readU32(gpa(at + Q.VIRTQ_DESC_LEN));
    } else {
      if (this.#read16(device + Q.VIRTQ_USED_IDX) === this.#usedIndex) return undefined;
      const at = device + Q.VIRTQ_USED_RING + (this.#usedIndex % size) * Q.VIRTQ_USED_ELEM_BYTES;
      id = this.memory.readU32(gpa(at));
      written = this.memory.readU32(gpa(at + 4));
    }
    const chain = this.#inFlight.get(id);
    if (chain === undefined) throw new Error(`the device used a chain ${id} that it was not given`);
    this.#inFlight.delete(id);
    this.#freeSlots += chain.indices.length;
    if (this.format.packed) {
      this.#usedIndex += chain.indices.length;
      if (this.#usedIndex >= size) {
        this.#usedIndex -= size;
        this.#usedWrap = !this.#usedWrap;
      }
    } else {
      this.#usedIndex = (this.#usedIndex + 1) & 0xffff;
      this.#free.push(...chain.indices);
    }
    return { id, written, segments: chain.segments };
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  /** A chain's device-writable bytes. */
  contents(used: UsedChain): Uint8Array {
    const parts = used.segments.filter((segment) => segment.writable);
    return Uint8Array.from(parts.flatMap(({ address, bytes }) => [...this.memory.slice(address as Gpa, bytes)]));
  }

  /** Asks for interrupts, or for none; with an event index, from the next used chain on. */
  set interrupts(wanted: boolean) {
    const { driver, size } = this.areas;
    if (this.format.packed) {
      this.#write16(driver, this.#usedIndex | (this.#usedWrap ? Q.PACKED_EVENT_WRAP : 0));
      const on = this.format.eventIndex ? Q.RING_EVENT_FLAGS_DESC : Q.RING_EVENT_FLAGS_ENABLE;
      this.#write16(driver + Q.PACKED_EVENT_FLAGS, wanted ? on : Q.RING_EVENT_FLAGS_DISABLE);
    } else if (this.format.eventIndex) {
      this.#write16(driver + Q.VIRTQ_AVAIL_RING + size * 2, wanted ? this.#usedIndex : this.#usedIndex - 1);
    } else this.#write16(driver, wanted ? 0 : Q.VIRTQ_AVAIL_F_NO_INTERRUPT);
  }

  /** Whether the device wants to be notified of what was made available since `before` was the count of it. */
  get wantsNotification(): boolean {
    const { device, size } = this.areas;
    if (this.format.packed) {
      const flags = this.#read16(device + Q.PACKED_EVENT_FLAGS);
      if (flags !== Q.RING_EVENT_FLAGS_DESC) return flags === Q.RING_EVENT_FLAGS_ENABLE;
      const event = this.#read16(device);
      const wrap = (event & Q.PACKED_EVENT_WRAP) !== 0;
      const offset = event & ~Q.PACKED_EVENT_WRAP;
      return wrap === this.#availableWrap ? offset < this.#availableIndex : offset >= this.#availableIndex;
    }
    if (!this.format.eventIndex) return (this.#read16(device) & Q.VIRTQ_USED_F_NO_NOTIFY) === 0;
    const event = this.#read16(device + Q.VIRTQ_USED_RING + size * Q.VIRTQ_USED_ELEM_BYTES);
    return ((this.#availableIndex - event - 1) & 0xffff) < 1;
  }
}
