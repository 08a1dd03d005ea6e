/**
 * Rounding of an exact (or sticky) result to a format, with overflow, underflow and inexact detection.
 *
 * Tininess is detected after rounding to the precision with an unbounded exponent. Responses (SDM volume 1, 4.9.1.4,
 * 4.9.1.5): masked, infinity or the largest finite number, and a denormal or (MXCSR.FZ) zero; unmasked on the x87, the
 * correctly rounded significand with the exponent off by 24576; unmasked in SSE, whatever, as nothing is written.
 *
 * @module
 */
import { OE, PE, ROUND_DOWN, ROUND_NEAREST, ROUND_UP, UE } from './environment.ts';
import type { FloatEnvironment } from './environment.ts';
import type { FloatFormat } from './format.ts';
import { small } from './value.ts';
import type { FloatResult } from './value.ts';

/** What unmasked x87 overflow and underflow take from, or add to, the exponent: 3 * 2^13. */
const WRAP = 24576;

/** HALF[n] = 2^(n-1): half a unit of what a shift by n keeps. */
const HALF: readonly bigint[] = Array.from({ length: 320 }, (_, i) => (i === 0 ? 0n : 1n << BigInt(i - 1)));
/** Shifts above this leave nothing but a sticky bit. */
const MAX_SHIFT = HALF.length - 1;

/** Whether a magnitude `kept` + `rest` / 2^shift, with rest not 0, is rounded away from zero. */
export function roundsAway(rounding: number, sign: number, kept: bigint, rest: bigint, shift: number): boolean {
  switch (rounding) {
    case ROUND_NEAREST: {
      const half = HALF[shift]!;
      return rest > half || (rest === half && (kept & 1n) === 1n);
    }
    case ROUND_DOWN:
      return sign === 1;
    case ROUND_UP:
      return sign === 0;
    default:
      return false;
  }
}

/**
 * Rounds sign, significand * 2^(exponent - bits + 1) into `out` and raises OE, UE, PE in the environment.
 *
 * `bits` is the exact bit length of `significand`. When the significand stands for a longer one, its lowest bit must be
 * set if anything was dropped, and it must have at least two bits more than the precision.
 */
export function round(
  environment: FloatEnvironment,
  format: FloatFormat,
  out: FloatResult,
  sign: number,
  exponent: number,
  significand: bigint,
  bits: number,
): void {
  const shift = bits - format.precision;
  let kept: bigint;
  let inexact = false;
  let away = false;
  let rounded = exponent;
  if (shift > 0) {
    const rest = BigInt.asUintN(shift, significand);
    kept = significand >> small(shift);
    if (rest !== 0n) {
      inexact = true;
      if (roundsAway(environment.rounding, sign, kept, rest, shift)) {
        away = true;
        kept += 1n;
        if (kept === format.carry) {
          kept = format.top;
          rounded++;
        }
      }
    }
  } else {
    kept = significand << small(-shift);
  }

  if (rounded < format.emin) {
    if (environment.masks & UE) {
      denormalise(environment, format, out, sign, exponent, significand, bits);
      return;
    }
    environment.flags |= UE;
    rounded += WRAP;
    if (rounded < format.emin) {
      // FSCALE only: too small even with the exponent wrapped. Zero then, whatever the rounding mode.
      environment.flags |= PE;
      environment.roundedUp = false;
      out.set(sign, 0, 0n);
      return;
    }
    // SSE writes nothing, so a wrapped exponent that does not fit its formats does no harm.
  } else if (rounded > format.emax) {
    environment.flags |= OE;
    if (environment.masks & OE) {
      overflow(environment, format, out, sign);
      return;
    }
    rounded -= WRAP;
    if (rounded > format.emax) {
      environment.flags |= PE;
      environment.roundedUp = true;
      setInfinity(format, out, sign);
      return;
    }
  }
  if (inexact) environment.flags |= PE;
  environment.roundedUp = away;
  out.set(sign, rounded + format.bias, kept << format.align);
}

function denormalise(
  environment: FloatEnvironment,
  format: FloatFormat,
  out: FloatResult,
  sign: number,
  exponent: number,
  significand: bigint,
  bits: number,
): void {
  if (environment.flushToZero) {
    environment.flags |= UE | PE;
    environment.roundedUp = false;
    out.set(sign, 0, 0n);
    return;
  }
  let shift = bits - format.precision + (format.emin - exponent);
  if (shift > MAX_SHIFT) {
    significand = 1n;
    shift = 2;
  }
  let away = false;
  let kept: bigint;
  if (shift > 0) {
    const rest = BigInt.asUintN(shift, significand);
    kept = significand >> small(shift);
    if (rest !== 0n) {
      environment.flags |= UE | PE;
      if (roundsAway(environment.rounding, sign, kept, rest, shift)) {
        away = true;
        kept += 1n;
      }
    }
  } else {
    kept = significand << small(-shift);
  }
  environment.roundedUp = away;
  // Rounding may have reached the smallest normal number: its encoding has the exponent field 1.
  out.set(sign, kept === format.top ? 1 : 0, kept << format.align);
}

function overflow(environment: FloatEnvironment, format: FloatFormat, out: FloatResult, sign: number): void {
  environment.flags |= PE;
  const rounding = environment.rounding;
  const toInfinity = rounding === ROUND_NEAREST || rounding === (sign === 0 ? ROUND_UP : ROUND_DOWN);
  environment.roundedUp = toInfinity;
  if (toInfinity) setInfinity(format, out, sign);
  else out.set(sign, format.emax + format.bias, (format.carry - 1n) << format.align);
}

/** The biased exponent of infinities and NaNs. */
export function specialExponent(format: FloatFormat): number {
  return format.emax + format.bias + 1;
}

export function setInfinity(format: FloatFormat, out: FloatResult, sign: number): void {
  out.set(sign, specialExponent(format), format.top << format.align);
}

/** The "real indefinite": the negative quiet NaN with an empty payload that masked invalid operations give. */
export function setDefaultNan(format: FloatFormat, out: FloatResult): void {
  out.set(1, specialExponent(format), (format.top | (format.top >> 1n)) << format.align);
}
