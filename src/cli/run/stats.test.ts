import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Occupation, WasmVcpuStats } from '../../hypervisor/stats.ts';
import { formatStats } from './stats.ts';

const STATS: WasmVcpuStats = {
  hypervisor: 'wasm',
  instructions: 4_000_000,
  translated: 3_000_000,
  decoded: 200,
  lookups: 50,
  coldHandlers: 3,
  codeFlushes: 1,
  tlbClears: 2,
  interrupts: 5,
  exceptions: 6,
  systemInstructions: { in: 10, hlt: 30 },
  halts: 7,
  exits: { budget: 8, regionBudget: 9, leftOften: 3, step: 2, fault: 10, leave: 11, again: 12 },
  regions: {
    live: 20,
    built: 21,
    rebuilt: 22,
    dropped: 23,
    stale: 24,
    calls: 1000,
    bytes: 1_234_567,
    instructions: 25,
    translationSeconds: 2,
    compileSeconds: 0.5,
  },
  deviceCalls: 13,
  postedWrites: 14,
};

const seconds: Record<Occupation, number> = {
  interpreted: 0.5,
  translated: 0.25,
  memory: 0.05,
  decoding: 0.1,
  system: 0.05,
  float: 0,
  devices: 0,
  installing: 0,
  dropping: 0,
  events: 0.05,
  halted: 1,
  other: 0,
};

/** The lines of a group, without blanks at their starts. */
function groupOf(text: string, title: string): string[] {
  const [, lines = ''] = text.split(`\n${title}\n`);
  return (lines.split('\n\n')[0] ?? '')
    .trimEnd()
    .split('\n')
    .map((line) => line.trim().replaceAll(/ {2,}/g, '  '));
}

test('instructions are given with their shares and rates', () => {
  const text = formatStats([{ ...STATS, times: { samples: 1900, seconds } }], 3);
  assert.deepEqual(groupOf(text, 'guest instructions'), [
    'executed  4,000,000',
    'interpreted  1,000,000  25.0 %',
    'translated  3,000,000  75.0 %',
    'million a second  1.3',
    'million a second not halted  2.0',
  ]);
});

test('the time of the thread is given by what it did, with shares of what was sampled', () => {
  const text = formatStats([{ ...STATS, times: { samples: 1900, seconds } }], 3);
  const lines = groupOf(text, "time of the vCPU's thread, 1,900 samples");
  assert.equal(lines.length, 12);
  assert.deepEqual(lines.slice(0, 4), [
    'interpreted code  0.500 s  25.0 %',
    'translated code  0.250 s  12.5 %',
    'TLB misses and page crossings  0.050 s  2.5 %',
    'decoding  0.100 s  5.0 %',
  ]);
  assert.equal(lines.at(-2), 'halted  1.000 s  50.0 %');
});

test('a machine that ended before the first sample has no times', () => {
  const nothing = Object.fromEntries(Object.keys(seconds).map((name) => [name, 0])) as typeof seconds;
  assert.doesNotMatch(formatStats([{ ...STATS, times: { samples: 0, seconds: nothing } }], 3), /time of the vCPU/);
});

test('what was not measured has no lines', () => {
  const text = formatStats([STATS], 3);
  assert.doesNotMatch(text, /samples|halted  |TLB misses|with the budget/);
});

test('ends of regions and TLB misses are given where they were counted', () => {
  const measured = {
    tlbMisses: { read: 100, write: 200, execute: 300 },
    regionEnds: { jump: 900, fault: 50, budget: 30, refused: 15, leave: 5 },
  };
  const text = formatStats([{ ...STATS, measured }], 3);
  assert.deepEqual(groupOf(text, 'calls of regions'), [
    'from the main loop  1,000',
    'that ended at other code  900  90.0 %',
    'with a fault  50  5.0 %',
    'with the budget  30  3.0 %',
    'refused: pages moved  15  1.5 %',
    'at an instruction  5  0.5 %',
  ]);
  assert.match(text, /TLB misses, writes +200\n/);
});

test('the most frequent system instructions come first, the rest together', () => {
  const systemInstructions = Object.fromEntries(Array.from({ length: 11 }, (_, n) => [`i${n}`, n + 1]));
  const lines = groupOf(
    formatStats([{ ...STATS, systemInstructions }], 3),
    'system instructions and the x87, in TypeScript',
  );
  assert.deepEqual(
    [lines[0], lines[1], lines.at(-2), lines.at(-1)],
    ['executed  66', 'i10  11  16.7 %', 'i3  4  6.1 %', 'others  6  9.1 %'],
  );
});

test('names, values and shares stand in columns, in at most 80 characters', () => {
  const lines = formatStats([{ ...STATS, times: { samples: 9, seconds } }], 3).split('\n');
  const ends = new Set(
    lines.filter((line) => line.startsWith('  ')).map((line) => line.replace(/ +[\d.]+ %$/, '').length),
  );
  assert.deepEqual(ends.size, 1);
  assert.ok(lines.every((line) => line.length <= 80));
});

test('every vCPU has a table', () => {
  assert.match(formatStats([STATS, STATS], 3), /^vCPU 0, 3\.000 s\n[^]*\nvCPU 1, 3\.000 s\n/);
});

test('a machine without a single instruction has no shares', () => {
  const text = formatStats([{ ...STATS, instructions: 0, translated: 0, systemInstructions: {} }], 3);
  assert.doesNotMatch(text, /NaN|Infinity/);
  assert.deepEqual(groupOf(text, 'guest instructions').slice(0, 2), ['executed  0', 'interpreted  0']);
});
