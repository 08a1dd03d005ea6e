/**
 * Shortcuts through JavaScript numbers: the host rounds to nearest, the rounding error is found exactly (Knuth's
 * two-sum, Dekker's product), and its sign gives the inexact flag and the directed roundings.
 *
 * Each function returns NaN when it does not apply: operands or results near the ends of the exponent range, zeros whose
 * sign depends on the rounding mode, infinities and NaNs. Otherwise the result is exact for every rounding mode and the
 * only exception possible is `status.inexact`. Measured, with all of SseSlow.run around it: 95-155 ns against 600-1500 ns
 * through BigInt.
 *
 * @module
 */
import { ROUND_DOWN, ROUND_NEAREST, ROUND_UP } from './environment.ts';

/** Of the last function that did not return NaN. */
export const status = { inexact: false };

const doubleView = new Float64Array(1);
const doubleInteger = new BigInt64Array(doubleView.buffer);
const singleView = new Float32Array(1);
const singleInteger = new Int32Array(singleView.buffer);

function step64(value: number, away: boolean): number {
  doubleView[0] = value;
  doubleInteger[0] = doubleInteger[0]! + (away ? 1n : -1n);
  return doubleView[0]!;
}

function step32(value: number, away: boolean): number {
  singleView[0] = value;
  singleInteger[0] = singleInteger[0]! + (away ? 1 : -1);
  return singleView[0]!;
}

/**
 * The result in a rounding mode, from the one rounded to nearest (not 0) and the sign of what that rounding dropped:
 * 1 stay, 2 one step away from zero, 0 one step towards zero.
 */
function adjustment(nearest: number, error: number, rounding: number): 0 | 1 | 2 {
  if (error === 0) {
    status.inexact = false;
    return 1;
  }
  status.inexact = true;
  if (rounding === ROUND_NEAREST) return 1;
  const downward = rounding === ROUND_DOWN || (rounding !== ROUND_UP && nearest > 0);
  if (downward ? error > 0 : error < 0) return 1;
  return downward === nearest < 0 ? 2 : 0;
}

function finish64(nearest: number, error: number, rounding: number): number {
  const change = adjustment(nearest, error, rounding);
  return change === 1 ? nearest : step64(nearest, change === 2);
}

function finish32(nearest: number, error: number, rounding: number): number {
  const change = adjustment(nearest, error, rounding);
  return change === 1 ? nearest : step32(nearest, change === 2);
}

const SPLITTER = 2 ** 27 + 1;

/** The exact a * b - product, where neither overflows nor comes near underflow. */
function productError(a: number, b: number, product: number): number {
  const bigA = SPLITTER * a;
  const highA = bigA - (bigA - a),
    lowA = a - highA;
  const bigB = SPLITTER * b;
  const highB = bigB - (bigB - b),
    lowB = b - highB;
  return lowA * lowB - (product - highA * highB - lowA * highB - highA * lowB);
}

/** The exact a + b - sum. */
function sumError(a: number, b: number, sum: number): number {
  const virtual = sum - a;
  return a - (sum - virtual) + (b - virtual);
}

const exactZero = (zero: number): number => {
  status.inexact = false;
  return zero;
};

// Wide enough for what programs compute, and far enough from the ends that no intermediate value needs a look.
const moderate64 = (a: number): boolean => {
  const magnitude = Math.abs(a);
  return magnitude >= 2 ** -400 && magnitude <= 2 ** 400;
};
const normal32 = (a: number): boolean => {
  const magnitude = Math.abs(a);
  return magnitude >= 2 ** -126 && magnitude <= 2 ** 127;
};
/** A result that can move one step either way and stay normal. */
const safe32 = (a: number): boolean => {
  const magnitude = Math.abs(a);
  return magnitude >= 2 ** -125 && magnitude <= 2 ** 126;
};

export function add64(a: number, b: number, rounding: number): number {
  if (!(moderate64(a) || a === 0) || !(moderate64(b) || b === 0)) return Number.NaN;
  const sum = a + b;
  if (sum === 0) return rounding === ROUND_DOWN ? Number.NaN : exactZero(sum);
  return finish64(sum, sumError(a, b, sum), rounding);
}

export function multiply64(a: number, b: number, rounding: number): number {
  if (!moderate64(a) || !moderate64(b)) return Number.NaN;
  const product = a * b;
  return finish64(product, productError(a, b, product), rounding);
}

export function divide64(a: number, b: number, rounding: number): number {
  if (!moderate64(a) || !moderate64(b)) return Number.NaN;
  const quotient = a / b;
  const product = quotient * b;
  // a - product is exact, as they differ by a few units in the last place.
  const rest = a - product - productError(quotient, b, product);
  return finish64(quotient, b < 0 ? -rest : rest, rounding);
}

export function squareRoot64(a: number, rounding: number): number {
  if (!(a >= 2 ** -400 && a <= 2 ** 400)) return Number.NaN;
  const root = Math.sqrt(a);
  const square = root * root;
  return finish64(root, a - square - productError(root, root, square), rounding);
}

/**
 * Rounds the exact value `near` + `rest` to binary32. A sum of two binary32 numbers leaves a rest only when one is so
 * much smaller that `near` cannot be a tie, so the rest matters only where `near` is a binary32 number already.
 */
function narrow(near: number, rest: number, rounding: number): number {
  const single = Math.fround(near);
  return safe32(single) ? finish32(single, near - single || rest, rounding) : Number.NaN;
}

export function add32(a: number, b: number, rounding: number): number {
  if (!(normal32(a) || a === 0) || !(normal32(b) || b === 0)) return Number.NaN;
  const sum = a + b;
  if (sum === 0) return rounding === ROUND_DOWN ? Number.NaN : exactZero(sum);
  return narrow(sum, sumError(a, b, sum), rounding);
}

export function multiply32(a: number, b: number, rounding: number): number {
  if (!normal32(a) || !normal32(b)) return Number.NaN;
  return narrow(a * b, 0, rounding);
}

export function divide32(a: number, b: number, rounding: number): number {
  if (!normal32(a) || !normal32(b)) return Number.NaN;
  // Rounding twice is harmless here: a quotient of 24-bit numbers is never that close to a tie (Figueroa).
  const single = Math.fround(a / b);
  if (!safe32(single)) return Number.NaN;
  const rest = a - single * b;
  return finish32(single, b < 0 ? -rest : rest, rounding);
}

export function squareRoot32(a: number, rounding: number): number {
  if (!(a >= 2 ** -126 && a <= 2 ** 127)) return Number.NaN;
  const single = Math.fround(Math.sqrt(a));
  return finish32(single, a - single * single, rounding);
}

export function narrow64(a: number, rounding: number): number {
  return moderate64(a) ? narrow(a, 0, rounding) : Number.NaN;
}
