import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ByteRegisters } from '../../bus/bus.ts';
import { FakeLine, FakeTime } from '../testing.ts';
import { AcpiPm } from './acpi-pm.ts';

function rig() {
  const time = new FakeTime();
  const origin = time.now;
  const sci = new FakeLine();
  const offs = { count: 0 };
  const pm = new AcpiPm({
    sci,
    events: { powerOff: () => void offs.count++ },
    sleepTypeS5: 5,
    clock: time,
    timers: time.timers,
    pmTimerOrigin: () => origin,
  });
  pm.reset();
  const read16 = (block: ByteRegisters, at: number): number => block.readByte(at) | (block.readByte(at + 1) << 8);
  const write16 = (block: ByteRegisters, at: number, value: number): void => {
    block.writeByte(at, value & 0xff);
    block.writeByte(at + 1, value >> 8);
  };
  return { time, sci, offs, pm, read16, write16 };
}

test('SLP_EN with the type of S5 switches off', () => {
  const { pm, offs, write16 } = rig();
  write16(pm.control, 0, (5 << 10) | 0x2000);
  assert.equal(offs.count, 1);
});

test('the type alone does nothing, and another type wakes at once', () => {
  const { pm, offs, read16, write16 } = rig();
  write16(pm.control, 0, 5 << 10);
  write16(pm.control, 0, (1 << 10) | 0x2000);
  assert.equal(offs.count, 0);
  assert.equal(read16(pm.events, 0) & 0x8000, 0x8000);
});

test('SCI_EN reads as one and SLP_EN as zero', () => {
  const { pm, read16, write16 } = rig();
  assert.equal(read16(pm.control, 0), 1);
  write16(pm.control, 0, (1 << 10) | 0x2000);
  assert.equal(read16(pm.control, 0), (1 << 10) | 1);
});

test('the power button interrupts when enabled and its status is cleared by writing one', () => {
  const { pm, sci, read16, write16 } = rig();
  pm.pressPowerButton();
  assert.equal(sci.level, false);
  write16(pm.events, 2, 0x0100);
  assert.equal(sci.level, true);
  assert.equal(read16(pm.events, 0), 0x0100);
  write16(pm.events, 0, 0x0100);
  assert.equal(sci.level, false);
  assert.equal(read16(pm.events, 0), 0);
  pm.pressPowerButton();
  assert.equal(sci.level, true);
});

test('the timer status is set when the top bit of the PM timer changes', () => {
  const { time, pm, sci, read16, write16 } = rig();
  write16(pm.events, 2, 0x0001);
  time.advance(599e9);
  assert.equal(sci.level, false);
  time.advance(1e9);
  assert.equal(sci.level, true);
  assert.equal(read16(pm.events, 0), 1);
  write16(pm.events, 0, 1);
  assert.equal(sci.level, false);
  time.advance(600e9);
  assert.equal(sci.level, true);
});

test('the GPE0 block has enable bits and no events', () => {
  const { pm, read16, write16 } = rig();
  write16(pm.gpe0, 2, 0xbeef);
  write16(pm.gpe0, 0, 0xffff);
  assert.equal(read16(pm.gpe0, 2), 0xbeef);
  assert.equal(read16(pm.gpe0, 0), 0);
});

test('a saved block keeps status, enables and the interrupt', () => {
  const one = rig();
  one.write16(one.pm.events, 2, 0x0100);
  one.pm.pressPowerButton();
  const other = rig();
  other.pm.restore(JSON.parse(JSON.stringify(one.pm.save())));
  assert.equal(other.sci.level, true);
  assert.deepEqual(other.pm.save(), one.pm.save());
});
