/**
 * WebAssembly expressions as trees: built by small typed factories (`i64.add(x, y)`), written out by a
 * `FunctionBuilder`. A tree is evaluated where it is consumed, so anything used twice, or whose order against a
 * store matters, goes through `FunctionBuilder.let` first.
 *
 * Opcodes: WebAssembly core specification, section 5.4 (0xfcXX, 0xfdXX and 0xfeXX stand for the prefixed ones).
 *
 * @module
 */
import type { ByteWriter } from './byte-writer.ts';

export type ValType = 'i32' | 'i64' | 'f32' | 'f64' | 'v128';

export const VAL_TYPE_BYTE: Record<ValType, number> = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b };

/** An expression that leaves one value of type `T`. */
export interface Expr<T extends ValType = ValType> {
  readonly type: T;
  write(out: ByteWriter): void;
}
export type I32 = Expr<'i32'>;
export type I64 = Expr<'i64'>;
export type F32 = Expr<'f32'>;
export type F64 = Expr<'f64'>;
export type V128 = Expr<'v128'>;

/** Writes an opcode; 0xfdXXX stands for prefix 0xfd and the rest as LEB128, likewise 0xfc and 0xfe. */
export function writeOpcode(out: ByteWriter, opcode: number): void {
  if (opcode <= 0xff) {
    out.byte(opcode);
    return;
  }
  if (opcode > 0xffff) {
    out.byte(opcode >> 12);
    out.u32(opcode & 0xfff);
    return;
  }
  out.byte(opcode >> 8);
  out.u32(opcode & 0xff);
}

/**
 * Classes of expressions are few: V8 finds a method by up to four of them at a place that calls it, and by a search from the fifth on.
 * A constant; those that fit 32 bits are kept as numbers: no BigInt for most.
 */
class Const<T extends 'i32' | 'i64'> implements Expr<T> {
  readonly type: T;
  readonly value: number | bigint;
  constructor(type: T, value: number | bigint) {
    this.type = type;
    this.value = value;
  }
  write(out: ByteWriter): void {
    const { value } = this;
    out.byte(this.type === 'i32' ? 0x41 : 0x42);
    if (typeof value === 'number') out.s32(value);
    else out.s64(value);
  }
}

class Operation<T extends ValType> implements Expr<T> {
  readonly type: T;
  readonly opcode: number;
  readonly x: Expr;
  readonly y: Expr | undefined;
  readonly z: Expr | undefined;
  /** Behind the opcode: the offset of a plain load, or bytes (lane numbers, shuffle masks). */
  readonly immediate: number | readonly number[] | undefined;
  constructor(
    type: T,
    opcode: number,
    x: Expr,
    y: Expr | undefined,
    z: Expr | undefined,
    immediate: number | readonly number[] | undefined,
  ) {
    this.type = type;
    this.opcode = opcode;
    this.x = x;
    this.y = y;
    this.z = z;
    this.immediate = immediate;
  }
  write(out: ByteWriter): void {
    const { opcode, y, immediate } = this;
    this.x.write(out);
    if (y !== undefined) {
      y.write(out);
      this.z?.write(out);
    }
    if (opcode <= 0xff) out.byte(opcode);
    else writeOpcode(out, opcode);
    if (immediate === undefined) return;
    if (typeof immediate === 'number') {
      // Alignment 1.
      out.byte(0);
      out.u32(immediate);
    } else out.bytes(immediate);
  }
}

class Atomic<T extends ValType> implements Expr<T> {
  readonly type: T;
  readonly opcode: number;
  /** log2 of the alignment, which must be the natural one. */
  readonly align: number;
  readonly offset: number;
  readonly address: I32;
  readonly operands: readonly Expr[];
  constructor(type: T, opcode: number, align: number, offset: number, address: I32, operands: readonly Expr[]) {
    this.type = type;
    this.opcode = opcode;
    this.align = align;
    this.offset = offset;
    this.address = address;
    this.operands = operands;
  }
  write(out: ByteWriter): void {
    this.address.write(out);
    for (const operand of this.operands) operand.write(out);
    writeOpcode(out, this.opcode);
    out.u32(this.align);
    out.u32(this.offset);
  }
}

export const isConstant = (x: Expr): boolean => x instanceof Const;

/** The value of a 32-bit constant; undefined for everything else. */
export const constantOf = (x: Expr): number | undefined =>
  x instanceof Const && x.type === 'i32' ? (x.value as number) : undefined;

const i32Const = (value: number): I32 => new Const('i32', value | 0);
const i64Const = (value: number | bigint): I64 =>
  new Const('i64', typeof value === 'number' && (value | 0) === value ? value : BigInt.asIntN(64, BigInt(value)));

export const unary = <T extends ValType>(type: T, opcode: number, x: Expr): Expr<T> =>
  new Operation(type, opcode, x, undefined, undefined, undefined);
export const binary = <T extends ValType>(type: T, opcode: number, x: Expr, y: Expr): Expr<T> =>
  new Operation(type, opcode, x, y, undefined, undefined);
export const ternary = <T extends ValType>(type: T, opcode: number, x: Expr, y: Expr, z: Expr): Expr<T> =>
  new Operation(type, opcode, x, y, z, undefined);
/** An operation with immediate bytes (lane index, shuffle mask). */
export const withImmediates = <T extends ValType>(
  type: T,
  opcode: number,
  immediates: readonly number[],
  x: Expr,
  y?: Expr,
): Expr<T> => new Operation(type, opcode, x, y, undefined, immediates);
export const load = <T extends ValType>(type: T, opcode: number, address: I32, offset: number): Expr<T> =>
  new Operation(type, opcode, address, undefined, undefined, offset);
/** An atomic access; `align` is log2 of its width and the address must be so aligned, or it traps. */
export const atomic = <T extends ValType>(
  type: T,
  opcode: number,
  align: number,
  offset: number,
  address: I32,
  ...operands: readonly Expr[]
): Expr<T> => new Atomic(type, opcode, align, offset, address, operands);

/** `condition ? x : y`; both sides are evaluated. */
export const select = <T extends ValType>(condition: I32, x: Expr<T>, y: Expr<T>): Expr<T> =>
  new Operation(x.type, 0x1b, x, y, condition, undefined);

export const i32 = {
  const: (value: number): Expr<'i32'> => i32Const(value),
  clz: (x: I32): I32 => unary('i32', 0x67, x),
  ctz: (x: I32): I32 => unary('i32', 0x68, x),
  popcnt: (x: I32): I32 => unary('i32', 0x69, x),
  add: (x: I32, y: I32): I32 => binary('i32', 0x6a, x, y),
  sub: (x: I32, y: I32): I32 => binary('i32', 0x6b, x, y),
  mul: (x: I32, y: I32): I32 => binary('i32', 0x6c, x, y),
  divS: (x: I32, y: I32): I32 => binary('i32', 0x6d, x, y),
  divU: (x: I32, y: I32): I32 => binary('i32', 0x6e, x, y),
  remS: (x: I32, y: I32): I32 => binary('i32', 0x6f, x, y),
  remU: (x: I32, y: I32): I32 => binary('i32', 0x70, x, y),
  and: (x: I32, y: I32): I32 => binary('i32', 0x71, x, y),
  or: (x: I32, y: I32): I32 => binary('i32', 0x72, x, y),
  xor: (x: I32, y: I32): I32 => binary('i32', 0x73, x, y),
  shl: (x: I32, y: I32): I32 => binary('i32', 0x74, x, y),
  shrS: (x: I32, y: I32): I32 => binary('i32', 0x75, x, y),
  shrU: (x: I32, y: I32): I32 => binary('i32', 0x76, x, y),
  rotl: (x: I32, y: I32): I32 => binary('i32', 0x77, x, y),
  rotr: (x: I32, y: I32): I32 => binary('i32', 0x78, x, y),
  eqz: (x: I32): I32 => unary('i32', 0x45, x),
  eq: (x: I32, y: I32): I32 => binary('i32', 0x46, x, y),
  ne: (x: I32, y: I32): I32 => binary('i32', 0x47, x, y),
  ltS: (x: I32, y: I32): I32 => binary('i32', 0x48, x, y),
  ltU: (x: I32, y: I32): I32 => binary('i32', 0x49, x, y),
  gtS: (x: I32, y: I32): I32 => binary('i32', 0x4a, x, y),
  gtU: (x: I32, y: I32): I32 => binary('i32', 0x4b, x, y),
  leS: (x: I32, y: I32): I32 => binary('i32', 0x4c, x, y),
  leU: (x: I32, y: I32): I32 => binary('i32', 0x4d, x, y),
  geS: (x: I32, y: I32): I32 => binary('i32', 0x4e, x, y),
  geU: (x: I32, y: I32): I32 => binary('i32', 0x4f, x, y),
  extend8S: (x: I32): I32 => unary('i32', 0xc0, x),
  extend16S: (x: I32): I32 => unary('i32', 0xc1, x),
  wrap: (x: I64): I32 => unary('i32', 0xa7, x),
  truncSatF32S: (x: F32): I32 => unary('i32', 0xfc00, x),
  truncSatF64S: (x: F64): I32 => unary('i32', 0xfc02, x),
  reinterpret: (x: F32): I32 => unary('i32', 0xbc, x),
  load: (address: I32, offset = 0): I32 => load('i32', 0x28, address, offset),
  load8S: (address: I32, offset = 0): I32 => load('i32', 0x2c, address, offset),
  load8U: (address: I32, offset = 0): I32 => load('i32', 0x2d, address, offset),
  load16S: (address: I32, offset = 0): I32 => load('i32', 0x2e, address, offset),
  load16U: (address: I32, offset = 0): I32 => load('i32', 0x2f, address, offset),
  atomicLoad: (address: I32, offset = 0): I32 => atomic('i32', 0xfe10, 2, offset, address),
} as const;

export const i64 = {
  const: (value: number | bigint): Expr<'i64'> => i64Const(value),
  clz: (x: I64): I64 => unary('i64', 0x79, x),
  ctz: (x: I64): I64 => unary('i64', 0x7a, x),
  popcnt: (x: I64): I64 => unary('i64', 0x7b, x),
  add: (x: I64, y: I64): I64 => binary('i64', 0x7c, x, y),
  sub: (x: I64, y: I64): I64 => binary('i64', 0x7d, x, y),
  mul: (x: I64, y: I64): I64 => binary('i64', 0x7e, x, y),
  divS: (x: I64, y: I64): I64 => binary('i64', 0x7f, x, y),
  divU: (x: I64, y: I64): I64 => binary('i64', 0x80, x, y),
  remS: (x: I64, y: I64): I64 => binary('i64', 0x81, x, y),
  remU: (x: I64, y: I64): I64 => binary('i64', 0x82, x, y),
  and: (x: I64, y: I64): I64 => binary('i64', 0x83, x, y),
  or: (x: I64, y: I64): I64 => binary('i64', 0x84, x, y),
  xor: (x: I64, y: I64): I64 => binary('i64', 0x85, x, y),
  shl: (x: I64, y: I64): I64 => binary('i64', 0x86, x, y),
  shrS: (x: I64, y: I64): I64 => binary('i64', 0x87, x, y),
  shrU: (x: I64, y: I64): I64 => binary('i64', 0x88, x, y),
  rotl: (x: I64, y: I64): I64 => binary('i64', 0x89, x, y),
  rotr: (x: I64, y: I64): I64 => binary('i64', 0x8a, x, y),
  eqz: (x: I64): I32 => unary('i32', 0x50, x),
  eq: (x: I64, y: I64): I32 => binary('i32', 0x51, x, y),
  ne: (x: I64, y: I64): I32 => binary('i32', 0x52, x, y),
  ltS: (x: I64, y: I64): I32 => binary('i32', 0x53, x, y),
  ltU: (x: I64, y: I64): I32 => binary('i32', 0x54, x, y),
  gtS: (x: I64, y: I64): I32 => binary('i32', 0x55, x, y),
  gtU: (x: I64, y: I64): I32 => binary('i32', 0x56, x, y),
  leS: (x: I64, y: I64): I32 => binary('i32', 0x57, x, y),
  leU: (x: I64, y: I64): I32 => binary('i32', 0x58, x, y),
  geS: (x: I64, y: I64): I32 => binary('i32', 0x59, x, y),
  geU: (x: I64, y: I64): I32 => binary('i32', 0x5a, x, y),
  extend8S: (x: I64): I64 => unary('i64', 0xc2, x),
  extend16S: (x: I64): I64 => unary('i64', 0xc3, x),
  extend32S: (x: I64): I64 => unary('i64', 0xc4, x),
  extendI32S: (x: I32): I64 => unary('i64', 0xac, x),
  extendI32U: (x: I32): I64 => unary('i64', 0xad, x),
  truncSatF32S: (x: F32): I64 => unary('i64', 0xfc04, x),
  truncSatF64S: (x: F64): I64 => unary('i64', 0xfc06, x),
  reinterpret: (x: F64): I64 => unary('i64', 0xbd, x),
  load: (address: I32, offset = 0): I64 => load('i64', 0x29, address, offset),
  load8S: (address: I32, offset = 0): I64 => load('i64', 0x30, address, offset),
  load8U: (address: I32, offset = 0): I64 => load('i64', 0x31, address, offset),
  load16S: (address: I32, offset = 0): I64 => load('i64', 0x32, address, offset),
  load16U: (address: I32, offset = 0): I64 => load('i64', 0x33, address, offset),
  load32S: (address: I32, offset = 0): I64 => load('i64', 0x34, address, offset),
  load32U: (address: I32, offset = 0): I64 => load('i64', 0x35, address, offset),
  atomicLoad: (address: I32, offset = 0): I64 => atomic('i64', 0xfe11, 3, offset, address),
} as const;

export const f32 = {
  abs: (x: F32): F32 => unary('f32', 0x8b, x),
  neg: (x: F32): F32 => unary('f32', 0x8c, x),
  ceil: (x: F32): F32 => unary('f32', 0x8d, x),
  floor: (x: F32): F32 => unary('f32', 0x8e, x),
  trunc: (x: F32): F32 => unary('f32', 0x8f, x),
  nearest: (x: F32): F32 => unary('f32', 0x90, x),
  sqrt: (x: F32): F32 => unary('f32', 0x91, x),
  add: (x: F32, y: F32): F32 => binary('f32', 0x92, x, y),
  sub: (x: F32, y: F32): F32 => binary('f32', 0x93, x, y),
  mul: (x: F32, y: F32): F32 => binary('f32', 0x94, x, y),
  div: (x: F32, y: F32): F32 => binary('f32', 0x95, x, y),
  min: (x: F32, y: F32): F32 => binary('f32', 0x96, x, y),
  max: (x: F32, y: F32): F32 => binary('f32', 0x97, x, y),
  copysign: (x: F32, y: F32): F32 => binary('f32', 0x98, x, y),
  eq: (x: F32, y: F32): I32 => binary('i32', 0x5b, x, y),
  ne: (x: F32, y: F32): I32 => binary('i32', 0x5c, x, y),
  lt: (x: F32, y: F32): I32 => binary('i32', 0x5d, x, y),
  gt: (x: F32, y: F32): I32 => binary('i32', 0x5e, x, y),
  le: (x: F32, y: F32): I32 => binary('i32', 0x5f, x, y),
  ge: (x: F32, y: F32): I32 => binary('i32', 0x60, x, y),
  convertI32S: (x: I32): F32 => unary('f32', 0xb2, x),
  convertI64S: (x: I64): F32 => unary('f32', 0xb4, x),
  demote: (x: F64): F32 => unary('f32', 0xb6, x),
  reinterpret: (x: I32): F32 => unary('f32', 0xbe, x),
  load: (address: I32, offset = 0): F32 => load('f32', 0x2a, address, offset),
} as const;

export const f64 = {
  abs: (x: F64): F64 => unary('f64', 0x99, x),
  neg: (x: F64): F64 => unary('f64', 0x9a, x),
  ceil: (x: F64): F64 => unary('f64', 0x9b, x),
  floor: (x: F64): F64 => unary('f64', 0x9c, x),
  trunc: (x: F64): F64 => unary('f64', 0x9d, x),
  nearest: (x: F64): F64 => unary('f64', 0x9e, x),
  sqrt: (x: F64): F64 => unary('f64', 0x9f, x),
  add: (x: F64, y: F64): F64 => binary('f64', 0xa0, x, y),
  sub: (x: F64, y: F64): F64 => binary('f64', 0xa1, x, y),
  mul: (x: F64, y: F64): F64 => binary('f64', 0xa2, x, y),
  div: (x: F64, y: F64): F64 => binary('f64', 0xa3, x, y),
  min: (x: F64, y: F64): F64 => binary('f64', 0xa4, x, y),
  max: (x: F64, y: F64): F64 => binary('f64', 0xa5, x, y),
  copysign: (x: F64, y: F64): F64 => binary('f64', 0xa6, x, y),
  eq: (x: F64, y: F64): I32 => binary('i32', 0x61, x, y),
  ne: (x: F64, y: F64): I32 => binary('i32', 0x62, x, y),
  lt: (x: F64, y: F64): I32 => binary('i32', 0x63, x, y),
  gt: (x: F64, y: F64): I32 => binary('i32', 0x64, x, y),
  le: (x: F64, y: F64): I32 => binary('i32', 0x65, x, y),
  ge: (x: F64, y: F64): I32 => binary('i32', 0x66, x, y),
  convertI32S: (x: I32): F64 => unary('f64', 0xb7, x),
  convertI64S: (x: I64): F64 => unary('f64', 0xb9, x),
  promote: (x: F32): F64 => unary('f64', 0xbb, x),
  reinterpret: (x: I64): F64 => unary('f64', 0xbf, x),
  load: (address: I32, offset = 0): F64 => load('f64', 0x2b, address, offset),
} as const;
