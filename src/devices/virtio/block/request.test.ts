import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Chain } from '../queue/chain.ts';
import { createQueue } from '../queue/create-queue.ts';
import { type Buffer, readable, readableBytes, TestDriver, TestMemory, writable } from '../queue/testing.ts';
import { type BlockLimits, faultStatus, parseRequest } from './request.ts';
import { blockHeader, blockRange, blockRequest } from './testing.ts';

/** A disk of 1 MiB. */
const LIMITS: BlockLimits = {
  capacitySectors: 2048,
  readOnly: false,
  canDiscard: true,
  canWriteZeroes: true,
  maxRanges: 4,
  maxRangeSectors: 1024,
};

function parse(buffers: readonly Buffer[], limits: Partial<BlockLimits> = {}) {
  const memory = new TestMemory(0x40_0000);
  const driver = new TestDriver(memory, 16);
  const queue = createQueue(memory, driver.areas, driver.format);
  driver.add(buffers);
  const chain = queue.pop();
  assert.ok(chain instanceof Chain);
  return parseRequest(chain, { ...LIMITS, ...limits });
}

test('a read has its place and length in bytes', () => {
  assert.deepEqual(parse(blockRequest(0, 3, writable(1024))), { kind: 'read', offset: 1536, bytes: 1024 });
});

test('a write has its place and length in bytes', () => {
  assert.deepEqual(parse(blockRequest(1, 2047, readableBytes(new Uint8Array(512)))), {
    kind: 'write',
    offset: 2047 * 512,
    bytes: 512,
  });
});

test('header and status may be spread over any buffers', () => {
  const header = blockHeader(1, 5);
  const data = new Uint8Array(600);
  data.set(header.subarray(10));
  const buffers = [readableBytes(header.subarray(0, 10)), readableBytes(data.subarray(0, 518)), writable(1)];
  assert.deepEqual(parse(buffers), { kind: 'write', offset: 2560, bytes: 512 });
  assert.deepEqual(parse([readableBytes(blockHeader(0, 5)), writable(500), writable(13)]), {
    kind: 'read',
    offset: 2560,
    bytes: 512,
  });
});

test('a header that is too short is a fault', () => {
  assert.equal(parse([readable(0, 0, 0, 0), writable(513)]), 'header-too-short');
});

test('data that is no multiple of a sector is a fault', () => {
  assert.equal(parse(blockRequest(0, 0, writable(513))), 'data-no-multiple-of-a-sector');
  assert.equal(parse(blockRequest(1, 0, readable(1, 2, 3))), 'data-no-multiple-of-a-sector');
});

test('what reaches past the end is a fault, also where sector and length overflow', () => {
  for (const sector of [2047n, 2048n, 2n ** 32n, 2n ** 55n - 1n, 2n ** 63n, 2n ** 64n - 1n]) {
    assert.equal(parse(blockRequest(0, sector, writable(1024))), 'out-of-range');
    assert.equal(parse(blockRequest(1, sector, readableBytes(new Uint8Array(1024)))), 'out-of-range');
  }
});

test('a read-only disk takes no write, discard or zeroes', () => {
  const readOnly = { readOnly: true };
  assert.equal(parse(blockRequest(1, 0, readableBytes(new Uint8Array(512))), readOnly), 'disk-is-read-only');
  assert.equal(parse(blockRequest(11, 0, readableBytes(blockRange(0, 1))), readOnly), 'disk-is-read-only');
  assert.equal(parse(blockRequest(13, 0, readableBytes(blockRange(0, 1))), readOnly), 'disk-is-read-only');
  assert.deepEqual(parse(blockRequest(0, 0, writable(512)), readOnly), { kind: 'read', offset: 0, bytes: 512 });
});

test('a flush with a non-zero sector is refused', () => {
  assert.equal(parse(blockRequest(4, 1)), 'flush-sector-not-zero');
  assert.deepEqual(parse(blockRequest(4, 0)), { kind: 'flush' });
});

test('an ID needs 20 bytes', () => {
  assert.equal(parse(blockRequest(8, 0, writable(19))), 'id-too-short');
  assert.deepEqual(parse(blockRequest(8, 0, writable(20))), { kind: 'get-id' });
});

test('discards and zeroes have their ranges in bytes', () => {
  assert.deepEqual(parse(blockRequest(11, 0, readableBytes(blockRange(8, 2)), readableBytes(blockRange(2047, 1)))), {
    kind: 'discard',
    ranges: [
      { offset: 4096, bytes: 1024, unmap: true },
      { offset: 2047 * 512, bytes: 512, unmap: true },
    ],
  });
  assert.deepEqual(parse(blockRequest(13, 0, readableBytes(blockRange(0, 1, 1)))), {
    kind: 'write-zeroes',
    ranges: [{ offset: 0, bytes: 512, unmap: true }],
  });
  assert.deepEqual(parse(blockRequest(13, 0, readableBytes(blockRange(0, 1)))), {
    kind: 'write-zeroes',
    ranges: [{ offset: 0, bytes: 512, unmap: false }],
  });
});

test('ranges that are malformed, too many, too long, outside, or flagged wrongly are faults', () => {
  const ranges = (type: number, ...parts: Uint8Array[]) =>
    parse(blockRequest(type, 0, ...parts.map((part) => readableBytes(part))));
  assert.equal(parse(blockRequest(11, 0)), 'ranges-malformed');
  assert.equal(ranges(13, new Uint8Array(17)), 'ranges-malformed');
  assert.equal(ranges(11, ...Array.from({ length: 5 }, () => blockRange(0, 1))), 'too-many-ranges');
  assert.equal(ranges(13, blockRange(0, 1025)), 'range-too-long');
  assert.equal(ranges(13, blockRange(2040, 9)), 'out-of-range');
  assert.equal(ranges(11, blockRange(2n ** 64n - 8n, 9)), 'out-of-range');
  assert.equal(ranges(11, blockRange(0, 1, 1)), 'range-flags-reserved');
  assert.equal(ranges(13, blockRange(0, 1, 2)), 'range-flags-reserved');
});

test('what was not negotiated and what nobody knows is unsupported', () => {
  assert.equal(parse(blockRequest(11, 0, readableBytes(blockRange(0, 1))), { canDiscard: false }), 'not-negotiated');
  assert.equal(
    parse(blockRequest(13, 0, readableBytes(blockRange(0, 1))), { canWriteZeroes: false }),
    'not-negotiated',
  );
  for (const type of [2, 5, 14, 0x8000_0000]) assert.equal(parse(blockRequest(type, 0)), 'type-unknown');
  assert.deepEqual(
    (['type-unknown', 'not-negotiated', 'range-flags-reserved', 'out-of-range', 'disk-is-read-only'] as const).map(
      faultStatus,
    ),
    [2, 2, 2, 1, 1],
  );
});
