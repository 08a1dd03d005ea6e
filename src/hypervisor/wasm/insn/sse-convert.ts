/**
 * Conversions between integers and floating point and between its formats (SDM volume 2: CVT*).
 *
 * @module
 */
import { type Expr, f32, f64, type F32, type F64, type I32, i32, i64, type I64, type V128 } from '../emit/expr.ts';
import { f32x4, f64x2, i32x4, i64x2, v128 } from '../emit/simd.ts';
import type { LiftBuilder } from './lift-builder.ts';
import { type Lift, type Row, row } from './row.ts';
import {
  anyHalf,
  doublePacked,
  doubleScalar,
  fastOrSlow,
  isNotFinite,
  isTiny,
  type Lanes,
  readLanes,
  requirePrecision,
  scalarOf,
  singlePacked,
  singleScalar,
  slowFloat,
  slowToVector,
} from './sse-lanes.ts';
import { integerSource, joined, low8Source, secondOf, type Source, writeScalar, writeVector } from './sse-operands.ts';
import { ySize } from './sse-move.ts';

const asLocal = (b: LiftBuilder, value: Expr): Expr => b.let(value as Expr<'f64'>);

/** CVTSI2SS and CVTSI2SD. */
const fromInteger =
  (t: Lanes): Lift =>
  (b) => {
    const size = ySize(b);
    const { value, pointer } = integerSource(b, secondOf(b), size);
    const double = t.type === 'f64';
    if (double && size === 4) {
      writeScalar(b, f64.convertI32S(value as I32));
      return;
    }
    fastOrSlow(
      b,
      (slow) => {
        // Magnitudes up to 2 to the precision are exact.
        const most = double ? 2 ** 53 : 2 ** 24;
        requirePrecision(b, slow, true, () =>
          size === 8
            ? i64.gtU(i64.add(value as I64, i64.const(most)), i64.const(2 * most))
            : i32.gtU(i32.add(value as I32, i32.const(most)), i32.const(2 * most)),
        );
        if (size === 8) writeScalar(b, (double ? f64 : f32).convertI64S(value as I64));
        else writeScalar(b, f32.convertI32S(value as I32));
      },
      () => slowToVector(b, `cvtsi2${t.suffix}_${size * 8}`, b.slot(0), pointer, scalarOf(t)),
    );
  };

/** CVTSS2SI, CVTSD2SI and the truncating forms. */
const toInteger =
  (t: Lanes, truncate: boolean): Lift =>
  (b) => {
    const size = ySize(b);
    const { value: x, pointer } = readLanes(b, t, 1);
    fastOrSlow(
      b,
      (slow) => {
        const r = asLocal(b, truncate ? t.trunc(x) : t.nearest(x));
        // NaNs are not less than anything.
        b.f.brIf(slow, i32.eqz(t.lt(t.abs(r), t.const(2 ** (size * 8 - 1))) as I32));
        requirePrecision(b, slow, !truncate, () => t.ne(r, x) as I32);
        const integer = size === 8 ? i64 : i32;
        b.writeRegister(0, size, t.type === 'f32' ? integer.truncSatF32S(r as F32) : integer.truncSatF64S(r as F64));
      },
      () => {
        const name = `cvt${truncate ? 't' : ''}${t.suffix}2si_${size * 8}`;
        slowFloat(b, name, b.slot(0), b.slot(0), pointer);
      },
    );
  };

/** Four or two lanes of each half to 32-bit integers; `write` takes them in the low lanes. */
function packedToInteger(
  b: LiftBuilder,
  t: Lanes,
  truncate: boolean,
  source: Source,
  write: (values: readonly V128[]) => void,
  slowly: () => void,
): void {
  const { values } = source;
  fastOrSlow(
    b,
    (slow) => {
      const rounded = values.map((x) => asLocal(b, truncate ? t.trunc(x) : t.nearest(x)));
      b.f.brIf(
        slow,
        anyHalf(
          t,
          rounded.map((r) => t.not(t.lt(t.abs(r), t.const(2 ** 31)))),
        ),
      );
      requirePrecision(b, slow, !truncate, () =>
        anyHalf(
          t,
          rounded.map((r, half) => t.ne(r, values[half] as Expr)),
        ),
      );
      write(
        rounded.map((r) => (t.suffix === 'ps' ? i32x4.truncSatF32S(r as V128) : i32x4.truncSatF64SZero(r as V128))),
      );
    },
    slowly,
  );
}
const toIntegers =
  (t: Lanes, name: string, truncate: boolean): Lift =>
  (b) => {
    const source = readLanes(b, t, 1);
    packedToInteger(
      b,
      t,
      truncate,
      source,
      (values) => (t.suffix === 'pd' ? writeNarrowed(b, values) : writeVector(b, 0, values)),
      () => slowNarrowing(b, t, name, source.pointer),
    );
  };

/** Results of half the size: what comes from two halves is put into one. */
function writeNarrowed(b: LiftBuilder, values: readonly V128[]): void {
  const [low, high] = values as readonly [V128, V128 | undefined];
  writeVector(b, 0, [high === undefined ? low : joined(low, high)]);
}
function slowNarrowing(b: LiftBuilder, t: Lanes, name: string, pointer: I32): void {
  slowToVector(b, name, b.slot(0), pointer);
  if (t.suffix === 'pd' && b.form.vector === 32) b.writeYmmHigh(0, v128.zero());
}

/** CVTDQ2PS. */
const integersToSingles: Lift = (b) => {
  const { values, pointer } = readLanes(b, singlePacked, 1);
  fastOrSlow(
    b,
    (slow) => {
      const most = i32x4.const(Array(4).fill(2 ** 24));
      requirePrecision(b, slow, true, () =>
        anyHalf(
          singlePacked,
          values.map((x) => i32x4.gtU(i32x4.abs(x as V128), most)),
        ),
      );
      writeVector(
        b,
        0,
        values.map((x) => f32x4.convertI32S(x as V128)),
      );
    },
    () => slowToVector(b, 'cvtdq2ps', b.slot(0), pointer),
  );
};

/** A single widened: only denormals and NaNs are out of the ordinary. */
const isWidenedOddly = (t: Lanes, r: Expr): Expr =>
  t.or(t.and(t.lt(t.abs(r), t.const(2 ** -126)), t.ne(r, t.const(0))), t.ne(r, r));

const cvtss2sd: Lift = (b) => {
  const { value, pointer } = readLanes(b, singleScalar, secondOf(b));
  fastOrSlow(
    b,
    (slow) => {
      const r = b.let(f64.promote(value as F32));
      b.f.brIf(slow, isWidenedOddly(doubleScalar, r) as I32);
      writeScalar(b, r);
    },
    () => slowToVector(b, 'cvtss2sd', b.slot(0), pointer, 'f64'),
  );
};
const cvtps2pd: Lift = (b) => {
  const { values, pointer } = low8Source(b, 1);
  fastOrSlow(
    b,
    (slow) => {
      const results = values.map((value) => b.let(f64x2.promoteLow(value)));
      b.f.brIf(
        slow,
        anyHalf(
          doublePacked,
          results.map((r) => isWidenedOddly(doublePacked, r)),
        ),
      );
      writeVector(b, 0, results);
    },
    () => slowToVector(b, 'cvtps2pd', b.slot(0), pointer),
  );
};

/** The result widened again: it must be an ordinary single, or come from a zero. */
const isNarrowedOddly = (t: Lanes, x: Expr, back: Expr): Expr => {
  const single = { ...t, least: 2 ** -126 };
  return t.or(t.and(isTiny(single, back), t.ne(x, t.const(0))), isNotFinite(t, back));
};

const cvtsd2ss: Lift = (b) => {
  const { value: x, pointer } = readLanes(b, doubleScalar, secondOf(b));
  fastOrSlow(
    b,
    (slow) => {
      const r = b.let(f32.demote(x as F64));
      const back = b.let(f64.promote(r));
      b.f.brIf(slow, isNarrowedOddly(doubleScalar, x, back) as I32);
      requirePrecision(b, slow, true, () => f64.ne(back, x as F64));
      writeScalar(b, r);
    },
    () => slowToVector(b, 'cvtsd2ss', b.slot(0), pointer, 'f32'),
  );
};
const cvtpd2ps: Lift = (b) => {
  const { values, pointer } = readLanes(b, doublePacked, 1);
  fastOrSlow(
    b,
    (slow) => {
      const results = values.map((x) => b.let(f32x4.demoteZero(x as V128)));
      const backs = results.map((r) => b.let(f64x2.promoteLow(r)));
      const over = (condition: (x: Expr, back: Expr) => Expr): I32 =>
        anyHalf(
          doublePacked,
          values.map((x, half) => condition(x, backs[half] as Expr)),
        );
      b.f.brIf(
        slow,
        over((x, back) => isNarrowedOddly(doublePacked, x, back)),
      );
      requirePrecision(b, slow, true, () => over((x, back) => f64x2.ne(back as V128, x as V128)));
      writeNarrowed(b, results);
    },
    () => slowNarrowing(b, doublePacked, 'cvtpd2ps', pointer),
  );
};

const cvtdq2pd: Lift = (b) =>
  writeVector(
    b,
    0,
    low8Source(b, 1).values.map((x) => f64x2.convertLowI32S(x)),
  );

// MMX on one side: mmx.ts has the rows.

/** Two integers in the low lanes of `value`, whose bytes are at `pointer`, to the low singles of the destination. */
export function integersToLowSingles(b: LiftBuilder, value: V128, pointer: I32): void {
  fastOrSlow(
    b,
    (slow) => {
      const most = i32x4.const([2 ** 24, 2 ** 24, 0xffff_ffff, 0xffff_ffff]);
      requirePrecision(b, slow, true, () => v128.anyTrue(i32x4.gtU(i32x4.abs(value), most)));
      b.writeXmmLow(0, i64x2.extract(0, f32x4.convertI32S(value)));
    },
    () => slowFloat(b, 'cvtpi2ps', b.slot(0), b.slot(0), pointer),
  );
}

/** Two singles or doubles to the two integers of an MMX register. */
export function lanesToMmx(b: LiftBuilder, t: Lanes, name: string, truncate: boolean, source: Source): void {
  packedToInteger(
    b,
    t,
    truncate,
    source,
    ([value]) => b.writeMmx(0, i64x2.extract(0, value as V128)),
    () => {
      slowFloat(b, name, b.slot(0), b.slot(0), source.pointer);
      // Again, for what lies above the 64 bits that softfloat wrote.
      b.writeMmx(0, b.let(b.readMmx(0)));
    },
  );
}

const sse = { unit: 'sse' } as const;
const aligned = { unit: 'sse', aligned: true } as const;

// biome-ignore format: one encoding a line
export const sseConvertRows: readonly Row[] = [
  row('F3 0F 2A', 'cvtsi2ss', 'Vd,Ey', fromInteger(singleScalar), sse),
  row('F2 0F 2A', 'cvtsi2sd', 'Vq,Ey', fromInteger(doubleScalar), sse),
  row('F3 0F 2C', 'cvttss2si', 'Gy,Wd', toInteger(singleScalar, true), sse),
  row('F3 0F 2D', 'cvtss2si', 'Gy,Wd', toInteger(singleScalar, false), sse),
  row('F2 0F 2C', 'cvttsd2si', 'Gy,Wq', toInteger(doubleScalar, true), sse),
  row('F2 0F 2D', 'cvtsd2si', 'Gy,Wq', toInteger(doubleScalar, false), sse),
  row('66 0F 5B', 'cvtps2dq', 'Vo,Wo', toIntegers(singlePacked, 'cvtps2dq', false), aligned),
  row('F3 0F 5B', 'cvttps2dq', 'Vo,Wo', toIntegers(singlePacked, 'cvttps2dq', true), aligned),
  row('F2 0F E6', 'cvtpd2dq', 'Vo,Wo', toIntegers(doublePacked, 'cvtpd2dq', false), aligned),
  row('66 0F E6', 'cvttpd2dq', 'Vo,Wo', toIntegers(doublePacked, 'cvttpd2dq', true), aligned),
  row('NP 0F 5B', 'cvtdq2ps', 'Vo,Wo', integersToSingles, aligned),
  row('F3 0F E6', 'cvtdq2pd', 'Vo,Wq', cvtdq2pd, sse),
  row('F3 0F 5A', 'cvtss2sd', 'Vq,Wd', cvtss2sd, sse),
  row('F2 0F 5A', 'cvtsd2ss', 'Vd,Wq', cvtsd2ss, sse),
  row('NP 0F 5A', 'cvtps2pd', 'Vo,Wq', cvtps2pd, sse),
  row('66 0F 5A', 'cvtpd2ps', 'Vo,Wo', cvtpd2ps, aligned),
];
