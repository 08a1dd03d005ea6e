/**
 * Fused multiplication and addition where the host has none, or none that it lets WebAssembly use.
 *
 * Singles are done in doubles: the product is exact, the sum is rounded to odd, and rounding that to a single is rounding once, as a
 * double has more than two bits to spare. Doubles are done with error terms (S. Boldo and G. Melquiond, "Emulation of a FMA and
 * correctly rounded sums: proved algorithms using rounding to odd", 2008), where all magnitudes are moderate.
 *
 * @module
 */
import { type I32, i32, type V128 } from '../emit/expr.ts';
import type { Label } from '../emit/function-builder.ts';
import { f32x4, f64x2, i64x2, i8x16, v128 } from '../emit/simd.ts';
import type { LiftBuilder } from './lift-builder.ts';
import {
  anyHalf,
  doublePacked,
  isDenormal,
  isNotFinite,
  requirePrecision,
  singlePacked,
  splitProduct,
} from './sse-lanes.ts';

/** Factors and addend of a vector, or of a scalar in every lane; locals. */
export type Terms = readonly [V128, V128, V128];

/** Two lanes of doubles: the sum rounded to nearest, and what that left out (Knuth). All arguments are locals. */
function twoSum(b: LiftBuilder, x: V128, y: V128): readonly [V128, V128] {
  const sum = b.let(f64x2.add(x, y));
  const back = b.let(f64x2.sub(sum, x));
  return [sum, b.let(f64x2.add(f64x2.sub(x, f64x2.sub(sum, back)), f64x2.sub(y, back)))];
}

/** A sum as `twoSum` gives it, rounded to odd: an inexact one that is even moves a step towards what was left out. */
function toOdd(b: LiftBuilder, [sum, rest]: readonly [V128, V128]): V128 {
  const one = i64x2.const([1n, 1n]);
  const even = i64x2.eq(v128.and(sum, one), v128.zero());
  const step = v128.or(i64x2.shrS(v128.xor(sum, rest), i32.const(63)), one);
  return b.let(i64x2.add(sum, v128.and(v128.and(even, isNot(rest)), step)));
}
const isNot = (x: V128): V128 => f64x2.ne(x, v128.zero());

/** Results of two lanes, and masks of what cannot be done here and of what was inexact. */
interface Pair {
  readonly result: V128;
  readonly unfit: V128;
  readonly inexact: V128;
}

/** Of doubles that are singles; the result is a single in the low lanes. */
function fuseWidened(b: LiftBuilder, [x, y, z]: Terms): Pair {
  const sum = twoSum(b, b.let(f64x2.mul(x, y)), z);
  const odd = toOdd(b, sum);
  const result = b.let(f32x4.demoteZero(odd));
  const back = b.let(f64x2.promoteLow(result));
  const tiny = f64x2.le(f64x2.abs(back), f64x2.const([2 ** -126, 2 ** -126]));
  return {
    result,
    unfit: v128.or(v128.and(tiny, isNot(odd)), f64x2.ne(f64x2.sub(back, back), v128.zero())),
    inexact: v128.or(isNot(sum[1]), f64x2.ne(back, odd)),
  };
}

const upperToLower = (x: V128): V128 =>
  i8x16.shuffle(x, x, [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15]);

/** Four singles: two pairs of doubles. */
function fuseSingles(b: LiftBuilder, terms: Terms): Pair {
  const pair = (part: (v: V128) => V128): Pair =>
    fuseWidened(b, terms.map((v) => b.let(f64x2.promoteLow(part(v)))) as unknown as Terms);
  const low = pair((v) => v);
  const high = pair(upperToLower);
  return {
    result: i64x2.replace(1, low.result, i64x2.extract(0, high.result)),
    unfit: v128.or(low.unfit, high.unfit),
    inexact: v128.or(low.inexact, high.inexact),
  };
}

/** Zero, or so that no error term underflows and nothing overflows. */
function isModerate(x: V128): V128 {
  const magnitude = f64x2.abs(x);
  const within = v128.and(
    f64x2.le(f64x2.const([2 ** -400, 2 ** -400]), magnitude),
    f64x2.le(magnitude, f64x2.const([2 ** 400, 2 ** 400])),
  );
  return v128.or(within, f64x2.eq(x, v128.zero()));
}

function fuseDoubles(b: LiftBuilder, [x, y, z]: Terms): Pair {
  const product = b.let(f64x2.mul(x, y));
  const productRest = b.let(splitProduct(b, doublePacked, x, y, product) as V128);
  const low = twoSum(b, z, productRest);
  const high = twoSum(b, product, low[0]);
  const tail = twoSum(b, low[1], high[1]);
  const sum = twoSum(b, high[0], toOdd(b, tail));
  return {
    result: sum[0],
    // The sign of a zero depends on more than was kept.
    unfit: v128.or(
      v128.not(v128.and(v128.and(isModerate(x), isModerate(y)), isModerate(z))),
      f64x2.eq(sum[0], v128.zero()),
    ),
    inexact: v128.or(isNot(tail[1]), isNot(sum[1])),
  };
}

/** x * y + z by halves of a vector; branches to `slow` where that is not to be had. Of a scalar only the lowest lane matters. */
export function fuseEmulated(
  b: LiftBuilder,
  single: boolean,
  scalar: boolean,
  halves: readonly Terms[],
  slow: Label,
): V128[] {
  if (single) {
    const unusual = halves
      .flat()
      .map((v) => v128.or(isDenormal(singlePacked, v) as V128, isNotFinite(singlePacked, v) as V128));
    b.f.brIf(slow, anyHalf(singlePacked, unusual));
  }
  const pairs = halves.map((terms) => {
    if (!single) return fuseDoubles(b, terms);
    return scalar
      ? fuseWidened(b, terms.map((v) => b.let(f64x2.promoteLow(v))) as unknown as Terms)
      : fuseSingles(b, terms);
  });
  const any = (mask: (pair: Pair) => V128): I32 => v128.anyTrue(pairs.map(mask).reduce(v128.or));
  b.f.brIf(
    slow,
    any((pair) => pair.unfit),
  );
  requirePrecision(b, slow, true, () => any((pair) => pair.inexact));
  return pairs.map((pair) => pair.result);
}
