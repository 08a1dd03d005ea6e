/**
 * Comparison (FCOM, FUCOM, COMISD, UCOMISD, CMPPD) and the SSE minimum and maximum (SDM volume 2).
 *
 * @module
 */
import { DE, IE } from './environment.ts';
import type { FloatEnvironment } from './environment.ts';
import { INFINITE, QNAN, ZERO } from './value.ts';
import type { FloatValue } from './value.ts';

export const LESS = -1,
  EQUAL = 0,
  GREATER = 1,
  UNORDERED = 2;
export type Relation = -1 | 0 | 1 | 2;

/** Compares; a quiet NaN is an invalid operand too when `signalling`. */
export function compare(environment: FloatEnvironment, a: FloatValue, b: FloatValue, signalling: boolean): Relation {
  if (a.isNan() || b.isNan()) {
    if (signalling || a.kind > QNAN || b.kind > QNAN) environment.flags |= IE;
    return UNORDERED;
  }
  if (a.denormal || b.denormal) environment.flags |= DE;
  if (a.kind === ZERO && b.kind === ZERO) return EQUAL;
  const signA = a.kind === ZERO ? b.sign ^ 1 : a.sign;
  const signB = b.kind === ZERO ? a.sign ^ 1 : b.sign;
  if (signA !== signB) return signA ? LESS : GREATER;
  const magnitude = compareMagnitude(a, b);
  return signA && magnitude ? (-magnitude as Relation) : magnitude;
}

function compareMagnitude(a: FloatValue, b: FloatValue): Relation {
  if (a.kind === INFINITE || b.kind === INFINITE)
    return a.kind === b.kind ? EQUAL : a.kind === INFINITE ? GREATER : LESS;
  if (a.exponent !== b.exponent) return a.exponent > b.exponent ? GREATER : LESS;
  if (a.significand !== b.significand) return a.significand > b.significand ? GREATER : LESS;
  return EQUAL;
}

/** MINPS and family: true when the result is the first operand. Equal operands and any NaN give the second. */
export function minimumIsFirst(environment: FloatEnvironment, a: FloatValue, b: FloatValue): boolean {
  return compare(environment, a, b, true) === LESS;
}

/** MAXPS and family. */
export function maximumIsFirst(environment: FloatEnvironment, a: FloatValue, b: FloatValue): boolean {
  return compare(environment, a, b, true) === GREATER;
}
