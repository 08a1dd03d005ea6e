import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TimerQueue } from './timers.ts';

test('timers fire in the order of their deadlines, once each', () => {
  const queue = new TimerQueue();
  const fired: string[] = [];
  queue.set(30, () => fired.push('c'));
  queue.set(10, () => fired.push('a'));
  queue.set(20, () => fired.push('b'));
  assert.equal(queue.nextDeadline(), 10);
  queue.run(20);
  assert.deepEqual(fired, ['a', 'b']);
  queue.run(100);
  queue.run(100);
  assert.deepEqual(fired, ['a', 'b', 'c']);
  assert.equal(queue.nextDeadline(), Infinity);
});

test('timers of one deadline fire in the order in which they were set', () => {
  const queue = new TimerQueue();
  const fired: number[] = [];
  for (const n of [1, 2, 3]) queue.set(10, () => fired.push(n));
  queue.run(10);
  assert.deepEqual(fired, [1, 2, 3]);
});

test('a timer that was cleared does not fire, even by a callback of the same run', () => {
  const queue = new TimerQueue();
  let fired = 0;
  const second = { handle: queue.set(20, () => fired++) };
  queue.set(10, () => queue.clear(second.handle));
  queue.run(100);
  assert.equal(fired, 0);
});

test('clearing a timer that has fired does nothing', () => {
  const queue = new TimerQueue();
  const handle = queue.set(1, () => {});
  queue.run(1);
  queue.clear(handle);
});

test('a callback that sets a timer in the past is not run again by the same call', () => {
  const queue = new TimerQueue();
  let fired = 0;
  const again = (): void => {
    fired++;
    queue.set(0, again);
  };
  again();
  queue.run(100);
  assert.equal(fired, 2);
});

test('a timer set by a callback does not keep the other due ones from firing', () => {
  const queue = new TimerQueue();
  const fired: string[] = [];
  queue.set(1, () => {
    fired.push('a');
    queue.set(0, () => fired.push('late'));
  });
  queue.set(2, () => fired.push('b'));
  queue.run(5);
  assert.deepEqual(fired, ['a', 'b']);
});

test('whoever drives the queue is told when the first deadline moves closer', () => {
  const told: number[] = [];
  const queue = new TimerQueue((deadline) => told.push(deadline));
  queue.set(30, () => {});
  queue.set(40, () => {});
  queue.set(10, () => {});
  assert.deepEqual(told, [30, 10]);
});
