/**
 * F2XM1, FYL2X, FYL2XP1, FPATAN, FSIN, FCOS, FPTAN (SDM volume 1, 8.3.6 to 8.3.10, and volume 2 for the tables of special cases).
 *
 * Results are rounded correctly once; the processor's own are within one unit of the last place of that. FSIN, FCOS and
 * FPTAN reduce their argument by a pi of 66 bits, as the processor does.
 *
 * @module
 */
import { DE, PE, UE, ZE } from './environment.ts';
import type { FloatEnvironment } from './environment.ts';
import * as elementary from './elementary.ts';
import type { Real } from './elementary.ts';
import { EXTENDED } from './format.ts';
import { chooseNan, invalid, quiet } from './nan.ts';
import { round, setInfinity } from './round.ts';
import { bitLength, FINITE, INFINITE, small, ZERO } from './value.ts';
import type { FloatResult, FloatValue } from './value.ts';

/** Bits of a mantissa that rounding gets; the rest counts as not zero. */
const ENOUGH_BITS = 140;

/** Rounds a real; its sign is the mantissa's, flipped by `flip`. */
function roundReal(environment: FloatEnvironment, out: FloatResult, value: Real, flip: number): void {
  const negative = value.mantissa < 0n;
  let mantissa = negative ? -value.mantissa : value.mantissa;
  let bits = bitLength(mantissa);
  const exponent = value.exponent + bits - 1;
  if (bits > ENOUGH_BITS) {
    mantissa = (mantissa >> small(bits - ENOUGH_BITS)) | 1n;
    bits = ENOUGH_BITS;
  }
  round(environment, EXTENDED, out, (negative ? 1 : 0) ^ flip, exponent, mantissa, bits);
}

/** The processor does not notice that such a result is exact. */
function alwaysInexact(environment: FloatEnvironment, out: FloatResult): void {
  environment.flags |= out.biased === 0 ? UE | PE : PE;
}

/** Loads a constant (FLDPI ...): rounded by the rounding mode, without exceptions. */
export function constant(
  environment: FloatEnvironment,
  out: FloatResult,
  name: keyof typeof elementary.CONSTANTS,
): void {
  const before = environment.flags;
  roundReal(environment, out, elementary.CONSTANTS[name], 0);
  environment.flags = before;
  environment.roundedUp = false;
}

/** pi/2 as the processor reduces by it: 66 bits of pi, this times 2^-65. */
const HALF_PI = 0x3243f6a8885a308d3n;
const HALF_PI_SCALE = 65;

/** Below 2^TINY sine and tangent equal the argument to far more than 64 bits. */
const TINY = -66;

export type Trigonometric = 'sine' | 'cosine' | 'tangent';

/** False when the argument is out of range (2^63 and above), and `out` is not set. */
export function trigonometric(
  environment: FloatEnvironment,
  out: FloatResult,
  a: FloatValue,
  which: Trigonometric,
): boolean {
  environment.roundedUp = false;
  if (a.isNan()) {
    quiet(environment, EXTENDED, out, a);
    return true;
  }
  if (a.kind === INFINITE) {
    invalid(environment, EXTENDED, out);
    return true;
  }
  if (a.kind === ZERO) {
    if (which === 'cosine') out.set(0, EXTENDED.bias, EXTENDED.top);
    else out.set(a.sign, 0, 0n);
    return true;
  }
  if (a.exponent >= 63) return false;
  if (a.denormal) environment.flags |= DE;

  if (which !== 'cosine' && a.exponent < TINY) {
    // What remains below the argument is not noticed by the processor, whatever the rounding mode.
    round(environment, EXTENDED, out, a.sign, a.exponent, a.significand, 64);
    alwaysInexact(environment, out);
    return true;
  }

  let mantissa = a.significand;
  let exponent = a.exponent - 63;
  let quadrant = 0;
  if (a.exponent >= -1) {
    // Exact: both are integers at the finer of the two scales.
    const scale = Math.max(HALF_PI_SCALE, -exponent);
    const modulus = HALF_PI << small(scale - HALF_PI_SCALE);
    mantissa <<= small(exponent + scale);
    const turns = (2n * mantissa + modulus) / (2n * modulus);
    mantissa -= turns * modulus;
    exponent = -scale;
    quadrant = Number(turns & 3n);
  }
  // The sign of an odd function passes to the result at the end.
  const flip = which === 'cosine' ? 0 : a.sign;
  if (which === 'tangent') {
    const value =
      quadrant & 1 ? elementary.negativeCotangent(mantissa, exponent) : elementary.tangent(mantissa, exponent);
    roundReal(environment, out, value, flip);
    return true;
  }
  const phase = which === 'cosine' ? quadrant + 1 : quadrant;
  const value = phase & 1 ? elementary.cosine(mantissa, exponent) : elementary.sine(mantissa, exponent);
  roundReal(environment, out, value, flip ^ ((phase >> 1) & 1));
  return true;
}

/** F2XM1. Arguments beyond -1 and 1, which are undefined, are returned unchanged. */
export function exponentialMinusOne(environment: FloatEnvironment, out: FloatResult, a: FloatValue): void {
  environment.roundedUp = false;
  if (a.isNan()) {
    quiet(environment, EXTENDED, out, a);
  } else if (a.kind === ZERO) {
    out.set(a.sign, 0, 0n);
  } else if (a.kind === INFINITE) {
    if (a.sign) out.set(1, EXTENDED.bias, EXTENDED.top);
    else setInfinity(EXTENDED, out, 0);
  } else {
    if (a.denormal) environment.flags |= DE;
    if (a.exponent >= 0) {
      const minusOne = a.sign === 1 && a.exponent === 0 && a.significand === EXTENDED.top;
      if (minusOne) out.set(1, EXTENDED.bias - 1, EXTENDED.top);
      else out.set(a.sign, a.exponent + EXTENDED.bias, a.significand);
      alwaysInexact(environment, out);
    } else {
      const mantissa = a.sign ? -a.significand : a.significand;
      roundReal(environment, out, elementary.exponentialMinusOne(mantissa, a.exponent - 63), 0);
    }
  }
}

/** y * l where l is a logarithm: exact integer, or real. */
function timesLogarithm(
  environment: FloatEnvironment,
  out: FloatResult,
  y: FloatValue,
  mantissa: bigint,
  exponent: number,
): void {
  roundReal(environment, out, { mantissa: mantissa * y.significand, exponent: exponent + y.exponent - 63 }, y.sign);
}

/** What y * l is when y or l is zero or infinite; `l` is the sign of the logarithm, and whether it is finite and not zero. */
function specialProduct(
  environment: FloatEnvironment,
  out: FloatResult,
  y: FloatValue,
  sign: number,
  kind: number,
): void {
  if ((y.kind === INFINITE && kind === ZERO) || (y.kind === ZERO && kind === INFINITE))
    invalid(environment, EXTENDED, out);
  else if (y.kind === INFINITE || kind === INFINITE) setInfinity(EXTENDED, out, y.sign ^ sign);
  else out.set(y.sign ^ sign, 0, 0n);
}

/** FYL2X: y * log2(x). */
export function yLog2X(environment: FloatEnvironment, out: FloatResult, x: FloatValue, y: FloatValue): void {
  environment.roundedUp = false;
  if (x.isNan() || y.isNan()) {
    chooseNan(environment, EXTENDED, out, x, y);
    return;
  }
  if (x.kind !== ZERO && x.sign === 1) {
    invalid(environment, EXTENDED, out);
    return;
  }
  const powerOfTwo = x.kind === FINITE && x.significand === EXTENDED.top;
  const kind = x.kind !== FINITE ? INFINITE : powerOfTwo && x.exponent === 0 ? ZERO : FINITE;
  const sign = x.kind === ZERO || (x.kind === FINITE && x.exponent < 0) ? 1 : 0;
  if (x.kind === ZERO && y.kind === FINITE) {
    environment.flags |= ZE;
    setInfinity(EXTENDED, out, y.sign ^ 1);
    return;
  }
  const invalidProduct = (y.kind === INFINITE && kind === ZERO) || (y.kind === ZERO && kind === INFINITE);
  if (!invalidProduct && (x.denormal || y.denormal)) environment.flags |= DE;
  if (kind !== FINITE || y.kind !== FINITE) {
    specialProduct(environment, out, y, sign, kind);
  } else if (powerOfTwo) {
    timesLogarithm(environment, out, y, BigInt(x.exponent), 0);
    alwaysInexact(environment, out);
  } else {
    const logarithm = elementary.logarithm2(x.significand, x.exponent - 63);
    timesLogarithm(environment, out, y, logarithm.mantissa, logarithm.exponent);
  }
}

/**
 * FYL2XP1: y * log2(x + 1). Arguments outside -0.29..0.41 are undefined: as on the processor the function goes on above,
 * and at -1 and below x is returned.
 */
export function yLog2XPlus1(environment: FloatEnvironment, out: FloatResult, x: FloatValue, y: FloatValue): void {
  environment.roundedUp = false;
  if (x.isNan() || y.isNan()) {
    chooseNan(environment, EXTENDED, out, x, y);
    return;
  }
  if (x.sign === 1 && x.kind === INFINITE) {
    invalid(environment, EXTENDED, out);
    return;
  }
  if ((y.kind === INFINITE && x.kind === ZERO) || (y.kind === ZERO && x.kind === INFINITE)) {
    invalid(environment, EXTENDED, out);
    return;
  }
  if (x.denormal || y.denormal) environment.flags |= DE;
  if (x.kind !== FINITE || y.kind !== FINITE) {
    specialProduct(environment, out, y, x.sign, x.kind);
    return;
  }
  if (x.sign === 1 && x.exponent >= 0) {
    out.set(1, x.exponent + EXTENDED.bias, x.significand);
    alwaysInexact(environment, out);
    return;
  }
  const logarithm = elementary.logarithm2OnePlus(x.sign ? -x.significand : x.significand, x.exponent - 63);
  if (logarithm === undefined) {
    // 1 + x is a power of two: 2^-n below one, and above one x = 2^n - 1 with few bits.
    const whole = x.sign ? log2Below(x) : x.exponent + 1;
    timesLogarithm(environment, out, y, BigInt(whole), 0);
    alwaysInexact(environment, out);
  } else {
    timesLogarithm(environment, out, y, logarithm.mantissa, logarithm.exponent);
  }
}

/** log2(1 - |x|), an integer, for 1/2 <= |x| < 1. */
function log2Below(x: FloatValue): number {
  const rest = (1n << small(63 - x.exponent)) - x.significand;
  return bitLength(rest) - 1 - (63 - x.exponent);
}

/** FPATAN: the angle of the point (x, y). */
export function arcTangent(environment: FloatEnvironment, out: FloatResult, y: FloatValue, x: FloatValue): void {
  environment.roundedUp = false;
  if (x.isNan() || y.isNan()) {
    chooseNan(environment, EXTENDED, out, y, x);
    return;
  }
  if (x.denormal || y.denormal) environment.flags |= DE;
  const left = x.sign === 1;
  if (x.kind === FINITE && y.kind === FINITE) {
    roundReal(environment, out, elementary.angle(y.significand, y.exponent, x.significand, x.exponent, left), y.sign);
    return;
  }
  const eighths = axisAngle(x, y, left);
  if (eighths === 0) out.set(y.sign, 0, 0n);
  else roundReal(environment, out, { mantissa: (elementary.PI * BigInt(eighths)) | 1n, exponent: -163 }, y.sign);
}

/** Angles towards an axis or, for two infinities, a diagonal, in eighths of pi. */
function axisAngle(x: FloatValue, y: FloatValue, left: boolean): 0 | 2 | 4 | 6 | 8 {
  if (y.kind === INFINITE) return x.kind !== INFINITE ? 4 : left ? 6 : 2;
  if (y.kind !== ZERO && x.kind === ZERO) return 4;
  return left ? 8 : 0;
}
