import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reciprocal, reciprocalSquareRoot } from './reciprocal.ts';

const single = new Float32Array(1);
const bits = new Int32Array(single.buffer);
const toBits = (value: number): number => {
  single[0] = value;
  return bits[0]!;
};
const fromBits = (value: number): number => {
  bits[0] = value;
  return single[0]!;
};
const BOUND = 1.5 * 2 ** -12;

test('RCPSS stays within 1.5 * 2^-12 of the reciprocal', () => {
  for (let i = 0; i < 1 << 16; i++) {
    const x = fromBits(0x3f80_0000 + (i << 7) + (i & 127));
    assert.ok(Math.abs(fromBits(reciprocal(toBits(x))) * x - 1) < BOUND, `${x}`);
  }
});

test('RSQRTSS stays within 1.5 * 2^-12 of the reciprocal square root', () => {
  for (let i = 0; i < 1 << 17; i++) {
    const x = fromBits(0x3f80_0000 + (i << 7) + (i & 127));
    assert.ok(Math.abs(fromBits(reciprocalSquareRoot(toBits(x))) * Math.sqrt(x) - 1) < BOUND, `${x}`);
  }
});

test("RCPSS and RSQRTSS of one are a Xeon's 1 - 2^-12", () => {
  assert.equal(reciprocal(0x3f80_0000), 0x3f7f_f000);
  assert.equal(reciprocalSquareRoot(0x3f80_0000), 0x3f7f_f000);
});

test('RCPSS takes denormals for zeros and flushes tiny results', () => {
  assert.equal(reciprocal(0x007f_ffff), 0x7f80_0000);
  assert.equal(reciprocal(0x807f_ffff | 0), 0xff80_0000 | 0);
  assert.equal(reciprocal(0x7e80_0000), 0);
  assert.equal(reciprocal(0xff00_0000 | 0), 0x8000_0000 | 0);
});

test('RSQRTSS of a negative number is the default NaN', () => {
  assert.equal(reciprocalSquareRoot(0xbf80_0000 | 0), 0xffc0_0000 | 0);
});
