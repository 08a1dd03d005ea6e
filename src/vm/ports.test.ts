import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PortTable } from '../bus/port-table.ts';
import { createPlatform } from '../devices/platform/platform.ts';
import { FakeLine, FakeTime } from '../devices/testing.ts';
import { testMachine } from '../irqchip/testing.ts';
import { portOwner } from './ports.ts';

test('a port has an owner exactly when a device of the machine answers there', () => {
  const time = new FakeTime();
  const ports = new PortTable(new SharedArrayBuffer(131072), { ports: 0 });
  ports.initialize();
  const platform = createPlatform({
    ports,
    clock: time,
    wallClock: { milliseconds: () => 0 },
    timers: time.timers,
    line: () => new FakeLine(),
    events: { powerOff() {}, reset() {}, panic() {}, debugExit() {} },
    pmTimerOrigin: () => 0,
    ramBelow4GiB: 64 * 2 ** 20,
    vcpuCount: 1,
  });
  const buses = [platform.portBus, testMachine().ports];
  const wrong: number[] = [];
  for (let port = 0; port < 0x1_0000; port++) {
    const answers = buses.some((bus) => bus.find(port) !== undefined);
    if (answers !== (portOwner(port, 1) !== undefined)) wrong.push(port);
  }
  assert.deepEqual(wrong, []);
});

test('four ports are free only when each is', () => {
  assert.equal(portOwner(0xf4, 4), undefined);
  assert.equal(portOwner(0x3f4, 4), undefined);
  assert.equal(portOwner(0x3f5, 4), 'COM1');
  assert.equal(portOwner(0x3ff, 4), 'COM1');
  assert.equal(portOwner(0x400, 4), 'the debug console');
});
