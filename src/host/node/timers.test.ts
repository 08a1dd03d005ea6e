import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClock } from './clock.ts';
import { createTimers } from './timers.ts';

const MS = 1e6;
const clock = createClock();

test('a timer fires at its deadline, not before and not much later', async () => {
  using timers = createTimers(clock);
  for (const delayNs of [50_000, 700_000, 3 * MS, 20 * MS]) {
    const deadline = clock.nanoseconds() + delayNs;
    const fired = await new Promise<number>((resolve) => {
      setTimeout(resolve, 1000, Infinity);
      timers.set(deadline, () => resolve(clock.nanoseconds()));
    });
    assert.ok(fired >= deadline && fired < deadline + 500 * MS, `${delayNs}: ${fired - deadline}`);
  }
});

test('a timer in the past fires, but not from inside set', async () => {
  using timers = createTimers(clock);
  let inside = true;
  const fired = new Promise<void>((resolve) => {
    timers.set(0, () => {
      assert.equal(inside, false);
      resolve();
    });
  });
  inside = false;
  await fired;
});

test('timers fire in the order of their deadlines, whatever the order they were set in', async () => {
  using timers = createTimers(clock);
  const now = clock.nanoseconds();
  const order: number[] = [];
  await new Promise<void>((resolve) => {
    timers.set(now + 8 * MS, () => resolve());
    timers.set(now + 6 * MS, () => order.push(6));
    timers.set(now + 2 * MS, () => order.push(2));
    timers.set(now + 4 * MS, () => order.push(4));
  });
  assert.deepEqual(order, [2, 4, 6]);
});

test('a timer that was cleared does not fire', async () => {
  using timers = createTimers(clock);
  const now = clock.nanoseconds();
  timers.clear(timers.set(now + 2 * MS, () => assert.fail('fired')));
  await new Promise<void>((resolve) => timers.set(now + 10 * MS, resolve));
});

test('a timer may set the next one', async () => {
  using timers = createTimers(clock);
  let rounds = 0;
  await new Promise<void>((resolve) => {
    const tick = (): void => {
      if (++rounds === 5) resolve();
      else timers.set(clock.nanoseconds() + 100_000, tick);
    };
    tick();
  });
  assert.equal(rounds, 5);
});
