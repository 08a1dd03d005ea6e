/**
 * Shuffles, blends, inserts and extracts (SDM volume 2: PSHUF* SHUFPS SHUFPD UNPCK* PALIGNR BLEND* PBLEND* INSERTPS
 * EXTRACTPS PINSR* PEXTR*).
 *
 * The immediate is only known when the instruction runs, so it becomes a control vector for a byte shuffle.
 *
 * @module
 */
import { type I32, i32, i64, type I64, select, type V128 } from '../emit/expr.ts';
import { i16x8, i32x4, i64x2, i8x16, v128 } from '../emit/simd.ts';
import type { LiftBuilder } from './lift-builder.ts';
import { type Lift, type Row, row } from './row.ts';
import { ySize } from './sse-move.ts';
import {
  atMost,
  firstOf,
  high64,
  imm8,
  IOTA,
  joined,
  low64,
  secondOf,
  shiftedDown,
  vectorLift,
  type VectorOperation,
  writeVector,
} from './sse-operands.ts';

/** Four 2-bit fields of `immediate`, each in a 16-bit lane that `factors` gives it: 64, 16, 4, 1 for fields 0 to 3. */
const fields = (immediate: I32, factors: readonly number[], mask: readonly number[]): V128 =>
  v128.and(i16x8.shrU(i16x8.mul(i16x8.splat(immediate), i16x8.const(factors)), i32.const(6)), i16x8.const(mask));

/** Byte numbers that take dword `field k` into dword k. */
function dwordControl(b: LiftBuilder, immediate: I32): V128 {
  const chosen = b.let(fields(immediate, [64, 0, 16, 0, 4, 0, 1, 0], [3, 0, 3, 0, 3, 0, 3, 0]));
  const spread = i8x16.shuffle(
    chosen,
    chosen,
    IOTA.map((i) => i & 12),
  );
  return v128.or(i32x4.shl(spread, i32.const(2)), i8x16.const(IOTA.map((i) => i & 3)));
}

/** Byte numbers that shuffle the low (`first` 0) or high (8) four words and leave the others. */
function wordControl(b: LiftBuilder, immediate: I32, first: 0 | 8): V128 {
  const place = <T>(chosen: readonly T[], rest: readonly T[]): T[] =>
    first === 0 ? [...chosen, ...rest] : [...rest, ...chosen];
  const chosen = b.let(fields(immediate, place([64, 16, 4, 1], [0, 0, 0, 0]), Array(8).fill(3)));
  const spread = i8x16.shuffle(
    chosen,
    chosen,
    IOTA.map((i) => i & 14),
  );
  const base = place(
    IOTA.slice(0, 8).map((i) => (i & 1) + first),
    IOTA.slice(8 - first, 16 - first),
  );
  return v128.or(i16x8.shl(spread, i32.const(1)), i8x16.const(base));
}

/** Also VPERMILPS. */
export const pshufd: VectorOperation = (_x, y, b) => i8x16.swizzle(y, dwordControl(b, imm8(b)));
/** Also PSHUFW, on the low half. */
export const pshuflw: VectorOperation = (_x, y, b) => i8x16.swizzle(y, wordControl(b, imm8(b), 0));
const pshufhw: VectorOperation = (_x, y, b) => i8x16.swizzle(y, wordControl(b, imm8(b), 8));

const shufps: VectorOperation = (x, y, b) => {
  const control = b.let(dwordControl(b, imm8(b)));
  return i8x16.shuffle(
    i8x16.swizzle(x, control),
    i8x16.swizzle(y, control),
    IOTA.map((i) => (i < 8 ? i : i + 16)),
  );
};
const shufpd: VectorOperation = (x, y, b, half) => {
  const immediate = b.let(i32.shrU(imm8(b), i32.const(half * 2)));
  const chosen = (v: V128, bit: number): I64 => select(i32.and(immediate, i32.const(bit)), high64(v), low64(v));
  return i64x2.replace(1, i64x2.splat(chosen(x, 1)), chosen(y, 2));
};

export const pshufb: VectorOperation = (x, y) => i8x16.swizzle(x, v128.and(y, i8x16.const(Array(16).fill(0x8f))));
export const pshufbMmx: VectorOperation = (x, y) => i8x16.swizzle(x, v128.and(y, i8x16.const(Array(16).fill(0x87))));

/** x and y as one number of 32 bytes, y its low half, moved down. */
const palignr: VectorOperation = (x, y, b) => {
  const bytes = b.let(i8x16.splat(atMost(b, imm8(b), 32)));
  const from = b.let(i8x16.add(i8x16.const(IOTA), bytes));
  return v128.or(i8x16.swizzle(y, from), i8x16.swizzle(x, i8x16.sub(from, i8x16.const(Array(16).fill(16)))));
};
export const palignrMmx: VectorOperation = (x, y, b) => shiftedDown(joined(y, x), atMost(b, imm8(b), 16));

/** All ones in the lanes whose bit in `immediate` is set. */
export const maskWords = (immediate: I32): V128 => {
  const bits = i16x8.const([1, 2, 4, 8, 16, 32, 64, 128]);
  return i16x8.eq(v128.and(i16x8.splat(immediate), bits), bits);
};
export const maskDwords = (immediate: I32): V128 => {
  const bits = i32x4.const([1, 2, 4, 8]);
  return i32x4.eq(v128.and(i32x4.splat(immediate), bits), bits);
};
export const maskQwords = (immediate: I32): V128 => {
  const bits = i64x2.const([1n, 2n]);
  return i64x2.eq(v128.and(i64x2.splat(i64.extendI32U(immediate)), bits), bits);
};
/** `bits` of the immediate choose in each half. */
const blend =
  (mask: (immediate: I32) => V128, bits: number): VectorOperation =>
  (x, y, b, half) =>
    v128.bitselect(y, x, mask(i32.shrU(imm8(b), i32.const(half * bits))));
/** BLENDV*: the signs of the lanes of XMM0, or of the fourth operand, choose. */
const blendBySign =
  (sign: (mask: V128) => V128): VectorOperation =>
  (x, y, b, half) => {
    const mask = b.form.vector === 0 ? b.xmm(0) : half === 0 ? b.readXmm(3) : b.readYmmHigh(3);
    return v128.bitselect(y, x, sign(mask));
  };

export const pblendvb = blendBySign((mask) => i8x16.shrS(mask, i32.const(7)));
export const blendvps = blendBySign((mask) => i32x4.shrS(mask, i32.const(31)));
export const blendvpd = blendBySign((mask) => i64x2.shrS(mask, i32.const(63)));

/** All ones in lane `n`, by number. */
const laneMask = { 1: i8x16, 2: i16x8, 4: i32x4 } as const;
function inserted(bytes: 1 | 2 | 4, x: V128, value: I32, lane: I32): V128 {
  const shape = laneMask[bytes];
  return v128.bitselect(shape.splat(value), x, shape.eq(shape.const(IOTA.slice(0, 16 / bytes)), shape.splat(lane)));
}
const insert =
  (bytes: 1 | 2): Lift =>
  (b) => {
    const index = secondOf(b);
    const value = b.let(b.read(index, b.isMemory(index) ? bytes : 4) as I32);
    writeVector(b, 0, [inserted(bytes, b.readXmm(firstOf(b)), value, i32.and(imm8(b), i32.const(16 / bytes - 1)))]);
  };
const pinsrd: Lift = (b) => {
  const size = ySize(b);
  const value = b.read(secondOf(b), size);
  const lane = imm8(b);
  const x = b.readXmm(firstOf(b));
  if (size === 4) {
    writeVector(b, 0, [inserted(4, x, value as I32, i32.and(lane, i32.const(3)))]);
    return;
  }
  const mask = i64x2.eq(i64x2.const([0n, 1n]), i64x2.splat(i64.extendI32U(i32.and(lane, i32.const(1)))));
  writeVector(b, 0, [v128.bitselect(i64x2.splat(value as I64), x, mask)]);
};
const insertps: Lift = (b) => {
  const control = imm8(b);
  const index = secondOf(b);
  const value = b.let(
    b.isMemory(index)
      ? (b.load(4, b.address(index)) as I32)
      : i32x4.extract(0, shiftedDown(b.readXmm(index), i32.shl(i32.shrU(control, i32.const(6)), i32.const(2)))),
  );
  const lane = i32.and(i32.shrU(control, i32.const(4)), i32.const(3));
  writeVector(b, 0, [v128.andnot(inserted(4, b.readXmm(firstOf(b)), value, lane), maskDwords(control))]);
};

/** The lane by number, moved to the bottom. */
const chosenLane = (b: LiftBuilder, index: number, bytes: number): V128 =>
  shiftedDown(b.readXmm(index), i32.mul(i32.and(imm8(b), i32.const(16 / bytes - 1)), i32.const(bytes)));
/** A register destination gets the lane zero-extended. */
const extract =
  (bytes: 1 | 2 | 4): Lift =>
  (b) => {
    const lane = b.let(chosenLane(b, 1, bytes));
    const value = b.let(
      bytes === 1 ? i8x16.extractU(0, lane) : bytes === 2 ? i16x8.extractU(0, lane) : i32x4.extract(0, lane),
    );
    b.write(0, value, b.isMemory(0) ? bytes : 4);
  };
const pextrd: Lift = (b) => {
  const size = ySize(b);
  const lane = b.let(chosenLane(b, 1, size));
  b.write(0, size === 8 ? low64(lane) : i32x4.extract(0, lane), size);
};

const unpack =
  (lanes: readonly number[], bytes: number): VectorOperation =>
  (x, y) =>
    i8x16.shuffle(
      x,
      y,
      lanes.flatMap((lane) => Array.from({ length: bytes }, (_, i) => lane * bytes + i)),
    );

const sse = { unit: 'sse' } as const;
const vector = (enc: string, name: string, operation: VectorOperation, ops = 'Vo,Wo'): Row =>
  row(enc, name, ops, vectorLift(operation), { ...sse, aligned: true });
const withImmediate = (enc: string, name: string, operation: VectorOperation): Row =>
  vector(enc, name, operation, 'Vo,Wo,Ib');

// biome-ignore format: one encoding a line
export const sseShuffleRows: readonly Row[] = [
  withImmediate('66 0F 70', 'pshufd', pshufd),
  withImmediate('F2 0F 70', 'pshuflw', pshuflw),
  withImmediate('F3 0F 70', 'pshufhw', pshufhw),
  withImmediate('NP 0F C6', 'shufps', shufps),
  withImmediate('66 0F C6', 'shufpd', shufpd),
  vector('NP 0F 14', 'unpcklps', unpack([0, 4, 1, 5], 4)),
  vector('NP 0F 15', 'unpckhps', unpack([2, 6, 3, 7], 4)),
  vector('66 0F 14', 'unpcklpd', unpack([0, 2], 8)),
  vector('66 0F 15', 'unpckhpd', unpack([1, 3], 8)),
  vector('66 0F 38 00', 'pshufb', pshufb),
  withImmediate('66 0F 3A 0F', 'palignr', palignr),
  withImmediate('66 0F 3A 0C', 'blendps', blend(maskDwords, 4)),
  withImmediate('66 0F 3A 0D', 'blendpd', blend(maskQwords, 2)),
  withImmediate('66 0F 3A 0E', 'pblendw', blend(maskWords, 0)),
  vector('66 0F 38 10', 'pblendvb', pblendvb),
  vector('66 0F 38 14', 'blendvps', blendvps),
  vector('66 0F 38 15', 'blendvpd', blendvpd),
  row('66 0F 3A 21', 'insertps', 'Vo,Uo,Ib', insertps, sse),
  row('66 0F 3A 21', 'insertps', 'Vo,Md,Ib', insertps, sse),
  row('66 0F 3A 17', 'extractps', 'Ed,Vo,Ib', extract(4), sse),
  row('66 0F 3A 20', 'pinsrb', 'Vo,Rd,Ib', insert(1), sse),
  row('66 0F 3A 20', 'pinsrb', 'Vo,Mb,Ib', insert(1), sse),
  row('66 0F C4', 'pinsrw', 'Vo,Rd,Ib', insert(2), sse),
  row('66 0F C4', 'pinsrw', 'Vo,Mw,Ib', insert(2), sse),
  row('66 0F 3A 22', 'pinsrd', 'Vo,Ey,Ib', pinsrd, { ...sse, names: ['pinsrd', 'pinsrd', 'pinsrq'] }),
  row('66 0F 3A 14', 'pextrb', 'Rd,Vo,Ib', extract(1), sse),
  row('66 0F 3A 14', 'pextrb', 'Mb,Vo,Ib', extract(1), sse),
  row('66 0F 3A 15', 'pextrw', 'Rd,Vo,Ib', extract(2), sse),
  row('66 0F 3A 15', 'pextrw', 'Mw,Vo,Ib', extract(2), sse),
  row('66 0F C5', 'pextrw', 'Gd,Uo,Ib', extract(2), sse),
  row('66 0F 3A 16', 'pextrd', 'Ey,Vo,Ib', pextrd, { ...sse, names: ['pextrd', 'pextrd', 'pextrq'] }),
];
