import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LONGEST_SLICE, SHORTEST_SLICE, SLICE, SliceLength } from './slice-length.ts';

const NEVER = Infinity;

/** Lengths of slices of code that does `pace` instructions a nanosecond. */
function lengths(slices: SliceLength, count: number, pace: number, translated: boolean, from = 1e9): number[] {
  const found: number[] = [];
  for (let n = 0, now = from; n < count; n++) {
    const length = slices.next(now, NEVER);
    found.push(length);
    slices.ended(length, translated);
    now += length / pace;
  }
  return found;
}

test('slices of fast translated code grow to some 50 µs and no further than the longest', () => {
  assert.deepEqual(lengths(new SliceLength(), 5, 2, true), [20_000, 40_000, 80_000, 100_000, 100_000]);
  assert.equal(lengths(new SliceLength(), 8, 20, true).at(-1), LONGEST_SLICE);
});

test('slices of slow translated code and of interpreted code do not grow', () => {
  assert.deepEqual(lengths(new SliceLength(), 3, 0.3, true), [SLICE, SLICE, SLICE]);
  assert.deepEqual(lengths(new SliceLength(), 3, 5, false), [SLICE, SLICE, SLICE]);
});

test('a slice that does not end in translated code is followed by a short one', () => {
  const slices = new SliceLength();
  assert.equal(lengths(slices, 4, 2, true).at(-1), 100_000);
  slices.next(2e9, NEVER);
  slices.ended(100_000, false);
  assert.equal(slices.next(2e9 + 1000, NEVER), SLICE);
});

test('a pause between two slices makes the pace unknown', () => {
  const slices = new SliceLength();
  lengths(slices, 4, 2, true);
  assert.equal(slices.next(5e9, NEVER), SLICE);
});

test('a slice ends at the deadline by the pace that is known, and none is shorter than the shortest', () => {
  const slices = new SliceLength();
  assert.equal(slices.next(1e9, 8000), 2000);
  assert.equal(slices.next(1e9, -5), SHORTEST_SLICE);
  slices.ended(20_000, true);
  assert.equal(slices.next(1e9 + 10_000, 8000), 14_400);
});
