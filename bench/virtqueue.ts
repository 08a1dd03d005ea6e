/**
 * How fast the host's side of a disk is: 4-KiB reads and writes of a disk in memory, through registers, rings and the block
 * device, with a driver on the same thread. `node bench/virtqueue.ts [SECONDS]` prints requests a second for each ring format.
 *
 * 80 requests are under way, and the driver waits for its interrupt before it looks. The driver's share of the time is in it.
 *
 * @module
 */
import type { Disk } from '../src/disk/disk.ts';
import { features, VIRTIO_F_EVENT_IDX, VIRTIO_F_RING_PACKED } from '../src/devices/virtio/defs.ts';
import { BlockDevice } from '../src/devices/virtio/block/device.ts';
import { VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT } from '../src/devices/virtio/block/defs.ts';
import { blockRequest } from '../src/devices/virtio/block/testing.ts';
import { readableBytes, type Segment, TestDriver, TestMemory, writable } from '../src/devices/virtio/queue/testing.ts';
import { driverOf } from '../src/devices/virtio/transport/testing.ts';

const REQUEST_BYTES = 4096;
const DISK_BYTES = 64 * 2 ** 20;
/** Three descriptors each, in a queue of 256. */
const DEPTH = 80;
/** Rounds between looks at the clock. */
const ROUNDS = 64;
const seconds = Number(process.argv[2] ?? 2);

function memoryDisk(): Disk {
  const contents = new Uint8Array(DISK_BYTES);
  const done = Promise.resolve();
  return {
    name: 'memory',
    bytes: DISK_BYTES,
    readOnly: false,
    resize: undefined,
    read(offset, into) {
      let at = offset;
      for (const buffer of into) {
        buffer.set(contents.subarray(at, at + buffer.length));
        at += buffer.length;
      }
      return done;
    },
    write(offset, from) {
      let at = offset;
      for (const buffer of from) {
        contents.set(buffer, at);
        at += buffer.length;
      }
      return done;
    },
    flush: () => done,
    discard: () => done,
    writeZeroes: () => done,
    close: () => done,
  };
}

async function measure(packed: boolean, type: number): Promise<number> {
  const memory = new TestMemory(8 * 2 ** 20);
  const turns: (() => void)[] = [];
  const device = new BlockDevice({
    disk: memoryDisk(),
    name: 'bench',
    readOnly: false,
    id: '',
    blockSize: 512,
    queues: 1,
    sparse: true,
    packed: true,
    yieldTurn: (resume) => void turns.push(resume),
    onError: (message) => {
      throw new Error(message);
    },
  });
  const driver = driverOf('pci', device, memory);
  const queue = new TestDriver(memory, 256, { packed, indirect: false, eventIndex: true, inOrder: false });
  const wanted = [VIRTIO_BLK_F_FLUSH, VIRTIO_F_EVENT_IDX];
  driver.start([queue.areas], features(...wanted, ...(packed ? [VIRTIO_F_RING_PACKED] : [])));
  const data = type === VIRTIO_BLK_T_IN ? writable(REQUEST_BYTES) : readableBytes(new Uint8Array(REQUEST_BYTES));
  // Random places, the same in every run.
  let seed = 1;
  const requests: Segment[][] = Array.from({ length: DEPTH }, () => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return queue.place(blockRequest(type, (seed % (DISK_BYTES / REQUEST_BYTES)) * (REQUEST_BYTES / 512), data));
  });
  let done = 0;
  const round = async (): Promise<void> => {
    queue.interrupts = true;
    for (const request of requests) queue.addSegments(request);
    driver.notify(0);
    while (queue.inFlight > 0) {
      await Promise.resolve();
      for (const turn of turns.splice(0)) turn();
      if (driver.takeInterrupts() === 0) continue;
      while (queue.takeUsed()) done++;
      queue.interrupts = true;
    }
  };
  const limit = performance.now() + seconds * 1000;
  for (let warm = 0; warm < ROUNDS; warm++) await round();
  done = 0;
  const start = performance.now();
  let now = start;
  while (now < limit) {
    for (let n = 0; n < ROUNDS; n++) await round();
    now = performance.now();
  }
  return (done * 1000) / (now - start);
}

for (const [name, packed] of [
  ['split', false],
  ['packed', true],
] as const) {
  for (const [what, type] of [
    ['read', VIRTIO_BLK_T_IN],
    ['write', VIRTIO_BLK_T_OUT],
  ] as const) {
    const rate = await measure(packed, type);
    console.log(`${name.padEnd(6)} ${what.padEnd(5)} ${Math.round(rate).toLocaleString('en')} requests/s`);
  }
}
