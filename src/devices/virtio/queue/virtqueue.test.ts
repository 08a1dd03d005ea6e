/** What holds for both formats: the same tests with each. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Chain } from './chain.ts';
import { areasFault, createQueue } from './create-queue.ts';
import * as Q from './defs.ts';
import { PLAIN, readable, TestDriver, TestMemory, writable } from './testing.ts';
import type { QueueFormat, Virtqueue } from './virtqueue.ts';
import { gpa } from '../../../memory/guest-memory.ts';

function rig(format: Partial<QueueFormat> = {}, size = 8) {
  const memory = new TestMemory(0x20_0000);
  const driver = new TestDriver(memory, size, { ...PLAIN, ...format });
  const queue = createQueue(memory, driver.areas, driver.format);
  return { memory, driver, queue };
}

function popped(queue: Virtqueue): Chain {
  const chain = queue.pop();
  assert.ok(chain instanceof Chain, typeof chain === 'string' ? chain : 'the queue is empty');
  return chain;
}

const text = (chain: Chain): string => {
  const bytes = new Uint8Array(chain.readableBytes);
  chain.read(0, bytes);
  return String.fromCharCode(...bytes);
};
const letters = (word: string): number[] => [...word].map((letter) => letter.charCodeAt(0));

for (const packed of [false, true]) {
  const name = packed ? 'packed' : 'split';
  /** The place of a descriptor's flags. */
  const flagsAt = (driver: TestDriver, index: number): number =>
    driver.areas.descriptors + index * 16 + (packed ? 14 : 12);

  test(`${name}: an empty queue gives nothing`, () => {
    assert.equal(rig({ packed }).queue.pop(), undefined);
  });

  test(`${name}: a chain has its readable bytes, takes the written ones, and comes back with their number`, () => {
    const { driver, queue } = rig({ packed });
    const id = driver.add([readable(...letters('head')), readable(...letters('er')), writable(3), writable(5)]);
    const chain = popped(queue);
    assert.deepEqual([chain.readableBytes, chain.writableBytes, text(chain)], [6, 8, 'header']);
    assert.equal(chain.write(1, Uint8Array.from([1, 2, 3, 4])), 4);
    queue.complete(chain, 5);
    queue.publish();
    const used = driver.takeUsed();
    assert.ok(used);
    assert.deepEqual([used.id, used.written], [id, 5]);
    assert.deepEqual([...driver.contents(used)], [0, 1, 2, 3, 4, 0, 0, 0]);
  });

  test(`${name}: rings, tables and buffers may lie above 4 GiB`, () => {
    const memory = new TestMemory(0x1_0000, 0x1_0000);
    const driver = new TestDriver(memory, 8, { ...PLAIN, packed, indirect: true });
    const queue = createQueue(memory, driver.areas, driver.format);
    assert.ok(driver.areas.descriptors >= 2 ** 32);
    driver.add([readable(...letters('high')), writable(2)], true);
    const chain = popped(queue);
    assert.equal(text(chain), 'high');
    chain.writableViews(0, 2)[0]?.set([7, 8]);
    queue.complete(chain, 2);
    queue.publish();
    const used = driver.takeUsed();
    assert.ok(used);
    assert.deepEqual([...driver.contents(used)], [7, 8]);
    assert.ok(memory.ram.every((byte) => byte === 0));
  });

  test(`${name}: chains come back in any order`, () => {
    const { driver, queue } = rig({ packed });
    const ids = [driver.add([writable(1)]), driver.add([writable(2)]), driver.add([writable(3)])];
    const chains = ids.map(() => popped(queue));
    for (const n of [2, 0, 1]) queue.complete(chains[n]!, n);
    queue.publish();
    assert.deepEqual(
      [2, 0, 1].map((n) => ids[n]),
      [driver.takeUsed()?.id, driver.takeUsed()?.id, driver.takeUsed()?.id],
    );
  });

  test(`${name}: with IN_ORDER they come back as they went, each with what was written to it`, () => {
    const { driver, queue } = rig({ packed, inOrder: true });
    const ids = [driver.add([writable(9)]), driver.add([writable(9)]), driver.add([writable(9)])];
    const chains = ids.map(() => popped(queue));
    queue.complete(chains[2]!, 2);
    queue.complete(chains[1]!, 1);
    queue.publish();
    assert.equal(driver.takeUsed(), undefined);
    queue.complete(chains[0]!, 0);
    queue.publish();
    const used = ids.map(() => driver.takeUsed());
    assert.deepEqual(
      used.map((chain) => [chain?.id, chain?.written]),
      ids.map((id, n) => [id, n]),
    );
  });

  test(`${name}: a thousand rounds with chains of every length wrap around cleanly`, () => {
    const { driver, queue } = rig({ packed }, packed ? 7 : 8);
    const buffer = driver.place([writable(1)])[0]!;
    for (let round = 0; round < 1000; round++) {
      const first = Array.from({ length: 1 + (round % 4) }, () => buffer);
      const ids = [driver.addSegments(first), driver.addSegments([buffer, buffer])];
      const chains = [popped(queue), popped(queue)];
      assert.equal(chains[0]!.writableBytes, first.length);
      queue.complete(chains[1]!, 1);
      queue.complete(chains[0]!, 1);
      queue.publish();
      assert.deepEqual([driver.takeUsed()?.id, driver.takeUsed()?.id], [ids[1], ids[0]], `round ${round}`);
    }
  });

  test(`${name}: indices run over 65535`, () => {
    const { driver, queue } = rig({ packed });
    const buffer = driver.place([writable(1)])[0]!;
    for (let round = 0; round < 66_000; round++) {
      driver.addSegments([buffer]);
      queue.complete(popped(queue), 1);
      queue.publish();
      assert.ok(driver.takeUsed());
    }
  });

  test(`${name}: an indirect table gives the same chain in one place of the ring`, () => {
    const { driver, queue } = rig({ packed, indirect: true }, 1);
    for (let round = 0; round < 3; round++) {
      const id = driver.add([readable(...letters('ab')), readable(...letters('c')), writable(4)], true);
      const chain = popped(queue);
      assert.deepEqual([text(chain), chain.writableBytes], ['abc', 4]);
      queue.complete(chain, 4);
      queue.publish();
      assert.equal(driver.takeUsed()?.id, id);
    }
  });

  test(`${name}: views are windows on guest memory, cut at both ends`, () => {
    const { driver, queue, memory } = rig({ packed });
    driver.add([readable(1, 2, 3), readable(4, 5, 6), writable(2), writable(3)]);
    const chain = popped(queue);
    assert.deepEqual(
      chain.readableViews(1, 4).map((view) => [...view]),
      [
        [2, 3],
        [4, 5],
      ],
    );
    const views = chain.writableViews(1, 3);
    assert.deepEqual(
      views.map((view) => view.length),
      [1, 2],
    );
    assert.equal(views[0]!.buffer, memory.ram.buffer);
    assert.deepEqual(chain.writableViews(5, 1), []);
  });

  test(`${name}: after close nothing is taken, and completing touches no guest memory`, () => {
    const { driver, queue, memory } = rig({ packed });
    driver.add([writable(4)]);
    const chain = popped(queue);
    driver.add([writable(4)]);
    queue.close();
    const before = memory.ram.slice();
    queue.complete(chain, 4);
    queue.disableNotifications();
    assert.deepEqual([queue.publish(), queue.pop(), queue.enableNotifications()], [false, undefined, false]);
    assert.deepEqual(memory.ram, new Uint8Array(before));
  });

  test(`${name}: completing twice is our own mistake and throws`, () => {
    const { driver, queue } = rig({ packed });
    driver.add([writable(4)]);
    const chain = popped(queue);
    queue.complete(chain, 0);
    assert.throws(() => queue.complete(chain, 0), /completed twice/);
  });

  // --- Interrupts and notifications ---

  test(`${name}: the driver is interrupted unless it asks not to be`, () => {
    const { driver, queue } = rig({ packed });
    const finish = (): boolean => {
      driver.add([writable(1)]);
      queue.complete(popped(queue), 1);
      const wanted = queue.publish();
      driver.takeUsed();
      return wanted;
    };
    driver.interrupts = true;
    assert.equal(finish(), true);
    driver.interrupts = false;
    assert.equal(finish(), false);
    assert.equal(queue.publish(), false);
  });

  test(`${name}: with an event index there is one interrupt a batch, when the batch reaches the event`, () => {
    const { driver, queue } = rig({ packed, eventIndex: true });
    const batch = (count: number): boolean => {
      for (let n = 0; n < count; n++) driver.add([writable(1)]);
      for (let n = 0; n < count; n++) queue.complete(popped(queue), 1);
      return queue.publish();
    };
    const drain = (): void => {
      while (driver.takeUsed());
    };
    for (let round = 0; round < 40; round++) {
      driver.interrupts = true;
      assert.equal(batch(3), true, `round ${round}, the event is in the batch`);
      assert.equal(batch(2), false, `round ${round}, the event lies behind`);
      drain();
      driver.interrupts = true;
      assert.equal(batch(1), true, `round ${round}, the event is the batch`);
      assert.equal(batch(2), false, `round ${round}, the event is the place before the batch`);
      drain();
    }
  });

  test(`${name}: notifications are wanted again only when the queue says so`, () => {
    for (const eventIndex of [false, true]) {
      const { driver, queue } = rig({ packed, eventIndex });
      assert.equal(queue.enableNotifications(), false);
      driver.add([writable(1)]);
      assert.equal(driver.wantsNotification, true);
      queue.disableNotifications();
      assert.ok(queue.pop() instanceof Chain);
      driver.add([writable(1)]);
      assert.equal(driver.wantsNotification, false);
      assert.equal(queue.enableNotifications(), true, 'what came meanwhile is seen');
      assert.ok(queue.pop() instanceof Chain);
      assert.equal(queue.enableNotifications(), false);
    }
  });

  // --- Hostile drivers ---

  test(`${name}: a buffer that is not all RAM is a fault`, () => {
    for (const [address, bytes] of [
      [0x1f_fff0, 0x11],
      [0x20_0000, 1],
      [0xd000_0000, 16],
      [2 ** 52, 16],
      [0, 0xffff_ffff],
    ] as const) {
      const { driver, queue } = rig({ packed });
      driver.addSegments([{ address, bytes, writable: false }]);
      assert.equal(queue.pop(), 'buffer-outside-memory');
    }
  });

  test(`${name}: address and length that wrap at 2^64 are a fault`, () => {
    const { driver, queue, memory } = rig({ packed });
    driver.addSegments([{ address: 0, bytes: 32, writable: false }]);
    const index = packed ? 0 : memory.readU16(gpa(driver.areas.driver + 4));
    memory.writeU64(gpa(driver.areas.descriptors + index * 16), 0xffff_ffff_ffff_fff0n);
    assert.equal(queue.pop(), 'buffer-outside-memory');
  });

  test(`${name}: a buffer of no bytes is passed over`, () => {
    const { driver, queue } = rig({ packed });
    driver.addSegments([
      { address: 0x1000, bytes: 0, writable: false },
      { address: 0x1000, bytes: 4, writable: true },
    ]);
    const chain = popped(queue);
    assert.deepEqual([chain.readableBytes, chain.writableBytes], [0, 4]);
  });

  test(`${name}: a readable buffer behind a writable one is a fault`, () => {
    const { driver, queue } = rig({ packed });
    driver.add([writable(1), readable(1)]);
    assert.equal(queue.pop(), 'readable-after-writable');
  });

  test(`${name}: more than 4 GiB in a chain is a fault`, () => {
    const memory = new TestMemory(0x20_0000);
    const driver = new TestDriver(memory, 1, { ...PLAIN, packed, indirect: true });
    const queue = createQueue(memory, driver.areas, driver.format);
    // The same 16 MiB-less-one-page over and over, from a table of 1024.
    driver.addSegments(
      Array.from({ length: 1024 }, () => ({ address: 0, bytes: 0x20_0000, writable: false })),
      true,
    );
    assert.ok(queue.pop() instanceof Chain, '2 GiB are allowed');
    const other = new Chain(memory, 4096);
    let fault: string | undefined;
    for (let n = 0; n < 2048 && fault === undefined; n++) fault = other.append(0, 0x20_0000, true);
    assert.equal(fault, 'chain-too-large');
  });

  test(`${name}: an indirect descriptor that was not negotiated is a fault`, () => {
    const { driver, queue } = rig({ packed });
    driver.add([writable(1)], true);
    assert.equal(queue.pop(), 'indirect-not-negotiated');
  });

  test(`${name}: an indirect table of a wrong size, outside RAM, nested or continued is a fault`, () => {
    const table = (change: (driver: TestDriver, index: number, table: number) => void) => {
      const { driver, queue, memory } = rig({ packed, indirect: true });
      driver.add([writable(1)], true);
      const index = packed ? 0 : memory.readU16(gpa(driver.areas.driver + 4));
      const at = driver.areas.descriptors + index * 16;
      change(driver, index, Number(memory.readU64(gpa(at))));
      return queue.pop();
    };
    const length = (bytes: number) => (driver: TestDriver, index: number) =>
      driver.memory.writeU32(gpa(driver.areas.descriptors + index * 16 + 8), bytes);
    for (const bytes of [0, 8, 24, 1025 * 16, 0xffff_fff0]) assert.equal(table(length(bytes)), 'indirect-table-size');
    const outside = table((driver, index) =>
      driver.memory.writeU64(gpa(driver.areas.descriptors + index * 16), 0x1f_fff8n),
    );
    assert.equal(outside, 'indirect-table-outside-memory');
    const nested = table((driver, _, at) =>
      driver.memory.writeU16(gpa(at + (packed ? 14 : 12)), Q.VIRTQ_DESC_F_INDIRECT),
    );
    assert.equal(nested, 'indirect-nested');
    const continued = table((driver, index) => {
      const flags = driver.memory.readU16(gpa(flagsAt(driver, index)));
      driver.memory.writeU16(gpa(flagsAt(driver, index)), flags | Q.VIRTQ_DESC_F_NEXT);
    });
    assert.equal(continued, 'indirect-with-next');
  });

  test(`${name}: an indirect table at an odd address is read`, () => {
    const { driver, queue, memory } = rig({ packed, indirect: true });
    driver.add([readable(7, 8)], true);
    const index = packed ? 0 : memory.readU16(gpa(driver.areas.driver + 4));
    const at = driver.areas.descriptors + index * 16;
    const table = Number(memory.readU64(gpa(at)));
    const moved = memory.allocate(32, 16) + 1;
    memory.write(gpa(moved), memory.slice(gpa(table), 16));
    memory.writeU64(gpa(at), BigInt(moved));
    assert.equal(popped(queue).readableBytes, 2);
  });

  test(`${name}: a chain with the ring itself as its buffer does no harm`, () => {
    const { driver, queue } = rig({ packed });
    const { descriptors, size } = driver.areas;
    driver.addSegments([{ address: descriptors, bytes: size * 16, writable: true }]);
    const chain = popped(queue);
    chain.write(0, new Uint8Array(size * 16).fill(0xff));
    queue.complete(chain, size * 16);
    queue.publish();
    for (let n = 0; n < 3; n++) queue.pop();
  });

  test(`${name}: what the driver changes in a descriptor after the chain was taken has no effect`, () => {
    const { driver, queue, memory } = rig({ packed });
    driver.add([readable(...letters('ok'))]);
    const chain = popped(queue);
    memory.fill(gpa(driver.areas.descriptors), 8 * 16, 0xff);
    assert.equal(text(chain), 'ok');
  });

  test(`${name}: areas that are misaligned, outside RAM or of a wrong size are faults`, () => {
    const { memory, driver } = rig({ packed });
    const { areas } = driver;
    assert.equal(areasFault(memory, areas, packed), undefined);
    for (const wrong of [
      { ...areas, size: 0 },
      { ...areas, size: 32769 },
      ...(packed ? [] : [{ ...areas, size: 6 }]),
      { ...areas, descriptors: areas.descriptors + 8 },
      { ...areas, descriptors: 0x20_0000 - 64 },
      { ...areas, driver: areas.driver + 1 },
      { ...areas, driver: 0x20_0000 },
      { ...areas, device: areas.device + 2 },
      { ...areas, device: 0xffff_ffff_ffff_f000 },
    ]) {
      assert.notEqual(areasFault(memory, wrong, packed), undefined, JSON.stringify(wrong));
    }
  });

  test(`${name}: the greatest queue of 32768 works`, () => {
    const { driver, queue } = rig({ packed }, 32768);
    const buffer = driver.place([writable(1)])[0]!;
    for (let n = 0; n < 32768; n++) driver.addSegments([buffer]);
    const chains: Chain[] = [];
    for (let n = 0; n < 32768; n++) chains.push(popped(queue));
    assert.equal(queue.pop(), undefined);
    for (const chain of chains) queue.complete(chain, 1);
    queue.publish();
    let used = 0;
    while (driver.takeUsed()) used++;
    assert.equal(used, 32768);
  });
}

test('split: nothing is used before it is published', () => {
  const { driver, queue } = rig();
  driver.add([writable(1)]);
  queue.complete(popped(queue), 1);
  assert.equal(driver.takeUsed(), undefined);
  queue.publish();
  assert.equal(driver.takeUsed()?.written, 1);
});

test('split: a loop of descriptors is a fault', () => {
  const { driver, queue } = rig();
  const { descriptors } = driver.areas;
  driver.descriptor(descriptors, 0x1000, 1, Q.VIRTQ_DESC_F_NEXT, 1);
  driver.descriptor(descriptors + 16, 0x1000, 1, Q.VIRTQ_DESC_F_NEXT, 0);
  driver.offer(0);
  assert.equal(queue.pop(), 'chain-too-long');
});

test('split: a loop of empty descriptors in an indirect table is a fault', () => {
  const { driver, queue, memory } = rig({ indirect: true });
  const table = memory.allocate(32);
  driver.descriptor(table, 0, 0, Q.VIRTQ_DESC_F_NEXT, 1);
  driver.descriptor(table + 16, 0, 0, Q.VIRTQ_DESC_F_NEXT, 0);
  driver.descriptor(driver.areas.descriptors, table, 32, Q.VIRTQ_DESC_F_INDIRECT, 0);
  driver.offer(0);
  assert.equal(queue.pop(), 'chain-too-long');
});

test('split: descriptors before an indirect one belong to the chain', () => {
  const { driver, queue, memory } = rig({ indirect: true });
  const table = memory.allocate(16);
  driver.descriptor(table, 0x2000, 3, Q.VIRTQ_DESC_F_WRITE, 0);
  driver.descriptor(driver.areas.descriptors, 0x1000, 2, Q.VIRTQ_DESC_F_NEXT, 1);
  driver.descriptor(driver.areas.descriptors + 16, table, 16, Q.VIRTQ_DESC_F_INDIRECT | Q.VIRTQ_DESC_F_WRITE, 0);
  driver.offer(0);
  const chain = popped(queue);
  assert.deepEqual([chain.readableBytes, chain.writableBytes], [2, 3]);
});

test('split: a head or a link outside the table is a fault', () => {
  const { driver, queue } = rig();
  driver.offer(8);
  assert.equal(queue.pop(), 'descriptor-out-of-range');
  const other = rig();
  other.driver.descriptor(other.driver.areas.descriptors, 0x1000, 1, Q.VIRTQ_DESC_F_NEXT, 8);
  other.driver.offer(0);
  assert.equal(other.queue.pop(), 'descriptor-out-of-range');
});

test('split: an available index that jumps by more than the size, or backwards, is a fault', () => {
  for (const index of [9, 0xffff, 0x8000]) {
    const { driver, queue, memory } = rig();
    memory.writeU16(gpa(driver.areas.driver + 2), index);
    assert.equal(queue.pop(), 'available-index-jump');
  }
});

test('split: a head that is in flight is a fault, and one that was given back is not', () => {
  const { driver, queue } = rig();
  const id = driver.add([writable(1)]);
  const chain = popped(queue);
  driver.offer(id);
  assert.equal(queue.pop(), 'chain-in-flight');
  queue.complete(chain, 0);
  assert.ok(queue.pop() instanceof Chain);
});

test('packed: a buffer ID that is in flight is a fault', () => {
  const { driver, queue, memory } = rig({ packed: true });
  driver.add([writable(1)]);
  driver.add([writable(1)]);
  memory.writeU16(gpa(driver.areas.descriptors + 16 + 12), memory.readU16(gpa(driver.areas.descriptors + 12)));
  popped(queue);
  assert.equal(queue.pop(), 'chain-in-flight');
});

test('packed: a chain that never ends is a fault', () => {
  const { driver, queue } = rig({ packed: true });
  for (let n = 0; n < 8; n++) {
    driver.descriptor(driver.areas.descriptors + n * 16, 0x1000, 1, Q.VIRTQ_DESC_F_AVAIL | Q.VIRTQ_DESC_F_NEXT, 5);
  }
  assert.equal(queue.pop(), 'ring-overrun');
});

test('packed: places whose descriptors are with the device are not taken again', () => {
  const { driver, queue } = rig({ packed: true }, 2);
  const { descriptors } = driver.areas;
  driver.descriptor(descriptors, 0x1000, 1, Q.VIRTQ_DESC_F_AVAIL, 1);
  driver.descriptor(descriptors + 16, 0x1000, 1, Q.VIRTQ_DESC_F_AVAIL, 2);
  popped(queue);
  popped(queue);
  // Round again, with the bits of the next lap.
  driver.descriptor(descriptors, 0x1000, 1, Q.VIRTQ_DESC_F_USED, 3);
  assert.equal(queue.pop(), undefined);
  assert.equal(queue.inFlight, 2);
});
