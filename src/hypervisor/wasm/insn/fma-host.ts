/**
 * Fused multiplication and addition by the host's own instruction. WebAssembly's relaxed operations may round once or twice; a host on
 * which they round once, which is found out by trying, gives what the guest's processor would.
 *
 * What is not done here goes to softfloat: denormal operands, NaNs, overflow, results that may have underflowed.
 *
 * @module
 */
import { type Expr, type I32, type V128 } from '../emit/expr.ts';
import type { Label } from '../emit/function-builder.ts';
import { ModuleBuilder } from '../emit/module-builder.ts';
import { f32x4, f64x2 } from '../emit/simd.ts';
import type { LiftBuilder } from './lift-builder.ts';
import {
  anyHalf,
  exponentOutside,
  isDenormal,
  isNotFinite,
  isTiny,
  type Lanes,
  refuseDenormal,
  requirePrecision,
  sumIsInexact,
} from './sse-lanes.ts';

/** A factor, whose square has one bit too many, and what its rounded square lacks. */
const PROBES = {
  f32: { factor: 1 + 2 ** -13, rest: 2 ** -26 },
  f64: { factor: 1 + 2 ** -30, rest: 2 ** -60 },
} as const;

/** True when the relaxed operations round once. False also where the engine does not know them. */
function probe(): boolean {
  const module = new ModuleBuilder();
  for (const type of ['f32', 'f64'] as const) {
    const f = module.function([type, type], type);
    const x = f.param(type, 0);
    f.return(fused(type, x, x, f.param(type, 1)));
    f.unreachable();
    module.export(type, f);
  }
  try {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.toBytes()));
    return (['f32', 'f64'] as const).every((type) => {
      const { factor, rest } = PROBES[type];
      const product = type === 'f32' ? Math.fround(factor * factor) : factor * factor;
      return (exports[type] as (x: number, z: number) => number)(factor, -product) === rest;
    });
  } catch {
    return false;
  }
}

let known: boolean | undefined;
/** Whether `fuseOnHost` can be used. */
export function hostFuses(): boolean {
  known ??= probe();
  return known;
}

/** x * y + z, of scalars by way of vectors. */
function fused(type: 'f32' | 'f64' | 'v128', x: Expr, y: Expr, z: Expr, single = type === 'f32'): Expr {
  if (type === 'v128') return (single ? f32x4 : f64x2).relaxedMadd(x as V128, y as V128, z as V128);
  const shape = type === 'f32' ? f32x4 : f64x2;
  const wide = (v: Expr): V128 => shape.splat(v as never);
  return shape.extract(0, shape.relaxedMadd(wide(x), wide(y), wide(z)));
}

/** The result is not finite, or may have come from an underflow: it is not, where the addend is so large that little of it means nothing. */
function isUnfit(t: Lanes, x: Expr, y: Expr, z: Expr, r: Expr): Expr {
  const zero = t.const(0);
  const cancelled = t.lt(t.const(t.safe), t.abs(z));
  const nothing = t.and(t.eq(z, zero), t.or(t.eq(x, zero), t.eq(y, zero)));
  return t.or(t.and(isTiny(t, r), t.not(t.or(cancelled, nothing))), isNotFinite(t, r));
}

/** Whether x * y + z may have been rounded: it was not, when neither the product nor the sum is. */
function mayBeInexact(b: LiftBuilder, t: Lanes, single: boolean, [x, y, z]: readonly [Expr, Expr, Expr]): Expr {
  const zero = t.const(0);
  const product = b.let(t.mul(x, y) as Expr<'f64'>);
  const small = t.and(t.le(t.abs(product), t.const(t.safe)), t.and(t.ne(x, zero), t.ne(y, zero)));
  const rest = fused(t.type, x, y, t.neg(product), single);
  const sum = b.let(t.add(product, z) as Expr<'f64'>);
  return t.or(t.or(small, t.ne(rest, zero)), sumIsInexact(b, t, product, z, sum));
}

/** x * y + z by halves of a vector, or of scalars; all are locals, `operands` their numbers. Branches to `slow` where that is not it. */
export function fuseOnHost(
  b: LiftBuilder,
  t: Lanes,
  halves: readonly (readonly [Expr, Expr, Expr])[],
  operands: readonly number[],
  slow: Label,
): Expr[] {
  const single = t.suffix === 'ps' || t.suffix === 'ss';
  const results = halves.map(([x, y, z]) => b.let(fused(t.type, x, y, z, single) as Expr<'f64'>));
  const over = (condition: (terms: readonly [Expr, Expr, Expr], r: Expr) => Expr): I32 =>
    anyHalf(
      t,
      halves.map((terms, half) => condition(terms, results[half] as Expr)),
    );
  if (t.type === 'v128') {
    b.f.unlikely(
      over((terms, r) => isUnusual(t, terms, r)),
      () => {
        b.f.brIf(
          slow,
          over((terms, r) =>
            [...terms.map((v) => isDenormal(t, v)), isUnfit(t, ...terms, r)].reduce((p, q) => t.or(p, q)),
          ),
        );
      },
    );
  } else {
    const terms = halves[0] as readonly [Expr, Expr, Expr];
    operands.forEach((operand, i) => refuseDenormal(b, t, operand, terms[i] as Expr, slow));
    b.f.unlikely(exponentOutside(t, results[0] as Expr, 2), () =>
      b.f.brIf(
        slow,
        over((_, r) => isUnfit(t, ...terms, r)),
      ),
    );
  }
  requirePrecision(b, slow, true, () => over((terms) => mayBeInexact(b, t, single, terms)));
  return results;
}

/** Something is not surely an ordinary number: a test of fewer steps than those which are asked behind it. */
function isUnusual(t: Lanes, terms: readonly [Expr, Expr, Expr], r: Expr): Expr {
  const least = [...terms, r].map((v) => t.abs(v)).reduce((x, y) => t.lesser(x, y));
  return t.not(t.and(t.le(t.const(2 * t.least), least), t.lt(t.abs(r), t.const(Infinity))));
}
