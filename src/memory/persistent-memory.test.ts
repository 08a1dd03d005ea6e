import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GuestMemory } from './guest-memory.ts';
import { splitRam } from './machine-memory.ts';
import { placePersistentMemory } from './persistent-memory.ts';

const MIB = 0x10_0000;
const GIB = 1024 * MIB;

test('without persistent memory the memory of the machine is its RAM', () => {
  assert.deepEqual(placePersistentMemory(256 * MIB, []), { ranges: [], memoryBytes: 256 * MIB });
});

test('ranges are behind RAM and one another, at multiples of 128 MiB, padded to 2 MiB', () => {
  assert.deepEqual(placePersistentMemory(300 * MIB, [1, 3 * MIB]), {
    ranges: [
      { address: 384 * MIB, bytes: 2 * MIB },
      { address: 512 * MIB, bytes: 4 * MIB },
    ],
    memoryBytes: 516 * MIB,
  });
});

test('a range that would reach the PCI hole is at 4 GiB, as is what follows it', () => {
  const { ranges, memoryBytes } = placePersistentMemory(3072 * MIB, [256 * MIB, 2 * MIB, 2 * MIB]);
  assert.deepEqual(
    ranges.map(({ address }) => address),
    [3072 * MIB, 4 * GIB, 4 * GIB + 128 * MIB],
  );
  assert.equal(memoryBytes, 3328 * MIB + 130 * MIB);
});

test('a range whose machine has RAM above 4 GiB is above that', () => {
  const { ranges } = placePersistentMemory(3328 * MIB + 100 * MIB, [MIB]);
  assert.deepEqual(ranges, [{ address: 4 * GIB + 128 * MIB, bytes: 2 * MIB }]);
});

test('every byte of a range, and none behind the last, is memory of the machine', () => {
  for (const [ram, contents] of [
    [64 * MIB, [MIB, MIB]],
    [3072 * MIB, [512 * MIB]],
  ] as const) {
    const { ranges, memoryBytes } = placePersistentMemory(ram, contents);
    const { lowEnd, highEnd } = splitRam(memoryBytes);
    for (const { address, bytes } of ranges) {
      assert.ok(address + bytes <= (address < 4 * GIB ? lowEnd : highEnd));
    }
    const last = ranges.at(-1);
    assert.equal((last?.address ?? 0) + (last?.bytes ?? 0), highEnd > 4 * GIB ? highEnd : lowEnd);
  }
  const { ranges, memoryBytes } = placePersistentMemory(64 * MIB, [MIB]);
  const memory = new GuestMemory(new SharedArrayBuffer(memoryBytes), 0, memoryBytes);
  const { address, bytes } = ranges[0] ?? assert.fail('no range');
  assert.ok(memory.contains(address, bytes));
  assert.ok(!memory.contains(address, bytes + 1));
});
