/**
 * Moves between XMM registers, memory and general registers (SDM volume 2: MOVAPS MOVUPS MOVDQA MOVDQU MOVSS MOVSD MOVQ
 * MOVD MOVLPS MOVHPS MOVHLPS MOVLHPS MOVNT* LDDQU MOVDDUP MOVSLDUP MOVSHDUP MOVMSKPS MASKMOVDQU), and bitwise logic.
 *
 * @module
 */
import { type Expr, i32, type I32, i64, type I64, type V128 } from '../emit/expr.ts';
import type { Local } from '../emit/function-builder.ts';
import { i32x4, i64x2, i8x16, v128 } from '../emit/simd.ts';
import { DS } from '../state.ts';
import type { LiftBuilder } from './lift-builder.ts';
import { type Lift, type Row, row } from './row.ts';
import {
  alignedAddress,
  firstOf,
  high64,
  low64,
  lowSource,
  readVector,
  secondOf,
  storeVector,
  vectorLift,
  vectorSource,
  writeScalar,
  writeVector,
} from './sse-operands.ts';

const unalignedAddress = (b: LiftBuilder, index: number): Local<'i64'> => b.let(b.address(index));

const load =
  (aligned: boolean): Lift =>
  (b) =>
    writeVector(b, 0, vectorSource(b, 1, aligned ? alignedAddress : unalignedAddress));

const store =
  (aligned: boolean): Lift =>
  (b) => {
    const values = readVector(b, 1);
    if (b.isMemory(0)) storeVector(b, (aligned ? alignedAddress : unalignedAddress)(b, 0), values);
    else writeVector(b, 0, values);
  };

/** MOVSS, MOVSD between registers: the low lane, the rest stays. From memory: the rest is cleared. */
const lowToRegister =
  (type: 'i32' | 'i64'): Lift =>
  (b) =>
    writeScalar(b, b.readXmmLow(secondOf(b), type));
const lowFromMemory =
  (bytes: 4 | 8): Lift =>
  (b) =>
    writeVector(b, 0, [lowSource(b, 1, bytes)]);
const lowStore =
  (type: 'i32' | 'i64'): Lift =>
  (b) => {
    const value = b.readXmmLow(secondOf(b), type);
    if (b.isMemory(0)) b.store(type === 'i32' ? 4 : 8, b.address(0), value);
    else writeScalar(b, value);
  };

/** MOVQ: what is not moved is cleared. */
const movqLoad: Lift = (b) => {
  if (b.isMemory(1)) writeVector(b, 0, [lowSource(b, 1, 8)]);
  else writeVector(b, 0, [quadword(b.readXmmLow(1, 'i64'))]);
};
const movqStore: Lift = (b) => {
  const value = b.let(b.readXmmLow(1, 'i64'));
  if (b.isMemory(0)) b.store(8, b.address(0), value);
  else writeVector(b, 0, [quadword(value)]);
};
const quadword = (value: I64): V128 => i64x2.replace(0, v128.zero(), value);

/** Operand size of an operand of type y. */
export const ySize = (b: LiftBuilder): 4 | 8 => (b.form.operandSize === 8 ? 8 : 4);

const movdToXmm: Lift = (b) => {
  const size = ySize(b);
  const value = b.read(1, size);
  writeVector(b, 0, [size === 8 ? quadword(value as I64) : i32x4.replace(0, v128.zero(), value as I32)]);
};
const movdFromXmm: Lift = (b) => {
  const size = ySize(b);
  b.write(0, b.readXmmLow(1, size === 8 ? 'i64' : 'i32'), size);
};

/** Writes one half of the destination; the other stays, or comes from the first source. */
const setHalf =
  (lane: 0 | 1, value: (b: LiftBuilder) => I64): Lift =>
  (b) => {
    const half = b.let(value(b));
    if (lane === 0) writeScalar(b, half);
    else writeVector(b, 0, [i64x2.replace(1, b.readXmm(firstOf(b)), half)]);
  };
const memoryHalf = (b: LiftBuilder): I64 => b.load(8, b.address(secondOf(b))) as I64;
const registerHalf =
  (half: (x: V128) => I64) =>
  (b: LiftBuilder): I64 =>
    half(b.readXmm(secondOf(b)));
const storeHalf =
  (half: (x: V128) => I64): Lift =>
  (b) => {
    b.store(8, b.address(0), b.let(half(b.readXmm(1))));
  };

const duplicate = (lanes: readonly number[]): Lift =>
  vectorLift((_x, y) =>
    i8x16.shuffle(
      y,
      y,
      lanes.flatMap((lane) => [0, 1, 2, 3].map((i) => lane * 4 + i)),
    ),
  );

/** Eight bytes twice; in a vector of 32 bytes the low eight of each half. */
export const movddup: Lift = (b) => {
  const values = b.form.vector === 32 ? vectorSource(b, 1) : [lowSource(b, 1, 8)];
  writeVector(
    b,
    0,
    values.map((x) => i64x2.splat(low64(x))),
  );
};

/** Stores the bytes of `value` whose mask bytes have bit 7 set, at DS:rDI. Shared with MASKMOVQ. */
export function maskedStore(b: LiftBuilder, bytes: 8 | 16, value: V128, mask: V128): void {
  const { f } = b;
  const { addressSize } = b.form;
  const pointer = b.gpr(7, addressSize) as Expr;
  const offset = addressSize === 8 ? (pointer as I64) : i64.extendI32U(pointer as I32);
  const va = b.let(b.stringAddress(offset, DS, true, bytes, true));
  // Processors touch the upper half of sixteen bytes first: its page fault wins.
  if (bytes === 16) b.hostWrite(b.let(i64.add(va, i64.const(8))), 8, false);
  const host = b.hostWrite(va, bytes, true);
  const bits = b.let(i32.and(i8x16.bitmask(mask), i32.const(bytes === 8 ? 0xff : 0xffff)));
  for (let i = 0; i < bytes; i++) {
    // Only selected bytes are stored: another processor may be writing the others.
    f.if(i32.and(bits, i32.const(1 << i)), () => f.store(1, host, i8x16.extractU(i, value), i));
  }
  b.finishWrite(host);
}

const maskmovdqu: Lift = (b) => maskedStore(b, 16, b.let(b.readXmm(0)), b.let(b.readXmm(1)));

/** A bit for every one of `lanes` elements in a half. */
export const bitmaskLift =
  (bitmask: (x: V128) => I32, lanes: number): Lift =>
  (b) => {
    const [low, high] = readVector(b, 1) as readonly V128[] as readonly [V128, V128 | undefined];
    const bits = bitmask(low);
    b.write(0, high === undefined ? bits : i32.or(bits, i32.shl(bitmask(high), i32.const(lanes))), 4);
  };

const sse = { unit: 'sse' } as const;
const aligned = { unit: 'sse', aligned: true } as const;

/** Packed single, packed double and integer forms differ in name only. */
const logic = (opcode: string, name: string, operation: (x: V128, y: V128) => V128): Row[] => [
  row(`NP 0F ${opcode}`, `${name}ps`, 'Vo,Wo', vectorLift(operation), aligned),
  row(`66 0F ${opcode}`, `${name}pd`, 'Vo,Wo', vectorLift(operation), aligned),
];

// biome-ignore format: one encoding a line
export const sseMoveRows: readonly Row[] = [
  ...logic('54', 'and', v128.and),
  ...logic('55', 'andn', (x, y) => v128.andnot(y, x)),
  ...logic('56', 'or', v128.or),
  ...logic('57', 'xor', v128.xor),
  row('NP 0F 10', 'movups', 'Vo,Wo', load(false), sse),
  row('NP 0F 11', 'movups', 'Wo,Vo', store(false), sse),
  row('66 0F 10', 'movupd', 'Vo,Wo', load(false), sse),
  row('66 0F 11', 'movupd', 'Wo,Vo', store(false), sse),
  row('F3 0F 6F', 'movdqu', 'Vo,Wo', load(false), sse),
  row('F3 0F 7F', 'movdqu', 'Wo,Vo', store(false), sse),
  row('F2 0F F0', 'lddqu', 'Vo,Mo', load(false), sse),
  row('NP 0F 28', 'movaps', 'Vo,Wo', load(true), aligned),
  row('NP 0F 29', 'movaps', 'Wo,Vo', store(true), aligned),
  row('66 0F 28', 'movapd', 'Vo,Wo', load(true), aligned),
  row('66 0F 29', 'movapd', 'Wo,Vo', store(true), aligned),
  row('66 0F 6F', 'movdqa', 'Vo,Wo', load(true), aligned),
  row('66 0F 7F', 'movdqa', 'Wo,Vo', store(true), aligned),
  row('NP 0F 2B', 'movntps', 'Mo,Vo', store(true), aligned),
  row('66 0F 2B', 'movntpd', 'Mo,Vo', store(true), aligned),
  row('66 0F E7', 'movntdq', 'Mo,Vo', store(true), aligned),
  row('66 0F 38 2A', 'movntdqa', 'Vo,Mo', load(true), aligned),
  row('F3 0F 10', 'movss', 'Vd,Ud', lowToRegister('i32'), sse),
  row('F3 0F 10', 'movss', 'Vd,Md', lowFromMemory(4), sse),
  row('F3 0F 11', 'movss', 'Wd,Vd', lowStore('i32'), sse),
  row('F2 0F 10', 'movsd', 'Vq,Uq', lowToRegister('i64'), sse),
  row('F2 0F 10', 'movsd', 'Vq,Mq', lowFromMemory(8), sse),
  row('F2 0F 11', 'movsd', 'Wq,Vq', lowStore('i64'), sse),
  row('F3 0F 7E', 'movq', 'Vq,Wq', movqLoad, sse),
  row('66 0F D6', 'movq', 'Wq,Vq', movqStore, sse),
  row('66 0F 6E', 'movd', 'Vy,Ey', movdToXmm, { ...sse, names: ['movd', 'movd', 'movq'] }),
  row('66 0F 7E', 'movd', 'Ey,Vy', movdFromXmm, { ...sse, names: ['movd', 'movd', 'movq'] }),
  row('NP 0F 12', 'movlps', 'Vq,Mq', setHalf(0, memoryHalf), sse),
  row('66 0F 12', 'movlpd', 'Vq,Mq', setHalf(0, memoryHalf), sse),
  row('NP 0F 13', 'movlps', 'Mq,Vq', storeHalf(low64), sse),
  row('66 0F 13', 'movlpd', 'Mq,Vq', storeHalf(low64), sse),
  row('NP 0F 16', 'movhps', 'Vq,Mq', setHalf(1, memoryHalf), sse),
  row('66 0F 16', 'movhpd', 'Vq,Mq', setHalf(1, memoryHalf), sse),
  row('NP 0F 17', 'movhps', 'Mq,Vq', storeHalf(high64), sse),
  row('66 0F 17', 'movhpd', 'Mq,Vq', storeHalf(high64), sse),
  row('NP 0F 12', 'movhlps', 'Vq,Uq', setHalf(0, registerHalf(high64)), sse),
  row('NP 0F 16', 'movlhps', 'Vq,Uq', setHalf(1, registerHalf(low64)), sse),
  row('F2 0F 12', 'movddup', 'Vo,Wq', movddup, sse),
  row('F3 0F 12', 'movsldup', 'Vo,Wo', duplicate([0, 0, 2, 2]), aligned),
  row('F3 0F 16', 'movshdup', 'Vo,Wo', duplicate([1, 1, 3, 3]), aligned),
  row('NP 0F 50', 'movmskps', 'Gd,Uo', bitmaskLift(i32x4.bitmask, 4), sse),
  row('66 0F 50', 'movmskpd', 'Gd,Uo', bitmaskLift(i64x2.bitmask, 2), sse),
  row('66 0F F7', 'maskmovdqu', 'Vo,Uo', maskmovdqu, { ...sse, modal: true }),
];
