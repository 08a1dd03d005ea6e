import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Trace } from '../../util/trace.ts';
import { RunTrace } from './run-trace.ts';

const MS = 1e6;

/** A run trace whose counters move by ten, four and one with every look, and what it has written. */
function traced(): { readonly run: RunTrace; readonly slices: unknown[] } {
  const slices: unknown[] = [];
  const trace: Trace = {
    now: () => 99 * MS,
    slice: (name, from, to, values) => slices.push([name, from / MS, to / MS, values]),
    mark: (name, at, values) => slices.push([name, at / MS, values]),
    counters: () => assert.fail(),
  };
  let looks = 0;
  const glance = (): ReturnType<ConstructorParameters<typeof RunTrace>[1]> => {
    looks++;
    return { occupation: 0, instructions: looks * 10, translated: looks * 4, liveRegions: 0, tlbMisses: looks };
  };
  return { run: new RunTrace(trace, glance), slices };
}

const COUNTED = { instructions: 10, translated: 4, 'TLB misses': 1 };

test('slices of guest code are one until the guest stops', () => {
  const { run, slices } = traced();
  for (const at of [1, 2, 3]) run.running(at * MS);
  run.stopped(4 * MS);
  run.stopped(5 * MS);
  run.running(6 * MS);
  run.stopped(7 * MS);
  assert.deepEqual(slices, [
    ['guest code', 1, 4, COUNTED],
    ['guest code', 6, 7, COUNTED],
  ]);
});

test('after ten milliseconds a new one begins', () => {
  const { run, slices } = traced();
  for (const at of [1, 10, 11, 20, 22]) run.running(at * MS);
  assert.deepEqual(slices, [
    ['guest code', 1, 11, COUNTED],
    ['guest code', 11, 22, COUNTED],
  ]);
});

test('a halt lasts until now, and an interrupt has its vector', () => {
  const { run, slices } = traced();
  run.halted(90 * MS);
  run.interrupt(0xec);
  assert.deepEqual(slices, [
    ['halt', 90, 99, undefined],
    ['interrupt', 99, { vector: 0xec }],
  ]);
});
