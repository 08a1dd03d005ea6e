import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemorySink, MemorySource } from '../../testing.ts';
import { features, VIRTIO_F_EVENT_IDX, VIRTIO_F_RING_PACKED } from '../defs.ts';
import { PLAIN, readable, readableBytes, TestDriver, TestMemory, writable } from '../queue/testing.ts';
import { driverOf, TRANSPORTS, UP_TO_DRIVER_OK } from '../transport/testing.ts';
import { ConsoleDevice } from './device.ts';
import type { ConsoleSize } from './port.ts';

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
    ports: [{ input, output, size }],
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

    test(`${name}: bytes over code are shown when the processors have dropped it, and others wait behind them`, async () => {
      const { receive, transmit, input, driver, text } = rig(kind, packed);
      const dropped = Promise.withResolvers<void>();
      let told = 0;
      driver.hostWrote = (parts) => {
        told += parts.reduce((sum, part) => sum + part.length, 0);
        return told === 4 ? dropped.promise : undefined;
      };
      receive.add([writable(4)]);
      receive.add([writable(4)]);
      input.feed(letters('code'));
      input.feed(letters('more'));
      transmit.add([readable(...letters('out'))]);
      driver.notify(1);
      await new Promise(setImmediate);
      assert.deepEqual([told, receive.takeUsed(), text()], [4, undefined, 'out'], 'the other direction goes on');
      driver.takeInterrupts();
      dropped.resolve();
      await new Promise(setImmediate);
      const parts = [receive.takeUsed(), receive.takeUsed()].map((used) => used && [...receive.contents(used)]);
      assert.deepEqual(parts, [letters('code'), letters('more')]);
      assert.deepEqual([told, driver.takeInterrupts()], [8, 1]);
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
  assert.equal(driver.registers.read(0x2004, 4), 1, 'one port');
  device.resized(0, { columns: 100, rows: 30 });
  assert.deepEqual([driver.takeInterrupts(), driver.registers.read(0x2000, 4)], [2, (30 << 16) | 100]);
});

test('without a terminal no size is offered, and none announced', () => {
  const { driver, device } = rig();
  assert.equal(device.features & 1n, 0n);
  device.resized(0, { columns: 100, rows: 30 });
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

// --- Several ports ---

/** struct virtio_console_control. */
const control = (port: number, event: number, value = 1): number[] => [port, 0, 0, 0, event, 0, value, 0];

function portsRig(kind: (typeof TRANSPORTS)[number] = 'pci') {
  const memory = new TestMemory(0x10_0000);
  const queues = Array.from({ length: 6 }, () => new TestDriver(memory, 64, PLAIN));
  const [receive0, , toDriver, toDevice, receive1, transmit1] = queues as TestDriver[] & { length: 6 };
  const inputs = [new MemorySource(), new MemorySource()] as const;
  const outputs = [new MemorySink(), new MemorySink()] as const;
  const size = { columns: 80, rows: 25 };
  const device = new ConsoleDevice({
    ports: [
      { input: inputs[0], output: outputs[0], size },
      { input: inputs[1], output: outputs[1] },
    ],
    yieldTurn: (resume) => resume(),
  });
  const driver = driverOf(kind, device, memory);
  const start = (): void =>
    driver.start(
      queues.map((queue) => queue.areas),
      features(0, 1),
    );
  start();
  const say = (message: readonly number[]): void => {
    toDevice!.add([readable(...message)]);
    driver.notify(3);
  };
  /** What the driver has been told since the last look. */
  const told = (): number[][] => {
    for (let n = 0; n < 8; n++) toDriver!.add([writable(16)]);
    driver.notify(2);
    const messages: number[][] = [];
    for (let used = toDriver!.takeUsed(); used; used = toDriver!.takeUsed()) {
      messages.push([...toDriver!.contents(used).subarray(0, used.written)]);
    }
    return messages;
  };
  const open = (port: number): void => {
    say(control(0xff, 0));
    told();
    say(control(port, 3));
    told();
    say(control(port, 6));
  };
  return {
    receive0: receive0!,
    toDevice: toDevice!,
    receive1: receive1!,
    transmit1: transmit1!,
    inputs,
    outputs,
    device,
    driver,
    say,
    told,
    open,
  };
}

for (const kind of TRANSPORTS) {
  test(`${kind}: a driver that is ready is told of every port, and what each is`, () => {
    const { say, told } = portsRig(kind);
    assert.deepEqual(told(), []);
    say(control(0, 0));
    assert.deepEqual(told(), [control(0, 1), control(1, 1)]);
    say(control(0, 3));
    // A console of 80 columns and 25 rows, and open.
    assert.deepEqual(told(), [control(0, 4), [...control(0, 5), 80, 0, 25, 0], control(0, 6)]);
    say(control(1, 3));
    assert.deepEqual(told(), [control(1, 4), control(1, 6)]);
  });

  test(`${kind}: input waits until its port is open, and goes to that port`, () => {
    const { inputs, receive0, receive1, driver, open, say } = portsRig(kind);
    receive0.add([writable(8)]);
    receive1.add([writable(8)]);
    inputs[1].feed(letters('early'));
    driver.notify(4);
    assert.equal(receive1.takeUsed(), undefined);
    open(1);
    const used = receive1.takeUsed();
    assert.deepEqual(used && [...receive1.contents(used).subarray(0, used.written)], letters('early'));
    assert.equal(receive0.takeUsed(), undefined);
    say(control(1, 6, 0));
    receive1.add([writable(8)]);
    inputs[1].feed(letters('late'));
    assert.equal(receive1.takeUsed(), undefined);
  });
}

test('output goes to its port, open or not', () => {
  const { transmit1, outputs, driver } = portsRig();
  transmit1.add([readable(...letters('log'))]);
  driver.notify(5);
  assert.deepEqual([outputs[0].bytes, outputs[1].bytes], [[], letters('log')]);
});

test('a terminal that changes while its port is open is announced to the port', () => {
  const { device, told, open } = portsRig();
  device.resized(0, { columns: 100, rows: 30 });
  assert.deepEqual(told(), []);
  open(0);
  told();
  device.resized(0, { columns: 132, rows: 43 });
  device.resized(1, { columns: 1, rows: 1 });
  assert.deepEqual(told(), [[...control(0, 5), 132, 0, 43, 0]]);
});

test('control messages of ports that are not there, too short, unknown or negative change nothing', () => {
  const { say, told, driver, inputs, receive0 } = portsRig();
  for (const message of [
    control(2, 3),
    control(0xff, 6),
    [0, 0, 0, 0, 3, 0, 1],
    [],
    control(0, 99),
    control(0, 0, 0),
    control(0, 3, 0),
  ]) {
    say(message);
  }
  assert.deepEqual(told(), []);
  receive0.add([writable(8)]);
  inputs[0].feed([1]);
  assert.equal(receive0.takeUsed(), undefined);
  assert.equal(driver.status, UP_TO_DRIVER_OK);
});

test('a driver that asks for ever and takes no answer costs nothing, and gets each answer once', () => {
  const { say, told, toDevice } = portsRig();
  for (let n = 0; n < 1000; n++) {
    say(control(0, 0));
    say(control(0, 3));
    while (toDevice.takeUsed());
  }
  assert.equal(told().length, 5);
  assert.deepEqual(told(), []);
});
