/**
 * RCPPS and RSQRTPS: approximations with a relative error below 1.5 * 2^-12 (SDM volume 2, RCPPS).
 *
 * Intel's processors look the result up by the leading bits of the operand. What their table holds is reproduced by
 * computing: the function at the middle of the interval of operands with those bits, rounded to 13 bits. That equals
 * a Xeon (Cascade Lake) for every operand. Neither raises exceptions or heeds MXCSR: denormals count as zeros.
 *
 * @module
 */

const singleView = new Float32Array(1);
const words = new Int32Array(singleView.buffer);

const doubleView = new Float64Array(1);
const doubleWords = new Int32Array(doubleView.buffer);

const SIGN = -0x8000_0000,
  INFINITY_BITS = 0x7f80_0000,
  QUIET = 0x40_0000;
const DEFAULT_NAN = -0x40_0000;

/** Bits of `value` rounded to a 13-bit significand, as a binary32. */
function to13Bits(value: number): number {
  doubleView[0] = value;
  // Half of the last kept place, then cut; a carry moves into the exponent as it should.
  doubleWords[1] = (doubleWords[1]! + 0x80) & ~0xff;
  doubleWords[0] = 0;
  singleView[0] = doubleView[0]!;
  return words[0]!;
}

function fromBits(bits: number): number {
  words[0] = bits;
  return singleView[0]!;
}

/** RCPSS on the bits of a binary32. */
export function reciprocal(bits: number): number {
  const sign = bits & SIGN;
  const magnitude = bits & 0x7fff_ffff;
  if (magnitude > INFINITY_BITS) return bits | QUIET;
  if (magnitude === INFINITY_BITS) return sign;
  if (magnitude < 0x80_0000) return sign | INFINITY_BITS;
  const result = to13Bits(1 / fromBits((magnitude & ~0xfff) | 0x800));
  return result < 0x80_0000 ? sign : sign | result;
}

/** RSQRTSS on the bits of a binary32. */
export function reciprocalSquareRoot(bits: number): number {
  const sign = bits & SIGN;
  const magnitude = bits & 0x7fff_ffff;
  if (magnitude > INFINITY_BITS) return bits | QUIET;
  if (magnitude < 0x80_0000) return sign | INFINITY_BITS;
  if (sign) return DEFAULT_NAN;
  if (magnitude === INFINITY_BITS) return 0;
  return to13Bits(1 / Math.sqrt(fromBits((magnitude & ~0x1fff) | 0x1000)));
}
