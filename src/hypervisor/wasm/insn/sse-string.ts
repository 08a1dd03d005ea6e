/**
 * String comparisons of SSE4.2: PCMPESTRI PCMPESTRM PCMPISTRI PCMPISTRM (SDM volume 1, 12.4; volume 2B, 4.1).
 *
 * The first string is the register operand, the second the register or memory one. Results are a bit per element of the
 * second string. Immediate: bits 0-1 element (byte, word, signed byte, signed word), 2-3 aggregation (any, ranges, each,
 * ordered), 4 negate, 5 negate valid elements only, 6 last index or whole-element mask.
 *
 * @module
 */
import { type I32, i32, type I64, i64, select, type V128 } from '../emit/expr.ts';
import type { Local } from '../emit/function-builder.ts';
import { i16x8, i32x4, i8x16, v128 } from '../emit/simd.ts';
import { RAX, RCX, RDX } from '../state.ts';
import type { LiftBuilder } from './lift-builder.ts';
import { type Lift, type Row, row } from './row.ts';
import { imm8, IOTA, type VectorLocal, xmmSource } from './sse-operands.ts';
import { maskWords } from './sse-shuffle.ts';

const IMM_WORDS = 1,
  IMM_SIGNED = 2,
  IMM_NEGATE = 0x10,
  IMM_VALID_ONLY = 0x20,
  IMM_LAST = 0x40,
  IMM_WIDE = 0x40;

const bit = (x: I32, mask: number): I32 => i32.and(x, i32.const(mask));

/** Elements of one width, `count` in a register. */
interface Elements {
  readonly shape: typeof i8x16 | typeof i16x8;
  readonly bytes: 1 | 2;
  readonly count: 8 | 16;
}
const BYTES: Elements = { shape: i8x16, bytes: 1, count: 16 };
const WORDS: Elements = { shape: i16x8, bytes: 2, count: 8 };

/** Elements before the first zero. */
const implicitLength = ({ shape, count }: Elements, x: V128): I32 =>
  i32.ctz(i32.or(shape.bitmask(shape.eq(x, v128.zero())), i32.const(1 << count)));

/** The magnitude of a register, at most a full string. */
function explicitLength({ count }: Elements, b: LiftBuilder, register: number): I32 {
  const wide = b.form.operandSize === 8;
  const value = b.let(wide ? (b.gpr(register, 8) as I64) : i64.extendI32S(b.gpr(register, 4) as I32));
  const sign = b.let(i64.shrS(value, i64.const(63)));
  const magnitude = b.let(i64.sub(i64.xor(value, sign), sign));
  return select(i64.gtU(magnitude, i64.const(count)), i32.const(count), i32.wrap(magnitude));
}

/** A string with what its length means. */
interface Text {
  readonly value: VectorLocal;
  readonly length: Local<'i32'>;
  /** A bit per element before the end. */
  readonly valid: Local<'i32'>;
}

/** Aggregates into `result`: a bit per element of the second string. */
function aggregate(b: LiftBuilder, e: Elements, control: I32, first: Text, second: Text, result: Local<'i32'>): void {
  const { f } = b;
  const { shape, bytes, count } = e;
  const all = (1 << count) - 1;
  const operation = b.let(i32.and(i32.shrU(control, i32.const(2)), i32.const(3)));
  const pointer = b.let(b.slot(0));
  const index = b.let(i32.const(0));
  const element = (ahead: number): I32 => {
    const at = i32.add(pointer, bytes === 2 ? i32.shl(index, i32.const(1)) : index);
    return bytes === 2 ? i32.load16U(at, ahead * 2) : i32.load8U(at, ahead);
  };
  /** Runs `body` for index = 0, step, ... while index + step <= length of the first string. */
  const overFirst = (step: number, body: () => void): void => {
    f.loop((again) => {
      f.if(i32.leU(i32.add(index, i32.const(step)), first.length), () => {
        body();
        f.set(index, i32.add(index, i32.const(step)));
        f.br(again);
      });
    });
  };
  const isOperation = (n: number): I32 => i32.eq(operation, i32.const(n));
  const found = f.local('v128');
  f.set(found, v128.zero());
  f.block((done) => {
    f.if(i32.eqz(operation), () => {
      overFirst(1, () => f.set(found, v128.or(found, shape.eq(second.value, shape.splat(element(0))))));
      f.set(result, i32.and(shape.bitmask(found), second.valid));
      f.br(done);
    });
    f.if(isOperation(1), () => {
      // Signed order is unsigned order of the elements with their signs flipped.
      const flip = b.let(
        shape.splat(select(bit(control, IMM_SIGNED), i32.const(bytes === 2 ? 0x8000 : 0x80), i32.const(0))),
      );
      const flipped = b.let(v128.xor(second.value, flip));
      overFirst(2, () => {
        const from = v128.xor(shape.splat(element(0)), flip);
        const to = v128.xor(shape.splat(element(1)), flip);
        f.set(found, v128.or(found, v128.and(shape.geU(flipped, from), shape.leU(flipped, to))));
      });
      f.set(result, i32.and(shape.bitmask(found), second.valid));
      f.br(done);
    });
    f.if(isOperation(2), () => {
      const equal = i32.and(shape.bitmask(shape.eq(first.value, second.value)), i32.and(first.valid, second.valid));
      const neither = i32.xor(i32.or(first.valid, second.valid), i32.const(all));
      f.set(result, i32.or(equal, neither));
      f.br(done);
    });
    // Ordered: a match may run over the end of the register.
    f.set(result, i32.const(all));
    overFirst(1, () => {
      const equal = i32.and(shape.bitmask(shape.eq(second.value, shape.splat(element(0)))), second.valid);
      const within = i32.shrU(i32.const(all), index);
      f.set(result, i32.and(result, i32.or(i32.shrU(equal, index), i32.xor(within, i32.const(-1)))));
    });
  });
}

const maskBytes = (bits: I32): V128 => {
  const powers = i8x16.const(IOTA.map((i) => 1 << (i & 7)));
  const spread = i8x16.swizzle(i16x8.splat(bits), i8x16.const(IOTA.map((i) => i >> 3)));
  return i8x16.eq(v128.and(spread, powers), powers);
};

const compareStrings =
  (explicit: boolean, wantIndex: boolean): Lift =>
  (b) => {
    const { f } = b;
    const y = xmmSource(b, 1, false);
    const x = b.let(b.readXmm(0));
    const control = imm8(b);
    const result = f.local('i32');
    const length1 = f.local('i32');
    const length2 = f.local('i32');
    const count = b.let(select(bit(control, IMM_WORDS), i32.const(8), i32.const(16)));
    const valid = (length: I32): I32 => i32.sub(i32.shl(i32.const(1), length), i32.const(1));
    const withElements = (e: Elements) => (): void => {
      f.set(length1, explicit ? explicitLength(e, b, RAX) : implicitLength(e, x));
      f.set(length2, explicit ? explicitLength(e, b, RDX) : implicitLength(e, y));
      const first = { value: x, length: length1, valid: b.let(valid(length1)) };
      const second = { value: y, length: length2, valid: b.let(valid(length2)) };
      aggregate(b, e, control, first, second, result);
      f.if(bit(control, IMM_NEGATE), () => {
        const flipped = select(bit(control, IMM_VALID_ONLY), second.valid, i32.const((1 << e.count) - 1));
        f.set(result, i32.xor(result, flipped));
      });
    };
    f.if(bit(control, IMM_WORDS), withElements(WORDS), withElements(BYTES));

    if (wantIndex) {
      const firstOne = i32.ctz(i32.or(result, i32.shl(i32.const(1), count)));
      const lastOne = select(result, i32.sub(i32.const(31), i32.clz(result)), count);
      b.setGpr(RCX, 4, b.let(select(bit(control, IMM_LAST), lastOne, firstOne)));
    } else {
      const wide = select(bit(control, IMM_WORDS), maskWords(result), maskBytes(result));
      b.setXmm(0, b.let(select(bit(control, IMM_WIDE), wide, i32x4.replace(0, v128.zero(), result))));
      if (b.form.vector !== 0) b.setYmmHigh(0, v128.zero());
    }
    const none = i32.const(0);
    b.setFlagBits({
      cf: i32.ne(result, none),
      zf: i32.ltU(length2, count),
      sf: i32.ltU(length1, count),
      of: bit(result, 1),
      af: none,
      pf: none,
    });
  };

const sse = { unit: 'sse' } as const;

// biome-ignore format: one encoding a line
export const sseStringRows: readonly Row[] = [
  row('66 0F 3A 60', 'pcmpestrm', 'Vo,Wo,Ib', compareStrings(true, false), sse),
  row('66 0F 3A 61', 'pcmpestri', 'Vo,Wo,Ib', compareStrings(true, true), sse),
  row('66 0F 3A 62', 'pcmpistrm', 'Vo,Wo,Ib', compareStrings(false, false), sse),
  row('66 0F 3A 63', 'pcmpistri', 'Vo,Wo,Ib', compareStrings(false, true), sse),
];
