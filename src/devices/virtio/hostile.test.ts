/**
 * Every device under drivers that break the rules of a ring, behind both transports and in both ring formats: it says
 * DEVICE_NEEDS_RESET, with an interrupt, writes nowhere, works after a reset; and a disk beside it, in the same memory, does not notice.
 * What each rule is, is tested at the queue (`queue/virtqueue.test.ts`) and at the registers (`transport/transport.test.ts`).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gpa } from '../../memory/guest-memory.ts';
import { MemorySink, MemorySource } from '../testing.ts';
import { BalloonDevice } from './balloon/device.ts';
import { pageNumbers } from './balloon/testing.ts';
import { BlockDevice } from './block/device.ts';
import { blockRequest, MemoryDisk } from './block/testing.ts';
import { ConsoleDevice } from './console/device.ts';
import { features, hasFeature, VIRTIO_F_INDIRECT_DESC, VIRTIO_F_RING_PACKED } from './defs.ts';
import type { VirtioDevice } from './device.ts';
import { PmemDevice } from './pmem/device.ts';
import * as Q from './queue/defs.ts';
import {
  type Buffer as Part,
  PLAIN,
  readable,
  readableBytes,
  TestDriver,
  TestMemory,
  writable,
} from './queue/testing.ts';
import { RngDevice } from './rng/device.ts';
import { ScsiDevice } from './scsi/device.ts';
import { scsiCommand } from './scsi/testing.ts';
import { driverOf, type TransportDriver, TRANSPORTS, UP_TO_DRIVER_OK } from './transport/testing.ts';

const RAM_BYTES = 0x20_0000;
const QUEUE_SIZE = 8;
const yieldTurn = (resume: () => void): void => void setImmediate(resume);
const onError = (): void => {};
const block = (disk: MemoryDisk): BlockDevice =>
  new BlockDevice({
    ...{ disk, name: 'block', readOnly: false, id: 'ID', blockSize: 512, queues: 1, sparse: true, packed: true },
    ...{ yieldTurn, onError },
  });

interface Subject {
  readonly create: () => VirtioDevice;
  /** The queue that is attacked, the last of those that a driver sets up. */
  readonly queue: number;
  /** A request that it serves. */
  readonly request: () => readonly Part[];
}

const SUBJECTS: Readonly<Record<string, Subject>> = {
  block: { create: () => block(new MemoryDisk(0x1000)), queue: 0, request: () => blockRequest(8, 0, writable(20)) },
  console: {
    create: () => new ConsoleDevice({ ports: [{ input: new MemorySource(), output: new MemorySink() }], yieldTurn }),
    queue: 1,
    request: () => [readable(0x41)],
  },
  rng: {
    create: () => new RngDevice({ random: (into) => void into.fill(7), yieldTurn }),
    queue: 0,
    request: () => [writable(4)],
  },
  balloon: {
    create: () =>
      new BalloonDevice({
        release: () => true,
        ...{ memoryBytes: RAM_BYTES, targetBytes: 0, pageReporting: false, yieldTurn },
      }),
    queue: 0,
    request: () => [readableBytes(pageNumbers([0x1f0]))],
  },
  pmem: {
    create: () =>
      new PmemDevice({
        ...{ name: 'pmem', range: { address: 0x800_0000, bytes: 0x20_0000 }, readOnly: false, yieldTurn, onError },
        flush: async () => {},
      }),
    queue: 0,
    request: () => [readable(0, 0, 0, 0), writable(4)],
  },
  scsi: {
    create: () =>
      new ScsiDevice({
        luns: [{ disk: new MemoryDisk(0x1000), name: 'sda', readOnly: false, blockSize: 512, serial: 'S' }],
        ...{ yieldTurn, onError },
      }),
    queue: 2,
    request: () => scsiCommand([0]),
  },
};

interface Attack {
  /** Undefined: of both. */
  readonly packed?: boolean;
  readonly indirect?: boolean;
  readonly fault: string;
  readonly make: (queue: TestDriver) => void;
}

const AVAILABLE = Q.VIRTQ_DESC_F_AVAIL;
/** Writes a descriptor of a ring, and makes it available. */
const single =
  (address: number | bigint, bytes: number, flags = 0) =>
  (queue: TestDriver): void => {
    const { memory, areas, format } = queue;
    queue.descriptor(areas.descriptors, 0, bytes, format.packed ? flags | AVAILABLE : flags, 0);
    memory.writeU64(gpa(areas.descriptors), BigInt(address));
    if (!format.packed) queue.offer(0);
  };
/** An indirect table of these descriptors: address, length, flags, next. */
const table =
  (...entries: readonly (readonly [number, number, number, number])[]) =>
  (queue: TestDriver): void => {
    const at = queue.memory.allocate(entries.length * Q.VIRTQ_DESC_BYTES, 16);
    for (const [n, [address, bytes, flags, next]] of entries.entries()) {
      // The flags of a packed descriptor are where the link of a split one is.
      if (queue.format.packed) queue.descriptor(at + n * Q.VIRTQ_DESC_BYTES, address, bytes, flags, 0);
      else queue.descriptor(at + n * Q.VIRTQ_DESC_BYTES, address, bytes, flags, next);
    }
    single(at, entries.length * Q.VIRTQ_DESC_BYTES, Q.VIRTQ_DESC_F_INDIRECT)(queue);
  };

const ATTACKS: Readonly<Record<string, Attack>> = {
  'a buffer whose end wraps at 2^64': { fault: 'buffer-outside-memory', make: single(2n ** 64n - 16n, 32) },
  'a buffer that straddles the end of RAM': { fault: 'buffer-outside-memory', make: single(RAM_BYTES - 8, 9) },
  'a buffer in the registers of a device': { fault: 'buffer-outside-memory', make: single(0xd000_8000, 64) },
  'a buffer longer than RAM': { fault: 'buffer-outside-memory', make: single(0, 0xffff_ffff, Q.VIRTQ_DESC_F_WRITE) },
  'a loop of descriptors': {
    packed: false,
    fault: 'chain-too-long',
    make: (queue) => {
      queue.descriptor(queue.areas.descriptors, 0x1000, 1, Q.VIRTQ_DESC_F_NEXT, 1);
      queue.descriptor(queue.areas.descriptors + 16, 0x1000, 1, Q.VIRTQ_DESC_F_NEXT, 0);
      queue.offer(0);
    },
  },
  'a chain that goes round the ring': {
    packed: true,
    fault: 'ring-overrun',
    make: (queue) => {
      for (let n = 0; n < QUEUE_SIZE; n++)
        queue.descriptor(queue.areas.descriptors + n * 16, 0x1000, 1, AVAILABLE | Q.VIRTQ_DESC_F_NEXT, 0);
    },
  },
  'a head that the table does not have': {
    packed: false,
    fault: 'descriptor-out-of-range',
    make: (queue) => queue.offer(QUEUE_SIZE),
  },
  'a link that leaves the table': {
    packed: false,
    fault: 'descriptor-out-of-range',
    make: (queue) => {
      queue.descriptor(queue.areas.descriptors, 0x1000, 1, Q.VIRTQ_DESC_F_NEXT, 0xffff);
      queue.offer(0);
    },
  },
  'an available index that jumps': {
    packed: false,
    fault: 'available-index-jump',
    make: ({ memory, areas }) => memory.writeU16(gpa(areas.driver + Q.VIRTQ_AVAIL_IDX), QUEUE_SIZE + 1),
  },
  'an available index that goes back': {
    packed: false,
    fault: 'available-index-jump',
    make: ({ memory, areas }) => memory.writeU16(gpa(areas.driver + Q.VIRTQ_AVAIL_IDX), 0xffff),
  },
  'a readable buffer behind a writable one': {
    fault: 'readable-after-writable',
    make: (queue) => void queue.add([writable(1), readable(1)]),
  },
  'an indirect table that was not negotiated': {
    indirect: false,
    fault: 'indirect-not-negotiated',
    make: table([0x1000, 1, 0, 0]),
  },
  'an indirect table that is empty': {
    indirect: true,
    fault: 'indirect-table-size',
    make: single(0x1000, 0, Q.VIRTQ_DESC_F_INDIRECT),
  },
  'an indirect table that is too long': {
    indirect: true,
    fault: 'indirect-table-size',
    make: single(0x1000, 1025 * 16, Q.VIRTQ_DESC_F_INDIRECT),
  },
  'an indirect table that is no multiple of a descriptor': {
    indirect: true,
    fault: 'indirect-table-size',
    make: single(0x1000, 24, Q.VIRTQ_DESC_F_INDIRECT),
  },
  'an indirect table outside RAM': {
    indirect: true,
    fault: 'indirect-table-outside-memory',
    make: single(RAM_BYTES - 8, 16, Q.VIRTQ_DESC_F_INDIRECT),
  },
  'an indirect table in an indirect table': {
    indirect: true,
    fault: 'indirect-nested',
    make: table([0x1000, 16, Q.VIRTQ_DESC_F_INDIRECT, 0]),
  },
  'a loop in an indirect table': {
    packed: false,
    indirect: true,
    fault: 'chain-too-long',
    make: table([0, 0, Q.VIRTQ_DESC_F_NEXT, 1], [0, 0, Q.VIRTQ_DESC_F_NEXT, 0]),
  },
};

/** What the driver of one device has. */
interface Driven {
  readonly driver: TransportDriver;
  readonly start: (indirect: boolean) => TestDriver;
}

function drive(
  kind: (typeof TRANSPORTS)[number],
  packed: boolean,
  memory: TestMemory,
  device: VirtioDevice,
  queue: number,
): Driven {
  const driver = driverOf(kind, device, memory);
  const start = (indirect: boolean): TestDriver => {
    const format = { ...PLAIN, packed, indirect };
    const queues = Array.from({ length: queue + 1 }, () => new TestDriver(memory, QUEUE_SIZE, format));
    const wanted = [...(packed ? [VIRTIO_F_RING_PACKED] : []), ...(indirect ? [VIRTIO_F_INDIRECT_DESC] : [])];
    driver.start(
      queues.map(({ areas }) => areas),
      features(...wanted),
    );
    assert.equal(driver.status, UP_TO_DRIVER_OK);
    return queues[queue]!;
  };
  return { driver, start };
}

async function serves(
  { driver }: Driven,
  queue: TestDriver,
  index: number,
  request: readonly Part[],
): Promise<boolean> {
  queue.add(request);
  driver.notify(index);
  for (let turn = 0; turn < 20; turn++) {
    if (queue.takeUsed() !== undefined) return true;
    await new Promise(setImmediate);
  }
  return false;
}

for (const kind of TRANSPORTS) {
  for (const packed of [false, true]) {
    for (const [name, { create, queue, request }] of Object.entries(SUBJECTS)) {
      test(`${kind}, ${packed ? 'packed' : 'split'}: ${name} stops at each fault of a ring, alone, and a reset heals it`, async () => {
        for (const [what, attack] of Object.entries(ATTACKS)) {
          if (attack.packed !== undefined && attack.packed !== packed) continue;
          const memory = new TestMemory(RAM_BYTES);
          const device = create();
          if (attack.indirect === true && !hasFeature(device.features, VIRTIO_F_INDIRECT_DESC)) continue;
          const victim = drive(kind, packed, memory, device, queue);
          const neighbour = drive(kind, packed, memory, block(new MemoryDisk(0x1000)), 0);
          const disk = neighbour.start(true);
          const attacked = victim.start(attack.indirect ?? false);
          victim.driver.takeInterrupts();
          attack.make(attacked);
          const before = memory.ram.slice();
          victim.driver.notify(queue);
          await new Promise(setImmediate);
          assert.equal(victim.driver.status, UP_TO_DRIVER_OK | 0x40, what);
          assert.deepEqual(victim.driver.faults, [`${device.name}: queue ${queue}: ${attack.fault}`], what);
          assert.equal(victim.driver.takeInterrupts(), 2, what);
          // The rings of the device may say that no notification is wanted; nothing else has changed.
          const { device: own } = attacked.areas;
          for (const [from, to] of [
            [0, own],
            [own + 4, RAM_BYTES],
          ] as const) {
            const [was, is] = [before, memory.ram].map((bytes) =>
              Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from),
            );
            assert.ok(was?.equals(is!), `${what} wrote between ${from} and ${to}`);
          }
          assert.ok(await serves(neighbour, disk, 0, blockRequest(8, 0, writable(20))), `${what}: the neighbour`);
          assert.deepEqual([neighbour.driver.status, neighbour.driver.faults], [UP_TO_DRIVER_OK, []]);
          assert.ok(await serves(victim, victim.start(false), queue, request()), `${what}: after the reset`);
        }
      });
    }

    const disk = (memory: TestMemory, hold: boolean) => {
      const contents = new MemoryDisk(0x1000);
      contents.hold = hold;
      const driven = drive(kind, packed, memory, block(contents), 0);
      return { ...driven, contents, queue: driven.start(false) };
    };
    const name = `${kind}, ${packed ? 'packed' : 'split'}`;

    test(`${name}: a head that is in flight on a disk is not started again, and its request ends once`, async () => {
      const memory = new TestMemory(RAM_BYTES);
      const { queue, contents, driver } = disk(memory, true);
      const head = queue.add(blockRequest(0, 0, writable(512)));
      driver.notify(0);
      if (packed) {
        // The next place has the same buffer ID.
        queue.descriptor(queue.areas.descriptors + 3 * 16, 0x1000, 1, AVAILABLE, 0);
        memory.writeU16(gpa(queue.areas.descriptors + 3 * 16 + Q.PACKED_DESC_ID), head);
      } else queue.offer(head);
      driver.notify(0);
      assert.deepEqual([driver.status, driver.faults], [UP_TO_DRIVER_OK | 0x40, ['block: queue 0: chain-in-flight']]);
      assert.deepEqual(contents.log, ['read 0+512']);
      contents.held[0]?.();
      await new Promise(setImmediate);
      assert.equal(queue.takeUsed(), undefined, 'nothing comes from a device that waits for its reset');
    });

    test(`${name}: what a driver changes in a header or a descriptor after the notification has no effect`, async () => {
      const memory = new TestMemory(RAM_BYTES);
      const { queue, contents, driver } = disk(memory, true);
      const segments = queue.place(blockRequest(1, 1, readableBytes(new Uint8Array(512).fill(7))));
      queue.addSegments(segments);
      driver.notify(0);
      memory.fill(gpa(segments[0]!.address), 16, 0xff);
      for (let n = 0; n < 3; n++) memory.fill(gpa(queue.areas.descriptors + n * 16), 12, 0xff);
      contents.hold = false;
      contents.held[0]?.();
      for (let turn = 0; turn < 4; turn++) await new Promise(setImmediate);
      assert.deepEqual(contents.log, ['write 512+512', 'flush']);
      assert.deepEqual([memory.readU8(gpa(segments[2]!.address)), driver.status], [0, UP_TO_DRIVER_OK]);
    });

    test(`${name}: the CDB that counts is the one that was there when the command was taken`, async () => {
      const memory = new TestMemory(RAM_BYTES);
      const contents = new MemoryDisk(0x1000);
      contents.hold = true;
      const lun = { disk: contents, name: 'sda', readOnly: false, blockSize: 512, serial: 'S' };
      const driven = drive(kind, packed, memory, new ScsiDevice({ luns: [lun], yieldTurn, onError }), 2);
      const queue = driven.start(false);
      const segments = queue.place(scsiCommand([0x28, 0, 0, 0, 0, 1, 0, 0, 1, 0], { in: 512 }));
      queue.addSegments(segments);
      driven.driver.notify(2);
      memory.fill(gpa(segments[0]!.address), segments[0]!.bytes, 0xff);
      contents.held[0]?.();
      for (let turn = 0; turn < 4; turn++) await new Promise(setImmediate);
      assert.deepEqual(contents.log, ['read 512+512']);
      assert.equal(queue.takeUsed()?.written, 12 + 96 + 512);
    });

    test(`${name}: a disk answers sectors that overflow, writes to read-only, short IDs and data of no sector with an error`, async () => {
      const memory = new TestMemory(RAM_BYTES);
      const contents = new MemoryDisk(0x1000, true);
      const driven = drive(kind, packed, memory, block(contents), 0);
      const queue = driven.start(false);
      const sector = writable(512);
      for (const [request, status] of [
        [blockRequest(0, 8, sector), 1],
        [blockRequest(0, 7, writable(1024)), 1],
        [blockRequest(0, 2n ** 64n - 1n, sector), 1],
        [blockRequest(0, 2n ** 55n, sector), 1],
        [blockRequest(0, 0, writable(511)), 1],
        [blockRequest(1, 0, readableBytes(new Uint8Array(512))), 1],
        [blockRequest(8, 0, writable(19)), 1],
        [blockRequest(77, 0, sector), 2],
      ] as const) {
        queue.add(request);
        driven.driver.notify(0);
        await new Promise(setImmediate);
        const used = queue.takeUsed() ?? assert.fail('no answer');
        assert.equal(queue.contents(used).at(-1), status);
        assert.ok(
          queue
            .contents(used)
            .subarray(0, -1)
            .every((byte) => byte === 0),
          'no data',
        );
      }
      assert.deepEqual([contents.log, driven.driver.status], [[], UP_TO_DRIVER_OK]);
    });
  }
}
