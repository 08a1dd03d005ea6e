import assert from 'node:assert/strict';
import { test } from 'node:test';
import { add, divide, multiply, squareRoot } from './arithmetic.ts';
import { FloatEnvironment, PE } from './environment.ts';
import { BINARY32, BINARY64 } from './format.ts';
import * as native from './native.ts';
import { FloatResult, FloatValue } from './value.ts';

const environment = new FloatEnvironment();
const a = new FloatValue(),
  b = new FloatValue(),
  out = new FloatResult();
const words = new Uint32Array(2);
const double = new Float64Array(words.buffer);
const single = new Float32Array(words.buffer);

let seed = 12345;
function random(): number {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
  return seed / 2 ** 32;
}
/** Of a few magnitudes, often with few bits, so that exact results and ties happen. */
function operand(): number {
  const bits = 2 ** Math.floor(random() * 54);
  return ((Math.floor(random() * bits) + 1) / bits) * 2 ** Math.floor(random() * 60 - 30) * (random() < 0.5 ? -1 : 1);
}

function load64(value: FloatValue, x: number): void {
  double[0] = x;
  value.fromBinary64(words[1]!, words[0]!, environment);
}
function load32(value: FloatValue, x: number): void {
  single[0] = x;
  value.fromBinary32(words[0]!, environment);
}

type Exact = (format: typeof BINARY64) => void;
const operations: readonly [string, typeof native.add64, typeof native.add32, Exact][] = [
  ['add', native.add64, native.add32, (format) => add(environment, format, out, a, b, 0)],
  ['multiply', native.multiply64, native.multiply32, (format) => multiply(environment, format, out, a, b)],
  ['divide', native.divide64, native.divide32, (format) => divide(environment, format, out, a, b)],
  [
    'square root',
    (x, _, rounding) => native.squareRoot64(x, rounding),
    (x, _, rounding) => native.squareRoot32(x, rounding),
    (format) => squareRoot(environment, format, out, a),
  ],
];

for (const [name, native64, native32, exact] of operations) {
  test(`the shortcut for binary64 ${name} agrees with BigInt arithmetic in every rounding mode`, () => {
    let taken = 0;
    for (let i = 0; i < 20_000; i++) {
      const x = operand(),
        y = operand();
      environment.rounding = i & 3;
      const fast = native64(x, y, environment.rounding);
      if (Number.isNaN(fast)) continue;
      const { inexact } = native.status;
      taken++;
      environment.flags = 0;
      load64(a, x);
      load64(b, y);
      exact(BINARY64);
      out.binary64(words, 0);
      assert.ok(Object.is(fast, double[0]), `${x}, ${y}, mode ${i & 3}: ${fast} instead of ${double[0]}`);
      assert.equal(environment.flags, inexact ? PE : 0, `${x}, ${y}, mode ${i & 3}`);
    }
    assert.ok(taken > 8_000);
  });

  test(`the shortcut for binary32 ${name} agrees with BigInt arithmetic in every rounding mode`, () => {
    let taken = 0;
    for (let i = 0; i < 20_000; i++) {
      const x = Math.fround(operand()),
        y = Math.fround(operand());
      environment.rounding = i & 3;
      const fast = native32(x, y, environment.rounding);
      if (Number.isNaN(fast)) continue;
      const { inexact } = native.status;
      taken++;
      environment.flags = 0;
      load32(a, x);
      load32(b, y);
      exact(BINARY32);
      words[0] = out.binary32();
      assert.ok(Object.is(fast, single[0]), `${x}, ${y}, mode ${i & 3}: ${fast} instead of ${single[0]}`);
      assert.equal(environment.flags, inexact ? PE : 0, `${x}, ${y}, mode ${i & 3}`);
    }
    assert.ok(taken > 8_000);
  });
}

test('the shortcuts refuse what may overflow, underflow or carry a NaN', () => {
  for (const x of [Infinity, Number.NaN, 1e308, 1e-308, 5e-324]) {
    assert.ok(Number.isNaN(native.add64(x, 1, 0)), `add ${x}`);
    assert.ok(Number.isNaN(native.multiply64(x, 1, 0)), `multiply ${x}`);
    assert.ok(Number.isNaN(native.divide64(x, 1, 0)), `divide ${x}`);
    assert.ok(Number.isNaN(native.squareRoot64(x, 0)), `square root ${x}`);
  }
});
