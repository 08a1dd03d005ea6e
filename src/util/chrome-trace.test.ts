import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTrack, processName, TRACE_END, TRACE_START, trackName } from './chrome-trace.ts';
import type { Trace } from './trace.ts';

const TRACK = { process: 7, thread: 2, origin: 1000 };

/** What the calls have written, as the events of a whole file. */
function events(write: (trace: Trace) => void): unknown {
  let text = '';
  write(
    createTrack(
      {
        now: () => 5000,
        add: (line) => {
          text += line;
        },
      },
      TRACK,
    ),
  );
  return JSON.parse(TRACE_START + text + processName(7, 'p') + TRACE_END).slice(0, -1);
}

test('a slice is a complete event in microseconds from the zero of the trace', () => {
  assert.deepEqual(
    events((trace) => trace.slice('translate "x"', 3500, 6001, { rip: '0x10', bytes: 3 })),
    [{ name: 'translate "x"', ph: 'X', ts: 2.5, dur: 2.501, pid: 7, tid: 2, args: { rip: '0x10', bytes: 3 } }],
  );
});

test('a mark is an instant event of its thread', () => {
  assert.deepEqual(
    events((trace) => trace.mark('reset', 2000)),
    [{ name: 'reset', ph: 'i', s: 't', ts: 1, pid: 7, tid: 2 }],
  );
});

test('counters are one event with a value for each curve', () => {
  assert.deepEqual(
    events((trace) => trace.counters('speed', 2000, { interpreted: 1.5, translated: 2 })),
    [{ name: 'speed', ph: 'C', ts: 1, pid: 7, tid: 2, args: { interpreted: 1.5, translated: 2 } }],
  );
});

test('what began before the zero of the trace begins there', () => {
  assert.deepEqual(
    events((trace) => {
      trace.slice('early', 0, 3000);
      trace.slice('earlier', 0, 500);
      trace.mark('mark', 0);
    }),
    [
      { name: 'early', ph: 'X', ts: 0, dur: 2, pid: 7, tid: 2 },
      { name: 'earlier', ph: 'X', ts: 0, dur: 0, pid: 7, tid: 2 },
      { name: 'mark', ph: 'i', s: 't', ts: 0, pid: 7, tid: 2 },
    ],
  );
});

test('a track has a name and a place', () => {
  assert.deepEqual(JSON.parse(`[${trackName(TRACK, 'vCPU 0')}]`), [
    { name: 'thread_name', ph: 'M', pid: 7, tid: 2, args: { name: 'vCPU 0' } },
    { name: 'thread_sort_index', ph: 'M', pid: 7, tid: 2, args: { sort_index: 2 } },
  ]);
});
