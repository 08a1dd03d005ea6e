/**
 * Which NaN comes out (SDM volume 1, 4.8.3.5, table 4-7).
 *
 * SSE keeps the first operand that is a NaN. The x87 prefers a quiet NaN to a signalling one, then the larger
 * significand, then the positive sign; its unsupported encodings are invalid operands and give the default NaN.
 *
 * @module
 */
import { IE } from './environment.ts';
import type { FloatEnvironment } from './environment.ts';
import type { FloatFormat } from './format.ts';
import { setDefaultNan, specialExponent } from './round.ts';
import { QNAN, SNAN, UNSUPPORTED } from './value.ts';
import type { FloatResult, FloatValue } from './value.ts';

const QUIET = 1n << 62n;

/** Raises IE and sets the default NaN. */
export function invalid(environment: FloatEnvironment, format: FloatFormat, out: FloatResult): void {
  environment.flags |= IE;
  environment.roundedUp = false;
  setDefaultNan(format, out);
}

/** The quieted NaN `a` in the format; IE if it was signalling or no encoding of anything. */
export function quiet(environment: FloatEnvironment, format: FloatFormat, out: FloatResult, a: FloatValue): void {
  environment.roundedUp = false;
  if (a.kind === UNSUPPORTED) {
    invalid(environment, format, out);
    return;
  }
  if (a.kind === SNAN) environment.flags |= IE;
  out.set(a.sign, specialExponent(format), (a.significand | QUIET) >> BigInt(64 - format.container));
}

/** The NaN of an operation on `a` and `b`, at least one of which is a NaN or unsupported. */
export function chooseNan(
  environment: FloatEnvironment,
  format: FloatFormat,
  out: FloatResult,
  a: FloatValue,
  b: FloatValue,
): void {
  if (a.kind === UNSUPPORTED || b.kind === UNSUPPORTED) {
    invalid(environment, format, out);
    return;
  }
  if (a.kind === SNAN || b.kind === SNAN) environment.flags |= IE;
  quiet(environment, format, out, !a.isNan() || (b.isNan() && environment.x87 && prefersSecond(a, b)) ? b : a);
}

function prefersSecond(a: FloatValue, b: FloatValue): boolean {
  if (a.kind !== b.kind) return b.kind === QNAN;
  if (a.significand !== b.significand) return b.significand > a.significand;
  return b.sign < a.sign;
}
