/**
 * Floating point on the host's own arithmetic, where that is bit-exact.
 *
 * WebAssembly rounds to nearest even, keeps denormals and raises no flags. An operation is done inline when that is all it
 * takes: no operand is denormal or a NaN, the result is an ordinary number, and the precision exception is masked and
 * either already flagged in MXCSR or provably not raised. Everything else goes to softfloat/ (SDM volume 1, 11.5).
 *
 * FTZ and DAZ need no look: they only matter where denormals are about. The masks of the other exceptions do not
 * either: nothing done inline raises them.
 *
 * @module
 */
import { type Expr, f32, f64, type I32, i32, i64, type V128, select } from '../emit/expr.ts';
import { call, type Callee, type Label } from '../emit/function-builder.ts';
import { f32x4, f64x2, i32x4, i64x2, v128 } from '../emit/simd.ts';
import { SLOW_WIDE, SseOperation } from '../softfloat/sse-slow.ts';
import { TEMP0 } from '../state.ts';
import type { LiftBuilder } from './lift-builder.ts';
import { floatSource, type Source, writeScalar, writeVector } from './sse-operands.ts';

const MXCSR_PE = 1 << 5,
  MXCSR_PM = 1 << 12,
  MXCSR_RC = 3 << 13;

/** Operations of one element form, on a scalar or on all lanes; masks are i32 or v128 accordingly. */
export interface Lanes {
  readonly suffix: 'ps' | 'pd' | 'ss' | 'sd';
  /** Mandatory prefix, and operands with the form's size. */
  readonly prefix: 'NP' | '66' | 'F3' | 'F2';
  readonly ops: string;
  readonly type: 'f32' | 'f64' | 'v128';
  const(value: number): Expr;
  abs(x: Expr): Expr;
  neg(x: Expr): Expr;
  sqrt(x: Expr): Expr;
  ceil(x: Expr): Expr;
  floor(x: Expr): Expr;
  trunc(x: Expr): Expr;
  nearest(x: Expr): Expr;
  add(x: Expr, y: Expr): Expr;
  sub(x: Expr, y: Expr): Expr;
  mul(x: Expr, y: Expr): Expr;
  div(x: Expr, y: Expr): Expr;
  /** x < y ? x : y, and x > y ? x : y: what MINPS and MAXPS do. */
  lesser(x: Expr, y: Expr): Expr;
  greater(x: Expr, y: Expr): Expr;
  eq(x: Expr, y: Expr): Expr;
  ne(x: Expr, y: Expr): Expr;
  lt(x: Expr, y: Expr): Expr;
  le(x: Expr, y: Expr): Expr;
  and(p: Expr, q: Expr): Expr;
  or(p: Expr, q: Expr): Expr;
  not(p: Expr): Expr;
  /** 1 when any lane's condition holds. */
  any(p: Expr): I32;
  /** Smallest normal number. */
  readonly least: number;
  /** Products above this have an error term that is representable. */
  readonly safe: number;
  /** 2^ceil(p/2) + 1 splits a significand of p bits in two. */
  readonly splitter: number;
}

const limits32 = { least: 2 ** -126, safe: 2 ** -60, splitter: 2 ** 12 + 1 };
const limits64 = { least: 2 ** -1022, safe: 2 ** -900, splitter: 2 ** 27 + 1 };
const scalarMask = { and: i32.and, or: i32.or, not: i32.eqz, any: (p: I32) => p };
const vectorMask = { and: v128.and, or: v128.or, not: v128.not, any: v128.anyTrue };

const scalarChoice = (t: typeof f32 | typeof f64) => ({
  lesser: (x: Expr, y: Expr): Expr => select(t.lt(x as never, y as never), x, y),
  greater: (x: Expr, y: Expr): Expr => select(t.gt(x as never, y as never), x, y),
});
const f32Const = (value: number): Expr => ({
  type: 'f32',
  write(out) {
    out.byte(0x43);
    out.bytes(new Uint8Array(Float32Array.of(value).buffer));
  },
});
const f64Const = (value: number): Expr => ({
  type: 'f64',
  write(out) {
    out.byte(0x44);
    out.bytes(new Uint8Array(Float64Array.of(value).buffer));
  },
});

export const singleScalar = {
  suffix: 'ss',
  prefix: 'F3',
  ops: 'Vd,Wd',
  type: 'f32',
  ...f32,
  const: f32Const,
  ...scalarChoice(f32),
  ...scalarMask,
  ...limits32,
} as unknown as Lanes;
export const doubleScalar = {
  suffix: 'sd',
  prefix: 'F2',
  ops: 'Vq,Wq',
  type: 'f64',
  ...f64,
  const: f64Const,
  ...scalarChoice(f64),
  ...scalarMask,
  ...limits64,
} as unknown as Lanes;
export const singlePacked = {
  suffix: 'ps',
  prefix: 'NP',
  ops: 'Vo,Wo',
  type: 'v128',
  ...f32x4,
  ...vectorMask,
  ...limits32,
  const: (value: number) => f32x4.const([value, value, value, value]),
  lesser: (x: never, y: never) => f32x4.pmin(y, x),
  greater: (x: never, y: never) => f32x4.pmax(y, x),
} as unknown as Lanes;
export const doublePacked = {
  suffix: 'pd',
  prefix: '66',
  ops: 'Vo,Wo',
  type: 'v128',
  ...f64x2,
  ...vectorMask,
  ...limits64,
  const: (value: number) => f64x2.const([value, value]),
  lesser: (x: never, y: never) => f64x2.pmin(y, x),
  greater: (x: never, y: never) => f64x2.pmax(y, x),
} as unknown as Lanes;

export const LANES: readonly Lanes[] = [singlePacked, singleScalar, doublePacked, doubleScalar];

export const readLanes = (b: LiftBuilder, t: Lanes, index: number): Source => floatSource(b, index, t.type);

/** Writes the destination: the halves of a vector, or its low lane. */
export function writeLanes(b: LiftBuilder, t: Lanes, values: readonly Expr[]): void {
  if (t.type === 'v128') writeVector(b, 0, values as V128[]);
  else writeScalar(b, values[0] as Expr);
}

/** `any` of a condition over the halves of vectors, or of scalars. */
export const anyHalf = (t: Lanes, conditions: readonly Expr[]): I32 => t.any(conditions.reduce((p, q) => t.or(p, q)));

// Conditions; every argument is used more than once and must be a local or a constant.

export const isDenormal = (t: Lanes, x: Expr): Expr => t.and(t.lt(t.abs(x), t.const(t.least)), t.ne(x, t.const(0)));
/** Infinity or NaN. */
export const isNotFinite = (t: Lanes, x: Expr): Expr => t.ne(t.sub(x, x), t.const(0));
/**
 * Exponent field of a scalar outside [least, most]: what is not surely an ordinary number, and at the edges of what is. A test in the
 * integer unit, cheaper than those above, which are asked only behind it.
 */
export function exponentOutside(t: Lanes, x: Expr, least: number): I32 {
  const isDouble = t.type === 'f64';
  const most = isDouble ? 0x7fe : 0xfe;
  const field = isDouble
    ? i32.wrap(i64.shrU(i64.reinterpret(x as Expr<'f64'>), i64.const(52)))
    : i32.shrU(i32.reinterpret(x as Expr<'f32'>), i32.const(23));
  const exponent = i32.and(field, i32.const(isDouble ? 0x7ff : 0xff));
  return i32.gtU(i32.sub(exponent, i32.const(least)), i32.const(most - least));
}
/** Moves the middle half of all exponents to where the exponent's second bit from the top is set, and only there. */
const MIDDLE = {
  ps: i32x4.const([0x40 << 23, 0x40 << 23, 0x40 << 23, 0x40 << 23]),
  pd: i64x2.const([0x200n << 52n, 0x200n << 52n]),
};
/**
 * A lane whose exponent is outside the middle half of what there is: |x| outside [2^-63, 2^65) in singles, [2^-511, 2^513) in doubles. Sums of
 * lanes inside are zeros or ordinary numbers, so nothing need be asked of them.
 */
export function outsideMiddle(b: LiftBuilder, t: Lanes, vectors: readonly Expr[]): I32 {
  const isDouble = t.suffix === 'pd';
  const { add, shl, bitmask } = isDouble ? i64x2 : i32x4;
  const middle = b.constant(`middle of ${t.suffix}`, isDouble ? MIDDLE.pd : MIDDLE.ps);
  const inside = vectors.map((x) => add(x as V128, middle)).reduce((p, q) => v128.and(p, q));
  return i32.ne(bitmask(shl(inside, i32.const(1))), i32.const(isDouble ? 3 : 15));
}
export const isUnordered = (t: Lanes, x: Expr, y: Expr): Expr => t.or(t.ne(x, x), t.ne(y, y));
/** Zero, denormal, or rounded up to the least normal number. */
export const isTiny = (t: Lanes, x: Expr): Expr => t.le(t.abs(x), t.const(t.least));

/** Branches to `slow` when a scalar operand is denormal; a register operand that is not is known to be tame then, or the result tells. */
export function refuseDenormal(b: LiftBuilder, t: Lanes, index: number, x: Expr, slow: Label): void {
  if (b.isTame(index, t.suffix)) return;
  b.f.unlikely(exponentOutside(t, x, 1), () => b.f.brIf(slow, isDenormal(t, x) as I32));
}

/** True where x + y was inexact; `sum` is their rounded sum (Knuth's two-sum). */
export function sumIsInexact(b: LiftBuilder, t: Lanes, x: Expr, y: Expr, sum: Expr): Expr {
  const back = b.let(t.sub(sum, x) as Expr<'f64'>);
  const error = t.add(t.sub(x, t.sub(sum, back)), t.sub(y, back));
  return t.ne(error, t.const(0));
}

/** True where x * y differs from `product`, or where that cannot be told. */
export function productDiffers(b: LiftBuilder, t: Lanes, x: Expr, y: Expr, product: Expr): Expr {
  const small = t.and(t.le(t.abs(product), t.const(t.safe)), t.ne(product, t.const(0)));
  return t.or(t.ne(splitProduct(b, t, x, y, product), t.const(0)), small);
}

/** What x * y differs from `product` by (Dekker's product). */
export function splitProduct(b: LiftBuilder, t: Lanes, x: Expr, y: Expr, product: Expr): Expr {
  const split = (v: Expr): readonly [Expr, Expr] => {
    const scaled = b.let(t.mul(v, t.const(t.splitter)) as Expr<'f64'>);
    const high = b.let(t.sub(scaled, t.sub(scaled, v)) as Expr<'f64'>);
    return [high, b.let(t.sub(v, high) as Expr<'f64'>)];
  };
  const [xHigh, xLow] = split(x);
  const [yHigh, yLow] = split(y);
  let error = t.sub(t.mul(xHigh, yHigh), product);
  error = t.add(t.add(error, t.mul(xHigh, yLow)), t.mul(xLow, yHigh));
  return t.add(error, t.mul(xLow, yLow));
}

/** Calls softfloat/ for `operation` (a key of SseOperation) with a destination in linear memory. */
export function slowFloat(
  b: LiftBuilder,
  operation: string,
  destination: I32,
  first: I32,
  second: I32,
  immediate?: I32,
  wide = false,
): void {
  const number = SseOperation[operation];
  if (number === undefined) throw new Error(`softfloat has no operation ${operation}`);
  b.spillOperands();
  const fault = b.let(
    call(
      'i32',
      b.helpers['slowFloat'] as Callee,
      i32.const(number | (wide ? SLOW_WIDE : 0)),
      destination,
      first,
      second,
      immediate ?? i32.const(0),
    ),
  );
  b.reloadOperands();
  b.f.if(fault, () => b.leaveWithFault());
}

/** The same with operand 0 for the destination, of which `scalar` is the low lane only. */
export function slowToVector(
  b: LiftBuilder,
  operation: string,
  first: I32,
  second: I32,
  scalar?: 'f32' | 'f64',
  immediate?: I32,
): void {
  const { vector } = b.form;
  if (vector === 0 || scalar === undefined) {
    slowFloat(b, operation, b.slot(0), first, second, immediate, vector === 32);
    if (vector === 16) b.writeYmmHigh(0, v128.zero());
    return;
  }
  slowFloat(b, operation, i32.add(b.cpu, i32.const(TEMP0)), first, second, immediate);
  writeScalar(b, scalar === 'f32' ? i32.load(b.cpu, TEMP0) : i64.load(b.cpu, TEMP0));
}
/** The lane type of scalar forms, for `slowToVector`. */
export const scalarOf = (t: Lanes): 'f32' | 'f64' | undefined => (t.type === 'v128' ? undefined : t.type);

/**
 * Branches to `slow` unless an inexact result in rounding mode `nearest` (or in any) needs no more than has been done.
 * `inexact`: whether the result is inexact, asked only when MXCSR does not settle it.
 */
export function requirePrecision(b: LiftBuilder, slow: Label, rounds: boolean, inexact: () => I32): void {
  const { f } = b;
  const control = b.let(i32.and(b.mxcsr(), i32.const((rounds ? MXCSR_RC : 0) | MXCSR_PM | MXCSR_PE)));
  f.unlikely(i32.ne(control, i32.const(MXCSR_PM | MXCSR_PE)), () => {
    if (rounds) f.brIf(slow, i32.and(control, i32.const(MXCSR_RC)));
    f.brIf(slow, inexact());
  });
}

/** `fast` ends the instruction or branches to its argument, after which `slow` is done. */
export function fastOrSlow(b: LiftBuilder, fast: (slow: Label) => void, slow: () => void): void {
  b.f.block((label) => {
    fast(label);
    b.next();
  });
  b.slowly(slow);
}
