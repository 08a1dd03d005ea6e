import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diskSlot, MAX_DISKS, RNG_SLOT } from './slots.ts';

test("every disk has a slot of its own, which is nobody else's", () => {
  const slots = Array.from({ length: MAX_DISKS }, (_, index) => diskSlot(index));
  assert.deepEqual(slots, [2, ...Array.from({ length: 16 }, (_, n) => 16 + n)]);
  assert.ok(!slots.includes(RNG_SLOT));
});
