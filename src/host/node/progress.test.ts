import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createProgressLine, type ProgressLine } from './progress.ts';

const MIB = 1024 * 1024;

/** A line on an output that is recorded, and a clock that stands still until it is set. */
function line(isTTY: boolean): { progress: ProgressLine; written: string[]; clock: { ms: number } } {
  const written: string[] = [];
  const clock = { ms: 0 };
  const progress = createProgressLine({ isTTY, write: (text) => written.push(text) }, () => clock.ms);
  return { progress, written, clock };
}

test('a long load shows how far it is, and the line vanishes at the end', () => {
  const { progress, written, clock } = line(true);
  clock.ms = 300;
  progress.update('vmlinuz', 5 * MIB, 20 * MIB);
  progress.end();
  assert.deepEqual(written, ['\r\x1b[Kloading vmlinuz: 25 %, 5 of 20 MiB', '\r\x1b[K']);
});

test('a quick load shows nothing', () => {
  const { progress, written, clock } = line(true);
  clock.ms = 199;
  progress.update('vmlinuz', 5 * MIB, 20 * MIB);
  progress.end();
  assert.deepEqual(written, []);
});

test('the line is not rewritten for every piece', () => {
  const { progress, written, clock } = line(true);
  for (clock.ms = 300; clock.ms < 400; clock.ms++) progress.update('vmlinuz', 1, 2);
  assert.equal(written.length, 2);
});

test('without a terminal nothing is written', () => {
  const { progress, written, clock } = line(false);
  clock.ms = 1000;
  progress.update('vmlinuz', 5 * MIB, 20 * MIB);
  progress.end();
  assert.deepEqual(written, []);
});

test('control characters of a file name do not reach the terminal', () => {
  const { progress, written, clock } = line(true);
  clock.ms = 1000;
  progress.update('a\x1b]0;x\x07b', 1, 2);
  assert.match(written[0] ?? '', /loading a\?\]0;x\?b:/);
});

test('the line says what is done to the file', () => {
  const written: string[] = [];
  const clock = { ms: 0 };
  const output = { isTTY: true, write: (text: string) => written.push(text) };
  const progress = createProgressLine(output, () => clock.ms, 'converting');
  clock.ms = 300;
  progress.update('a.raw', MIB, 2 * MIB);
  assert.deepEqual(written, ['\r\x1b[Kconverting a.raw: 50 %, 1 of 2 MiB']);
});
