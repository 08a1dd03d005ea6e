/**
 * SSE floating-point arithmetic and comparisons (SDM volume 2: ADD* SUB* MUL* DIV* SQRT* MIN* MAX* CMP* COMIS* UCOMIS*
 * ROUND* RCP* RSQRT* HADD* HSUB* ADDSUB* DPPS DPPD).
 *
 * @module
 */
import { type Expr, type I32, i32, i64, select, type V128 } from '../emit/expr.ts';
import type { Label, Local } from '../emit/function-builder.ts';
import { i32x4, i64x2, i8x16, v128 } from '../emit/simd.ts';
import { TEMP0 } from '../state.ts';
import type { LiftBuilder } from './lift-builder.ts';
import { type Lift, type Row, type RowOptions, row } from './row.ts';
import {
  anyHalf,
  doublePacked,
  doubleScalar,
  exponentOutside,
  fastOrSlow,
  isDenormal,
  isNotFinite,
  isTiny,
  isUnordered,
  LANES,
  type Lanes,
  outsideMiddle,
  productDiffers,
  readLanes,
  refuseDenormal,
  requirePrecision,
  scalarOf,
  singlePacked,
  singleScalar,
  slowFloat,
  slowToVector,
  sumIsInexact,
  writeLanes,
} from './sse-lanes.ts';
import { firstOf, imm8, secondOf } from './sse-operands.ts';

const asLocal = (b: LiftBuilder, value: Expr): Expr => b.let(value as Expr<'f64'>);

/** One operation: its result, what makes it unfit for the host's arithmetic, whether it was inexact. Arguments are locals. */
interface Arithmetic {
  readonly name: string;
  readonly opcode: string;
  compute(t: Lanes, x: Expr, y: Expr): Expr;
  /** Which of them need only be in the middle half of all exponents (`outsideMiddle`) for the operation to be fit. */
  middle(x: Expr, y: Expr, r: Expr): readonly Expr[];
  unfit(t: Lanes, x: Expr, y: Expr, r: Expr): Expr;
  inexact(b: LiftBuilder, t: Lanes, x: Expr, y: Expr, r: Expr): Expr;
}

/** Sums cannot underflow: a denormal sum is exact, and so is a zero. */
const sumUnfit = (t: Lanes, x: Expr, y: Expr, r: Expr): Expr =>
  t.or(t.or(isDenormal(t, x), isDenormal(t, y)), t.or(isDenormal(t, r), isNotFinite(t, r)));

const add: Arithmetic = {
  name: 'add',
  opcode: '58',
  compute: (t, x, y) => t.add(x, y),
  middle: (x, y) => [x, y],
  unfit: sumUnfit,
  inexact: sumIsInexact,
};
const sub: Arithmetic = {
  name: 'sub',
  opcode: '5C',
  compute: (t, x, y) => t.sub(x, y),
  middle: (x, y) => [x, y],
  unfit: sumUnfit,
  inexact: (b, t, x, y, r) => sumIsInexact(b, t, x, asLocal(b, t.neg(y)), r),
};
const mul: Arithmetic = {
  name: 'mul',
  opcode: '59',
  compute: (t, x, y) => t.mul(x, y),
  middle: (x, y, r) => [x, y, r],
  unfit: (t, x, y, r) => {
    const zero = t.const(0);
    const underflow = t.and(isTiny(t, r), t.and(t.ne(x, zero), t.ne(y, zero)));
    return t.or(t.or(isDenormal(t, x), isDenormal(t, y)), t.or(underflow, isNotFinite(t, r)));
  },
  inexact: productDiffers,
};
const div: Arithmetic = {
  name: 'div',
  opcode: '5E',
  compute: (t, x, y) => t.div(x, y),
  middle: (x, y, r) => [x, y, r],
  unfit: (t, x, y, r) => {
    const underflow = t.and(isTiny(t, r), t.ne(x, t.const(0)));
    return t.or(t.or(isDenormal(t, x), isDenormal(t, y)), t.or(underflow, isNotFinite(t, r)));
  },
  // Exact when multiplying back gives the dividend exactly.
  inexact: (b, t, x, y, r) => {
    const product = asLocal(b, t.mul(r, y));
    return t.or(t.ne(product, x), productDiffers(b, t, r, y, product));
  },
};
const sqrt: Arithmetic = {
  name: 'sqrt',
  opcode: '51',
  compute: (t, _x, y) => t.sqrt(y),
  // That of a denormal is below.
  middle: (_x, _y, r) => [r],
  unfit: (t, _x, y, r) => t.or(isDenormal(t, y), isNotFinite(t, r)),
  inexact: (b, t, _x, y, r) => {
    const product = asLocal(b, t.mul(r, r));
    return t.or(t.ne(product, y), productDiffers(b, t, r, r, product));
  },
};

/** The two sources by halves, and where they lie. */
function readBoth(b: LiftBuilder, t: Lanes) {
  const second = readLanes(b, t, secondOf(b));
  const first = readLanes(b, t, firstOf(b));
  const pairs = second.values.map((y, half) => [first.values[half] as Expr, y] as const);
  return { pairs, first, second };
}

const arithmetic =
  (t: Lanes, o: Arithmetic): Lift =>
  (b) => {
    const { pairs, first, second } = readBoth(b, t);
    fastOrSlow(
      b,
      (slow) => fastArithmetic(b, t, o, pairs, slow),
      () => slowToVector(b, o.name + t.suffix, first.pointer, second.pointer, scalarOf(t)),
    );
  };

function fastArithmetic(
  b: LiftBuilder,
  t: Lanes,
  o: Arithmetic,
  pairs: readonly (readonly [Expr, Expr])[],
  slow: Label,
): void {
  const results = pairs.map(([x, y]) => asLocal(b, o.compute(t, x, y)));
  const over = (condition: (x: Expr, y: Expr, r: Expr) => Expr): I32 =>
    anyHalf(
      t,
      pairs.map(([x, y], half) => condition(x, y, results[half] as Expr)),
    );
  const unfit = (): I32 => over((x, y, r) => o.unfit(t, x, y, r));
  if (t.type === 'v128') {
    const watched = pairs.flatMap(([x, y], half) => o.middle(x, y, results[half] as Expr));
    b.f.unlikely(outsideMiddle(b, t, watched), () => b.f.brIf(slow, unfit()));
  } else {
    const [x, y] = pairs[0] as readonly [Expr, Expr];
    refuseDenormal(b, t, firstOf(b), x, slow);
    refuseDenormal(b, t, secondOf(b), y, slow);
    // A result well within the ordinary numbers has come from ordinary operands without overflow or underflow.
    b.f.unlikely(exponentOutside(t, results[0] as Expr, 2), () => b.f.brIf(slow, unfit()));
  }
  requirePrecision(b, slow, true, () => over((x, y, r) => o.inexact(b, t, x, y, r)));
  writeLanes(b, t, results);
  b.setTame(0, t.suffix);
}

/** Branches to `slow` for denormals and NaNs. */
function refuseUnusual(b: LiftBuilder, t: Lanes, pairs: readonly (readonly [Expr, Expr])[], slow: Label): void {
  const unusual = (): I32 =>
    anyHalf(
      t,
      pairs.map(([x, y]) => t.or(t.or(isDenormal(t, x), isDenormal(t, y)), isUnordered(t, x, y))),
    );
  const operands = pairs.flat();
  const isDoubtful = t.type === 'v128' ? outsideMiddle(b, t, operands) : anyOutside(t, operands);
  b.f.unlikely(isDoubtful, () => b.f.brIf(slow, unusual()));
}

/** One of some scalars is not surely an ordinary number. */
const anyOutside = (t: Lanes, scalars: readonly Expr[]): I32 =>
  scalars.map((x) => exponentOutside(t, x, 1)).reduce((p, q) => i32.or(p, q));

/** MIN and MAX round nothing; a NaN or two zeros give the second operand, which is what the comparison makes of them. */
const extreme =
  (t: Lanes, name: 'min' | 'max'): Lift =>
  (b) => {
    const { pairs, first, second } = readBoth(b, t);
    fastOrSlow(
      b,
      (slow) => {
        refuseUnusual(b, t, pairs, slow);
        const results = pairs.map(([x, y]) => (name === 'min' ? t.lesser(x, y) : t.greater(x, y)));
        writeLanes(b, t, results);
      },
      () => slowToVector(b, name + t.suffix, first.pointer, second.pointer, scalarOf(t)),
    );
  };

/**
 * All ones where the immediate's predicate holds: EQ LT LE UNORD and their negations. VEX forms have 32 predicates; without
 * NaNs bits 3 and 4, which say what those give and whether they signal, do not matter.
 */
const compare =
  (t: Lanes): Lift =>
  (b) => {
    const { pairs, first, second } = readBoth(b, t);
    const predicate = imm8(b);
    fastOrSlow(
      b,
      (slow) => {
        refuseUnusual(b, t, pairs, slow);
        const kind = b.let(i32.and(predicate, i32.const(3)));
        const inverted = b.let(i32.and(i32.shrU(predicate, i32.const(2)), i32.const(1)));
        const is = (n: number): I32 => i32.eq(kind, i32.const(n));
        const when = (condition: I32, yes: Expr, no: Expr): Expr => select(condition, yes as I32, no as I32);
        const never = t.type === 'v128' ? v128.zero() : i32.const(0);
        const results = pairs.map(([x, y]) => {
          const holds = when(is(0), t.eq(x, y), when(is(1), t.lt(x, y), when(is(2), t.le(x, y), never)));
          if (t.type === 'v128') return v128.xor(holds as V128, i32x4.splat(i32.sub(i32.const(0), inverted)));
          const mask = i32.sub(i32.const(0), i32.xor(holds as I32, inverted));
          return t.type === 'f32' ? mask : i64.extendI32S(mask);
        });
        writeLanes(b, t, results);
      },
      () => {
        const defined = i32.and(predicate, i32.const(b.form.vector === 0 ? 7 : 31));
        slowToVector(b, `cmp${t.suffix}`, first.pointer, second.pointer, scalarOf(t), defined);
      },
    );
  };

/** COMIS and UCOMIS: ZF PF CF; the other flags are cleared. */
const order =
  (t: Lanes, name: string): Lift =>
  (b) => {
    const second = readLanes(b, t, 1);
    const x = readLanes(b, t, 0).value;
    const y = second.value;
    const none = i32.const(0);
    fastOrSlow(
      b,
      (slow) => {
        refuseUnusual(b, t, [[x, y]], slow);
        b.setFlagBits({ zf: t.eq(x, y) as I32, cf: t.lt(x, y) as I32, pf: none, af: none, sf: none, of: none });
      },
      () => {
        slowFloat(b, name, i32.add(b.cpu, i32.const(TEMP0)), b.slot(0), second.pointer);
        const flags = b.let(i32.load(b.cpu, TEMP0));
        const bit = (n: number): I32 => i32.and(i32.shrU(flags, i32.const(n)), i32.const(1));
        b.setFlagBits({ zf: bit(6), cf: bit(0), pf: bit(2), af: none, sf: none, of: none });
      },
    );
  };

/** ROUND*: immediate bits 0-1 the mode, bit 2 MXCSR's mode instead, bit 3 no precision exception. */
const round =
  (t: Lanes): Lift =>
  (b) => {
    const { f } = b;
    const { values, pointer } = readLanes(b, t, secondOf(b));
    const immediate = imm8(b);
    fastOrSlow(
      b,
      (slow) => {
        f.brIf(
          slow,
          anyHalf(
            t,
            values.map((x) => t.or(isDenormal(t, x), isNotFinite(t, x))),
          ),
        );
        const control = i32.and(i32.shrU(b.mxcsr(), i32.const(13)), i32.const(3));
        const own = i32.and(immediate, i32.const(3));
        const mode = b.let(select(i32.and(immediate, i32.const(4)), control, own));
        const results = values.map((x) => b.let(t.nearest(x) as Expr<'f64'>));
        const setAll = (operation: (x: Expr) => Expr): void =>
          values.forEach((x, half) => f.set(results[half] as Local<'f64'>, operation(x) as Expr<'f64'>));
        f.if(mode, () => {
          setAll(t.floor);
          f.if(i32.geU(mode, i32.const(2)), () => {
            setAll(t.ceil);
            f.if(i32.eq(mode, i32.const(3)), () => setAll(t.trunc));
          });
        });
        f.if(i32.eqz(i32.and(immediate, i32.const(8))), () => {
          requirePrecision(b, slow, false, () =>
            anyHalf(
              t,
              values.map((x, half) => t.ne(results[half] as Expr, x)),
            ),
          );
        });
        writeLanes(b, t, results);
      },
      () => slowToVector(b, `round${t.suffix}`, b.slot(firstOf(b)), pointer, scalarOf(t), immediate),
    );
  };

/** An operation that is always left to softfloat. */
const exact =
  (t: Lanes, name: string, immediate = false): Lift =>
  (b) => {
    const { pointer } = readLanes(b, t, secondOf(b));
    slowToVector(b, name, b.slot(firstOf(b)), pointer, scalarOf(t), immediate ? imm8(b) : undefined);
  };

/** A packed sum or difference of operands rearranged by `arrange`. */
const rearranged =
  (t: Lanes, name: string, o: Arithmetic, arrange: (x: V128, y: V128) => readonly [V128, V128]): Lift =>
  (b) => {
    const { pairs, first, second } = readBoth(b, t);
    fastOrSlow(
      b,
      (slow) => {
        const arranged = pairs.map(([x, y]) => {
          const [p, q] = arrange(x as V128, y as V128);
          return [asLocal(b, p), asLocal(b, q)] as const;
        });
        fastArithmetic(b, t, o, arranged, slow);
      },
      () => slowToVector(b, name, first.pointer, second.pointer),
    );
  };

const lanesOf = (bytes: number, lanes: readonly number[]): number[] =>
  lanes.flatMap((lane) => Array.from({ length: bytes }, (_, i) => lane * bytes + i));
const neighbours32 = (x: V128, y: V128): readonly [V128, V128] => [
  i8x16.shuffle(x, y, lanesOf(4, [0, 2, 4, 6])),
  i8x16.shuffle(x, y, lanesOf(4, [1, 3, 5, 7])),
];
const neighbours64 = (x: V128, y: V128): readonly [V128, V128] => [
  i8x16.shuffle(x, y, lanesOf(8, [0, 2])),
  i8x16.shuffle(x, y, lanesOf(8, [1, 3])),
];
/** ADDSUB*: even lanes subtract. */
const alternate32 = (x: V128, y: V128): readonly [V128, V128] => [
  x,
  v128.xor(y, i32x4.const([0x8000_0000, 0, 0x8000_0000, 0])),
];
const alternate64 = (x: V128, y: V128): readonly [V128, V128] => [x, v128.xor(y, i64x2.const([1n << 63n, 0n]))];

const sse = { unit: 'sse' } as const;
const aligned = { unit: 'sse', aligned: true } as const;
const options = (t: Lanes): RowOptions => (t.type === 'v128' ? aligned : sse);

const family = (o: Arithmetic): Row[] =>
  LANES.map((t) => row(`${t.prefix} 0F ${o.opcode}`, o.name + t.suffix, t.ops, arithmetic(t, o), options(t)));

// biome-ignore format: one encoding a line
export const sseArithmeticRows: readonly Row[] = [
  ...[add, sub, mul, div, sqrt].flatMap(family),
  ...LANES.map((t) => row(`${t.prefix} 0F 5D`, `min${t.suffix}`, t.ops, extreme(t, 'min'), options(t))),
  ...LANES.map((t) => row(`${t.prefix} 0F 5F`, `max${t.suffix}`, t.ops, extreme(t, 'max'), options(t))),
  ...LANES.map((t) => row(`${t.prefix} 0F C2`, `cmp${t.suffix}`, `${t.ops},Ib`, compare(t), options(t))),
  row('NP 0F 2E', 'ucomiss', 'Vd,Wd', order(singleScalar, 'ucomiss'), sse),
  row('66 0F 2E', 'ucomisd', 'Vq,Wq', order(doubleScalar, 'ucomisd'), sse),
  row('NP 0F 2F', 'comiss', 'Vd,Wd', order(singleScalar, 'comiss'), sse),
  row('66 0F 2F', 'comisd', 'Vq,Wq', order(doubleScalar, 'comisd'), sse),
  row('66 0F 3A 08', 'roundps', 'Vo,Wo,Ib', round(singlePacked), aligned),
  row('66 0F 3A 09', 'roundpd', 'Vo,Wo,Ib', round(doublePacked), aligned),
  row('66 0F 3A 0A', 'roundss', 'Vd,Wd,Ib', round(singleScalar), sse),
  row('66 0F 3A 0B', 'roundsd', 'Vq,Wq,Ib', round(doubleScalar), sse),
  row('NP 0F 52', 'rsqrtps', 'Vo,Wo', exact(singlePacked, 'rsqrtps'), aligned),
  row('F3 0F 52', 'rsqrtss', 'Vd,Wd', exact(singleScalar, 'rsqrtss'), sse),
  row('NP 0F 53', 'rcpps', 'Vo,Wo', exact(singlePacked, 'rcpps'), aligned),
  row('F3 0F 53', 'rcpss', 'Vd,Wd', exact(singleScalar, 'rcpss'), sse),
  row('F2 0F 7C', 'haddps', 'Vo,Wo', rearranged(singlePacked, 'haddps', add, neighbours32), aligned),
  row('66 0F 7C', 'haddpd', 'Vo,Wo', rearranged(doublePacked, 'haddpd', add, neighbours64), aligned),
  row('F2 0F 7D', 'hsubps', 'Vo,Wo', rearranged(singlePacked, 'hsubps', sub, neighbours32), aligned),
  row('66 0F 7D', 'hsubpd', 'Vo,Wo', rearranged(doublePacked, 'hsubpd', sub, neighbours64), aligned),
  row('F2 0F D0', 'addsubps', 'Vo,Wo', rearranged(singlePacked, 'addsubps', add, alternate32), aligned),
  row('66 0F D0', 'addsubpd', 'Vo,Wo', rearranged(doublePacked, 'addsubpd', add, alternate64), aligned),
  row('66 0F 3A 40', 'dpps', 'Vo,Wo,Ib', exact(singlePacked, 'dpps', true), aligned),
  row('66 0F 3A 41', 'dppd', 'Vo,Wo,Ib', exact(doublePacked, 'dppd', true), aligned),
];
