import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bus, byteDevice } from './bus.ts';
import type { AccessWidth, BusDevice } from './bus-device.ts';

type Access = readonly [name: string, offset: number, width: AccessWidth, value?: number];

/** A device that notes its accesses and reads as its name's first letter in every byte. */
function probe(name: string, log: Access[]): BusDevice {
  const byte = name.charCodeAt(0);
  return {
    read(offset, width) {
      log.push([name, offset, width]);
      return byte * 0x0101_0101;
    },
    write: (offset, width, value) => void log.push([name, offset, width, value]),
  };
}

test('an access goes to the device of its range, with the offset in it', () => {
  const log: Access[] = [];
  const bus = new Bus();
  bus.add('b', 0x20, 8, probe('b', log));
  bus.add('a', 0x10, 8, probe('a', log));
  assert.equal(bus.read(0x14, 2), 0x6161);
  bus.write(0x27, 1, 0x1ff);
  assert.deepEqual(log, [
    ['a', 4, 2],
    ['b', 7, 1, 0xff],
  ]);
});

test('a read that nobody claims gives all ones of its width, a write vanishes', () => {
  const bus = new Bus();
  assert.deepEqual([bus.read(5, 1), bus.read(5, 2), bus.read(5, 4)], [0xff, 0xffff, 0xffff_ffff]);
  bus.write(5, 4, 1);
});

test('values are unsigned and cut to the width of the access', () => {
  const bus = new Bus();
  bus.add('minus', 0, 4, { read: () => -1, write() {} });
  assert.deepEqual([bus.read(0, 1), bus.read(0, 2), bus.read(0, 4)], [0xff, 0xffff, 0xffff_ffff]);
});

test('an access across the edge of a range is split into bytes', () => {
  const log: Access[] = [];
  const bus = new Bus();
  bus.add('a', 0x10, 2, probe('a', log));
  bus.add('b', 0x12, 1, probe('b', log));
  assert.equal(bus.read(0x10, 4), 0xff62_6161);
  log.length = 0;
  bus.write(0x11, 4, 0x4433_2211);
  assert.deepEqual(log, [
    ['a', 1, 1, 0x11],
    ['b', 0, 1, 0x22],
  ]);
});

test('ranges that overlap are refused, both named', () => {
  const bus = new Bus();
  bus.add('one', 0x10, 8, probe('a', []));
  for (const [base, bytes] of [
    [0x10, 8],
    [0x17, 1],
    [0x0f, 2],
    [0x08, 0x20],
  ] as const) {
    assert.throws(() => bus.add('two', base, bytes, probe('b', [])), /"two" at .* overlaps "one" at 0x10\+0x8/);
  }
  bus.add('two', 0x18, 1, probe('b', []));
});

test('a range that was removed answers no more, and its addresses are free again', () => {
  const log: Access[] = [];
  const bus = new Bus();
  bus.add('a', 0x10, 4, probe('a', log));
  assert.equal(bus.read(0x10, 1), 0x61);
  bus.remove(0x10);
  assert.equal(bus.read(0x10, 1), 0xff);
  bus.add('b', 0x0e, 4, probe('b', log));
  assert.equal(bus.read(0x10, 1), 0x62);
});

test('an empty range is refused', () => {
  assert.throws(() => new Bus().add('nothing', 0x10, 0, probe('a', [])), /"nothing" at 0x10 is empty/);
});

test('a 64-bit access is two of 32 bits, the low half first', () => {
  const log: Access[] = [];
  const bus = new Bus();
  bus.add('a', 0x1000, 16, probe('a', log));
  bus.writeU64(0x1008, 0x1122_3344_5566_7788n);
  assert.equal(bus.readU64(0x1000), 0x6161_6161_6161_6161n);
  assert.deepEqual(log, [
    ['a', 8, 4, 0x5566_7788],
    ['a', 12, 4, 0x1122_3344],
    ['a', 0, 4],
    ['a', 4, 4],
  ]);
});

test('holds and touches tell whole from partial claims', () => {
  const bus = new Bus();
  bus.add('a', 0x10, 4, probe('a', []));
  assert.deepEqual(
    [bus.holds(0x10, 4), bus.holds(0x12, 4), bus.touches(0x12, 4), bus.touches(0x14, 4)],
    [true, false, true, false],
  );
});

test('an 8-bit device sees a wider access as bytes at rising offsets', () => {
  const written: number[][] = [];
  const device = byteDevice({
    readByte: (offset) => 0x10 + offset,
    writeByte: (offset, value) => void written.push([offset, value]),
  });
  assert.equal(device.read(1, 4), 0x1413_1211);
  device.write(0, 2, 0xbbaa);
  assert.deepEqual(written, [
    [0, 0xaa],
    [1, 0xbb],
  ]);
});
