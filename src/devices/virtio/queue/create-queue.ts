/**
 * A virtqueue of the format that was negotiated, or what is wrong with where the driver put it.
 *
 * @module
 */
import type { GuestMemory } from '../../../memory/guest-memory.ts';
import { PackedQueue, packedAreasFault } from './packed.ts';
import { RingMemory } from './ring-memory.ts';
import { SplitQueue, splitAreasFault } from './split.ts';
import type { QueueAreas, QueueFormat, Virtqueue } from './virtqueue.ts';

/** What is wrong with a queue's areas, or undefined. */
export function areasFault(memory: GuestMemory, areas: QueueAreas, packed: boolean): string | undefined {
  const ring = new RingMemory(memory);
  return packed ? packedAreasFault(ring, areas) : splitAreasFault(ring, areas);
}

/** Areas that have no fault. */
export const createQueue = (memory: GuestMemory, areas: QueueAreas, format: QueueFormat): Virtqueue =>
  format.packed ? new PackedQueue(memory, areas, format) : new SplitQueue(memory, areas, format);
