/** Lines of several devices on one global system interrupt. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InterruptLines } from './interrupt-lines.ts';

function recorded(): { lines: InterruptLines; driven: string[] } {
  const driven: string[] = [];
  return { lines: new InterruptLines(24, (gsi, level) => driven.push(`${gsi} ${level}`)), driven };
}

test('a line drives its GSI when it changes, and not again', () => {
  const { lines, driven } = recorded();
  const line = lines.line(4);
  for (const level of [false, true, true, false, false]) line.set(level);
  assert.deepEqual(driven, ['4 true', '4 false']);
});

test('a GSI stays asserted until its last source lets go', () => {
  const { lines, driven } = recorded();
  const [first, second] = [lines.line(5), lines.line(5)];
  first.set(true);
  second.set(true);
  first.set(false);
  assert.deepEqual(driven, ['5 true']);
  second.set(false);
  assert.deepEqual(driven, ['5 true', '5 false']);
});

test('a reset releases what is asserted, and the source can assert again', () => {
  const { lines, driven } = recorded();
  const line = lines.line(3);
  line.set(true);
  lines.reset();
  line.set(true);
  assert.deepEqual(driven, ['3 true', '3 false', '3 true']);
});

test('a GSI that is none is refused', () => {
  assert.throws(() => recorded().lines.line(24), /^RangeError: interrupt line 24: GSIs are 0 to 23$/);
});
