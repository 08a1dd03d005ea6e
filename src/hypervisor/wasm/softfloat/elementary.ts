/**
 * Elementary functions in BigInt fixed point, far more precise than any format: what FSIN and its kin round once.
 *
 * A result is `mantissa * 2^exponent` with a relative error below 2^-140. Small arguments keep that because each series
 * is summed for the quotient function / argument. None of these results is a rational number, so the lowest
 * bit of a mantissa only says "and something more": it is always set.
 *
 * @module
 */
import { bitLength, small } from './value.ts';

/** Fraction bits of fixed-point numbers. */
const W = 160;
const SHIFT = BigInt(W);
const ONE = 1n << SHIFT;

export interface Real {
  /** Signed. */
  readonly mantissa: bigint;
  readonly exponent: number;
}

const real = (mantissa: bigint, exponent: number): Real => ({ mantissa: mantissa | 1n, exponent });

/** value * 2^by, rounded down when `by` is negative. */
function shifted(value: bigint, by: number): bigint {
  return by >= 0 ? value << small(by) : value >> small(-by);
}

/** The sum over k of (-1)^k / ((2k+1) * n^(2k+1)) in fixed point: the arc tangent of 1/n; without signs the hyperbolic one. */
function inverseSeries(n: bigint, hyperbolic: boolean): bigint {
  let power = ONE / n;
  let sum = 0n;
  for (let k = 0n; power !== 0n; k++) {
    const term = power / (2n * k + 1n);
    sum += k & 1n && !hyperbolic ? -term : term;
    power /= n * n;
  }
  return sum;
}

/** Pi, by Machin's formula, and logarithms, in fixed point. */
export const PI: bigint = 4n * (4n * inverseSeries(5n, false) - inverseSeries(239n, false));
const LN2 = 2n * inverseSeries(3n, true);
const LN10 = 3n * LN2 + 2n * inverseSeries(9n, true);

/** The constants of FLDPI, FLDL2T, FLDL2E, FLDLG2 and FLDLN2. */
export const CONSTANTS: Readonly<Record<'pi' | 'log2Of10' | 'log2OfE' | 'log10Of2' | 'lnOf2', Real>> = {
  pi: real(PI, -W),
  log2Of10: real((LN10 << SHIFT) / LN2, -W),
  log2OfE: real((ONE << SHIFT) / LN2, -W),
  log10Of2: real((LN2 << SHIFT) / LN10, -W),
  lnOf2: real(LN2, -W),
};
const LOG2E = (ONE << SHIFT) / LN2;

/** Floor of the square root. */
function squareRoot(n: bigint): bigint {
  let root = 1n << BigInt((bitLength(n) + 2) >> 1);
  for (;;) {
    const next = (root + n / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

/** (sin x) / x and cos x in fixed point, of x = mantissa * 2^exponent, not zero, at most pi/4 or so. */
function sineQuotientAndCosine(mantissa: bigint, exponent: number): [bigint, bigint] {
  // Mantissas have at most some 200 bits: below this the square is nothing.
  const square = 2 * exponent + W < -3 * W ? 0n : shifted(mantissa * mantissa, 2 * exponent + W);
  let sine = ONE,
    cosine = ONE,
    term = ONE;
  for (let k = 1n; ; k += 2n) {
    term = (-term * square) >> SHIFT;
    term /= k * (k + 1n);
    if (term === 0n) break;
    // term = (-1)^j x^(2j) / (2j)!
    cosine += term;
    sine += term / (k + 2n);
  }
  // Of arguments so small that nothing else is left, the sine is still below the argument and the cosine below one.
  return [sine === ONE ? ONE - 1n : sine, cosine === ONE ? ONE - 1n : cosine];
}

export function sine(mantissa: bigint, exponent: number): Real {
  const [quotient] = sineQuotientAndCosine(mantissa, exponent);
  return real(mantissa * quotient, exponent - W);
}

export function cosine(mantissa: bigint, exponent: number): Real {
  return real(sineQuotientAndCosine(mantissa, exponent)[1], -W);
}

export function tangent(mantissa: bigint, exponent: number): Real {
  const [quotient, cos] = sineQuotientAndCosine(mantissa, exponent);
  return real(((mantissa * quotient) << SHIFT) / cos, exponent - W);
}

/** -1 / tan x */
export function negativeCotangent(mantissa: bigint, exponent: number): Real {
  const [quotient, cos] = sineQuotientAndCosine(mantissa, exponent);
  const width = bitLength(mantissa < 0n ? -mantissa : mantissa) + W;
  return real((-cos << small(width)) / (mantissa * quotient), -exponent - width);
}

/** 2^x - 1 of x = mantissa * 2^exponent, not zero, -1 < x < 1. */
export function exponentialMinusOne(mantissa: bigint, exponent: number): Real {
  const z = exponent < -3 * W ? 0n : shifted(mantissa * LN2, exponent);
  // The sum of z^k / (k + 1)!, which is (e^z - 1) / z.
  let sum = ONE,
    term = ONE;
  for (let k = 2n; term !== 0n && term !== -1n; k++) {
    term = ((term * z) >> SHIFT) / k;
    sum += term;
  }
  return real(mantissa * LN2 * sum, exponent - 2 * W);
}

/** log2(1 + f) of f = mantissa * 2^exponent, between -0.3 and 0.5 and not zero, 160 bits of it at most. */
function logarithmNearOne(mantissa: bigint, exponent: number): Real {
  if (bitLength(mantissa < 0n ? -mantissa : mantissa) + exponent < -W) return real(mantissa * LOG2E, exponent - W);
  // ln(1 + f) = 2 artanh s with s = f / (2 + f); the sum of s^(2k) / (2k + 1) is its quotient by 2 s.
  const below = 2n ** BigInt(1 - exponent) + mantissa;
  const s = (mantissa << SHIFT) / below;
  const square = (s * s) >> SHIFT;
  let sum = ONE;
  for (let k = 3n, power = square; power !== 0n; k += 2n) {
    sum += power / k;
    power = (power * square) >> SHIFT;
  }
  // Divide with as many bits as the quotient needs, whatever the size of f.
  const width = bitLength(below);
  return real(((mantissa * sum * LOG2E) << small(width)) / below, 1 - 2 * W - width);
}

/** log2 of mantissa * 2^exponent > 0, not a power of two. */
export function logarithm2(mantissa: bigint, exponent: number): Real {
  const bits = bitLength(mantissa);
  let whole = exponent + bits - 1;
  let one = 1n << small(bits - 1);
  // Above 1.414 count from the next power of two.
  if (mantissa * 10n > one * 14n) {
    whole++;
    one <<= 1n;
  }
  const part = logarithmNearOne(mantissa - one, 1 - bitLength(one));
  if (whole === 0) return part;
  return real((BigInt(whole) << SHIFT) + shifted(part.mantissa, part.exponent + W), -W);
}

/** log2(1 + mantissa * 2^exponent), argument above -1 and not zero; undefined when the result is an integer. */
export function logarithm2OnePlus(mantissa: bigint, exponent: number): Real | undefined {
  const magnitude = mantissa < 0n ? -mantissa : mantissa;
  if (exponent > W) {
    // One is nothing beside x, but when x is a power of two only one makes the logarithm irrational.
    const whole = bitLength(magnitude) - 1;
    return magnitude === 1n << small(whole)
      ? real(BigInt(whole + exponent) << SHIFT, -W)
      : logarithm2(magnitude, exponent);
  }
  if (bitLength(magnitude) + exponent < -1) return logarithmNearOne(mantissa, exponent);
  const sum = exponent < 0 ? mantissa + (1n << small(-exponent)) : shifted(mantissa, exponent) + 1n;
  const lowest = Math.min(exponent, 0);
  const bits = bitLength(sum);
  if (sum === 1n << small(bits - 1)) return undefined;
  return logarithm2(sum, lowest);
}

/** (arctan q) / q in fixed point, 0 <= q <= 1 in fixed point. */
function arcTangentQuotient(q: bigint): bigint {
  let quotient = ONE;
  // arctan q = 2 arctan(q / (1 + sqrt(1 + q^2))): three times, and q is below a tenth.
  for (let i = 0; i < 3; i++) {
    const below = ONE + squareRoot((ONE << SHIFT) + q * q);
    quotient = (quotient << (SHIFT + 1n)) / below;
    q = (q << SHIFT) / below;
  }
  const square = (q * q) >> SHIFT;
  let sum = ONE;
  for (let k = 3n, power = -square; power !== 0n && power !== -1n; k += 2n) {
    sum += power / k;
    power = (-power * square) >> SHIFT;
  }
  const result = (quotient * sum) >> SHIFT;
  return result >= ONE ? ONE - 1n : result;
}

/** The angle of the point (x, y), both not zero, as mantissas (positive) and exponents; `left` when x is negative. */
export function angle(yMantissa: bigint, yExponent: number, xMantissa: bigint, xExponent: number, left: boolean): Real {
  const yBits = bitLength(yMantissa),
    xBits = bitLength(xMantissa);
  const distance = yExponent + yBits - xExponent - xBits;
  const steep = distance > 0 || (distance === 0 && yMantissa << small(xBits) > xMantissa << small(yBits));
  const [above, below, gap] = steep
    ? [xMantissa, yMantissa, xExponent - yExponent]
    : [yMantissa, xMantissa, yExponent - xExponent];
  // The smaller over the larger, with W + some bits: ratio * 2^ratioExponent.
  const width = bitLength(below) + W;
  const ratio = (above << small(width)) / below;
  const ratioExponent = gap - width;
  const fixed = ratioExponent < -3 * W ? 0n : shifted(ratio, ratioExponent + W);
  const small0 = real(ratio * arcTangentQuotient(fixed), ratioExponent - W);
  if (!steep && !left) return small0;
  const offset = steep ? PI >> 1n : PI;
  const part = small0.exponent < -4 * W ? 0n : shifted(small0.mantissa, small0.exponent + W);
  return real(steep === left ? offset + part : offset - part, -W);
}
