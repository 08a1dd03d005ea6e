import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isApproximate } from './x87-cases.ts';
import { difference, X87Runner } from './x87-run.ts';
import { readX87Vector, X87_VECTORS } from './x87-vectors.ts';
import type { X87Header } from './x87-vectors.ts';
import { hex, openVectors } from './vectors.ts';

test('every recorded x87 instruction leaves the state of the processor, transcendentals within one unit', () => {
  const { header, cases } = openVectors<X87Header>(X87_VECTORS);
  const runner = new X87Runner();
  const wrong: string[] = [];
  let count = 0;
  while (!cases.done) {
    const { before, after } = readX87Vector(header, cases);
    const { encoding, registers, memory, modrm, fcw, fsw, ftw } = before;
    const problem = difference(after, runner.run(before), isApproximate(encoding));
    if (problem !== '') {
      const words = `modrm ${modrm.toString(16)} fcw ${fcw.toString(16)} fsw ${fsw.toString(16)} ftw ${ftw.toString(16)}`;
      wrong.push(
        `${encoding.operation} ${words} ${registers.map(hex).join(' ')} ${hex(memory.subarray(0, 10))}: ${problem}`,
      );
    }
    count++;
  }
  assert.deepEqual(wrong.slice(0, 20), []);
  assert.ok(count >= 15_000, `only ${count} cases`);
});
