import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PIT_HZ } from './pit.ts';
import { initializePics, type TestMachine, testMachine } from './testing.ts';

/** Nanoseconds of a number of timer ticks, and a little more. */
const ticks = (count: number): number => Math.ceil((count / PIT_HZ) * 1e9) + 1;

const machine = (): TestMachine => {
  const made = testMachine();
  initializePics(made);
  return made;
};

const program = (m: TestMachine, channel: number, control: number, count: number): void => {
  m.out(0x43, (channel << 6) | control);
  m.out(0x40 + channel, count & 0xff);
  m.out(0x40 + channel, count >> 8);
};

const latch = (m: TestMachine, channel: number): number => {
  m.out(0x43, channel << 6);
  const low = m.in(0x40 + channel);
  return low | (m.in(0x40 + channel) << 8);
};

const status = (m: TestMachine, channel: number): number => {
  m.out(0x43, 0xe0 | (2 << channel));
  return m.in(0x40 + channel);
};

/** Interrupts of channel 0 in so many ticks, acknowledged one by one. */
const interrupts = (m: TestMachine, count: number, step: number): number => {
  let seen = 0;
  for (let n = 0; n < count; n += step) {
    m.advance(ticks(step));
    while (m.vcpus[0]!.pending()) {
      assert.equal(m.vcpus[0]!.acknowledge(), 0x30);
      m.out(0x20, 0x20);
      seen++;
    }
  }
  return seen;
};

test('mode 0 interrupts once when the count has run out', () => {
  const m = machine();
  program(m, 0, 0x30, 1000);
  m.advance(ticks(998));
  assert.equal(m.vcpus[0]!.pending(), false);
  assert.equal(interrupts(m, 300_000, 1000), 1);
  assert.equal(m.vcpus[0]!.nextDeadline(), Infinity);
});

test('mode 2 interrupts once a period', () => {
  const m = machine();
  program(m, 0, 0x34, 1193);
  assert.equal(interrupts(m, 1193 * 20, 1193), 20);
});

test('mode 3 interrupts once a period', () => {
  const m = machine();
  program(m, 0, 0x36, 1000);
  assert.equal(interrupts(m, 20_000, 500), 20);
});

test('mode 4 interrupts one tick after the count has run out', () => {
  const m = machine();
  program(m, 0, 0x38, 100);
  m.advance(ticks(100));
  assert.equal(m.vcpus[0]!.pending(), false);
  m.advance(ticks(1));
  assert.equal(m.vcpus[0]!.pending(), true);
});

test('setting the timer up is no interrupt', () => {
  const m = machine();
  program(m, 0, 0x34, 65_535);
  assert.equal(m.vcpus[0]!.pending(), false);
});

test('a count of zero is 65536', () => {
  const m = machine();
  program(m, 0, 0x34, 0);
  const wait = m.vcpus[0]!.nextDeadline() - m.now;
  assert.ok(Math.abs(wait - (65_536 / PIT_HZ) * 1e9) < 1);
});

test('interrupts missed for a long time are one', () => {
  const m = machine();
  program(m, 0, 0x34, 1000);
  m.advance(ticks(1000) * 1000);
  assert.equal(interrupts(m, 1, 1), 1);
});

test('a latched count stands still until both bytes are read', () => {
  const m = machine();
  program(m, 2, 0x30, 50_000);
  m.out(0x61, 0x01);
  m.advance(ticks(1000));
  m.out(0x43, 0x80);
  m.advance(ticks(5000));
  m.out(0x43, 0x80);
  assert.equal(m.in(0x42) | (m.in(0x42) << 8), 49_000);
  assert.equal(latch(m, 2), 44_000);
});

test('mode 2 counts down by one and starts over', () => {
  const m = machine();
  program(m, 0, 0x34, 100);
  m.advance(ticks(30));
  assert.equal(latch(m, 0), 70);
  m.advance(ticks(100));
  assert.equal(latch(m, 0), 70);
});

test('mode 3 counts down by two, twice a period', () => {
  const m = machine();
  program(m, 0, 0x36, 100);
  m.advance(ticks(10));
  assert.equal(latch(m, 0), 80);
  m.advance(ticks(50));
  assert.equal(latch(m, 0), 80);
});

test('mode 0 goes on counting past zero', () => {
  const m = machine();
  program(m, 0, 0x30, 10);
  m.advance(ticks(12));
  assert.equal(latch(m, 0), 0xfffe);
});

test('a binary-coded decimal counter counts in decimal', () => {
  const m = machine();
  program(m, 0, 0x31, 0x1000);
  m.advance(ticks(1));
  assert.equal(latch(m, 0), 0x0999);
});

test('a new count of a running rate generator counts from the end of the period', () => {
  const m = machine();
  program(m, 0, 0x34, 1000);
  m.advance(ticks(500));
  m.out(0x40, 100 & 0xff);
  m.out(0x40, 0);
  assert.equal(latch(m, 0), 500);
  assert.equal(status(m, 0) & 0x40, 0x40);
  m.advance(ticks(510));
  assert.ok(Math.abs(latch(m, 0) - 90) <= 1);
  assert.equal(status(m, 0) & 0x40, 0);
});

test('the status byte tells output, null count, access, mode and base', () => {
  const m = machine();
  m.out(0x43, 0x35);
  assert.equal(status(m, 0), 0x80 | 0x40 | 0x35);
  m.out(0x40, 1);
  m.out(0x40, 1);
  assert.equal(status(m, 0), 0x80 | 0x35);
});

test('read-back latches count and status of several counters; the status is read first', () => {
  const m = machine();
  program(m, 0, 0x34, 1000);
  m.out(0x43, 0xc2);
  assert.equal(m.in(0x40), 0x80 | 0x34);
  assert.equal(m.in(0x40) | (m.in(0x40) << 8), 1000);
});

test('one-byte access modes set and read their byte', () => {
  const m = machine();
  m.out(0x43, 0x24);
  m.out(0x40, 0x02);
  assert.equal(m.in(0x40), 0x02);
  m.out(0x43, 0x14);
  m.out(0x40, 0x80);
  assert.equal(m.in(0x40), 0x80);
});

test('the gate at port 61h stops channel 2, and its output is bit 5 there', () => {
  const m = machine();
  program(m, 2, 0x30, 1000);
  m.advance(ticks(5000));
  assert.equal(latch(m, 2), 1000);
  assert.equal(m.in(0x61) & 0x21, 0x00);
  m.out(0x61, 0x01);
  m.advance(ticks(999) - 2);
  assert.equal(m.in(0x61) & 0x21, 0x01);
  m.advance(ticks(2));
  assert.equal(m.in(0x61) & 0x21, 0x21);
});

test('a paused count of mode 0 goes on where it stopped', () => {
  const m = machine();
  m.out(0x61, 0x01);
  program(m, 2, 0x30, 1000);
  m.advance(ticks(400));
  m.out(0x61, 0x00);
  m.advance(ticks(10_000));
  assert.equal(latch(m, 2), 600);
  m.out(0x61, 0x01);
  m.advance(ticks(100));
  assert.ok(Math.abs(latch(m, 2) - 500) <= 1);
});

test('mode 1 starts at a rising gate and is low while it runs', () => {
  const m = machine();
  program(m, 2, 0x32, 1000);
  assert.equal(m.in(0x61) & 0x20, 0x20);
  m.out(0x61, 0x01);
  assert.equal(m.in(0x61) & 0x20, 0x00);
  m.out(0x61, 0x00);
  m.advance(ticks(1001));
  assert.equal(m.in(0x61) & 0x20, 0x20);
});

test('mode 5 strobes low for one tick after its trigger', () => {
  const m = machine();
  program(m, 2, 0x3a, 1000);
  m.out(0x61, 0x01);
  m.advance(ticks(1000));
  assert.equal(m.in(0x61) & 0x20, 0x00);
  m.advance(ticks(1));
  assert.equal(m.in(0x61) & 0x20, 0x20);
});

test('a rising gate restarts a rate generator', () => {
  const m = machine();
  m.out(0x61, 0x01);
  program(m, 2, 0x34, 1000);
  m.advance(ticks(300));
  m.out(0x61, 0x00);
  assert.equal(m.in(0x61) & 0x20, 0x20);
  m.out(0x61, 0x01);
  assert.equal(latch(m, 2), 1000);
});

test('the refresh bit of port 61h toggles every 15 us', () => {
  const m = machine();
  let toggles = 0;
  for (let n = 0, last = m.in(0x61) & 0x10; n < 1000; n++) {
    m.advance(1000);
    const now = m.in(0x61) & 0x10;
    if (now !== last) toggles++;
    last = now;
  }
  assert.ok(Math.abs(toggles - 66) <= 1, `${toggles} toggles in a millisecond`);
});

test('programming the timer from another vCPU wakes the one that polls it', () => {
  const m = testMachine(2);
  program(m, 0, 0x34, 1000);
  assert.ok(m.kicks.includes(0));
});
