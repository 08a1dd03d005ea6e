import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BALLOON_SLOT, CONSOLE_SLOT, diskSlot, MAX_DISKS, RNG_SLOT } from './slots.ts';

test('every device has a slot of its own', () => {
  const disks = Array.from({ length: MAX_DISKS }, (_, index) => diskSlot(index));
  assert.deepEqual(disks, [2, ...Array.from({ length: 16 }, (_, n) => 16 + n)]);
  const all = [...disks, CONSOLE_SLOT, RNG_SLOT, BALLOON_SLOT];
  assert.equal(new Set(all).size, all.length);
});
