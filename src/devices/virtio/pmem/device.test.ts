import assert from 'node:assert/strict';
import { test } from 'node:test';
import { features, VIRTIO_F_RING_PACKED } from '../defs.ts';
import { type Buffer, PLAIN, readable, TestDriver, TestMemory, writable } from '../queue/testing.ts';
import { driverOf, TRANSPORTS, UP_TO_DRIVER_OK } from '../transport/testing.ts';
import { PmemDevice } from './device.ts';

const FLUSH: readonly Buffer[] = [readable(0, 0, 0, 0), writable(4)];
const OK = [0, 0, 0, 0];
const EIO = [1, 0, 0, 0];
const NEEDS_RESET = 0x40;

/** A flush of the host that ends when the test says so. */
class Flushes {
  readonly underWay: { resolve: () => void; reject: (error: Error) => void }[] = [];
  started = 0;
  readonly flush = (): Promise<void> => {
    this.started++;
    return new Promise((resolve, reject) => void this.underWay.push({ resolve, reject }));
  };
  async end(error?: Error): Promise<void> {
    const flush = this.underWay.shift() ?? assert.fail('nothing is under way');
    if (error === undefined) flush.resolve();
    else flush.reject(error);
    await Promise.resolve();
    await Promise.resolve();
  }
}

for (const kind of TRANSPORTS) {
  for (const packed of [false, true]) {
    const negotiated = features(...(packed ? [VIRTIO_F_RING_PACKED] : []));
    const rig = ({ readOnly = false } = {}) => {
      const memory = new TestMemory(0x10_0000);
      const queue = new TestDriver(memory, 256, { ...PLAIN, packed });
      const host = new Flushes();
      const turns: (() => void)[] = [];
      const errors: string[] = [];
      const device = new PmemDevice({
        name: 'pmem 0',
        range: { address: 0x1_0800_0000, bytes: 0x4020_0000 },
        readOnly,
        flush: host.flush,
        yieldTurn: (resume) => void turns.push(resume),
        onError: (message) => void errors.push(message),
      });
      const driver = driverOf(kind, device, memory);
      driver.start([queue.areas], negotiated);
      assert.equal(driver.status, UP_TO_DRIVER_OK);
      /** What came back: the bytes written to each chain, as the used ring counts them. */
      const answers = (): number[][] => {
        const all: number[][] = [];
        for (let used = queue.takeUsed(); used; used = queue.takeUsed()) {
          all.push([...queue.contents(used)].slice(0, used.written));
        }
        return all;
      };
      return { memory, queue, device, driver, host, turns, errors, answers };
    };
    const name = `${kind}, ${packed ? 'packed' : 'split'}`;

    test(`${name}: the configuration space says where the range is and how long`, () => {
      const { device } = rig();
      assert.deepEqual(
        [0, 4, 8, 12].map((offset) => device.readConfig(offset, 4)),
        [0x0800_0000, 1, 0x4020_0000, 0],
      );
      assert.equal(device.configBytes, 16);
      assert.equal(device.readConfig(6, 1), 0);
      assert.equal(device.readConfig(4, 2), 1);
    });

    test(`${name}: a flush is answered when the host has flushed, and not before`, async () => {
      const { queue, driver, host, answers } = rig();
      queue.add(FLUSH);
      driver.notify(0);
      assert.equal(host.started, 1);
      assert.deepEqual(answers(), []);
      await host.end();
      assert.deepEqual(answers(), [OK]);
      assert.equal(driver.takeInterrupts(), 1);
    });

    test(`${name}: flushes that come while one is under way share the next, which begins behind them`, async () => {
      const { queue, driver, host, answers } = rig();
      queue.add(FLUSH);
      driver.notify(0);
      for (let n = 0; n < 3; n++) {
        queue.add(FLUSH);
        driver.notify(0);
      }
      assert.equal(host.started, 1);
      await host.end();
      assert.deepEqual(answers(), [OK]);
      assert.equal(host.started, 2);
      await host.end();
      assert.deepEqual(answers(), [OK, OK, OK]);
      assert.equal(host.started, 2);
    });

    test(`${name}: an error of the host is an error of every flush that it covers, told to the user once`, async () => {
      const { queue, driver, host, answers, errors } = rig();
      for (let n = 0; n < 2; n++) {
        queue.add(FLUSH);
        queue.add(FLUSH);
        driver.notify(0);
        await host.end(new Error('no space'));
        assert.deepEqual(answers(), [EIO, EIO]);
      }
      assert.deepEqual(errors, ['pmem 0: flush failed: no space']);
      queue.add(FLUSH);
      driver.notify(0);
      await host.end();
      assert.deepEqual(answers(), [OK]);
    });

    test(`${name}: read-only, a flush is refused and the host does nothing`, () => {
      const { queue, driver, host, answers } = rig({ readOnly: true });
      queue.add(FLUSH);
      driver.notify(0);
      assert.deepEqual(answers(), [EIO]);
      assert.equal(host.started, 0);
    });

    test(`${name}: a request of an unknown type, or cut short, is an error; one that cannot be answered comes back`, () => {
      const { queue, driver, host, answers } = rig();
      queue.add([readable(1, 0, 0, 0), writable(4)]);
      queue.add([readable(0, 0, 0, 1), writable(4)]);
      queue.add([readable(0, 0, 0), writable(4)]);
      queue.add([writable(4)]);
      queue.add([readable(0, 0, 0, 0), writable(3)]);
      queue.add([readable(0, 0, 0, 0)]);
      driver.notify(0);
      assert.deepEqual(answers(), [EIO, EIO, EIO, EIO, [], []]);
      assert.equal(host.started, 0);
      assert.equal(driver.status, UP_TO_DRIVER_OK);
    });

    test(`${name}: request and answer may be spread over buffers, and longer than they need to be`, async () => {
      const { queue, driver, host, answers } = rig();
      queue.add([readable(0, 0), readable(0, 0, 9, 9), writable(1), writable(100)]);
      driver.notify(0);
      await host.end();
      assert.deepEqual(answers(), [OK]);
    });

    test(`${name}: a reset waits for the flush under way, and neither it nor one that waited is answered`, async () => {
      const { memory, queue, driver, host, answers } = rig();
      for (let n = 0; n < 2; n++) {
        queue.add(FLUSH);
        driver.notify(0);
      }
      let over = false;
      const reset = driver.resetMachine().then(() => {
        over = true;
      });
      await new Promise(setImmediate);
      assert.equal(over, false);
      await host.end();
      await reset;
      assert.deepEqual(answers(), []);
      assert.equal(driver.takeInterrupts(), 0);
      assert.equal(host.started, 1);
      const next = new TestDriver(memory, 8, { ...PLAIN, packed });
      driver.start([next.areas], negotiated);
      next.add(FLUSH);
      driver.notify(0);
      await host.end();
      assert.equal(next.takeUsed()?.written, 4);
      await driver.resetMachine();
    });

    test(`${name}: a broken ring needs a reset, and the device works after it`, async () => {
      const { memory, queue, driver, host } = rig();
      queue.addSegments([{ address: 0xffff_0000, bytes: 4, writable: false }]);
      driver.notify(0);
      assert.equal(driver.status, UP_TO_DRIVER_OK | NEEDS_RESET);
      assert.deepEqual(driver.faults, ['pmem 0: queue 0: buffer-outside-memory']);
      driver.status = 0;
      const next = new TestDriver(memory, 8, { ...PLAIN, packed });
      driver.start([next.areas], negotiated);
      next.add(FLUSH);
      driver.notify(0);
      await host.end();
      assert.equal(next.takeUsed()?.written, 4);
    });
  }
}
