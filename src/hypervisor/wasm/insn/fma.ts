/**
 * Fused multiplication and addition, and conversions of half precision (SDM volume 2: VFMADD* VFMSUB* VFNMADD* VFNMSUB* VFMADDSUB*
 * VFMSUBADD* VCVTPH2PS VCVTPS2PH; volume 1, 14.4 and 14.5).
 *
 * WebAssembly has no fused operation. Singles are done in doubles: the product is exact, the sum is rounded to odd, and rounding
 * that to a single is rounding once, as a double has more than two bits to spare. Doubles are done with error terms (S. Boldo and
 * G. Melquiond, "Emulation of a FMA and correctly rounded sums: proved algorithms using rounding to odd", 2008), where all
 * magnitudes are moderate. The rest goes to softfloat/, as in sse-lanes.ts.
 *
 * @module
 */
import { type Expr, type F32, i32, type I32, i64, type V128 } from '../emit/expr.ts';
import type { Label } from '../emit/function-builder.ts';
import { f32x4, f64x2, i16x8, i32x4, i64x2, i8x16, v128 } from '../emit/simd.ts';
import { TEMP0 } from '../state.ts';
import type { LiftBuilder } from './lift-builder.ts';
import { type Lift, type Row, row } from './row.ts';
import {
  anyHalf,
  doublePacked,
  doubleScalar,
  fastOrSlow,
  isDenormal,
  isNotFinite,
  type Lanes,
  readLanes,
  requirePrecision,
  singlePacked,
  singleScalar,
  slowFloat,
  slowToVector,
  splitProduct,
} from './sse-lanes.ts';
import { imm8, low8Source, rawAddress, vectorBytes, writeScalar, writeVector } from './sse-operands.ts';

/** What is done to the signs of the product and of the addend's even and odd lanes. */
interface Fused {
  readonly name: string;
  readonly opcode: number;
  readonly negateProduct: boolean;
  readonly negateEven: boolean;
  readonly negateOdd: boolean;
}
const operation = (
  name: string,
  opcode: number,
  negateProduct: boolean,
  negateEven: boolean,
  negateOdd = negateEven,
): Fused => ({ name, opcode, negateProduct, negateEven, negateOdd });
const ALTERNATING = [operation('fmaddsub', 0x96, false, true, false), operation('fmsubadd', 0x97, false, false, true)];
const UNIFORM = [
  operation('fmadd', 0x98, false, false),
  operation('fmsub', 0x9a, false, true),
  operation('fnmadd', 0x9c, true, false),
  operation('fnmsub', 0x9e, true, true),
];
/** Operand numbers of the factors and the addend by the digits in the mnemonic. */
const ORDERS = [
  { digits: '132', first: 0, a: 0, b: 2, c: 1 },
  { digits: '213', first: 0x10, a: 1, b: 0, c: 2 },
  { digits: '231', first: 0x20, a: 1, b: 2, c: 0 },
] as const;

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
function fuseSingles(b: LiftBuilder, x: V128, y: V128, z: V128): Pair {
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

/** Zero, or so that no error term underflows and nothing overflows. */
function isModerate(x: V128): V128 {
  const magnitude = f64x2.abs(x);
  const within = v128.and(
    f64x2.le(f64x2.const([2 ** -400, 2 ** -400]), magnitude),
    f64x2.le(magnitude, f64x2.const([2 ** 400, 2 ** 400])),
  );
  return v128.or(within, f64x2.eq(x, v128.zero()));
}
function fuseDoubles(b: LiftBuilder, x: V128, y: V128, z: V128): Pair {
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

/** Bits to turn in lanes of `bytes`: of the even and the odd ones. */
function signs(bytes: 4 | 8, even: boolean, odd: boolean): V128 {
  if (bytes === 8) return i64x2.const([even ? 1n << 63n : 0n, odd ? 1n << 63n : 0n]);
  const pair = [even ? 0x8000_0000 : 0, odd ? 0x8000_0000 : 0];
  return i32x4.const([...pair, ...pair]);
}
const upperToLower = (x: V128): V128 =>
  i8x16.shuffle(x, x, [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15]);

/** One half of a vector of singles: two pairs of doubles. */
function fuseHalfOfSingles(b: LiftBuilder, x: V128, y: V128, z: V128): Pair {
  const pair = (part: (v: V128) => V128): Pair => {
    const widened = [x, y, z].map((v) => b.let(f64x2.promoteLow(part(v)))) as readonly V128[];
    return fuseSingles(b, ...(widened as readonly [V128, V128, V128]));
  };
  const low = pair((v) => v);
  const high = pair(upperToLower);
  return {
    result: i64x2.replace(1, low.result, i64x2.extract(0, high.result)),
    unfit: v128.or(low.unfit, high.unfit),
    inexact: v128.or(low.inexact, high.inexact),
  };
}

/** Both lanes do what the scalar asks for. */
function spread(t: Lanes, value: Expr): V128 {
  if (t.type === 'v128') return value as V128;
  return t.type === 'f64' ? f64x2.splat(value as Expr<'f64'>) : f32x4.splat(value as F32);
}

function fuseFast(
  b: LiftBuilder,
  t: Lanes,
  o: Fused,
  values: readonly (readonly [Expr, Expr, Expr])[],
  slow: Label,
): void {
  const single = t.suffix === 'ps' || t.suffix === 'ss';
  const bytes = single ? 4 : 8;
  if (single) {
    const unusual = values.flat().map((v) => t.or(isDenormal(t, v), isNotFinite(t, v)));
    b.f.brIf(slow, anyHalf(t, unusual));
  }
  const pairs = values.map(([x, y, z]) => {
    const turned = (v: Expr, even: boolean, odd: boolean): V128 =>
      b.let(even || odd ? v128.xor(spread(t, v), signs(bytes, even, odd)) : spread(t, v));
    const p = turned(x, o.negateProduct, o.negateProduct);
    const q = turned(y, false, false);
    const r = turned(z, o.negateEven, o.negateOdd);
    if (!single) return fuseDoubles(b, p, q, r);
    if (t.type === 'v128') return fuseHalfOfSingles(b, p, q, r);
    const wide = (v: V128): V128 => b.let(f64x2.promoteLow(v));
    return fuseSingles(b, wide(p), wide(q), wide(r));
  });
  const any = (mask: (pair: Pair) => V128): I32 => v128.anyTrue(pairs.map(mask).reduce(v128.or));
  b.f.brIf(
    slow,
    any((pair) => pair.unfit),
  );
  requirePrecision(b, slow, true, () => any((pair) => pair.inexact));
  const results = pairs.map((pair) => pair.result);
  if (t.type === 'v128') writeVector(b, 0, results);
  else writeResult(b, single ? i32x4.extract(0, results[0] as V128) : i64x2.extract(0, results[0] as V128));
}
/** The low lane; the rest of the destination stays. */
const writeResult = (b: LiftBuilder, value: Expr): void => writeScalar(b, value, 0);

const fused =
  (t: Lanes, o: Fused, order: (typeof ORDERS)[number]): Lift =>
  (b) => {
    const memory = readLanes(b, t, 2);
    const registers = [readLanes(b, t, 0), readLanes(b, t, 1)];
    const operand = (index: number) => registers[index] ?? memory;
    const x = operand(order.a);
    const y = operand(order.b);
    const z = operand(order.c);
    const values = x.values.map((v, half) => [v, y.values[half] as Expr, z.values[half] as Expr] as const);
    fastOrSlow(
      b,
      (slow) => fuseFast(b, t, o, values, slow),
      () => {
        const name = o.name + t.suffix;
        if (t.type === 'v128') {
          slowToVector(b, name, x.pointer, y.pointer, undefined, z.pointer);
          return;
        }
        slowFloat(b, name, i32.add(b.cpu, i32.const(TEMP0)), x.pointer, y.pointer, z.pointer);
        writeResult(b, t.type === 'f32' ? i32.load(b.cpu, TEMP0) : i64.load(b.cpu, TEMP0));
      },
    );
  };

const FORMS = [
  { packed: singlePacked, scalar: singleScalar, w: 'W0' },
  { packed: doublePacked, scalar: doubleScalar, w: 'W1' },
];
const hex = (value: number): string => value.toString(16).toUpperCase();
const fusedRows = (o: Fused, hasScalar: boolean): Row[] =>
  ORDERS.flatMap((order) =>
    FORMS.flatMap(({ packed, scalar, w }) => {
      const opcode = o.opcode + order.first;
      const name = (t: Lanes): string => `v${o.name}${order.digits}${t.suffix}`;
      const enc = (length: string, at: number): string => `VEX.${length}.66.0F38.${w} ${hex(at)}`;
      const rows = [row(enc('X', opcode), name(packed), 'Vx,Hx,Wx', fused(packed, o, order), avx)];
      const ops = w === 'W0' ? 'Vd,Hd,Wd' : 'Vq,Hq,Wq';
      if (hasScalar) rows.push(row(enc('LIG', opcode + 1), name(scalar), ops, fused(scalar, o, order), avx));
      return rows;
    }),
  );

/** Halves are exact as singles: with the exponents of both at the bottom a half is a single divided by 2^112. */
const cvtph2ps: Lift = (b) => {
  const { values, pointer } = b.atAnyAlignment(() => low8Source(b, 1));
  fastOrSlow(
    b,
    (slow) => {
      const all = (bits: number): V128 => i32x4.const(Array(4).fill(bits));
      const magnitudes = values.map((x) => b.let(v128.and(i32x4.extendLowU(x), all(0x7fff))));
      b.f.brIf(slow, v128.anyTrue(magnitudes.map((m) => i32x4.gtU(m, all(0x7c00))).reduce(v128.or)));
      const results = values.map((x, half) => {
        const m = magnitudes[half] as V128;
        const number = f32x4.mul(i32x4.shl(m, i32.const(13)), f32x4.const(Array(4).fill(2 ** 112)));
        const infinity = v128.and(i32x4.eq(m, all(0x7c00)), all(0x7f80_0000));
        const sign = i32x4.shl(i32x4.extendLowU(v128.and(x, i16x8.const(Array(8).fill(0x8000)))), i32.const(16));
        return v128.or(v128.or(number, infinity), sign);
      });
      writeVector(b, 0, results);
    },
    () => slowToVector(b, 'cvtph2ps', b.slot(0), pointer),
  );
};
/** To memory too the conversion comes first: its flags are set even where the store faults. */
const cvtps2ph: Lift = (b) => {
  const { pointer } = readLanes(b, singlePacked, 1);
  const bytes = (vectorBytes(b) / 2) as 8 | 16;
  const wide = bytes === 16;
  const temporary = i32.add(b.cpu, i32.const(TEMP0));
  slowFloat(b, 'cvtps2ph', temporary, pointer, pointer, imm8(b), wide);
  if (!b.isMemory(0)) {
    writeVector(b, 0, [wide ? v128.load(temporary) : v128.load64Zero(temporary)]);
    return;
  }
  const address = rawAddress(b, 0, true)(0, bytes);
  const host = b.atAnyAlignment(() => b.hostWrite(address, bytes, false));
  b.f.store(bytes, host, wide ? v128.load(temporary) : i64.load(temporary));
  b.finishWrite(host);
};

const avx = { unit: 'avx' } as const;

export const fmaRows: readonly Row[] = [
  ...UNIFORM.flatMap((o) => fusedRows(o, true)),
  ...ALTERNATING.flatMap((o) => fusedRows(o, false)),
  row('VEX.X.66.0F38.W0 13', 'vcvtph2ps', 'Vx,Wxh', cvtph2ps, avx),
  row('VEX.X.66.0F3A.W0 1D', 'vcvtps2ph', 'Wxh,Vx,Ib', cvtps2ph, { ...avx, modal: true, rawOffset: true }),
];
