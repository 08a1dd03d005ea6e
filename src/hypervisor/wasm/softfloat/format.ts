/**
 * Binary formats: IEEE 754 binary16, binary32 and binary64, the x87 double extended format, and that format rounded to
 * fewer bits under x87 precision control (SDM volume 1, 4.2 and 8.1.5.2).
 *
 * @module
 */

export interface FloatFormat {
  /** Bits of the significand that rounding keeps, with the integer bit. */
  readonly precision: number;
  /** Bits of the significand that the encoding holds, with the integer bit: at least `precision`. */
  readonly container: number;
  /** Exponents of the leading bit of the smallest and the largest normal number. */
  readonly emin: number;
  readonly emax: number;
  readonly bias: number;
  /** 2^precision and 2^(precision - 1). */
  readonly carry: bigint;
  readonly top: bigint;
  /** How far to shift a rounded significand to where the container wants it. */
  readonly align: bigint;
}

function format(precision: number, container: number, emax: number): FloatFormat {
  return {
    precision,
    container,
    emin: 1 - emax,
    emax,
    bias: emax,
    carry: 1n << BigInt(precision),
    top: 1n << BigInt(precision - 1),
    align: BigInt(container - precision),
  };
}

export const BINARY16: FloatFormat = format(11, 11, 15);
export const BINARY32: FloatFormat = format(24, 24, 127);
export const BINARY64: FloatFormat = format(53, 53, 1023);
export const EXTENDED: FloatFormat = format(64, 64, 16383);
/** Extended range, precision of binary32 or binary64: results under x87 precision control. */
export const EXTENDED_24: FloatFormat = format(24, 64, 16383);
export const EXTENDED_53: FloatFormat = format(53, 64, 16383);

/** By FCW.PC; 01 is reserved and taken for 64 bits. */
export const PRECISION_CONTROL: readonly FloatFormat[] = [EXTENDED_24, EXTENDED, EXTENDED_53, EXTENDED];
