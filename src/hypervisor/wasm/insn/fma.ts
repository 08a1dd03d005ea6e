/**
 * Fused multiplication and addition, and conversions of half precision (SDM volume 2: VFMADD* VFMSUB* VFNMADD* VFNMSUB* VFMADDSUB*
 * VFMSUBADD* VCVTPH2PS VCVTPS2PH; volume 1, 14.4 and 14.5).
 *
 * The host's own fused operation where it has one (fma-host.ts), else emulated (fma-emulated.ts). The rest goes to softfloat/, as in
 * sse-lanes.ts.
 *
 * @module
 */
import { type Expr, type F32, i32, i64, type V128 } from '../emit/expr.ts';
import type { Label } from '../emit/function-builder.ts';
import { f32x4, f64x2, i16x8, i32x4, i64x2, v128 } from '../emit/simd.ts';
import { TEMP0 } from '../state.ts';
import { fuseEmulated, type Terms } from './fma-emulated.ts';
import { fuseOnHost, hostFuses } from './fma-host.ts';
import type { LiftBuilder } from './lift-builder.ts';
import { type Lift, type Row, row } from './row.ts';
import {
  doublePacked,
  doubleScalar,
  fastOrSlow,
  type Lanes,
  readLanes,
  singlePacked,
  singleScalar,
  slowFloat,
  slowToVector,
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

/** Bits to turn in lanes of `bytes`: of the even and the odd ones. */
function signs(bytes: 4 | 8, even: boolean, odd: boolean): V128 {
  if (bytes === 8) return i64x2.const([even ? 1n << 63n : 0n, odd ? 1n << 63n : 0n]);
  const pair = [even ? 0x8000_0000 : 0, odd ? 0x8000_0000 : 0];
  return i32x4.const([...pair, ...pair]);
}
/** Both lanes do what the scalar asks for. */
function spread(t: Lanes, value: Expr): V128 {
  if (t.type === 'v128') return value as V128;
  return t.type === 'f64' ? f64x2.splat(value as Expr<'f64'>) : f32x4.splat(value as F32);
}

/** A value with its sign turned, in the even and the odd lanes. */
function turned(b: LiftBuilder, t: Lanes, value: Expr, even: boolean, odd: boolean): Expr {
  if (!even && !odd) return value;
  if (t.type !== 'v128') return b.let(t.neg(value) as Expr<'f64'>);
  return b.let(v128.xor(value as V128, signs(t.suffix === 'ps' ? 4 : 8, even, odd)));
}

function fuseFast(
  b: LiftBuilder,
  t: Lanes,
  o: Fused,
  values: readonly (readonly [Expr, Expr, Expr])[],
  operands: readonly number[],
  onHost: boolean,
  slow: Label,
): void {
  const single = t.suffix === 'ps' || t.suffix === 'ss';
  const terms = values.map(
    ([x, y, z]) =>
      [turned(b, t, x, o.negateProduct, o.negateProduct), y, turned(b, t, z, o.negateEven, o.negateOdd)] as const,
  );
  if (onHost) {
    const results = fuseOnHost(b, t, terms, operands, slow);
    if (t.type === 'v128') writeVector(b, 0, results as V128[]);
    else writeResult(b, results[0] as Expr);
    b.setTame(0, t.suffix);
    return;
  }
  const halves = terms.map((half) => half.map((v) => b.let(spread(t, v))) as unknown as Terms);
  const results = fuseEmulated(b, single, t.type !== 'v128', halves, slow);
  if (t.type === 'v128') writeVector(b, 0, results);
  else writeResult(b, single ? i32x4.extract(0, results[0] as V128) : i64x2.extract(0, results[0] as V128));
}
/** The low lane; the rest of the destination stays. */
const writeResult = (b: LiftBuilder, value: Expr): void => writeScalar(b, value, 0);

const fused =
  (t: Lanes, o: Fused, order: (typeof ORDERS)[number], onHost: () => boolean): Lift =>
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
      (slow) => fuseFast(b, t, o, values, [order.a, order.b, order.c], onHost(), slow),
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
const fusedRows = (o: Fused, hasScalar: boolean, onHost: () => boolean): Row[] =>
  ORDERS.flatMap((order) =>
    FORMS.flatMap(({ packed, scalar, w }) => {
      const opcode = o.opcode + order.first;
      const name = (t: Lanes): string => `v${o.name}${order.digits}${t.suffix}`;
      const enc = (length: string, at: number): string => `VEX.${length}.66.0F38.${w} ${hex(at)}`;
      const rows = [row(enc('X', opcode), name(packed), 'Vx,Hx,Wx', fused(packed, o, order, onHost), avx)];
      const ops = w === 'W0' ? 'Vd,Hd,Wd' : 'Vq,Hq,Wq';
      if (hasScalar) rows.push(row(enc('LIG', opcode + 1), name(scalar), ops, fused(scalar, o, order, onHost), avx));
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

/** Fused operations, by the host's own where `onHost` says so when a handler or a region is made. */
export const fusedRowsFor = (onHost: () => boolean): readonly Row[] => [
  ...UNIFORM.flatMap((o) => fusedRows(o, true, onHost)),
  ...ALTERNATING.flatMap((o) => fusedRows(o, false, onHost)),
];

export const fmaRows: readonly Row[] = [
  ...fusedRowsFor(hostFuses),
  row('VEX.X.66.0F38.W0 13', 'vcvtph2ps', 'Vx,Wxh', cvtph2ps, avx),
  row('VEX.X.66.0F3A.W0 1D', 'vcvtps2ph', 'Wxh,Vx,Ib', cvtps2ph, { ...avx, modal: true, rawOffset: true }),
];
