/**
 * Operands of SSE and AVX instructions (SDM volume 2A, 2.4: exception classes).
 *
 * One lift serves the SSE form, where the destination is the first source too, and the VEX forms, which may have a
 * destination of its own, 16 or 32 bytes, and clear what lies above. A vector of 32 bytes is worked on in two halves.
 *
 * Sixteen-byte memory operands of SSE forms must be aligned unless the instruction says otherwise; narrower ones and those of
 * VEX forms need not be.
 *
 * @module
 */
import { type Expr, f32, type F32, f64, type F64, type I32, i32, i64, type I64, type V128 } from '../emit/expr.ts';
import type { Local } from '../emit/function-builder.ts';
import { f32x4, f64x2, i16x8, i32x4, i64x2, i8x16, v128 } from '../emit/simd.ts';
import { GP, type LiftBuilder } from './lift-builder.ts';
import type { Lift } from './row.ts';

export type VectorLocal = Local<'v128'>;

/** Bytes 0, 1, 2, ... 15. */
export const IOTA: readonly number[] = Array.from({ length: 16 }, (_, i) => i);

/** Operand number of the first source: VEX.vvvv where it is used, else the destination. */
export const firstOf = (b: LiftBuilder): number => (b.form.shapes[1] === 'v' ? 1 : 0);
/** Operand number of the second source, or of the only one. */
export const secondOf = (b: LiftBuilder): number => firstOf(b) + 1;
/** Bytes of the instruction's vectors. */
export const vectorBytes = (b: LiftBuilder): 16 | 32 => (b.form.vector === 32 ? 32 : 16);

/** Linear address of a memory operand of a whole vector; #GP(0) when it is not aligned. */
export function alignedAddress(b: LiftBuilder, index: number): Local<'i64'> {
  const va = b.let(b.address(index));
  b.f.if(i32.and(i32.wrap(va), i32.const(vectorBytes(b) - 1)), () => b.raise(GP, i32.const(0)));
  return va;
}

/**
 * Linear addresses in a memory operand, by the offset in it, of rows that have no segment applied before (`rawOffset`): only what
 * is asked for is checked.
 */
export function rawAddress(b: LiftBuilder, index: number, write: boolean): (at: number, bytes: number) => Local<'i64'> {
  const start = b.let(b.address(index));
  return (at, bytes) => {
    const sum = at === 0 ? start : b.let(i64.add(start, i64.const(at)));
    if (!b.form.legacy) return sum;
    const offset = i64.and(sum, i64.const(b.form.addressSize === 2 ? 0xffff : 0xffff_ffff));
    return b.let(b.stringAddress(offset, 0, true, bytes, write));
  };
}

/** The address of a whole vector in memory, whose alignment matters without VEX only. */
const vectorAddress = (b: LiftBuilder, index: number): Local<'i64'> =>
  b.form.vector === 0 ? alignedAddress(b, index) : b.let(b.address(index));

/** A 16-byte operand, evaluated. */
export function xmmSource(b: LiftBuilder, index: number, aligned = true): VectorLocal {
  if (!b.isMemory(index)) return b.let(b.readXmm(index));
  return b.let(b.loadXmm(aligned ? vectorAddress(b, index) : b.address(index)));
}

/** The halves of a register operand, evaluated. */
export function readVector(b: LiftBuilder, index: number): VectorLocal[] {
  const low = b.let(b.readXmm(index));
  return b.form.vector === 32 ? [low, b.let(b.readYmmHigh(index))] : [low];
}

/** The halves of a vector at `host`, evaluated. */
function loadHalves(b: LiftBuilder, host: I32, bytes: number): VectorLocal[] {
  const low = b.let(v128.load(host));
  return bytes === 32 ? [low, b.let(v128.load(host, 16))] : [low];
}

/** The halves of an operand, evaluated. */
export function vectorSource(
  b: LiftBuilder,
  index: number,
  address: (b: LiftBuilder, index: number) => Local<'i64'> = vectorAddress,
): VectorLocal[] {
  if (!b.isMemory(index)) return readVector(b, index);
  const bytes = vectorBytes(b);
  return loadHalves(b, b.hostRead(address(b, index), bytes), bytes);
}

/** Writes a register operand; VEX forms clear what lies above. Nothing is written before all is evaluated. */
export function writeVector(b: LiftBuilder, index: number, halves: readonly V128[]): void {
  const [low, high] = halves;
  if (b.form.vector === 0) {
    b.writeXmm(index, low as V128);
    return;
  }
  const values = [b.let(low as V128), high === undefined ? v128.zero() : b.let(high)] as const;
  b.writeXmm(index, values[0]);
  b.writeYmmHigh(index, values[1]);
}

/** Stores halves at `va`. */
export function storeVector(b: LiftBuilder, va: Local<'i64'>, halves: readonly V128[]): void {
  b.storeAll(va, 16, halves);
}

/**
 * Writes the low lane of the destination: the rest stays, or comes from operand `from`, as a rule the first source, and is
 * clear above 16 bytes.
 */
export function writeScalar(b: LiftBuilder, value: Expr, from = firstOf(b)): void {
  if (b.form.vector === 0) {
    b.writeXmmLow(0, value);
    return;
  }
  const rest = b.readXmm(from);
  switch (value.type) {
    case 'i32':
      return writeVector(b, 0, [i32x4.replace(0, rest, value as I32)]);
    case 'f32':
      return writeVector(b, 0, [f32x4.replace(0, rest, value as F32)]);
    case 'f64':
      return writeVector(b, 0, [f64x2.replace(0, rest, value as F64)]);
    default:
      return writeVector(b, 0, [i64x2.replace(0, rest, value as I64)]);
  }
}

/** An operand of `bytes` (2, 4 or 8) in memory, or a whole register: only the low bytes matter. */
export function lowSource(b: LiftBuilder, index: number, bytes: 2 | 4 | 8 | 16): VectorLocal {
  if (!b.isMemory(index)) return b.let(b.readXmm(index));
  const host = b.hostRead(b.let(b.address(index)), bytes);
  switch (bytes) {
    case 2:
      return b.let(i16x8.splat(i32.load16U(host)));
    case 4:
      return b.let(v128.load32Zero(host));
    case 8:
      return b.let(v128.load64Zero(host));
    case 16:
      return b.let(v128.load(host));
  }
}

/** An operand and where it lies in linear memory, for the exact path. */
export interface Source<T extends Expr = Expr> {
  readonly value: T;
  /** The value, and the upper half of a vector of 32 bytes. */
  readonly values: readonly T[];
  readonly pointer: I32;
}
const source = <T extends Expr>(values: readonly T[], pointer: I32): Source<T> => ({
  value: values[0] as T,
  values,
  pointer,
});

const LOAD = { i32: i32.load, i64: i64.load, f32: f32.load, f64: f64.load } as const;

/** A floating-point operand: a whole vector, in memory aligned without VEX, for 'v128'; else its low lane. */
export function floatSource(b: LiftBuilder, index: number, type: 'f32' | 'f64' | 'v128'): Source {
  if (type === 'v128') {
    if (!b.isMemory(index)) return source(readVector(b, index), b.slot(index));
    const pointer = b.hostRead(vectorAddress(b, index), vectorBytes(b));
    return source(loadHalves(b, pointer, vectorBytes(b)), pointer);
  }
  if (!b.isMemory(index)) return source([b.let(b.readXmmLow(index, type))], b.slot(index));
  const pointer = b.hostRead(b.let(b.address(index)), type === 'f64' ? 8 : 4);
  return source([b.let(LOAD[type](pointer) as Expr<'f64'>)], pointer);
}

/**
 * What becomes a vector of twice the size: 8 bytes of an XMM operand or of memory for every half of it, with zeros above.
 */
export function low8Source(b: LiftBuilder, index: number): Source<V128> {
  const halves = vectorBytes(b) / 16;
  if (!b.isMemory(index)) {
    const x = b.let(b.readXmm(index));
    const moved = (from: number): Local<'v128'> =>
      b.let(
        i8x16.shuffle(
          x,
          v128.zero(),
          IOTA.map((i) => (i < 8 ? from + i : 16)),
        ),
      );
    return source(halves === 2 ? [moved(0), moved(8)] : [moved(0)], b.slot(index));
  }
  const pointer = b.hostRead(b.let(b.address(index)), halves * 8);
  const values = [b.let(v128.load64Zero(pointer))];
  if (halves === 2) values.push(b.let(v128.load64Zero(pointer, 8)));
  return source(values, pointer);
}

/** An integer operand in a general register or memory. */
export function integerSource(b: LiftBuilder, index: number, bytes: 4 | 8): Source {
  if (!b.isMemory(index)) return source([b.let(b.readRegister(index, bytes) as I32)], b.slot(index));
  const pointer = b.hostRead(b.let(b.address(index)), bytes);
  return source([b.let(b.plainLoad(bytes, pointer) as I32)], pointer);
}

/** The immediate byte as it stands. */
export const imm8 = (b: LiftBuilder): Local<'i32'> => b.let(i32.and(b.immediate32(), i32.const(0xff)));

/** x moved down by a number of bytes (at most 240), zeros from above. */
export const shiftedDown = (x: V128, bytes: I32): V128 =>
  i8x16.swizzle(x, i8x16.add(i8x16.const(IOTA), i8x16.splat(bytes)));

/** x moved up by a number of bytes (at most 240), zeros from below. */
export const shiftedUp = (x: V128, bytes: I32): V128 =>
  i8x16.swizzle(x, i8x16.sub(i8x16.const(IOTA), i8x16.splat(bytes)));

/** The smaller of an unsigned value (a local) and a constant. */
export const atMost = (b: LiftBuilder, value: I32, most: number): Local<'i32'> => {
  const local = b.let(value);
  b.f.if(i32.gtU(local, i32.const(most)), () => b.f.set(local, i32.const(most)));
  return local;
};

export const low64 = (x: V128): I64 => i64x2.extract(0, x);
export const high64 = (x: V128): I64 => i64x2.extract(1, x);

/** The low halves of x and y side by side. */
export const joined = (x: V128, y: V128): V128 =>
  i8x16.shuffle(x, y, [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23]);

/**
 * What a two-operand vector instruction computes in one half; both operands are locals. `half` is 1 for the upper 16 bytes
 * of 32, for those that take other bits of the immediate there.
 */
export type VectorOperation = (x: VectorLocal, y: VectorLocal, b: LiftBuilder, half: number) => V128;

/** destination := operation(first source, second source). */
export const vectorLift =
  (operation: VectorOperation): Lift =>
  (b) => {
    const y = vectorSource(b, secondOf(b));
    const x = readVector(b, firstOf(b));
    const results = y.map((value, half) => operation(x[half] as VectorLocal, value, b, half));
    writeVector(b, 0, results);
  };
