import assert from 'node:assert/strict';
import { test } from 'node:test';
import { features, VIRTIO_F_IN_ORDER, VIRTIO_F_RING_PACKED } from '../defs.ts';
import { PLAIN, readable, TestDriver, TestMemory, writable } from '../queue/testing.ts';
import { driverOf, TRANSPORTS, UP_TO_DRIVER_OK } from '../transport/testing.ts';
import { MAX_RANDOM_BYTES, RngDevice } from './device.ts';

for (const kind of TRANSPORTS) {
  for (const packed of [false, true]) {
    const rig = () => {
      const memory = new TestMemory(0x10_0000);
      const queue = new TestDriver(memory, 256, { ...PLAIN, packed, inOrder: true });
      const turns: (() => void)[] = [];
      let next = 0;
      const rng = new RngDevice({
        random: (into) => void into.fill(++next),
        yieldTurn: (resume) => void turns.push(resume),
      });
      const driver = driverOf(kind, rng, memory);
      driver.start([queue.areas], features(VIRTIO_F_IN_ORDER, ...(packed ? [VIRTIO_F_RING_PACKED] : [])));
      assert.equal(driver.status, UP_TO_DRIVER_OK);
      return { memory, queue, rng, driver, turns };
    };
    const name = `${kind}, ${packed ? 'packed' : 'split'}`;

    test(`${name}: buffers are filled, with one interrupt for a batch`, () => {
      const { queue, driver } = rig();
      queue.add([writable(3), writable(2)]);
      queue.add([writable(4)]);
      driver.notify(0);
      assert.equal(driver.takeInterrupts(), 1);
      const used = [queue.takeUsed(), queue.takeUsed()];
      assert.deepEqual(
        used.map((chain) => chain && [chain.written, [...queue.contents(chain)]]),
        [
          [5, [1, 1, 1, 1, 1]],
          [4, [2, 2, 2, 2]],
        ],
      );
    });

    test(`${name}: bytes over code are shown when the processors have dropped it, and what comes meanwhile after them`, async () => {
      const { queue, driver } = rig();
      const dropped = Promise.withResolvers<void>();
      const told: number[] = [];
      driver.hostWrote = (parts) => {
        told.push(parts.reduce((sum, part) => sum + part.length, 0));
        return told.length === 1 ? dropped.promise : undefined;
      };
      queue.add([writable(3)]);
      queue.add([writable(MAX_RANDOM_BYTES + 1)]);
      driver.notify(0);
      queue.add([writable(5)]);
      driver.notify(0);
      await new Promise(setImmediate);
      assert.deepEqual([told, queue.takeUsed(), driver.takeInterrupts()], [[3 + MAX_RANDOM_BYTES], undefined, 0]);
      dropped.resolve();
      await new Promise(setImmediate);
      const lengths = [queue.takeUsed(), queue.takeUsed(), queue.takeUsed()].map((used) => used?.written);
      assert.deepEqual(
        [lengths, told, driver.takeInterrupts()],
        [[3, MAX_RANDOM_BYTES, 5], [3 + MAX_RANDOM_BYTES, 5], 1],
      );
    });

    test(`${name}: bytes that may be shown after a reset are not, and the next driver has its own`, async () => {
      const { queue, driver, memory } = rig();
      const dropped = Promise.withResolvers<void>();
      driver.hostWrote = () => dropped.promise;
      queue.add([writable(3)]);
      driver.notify(0);
      driver.status = 0;
      driver.hostWrote = () => undefined;
      const next = new TestDriver(memory, 8, { ...PLAIN, packed });
      driver.start([next.areas], features(...(packed ? [VIRTIO_F_RING_PACKED] : [])));
      next.add([writable(4)]);
      driver.notify(0);
      dropped.resolve();
      await new Promise(setImmediate);
      assert.deepEqual([queue.takeUsed(), next.takeUsed()?.written], [undefined, 4]);
    });

    test(`${name}: a long buffer gets the greatest number of bytes and no more`, () => {
      const { queue, driver } = rig();
      queue.add([writable(MAX_RANDOM_BYTES + 100)]);
      driver.notify(0);
      const used = queue.takeUsed();
      assert.equal(used?.written, MAX_RANDOM_BYTES);
      assert.equal(queue.contents(used)[MAX_RANDOM_BYTES], 0);
    });

    test(`${name}: a buffer that can only be read comes back with nothing`, () => {
      const { queue, driver } = rig();
      queue.add([readable(9, 9)]);
      driver.notify(0);
      assert.equal(queue.takeUsed()?.written, 0);
      assert.equal(driver.status, UP_TO_DRIVER_OK);
    });

    test(`${name}: a flood is served in turns`, () => {
      const { queue, driver, turns } = rig();
      for (let n = 0; n < 100; n++) queue.add([writable(1)]);
      driver.notify(0);
      let first = 0;
      while (queue.takeUsed()) first++;
      driver.notify(0);
      assert.equal(queue.takeUsed(), undefined, 'not before its turn');
      assert.equal(turns.length, 1);
      turns[0]?.();
      let rest = 0;
      while (queue.takeUsed()) rest++;
      assert.deepEqual([first, rest, turns.length], [64, 36, 1]);
    });

    test(`${name}: a broken ring needs a reset, and a turn that comes after a reset finds nothing to do`, () => {
      const { queue, driver, turns, memory } = rig();
      for (let n = 0; n < 100; n++) queue.add([writable(1)]);
      driver.notify(0);
      driver.status = 0;
      turns[0]?.();
      const next = new TestDriver(memory, 8, { ...PLAIN, packed });
      driver.start([next.areas], features(...(packed ? [VIRTIO_F_RING_PACKED] : [])));
      next.addSegments([{ address: 0xffff_0000, bytes: 1, writable: true }]);
      driver.notify(0);
      assert.equal(driver.status, UP_TO_DRIVER_OK | 0x40);
      assert.deepEqual(driver.faults, ['rng: queue 0: buffer-outside-memory']);
    });
  }
}
