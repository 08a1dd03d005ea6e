import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeLine } from '../testing.ts';
import { PciEndpoint } from './endpoint.ts';
import { PciMemory } from './memory.ts';
import { Msix } from './msix.ts';

const LOW = { start: 0xd000_0000, end: 0xf400_0000 };
const HIGH = { start: 0x1_0000_0000, end: 0x100_0000_0000 };

function rig() {
  const memory = new PciMemory([LOW, HIGH]);
  const line = new FakeLine();
  const sent: number[] = [];
  const msix = new Msix(3, (_, data) => void sent.push(data));
  const moves: (number | undefined)[] = [];
  const registers = { read: (offset: number) => 0xab00 + offset, write() {} };
  const endpoint = new PciEndpoint({
    name: 'probe',
    identity: {
      vendor: 0x1af4,
      device: 0x1042,
      revision: 1,
      classCode: 0x018000,
      subsystemVendor: 0x1af4,
      subsystem: 0x0040,
    },
    memory,
    bars: [
      { index: 0, bytes: 0x8000, is64Bit: false, device: registers, onMoved: (address) => void moves.push(address) },
      { index: 2, bytes: 0x2_0000_0000, is64Bit: true, prefetchable: true, device: registers },
    ],
    interrupt: { line, gsi: 18 },
    msix: { msix, bar: 0, tableOffset: 0x6000, pendingOffset: 0x7000 },
  });
  const low = memory.window(LOW);
  const high = memory.window(HIGH);
  return { endpoint, line, sent, msix, moves, low, high };
}

test('the header has its identity, its pin, and a list with the MSI-X capability', () => {
  const { endpoint } = rig();
  assert.deepEqual(
    [0x00, 0x08, 0x2c, 0x34].map((at) => endpoint.readConfig(at, 4)),
    [0x1042_1af4, 0x0180_0001, 0x0040_1af4, 0x40],
  );
  assert.equal(endpoint.readConfig(0x3c, 2), 0x0112);
  assert.equal(endpoint.readConfig(0x06, 2) & 0x10, 0x10);
  assert.deepEqual(
    [0x40, 0x44, 0x48].map((at) => endpoint.readConfig(at, 4)),
    [0x0002_0011, 0x6000, 0x7000],
  );
});

test('a guest that writes all ones reads the sizes of the base address registers', () => {
  const { endpoint } = rig();
  for (const at of [0x10, 0x14, 0x18, 0x1c, 0x30]) endpoint.writeConfig(at, 4, 0xffff_ffff);
  assert.deepEqual(
    [0x10, 0x14, 0x18, 0x1c, 0x30].map((at) => endpoint.readConfig(at, 4)),
    [0xffff_8000, 0, 0x0000_000c, 0xffff_fffe, 0],
  );
});

test('a base address register answers while memory space is on, and follows when it is moved', () => {
  const { endpoint, low, moves } = rig();
  endpoint.writeConfig(0x10, 4, 0xd000_8000);
  assert.equal(low.read(0x8004, 4), 0xffff_ffff);
  endpoint.writeConfig(0x04, 2, 0x0006);
  assert.equal(low.read(0x8004, 4), 0xab04);
  endpoint.writeConfig(0x10, 4, 0xd001_0000);
  assert.deepEqual([low.read(0x8004, 4), low.read(0x1_0004, 4)], [0xffff_ffff, 0xab04]);
  endpoint.writeConfig(0x04, 2, 0x0004);
  assert.equal(low.read(0x1_0004, 4), 0xffff_ffff);
  assert.deepEqual(moves, [0xd000_8000, undefined, 0xd001_0000, undefined]);
});

test('a 64-bit register answers above 4 GiB', () => {
  const { endpoint, high } = rig();
  endpoint.writeConfig(0x04, 2, 0x0002);
  endpoint.writeConfig(0x18, 4, 0);
  endpoint.writeConfig(0x1c, 4, 4);
  assert.equal(high.read(3 * 0x1_0000_0000 + 8, 4), 0xab08);
});

test('registers put over RAM, the local APIC or each other shadow nothing', () => {
  const { endpoint, low, moves } = rig();
  endpoint.writeConfig(0x04, 2, 0x0002);
  for (const address of [0x0010_0000, 0xcfff_8000, 0xf400_0000, 0xfee0_0000, 0xffff_8000]) {
    endpoint.writeConfig(0x10, 4, address);
  }
  assert.deepEqual(moves, []);
  assert.equal(low.read(0, 4), 0xffff_ffff);
});

test('the pin follows the function unless the guest disabled it or uses MSI-X', () => {
  const { endpoint, line } = rig();
  endpoint.interrupt = true;
  assert.deepEqual([line.level, endpoint.readConfig(0x06, 2) & 8], [true, 8]);
  endpoint.writeConfig(0x04, 2, 0x0400);
  assert.equal(line.level, false);
  assert.equal(endpoint.readConfig(0x06, 2) & 8, 8);
  endpoint.writeConfig(0x04, 2, 0);
  assert.equal(line.level, true);
  endpoint.writeConfig(0x42, 2, 0x8000);
  assert.equal(line.level, false);
  endpoint.writeConfig(0x42, 2, 0);
  endpoint.interrupt = false;
  assert.deepEqual([line.level, endpoint.readConfig(0x06, 2) & 8], [false, 0]);
});

test('the capability enables and masks MSI-X; its other bits keep', () => {
  const { endpoint, msix, sent } = rig();
  msix.table.write(12, 4, 0);
  msix.table.write(8, 4, 0x30);
  endpoint.writeConfig(0x42, 2, 0xffff);
  assert.equal(endpoint.readConfig(0x42, 2), 0xc002);
  msix.raise(0);
  assert.deepEqual(sent, []);
  endpoint.writeConfig(0x43, 1, 0x80);
  assert.deepEqual(sent, [0x30]);
});

test('a reset takes registers, command and MSI-X back, and keeps what firmware assigned', () => {
  const { endpoint, low, msix, line } = rig();
  endpoint.assign(0, 0xd002_0000);
  endpoint.assign(2, 0x8_0000_0000);
  endpoint.writeConfig(0x10, 4, 0xd000_0000);
  endpoint.writeConfig(0x04, 2, 0x0002);
  endpoint.writeConfig(0x42, 2, 0x8000);
  endpoint.interrupt = true;
  endpoint.reset();
  assert.deepEqual(
    [0x10, 0x18, 0x1c, 0x04].map((at) => endpoint.readConfig(at, 4)),
    [0xd002_0000, 0x0000_000c, 8, 0x0010_0000],
  );
  assert.deepEqual([msix.enabled, line.level, low.read(0, 1)], [false, false, 0xff]);
});

test('no sequence of configuration accesses throws or lets a function answer outside the windows', () => {
  const { endpoint, low, moves } = rig();
  let seed = 1;
  const next = (): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return seed >>> 8;
  };
  for (let n = 0; n < 20_000; n++) {
    const width = ([1, 2, 4] as const)[next() % 3]!;
    const offset = (next() % 4096) >> (next() & 1 ? 4 : 0);
    endpoint.writeConfig(offset, width, Math.imul(next(), 0x9e37_79b1) >>> 0);
    endpoint.readConfig(offset, width);
    low.read(next(), width);
  }
  for (const address of moves) if (address !== undefined) assert.ok(address >= LOW.start && address < LOW.end);
  assert.equal(endpoint.readConfig(0, 4), 0x1042_1af4);
});
