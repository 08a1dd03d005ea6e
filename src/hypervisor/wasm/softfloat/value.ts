/**
 * Floating-point values taken apart (`FloatValue`) and results about to be encoded (`FloatResult`).
 *
 * Every finite non-zero value, whatever its format, becomes a 64-bit significand with the top bit set and the exponent
 * of that bit. The 64 bits pass between 32-bit halves and BigInt through one shared slot, which costs one allocation
 * where shifts and masks on BigInt would cost four.
 *
 * @module
 */
import type { FloatEnvironment } from './environment.ts';

export const ZERO = 0,
  FINITE = 1,
  INFINITE = 2,
  QNAN = 3,
  SNAN = 4;
/** An x87 encoding without meaning: unnormal, pseudo-NaN, pseudo-infinity (SDM volume 1, 8.2.2). */
export const UNSUPPORTED = 5;

const words = new Uint32Array(2);
const word64 = new BigUint64Array(words.buffer);

/** A 64-bit BigInt from its halves. */
export function join(high: number, low: number): bigint {
  words[0] = low;
  words[1] = high;
  return word64[0]!;
}

export class FloatValue {
  kind = ZERO;
  sign = 0;
  /** FINITE: the value is significand * 2^(exponent - 63). */
  exponent = 0;
  /** FINITE: 2^63 <= significand < 2^64. NaN: the fraction left-aligned below the (set) integer bit. */
  significand = 0n;
  /** The operand was encoded with the smallest exponent field and is not zero. */
  denormal = false;

  setZero(sign: number): void {
    this.kind = ZERO;
    this.sign = sign;
    this.denormal = false;
  }

  #setFinite(sign: number, exponent: number, high: number, low: number, denormal: boolean): void {
    this.kind = FINITE;
    this.sign = sign;
    this.denormal = denormal;
    if (high >= 0) {
      // The top bit is clear: normalise.
      if (high === 0) {
        const zeros = Math.clz32(low);
        exponent -= 32 + zeros;
        high = low << zeros;
        low = 0;
      } else {
        const zeros = Math.clz32(high);
        exponent -= zeros;
        high = (high << zeros) | (low >>> (32 - zeros));
        low <<= zeros;
      }
    }
    this.exponent = exponent;
    this.significand = join(high, low);
  }

  #setNan(sign: number, high: number, low: number): void {
    this.kind = high & 0x4000_0000 ? QNAN : SNAN;
    this.sign = sign;
    this.denormal = false;
    this.significand = join(high, low);
  }

  /** From the 32 bits of a binary32. */
  fromBinary32(bits: number, environment: FloatEnvironment): void {
    const sign = bits >>> 31;
    const biased = (bits >>> 23) & 0xff;
    const high = bits << 8;
    if (biased === 0) {
      if ((bits & 0x7f_ffff) === 0 || environment.denormalsAreZero) this.setZero(sign);
      else this.#setFinite(sign, -126, high & 0x7fff_ffff, 0, true);
    } else if (biased === 0xff) {
      if ((bits & 0x7f_ffff) === 0) this.#setInfinite(sign);
      else this.#setNan(sign, high | 0x8000_0000, 0);
    } else {
      this.#setFinite(sign, biased - 127, high | 0x8000_0000, 0, false);
    }
  }

  /** From the halves of a binary64. */
  fromBinary64(high: number, low: number, environment: FloatEnvironment): void {
    const sign = high >>> 31;
    const biased = (high >>> 20) & 0x7ff;
    const top = (high << 11) | (low >>> 21);
    if (biased === 0) {
      if (((high & 0xf_ffff) | low) === 0 || environment.denormalsAreZero) this.setZero(sign);
      else this.#setFinite(sign, -1022, top & 0x7fff_ffff, low << 11, true);
    } else if (biased === 0x7ff) {
      if (((high & 0xf_ffff) | low) === 0) this.#setInfinite(sign);
      else this.#setNan(sign, top | 0x8000_0000, low << 11);
    } else {
      this.#setFinite(sign, biased - 1023, top | 0x8000_0000, low << 11, false);
    }
  }

  /** From the bits of a binary16, whose denormals are numbers like others (SDM volume 1, 14.4.1). */
  fromBinary16(bits: number): void {
    const sign = (bits >>> 15) & 1;
    const biased = (bits >>> 10) & 0x1f;
    const fraction = bits & 0x3ff;
    if (biased === 0) {
      if (fraction === 0) this.setZero(sign);
      else this.#setFinite(sign, -14, fraction << 21, 0, false);
    } else if (biased === 0x1f) {
      if (fraction === 0) this.#setInfinite(sign);
      else this.#setNan(sign, (fraction << 21) | 0x8000_0000, 0);
    } else {
      this.#setFinite(sign, biased - 15, (fraction << 21) | 0x8000_0000, 0, false);
    }
  }

  /** From the parts of an x87 double extended: sign and exponent word, halves of the significand. */
  fromExtended(signExponent: number, high: number, low: number): void {
    const sign = (signExponent >>> 15) & 1;
    const biased = signExponent & 0x7fff;
    if (biased === 0) {
      // With the integer bit set this is a pseudo-denormal, worth the same as with exponent 1.
      if ((high | low) === 0) this.setZero(sign);
      else this.#setFinite(sign, -16382, high | 0, low, true);
    } else if ((high | 0) >= 0) {
      this.kind = UNSUPPORTED;
      this.sign = sign;
      this.denormal = false;
    } else if (biased === 0x7fff) {
      if (((high & 0x7fff_ffff) | low) === 0) this.#setInfinite(sign);
      else this.#setNan(sign, high, low);
    } else {
      this.#setFinite(sign, biased - 16383, high | 0, low, false);
    }
  }

  /** From an integer given by its sign and the halves of its magnitude. */
  fromInteger(sign: number, high: number, low: number): void {
    if ((high | low) === 0) this.setZero(0);
    else this.#setFinite(sign, 63, high | 0, low, false);
  }

  #setInfinite(sign: number): void {
    this.kind = INFINITE;
    this.sign = sign;
    this.denormal = false;
  }

  isNan(): boolean {
    return this.kind >= QNAN;
  }
}

/** A rounded result as sign, biased exponent, and significand with its integer bit, before it is given an encoding. */
export class FloatResult {
  sign = 0;
  biased = 0;
  /** As wide as the container of the format that it was rounded to. */
  significand = 0n;

  set(sign: number, biased: number, significand: bigint): void {
    this.sign = sign;
    this.biased = biased;
    this.significand = significand;
  }

  /** The bits as a signed or unsigned 32-bit number. */
  binary32(): number {
    return (this.sign << 31) | (this.biased << 23) | (Number(this.significand) & 0x7f_ffff);
  }

  /** The bits as an unsigned 16-bit number. */
  binary16(): number {
    return (this.sign << 15) | (this.biased << 10) | (Number(this.significand) & 0x3ff);
  }

  /** Writes the two halves, low first, at `index` of a 32-bit view. */
  binary64(into: Uint32Array | Int32Array, index: number): void {
    word64[0] = this.significand;
    into[index] = words[0]!;
    into[index + 1] = (this.sign << 31) | (this.biased << 20) | (words[1]! & 0xf_ffff);
  }

  /** The x87 sign and exponent word; `significand` is the rest. */
  signExponent(): number {
    return (this.sign << 15) | this.biased;
  }
}

const doubleView = new Float64Array(1);
const doubleWords = new Uint32Array(doubleView.buffer);

/** Bits needed for a positive BigInt below 2^1023. */
export function bitLength(value: bigint): number {
  // The conversion rounds, so a value just below a power of two may come out one too long: look at that bit.
  doubleView[0] = Number(value);
  const length = (doubleWords[1]! >>> 20) - 1022;
  return value >> small(length - 1) === 0n ? length - 1 : length;
}

/** BigInt of the small integers that shifts need: looking them up is faster than converting. */
const SMALL: readonly bigint[] = Array.from({ length: 320 }, (_, i) => BigInt(i));
export function small(value: number): bigint {
  return SMALL[value] ?? BigInt(value);
}
