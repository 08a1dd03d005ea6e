/**
 * Values for explicit operands, by what the instruction takes them for.
 *
 * @module
 */
import { Profile } from './default-state.ts';
import type { Prng } from './prng.ts';
import { edgeF32, edgeF64, edgeF80, edgeInteger } from './values.ts';

/** What the bytes of an operand mean. */
export type Flavour = 'int' | 'f32' | 'f64' | 'f80' | 'bcd';

export function flavourOf(profile: Profile): Flavour {
  if (profile === Profile.F32) return 'f32';
  return profile === Profile.F64 ? 'f64' : 'int';
}

/** Limits of an integer of some bits and their neighbours. */
function sizedEdge(prng: Prng, bytes: number): bigint {
  const bits = BigInt(bytes * 8),
    top = 1n << (bits - 1n),
    all = (1n << bits) - 1n;
  return prng.pick([
    0n,
    1n,
    2n,
    all,
    all - 1n,
    top,
    top - 1n,
    top + 1n,
    top - 2n,
    all / 3n,
    (all / 3n) * 2n,
    all / 15n,
    1n << BigInt(prng.below(bytes * 8)),
  ]);
}

export function integerValue(prng: Prng, bytes: number): bigint {
  if (prng.chance(50)) return sizedEdge(prng, bytes);
  return BigInt.asUintN(bytes * 8, edgeInteger(prng));
}

/** A packed decimal of FBLD: 18 digits, mostly valid. */
function decimalValue(prng: Prng): bigint {
  let value = BigInt(prng.below(2)) << 79n;
  if (prng.chance(15)) value |= BigInt(prng.below(128)) << 72n;
  const digits = prng.below(19);
  for (let i = 0; i < digits; i++) value |= BigInt(prng.chance(2) ? prng.below(16) : prng.below(10)) << BigInt(i * 4);
  return value;
}

/** A value of `bytes` bytes, made of elements of a flavour. */
export function operandValue(prng: Prng, flavour: Flavour, bytes: number): bigint {
  switch (flavour) {
    case 'f32':
      return lanes(bytes, 4, () => BigInt(edgeF32(prng)));
    case 'f64':
      return bytes < 8 ? integerValue(prng, bytes) : lanes(bytes, 8, () => edgeF64(prng));
    case 'f80': {
      const [exponent, significand] = edgeF80(prng);
      return (BigInt(exponent) << 64n) | significand;
    }
    case 'bcd':
      return decimalValue(prng);
    case 'int': {
      const lane = Math.min(bytes, prng.pick([1, 2, 4, 8]));
      if (bytes <= 8 && prng.chance(50)) return integerValue(prng, bytes);
      return lanes(bytes, lane, () => integerValue(prng, lane));
    }
  }
}

function lanes(bytes: number, lane: number, draw: () => bigint): bigint {
  let value = 0n;
  for (let at = 0; at < bytes; at += lane) value |= draw() << BigInt(at * 8);
  return BigInt.asUintN(bytes * 8, value);
}

/** Shift and rotate counts: around every operand size, both masks, and beyond. */
export function shiftCount(prng: Prng): number {
  return prng.pick([
    0,
    1,
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    9,
    10,
    15,
    16,
    17,
    18,
    24,
    27,
    31,
    32,
    33,
    34,
    36,
    40,
    47,
    48,
    62,
    63,
    64,
    65,
    95,
    96,
    127,
    128,
    255,
    prng.below(256),
    prng.below(64),
    prng.below(32),
  ]);
}
