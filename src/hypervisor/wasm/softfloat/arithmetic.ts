/**
 * Addition, subtraction, multiplication, division and square root (SDM volume 1, 4.9 and the tables of FADD..FSQRT).
 *
 * Each takes operands apart already, rounds to `format` and raises exceptions in the environment. Order of precedence:
 * NaN operands, invalid operation, division by zero, denormal operand, then what rounding finds.
 *
 * @module
 */
import { DE, ROUND_DOWN, ZE } from './environment.ts';
import type { FloatEnvironment } from './environment.ts';
import type { FloatFormat } from './format.ts';
import { chooseNan, invalid, quiet } from './nan.ts';
import { round, setInfinity } from './round.ts';
import { bitLength, FINITE, INFINITE, small, ZERO } from './value.ts';
import type { FloatResult, FloatValue } from './value.ts';

/** a + b, or a - b when `negate` is 1. */
export function add(
  environment: FloatEnvironment,
  format: FloatFormat,
  out: FloatResult,
  a: FloatValue,
  b: FloatValue,
  negate: 0 | 1,
): void {
  if (a.isNan() || b.isNan()) {
    chooseNan(environment, format, out, a, b);
    return;
  }
  const signB = b.sign ^ negate;
  environment.roundedUp = false;
  if (a.kind === INFINITE || b.kind === INFINITE) {
    if (a.kind === b.kind && a.sign !== signB) {
      invalid(environment, format, out);
      return;
    }
    if (a.denormal || b.denormal) environment.flags |= DE;
    setInfinity(format, out, a.kind === INFINITE ? a.sign : signB);
    return;
  }
  if (a.denormal || b.denormal) environment.flags |= DE;
  if (b.kind === ZERO) {
    if (a.kind === ZERO) out.set(a.sign === signB ? a.sign : zeroSign(environment), 0, 0n);
    else round(environment, format, out, a.sign, a.exponent, a.significand, 64);
    return;
  }
  if (a.kind === ZERO) {
    round(environment, format, out, signB, b.exponent, b.significand, 64);
    return;
  }
  addFinite(environment, format, out, a.sign, a.exponent, a.significand, signB, b.exponent, b.significand);
}

/** The sign of an exact zero sum of non-zero numbers, or of zeros of different signs. */
export function zeroSign(environment: FloatEnvironment): number {
  return environment.rounding === ROUND_DOWN ? 1 : 0;
}

function addFinite(
  environment: FloatEnvironment,
  format: FloatFormat,
  out: FloatResult,
  signA: number,
  exponentA: number,
  a: bigint,
  signB: number,
  exponentB: number,
  b: bigint,
): void {
  let distance = exponentA - exponentB;
  if (distance < 0) {
    [signA, signB] = [signB, signA];
    [exponentA, exponentB] = [exponentB, exponentA];
    [a, b] = [b, a];
    distance = -distance;
  }
  let scale: number;
  if (distance <= 66) {
    scale = exponentB;
    a <<= small(distance);
  } else {
    // The smaller operand is far below the last place: it matters only as a non-zero remainder.
    scale = exponentA - 3;
    a <<= 3n;
    b = 1n;
  }
  let sum: bigint;
  let sign = signA;
  if (signA === signB) {
    sum = a + b;
  } else {
    sum = a - b;
    if (sum === 0n) {
      out.set(zeroSign(environment), 0, 0n);
      return;
    }
    if (sum < 0n) {
      sum = -sum;
      sign = signB;
    }
  }
  const bits = bitLength(sum);
  round(environment, format, out, sign, scale + bits - 64, sum, bits);
}

export function multiply(
  environment: FloatEnvironment,
  format: FloatFormat,
  out: FloatResult,
  a: FloatValue,
  b: FloatValue,
): void {
  if (a.isNan() || b.isNan()) {
    chooseNan(environment, format, out, a, b);
    return;
  }
  const sign = a.sign ^ b.sign;
  environment.roundedUp = false;
  if (a.kind === INFINITE || b.kind === INFINITE) {
    if (a.kind === ZERO || b.kind === ZERO) {
      invalid(environment, format, out);
      return;
    }
    if (a.denormal || b.denormal) environment.flags |= DE;
    setInfinity(format, out, sign);
    return;
  }
  if (a.denormal || b.denormal) environment.flags |= DE;
  if (a.kind === ZERO || b.kind === ZERO) {
    out.set(sign, 0, 0n);
    return;
  }
  const product = a.significand * b.significand;
  const bits = product >> 127n === 0n ? 127 : 128;
  round(environment, format, out, sign, a.exponent + b.exponent + bits - 127, product, bits);
}

/** a / b */
export function divide(
  environment: FloatEnvironment,
  format: FloatFormat,
  out: FloatResult,
  a: FloatValue,
  b: FloatValue,
): void {
  if (a.isNan() || b.isNan()) {
    chooseNan(environment, format, out, a, b);
    return;
  }
  const sign = a.sign ^ b.sign;
  environment.roundedUp = false;
  if (a.kind === b.kind && a.kind !== FINITE) {
    invalid(environment, format, out);
    return;
  }
  if (b.kind === ZERO) {
    // Infinity over zero is exact; only a finite dividend raises ZE, and then DE is not looked for.
    if (a.kind === FINITE) environment.flags |= ZE;
    setInfinity(format, out, sign);
    return;
  }
  if (a.denormal || b.denormal) environment.flags |= DE;
  if (a.kind === INFINITE) {
    setInfinity(format, out, sign);
    return;
  }
  if (a.kind === ZERO || b.kind === INFINITE) {
    out.set(sign, 0, 0n);
    return;
  }
  // 67 or 68 quotient bits and a sticky one, against a precision of at most 64.
  const numerator = a.significand << 67n;
  let quotient = numerator / b.significand;
  quotient = (quotient << 1n) | (quotient * b.significand === numerator ? 0n : 1n);
  const bits = quotient >> 68n === 0n ? 68 : 69;
  round(environment, format, out, sign, a.exponent - b.exponent + bits - 69, quotient, bits);
}

export function squareRoot(environment: FloatEnvironment, format: FloatFormat, out: FloatResult, a: FloatValue): void {
  if (a.isNan()) {
    quiet(environment, format, out, a);
    return;
  }
  environment.roundedUp = false;
  if (a.kind === ZERO) {
    out.set(a.sign, 0, 0n);
    return;
  }
  if (a.sign === 1) {
    invalid(environment, format, out);
    return;
  }
  if (a.kind === INFINITE) {
    setInfinity(format, out, 0);
    return;
  }
  if (a.denormal) environment.flags |= DE;
  // 67 root bits and a sticky one: the radicand needs 133 or 134 bits and an even scale.
  const odd = a.exponent & 1;
  const radicand = a.significand << (odd ? 70n : 69n);
  let root = integerRoot(radicand);
  root = (root << 1n) | (root * root === radicand ? 0n : 1n);
  round(environment, format, out, 0, (a.exponent - odd) / 2, root, 68);
}

/** Floor of the square root of an integer below 2^140. */
function integerRoot(n: bigint): bigint {
  // The Number root has 52 good bits; one Newton step doubles them, past the 70 that are needed.
  let root = BigInt(Math.floor(Math.sqrt(Number(n))));
  root = (root + n / root) >> 1n;
  while (root * root > n) root -= 1n;
  while ((root + 1n) * (root + 1n) <= n) root += 1n;
  return root;
}
