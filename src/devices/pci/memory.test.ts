import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BusDevice } from '../../bus/bus-device.ts';
import { PciMemory, type PciMapping } from './memory.ts';

const WINDOW = { start: 0xd000_0000, end: 0xd010_0000 };

const constant = (value: number): BusDevice => ({ read: () => value, write() {} });

function rig() {
  const memory = new PciMemory([WINDOW]);
  const bus = memory.window(WINDOW);
  const answering: string[] = [];
  const mapping = (name: string, address: number, bytes: number, value: number): PciMapping => ({
    name,
    address,
    bytes,
    device: constant(value),
    onAnswering: (answers) => void answering.push(`${name} ${answers}`),
  });
  return { memory, bus, answering, mapping };
}

test('a mapping answers inside the window, at its own offsets', () => {
  const { memory, bus, mapping } = rig();
  memory.add(mapping('a', 0xd000_1000, 0x1000, 0x11));
  assert.deepEqual([bus.read(0x1000, 1), bus.read(0x1fff, 1), bus.read(0x2000, 1)], [0x11, 0x11, 0xff]);
});

test('a mapping that is not whole in the window does not answer', () => {
  const { memory, bus, answering, mapping } = rig();
  for (const address of [0, 0xcfff_f000, 0xd00f_f800, 0xfee0_0000, 2 ** 64 - 4096]) {
    memory.add(mapping('a', address, 0x1000, 0x11));
  }
  assert.equal(bus.read(0xff_800, 1), 0xff);
  assert.deepEqual(answering, []);
});

test('of mappings that overlap the first answers, the second when the first has left', () => {
  const { memory, bus, answering, mapping } = rig();
  const first = mapping('first', 0xd000_1000, 0x1000, 0x11);
  const second = mapping('second', 0xd000_0000, 0x4000, 0x22);
  memory.add(first);
  memory.add(second);
  assert.deepEqual([bus.read(0x1000, 1), bus.read(0x0000, 1)], [0x11, 0xff]);
  memory.remove(first);
  assert.deepEqual([bus.read(0x1000, 1), bus.read(0x0000, 1)], [0x22, 0x22]);
  memory.remove(second);
  assert.deepEqual(answering, ['first true', 'first false', 'second true', 'second false']);
});

test('a mapping that never answered leaves without disturbing the one that does', () => {
  const { memory, bus, mapping } = rig();
  const first = mapping('first', 0xd000_1000, 0x1000, 0x11);
  const second = mapping('second', 0xd000_1000, 0x1000, 0x22);
  memory.add(first);
  memory.add(second);
  memory.remove(second);
  assert.equal(bus.read(0x1000, 1), 0x11);
});
