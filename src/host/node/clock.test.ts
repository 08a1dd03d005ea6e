import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { createClock, wallClock } from './clock.ts';

test('the clock is the monotonic clock of the system', () => {
  const before = Number(process.hrtime.bigint());
  const now = createClock().nanoseconds();
  const after = Number(process.hrtime.bigint());
  assert.ok(before - 1000 <= now && now <= after + 1000, `${before} ${now} ${after}`);
});

test('the clock never goes back and has a resolution well below a microsecond', () => {
  const clock = createClock();
  const readings = Array.from({ length: 10_000 }, () => clock.nanoseconds());
  const steps = readings.slice(1).map((reading, index) => reading - (readings[index] ?? 0));
  assert.ok(steps.every((step) => step >= 0));
  assert.ok(new Set(readings).size > 1000);
});

test('the clock of a worker that starts later has the same zero', async () => {
  const clock = createClock();
  const source = `
    const { parentPort, workerData } = require('node:worker_threads');
    import(workerData).then(({ createClock }) => {
      const clock = createClock();
      parentPort.on('message', () => parentPort.postMessage(clock.nanoseconds()));
      parentPort.postMessage('ready');
    });`;
  const worker = new Worker(source, { eval: true, workerData: new URL('./clock.ts', import.meta.url).href });
  await once(worker, 'message');
  for (let round = 0; round < 20; round++) {
    const before = clock.nanoseconds();
    worker.postMessage('now');
    const [there] = (await once(worker, 'message')) as [number];
    const after = clock.nanoseconds();
    assert.ok(before - 20_000 <= there && there <= after + 20_000, `${before} ${there} ${after}`);
  }
  await worker.terminate();
});

test('the wall clock tells the time of day', () => {
  assert.ok(Math.abs(wallClock.milliseconds() - Date.now()) < 1000);
});
