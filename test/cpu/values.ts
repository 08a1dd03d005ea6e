/**
 * Operand values at the edges of each number format. The tables feed both the default states (frozen with the vector
 * format) and the generator's explicit operands.
 *
 * @module
 */
import type { Prng } from './prng.ts';

const MASK64 = (1n << 64n) - 1n;

/** Edge integers, sign-extended to 64 bits; cut to the operand size by whoever uses them. */
export const INTEGER_EDGES: readonly bigint[] = [
  0n,
  1n,
  2n,
  3n,
  -1n,
  -2n,
  7n,
  8n,
  9n,
  15n,
  16n,
  31n,
  32n,
  33n,
  63n,
  64n,
  65n,
  0x7fn,
  0x80n,
  0x81n,
  0xffn,
  0x100n,
  -0x80n,
  -0x81n,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x10000n,
  -0x8000n,
  -0x8001n,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x1_0000_0000n,
  -0x8000_0000n,
  -0x8000_0001n,
  0x7fff_ffff_ffff_ffffn,
  -0x8000_0000_0000_0000n,
  0x5555_5555_5555_5555n,
  -0x5555_5555_5555_5556n,
  0x0123_4567_89ab_cdefn,
  0x0f0f_0f0f_0f0f_0f0fn,
  0x8080_8080_8080_8080n,
  0x7f7f_7f7f_7f7f_7f7fn,
  0x8000_8000_8000_8000n,
  0x7fff_7fff_7fff_7fffn,
  0x99n,
  0x9999n,
  0x0909n,
].map((v) => v & MASK64);

/** IEEE single: zeroes, units, limits, subnormals, infinities, quiet and signalling NaNs, integer limits, rounding ties. */
export const F32_EDGES: readonly number[] = [
  0x0000_0000, 0x8000_0000, 0x3f80_0000, 0xbf80_0000, 0x4000_0000, 0x3f00_0000, 0x4040_0000, 0x3eaa_aaab, 0x0000_0001,
  0x8000_0001, 0x007f_ffff, 0x807f_ffff, 0x0040_0000, 0x0080_0000, 0x8080_0000, 0x0080_0001, 0x7f7f_ffff, 0xff7f_ffff,
  0x7f7f_fffe, 0x7f00_0000, 0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0xffc0_0000, 0x7fc1_2345, 0xffd5_4321, 0x7f80_0001,
  0xffa5_5555, 0x7fbf_ffff, 0x4b00_0000, 0x4b00_0001, 0x4b7f_ffff, 0x3f00_0001, 0x3eff_ffff, 0x3fc0_0000, 0x4020_0000,
  0xbf00_0000, 0xc020_0000, 0x4f00_0000, 0xcf00_0000, 0x4eff_ffff, 0xcf00_0001, 0x5f00_0000, 0xdf00_0000, 0x5f80_0000,
  0x3f7f_ffff, 0x3f80_0001, 0x34000000, 0x33800000, 0x1f80_0000, 0x6000_0000, 0x2000_0000, 0x42f6_e979,
];

/** IEEE double, the same kinds, and the limits of single seen from double. */
export const F64_EDGES: readonly bigint[] = [
  0n,
  0x8000000000000000n,
  0x3ff0000000000000n,
  0xbff0000000000000n,
  0x4000000000000000n,
  0x3fe0000000000000n,
  0x4008000000000000n,
  0x3fd5555555555555n,
  0x0000000000000001n,
  0x8000000000000001n,
  0x000fffffffffffffn,
  0x0010000000000000n,
  0x8010000000000000n,
  0x0010000000000001n,
  0x0008000000000000n,
  0x7fefffffffffffffn,
  0xffefffffffffffffn,
  0x7fe0000000000000n,
  0x7ff0000000000000n,
  0xfff0000000000000n,
  0x7ff8000000000000n,
  0xfff8000000000000n,
  0x7ff8123456789abcn,
  0xfffaaaaaaaaaaaaan,
  0x7ff0000000000001n,
  0xfff5555555555555n,
  0x4330000000000000n,
  0x4330000000000001n,
  0x432fffffffffffffn,
  0x3ff8000000000000n,
  0x4004000000000000n,
  0xbfe0000000000000n,
  0x3fe0000000000001n,
  0x3fdfffffffffffffn,
  0xc004000000000000n,
  0x41e0000000000000n,
  0xc1e0000000000000n,
  0x41dfffffffc00000n,
  0x41dfffffffdfffffn,
  0xc1e0000000200000n,
  0xc1e0000000100000n,
  0x43e0000000000000n,
  0xc3e0000000000000n,
  0x43dfffffffffffffn,
  0x43f0000000000000n,
  0x3fefffffffffffffn,
  0x3ff0000000000001n,
  0x3ca0000000000000n,
  0x3cb0000000000000n,
  0x47efffffe0000000n,
  0x47efffffefffffffn,
  0x47effffff0000000n,
  0x47f0000000000000n,
  0x3810000000000000n,
  0x380fffffffffffffn,
  0x36a0000000000000n,
  0x3690000000000000n,
  0x3690000000000001n,
  0x369fffffffffffffn,
  0x3ff0000010000000n,
  0x3ff0000030000000n,
  0x3ff0000010000001n,
  0x1ff0000000000000n,
  0x5ff0000000000000n,
  0x405edd2f1a9fbe77n,
];

/** Double extended: [sign and exponent, significand], with the encodings only x87 knows (pseudo-denormal, unnormal, pseudo-infinity, pseudo-NaN). */
export const F80_EDGES: readonly (readonly [number, bigint])[] = [
  [0x0000, 0n],
  [0x8000, 0n],
  [0x3fff, 1n << 63n],
  [0xbfff, 1n << 63n],
  [0x4000, 1n << 63n],
  [0x3ffe, 1n << 63n],
  [0xbffe, 1n << 63n],
  [0x4000, 0xc000000000000000n],
  [0x3ffd, 0xaaaaaaaaaaaaaaabn],
  [0x4000, 0xc90fdaa22168c235n],
  [0x3fff, 0xc000000000000000n],
  [0x0000, 1n],
  [0x8000, 1n],
  [0x0000, 0x7fffffffffffffffn],
  [0x0000, 0x4000000000000000n],
  [0x0001, 1n << 63n],
  [0x8001, 1n << 63n],
  [0x0000, 1n << 63n],
  [0x0000, 0xc000000000000001n],
  [0x7ffe, MASK64],
  [0xfffe, MASK64],
  [0x7ffe, 1n << 63n],
  [0x7fff, 1n << 63n],
  [0xffff, 1n << 63n],
  [0x7fff, 0xc000000000000000n],
  [0xffff, 0xc000000000000000n],
  [0x7fff, 0xe123456789abcdefn],
  [0x7fff, 0x8000000000000001n],
  [0xffff, 0xa555555555555555n],
  [0x7fff, 0n],
  [0x7fff, 0x4000000000000000n],
  [0x3fff, 0x4000000000000000n],
  [0x4000, 1n],
  [0xc010, 0n],
  [0x403e, 1n << 63n],
  [0xc03e, 1n << 63n],
  [0x403d, MASK64],
  [0x403e, 0x8000000000000001n],
  [0x401e, 1n << 63n],
  [0xc01e, 1n << 63n],
  [0x401d, 0xffffffff00000000n],
  [0x400e, 1n << 63n],
  [0xc00e, 1n << 63n],
  [0x400d, 0xfffe000000000000n],
  [0x3ffe, MASK64],
  [0x3fff, 0x8000000000000001n],
  [0x3fbf, 1n << 63n],
  [0x3fc0, 1n << 63n],
  [0x407e, 0xffffff0000000000n],
  [0x407e, 0xffffff8000000000n],
  [0x43fe, 0xfffffffffffff800n],
  [0x43fe, 0xfffffffffffffc00n],
  [0x3f81, 1n << 63n],
  [0x3f6a, 1n << 63n],
  [0x3c01, 1n << 63n],
  [0x3bcd, 1n << 63n],
  [0x3bcc, 0xc000000000000000n],
  [0x3fff, 0x8000000000000400n],
  [0x3fff, 0x8000000000000c00n],
  [0x3fff, 0x8000008000000000n],
  [0x4004, 0x8c00000000000000n],
];

/** An edge integer, or one with a bit or two flipped or added, or a random one. Always 64 bits. */
export function edgeInteger(prng: Prng): bigint {
  const kind = prng.below(8);
  if (kind < 5) return prng.pick(INTEGER_EDGES);
  if (kind === 5) return 1n << BigInt(prng.below(64));
  if (kind === 6) return prng.u64() >> BigInt(prng.below(64));
  return prng.u64();
}

export function edgeF32(prng: Prng): number {
  const kind = prng.below(8);
  if (kind < 4) return prng.pick(F32_EDGES);
  if (kind === 4) return prng.u32();
  // A random significand with an exponent near one, so that sums and products round instead of overflowing.
  const sign = prng.below(2) * 0x8000_0000;
  return (sign + (0x78 + prng.below(16)) * 0x80_0000 + prng.below(0x80_0000)) >>> 0;
}

export function edgeF64(prng: Prng): bigint {
  const kind = prng.below(8);
  if (kind < 4) return prng.pick(F64_EDGES);
  if (kind === 4) return prng.u64();
  const exponent = BigInt(prng.below(2) * 0x800 + 0x3f8 + prng.below(16));
  return (exponent << 52n) | (prng.u64() >> 12n);
}

export function edgeF80(prng: Prng): readonly [number, bigint] {
  const kind = prng.below(8);
  if (kind < 4) return prng.pick(F80_EDGES);
  if (kind === 4) return [prng.below(0x10000), prng.u64()];
  return [prng.below(2) * 0x8000 + 0x3ff8 + prng.below(16), prng.u64() | (1n << 63n)];
}
