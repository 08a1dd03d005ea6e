import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { OUTPUT_LIMIT, OutputQueue } from './output-queue.ts';

/** A stream whose writes end when the test says so. */
class FakeStream extends EventEmitter {
  readonly writes: { text: string; done: (error?: Error) => void }[] = [];
  write(bytes: Uint8Array, done: (error?: Error) => void): void {
    this.writes.push({ text: Buffer.from(bytes).toString('latin1'), done });
  }
}

function opened(): { stream: FakeStream; queue: OutputQueue; failures: string[] } {
  const stream = new FakeStream();
  const failures: string[] = [];
  const queue = new OutputQueue(stream, (error) => failures.push(error.message));
  return { stream, queue, failures };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('what is written in one turn of the event loop is one write', async () => {
  const { stream, queue } = opened();
  for (const letter of 'hello') queue.write(Buffer.from(letter));
  assert.equal(stream.writes.length, 0);
  await turn();
  queue.write(Buffer.from('!'));
  await turn();
  assert.deepEqual(
    stream.writes.map(({ text }) => text),
    ['hello', '!'],
  );
});

test('the bytes are copied, so the device may use its buffer again', async () => {
  const { stream, queue } = opened();
  const buffer = Buffer.from('a');
  queue.write(buffer);
  buffer[0] = 0;
  await turn();
  assert.equal(stream.writes[0].text, 'a');
});

test('a large write keeps its order and its length', async () => {
  const { stream, queue } = opened();
  const text = Array.from({ length: 20_000 }, (_, index) => `${index},`).join('');
  queue.write(Buffer.from('first '));
  queue.write(Buffer.from(text));
  await turn();
  assert.equal(stream.writes.map((write) => write.text).join(''), `first ${text}`);
});

test('the queue is congested past its limit and says when it is not any more', async () => {
  const { stream, queue } = opened();
  let drains = 0;
  queue.onDrain(() => drains++);
  queue.write(new Uint8Array(OUTPUT_LIMIT));
  assert.equal(queue.congested, false);
  queue.write(new Uint8Array(1));
  assert.equal(queue.congested, true);
  await turn();
  for (const { done } of stream.writes) done();
  assert.equal(queue.congested, false);
  assert.equal(drains, 1);
});

test('the end waits for the writes that are under way', async () => {
  const { stream, queue } = opened();
  queue.write(Buffer.from('x'));
  let ended = false;
  const end = queue.end().then(() => (ended = true));
  await turn();
  assert.equal(ended, false);
  stream.writes[0].done();
  await end;
});

test('a stream that breaks is reported once, frees the device, and takes nothing more', async () => {
  const { stream, queue, failures } = opened();
  let drains = 0;
  queue.onDrain(() => drains++);
  queue.write(new Uint8Array(OUTPUT_LIMIT + 1));
  await turn();
  stream.writes[0].done(new Error('EPIPE'));
  stream.emit('error', new Error('EPIPE again'));
  const count = stream.writes.length;
  queue.write(Buffer.from('more'));
  await turn();
  await queue.end();
  assert.deepEqual(
    { failures, drains, congested: queue.congested, count },
    { failures: ['EPIPE'], drains: 1, congested: false, count: stream.writes.length },
  );
});
