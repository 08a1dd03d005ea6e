import assert from 'node:assert/strict';
import { test } from 'node:test';
import { consoleSlot, diskSlot, MAX_DISKS, RNG_SLOT } from './slots.ts';

test('every device has a slot of its own', () => {
  const disks = Array.from({ length: MAX_DISKS }, (_, index) => diskSlot(index));
  assert.deepEqual(disks, [2, ...Array.from({ length: 16 }, (_, n) => 16 + n)]);
  const consoles = ([1, 2, 3, 4] as const).map(consoleSlot);
  assert.deepEqual(consoles, [1, 5, 6, 7]);
  const all = [...disks, ...consoles, RNG_SLOT];
  assert.equal(new Set(all).size, all.length);
});
