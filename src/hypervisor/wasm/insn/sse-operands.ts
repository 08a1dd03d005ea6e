/**
 * Operands of SSE instructions (SDM volume 2A, 2.4: exception classes of legacy SSE).
 *
 * Sixteen-byte memory operands must be aligned unless the instruction says otherwise; narrower ones need not be.
 *
 * @module
 */
import { type Expr, f32, f64, type I32, i32, i64, type I64, type V128 } from '../emit/expr.ts';
import type { Local } from '../emit/function-builder.ts';
import { i8x16, i16x8, i64x2, v128 } from '../emit/simd.ts';
import { GP, type LiftBuilder } from './lift-builder.ts';
import type { Lift } from './row.ts';

export type VectorLocal = Local<'v128'>;

/** Linear address of a 16-byte memory operand; #GP(0) when it is not aligned. */
export function alignedAddress(b: LiftBuilder, index: number): Local<'i64'> {
  const va = b.let(b.address(index));
  b.f.if(i32.and(i32.wrap(va), i32.const(15)), () => b.raise(GP, i32.const(0)));
  return va;
}

/** A 16-byte operand, evaluated. */
export function xmmSource(b: LiftBuilder, index: number, aligned = true): VectorLocal {
  if (!b.isMemory(index)) return b.let(b.readXmm(index));
  return b.let(b.loadXmm(aligned ? alignedAddress(b, index) : b.address(index)));
}

/** An operand of `bytes` (2, 4 or 8) in memory, or a whole register: only the low bytes matter. */
export function lowSource(b: LiftBuilder, index: number, bytes: 2 | 4 | 8): VectorLocal {
  if (!b.isMemory(index)) return b.let(b.readXmm(index));
  const host = b.hostRead(b.let(b.address(index)), bytes);
  switch (bytes) {
    case 2:
      return b.let(i16x8.splat(i32.load16U(host)));
    case 4:
      return b.let(v128.load32Zero(host));
    case 8:
      return b.let(v128.load64Zero(host));
  }
}

/** An operand and where it lies in linear memory, for the exact path. */
export interface Source<T extends Expr = Expr> {
  readonly value: T;
  readonly pointer: I32;
}

const LOAD = { i32: i32.load, i64: i64.load, f32: f32.load, f64: f64.load } as const;

/** A floating-point operand: a whole register or aligned memory for 'v128', else its low lane. */
export function floatSource(b: LiftBuilder, index: number, type: 'f32' | 'f64' | 'v128'): Source {
  if (!b.isMemory(index)) {
    const value = b.let((type === 'v128' ? b.readXmm(index) : b.readXmmLow(index, type)) as Expr<'v128'>);
    return { value, pointer: b.slot(index) };
  }
  const bytes = type === 'v128' ? 16 : type === 'f64' ? 8 : 4;
  const va = bytes === 16 ? alignedAddress(b, index) : b.let(b.address(index));
  const pointer = b.hostRead(va, bytes);
  const value = b.let((type === 'v128' ? v128.load(pointer) : LOAD[type](pointer)) as Expr<'v128'>);
  return { value, pointer };
}

/** The low 8 bytes of an XMM operand or 8 bytes of memory, the upper half zero. */
export function low8Source(b: LiftBuilder, index: number): Source<V128> {
  const pointer = b.isMemory(index) ? b.hostRead(b.let(b.address(index)), 8) : b.let(b.slot(index));
  return { value: b.let(v128.load64Zero(pointer)), pointer };
}

/** An integer operand in a general register or memory. */
export function integerSource(b: LiftBuilder, index: number, bytes: 4 | 8): Source {
  if (!b.isMemory(index)) return { value: b.let(b.readRegister(index, bytes) as I32), pointer: b.slot(index) };
  const pointer = b.hostRead(b.let(b.address(index)), bytes);
  return { value: b.let(b.plainLoad(bytes, pointer) as I32), pointer };
}

/** The immediate byte as it stands. */
export const imm8 = (b: LiftBuilder): Local<'i32'> => b.let(i32.and(b.immediate32(), i32.const(0xff)));

/** Bytes 0, 1, 2, ... 15. */
export const IOTA: readonly number[] = Array.from({ length: 16 }, (_, i) => i);

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

/** What a two-operand vector instruction computes; both operands are locals. */
export type VectorOperation = (x: VectorLocal, y: VectorLocal, b: LiftBuilder) => V128;

/** destination := operation(destination, source), the source 16 bytes and aligned. */
export const vectorLift =
  (operation: VectorOperation): Lift =>
  (b) => {
    const y = xmmSource(b, 1);
    const x = b.let(b.readXmm(0));
    b.writeXmm(0, operation(x, y, b));
  };
