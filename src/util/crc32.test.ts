import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 as nodeCrc32 } from 'node:zlib';
import { crc32 } from './crc32.ts';

test('the check value of the algorithm comes out, and what zlib computes', () => {
  assert.equal(crc32(new TextEncoder().encode('123456789')), 0xcbf4_3926);
  for (const length of [0, 1, 1000]) {
    const bytes = Uint8Array.from({ length }, (_, index) => index * 7);
    assert.equal(crc32(bytes), nodeCrc32(bytes));
  }
});
