/**
 * Arithmetic flags in translated code: kept as what they are to be computed from (a sum, a result, a promise), and computed
 * where something reads them; and the variables of a region's function that they go through.
 *
 * @module
 */
import { type Expr, type I32, i32, i64, type I64 } from '../emit/expr.ts';
import type { FunctionBuilder, Local } from '../emit/function-builder.ts';
import { addCarries, type IntegerSize, integerOps, packCarries, signExtended, subCarries } from '../insn/flags.ts';
import { FLAG_AUX, FLAG_RESULT } from '../state.ts';

/** What arithmetic flags will be computed from. `undefined` in the builder: they are in the two flag locals. */
export type PendingFlags =
  | {
      readonly kind: 'add' | 'sub';
      readonly size: IntegerSize;
      /** Locals or constants. */
      readonly x: Expr;
      readonly y: Expr;
      readonly r: Local;
      readonly carried: boolean;
      /** CF where it is not that of the sum. */
      readonly kept: I32 | undefined;
    }
  /** `r` is a local or a constant, and zero-extended. */
  | { readonly kind: 'logic'; readonly size: IntegerSize; readonly r: Expr }
  | { readonly kind: 'deferred'; readonly size: IntegerSize; readonly make: () => void }
  /** As the local `carried` says: in the flag locals, or to be computed from `narrow` or `wide`. */
  | { readonly kind: 'carried'; readonly size: IntegerSize };

/** Flags and the locals that they are made of, which must stay as they are. */
export interface FlagState {
  readonly pending: PendingFlags | undefined;
  readonly locals: readonly Local[];
}

export const FLAGS_IN_LOCALS: FlagState = { pending: undefined, locals: [] };
export const FLAGS_CARRIED: FlagState = { pending: { kind: 'carried', size: 8 }, locals: [] };

/** Sums that flags are computed from at the end of a region, or carried from block to block. */
export const SUMS: readonly { readonly kind: 'add' | 'sub'; readonly size: IntegerSize }[] = (
  ['add', 'sub'] as const
).flatMap((kind) => ([1, 2, 4, 8] as const).map((size) => ({ kind, size })));
export const sumOf = (kind: 'add' | 'sub', size: IntegerSize): number =>
  (kind === 'add' ? 0 : 4) + 31 - Math.clz32(size);

/** Variables of a region's function. */
export interface RegionLocals {
  readonly cpu: Local<'i32'>;
  readonly gpr: readonly Local<'i64'>[];
  readonly xmm: readonly Local<'v128'>[];
  /** Upper halves of YMM registers that are used as 32 bytes. */
  readonly ymmHigh: readonly Local<'v128'>[];
  readonly flagResult: Local<'i64'>;
  readonly flagAux: Local<'i32'>;
  readonly tlbBase: Local<'i32'>;
  readonly tlbTag: Local<'i64'>;
  /** Linear address of the entry's page. */
  readonly ripBase: Local<'i64'>;
  /** RIP to leave with, or where that is from the entry's page, by the label that is left through. */
  readonly rip: Local<'i64'>;
  readonly delta: Local<'i32'>;
  /** What flags are to be computed from on the way out: x, y and r of a sum of up to 4 bytes, and of 8. */
  readonly narrow: readonly Local<'i32'>[];
  readonly wide: readonly Local<'i64'>[];
  /** Where blocks are entered with carried flags: 0 when the flag locals hold them, else 1 + the number in SUMS. */
  readonly carried: Local<'i32'>;
  readonly budget: Local<'i32'>;
  readonly status: Local<'i32'>;
  /** MXCSR, which nothing in a region changes but what leaves it. */
  readonly mxcsr: Local<'i32'>;
  /** CODE_GENERATION at entry. */
  readonly generation: Local<'i32'>;
}

/** Condition codes / 2. */
export const CARRY = 1;
// biome-ignore format: a table
const OVERFLOW = 0, ZERO = 2, CARRY_OR_ZERO = 3, SIGN = 4, LESS = 6, LESS_OR_ZERO = 7;

/** The condition of an even code / 2 straight from what the flags are made of; undefined where that is not simple. */
export function conditionOf(kind: number, pending: PendingFlags): I32 | undefined {
  if (pending.kind === 'deferred' || pending.kind === 'carried') return undefined;
  const { size, r } = pending;
  if (kind === SIGN) return isNegative(size, r);
  if (pending.kind === 'logic') {
    if (kind === OVERFLOW || kind === CARRY) return i32.const(0);
    const zero = integerOps(size).eqz(r);
    if (kind === ZERO || kind === CARRY_OR_ZERO) return zero;
    if (kind === LESS) return isNegative(size, r);
    return kind === LESS_OR_ZERO ? i32.or(isNegative(size, r), zero) : undefined;
  }
  const { x, y, carried, kept } = pending;
  const isSub = pending.kind === 'sub';
  const t = integerOps(size);
  if (kind === ZERO) return isSub && !carried ? t.eq(x, y) : isZero(size, r);
  if (kind === CARRY || kind === CARRY_OR_ZERO) {
    if (kind === CARRY_OR_ZERO && isSub && !carried && kept === undefined) return i32.eqz(t.gtU(x, y));
    const carry = kept ?? (isSub ? borrowOf(size, x, y, r, carried) : carryOf(size, x, y, r, carried));
    return kind === CARRY ? carry : i32.or(carry, isZero(size, r));
  }
  if (!isSub || carried) return undefined;
  if (kind === LESS) return t.ltS(signed(size, x), signed(size, y));
  return kind === LESS_OR_ZERO ? i32.eqz(t.gtS(signed(size, x), signed(size, y))) : undefined;
}

const signed = (size: IntegerSize, x: Expr): Expr =>
  size === 1 ? i32.extend8S(x as I32) : size === 2 ? i32.extend16S(x as I32) : x;

function isNegative(size: IntegerSize, r: Expr): I32 {
  const t = integerOps(size);
  return t.ltS(signed(size, r), t.const(0));
}

function isZero(size: IntegerSize, r: Expr): I32 {
  if (size >= 4) return integerOps(size).eqz(r);
  return i32.eqz(i32.and(r as I32, i32.const(size === 1 ? 0xff : 0xffff)));
}

/** The carry out of x + y (+ carry) = r. */
function carryOf(size: IntegerSize, x: Expr, y: Expr, r: Expr, carried: boolean): I32 {
  const t = integerOps(size);
  if (!carried && size >= 4) return t.ltU(r, x);
  return topBit(size, addCarries(size, x, y, r));
}

/** The borrow out of x - y (- borrow) = r. */
function borrowOf(size: IntegerSize, x: Expr, y: Expr, r: Expr, carried: boolean): I32 {
  return carried ? topBit(size, subCarries(size, x, y, r)) : integerOps(size).ltU(x, y);
}

function topBit(size: IntegerSize, value: Expr): I32 {
  if (size === 8) return i32.wrap(i64.shrU(value as I64, i64.const(63)));
  return i32.and(i32.shrU(value as I32, i32.const(size * 8 - 1)), i32.const(1));
}

/** Sets the flag locals from x, y and r of a sum. */
export function computeFlags(f: FunctionBuilder, v: RegionLocals, kind: 'add' | 'sub', size: IntegerSize): void {
  const [x, y, r] = (size === 8 ? v.wide : v.narrow) as readonly Local[] as [Local, Local, Local];
  const carries = f.let((kind === 'add' ? addCarries : subCarries)(size, x, y, r) as Expr<'i32'>);
  f.set(v.flagResult, signExtended(size, r));
  f.set(v.flagAux, packCarries(size, carries));
}

/** Sets the flag locals as `carried` says, which may be any of `sums`. */
export function computeCarried(f: FunctionBuilder, v: RegionLocals, sums: Iterable<number>): void {
  for (const n of sums) {
    const { kind, size } = SUMS[n] as (typeof SUMS)[number];
    f.if(i32.eq(v.carried, i32.const(n + 1)), () => f.scope(() => computeFlags(f, v, kind, size)));
  }
}

/** Stores flags that are in the locals into the state record. */
export function storeFlags(f: FunctionBuilder, v: RegionLocals): void {
  f.store(8, v.cpu, v.flagResult, FLAG_RESULT);
  f.store(4, v.cpu, v.flagAux, FLAG_AUX);
}
