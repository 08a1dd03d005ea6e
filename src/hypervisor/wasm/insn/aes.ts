/**
 * AES rounds and carry-less multiplication (SDM volume 2: AESENC AESENCLAST AESDEC AESDECLAST AESIMC AESKEYGENASSIST PCLMULQDQ;
 * FIPS 197). No step depends on the data, in time or in addresses.
 *
 * @module
 */
import { i32, type I32, i64, type I64, select, type V128 } from '../emit/expr.ts';
import { i32x4, i64x2, i8x16, v128 } from '../emit/simd.ts';
import type { LiftBuilder } from './lift-builder.ts';
import { type Row, row } from './row.ts';
import { high64, imm8, IOTA, low64, vectorLift, type VectorOperation } from './sse-operands.ts';

/** Product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1. */
function product(x: number, y: number): number {
  let result = 0;
  for (let i = 0; i < 8; i++) {
    if ((y >> i) & 1) result ^= x;
    x = (x << 1) ^ (x & 0x80 ? 0x11b : 0);
  }
  return result;
}

/** FIPS 197, 5.1.1: the inverse, then an affine map. */
const S_BOX: readonly number[] = Array.from({ length: 256 }, (_, x) => {
  let inverse = 0;
  for (let y = 0; y < 256; y++) if (product(x, y) === 1) inverse = y;
  let result = 0x63;
  for (let i = 0; i < 5; i++) result ^= ((inverse << i) | (inverse >> (8 - i))) & 0xff;
  return result;
});
const INVERSE_S_BOX: readonly number[] = Array.from({ length: 256 }, (_, y) => S_BOX.indexOf(y));

/** Every byte of x by a table of 256: sixteen lookups of which one is in range. */
function substitute(b: LiftBuilder, x: V128, table: readonly number[]): V128 {
  const left = b.let(x);
  const result = b.let(i8x16.swizzle(i8x16.const(table.slice(0, 16)), left));
  for (let part = 16; part < 256; part += 16) {
    b.f.set(left, i8x16.sub(left, i8x16.const(Array(16).fill(16))));
    b.f.set(result, v128.or(result, i8x16.swizzle(i8x16.const(table.slice(part, part + 16)), left)));
  }
  return result;
}

const shuffled = (x: V128, lanes: readonly number[]): V128 => i8x16.shuffle(x, x, lanes);
/** Row r of the state, its bytes r, r + 4, ..., moves left, or right, by r. */
const SHIFT_ROWS = IOTA.map((i) => (i + 4 * (i & 3)) & 15);
const INVERSE_SHIFT_ROWS = IOTA.map((i) => (i - 4 * (i & 3)) & 15);
/** Every byte becomes the one `by` further in its column. */
const rotated = (x: V128, by: number): V128 =>
  shuffled(
    x,
    IOTA.map((i) => (i & 12) | ((i + by) & 3)),
  );
/** Twice x in GF(2^8); x is a local. */
const doubled = (x: V128): V128 =>
  v128.xor(i8x16.add(x, x), v128.and(i8x16.shrS(x, i32.const(7)), i8x16.const(Array(16).fill(0x1b))));

function mixColumns(b: LiftBuilder, x: V128): V128 {
  const a = b.let(x);
  const next = b.let(rotated(a, 1));
  const sum = b.let(v128.xor(a, next));
  return v128.xor(v128.xor(doubled(sum), next), rotated(sum, 2));
}
function inverseMixColumns(b: LiftBuilder, x: V128): V128 {
  const a = b.let(x);
  const twice = b.let(doubled(b.let(v128.xor(a, rotated(a, 2)))));
  return mixColumns(b, v128.xor(a, doubled(twice)));
}

const aesenc: VectorOperation = (x, key, b) =>
  v128.xor(mixColumns(b, substitute(b, shuffled(x, SHIFT_ROWS), S_BOX)), key);
const aesenclast: VectorOperation = (x, key, b) => v128.xor(substitute(b, shuffled(x, SHIFT_ROWS), S_BOX), key);
const aesdec: VectorOperation = (x, key, b) =>
  v128.xor(inverseMixColumns(b, substitute(b, shuffled(x, INVERSE_SHIFT_ROWS), INVERSE_S_BOX)), key);
const aesdeclast: VectorOperation = (x, key, b) =>
  v128.xor(substitute(b, shuffled(x, INVERSE_SHIFT_ROWS), INVERSE_S_BOX), key);
const aesimc: VectorOperation = (_x, y, b) => inverseMixColumns(b, y);
/** Words 1 and 3 substituted, and the same turned by a byte, with the round constant. */
const aeskeygenassist: VectorOperation = (_x, y, b) => {
  const words = substitute(b, shuffled(y, [4, 5, 6, 7, 5, 6, 7, 4, 12, 13, 14, 15, 13, 14, 15, 12]), S_BOX);
  return v128.xor(words, v128.and(i32x4.splat(imm8(b)), i32x4.const([0, 0xff, 0, 0xff])));
};

const HOLES = [0x1111_1111_1111_1111n, 0x2222_2222_2222_2222n, 0x4444_4444_4444_4444n, 0x8888_8888_8888_8888n] as const;

/**
 * The low 64 bits of the product of polynomials over GF(2): integer products of numbers with every fourth bit only, whose
 * carries die in the gaps (T. Pornin, BearSSL, ghash_ctmul64).
 */
function lowProduct(b: LiftBuilder, x: I64, y: I64): I64 {
  const parts = (value: I64) => HOLES.map((mask) => b.let(i64.and(value, i64.const(mask))));
  const xs = parts(x);
  const ys = parts(y);
  return HOLES.map((mask, sum) =>
    i64.and(xs.map((part, i) => i64.mul(part, ys[(sum - i) & 3] as I64)).reduce(i64.xor), i64.const(mask)),
  ).reduce(i64.or);
}

function reversed(b: LiftBuilder, value: I64): I64 {
  let x = b.let(value);
  const masks = [0x5555_5555_5555_5555n, 0x3333_3333_3333_3333n, 0x0f0f_0f0f_0f0f_0f0fn, 0x00ff_00ff_00ff_00ffn];
  [...masks, 0x0000_ffff_0000_ffffn].forEach((mask, i) => {
    const count = i64.const(1 << i);
    const kept = i64.const(mask);
    x = b.let(i64.or(i64.and(i64.shrU(x, count), kept), i64.shl(i64.and(x, kept), count)));
  });
  return b.let(i64.rotl(x, i64.const(32)));
}

/** Bit 0 of the immediate chooses a half of the first operand, bit 4 of the second. */
const pclmulqdq: VectorOperation = (x, y, b) => {
  const immediate = imm8(b);
  const chosen = (v: V128, bit: I32): I64 => b.let(select(i32.and(immediate, bit), high64(v), low64(v)));
  const p = chosen(x, i32.const(1));
  const q = chosen(y, i32.const(16));
  const low = b.let(lowProduct(b, p, q));
  const high = i64.shrU(reversed(b, lowProduct(b, reversed(b, p), reversed(b, q))), i64.const(1));
  return i64x2.replace(1, i64x2.splat(low), high);
};

const aligned = { unit: 'sse', aligned: true } as const;

// biome-ignore format: one encoding a line
export const aesRows: readonly Row[] = [
  row('66 0F 38 DB', 'aesimc', 'Vo,Wo', vectorLift(aesimc), aligned),
  row('66 0F 38 DC', 'aesenc', 'Vo,Wo', vectorLift(aesenc), aligned),
  row('66 0F 38 DD', 'aesenclast', 'Vo,Wo', vectorLift(aesenclast), aligned),
  row('66 0F 38 DE', 'aesdec', 'Vo,Wo', vectorLift(aesdec), aligned),
  row('66 0F 38 DF', 'aesdeclast', 'Vo,Wo', vectorLift(aesdeclast), aligned),
  row('66 0F 3A DF', 'aeskeygenassist', 'Vo,Wo,Ib', vectorLift(aeskeygenassist), aligned),
  row('66 0F 3A 44', 'pclmulqdq', 'Vo,Wo,Ib', vectorLift(pclmulqdq), aligned),
];
