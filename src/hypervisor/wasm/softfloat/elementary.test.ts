import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as elementary from './elementary.ts';
import type { Real } from './elementary.ts';

/** The leading 128 bits of the magnitude, in hexadecimal. */
function leading({ mantissa }: Real): string {
  const digits = (mantissa < 0n ? -mantissa : mantissa).toString(2);
  return BigInt(`0b${digits.slice(0, 128)}`).toString(16);
}

const ONE: readonly [bigint, number] = [1n, 0];
const HALF: readonly [bigint, number] = [1n, -1];

// First digits of the constants as published; 128 bits are 38 decimal places.
const decimal = (digits: string, scale: bigint): string => {
  const value = (BigInt(digits) << 256n) / scale;
  return BigInt(`0b${value.toString(2).slice(0, 128)}`).toString(16);
};

test('the constants agree with their published digits to 128 bits', () => {
  const published: Record<keyof typeof elementary.CONSTANTS, [string, number]> = {
    pi: ['314159265358979323846264338327950288419716939937510582097', 56],
    log2Of10: ['332192809488736234787031942948939017586483139302458061205', 56],
    log2OfE: ['144269504088896340735992468100189213742664595415298593413', 56],
    log10Of2: ['301029995663981195213738894724493026768189881462108541310', 57],
    lnOf2: ['693147180559945309417232121458176568075500134360255254120', 57],
  };
  for (const [name, [digits, places]] of Object.entries(published)) {
    const value = elementary.CONSTANTS[name as keyof typeof elementary.CONSTANTS];
    assert.equal(leading(value), decimal(digits, 10n ** BigInt(places)), name);
  }
});

test('sine and cosine of one agree with their published digits to 128 bits', () => {
  // One is beyond pi/4, but the series do not mind.
  const sine = decimal('841470984807896506652502321630298999622563060798371065672', 10n ** 57n);
  const cosine = decimal('540302305868139717400936607442976603732310420617922227670', 10n ** 57n);
  assert.equal(leading(elementary.sine(...ONE)), sine);
  assert.equal(leading(elementary.cosine(...ONE)), cosine);
});

test('2^(1/2) - 1 agrees with the square root of two to 128 bits', () => {
  const digits = decimal('414213562373095048801688724209698078569671875376948073176', 10n ** 57n);
  assert.equal(leading(elementary.exponentialMinusOne(...HALF)), digits);
});

test('log2 of ten agrees with the constant to 128 bits', () => {
  assert.equal(leading(elementary.logarithm2(10n, 0)), leading(elementary.CONSTANTS.log2Of10));
});

test('the angle of the diagonal is a quarter of pi to 128 bits', () => {
  assert.equal(leading(elementary.angle(1n, 0, 1n, 0, false)), leading(elementary.CONSTANTS.pi));
});

test('log2(1 + x) of a tiny x keeps its relative precision', () => {
  // x / ln 2, but for x^2 / 2 below the 128 bits.
  const tiny = elementary.logarithm2OnePlus(1n, -1000);
  assert.ok(tiny !== undefined);
  assert.equal(leading(tiny), leading(elementary.CONSTANTS.log2OfE));
});
