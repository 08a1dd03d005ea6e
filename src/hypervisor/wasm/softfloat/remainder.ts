/**
 * FPREM, FPREM1, FSCALE and FXTRACT (SDM volume 2).
 *
 * @module
 */
import { DE, ZE } from './environment.ts';
import type { FloatEnvironment } from './environment.ts';
import { EXTENDED } from './format.ts';
import { chooseNan, invalid, quiet } from './nan.ts';
import { round, setInfinity } from './round.ts';
import { bitLength, FINITE, INFINITE, small, ZERO } from './value.ts';
import type { FloatResult, FloatValue } from './value.ts';

/** Returned by `remainder` when the reduction must be run again. */
export const INCOMPLETE = -1;

/**
 * The remainder of a / b with the quotient truncated (FPREM) or rounded to nearest (FPREM1). Returns the low three bits
 * of the quotient, or INCOMPLETE when the exponents are 64 or more apart: the processor then reduces the difference by 32 to 63, in
 * steps that this reproduces. Returns 0 for results that are no remainder (NaN, invalid operation).
 */
export function remainder(
  environment: FloatEnvironment,
  out: FloatResult,
  a: FloatValue,
  b: FloatValue,
  nearest: boolean,
): number {
  if (a.isNan() || b.isNan()) {
    chooseNan(environment, EXTENDED, out, a, b);
    return 0;
  }
  if (a.kind === INFINITE || b.kind === ZERO) {
    invalid(environment, EXTENDED, out);
    return 0;
  }
  if (a.denormal || b.denormal) environment.flags |= DE;
  if (a.kind === ZERO) {
    out.set(a.sign, 0, 0n);
    return 0;
  }
  const distance = a.exponent - b.exponent;
  if (b.kind === INFINITE || distance < -1 || (distance < 0 && !nearest)) {
    round(environment, EXTENDED, out, a.sign, a.exponent, a.significand, 64);
    return 0;
  }
  const partial = distance >= 64;
  // One place of headroom below b, for a quotient of a half or so.
  const steps = partial ? 32 + (distance & 31) : distance;
  const dividend = a.significand << small(steps + 1);
  const divisor = b.significand << 1n;
  let quotient = dividend / divisor;
  let rest = dividend - quotient * divisor;
  let sign = a.sign;
  if (nearest && !partial) {
    const twice = rest << 1n;
    if (twice > divisor || (twice === divisor && (quotient & 1n) === 1n)) {
      quotient += 1n;
      rest = divisor - rest;
      sign ^= 1;
    }
  }
  if (rest === 0n) {
    out.set(a.sign, 0, 0n);
  } else {
    const bits = bitLength(rest);
    round(environment, EXTENDED, out, sign, a.exponent - steps - 65 + bits, rest, bits);
  }
  return partial ? INCOMPLETE : Number(quotient & 7n);
}

/** FSCALE: a * 2^trunc(b). */
export function scale(environment: FloatEnvironment, out: FloatResult, a: FloatValue, b: FloatValue): void {
  if (a.isNan() || b.isNan()) {
    chooseNan(environment, EXTENDED, out, a, b);
    return;
  }
  if (b.kind === INFINITE && a.kind === (b.sign ? INFINITE : ZERO)) {
    invalid(environment, EXTENDED, out);
    return;
  }
  if (a.denormal || b.denormal) environment.flags |= DE;
  if (b.kind === INFINITE) {
    if (b.sign) out.set(a.sign, 0, 0n);
    else setInfinity(EXTENDED, out, a.sign);
  } else if (a.kind === INFINITE) {
    setInfinity(EXTENDED, out, a.sign);
  } else if (a.kind === ZERO) {
    out.set(a.sign, 0, 0n);
  } else {
    let by = 0;
    if (b.kind === FINITE && b.exponent >= 0) {
      // 2^17 takes every number out of range, even with its exponent wrapped.
      by = b.exponent > 16 ? 1 << 17 : Number(b.significand >> small(63 - b.exponent));
      if (b.sign) by = -by;
    }
    round(environment, EXTENDED, out, a.sign, a.exponent + by, a.significand, 64);
  }
}

/** FXTRACT: the exponent into `exponent`, the significand with exponent 0 into `significand`. */
export function extract(
  environment: FloatEnvironment,
  exponent: FloatResult,
  significand: FloatResult,
  a: FloatValue,
): void {
  if (a.isNan()) {
    quiet(environment, EXTENDED, exponent, a);
    significand.set(exponent.sign, exponent.biased, exponent.significand);
  } else if (a.kind === INFINITE) {
    setInfinity(EXTENDED, exponent, 0);
    setInfinity(EXTENDED, significand, a.sign);
  } else if (a.kind === ZERO) {
    environment.flags |= ZE;
    setInfinity(EXTENDED, exponent, 1);
    significand.set(a.sign, 0, 0n);
  } else {
    if (a.denormal) environment.flags |= DE;
    significand.set(a.sign, EXTENDED.bias, a.significand);
    integerResult(exponent, a.exponent);
  }
}

/** A small integer as a result. */
function integerResult(out: FloatResult, value: number): void {
  const magnitude = Math.abs(value);
  if (magnitude === 0) {
    out.set(0, 0, 0n);
    return;
  }
  const leading = 31 - Math.clz32(magnitude);
  out.set(value < 0 ? 1 : 0, EXTENDED.bias + leading, BigInt(magnitude) << small(63 - leading));
}
