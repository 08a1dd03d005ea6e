import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemorySink, MemorySource } from '../../testing.ts';
import { features, VIRTIO_F_EVENT_IDX, VIRTIO_F_RING_PACKED } from '../defs.ts';
import { PLAIN, readable, readableBytes, TestDriver, TestMemory, writable } from '../queue/testing.ts';
import { driverOf, TRANSPORTS, UP_TO_DRIVER_OK } from '../transport/testing.ts';
import { ConsoleDevice, type ConsoleSize } from './device.ts';

const letters = (text: string): number[] => [...text].map((letter) => letter.charCodeAt(0));

function rig(kind: (typeof TRANSPORTS)[number] = 'pci', packed = false, size?: ConsoleSize) {
  const memory = new TestMemory(0x10_0000);
  const format = { ...PLAIN, packed, eventIndex: true };
  const receive = new TestDriver(memory, 16, format);
  const transmit = new TestDriver(memory, 256, format);
  const input = new MemorySource();
  const output = new MemorySink();
  const turns: (() => void)[] = [];
  const device = new ConsoleDevice({
    name: 'console',
    input,
    output,
    size,
    yieldTurn: (resume) => void turns.push(resume),
  });
  const driver = driverOf(kind, device, memory);
  const start = (): void =>
    driver.start(
      [receive.areas, transmit.areas],
      features(VIRTIO_F_EVENT_IDX, ...(packed ? [VIRTIO_F_RING_PACKED] : []), ...(size ? [0] : [])),
    );
  receive.interrupts = true;
  transmit.interrupts = true;
  start();
  const text = (): string => String.fromCharCode(...output.bytes);
  return { memory, receive, transmit, input, output, device, driver, turns, start, text };
}

for (const kind of TRANSPORTS) {
  for (const packed of [false, true]) {
    const name = `${kind}, ${packed ? 'packed' : 'split'}`;

    test(`${name}: what the guest sends comes out in order, in one interrupt`, () => {
      const { transmit, driver, text } = rig(kind, packed);
      transmit.add([readable(...letters('hel')), readable(...letters('lo '))]);
      transmit.add([readable(...letters('world'))]);
      driver.notify(1);
      assert.equal(text(), 'hello world');
      assert.equal(driver.takeInterrupts(), 1);
      assert.deepEqual([transmit.takeUsed()?.written, transmit.takeUsed()?.written], [0, 0]);
    });

    test(`${name}: what the host has goes into the guest's buffers, and waits with the host when there are none`, () => {
      const { receive, input, driver } = rig(kind, packed);
      input.feed(letters('abcdef'));
      receive.add([writable(4)]);
      driver.notify(0);
      const first = receive.takeUsed();
      assert.ok(first);
      assert.deepEqual([first.written, [...receive.contents(first)]], [4, letters('abcd')]);
      input.feed(letters('gh'));
      assert.equal(receive.takeUsed(), undefined);
      receive.add([writable(10)]);
      receive.add([writable(10)]);
      driver.notify(0);
      const parts = [receive.takeUsed(), receive.takeUsed()].map((chain) => chain && [...receive.contents(chain)]);
      assert.deepEqual(
        parts.map((part) => part?.slice(0, 2)),
        [letters('ef'), letters('gh')],
      );
    });
  }
}

test('bytes that were there before the driver are its first', () => {
  const { receive, input, driver, start } = rig();
  driver.status = 0;
  input.feed(letters('early'));
  receive.add([writable(10)]);
  start();
  assert.equal(receive.takeUsed()?.written, 5);
});

test('a slow reader holds the guest back, and the rest follows when it has caught up', () => {
  const { transmit, output, driver, text } = rig();
  output.congested = true;
  transmit.add([readable(...letters('later'))]);
  driver.notify(1);
  assert.deepEqual([text(), transmit.takeUsed()], ['', undefined]);
  output.drain();
  assert.equal(text(), 'later');
  assert.equal(transmit.takeUsed()?.written, 0);
});

test('a chain of megabytes is sent in pieces and turns', () => {
  const { transmit, output, driver, turns } = rig();
  transmit.addSegments(Array.from({ length: 3 }, () => ({ address: 0, bytes: 0x4_0000, writable: false })));
  driver.notify(1);
  assert.equal(output.bytes.length, 64 * 4096);
  assert.equal(transmit.takeUsed(), undefined);
  for (let turn = turns.shift(); turn; turn = turns.shift()) turn();
  assert.equal(output.bytes.length, 3 * 0x4_0000);
  assert.ok(transmit.takeUsed());
});

test('a reset in the middle of a chain forgets it', () => {
  const { transmit, output, driver, turns, start } = rig();
  transmit.addSegments([{ address: 0, bytes: 0x8_0000, writable: false }]);
  driver.notify(1);
  driver.status = 0;
  const { length } = output.bytes;
  for (let turn = turns.shift(); turn; turn = turns.shift()) turn();
  assert.equal(output.bytes.length, length);
  start();
  assert.equal(driver.status, UP_TO_DRIVER_OK);
});

test('the size is in the configuration, and a change of it is announced', () => {
  const { driver, device } = rig('pci', false, { columns: 80, rows: 25 });
  assert.equal(driver.registers.read(0x2000, 4), (25 << 16) | 80);
  assert.equal(driver.registers.read(0x2004, 4), 1);
  device.resized({ columns: 100, rows: 30 });
  assert.deepEqual([driver.takeInterrupts(), driver.registers.read(0x2000, 4)], [2, (30 << 16) | 100]);
});

test('without a terminal no size is offered, and none announced', () => {
  const { driver, device } = rig();
  assert.equal(device.features & 1n, 0n);
  device.resized({ columns: 100, rows: 30 });
  assert.deepEqual([driver.takeInterrupts(), driver.registers.read(0x2000, 4)], [0, 0]);
});

test('an emergency write is a character at any time, but for a reader that is slow', () => {
  const { driver, output, text } = rig();
  driver.status = 0;
  driver.registers.write(0x2008, 4, 0x141);
  driver.registers.write(0x2000, 4, 0x42);
  output.congested = true;
  driver.registers.write(0x2008, 4, 0x43);
  assert.equal(text(), 'A');
});

test('a broken ring on either queue needs a reset', () => {
  for (const index of [0, 1]) {
    const { receive, transmit, input, driver } = rig();
    input.feed([1]);
    (index === 0 ? receive : transmit).offer(999);
    driver.notify(index);
    assert.equal(driver.status, UP_TO_DRIVER_OK | 0x40);
    assert.deepEqual(driver.faults, [`console: queue ${index}: descriptor-out-of-range`]);
  }
});

test('a buffer for receiving that cannot be written comes back empty, and the bytes go into the next', () => {
  const { receive, input, driver } = rig();
  receive.add([readableBytes(new Uint8Array(4))]);
  receive.add([writable(4)]);
  input.feed(letters('ab'));
  driver.notify(0);
  assert.deepEqual([receive.takeUsed()?.written, receive.takeUsed()?.written], [0, 2]);
});
