/**
 * WebAssembly's 128-bit vector operations as expression factories (core specification, section 5.4.8, prefix 0xfd).
 *
 * Names are the specification's in camel case, by lane shape: `i8x16.addSatU(x, y)`.
 *
 * @module
 */
import type { ByteWriter } from './byte-writer.ts';
import {
  binary,
  type Expr,
  type F32,
  type F64,
  type I32,
  type I64,
  load,
  ternary,
  unary,
  type V128,
  withImmediates,
  writeOpcode,
} from './expr.ts';

type Unary = (x: V128) => V128;
type Binary = (x: V128, y: V128) => V128;
type Shift = (x: V128, count: I32) => V128;

const one =
  (opcode: number): Unary =>
  (x) =>
    unary('v128', 0xfd00 | opcode, x);
const two =
  (opcode: number): Binary =>
  (x, y) =>
    binary('v128', 0xfd00 | opcode, x, y);
const shift =
  (opcode: number): Shift =>
  (x, count) =>
    binary('v128', 0xfd00 | opcode, x, count);
const fusing =
  (opcode: number) =>
  (x: V128, y: V128, z: V128): V128 =>
    ternary('v128', 0xf_d000 | opcode, x, y, z);
const test =
  (opcode: number) =>
  (x: V128): I32 =>
    unary('i32', 0xfd00 | opcode, x);
const splat =
  <T extends Expr>(opcode: number) =>
  (x: T): V128 =>
    unary('v128', 0xfd00 | opcode, x);
const extract =
  <T extends 'i32' | 'i64' | 'f32' | 'f64'>(type: T, opcode: number) =>
  (lane: number, x: V128): Expr<T> =>
    withImmediates(type, 0xfd00 | opcode, [lane], x);
const replace =
  <T extends Expr>(opcode: number) =>
  (lane: number, x: V128, value: T): V128 =>
    withImmediates('v128', 0xfd00 | opcode, [lane], x, value);
const loading =
  (opcode: number) =>
  (address: I32, offset = 0): V128 =>
    load('v128', 0xfd00 | opcode, address, offset);

class V128Const implements Expr<'v128'> {
  readonly type = 'v128';
  readonly #bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }
  write(out: ByteWriter): void {
    writeOpcode(out, 0xfd0c);
    out.bytes(this.#bytes);
  }
}

const constant = (lanes: { readonly buffer: ArrayBuffer }): V128 => new V128Const(new Uint8Array(lanes.buffer));

export const v128 = {
  zero: (): V128 => constant(new Uint8Array(16)),
  load: loading(0x00),
  /** 4 or 8 bytes into the low lane; the rest is zero. */
  load32Zero: loading(0x5c),
  load64Zero: loading(0x5d),
  not: one(0x4d),
  and: two(0x4e),
  /** x and not y. */
  andnot: two(0x4f),
  or: two(0x50),
  xor: two(0x51),
  /** Bits of x where the mask has ones, of y elsewhere. */
  bitselect: (x: V128, y: V128, mask: V128): V128 => ternary('v128', 0xfd52, x, y, mask),
  anyTrue: test(0x53),
} as const;

export const i8x16 = {
  const: (lanes: readonly number[]): V128 => constant(Uint8Array.from(lanes)),
  /** Bytes of x (0..15) and y (16..31) by constant numbers. */
  shuffle: (x: V128, y: V128, lanes: readonly number[]): V128 => withImmediates('v128', 0xfd0d, lanes, x, y),
  /** Bytes of x by the numbers in y; zero where they exceed 15. */
  swizzle: two(0x0e),
  splat: splat<I32>(0x0f),
  extractU: extract('i32', 0x16),
  eq: two(0x23),
  gtS: two(0x27),
  leU: two(0x2a),
  geU: two(0x2c),
  abs: one(0x60),
  bitmask: test(0x64),
  narrowS: two(0x65),
  narrowU: two(0x66),
  shrS: shift(0x6c),
  add: two(0x6e),
  addSatS: two(0x6f),
  addSatU: two(0x70),
  sub: two(0x71),
  subSatS: two(0x72),
  subSatU: two(0x73),
  minS: two(0x76),
  minU: two(0x77),
  maxS: two(0x78),
  maxU: two(0x79),
  avgrU: two(0x7b),
} as const;

export const i16x8 = {
  const: (lanes: readonly number[]): V128 => constant(Uint16Array.from(lanes)),
  splat: splat<I32>(0x10),
  extractU: extract('i32', 0x19),
  eq: two(0x2d),
  gtS: two(0x31),
  leU: two(0x34),
  geU: two(0x36),
  extaddPairwiseU: one(0x7d),
  abs: one(0x80),
  /** (x * y + 0x4000) >> 15, saturated. */
  q15mulrSatS: two(0x82),
  bitmask: test(0x84),
  narrowS: two(0x85),
  narrowU: two(0x86),
  extendLowS: one(0x87),
  extendLowU: one(0x89),
  shl: shift(0x8b),
  shrS: shift(0x8c),
  shrU: shift(0x8d),
  add: two(0x8e),
  addSatS: two(0x8f),
  addSatU: two(0x90),
  sub: two(0x91),
  subSatS: two(0x92),
  subSatU: two(0x93),
  mul: two(0x95),
  minS: two(0x96),
  minU: two(0x97),
  maxS: two(0x98),
  maxU: two(0x99),
  avgrU: two(0x9b),
} as const;

export const i32x4 = {
  const: (lanes: readonly number[]): V128 => constant(Uint32Array.from(lanes)),
  splat: splat<I32>(0x11),
  extract: extract('i32', 0x1b),
  replace: replace<I32>(0x1c),
  eq: two(0x37),
  gtS: two(0x3b),
  gtU: two(0x3c),
  extaddPairwiseU: one(0x7f),
  abs: one(0xa0),
  bitmask: test(0xa4),
  extendLowS: one(0xa7),
  extendLowU: one(0xa9),
  shl: shift(0xab),
  shrS: shift(0xac),
  shrU: shift(0xad),
  add: two(0xae),
  sub: two(0xb1),
  mul: two(0xb5),
  minS: two(0xb6),
  minU: two(0xb7),
  maxS: two(0xb8),
  maxU: two(0xb9),
  dot: two(0xba),
  extmulLowS: two(0xbc),
  extmulHighS: two(0xbd),
  extmulLowU: two(0xbe),
  extmulHighU: two(0xbf),
  truncSatF32S: one(0xf8),
  /** Two doubles into the low lanes; the others are zero. */
  truncSatF64SZero: one(0xfc),
} as const;

export const i64x2 = {
  const: (lanes: readonly bigint[]): V128 => constant(BigUint64Array.from(lanes)),
  splat: splat<I64>(0x12),
  extract: extract('i64', 0x1d),
  replace: replace<I64>(0x1e),
  bitmask: test(0xc4),
  extendLowS: one(0xc7),
  extendLowU: one(0xc9),
  shl: shift(0xcb),
  shrS: shift(0xcc),
  shrU: shift(0xcd),
  add: two(0xce),
  sub: two(0xd1),
  eq: two(0xd6),
  gtS: two(0xd9),
  extmulLowS: two(0xdc),
  extmulLowU: two(0xde),
} as const;

export const f32x4 = {
  const: (lanes: readonly number[]): V128 => constant(Float32Array.from(lanes)),
  splat: splat<F32>(0x13),
  extract: extract('f32', 0x1f),
  replace: replace<F32>(0x20),
  eq: two(0x41),
  ne: two(0x42),
  lt: two(0x43),
  le: two(0x45),
  /** Two doubles into the low lanes; the others are zero. */
  demoteZero: one(0x5e),
  ceil: one(0x67),
  floor: one(0x68),
  trunc: one(0x69),
  nearest: one(0x6a),
  abs: one(0xe0),
  neg: one(0xe1),
  sqrt: one(0xe3),
  add: two(0xe4),
  sub: two(0xe5),
  mul: two(0xe6),
  div: two(0xe7),
  /** y < x ? y : x, and likewise pmax. */
  pmin: two(0xea),
  pmax: two(0xeb),
  /** x * y + z, rounded once or twice: relaxed, as the host likes it. */
  relaxedMadd: fusing(0x105),
  convertI32S: one(0xfa),
} as const;

export const f64x2 = {
  const: (lanes: readonly number[]): V128 => constant(Float64Array.from(lanes)),
  splat: splat<F64>(0x14),
  extract: extract('f64', 0x21),
  replace: replace<F64>(0x22),
  eq: two(0x47),
  ne: two(0x48),
  lt: two(0x49),
  le: two(0x4b),
  promoteLow: one(0x5f),
  ceil: one(0x74),
  floor: one(0x75),
  trunc: one(0x7a),
  nearest: one(0x94),
  abs: one(0xec),
  neg: one(0xed),
  sqrt: one(0xef),
  add: two(0xf0),
  sub: two(0xf1),
  mul: two(0xf2),
  div: two(0xf3),
  pmin: two(0xf6),
  pmax: two(0xf7),
  convertLowI32S: one(0xfe),
  relaxedMadd: fusing(0x107),
} as const;
