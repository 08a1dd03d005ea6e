/** Random drivers, well-behaved and hostile. A failure names its seed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gpa } from '../../../memory/guest-memory.ts';
import { Chain } from './chain.ts';
import { createQueue } from './create-queue.ts';
import { type Buffer, TestDriver, TestMemory } from './testing.ts';
import type { QueueFormat } from './virtqueue.ts';

/** xorshift32. */
function random(seed: number): (below: number) => number {
  let state = seed * 0x9e37_79b9 + 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const formatOf = (seed: number): QueueFormat => ({
  packed: (seed & 1) !== 0,
  eventIndex: (seed & 2) !== 0,
  indirect: (seed & 4) !== 0,
  inOrder: (seed & 8) !== 0,
});

test('whatever a well-behaved driver does, every chain comes back once, with its data, and no interrupt is lost', () => {
  for (let seed = 0; seed < 160; seed++) {
    const draw = random(seed);
    const format = formatOf(seed);
    const memory = new TestMemory(0x10_0000);
    const size = format.packed ? 1 + draw(20) : 2 ** draw(6);
    const driver = new TestDriver(memory, size, format);
    const queue = createQueue(memory, driver.areas, format);
    const held: Chain[] = [];
    const expected = new Map<number, number>();
    let added = 0;
    let back = 0;
    driver.interrupts = true;
    for (let step = 0; step < 600; step++) {
      const action = draw(4);
      if (action === 0) {
        const tag = added & 0xff;
        const buffers: Buffer[] = [{ readable: Uint8Array.of(tag) }];
        for (let n = draw(3); n > 0; n--) buffers.push({ readable: new Uint8Array(draw(5)) });
        buffers.push({ writable: 1 + draw(3) });
        for (let n = draw(2); n > 0; n--) buffers.push({ writable: draw(9) });
        const indirect = format.indirect && draw(2) === 0;
        try {
          expected.set(driver.add(buffers, indirect), tag);
          added++;
        } catch (error) {
          assert.ok(error instanceof RangeError, String(error));
        }
      } else if (action === 1) {
        const chain = queue.pop();
        assert.notEqual(typeof chain, 'string', `seed ${seed}: ${chain as string}`);
        if (chain instanceof Chain) held.push(chain);
      } else if (action === 2 && held.length > 0) {
        const [chain] = held.splice(draw(held.length), 1) as [Chain];
        const tag = new Uint8Array(1);
        chain.read(0, tag);
        chain.write(0, tag);
        queue.complete(chain, 1);
      } else {
        const wanted = queue.publish();
        const backBefore = back;
        for (let used = driver.takeUsed(); used; used = driver.takeUsed()) {
          assert.equal(driver.contents(used)[0], expected.get(used.id), `seed ${seed}`);
          expected.delete(used.id);
          back++;
        }
        // The driver had asked for an interrupt at the first chain that comes.
        if (back > backBefore) assert.equal(wanted, true, `seed ${seed}: an interrupt was lost`);
        driver.interrupts = true;
      }
    }
    for (let chain = queue.pop(); chain instanceof Chain; chain = queue.pop()) held.push(chain);
    for (const chain of held) queue.complete(chain, 0);
    queue.publish();
    for (let used = driver.takeUsed(); used; used = driver.takeUsed()) back++;
    assert.equal(back, added, `seed ${seed}`);
    assert.equal(queue.inFlight, 0, `seed ${seed}`);
  }
});

test('whatever a hostile driver writes, nothing throws, work is bounded and the device writes only where it may', () => {
  for (let seed = 0; seed < 600; seed++) {
    const draw = random(seed + 1000);
    const format = formatOf(seed);
    const memory = new TestMemory(0x1_0000);
    const size = format.packed ? 1 + draw(16) : 2 ** draw(5);
    const driver = new TestDriver(memory, size, format);
    const queue = createQueue(memory, driver.areas, format);
    const end = memory.allocate(1);
    // Behind the queue and whatever its descriptors may point to: the device has no business there.
    const fence = 0x8000;
    memory.fill(gpa(fence), 0x100, 0x5a);
    const held: Chain[] = [];
    for (let step = 0; step < 200; step++) {
      // Rings and descriptors, with numbers that are small, near the edges, or anything.
      for (let writes = draw(8); writes > 0; writes--) {
        const at = 0x1000 + draw((end - 0x1000) >> 1) * 2;
        const value = [draw(8), draw(0x1_0000), 0xffff, 0x8000 | draw(8), draw(4) << 4][draw(5)]!;
        memory.writeU16(gpa(at), value);
      }
      if (draw(3) === 0) driver.offer(draw(size + 1));
      const popped = queue.pop();
      if (popped instanceof Chain) {
        const total = [...popped.readableViews(0, 2 ** 32), ...popped.writableViews(0, 2 ** 32)];
        const bytes = total.reduce((sum, view) => sum + view.length, 0);
        assert.equal(bytes, popped.readableBytes + popped.writableBytes, `seed ${seed}`);
        popped.read(draw(10), new Uint8Array(16));
        held.push(popped);
      }
      assert.ok(queue.inFlight <= size, `seed ${seed}: ${queue.inFlight} in flight`);
      if (held.length > 0 && draw(2) === 0) queue.complete(held.splice(draw(held.length), 1)[0]!, draw(100));
      if (draw(4) === 0) queue.publish();
      if (draw(4) === 0) queue.enableNotifications();
      if (draw(4) === 0) queue.disableNotifications();
    }
    assert.ok(
      memory.slice(gpa(fence), 0x100).every((byte) => byte === 0x5a),
      `seed ${seed}`,
    );
  }
});
