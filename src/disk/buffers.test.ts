import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allSettled, isZero, scatter, sliceBuffers, zeroBuffers } from './buffers.ts';

const run = (...lengths: number[]): Uint8Array[] => {
  let next = 0;
  return lengths.map((length) => Uint8Array.from({ length }, () => next++));
};

test('a slice over several buffers has its bytes in order, and is a view of the same memory', () => {
  const buffers = run(3, 0, 2, 4);
  const slices = sliceBuffers(buffers, 2, 4);
  assert.deepEqual(
    slices.map((slice) => [...slice]),
    [[2], [3, 4], [5]],
  );
  scatter(Uint8Array.of(9, 8, 7, 6), slices);
  assert.deepEqual(
    buffers.map((buffer) => [...buffer]),
    [[0, 1, 9], [], [8, 7], [6, 6, 7, 8]],
  );
});

test('a slice of nothing is empty', () => {
  assert.deepEqual(sliceBuffers(run(3), 1, 0), []);
});

test('zeros in any number take no memory of that size', () => {
  const buffers = zeroBuffers(1_000_000);
  assert.equal(
    buffers.reduce((sum, buffer) => sum + buffer.length, 0),
    1_000_000,
  );
  assert.equal(new Set(buffers.map((buffer) => buffer.buffer)).size, 1);
});

test('one bit anywhere makes a buffer non-zero, aligned or not, also the sign of a zero', () => {
  for (const start of [0, 1, 8]) {
    const buffer = new Uint8Array(64).subarray(start, 45);
    assert.equal(isZero(buffer), true);
    for (let at = 0; at < buffer.length; at++) {
      for (const value of [1, 0x80]) {
        buffer[at] = value;
        assert.equal(isZero(buffer), false, `${value} at ${at} from ${start}`);
      }
      buffer[at] = 0;
    }
  }
});

test('when one of several operations fails, the others are waited for', async () => {
  let ended = false;
  const slow = (async (): Promise<void> => {
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
    ended = true;
  })();
  await assert.rejects(allSettled([Promise.reject(new Error('first')), slow]), /first/);
  assert.equal(ended, true);
});
