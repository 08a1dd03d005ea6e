import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { INPUT_LIMIT, InputQueue } from './input-queue.ts';

/** A stream that records whether it was paused. */
class FakeStream extends EventEmitter {
  paused = true;
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
}

function started(): { stream: FakeStream; queue: InputQueue } {
  const stream = new FakeStream();
  const queue = new InputQueue(stream);
  queue.start();
  return { stream, queue };
}

test('bytes come out in order, as many as asked for, across the pieces they came in', () => {
  const { stream, queue } = started();
  stream.emit('data', Uint8Array.of(1, 2, 3));
  stream.emit('data', Uint8Array.of(4, 5));
  assert.deepEqual([...queue.read(2)], [1, 2]);
  assert.deepEqual([...queue.read(2)], [3, 4]);
  assert.deepEqual([...queue.read(9)], [5]);
  assert.deepEqual([...queue.read(9)], []);
});

test('the listener is called when bytes arrive while none were waiting, and only then', () => {
  const { stream, queue } = started();
  let calls = 0;
  queue.onReadable(() => calls++);
  stream.emit('data', Uint8Array.of(1));
  stream.emit('data', Uint8Array.of(2));
  assert.equal(calls, 1);
  queue.read(2);
  stream.emit('data', Uint8Array.of(3));
  assert.equal(calls, 2);
});

test('bytes that wait already are announced to a listener that comes later', async () => {
  const { stream, queue } = started();
  stream.emit('data', Uint8Array.of(1));
  await new Promise<void>((resolve) => queue.onReadable(resolve));
});

test('a piece that the filter takes whole is not announced', () => {
  const stream = new FakeStream();
  const queue = new InputQueue(stream, (bytes) => bytes.subarray(0, 0));
  queue.start();
  queue.onReadable(() => assert.fail('nothing is there to read'));
  stream.emit('data', Uint8Array.of(1));
  assert.equal(queue.read(1).length, 0);
});

test('the stream is paused past the limit and goes on when half of it is taken', () => {
  const { stream, queue } = started();
  stream.emit('data', new Uint8Array(INPUT_LIMIT));
  assert.equal(stream.paused, false);
  stream.emit('data', new Uint8Array(1));
  assert.equal(stream.paused, true);
  queue.read(INPUT_LIMIT / 2);
  assert.equal(stream.paused, true);
  queue.read(1);
  assert.equal(stream.paused, false);
});
