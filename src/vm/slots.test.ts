import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BALLOON_SLOT, CONSOLE_SLOT, diskSlot, MAX_DISKS, MAX_PMEM, pmemSlot, RNG_SLOT, SCSI_SLOT } from './slots.ts';

test('every device has a slot of its own', () => {
  const disks = Array.from({ length: MAX_DISKS }, (_, index) => diskSlot(index));
  assert.deepEqual(disks, [2, ...Array.from({ length: 16 }, (_, n) => 16 + n)]);
  const pmem = Array.from({ length: MAX_PMEM }, (_, index) => pmemSlot(index));
  assert.deepEqual(pmem, [12, 13, 14, 15]);
  const all = [...disks, ...pmem, CONSOLE_SLOT, RNG_SLOT, BALLOON_SLOT, SCSI_SLOT];
  assert.equal(new Set(all).size, all.length);
});
