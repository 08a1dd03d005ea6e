/**
 * Fused multiplication and addition: one rounding of a * b + c (SDM volume 1, 14.5).
 *
 * Of several NaNs the first of a, b, c comes out. Zero times infinity is invalid unless the addend is a NaN, which then comes
 * out. The signs of product and addend are turned after NaNs have been dealt with.
 *
 * @module
 */
import { zeroSign } from './arithmetic.ts';
import { DE, IE } from './environment.ts';
import type { FloatEnvironment } from './environment.ts';
import type { FloatFormat } from './format.ts';
import { invalid, quiet } from './nan.ts';
import { round, setInfinity } from './round.ts';
import { bitLength, INFINITE, small, SNAN, ZERO } from './value.ts';
import type { FloatResult, FloatValue } from './value.ts';

/** Beyond this distance the smaller number matters as a non-zero remainder only; sums below stay within what `round` takes. */
const FAR = 170;

/** +-(a * b) +- c: `negateProduct` and `negateAddend` are 0 or 1. */
export function multiplyAdd(
  environment: FloatEnvironment,
  format: FloatFormat,
  out: FloatResult,
  a: FloatValue,
  b: FloatValue,
  c: FloatValue,
  negateProduct: number,
  negateAddend: number,
): void {
  if (a.isNan() || b.isNan() || c.isNan()) {
    if (a.kind === SNAN || b.kind === SNAN || c.kind === SNAN) environment.flags |= IE;
    quiet(environment, format, out, a.isNan() ? a : b.isNan() ? b : c);
    return;
  }
  const signProduct = a.sign ^ b.sign ^ negateProduct;
  const signC = c.sign ^ negateAddend;
  const infiniteProduct = a.kind === INFINITE || b.kind === INFINITE;
  if (infiniteProduct && (a.kind === ZERO || b.kind === ZERO)) return invalid(environment, format, out);
  if (infiniteProduct && c.kind === INFINITE && signProduct !== signC) return invalid(environment, format, out);
  if (a.denormal || b.denormal || c.denormal) environment.flags |= DE;
  if (infiniteProduct) return setInfinity(format, out, signProduct);
  if (c.kind === INFINITE) return setInfinity(format, out, signC);
  if (a.kind === ZERO || b.kind === ZERO) {
    if (c.kind !== ZERO) round(environment, format, out, signC, c.exponent, c.significand, 64);
    else out.set(signProduct === signC ? signC : zeroSign(environment), 0, 0n);
    return;
  }
  let product = a.significand * b.significand;
  let scale = a.exponent + b.exponent - 126;
  if (c.kind === ZERO) {
    const bits = bitLength(product);
    round(environment, format, out, signProduct, scale + bits - 1, product, bits);
    return;
  }
  let addend = c.significand;
  const distance = scale - (c.exponent - 63);
  if (distance > FAR) {
    product <<= 3n;
    addend = 1n;
    scale -= 3;
  } else if (distance >= 0) {
    product <<= small(distance);
    scale -= distance;
  } else if (distance >= -FAR) {
    addend <<= small(-distance);
  } else {
    addend <<= 3n;
    product = 1n;
    scale = c.exponent - 63 - 3;
  }
  let sum = signProduct === signC ? product + addend : product - addend;
  if (sum === 0n) {
    out.set(zeroSign(environment), 0, 0n);
    return;
  }
  let sign = signProduct;
  if (sum < 0n) {
    sum = -sum;
    sign = signC;
  }
  const bits = bitLength(sum);
  round(environment, format, out, sign, scale + bits - 1, sum, bits);
}
