import assert from 'node:assert/strict';
import { test } from 'node:test';
import { features, VIRTIO_F_RING_PACKED } from '../defs.ts';
import { PLAIN, readableBytes, type Segment, TestDriver, TestMemory } from '../queue/testing.ts';
import { driverOf, TRANSPORTS, UP_TO_DRIVER_OK } from '../transport/testing.ts';
import * as B from './defs.ts';
import { BalloonDevice, type BalloonOptions } from './device.ts';
import { pageNumbers, statistics } from './testing.ts';

const PAGE = 0x1000;
const RAM_PAGES = 4096;
const MIB = 0x10_0000;
const BASIC = [B.VIRTIO_BALLOON_F_MUST_TELL_HOST, B.VIRTIO_BALLOON_F_STATS_VQ, B.VIRTIO_BALLOON_F_DEFLATE_ON_OOM];

interface RigOptions {
  readonly kind?: (typeof TRANSPORTS)[number];
  readonly packed?: boolean;
  /** Beside the ring's format. */
  readonly wanted?: readonly number[];
  /** How many queues the driver sets up. */
  readonly queues?: number;
  readonly device?: Partial<BalloonOptions>;
  /** Released pages become zeros, as on a host; else lists may name the rings too. */
  readonly zeroes?: boolean;
}

function rig(options: RigOptions = {}) {
  const { kind = 'pci', packed = false, wanted = BASIC, queues: count = 3, device = {}, zeroes = false } = options;
  const memory = new TestMemory(RAM_PAGES * PAGE);
  const queues = Array.from({ length: count }, () => new TestDriver(memory, 128, { ...PLAIN, packed }));
  const turns: (() => void)[] = [];
  /** First page and number of pages. */
  const released: [number, number][] = [];
  const balloon = new BalloonDevice({
    release(part) {
      released.push([(part.byteOffset - memory.all.byteOffset) / PAGE, part.length / PAGE]);
      if (zeroes) part.fill(0);
      return true;
    },
    memoryBytes: RAM_PAGES * PAGE,
    targetBytes: 0,
    pageReporting: false,
    yieldTurn: (resume) => void turns.push(resume),
    ...device,
  });
  const driver = driverOf(kind, balloon, memory);
  const negotiated = features(...wanted, ...(packed ? [VIRTIO_F_RING_PACKED] : []));
  driver.start(
    queues.map(({ areas }) => areas),
    negotiated,
  );
  assert.equal(driver.status, UP_TO_DRIVER_OK);
  const give = (queue: number, ...pages: number[]): void => {
    queues[queue]!.add([readableBytes(pageNumbers(pages))]);
    driver.notify(queue);
  };
  return { memory, queues, turns, released, balloon, driver, give, negotiated };
}

for (const kind of TRANSPORTS) {
  for (const packed of [false, true]) {
    const name = `${kind}, ${packed ? 'packed' : 'split'}`;

    test(`${name}: pages that the driver gives go to the host in runs, then the driver has its buffer back`, () => {
      const { queues, released, driver, give, balloon } = rig({ kind, packed });
      give(B.INFLATE_QUEUE, 1001, 1000, 2000);
      assert.deepEqual(released, [
        [1000, 2],
        [2000, 1],
      ]);
      assert.equal(queues[B.INFLATE_QUEUE]!.takeUsed()?.written, 0);
      assert.equal(driver.takeInterrupts(), 1);
      give(B.DEFLATE_QUEUE, 1000, 1001);
      assert.notEqual(queues[B.DEFLATE_QUEUE]!.takeUsed(), undefined);
      const { inflatedBytes, deflatedBytes, releasedBytes } = balloon.counters;
      assert.deepEqual([inflatedBytes, deflatedBytes, releasedBytes], [3 * PAGE, 2 * PAGE, 3 * PAGE]);
      assert.equal(released.length, 2);
    });

    test(`${name}: another size is told, and the driver says how far it has come`, () => {
      const { balloon, driver } = rig({ kind, packed, device: { targetBytes: 2 * MIB } });
      const read = (offset: number): number => driver.registers.read(driver.configOffset + offset, 4);
      assert.deepEqual([read(B.BALLOON_CONFIG_NUM_PAGES), read(B.BALLOON_CONFIG_ACTUAL)], [512, 0]);
      const generation = driver.configGeneration;
      balloon.resize(3 * MIB + PAGE - 1);
      assert.equal(driver.takeInterrupts(), 2);
      assert.notEqual(driver.configGeneration, generation);
      assert.deepEqual([read(B.BALLOON_CONFIG_NUM_PAGES), balloon.targetBytes], [768, 3 * MIB]);
      driver.registers.write(driver.configOffset + B.BALLOON_CONFIG_NUM_PAGES, 4, 1);
      driver.registers.write(driver.configOffset + B.BALLOON_CONFIG_ACTUAL, 4, 700);
      assert.deepEqual([balloon.targetBytes, balloon.actualBytes], [3 * MIB, 700 * PAGE]);
    });

    test(`${name}: statistics are asked for with the driver's buffer, and come in the next`, async () => {
      const { balloon, queues, driver } = rig({ kind, packed });
      const queue = queues[B.STATISTICS_QUEUE]!;
      queue.add([readableBytes(statistics([4, 1n]))]);
      driver.notify(B.STATISTICS_QUEUE);
      assert.equal(queue.takeUsed(), undefined, 'nobody asked');
      const [one, two] = [balloon.statistics(), balloon.statistics()];
      assert.notEqual(queue.takeUsed(), undefined);
      assert.equal(driver.takeInterrupts(), 1);
      assert.equal(queue.takeUsed(), undefined);
      queue.add([readableBytes(statistics([4, 77n], [5, 88n]))]);
      driver.notify(B.STATISTICS_QUEUE);
      const expected = { freeBytes: 77, totalBytes: 88 };
      assert.deepEqual(await Promise.all([one, two]), [expected, expected]);
    });

    test(`${name}: reported memory goes to the host, and the driver has its buffers back`, () => {
      const wanted = [...BASIC, B.VIRTIO_BALLOON_F_PAGE_REPORTING];
      const { balloon, queues, driver, released } = rig({
        ...{ kind, packed, wanted, queues: 5 },
        device: { pageReporting: true },
      });
      const buffer = (page: number, pages: number): Segment => ({
        address: page * PAGE,
        bytes: pages * PAGE,
        writable: true,
      });
      queues[B.REPORTING_QUEUE]!.addSegments([buffer(1024, 512), buffer(2048, 1024)]);
      driver.notify(B.REPORTING_QUEUE);
      assert.deepEqual(released, [
        [1024, 512],
        [2048, 1024],
      ]);
      assert.equal(queues[B.REPORTING_QUEUE]!.takeUsed()?.written, 0);
      assert.deepEqual([balloon.counters.reportedBytes, balloon.counters.releasedBytes], [6 * MIB, 6 * MIB]);
    });
  }
}

test('it offers what crosvm offers, and page reporting with its queues only when it is to', () => {
  const plain = rig();
  assert.equal(plain.driver.deviceFeatures & 0x3fn, 0b111n);
  assert.equal(plain.balloon.queueSizes.length, 3);
  const reporting = rig({ device: { pageReporting: true } });
  assert.equal(reporting.driver.deviceFeatures & 0x3fn, 0b10_0111n);
  assert.equal(reporting.balloon.queueSizes.length, 5);
});

for (const [numbering, wanted, index] of [
  ['with the queue of free page hints', BASIC, 4],
  ['as Linux counts', BASIC, 3],
  ['as Linux counts without statistics', [], 2],
] as const) {
  test(`the queue of reports is found where the driver has it: ${numbering}`, () => {
    const { queues, driver, released } = rig({
      wanted: [...wanted, B.VIRTIO_BALLOON_F_PAGE_REPORTING],
      queues: index + 1,
      device: { pageReporting: true },
    });
    queues[index]!.addSegments([{ address: 16 * PAGE, bytes: 4 * PAGE, writable: true }]);
    driver.notify(index);
    assert.deepEqual(released, [[16, 4]]);
  });
}

test('what is no RAM, and pages that are cut off, are left alone; the device goes on', () => {
  const { queues, released, driver, give, balloon } = rig();
  give(B.INFLATE_QUEUE, RAM_PAGES, 0xffff_ffff, 5);
  queues[B.INFLATE_QUEUE]!.add([readableBytes(pageNumbers([6, 7]).subarray(0, 7))]);
  driver.notify(B.INFLATE_QUEUE);
  assert.deepEqual(released, [
    [5, 1],
    [6, 1],
  ]);
  assert.deepEqual([balloon.counters.inflatedBytes, balloon.counters.refusedBytes], [2 * PAGE, 2 * PAGE]);
  assert.equal(driver.status, UP_TO_DRIVER_OK);
});

test('only the whole pages of a report are released, and nothing of a buffer that is to be read', () => {
  const wanted = [...BASIC, B.VIRTIO_BALLOON_F_PAGE_REPORTING];
  const { queues, driver, released } = rig({ wanted, queues: 5, device: { pageReporting: true } });
  queues[4]!.addSegments([
    { address: 64 * PAGE, bytes: PAGE, writable: false },
    { address: 100 * PAGE + 1, bytes: 3 * PAGE, writable: true },
    { address: 200 * PAGE, bytes: PAGE - 1, writable: true },
  ]);
  driver.notify(4);
  assert.deepEqual(released, [[101, 2]]);
});

test('where the host cannot take memory back, it is counted and nothing else happens', () => {
  const { driver, give, balloon, memory } = rig({ device: { release: () => false } });
  driver.hostWrote = () => assert.fail('nothing was written');
  memory.all[1000 * PAGE] = 1;
  give(B.INFLATE_QUEUE, 1000);
  assert.deepEqual([balloon.counters.inflatedBytes, balloon.counters.releasedBytes], [PAGE, 0]);
  assert.equal(memory.all[1000 * PAGE], 1);
});

test('a list longer than a turn is done in turns, and the driver has it back after the last', () => {
  const { queues, turns, released, give, balloon } = rig();
  // Every second page, so that no two go together.
  const pages = Array.from({ length: 2500 }, (_, n) => (n * 2) % RAM_PAGES);
  give(B.INFLATE_QUEUE, ...pages);
  const counts = [balloon.counters.inflatedBytes / PAGE];
  while (turns.length > 0) {
    assert.equal(queues[B.INFLATE_QUEUE]!.takeUsed(), undefined);
    turns.shift()?.();
    counts.push(balloon.counters.inflatedBytes / PAGE);
  }
  assert.deepEqual(counts, [1024, 2048, 2500]);
  assert.notEqual(queues[B.INFLATE_QUEUE]!.takeUsed(), undefined);
  assert.equal(released.length, 2500);
});

test('a flood of lists keeps neither deflation nor statistics waiting', async () => {
  const { queues, turns, driver, balloon } = rig();
  const flood = readableBytes(pageNumbers(Array.from({ length: 1024 }, (_, n) => n * 2)));
  for (let n = 0; n < 100; n++) queues[B.INFLATE_QUEUE]!.addSegments(queues[0]!.place([flood]));
  queues[B.DEFLATE_QUEUE]!.add([readableBytes(pageNumbers([1]))]);
  queues[B.STATISTICS_QUEUE]!.add([readableBytes(statistics([4, 9n]))]);
  const answer = balloon.statistics();
  driver.notify(B.INFLATE_QUEUE);
  assert.notEqual(queues[B.DEFLATE_QUEUE]!.takeUsed(), undefined);
  assert.deepEqual(await answer, { freeBytes: 9 });
  assert.equal(balloon.counters.inflatedBytes, 1024 * PAGE);
  assert.equal(turns.length, 1);
});

test('the driver hears of a page with code only when it has been dropped', async () => {
  const { memory, queues, driver, give } = rig();
  const dropped = Promise.withResolvers<void>();
  const parts: [number, number][] = [];
  driver.hostWrote = (views) => {
    for (const { byteOffset, length } of views) parts.push([(byteOffset - memory.all.byteOffset) / PAGE, length]);
    return dropped.promise;
  };
  give(B.INFLATE_QUEUE, 1000, 1001, 3000);
  give(B.DEFLATE_QUEUE, 1);
  assert.deepEqual(parts, [
    [1000, 2 * PAGE],
    [3000, PAGE],
  ]);
  assert.equal(queues[B.INFLATE_QUEUE]!.takeUsed(), undefined);
  dropped.resolve();
  await dropped.promise;
  assert.notEqual(queues[B.INFLATE_QUEUE]!.takeUsed(), undefined);
  assert.equal(driver.takeInterrupts(), 1);
});

test('a reset while code is dropped gives nothing back to the next driver, who is served afterwards', async () => {
  const { memory, queues, driver, give, negotiated, turns } = rig();
  const dropped = Promise.withResolvers<void>();
  driver.hostWrote = () => dropped.promise;
  give(B.INFLATE_QUEUE, 1000);
  driver.status = 0;
  const next = Array.from({ length: 3 }, () => new TestDriver(memory, 16, PLAIN));
  driver.start(
    next.map(({ areas }) => areas),
    negotiated,
  );
  next[B.DEFLATE_QUEUE]!.add([readableBytes(pageNumbers([1]))]);
  driver.notify(B.DEFLATE_QUEUE);
  assert.equal(next[B.DEFLATE_QUEUE]!.takeUsed(), undefined);
  dropped.resolve();
  await dropped.promise;
  for (const turn of turns.splice(0)) turn();
  assert.notEqual(next[B.DEFLATE_QUEUE]!.takeUsed(), undefined);
  assert.equal(next[B.INFLATE_QUEUE]!.takeUsed(), undefined);
  assert.equal(queues[B.INFLATE_QUEUE]!.takeUsed(), undefined);
});

test('a reset in the middle of a long list ends it, and the balloon is empty', () => {
  const { memory, driver, give, balloon, turns, released, negotiated } = rig();
  give(B.INFLATE_QUEUE, ...Array.from({ length: 5000 }, (_, n) => (n * 2) % RAM_PAGES));
  driver.registers.write(driver.configOffset + B.BALLOON_CONFIG_ACTUAL, 4, 5000);
  driver.status = 0;
  assert.equal(balloon.actualBytes, 0);
  for (const turn of turns.splice(0)) turn();
  assert.equal(released.length, 1024);
  // The next driver's list begins at its first page.
  const next = new TestDriver(memory, 16, PLAIN);
  driver.start([next.areas], negotiated);
  next.add([readableBytes(pageNumbers([77, 99]))]);
  driver.notify(B.INFLATE_QUEUE);
  assert.deepEqual(released.slice(1024), [
    [77, 1],
    [99, 1],
  ]);
});

test('statistics are undefined without a driver, without the feature, and when the driver resets first', async () => {
  const { driver, balloon, queues } = rig();
  queues[B.STATISTICS_QUEUE]!.add([readableBytes(statistics([4, 1n]))]);
  driver.notify(B.STATISTICS_QUEUE);
  const answer = balloon.statistics();
  driver.status = 0;
  assert.equal(await answer, undefined);
  assert.equal(await balloon.statistics(), undefined);
  assert.equal(await rig({ wanted: [B.VIRTIO_BALLOON_F_MUST_TELL_HOST], queues: 2 }).balloon.statistics(), undefined);
});

test('statistics buffers beyond the one that is allowed stay in the ring, long ones are cut off', async () => {
  const { driver, balloon, queues } = rig();
  const queue = queues[B.STATISTICS_QUEUE]!;
  const long = statistics(...Array.from({ length: 5000 }, (_, n) => [n < 4999 ? 4 : 5, BigInt(n)] as const));
  for (let n = 0; n < 50; n++) queue.add([readableBytes(n === 1 ? long : statistics([4, BigInt(n)]))]);
  driver.notify(B.STATISTICS_QUEUE);
  assert.equal(queue.takeUsed(), undefined);
  assert.deepEqual(await balloon.statistics(), { freeBytes: 31 });
  assert.notEqual(queue.takeUsed(), undefined);
  assert.equal(queue.takeUsed(), undefined);
});

test('a driver that gives away its own rings hurts itself alone', () => {
  const { queues, driver, give, negotiated, memory, released } = rig({ zeroes: true });
  const { descriptors, device } = queues[B.INFLATE_QUEUE]!.areas;
  give(B.INFLATE_QUEUE, Math.floor(descriptors / PAGE), Math.floor(device / PAGE));
  driver.notify(B.INFLATE_QUEUE);
  driver.status = 0;
  const next = new TestDriver(memory, 16, PLAIN);
  driver.start([next.areas], negotiated);
  next.add([readableBytes(pageNumbers([3000]))]);
  driver.notify(B.INFLATE_QUEUE);
  assert.deepEqual(released.at(-1), [3000, 1]);
});

test('a broken ring needs a reset, and whoever waits for statistics has none', async () => {
  const { queues, driver, balloon } = rig();
  queues[B.STATISTICS_QUEUE]!.add([readableBytes(statistics([4, 1n]))]);
  driver.notify(B.STATISTICS_QUEUE);
  const answer = balloon.statistics();
  queues[B.DEFLATE_QUEUE]!.addSegments([{ address: 0xffff_0000, bytes: 4, writable: false }]);
  driver.notify(B.DEFLATE_QUEUE);
  assert.equal(driver.status, UP_TO_DRIVER_OK | 0x40);
  assert.deepEqual(driver.faults, ['balloon: queue 1: buffer-outside-memory']);
  assert.equal(await answer, undefined);
  assert.equal(await balloon.statistics(), undefined);
});

test('a balloon larger than the guest is refused, and so is one of nothing that can be counted', () => {
  const { balloon } = rig();
  const message = `a balloon of ${RAM_PAGES * PAGE + 1} bytes: the guest has ${RAM_PAGES * PAGE}`;
  assert.throws(() => balloon.resize(RAM_PAGES * PAGE + 1), { name: 'RangeError', message });
  for (const bytes of [-1, Number.NaN, Number.POSITIVE_INFINITY])
    assert.throws(() => balloon.resize(bytes), RangeError);
  assert.equal(balloon.targetBytes, 0);
});
