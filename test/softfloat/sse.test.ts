import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SseRunner } from './sse-run.ts';
import { readSseVector, SSE_VECTORS } from './sse-vectors.ts';
import type { SseHeader } from './sse-vectors.ts';
import { hex, openVectors } from './vectors.ts';

test('every recorded SSE operation gives the result, flags and fault of the processor', () => {
  const { header, cases } = openVectors<SseHeader>(SSE_VECTORS);
  const runner = new SseRunner();
  const wrong: string[] = [];
  let count = 0;
  while (!cases.done) {
    const v = readSseVector(header, cases);
    const ours = runner.run(v.form.name, v.immediate, v.mxcsrBefore, v.first, v.second, v.form.result);
    const expected = `${hex(v.result)} mxcsr ${v.mxcsr.toString(16)} fault ${v.fault}`;
    const actual = `${hex(ours.result)} mxcsr ${ours.mxcsr.toString(16)} fault ${ours.fault}`;
    if (actual !== expected) {
      const operands = `${hex(v.first)}, ${hex(v.second)}, ${v.immediate} under ${v.mxcsrBefore.toString(16)}`;
      wrong.push(`${v.form.name} ${operands}: ${actual} instead of ${expected}`);
    }
    count++;
  }
  assert.deepEqual(wrong.slice(0, 20), []);
  assert.ok(count >= 8_000, `only ${count} cases`);
});
