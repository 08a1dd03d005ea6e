/**
 * Conversions between formats and to and from integers, and rounding to an integral value (SDM volume 1, 4.8.4, 4.9.1.1;
 * CVT*, FIST, FILD, FRNDINT, ROUNDSD).
 *
 * @module
 */
import { DE, IE, PE } from './environment.ts';
import type { FloatEnvironment } from './environment.ts';
import type { FloatFormat } from './format.ts';
import { quiet } from './nan.ts';
import { round, roundsAway, setInfinity } from './round.ts';
import { bitLength, FINITE, INFINITE, small, ZERO } from './value.ts';
import type { FloatResult, FloatValue } from './value.ts';

/** Rounds `a` to another format. Conversions on the way into a register raise DE, x87 stores do not. */
export function convert(
  environment: FloatEnvironment,
  format: FloatFormat,
  out: FloatResult,
  a: FloatValue,
  raiseDenormal: boolean,
): void {
  if (a.isNan()) {
    quiet(environment, format, out, a);
    return;
  }
  environment.roundedUp = false;
  if (a.denormal && raiseDenormal) environment.flags |= DE;
  if (a.kind === ZERO) out.set(a.sign, 0, 0n);
  else if (a.kind === INFINITE) setInfinity(format, out, a.sign);
  else round(environment, format, out, a.sign, a.exponent, a.significand, 64);
}

/** The magnitude of a finite `a` rounded to an integer; sets `roundedUp`, and PE when that changed the value. */
function integralMagnitude(environment: FloatEnvironment, a: FloatValue, rounding: number): bigint {
  environment.roundedUp = false;
  if (a.exponent >= 63) return a.significand << small(a.exponent - 63);
  // Further right than 66 places nothing changes: less than half, and not zero.
  const shift = Math.min(63 - a.exponent, 66);
  const kept = a.significand >> small(shift);
  const rest = BigInt.asUintN(shift, a.significand);
  if (rest === 0n) return kept;
  environment.flags |= PE;
  if (!roundsAway(rounding, a.sign, kept, rest, shift)) return kept;
  environment.roundedUp = true;
  return kept + 1n;
}

/** The value that stands for NaNs and for what does not fit: the most negative one. */
export function integerIndefinite(bits: number): bigint {
  return -1n << BigInt(bits - 1);
}

/** `a` as a signed integer of `bits` bits; IE and the integer indefinite when it is none. */
export function toInteger(environment: FloatEnvironment, a: FloatValue, bits: number, rounding: number): bigint {
  environment.roundedUp = false;
  if (a.kind === ZERO) return 0n;
  if (a.kind === FINITE && a.exponent < bits) {
    const before = environment.flags;
    const magnitude = integralMagnitude(environment, a, rounding);
    const value = a.sign ? -magnitude : magnitude;
    if (BigInt.asIntN(bits, value) === value) return value;
    environment.flags = before;
    environment.roundedUp = false;
  }
  environment.flags |= IE;
  return integerIndefinite(bits);
}

/** `a` rounded to an integral value in its own format. */
export function roundToIntegral(
  environment: FloatEnvironment,
  format: FloatFormat,
  out: FloatResult,
  a: FloatValue,
  rounding: number,
  raiseDenormal: boolean,
): void {
  if (a.kind !== FINITE || a.exponent >= 63) {
    convert(environment, format, out, a, raiseDenormal);
    return;
  }
  if (a.denormal && raiseDenormal) environment.flags |= DE;
  const magnitude = integralMagnitude(environment, a, rounding);
  const roundedUp = environment.roundedUp;
  if (magnitude === 0n) {
    out.set(a.sign, 0, 0n);
  } else {
    const bits = bitLength(magnitude);
    round(environment, format, out, a.sign, bits - 1, magnitude, bits);
  }
  environment.roundedUp = roundedUp;
}
