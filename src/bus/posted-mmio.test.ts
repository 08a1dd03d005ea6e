import assert from 'node:assert/strict';
import { test } from 'node:test';
import { POSTED_MMIO_ENTRIES, POSTED_MMIO_WORDS, PostedMmio } from './posted-mmio.ts';

const table = (): PostedMmio => new PostedMmio({ words: new Int32Array(POSTED_MMIO_WORDS), postedMmioAt: 0 });

test('a write inside a range is posted, one across its edge or elsewhere is not', () => {
  const posted = table();
  assert.equal(posted.add(0xd000_3010, 8), true);
  assert.deepEqual(
    [0xd000_300c, 0xd000_300e, 0xd000_3010, 0xd000_3014, 0xd000_3016, 0xd000_4010].map((at) => posted.has(at, 4)),
    [false, false, true, true, false, false],
  );
});

test('a range of a whole page above 4 GiB is found', () => {
  const posted = table();
  assert.equal(posted.add(0x12_3456_7000, 4096), true);
  assert.equal(posted.has(0x12_3456_7ffc, 4), true);
  assert.equal(posted.has(0x2_3456_7ffc, 4), false);
});

test('a range that was removed is posted no more, and its entry is free again', () => {
  const posted = table();
  for (let n = 1; n <= POSTED_MMIO_ENTRIES; n++) assert.equal(posted.add(n * 0x1000, 4), true);
  assert.equal(posted.add(0x10_0000, 4), false);
  posted.remove(0x3000, 4);
  assert.equal(posted.has(0x3000, 4), false);
  assert.equal(posted.add(0x10_0000, 4), true);
  assert.equal(posted.has(0x10_0000, 4), true);
});

test('nothing is posted into the first page, across pages, or where the page number does not fit', () => {
  const posted = table();
  assert.deepEqual(
    [posted.add(0x10, 4), posted.add(0x1ffe, 4), posted.add(2 ** 43, 4), posted.add(0x1000, 0)],
    [false, false, false, false],
  );
  assert.equal(posted.has(0x10, 4), false);
});
