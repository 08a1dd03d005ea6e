/**
 * Where persistent memory is in a guest's physical memory: behind RAM, in ranges of its own that no memory map lists, so that a
 * kernel uses them only as the device that owns them says.
 *
 * To the hypervisors it is memory as RAM is, and lies with it in the machine's memory: what follows RAM there goes on at 4 GiB as
 * soon as it would reach the PCI hole. Alignment and padding are crosvm's.
 *
 * @module
 */
import { FOUR_GIB, LOW_RAM_LIMIT } from './machine-memory.ts';

/** Linux's sections of memory on x86-64: kernels before 5.3 add memory in whole ones only. */
export const PERSISTENT_ALIGNMENT = 0x800_0000;
/** A multiple of this long, so that a guest can map it with large pages. */
export const PERSISTENT_UNIT = 0x20_0000;

export interface PersistentRange {
  /** Guest-physical. */
  readonly address: number;
  readonly bytes: number;
}

export interface PersistentLayout {
  readonly ranges: readonly PersistentRange[];
  /** Bytes of the machine's memory that hold RAM, the ranges, and the gaps between them. */
  readonly memoryBytes: number;
}

const align = (value: number, alignment: number): number => Math.ceil(value / alignment) * alignment;

/** Places ranges that have room for the given numbers of bytes, in order. */
export function placePersistentMemory(ramBytes: number, contents: readonly number[]): PersistentLayout {
  let memoryBytes = ramBytes;
  const ranges = contents.map((content) => {
    const bytes = align(content, PERSISTENT_UNIT);
    let start = align(memoryBytes, PERSISTENT_ALIGNMENT);
    if (start < LOW_RAM_LIMIT && start + bytes > LOW_RAM_LIMIT) start = LOW_RAM_LIMIT;
    memoryBytes = start + bytes;
    return { address: start < LOW_RAM_LIMIT ? start : start - LOW_RAM_LIMIT + FOUR_GIB, bytes };
  });
  return { ranges, memoryBytes };
}
