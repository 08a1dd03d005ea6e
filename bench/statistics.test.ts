import assert from 'node:assert/strict';
import { test } from 'node:test';
import { geometricMean, median, medianRatio, spread } from './statistics.ts';

test('the median of an odd number of values is the middle one, whatever their order', () => {
  assert.equal(median([9, 1, 5]), 5);
});

test('the median of an even number of values is the mean of the middle two', () => {
  assert.equal(median([4, 1, 2, 100]), 3);
});

test('missing values do not count for the median', () => {
  assert.equal(median([undefined, 3, undefined, 1, 2]), 2);
  assert.equal(median([undefined]), undefined);
});

test('the spread is half the range, relative to the median', () => {
  assert.equal(spread([9, 10, 11]), 0.1);
  assert.equal(spread([]), undefined);
});

test('the geometric mean of twice and half is one', () => {
  assert.ok(Math.abs((geometricMean([2, 0.5, undefined]) ?? 0) - 1) < 1e-12);
  assert.equal(geometricMean([undefined]), undefined);
});

test('the ratio of two systems is that within the rounds, so that a slow round does not count', () => {
  assert.equal(medianRatio([2, 20, 2], [1, 10, 1]), 2);
});

test('a round in which one system failed is left out of the ratio', () => {
  assert.equal(medianRatio([2, undefined, 4], [1, 1, undefined]), 2);
  assert.equal(medianRatio([2], [0]), undefined);
});
