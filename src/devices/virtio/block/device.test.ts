import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gpa } from '../../../memory/guest-memory.ts';
import { type Features, features, VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC, VIRTIO_F_RING_PACKED } from '../defs.ts';
import {
  type Buffer,
  PLAIN,
  readable,
  readableBytes,
  TestDriver,
  TestMemory,
  type UsedChain,
  writable,
} from '../queue/testing.ts';
import { driverOf, TRANSPORTS, UP_TO_DRIVER_OK } from '../transport/testing.ts';
import { BlockDevice, type BlockOptions } from './device.ts';
import { blockRange, blockRequest, MemoryDisk } from './testing.ts';

const FLUSH = 9;
const DISCARD = 13;
const WRITE_ZEROES = 14;
const DEFAULT_FEATURES = features(FLUSH, DISCARD, WRITE_ZEROES, VIRTIO_F_INDIRECT_DESC, VIRTIO_F_EVENT_IDX);

interface RigOptions extends Partial<BlockOptions> {
  readonly kind?: (typeof TRANSPORTS)[number];
  readonly packedRing?: boolean;
  readonly wanted?: Features;
}

function rig(options: RigOptions = {}) {
  const { kind = 'pci', packedRing = false, wanted = DEFAULT_FEATURES, ...rest } = options;
  const memory = new TestMemory(0x80_0000);
  const disk = new MemoryDisk(0x10_0000, false);
  for (let n = 0; n < disk.contents.length; n++) disk.contents[n] = (n >> 9) ^ n;
  const errors: string[] = [];
  const device = new BlockDevice({
    disk,
    name: 'block vda',
    readOnly: false,
    id: 'SERIAL',
    blockSize: 512,
    queues: 2,
    sparse: true,
    packed: packedRing,
    yieldTurn: (resume) => void setImmediate(resume),
    onError: (message) => void errors.push(message),
    ...rest,
  });
  const driver = driverOf(kind, device, memory);
  const format = { ...PLAIN, packed: packedRing, indirect: true, eventIndex: true };
  const queues = [new TestDriver(memory, 256, format), new TestDriver(memory, 64, format)] as const;
  const start = (): void =>
    driver.start(
      queues.map((queue) => queue.areas),
      (wanted & device.features) | features(...(packedRing ? [VIRTIO_F_RING_PACKED] : [])),
    );
  start();
  for (const queue of queues) queue.interrupts = true;
  /** Waits until the device has given back `count` chains. */
  const used = async (count: number, queue: TestDriver = queues[0]): Promise<UsedChain[]> => {
    const chains: UsedChain[] = [];
    for (let turn = 0; turn < 1000 && chains.length < count; turn++) {
      await new Promise(setImmediate);
      for (let chain = queue.takeUsed(); chain; chain = queue.takeUsed()) chains.push(chain);
    }
    assert.equal(chains.length, count);
    // In a packed ring a chain is seen before its interrupt.
    await new Promise(setImmediate);
    return chains;
  };
  const run = async (buffers: readonly Buffer[]): Promise<{ status: number; data: Uint8Array; written: number }> => {
    queues[0].add(buffers);
    driver.notify(0);
    const [chain] = (await used(1)) as [UsedChain];
    const bytes = queues[0].contents(chain);
    return { status: bytes.at(-1) ?? -1, data: bytes.subarray(0, -1), written: chain.written };
  };
  return { memory, disk, device, driver, queues, errors, start, used, run };
}

for (const kind of TRANSPORTS) {
  for (const packedRing of [false, true]) {
    const name = `${kind}, ${packedRing ? 'packed' : 'split'}`;

    test(`${name}: what is written is read back, from buffers cut anywhere`, async () => {
      const { run, disk } = rig({ kind, packedRing });
      const data = Uint8Array.from({ length: 1024 }, (_, n) => n * 7);
      const parts = [data.subarray(0, 1), data.subarray(1, 700), data.subarray(700)].map(readableBytes);
      assert.equal((await run(blockRequest(1, 10, ...parts))).status, 0);
      assert.deepEqual(disk.contents.subarray(5120, 6144), data);
      const { status, data: back, written } = await run(blockRequest(0, 10, writable(3), writable(1021)));
      assert.deepEqual([status, written], [0, 1025]);
      assert.deepEqual(back, data);
    });

    test(`${name}: a hundred requests are under way at once and end in any order, told in batches`, async () => {
      const { queues, disk, driver, used } = rig({ kind, packedRing });
      disk.hold = true;
      for (let n = 0; n < 100; n++) queues[0].add(blockRequest(0, 2 * n, writable(512)), true);
      driver.notify(0);
      assert.equal(disk.held.length, 100);
      assert.equal(driver.takeInterrupts(), 0);
      for (const n of [50, 3, 99]) disk.held[n]?.();
      const first = await used(3);
      assert.deepEqual(
        first.map((chain) => queues[0].contents(chain)[0]),
        [50, 3, 99].map((n) => disk.contents[n * 1024]),
      );
      assert.equal(driver.takeInterrupts(), 1);
      disk.held.forEach((end) => void end());
      await used(97);
    });
  }

  test(`${kind}: requests that follow each other on the disk are one operation, and each gets its own data and status`, async () => {
    const { queues, disk, driver, used } = rig({ kind });
    const data = [1, 2, 3].map((fill) => new Uint8Array(512).fill(fill));
    data.forEach((bytes, n) => queues[0].add(blockRequest(1, 4 + n, readableBytes(bytes)), true));
    queues[0].add(blockRequest(1, 9, readableBytes(data[0] as Uint8Array)), true);
    for (const sector of [4, 5, 6]) queues[0].add(blockRequest(0, sector, writable(512)), true);
    driver.notify(0);
    const chains = await used(7);
    assert.deepEqual(disk.log, ['write 2048+1536', 'write 4608+512', 'read 2048+1536']);
    assert.deepEqual(
      chains.map((chain) => queues[0].contents(chain).at(-1)),
      [0, 0, 0, 0, 0, 0, 0],
    );
    assert.deepEqual(
      chains.slice(4).map((chain) => queues[0].contents(chain).slice(0, 512)),
      data,
    );
  });

  test(`${kind}: when requests that were one operation fail, each is tried alone, and only those that fail again are errors`, async () => {
    const { queues, disk, driver, used, errors } = rig({ kind });
    const { write } = disk;
    disk.write = (offset, from) =>
      offset <= 3072 && offset + from.length * 512 > 3072
        ? Promise.reject(new Error('bad block'))
        : write.call(disk, offset, from);
    for (const sector of [5, 6, 7])
      queues[0].add(blockRequest(1, sector, readableBytes(new Uint8Array(512).fill(0x77))), true);
    driver.notify(0);
    const statuses = (await used(3)).map((chain) => queues[0].contents(chain).at(-1));
    assert.deepEqual([statuses.length, statuses.filter((status) => status === 0).length], [3, 2]);
    assert.ok(statuses.includes(1));
    assert.deepEqual([disk.contents[5 * 512], disk.contents[7 * 512]], [0x77, 0x77]);
    assert.deepEqual(errors, ['block vda: write failed: bad block']);
  });

  test(`${kind}: a reset with requests under way writes nothing into the next driver's rings, and no status`, async () => {
    const { queues, disk, driver, memory, start } = rig({ kind });
    disk.hold = true;
    const requests = Array.from({ length: 8 }, (_, n) => queues[0].place(blockRequest(0, n, writable(512))));
    for (const segments of requests) queues[0].addSegments(segments);
    driver.notify(0);
    driver.status = 0;
    const statusBytes = requests.map((segments) => gpa(segments[2]!.address));
    for (const at of statusBytes) memory.writeU8(at, 0xee);
    const { device: usedRing, size } = queues[0].areas;
    memory.fill(gpa(usedRing), 6 + size * 8, 0xee);
    for (const end of disk.held) end();
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    assert.ok(memory.slice(gpa(usedRing), 6 + size * 8).every((byte) => byte === 0xee));
    assert.ok(statusBytes.every((at) => memory.readU8(at) === 0xee));
    assert.equal(driver.status, 0);
    disk.hold = false;
    start();
    assert.equal(driver.status, UP_TO_DRIVER_OK);
  });

  test(`${kind}: a machine's reset waits for requests under way`, async () => {
    const { queues, disk, driver } = rig({ kind });
    disk.hold = true;
    queues[0].add(blockRequest(0, 0, writable(512)));
    driver.notify(0);
    let done = false;
    const reset = driver.resetMachine().then(() => {
      done = true;
    });
    await new Promise(setImmediate);
    assert.equal(done, false);
    disk.held[0]?.();
    await reset;
  });
}

test('data over code is shown to the driver when the processors have dropped it, also of a read that failed', async () => {
  for (const failure of [undefined, new Error('broken')]) {
    const { queues, driver, disk, used } = rig();
    const { promise, resolve } = Promise.withResolvers<void>();
    let bytes = 0;
    driver.hostWrote = (parts) => {
      bytes = parts.reduce((sum, part) => sum + part.length, 0);
      return promise;
    };
    disk.failure = failure;
    queues[0].add(blockRequest(0, 0, writable(512), writable(1024)));
    driver.notify(0);
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    assert.deepEqual([bytes, queues[0].takeUsed()], [1536, undefined]);
    resolve();
    const [chain] = await used(1);
    assert.equal(chain && queues[0].contents(chain).at(-1), failure === undefined ? 0 : 1);
  }
});

test('the features are those of the options', () => {
  const low = (options: RigOptions): number => Number(rig(options).device.features & 0xffff_ffffn);
  const ring = 2 ** VIRTIO_F_EVENT_IDX + 2 ** VIRTIO_F_INDIRECT_DESC;
  const topology = 1 << 10;
  // crosvm's, and topology: 0x7244 read-write, 0x5244 not sparse, 0x1064 read-only.
  assert.equal(low({}) - ring - topology, 0x7244);
  assert.equal(low({ sparse: false }) - ring - topology, 0x5244);
  assert.equal(low({ readOnly: true }) - ring - topology, 0x1064);
  assert.equal(low({ queues: 1 }) - ring - topology, 0x6244);
  assert.equal(low({ disk: new MemoryDisk(512, true) }) - ring - topology, 0x1064);
});

test('the configuration has capacity, block size, topology, queues and limits', () => {
  const { driver } = rig({ blockSize: 1024 });
  const at = driver.configOffset;
  const read = (offset: number, width: 1 | 2 | 4): number => driver.registers.read(at + offset, width);
  assert.deepEqual(
    [read(0, 4), read(4, 4), read(12, 4), read(20, 4), read(24, 1), read(26, 2), read(34, 2)],
    [2048, 0, 254, 1024, 2, 4, 2],
  );
  assert.deepEqual(
    [read(36, 4), read(40, 4), read(44, 4), read(48, 4), read(52, 4), read(56, 1)],
    [65536, 32, 128, 65536, 32, 1],
  );
});

test('a capacity of more than 2 TiB is whole', () => {
  const disk = new MemoryDisk(512);
  disk.bytes = 64 * 2 ** 40 + 100;
  const { driver } = rig({ disk });
  assert.deepEqual([driver.registers.read(0x2000, 4), driver.registers.read(0x2004, 4)], [0, 32]);
});

for (const kind of TRANSPORTS) {
  test(`${kind}: a disk that was resized is announced, and its new end holds`, async () => {
    const { driver, device, disk, run } = rig({ kind });
    const capacity = (): number => driver.registers.read(driver.configOffset, 4);
    assert.equal((await run(blockRequest(0, 2047, writable(512)))).status, 0);
    driver.takeInterrupts();
    const generation = driver.configGeneration;
    await device.resize(0x8_0000);
    assert.deepEqual([driver.takeInterrupts(), driver.configGeneration], [2, generation + 1]);
    assert.equal(capacity(), 1024);
    assert.equal((await run(blockRequest(0, 1024, writable(512)))).status, 1);
    await device.resize(0x10_0000);
    assert.equal(capacity(), 2048);
    assert.equal((await run(blockRequest(0, 2047, writable(512)))).status, 0);
    assert.deepEqual(disk.log.slice(-3), ['resize 524288', 'resize 1048576', 'read 1048064+512']);
  });
}

test('a disk shrinks when nothing is under way any more, and what it loses is refused before that', async () => {
  const { driver, device, disk, queues, used } = rig();
  disk.hold = true;
  queues[0].add(blockRequest(1, 2047, readableBytes(new Uint8Array(512))));
  driver.notify(0);
  const resized = device.resize(0x8_0000);
  await new Promise(setImmediate);
  assert.deepEqual(disk.log, ['write 1048064+512']);
  queues[0].add(blockRequest(1, 1024, readableBytes(new Uint8Array(512))));
  driver.notify(0);
  const [refused] = await used(1);
  assert.deepEqual(refused && [...queues[0].contents(refused)], [1]);
  assert.equal(driver.registers.read(driver.configOffset, 4), 2048, 'not announced before it is so');
  disk.hold = false;
  disk.held[0]?.();
  await resized;
  await used(1);
  assert.deepEqual(disk.log, ['write 1048064+512', 'resize 524288']);
});

test('a resize that the host refuses leaves the capacity, and the driver hears nothing', async () => {
  const { driver, device, disk, run } = rig();
  const generation = driver.configGeneration;
  for (const bytes of [0x8_0000, 0x20_0000]) {
    disk.failure = new Error('no space is left');
    await assert.rejects(device.resize(bytes), /no space is left/);
    disk.failure = undefined;
    assert.equal((await run(blockRequest(0, 2047, writable(512)))).status, 0);
    assert.equal(driver.configGeneration, generation);
  }
});

test('a driver that starts while a disk grows is kept from what is not certain to be there', async () => {
  const { driver, device, disk, start, run } = rig();
  disk.hold = true;
  const resized = device.resize(0x20_0000);
  await new Promise(setImmediate);
  // As an image does whose tables are ready before its new end reads as zeros.
  disk.bytes = 0x20_0000;
  start();
  disk.hold = false;
  assert.equal((await run(blockRequest(0, 2048, writable(512)))).status, 1);
  assert.equal(driver.registers.read(driver.configOffset, 4), 2048);
  // The host is done: now it is.
  disk.bytes = 0x10_0000;
  disk.held[0]?.();
  await resized;
  assert.equal((await run(blockRequest(0, 2048, writable(512)))).status, 0);
  assert.equal(driver.registers.read(driver.configOffset, 4), 4096);
});

test('the ID is filled up with zeros', async () => {
  const { run } = rig();
  const { status, data, written } = await run(blockRequest(8, 0, writable(20)));
  assert.deepEqual([status, String.fromCharCode(...data), written], [0, `SERIAL${'\0'.repeat(14)}`, 21]);
});

test('flush, discard and zeroes reach the disk', async () => {
  const { run, disk } = rig();
  await run(blockRequest(4, 0));
  await run(blockRequest(11, 0, readableBytes(blockRange(0, 8)), readableBytes(blockRange(16, 8))));
  await run(blockRequest(13, 0, readableBytes(blockRange(2, 1, 1))));
  assert.deepEqual(disk.log, ['flush', 'discard 0+4096', 'discard 8192+4096', 'zero 1024+512 unmap']);
});

test('a driver that does not flush has its writes made durable one by one', async () => {
  const { run, disk } = rig({ wanted: 0n });
  assert.equal((await run(blockRequest(1, 0, readableBytes(new Uint8Array(512))))).status, 0);
  assert.deepEqual(disk.log, ['write 0+512', 'flush']);
});

test('a fault is the status of that request and nothing more', async () => {
  const { run, driver, disk } = rig();
  assert.equal((await run(blockRequest(1, 9999, readableBytes(new Uint8Array(512))))).status, 1);
  assert.equal((await run(blockRequest(99, 0))).status, 2);
  assert.deepEqual([driver.status, disk.log], [UP_TO_DRIVER_OK, []]);
});

test('a request without a byte for its status comes back with nothing written', async () => {
  const { queues, driver, used } = rig();
  queues[0].add([readable(0, 0, 0, 0)]);
  driver.notify(0);
  assert.equal((await used(1))[0]?.written, 0);
  assert.equal(driver.status, UP_TO_DRIVER_OK);
});

test("a host's error is an I/O error, told to the user once in a row, and the device goes on", async () => {
  const { run, disk, errors } = rig();
  disk.failure = new Error('no space is left');
  const write = blockRequest(1, 0, readableBytes(new Uint8Array(512)));
  assert.equal((await run(write)).status, 1);
  assert.equal((await run(write)).status, 1);
  disk.failure = undefined;
  assert.equal((await run(write)).status, 0);
  assert.deepEqual(errors, ['block vda: write failed: no space is left']);
});

test('every queue is served', async () => {
  const { queues, driver, used } = rig();
  queues[1].add(blockRequest(0, 0, writable(512)));
  driver.notify(1);
  assert.equal((await used(1, queues[1]))[0]?.written, 513);
});

test('a ring that is broken stops this device', async () => {
  const { queues, driver } = rig();
  queues[1].offer(64);
  driver.notify(1);
  await new Promise(setImmediate);
  assert.equal(driver.status, UP_TO_DRIVER_OK | 0x40);
  assert.deepEqual(driver.faults, ['block vda: queue 1: descriptor-out-of-range']);
});

test('the header that counts is the one that was there when the request was taken', async () => {
  const { queues, disk, driver, memory, used } = rig();
  disk.hold = true;
  const segments = queues[0].place(blockRequest(1, 0, readableBytes(new Uint8Array(512).fill(7))));
  queues[0].addSegments(segments);
  driver.notify(0);
  memory.writeU32(gpa(segments[0]!.address), 0);
  memory.writeU32(gpa(segments[0]!.address + 8), 1000);
  disk.held[0]?.();
  await used(1);
  assert.deepEqual(disk.log, ['write 0+512']);
});

test('no requests, however malformed, throw, read outside the disk, or are lost', async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const { queues, driver, used, disk } = rig({ packedRing: (seed & 1) !== 0 });
    let state = seed;
    const draw = (below: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 0x1_0000_0000) * below);
    };
    let count = 0;
    for (let n = 0; n < 40; n++) {
      const type = draw(3) === 0 ? draw(20) : [0, 1, 4, 8, 11, 13][draw(6)]!;
      const sector = [BigInt(draw(2100)), BigInt(draw(2 ** 32)) << 32n, 0n][draw(3)]!;
      const data: Buffer[] = [];
      for (let parts = draw(4); parts > 0; parts--) {
        if (draw(2) === 0) data.push(readableBytes(blockRange(draw(2100), draw(300), draw(3))));
        else data.push(readableBytes(new Uint8Array(draw(3) * 256)));
      }
      const buffers = [...blockRequest(type, sector, ...data).slice(0, draw(5) === 0 ? 1 : -1)];
      for (let parts = draw(3); parts > 0; parts--) buffers.push(writable(draw(4) * 256 + draw(2)));
      queues[0].add(buffers, draw(2) === 0);
      count++;
    }
    driver.notify(0);
    await used(count);
    assert.equal(driver.status, UP_TO_DRIVER_OK, `seed ${seed}: ${driver.faults.join()}`);
    assert.equal(disk.contents.length, 0x10_0000);
  }
});
