import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeLine } from '../../testing.ts';
import type { DriverSession } from '../device.ts';
import { TestMemory } from '../queue/testing.ts';
import { VirtioMmio } from './mmio.ts';

function rig() {
  const line = new FakeLine();
  const active: { session?: DriverSession } = {};
  const mmio = new VirtioMmio({
    device: {
      name: 'probe',
      type: 2,
      features: 0n,
      queueSizes: [8],
      configBytes: 0,
      readConfig: () => 0xff,
      writeConfig() {},
      onConfigChanged() {},
      activate: (session) => void (active.session = session),
      notify() {},
      reset: () => undefined,
    },
    memory: new TestMemory(0x1_0000),
    line,
  });
  return { mmio, line, active };
}

test('the identity is "virt", version 2, and the device type', () => {
  const { mmio } = rig();
  assert.deepEqual(
    [0x00, 0x04, 0x08, 0x0c].map((offset) => mmio.read(offset, 4)),
    [0x7472_6976, 2, 2, 0x1af4],
  );
});

test('narrow and misaligned accesses to registers read as zero and write nothing', () => {
  const { mmio } = rig();
  assert.deepEqual([mmio.read(0, 1), mmio.read(0, 2), mmio.read(2, 4), mmio.read(1, 1)], [0, 0, 0, 0]);
  mmio.write(0x70, 1, 1);
  mmio.write(0x70, 2, 1);
  mmio.write(0x71, 4, 1);
  assert.equal(mmio.read(0x70, 4), 0);
});

test('a shared memory region that is not there has the length of all ones', () => {
  const { mmio } = rig();
  mmio.write(0xac, 4, 0);
  assert.deepEqual([mmio.read(0xb0, 4), mmio.read(0xb4, 4)], [0xffff_ffff, 0xffff_ffff]);
});

test('the line is released when every reason is acknowledged, and by a reset', () => {
  const { mmio, line, active } = rig();
  const start = (): void => {
    for (const status of [1, 3]) mmio.write(0x70, 4, status);
    mmio.write(0x24, 4, 1);
    mmio.write(0x20, 4, 1);
    for (const status of [11, 15]) mmio.write(0x70, 4, status);
  };
  start();
  active.session?.interrupt(0);
  active.session?.needsReset('test');
  assert.deepEqual([mmio.read(0x60, 4), line.level], [2 | 1, true]);
  mmio.write(0x64, 4, 1);
  assert.deepEqual([mmio.read(0x60, 4), line.level], [2, true]);
  mmio.write(0x64, 4, 2);
  assert.deepEqual([mmio.read(0x60, 4), line.level], [0, false]);
  mmio.write(0x70, 4, 0);
  start();
  active.session?.interrupt(0);
  mmio.write(0x70, 4, 0);
  assert.deepEqual([mmio.read(0x60, 4), line.level], [0, false]);
});
