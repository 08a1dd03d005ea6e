import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseStatistics } from './statistics.ts';
import { statistics } from './testing.ts';

test('every tag of the specification has its name', () => {
  const bytes = statistics(...Array.from({ length: 10 }, (_, tag) => [tag, BigInt(100 + tag)] as const));
  assert.deepEqual(parseStatistics(bytes), {
    swapInBytes: 100,
    swapOutBytes: 101,
    majorFaults: 102,
    minorFaults: 103,
    freeBytes: 104,
    totalBytes: 105,
    availableBytes: 106,
    diskCacheBytes: 107,
    hugePageAllocations: 108,
    hugePageFailures: 109,
  });
});

test('unknown tags are passed over, of a tag given twice the last counts, an entry that is cut off is none', () => {
  const bytes = statistics([99, 1n], [4, 2n], [0xffff, 3n], [4, 5n], [5, 6n]);
  assert.deepEqual(parseStatistics(bytes.subarray(0, -1)), { freeBytes: 5 });
  assert.deepEqual(parseStatistics(bytes.subarray(0, 9)), {});
  assert.deepEqual(parseStatistics(new Uint8Array()), {});
});

test('values have 64 bits, the largest of them rounded', () => {
  assert.deepEqual(parseStatistics(statistics([4, 0x1_0000_0001n], [5, 0xffff_ffff_ffff_ffffn])), {
    freeBytes: 0x1_0000_0001,
    totalBytes: 2 ** 64,
  });
});
