import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SplitQueue } from './split.ts';
import { takeChains } from './take-chains.ts';
import { PLAIN, TestDriver, TestMemory, writable } from './testing.ts';

/** A queue whose driver makes `late` chains available, one each time, just before the device asks for notifications. */
class RacedQueue extends SplitQueue {
  readonly #driver: TestDriver;
  late: number;

  constructor(driver: TestDriver, late: number) {
    super(driver.memory, driver.areas, driver.format);
    this.#driver = driver;
    this.late = late;
  }

  override enableNotifications(): boolean {
    if (this.late > 0) {
      this.late--;
      this.#driver.add([writable(1)]);
    }
    return super.enableNotifications();
  }
}

function rig(late = 0, size = 16) {
  const driver = new TestDriver(new TestMemory(0x1_0000), size, PLAIN);
  return { driver, queue: new RacedQueue(driver, late) };
}

test('all chains are taken, and the driver notifies of the next', () => {
  const { driver, queue } = rig();
  for (let n = 0; n < 3; n++) driver.add([writable(1)]);
  let taken = 0;
  assert.equal(
    takeChains(queue, () => {
      taken++;
      assert.equal(driver.wantsNotification, false, 'not while they are taken');
    }),
    'empty',
  );
  assert.deepEqual([taken, driver.wantsNotification], [3, true]);
});

test('a chain that comes between the last look and the request to be notified is taken, with notifications off', () => {
  const { driver, queue } = rig(2);
  const wanted: boolean[] = [];
  assert.equal(
    takeChains(queue, () => void wanted.push(driver.wantsNotification)),
    'empty',
  );
  assert.deepEqual([wanted, driver.wantsNotification], [[false, false], true]);
});

test('after the greatest number of chains there is more, also when they come one by one', () => {
  const { driver, queue } = rig();
  for (let n = 0; n < 5; n++) driver.add([writable(1)]);
  let taken = 0;
  const take = (): void => void taken++;
  assert.deepEqual([takeChains(queue, take, 3), taken, takeChains(queue, take, 3), taken], ['more', 3, 'empty', 5]);
  const raced = rig(100, 128);
  assert.equal(takeChains(raced.queue, take, 20), 'more');
});

test('a fault of the driver ends it', () => {
  const { driver, queue } = rig();
  driver.add([writable(1)]);
  driver.offer(16);
  let taken = 0;
  assert.equal(
    takeChains(queue, () => void taken++),
    'descriptor-out-of-range',
  );
  assert.equal(taken, 1);
});
