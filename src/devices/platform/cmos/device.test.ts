import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeLine, FakeTime } from '../../testing.ts';
import { Cmos } from './device.ts';

/** 2026-11-21 13:45:50 UTC, a Saturday. */
const START_MS = Date.UTC(2026, 10, 21, 13, 45, 50);

function rig(ramBelow4GiB = 256 * 2 ** 20, ramAbove4GiB = 0) {
  const time = new FakeTime();
  const begun = time.now;
  const line = new FakeLine();
  const cmos = new Cmos({
    wallClock: { milliseconds: () => START_MS + (time.now - begun) / 1e6 },
    clock: time,
    timers: time.timers,
    line,
    ramBelow4GiB,
    ramAbove4GiB,
    vcpuCount: 2,
  });
  const read = (index: number): number => {
    cmos.writeByte(0, index);
    return cmos.readByte(1);
  };
  const write = (index: number, value: number): void => {
    cmos.writeByte(0, index);
    cmos.writeByte(1, value);
  };
  const clock = (): number[] => [9, 8, 7, 4, 2, 0].map(read);
  return { time, line, cmos, read, write, clock };
}

const SECOND = 1e9;

test('the time reads as BCD in 24 hours, with century and weekday', () => {
  const { clock, read } = rig();
  assert.deepEqual(clock(), [0x26, 0x11, 0x21, 0x13, 0x45, 0x50]);
  assert.equal(read(0x32), 0x20);
  assert.equal(read(6), 7);
});

test('the time reads as binary, and in 12 hours with the PM bit', () => {
  const { clock, write, read } = rig();
  write(0x0b, 0x06);
  assert.deepEqual(clock(), [26, 11, 21, 13, 45, 50]);
  write(0x0b, 0x00);
  assert.equal(read(4), 0x81);
});

test('the clock runs', () => {
  const { time, clock } = rig();
  time.advance(15 * SECOND);
  assert.deepEqual(clock(), [0x26, 0x11, 0x21, 0x13, 0x46, 0x05]);
});

test('midnight and noon in 12 hours are 12', () => {
  const { time, write, read } = rig();
  write(0x0b, 0x00);
  time.advance((10 * 3600 + 15 * 60) * SECOND);
  assert.equal(read(4), 0x12);
  time.advance(12 * 3600 * SECOND);
  assert.equal(read(4), 0x92);
});

test('a time set between SET and its end is taken over as a whole and runs on', () => {
  const { time, write, clock } = rig();
  write(0x0b, 0x82);
  for (const [index, value] of [
    [0, 0x58],
    [2, 0x59],
    [4, 0x23],
    [7, 0x31],
    [8, 0x12],
    [9, 0x99],
    [0x32, 0x19],
  ]) {
    write(index!, value!);
  }
  time.advance(5 * SECOND);
  assert.deepEqual(clock(), [0x99, 0x12, 0x31, 0x23, 0x59, 0x58]);
  write(0x0b, 0x02);
  time.advance(3 * SECOND);
  assert.deepEqual(clock(), [0x00, 0x01, 0x01, 0x00, 0x00, 0x01]);
});

test('a field set without SET changes at once', () => {
  const { write, clock } = rig();
  write(4, 0x07);
  assert.deepEqual(clock(), [0x26, 0x11, 0x21, 0x07, 0x45, 0x50]);
});

test('update-in-progress shows at the end of a second only', () => {
  const { time, read } = rig();
  time.advance(500e6);
  assert.equal(read(0x0a), 0x26);
  time.advance(499.5e6);
  assert.equal(read(0x0a), 0xa6);
  time.advance(1e6);
  assert.equal(read(0x0a), 0x26);
});

test('the update interrupt comes every second until it is read', () => {
  const { time, line, write, read } = rig();
  write(0x0b, 0x12);
  time.advance(SECOND);
  assert.equal(line.level, true);
  assert.equal(read(0x0c), 0xd0);
  assert.equal(line.level, false);
  assert.equal(read(0x0c) & 0x90, 0);
  time.advance(SECOND);
  assert.equal(line.level, true);
});

test('flags are set without their interrupts, and register C is cleared by reading', () => {
  const { time, line, read } = rig();
  time.advance(2 * SECOND);
  assert.equal(read(0x0c), 0x50);
  assert.equal(read(0x0c), 0);
  assert.equal(line.edges, 0);
});

test('the periodic interrupt comes at its rate', () => {
  const { time, line, write, read } = rig();
  write(0x0a, 0x2f); // 2 Hz
  write(0x0b, 0x42);
  let count = 0;
  for (let n = 0; n < 100; n++) {
    time.advance(50e6);
    if (line.level) {
      assert.equal(read(0x0c) & 0xc0, 0xc0);
      count++;
    }
  }
  assert.equal(count, 10);
});

test('a rate of zero stops the periodic interrupt', () => {
  const { time, line, write } = rig();
  write(0x0a, 0x20);
  write(0x0b, 0x42);
  time.advance(10 * SECOND);
  assert.equal(line.level, false);
});

test('the alarm comes at its time of day', () => {
  const { time, line, write, read } = rig();
  write(5, 0x13);
  write(3, 0x46);
  write(1, 0x10);
  write(0x0b, 0x22);
  time.advance(19 * SECOND);
  assert.equal(line.level, false);
  time.advance(1 * SECOND);
  assert.equal(line.level, true);
  assert.equal(read(0x0c) & 0xa0, 0xa0);
});

test('an alarm field of C0h and above means any: seconds 00 of every minute', () => {
  const { time, line, write, read } = rig();
  write(5, 0xff);
  write(3, 0xc0);
  write(1, 0x00);
  write(0x0b, 0x22);
  for (let minute = 0; minute < 3; minute++) {
    time.advance(60 * SECOND);
    assert.equal(line.level, true);
    read(0x0c);
  }
  assert.equal(line.edges, 3);
});

test('an alarm that names no time of day never comes', () => {
  const { time, line, write } = rig();
  write(5, 0x25);
  write(0x0b, 0x22);
  time.advance(2 * 86_400 * SECOND);
  assert.equal(line.level, false);
});

test('register D says that the battery is good, and cannot be written', () => {
  const { read, write } = rig();
  write(0x0d, 0);
  assert.equal(read(0x0d), 0x80);
});

test('memory sizes are told: base, extended, above 16 MiB and above 4 GiB', () => {
  const { read } = rig(256 * 2 ** 20, 5 * 2 ** 30);
  const word = (index: number): number => read(index) | (read(index + 1) << 8);
  assert.equal(word(0x15), 640);
  assert.equal(word(0x17), 65_535);
  assert.equal(word(0x30), 65_535);
  assert.equal(word(0x34), 240 * 16);
  assert.equal(word(0x5b) | (read(0x5d) << 16), 5 * 16_384);
  assert.equal(read(0x5f), 1);
});

test('the rest is memory, which a reset keeps', () => {
  const { cmos, read, write } = rig();
  write(0x40, 0x5a);
  cmos.reset();
  assert.equal(read(0x40), 0x5a);
});

test('bit 7 of the index is not part of it, and the index reads as all ones', () => {
  const { cmos, read } = rig();
  assert.equal(read(0x8d), 0x80);
  assert.equal(cmos.readByte(0), 0xff);
});

test('a reset of the machine keeps the time and drops the interrupts', () => {
  const { cmos, time, line, write, clock } = rig();
  write(4, 0x07);
  write(0x0b, 0x12);
  cmos.reset();
  time.advance(2 * SECOND);
  assert.equal(line.level, false);
  assert.deepEqual(clock(), [0x26, 0x11, 0x21, 0x07, 0x45, 0x52]);
});

test('nonsense in the time registers is a time all the same', () => {
  const { write, clock } = rig();
  write(0x0b, 0x82);
  for (const index of [0, 2, 4, 7, 8, 9, 0x32]) write(index, 0xff);
  write(0x0b, 0x02);
  assert.ok(clock().every((value) => Number.isInteger(value) && value >= 0 && value <= 0xff));
});

test('a saved clock keeps its offset, registers and pending alarm', () => {
  const one = rig();
  one.write(4, 0x07);
  one.write(0x40, 0x99);
  one.write(0x0b, 0x12);
  const other = rig();
  other.cmos.restore(JSON.parse(JSON.stringify(one.cmos.save())));
  assert.deepEqual(other.clock(), [0x26, 0x11, 0x21, 0x07, 0x45, 0x50]);
  assert.equal(other.read(0x40), 0x99);
  other.time.advance(SECOND);
  assert.equal(other.line.level, true);
});
