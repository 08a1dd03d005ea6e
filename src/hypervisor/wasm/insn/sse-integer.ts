/**
 * Integer arithmetic and logic on vectors: what MMX and XMM registers share, and what only XMM has (SDM volume 2:
 * PADD* PSUB* PMUL* PMADD* PAVG* PMIN* PMAX* PCMP* PACK* PUNPCK* PS{L,R}L* PSRA* PSIGN* PABS* PH* PTEST PMOV{S,Z}X* MPSADBW).
 *
 * @module
 */
import { type Expr, type I32, i32, i64, select, type V128 } from '../emit/expr.ts';
import { i16x8, i32x4, i64x2, i8x16, v128 } from '../emit/simd.ts';
import type { LiftBuilder } from './lift-builder.ts';
import { type Lift, type Row, row } from './row.ts';
import { bitmaskLift } from './sse-move.ts';
import {
  firstOf,
  imm8,
  IOTA,
  joined,
  low64,
  lowSource,
  readVector,
  secondOf,
  shiftedDown,
  shiftedUp,
  vectorLift,
  type VectorOperation,
  vectorSource,
  writeVector,
  xmmSource,
} from './sse-operands.ts';

/** An operation on both register files. The MMX form has its operands in the low halves and gives a low half. */
export interface PairedOperation {
  readonly opcode: string;
  readonly name: string;
  readonly xmm: VectorOperation;
  readonly mmx: VectorOperation;
  /** Bytes of memory that the MMX form reads. */
  readonly mmxBytes: 4 | 8;
}

const paired = (
  opcode: string,
  name: string,
  xmm: VectorOperation,
  mmx = xmm,
  mmxBytes: 4 | 8 = 8,
): PairedOperation => ({
  opcode,
  name,
  xmm,
  mmx,
  mmxBytes,
});

/** Shuffle lanes that interleave elements of `bytes` of x and y, from byte `first`. */
const interleaved = (bytes: number, first: number): number[] =>
  IOTA.map((i) => {
    const element = (i / bytes) | 0;
    return first + (element >> 1) * bytes + (i % bytes) + (element & 1) * 16;
  });
const unpack = (opcode: string, name: string, bytes: number, high: boolean): PairedOperation => {
  const from =
    (first: number): VectorOperation =>
    (x, y) =>
      i8x16.shuffle(x, y, interleaved(bytes, first));
  return high ? paired(opcode, name, from(8), from(4)) : paired(opcode, name, from(0), from(0), 4);
};

/** An operation whose result takes its low half from x and its high half from y. */
const halves = (opcode: string, name: string, operation: VectorOperation): PairedOperation =>
  paired(opcode, name, operation, (x, y, b) => {
    const both = b.let(joined(x, y));
    return operation(both, both, b, 0);
  });

const everyOther = (bytes: number, odd: number): number[] =>
  IOTA.map((i) => (((i / bytes) | 0) * 2 + odd) * bytes + (i % bytes));
/** PHADD*: neighbours of x, then of y. */
const horizontal = (
  opcode: string,
  name: string,
  bytes: number,
  operation: (x: V128, y: V128) => V128,
): PairedOperation =>
  halves(opcode, name, (x, y) =>
    operation(i8x16.shuffle(x, y, everyOther(bytes, 0)), i8x16.shuffle(x, y, everyOther(bytes, 1))),
  );

/** The upper 16 bits of eight 32-bit products. */
const highProducts =
  (low: (x: V128, y: V128) => V128, high: (x: V128, y: V128) => V128): VectorOperation =>
  (x, y) =>
    i8x16.shuffle(low(x, y), high(x, y), everyOther(2, 1));

const evenDwords = (x: V128): V128 => i8x16.shuffle(x, x, [0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11]);

const absoluteDifference = (x: V128, y: V128): V128 => v128.or(i8x16.subSatU(x, y), i8x16.subSatU(y, x));

const psadbw: VectorOperation = (x, y, b) => {
  const sums = b.let(i32x4.extaddPairwiseU(i16x8.extaddPairwiseU(absoluteDifference(x, y))));
  return v128.and(i64x2.add(sums, i64x2.shrU(sums, i32.const(32))), i64x2.const([0xffff_ffffn, 0xffff_ffffn]));
};

/** Unsigned bytes of x times signed bytes of y, neighbours added with saturation. */
const pmaddubsw: VectorOperation = (x, y) => {
  const eight = i32.const(8);
  const even = i16x8.mul(v128.and(x, i16x8.const(Array(8).fill(0xff))), i16x8.shrS(i16x8.shl(y, eight), eight));
  const odd = i16x8.mul(i16x8.shrU(x, eight), i16x8.shrS(y, eight));
  return i16x8.addSatS(even, odd);
};

/** WebAssembly saturates the one product that overflows, -8000h squared; x86 does not. */
const pmulhrsw: VectorOperation = (x, y, b) => {
  const least = b.let(i16x8.const(Array(8).fill(0x8000)));
  return v128.xor(i16x8.q15mulrSatS(x, y), v128.and(i16x8.eq(x, least), i16x8.eq(y, least)));
};

const sign =
  (shape: typeof i8x16 | typeof i16x8 | typeof i32x4, bits: number): VectorOperation =>
  (x, y, b) => {
    const negative = b.let(shape.shrS(y, i32.const(bits - 1)));
    return v128.andnot(shape.sub(v128.xor(x, negative), negative), shape.eq(y, v128.zero()));
  };

type Shape = typeof i16x8 | typeof i32x4 | typeof i64x2;
type Direction = 'shl' | 'shrS' | 'shrU';
/** A shift of every lane by `count` (i64, a local); counts beyond the width give zeros, or copies of the sign. */
function shiftLanes(
  b: LiftBuilder,
  shape: Shape,
  bits: number,
  direction: Direction,
  x: V128,
  count: Expr<'i64'>,
): V128 {
  const beyond = b.let(i64.gtU(count, i64.const(bits - 1)));
  if (direction === 'shrS') return shape.shrS(x, select(beyond, i32.const(bits - 1), i32.wrap(count)));
  return select(beyond, v128.zero(), shape[direction](x, i32.wrap(count)));
}
/** The count is the low eight bytes of sixteen, for both halves. */
const shiftOperation =
  (shape: Shape, bits: number, direction: Direction): VectorOperation =>
  (x, y, b) =>
    shiftLanes(b, shape, bits, direction, x, b.let(low64(y)));
const shiftLift =
  (operation: VectorOperation): Lift =>
  (b) => {
    const count = xmmSource(b, secondOf(b));
    const results = readVector(b, firstOf(b)).map((x, half) => operation(x, count, b, half));
    writeVector(b, 0, results);
  };
/** The same with the count in the immediate. */
export const shiftImmediate =
  (shape: Shape, bits: number, direction: Direction) =>
  (x: V128, b: LiftBuilder): V128 =>
    shiftLanes(b, shape, bits, direction, x, b.let(i64.extendI32U(imm8(b))));

// biome-ignore format: one operation a line
export const pairedOperations: readonly PairedOperation[] = [
  unpack('60', 'punpcklbw', 1, false),
  unpack('61', 'punpcklwd', 2, false),
  unpack('62', 'punpckldq', 4, false),
  halves('63', 'packsswb', i8x16.narrowS),
  paired('64', 'pcmpgtb', i8x16.gtS),
  paired('65', 'pcmpgtw', i16x8.gtS),
  paired('66', 'pcmpgtd', i32x4.gtS),
  halves('67', 'packuswb', i8x16.narrowU),
  unpack('68', 'punpckhbw', 1, true),
  unpack('69', 'punpckhwd', 2, true),
  unpack('6A', 'punpckhdq', 4, true),
  halves('6B', 'packssdw', i16x8.narrowS),
  paired('74', 'pcmpeqb', i8x16.eq),
  paired('75', 'pcmpeqw', i16x8.eq),
  paired('76', 'pcmpeqd', i32x4.eq),
  paired('D1', 'psrlw', shiftOperation(i16x8, 16, 'shrU')),
  paired('D2', 'psrld', shiftOperation(i32x4, 32, 'shrU')),
  paired('D3', 'psrlq', shiftOperation(i64x2, 64, 'shrU')),
  paired('D4', 'paddq', i64x2.add),
  paired('D5', 'pmullw', i16x8.mul),
  paired('D8', 'psubusb', i8x16.subSatU),
  paired('D9', 'psubusw', i16x8.subSatU),
  paired('DA', 'pminub', i8x16.minU),
  paired('DB', 'pand', v128.and),
  paired('DC', 'paddusb', i8x16.addSatU),
  paired('DD', 'paddusw', i16x8.addSatU),
  paired('DE', 'pmaxub', i8x16.maxU),
  paired('DF', 'pandn', (x, y) => v128.andnot(y, x)),
  paired('E0', 'pavgb', i8x16.avgrU),
  paired('E1', 'psraw', shiftOperation(i16x8, 16, 'shrS')),
  paired('E2', 'psrad', shiftOperation(i32x4, 32, 'shrS')),
  paired('E3', 'pavgw', i16x8.avgrU),
  paired('E4', 'pmulhuw', highProducts(i32x4.extmulLowU, i32x4.extmulHighU)),
  paired('E5', 'pmulhw', highProducts(i32x4.extmulLowS, i32x4.extmulHighS)),
  paired('E8', 'psubsb', i8x16.subSatS),
  paired('E9', 'psubsw', i16x8.subSatS),
  paired('EA', 'pminsw', i16x8.minS),
  paired('EB', 'por', v128.or),
  paired('EC', 'paddsb', i8x16.addSatS),
  paired('ED', 'paddsw', i16x8.addSatS),
  paired('EE', 'pmaxsw', i16x8.maxS),
  paired('EF', 'pxor', v128.xor),
  paired('F1', 'psllw', shiftOperation(i16x8, 16, 'shl')),
  paired('F2', 'pslld', shiftOperation(i32x4, 32, 'shl')),
  paired('F3', 'psllq', shiftOperation(i64x2, 64, 'shl')),
  paired('F4', 'pmuludq', (x, y) => i64x2.extmulLowU(evenDwords(x), evenDwords(y))),
  paired('F5', 'pmaddwd', i32x4.dot),
  paired('F6', 'psadbw', psadbw),
  paired('F8', 'psubb', i8x16.sub),
  paired('F9', 'psubw', i16x8.sub),
  paired('FA', 'psubd', i32x4.sub),
  paired('FB', 'psubq', i64x2.sub),
  paired('FC', 'paddb', i8x16.add),
  paired('FD', 'paddw', i16x8.add),
  paired('FE', 'paddd', i32x4.add),
  horizontal('38 01', 'phaddw', 2, i16x8.add),
  horizontal('38 02', 'phaddd', 4, i32x4.add),
  horizontal('38 03', 'phaddsw', 2, i16x8.addSatS),
  paired('38 04', 'pmaddubsw', pmaddubsw),
  horizontal('38 05', 'phsubw', 2, i16x8.sub),
  horizontal('38 06', 'phsubd', 4, i32x4.sub),
  horizontal('38 07', 'phsubsw', 2, i16x8.subSatS),
  paired('38 08', 'psignb', sign(i8x16, 8)),
  paired('38 09', 'psignw', sign(i16x8, 16)),
  paired('38 0A', 'psignd', sign(i32x4, 32)),
  paired('38 0B', 'pmulhrsw', pmulhrsw),
  paired('38 1C', 'pabsb', (_x, y) => i8x16.abs(y)),
  paired('38 1D', 'pabsw', (_x, y) => i16x8.abs(y)),
  paired('38 1E', 'pabsd', (_x, y) => i32x4.abs(y)),
];

/** Shifts by an immediate: opcode, digit, mnemonic, semantics. */
// biome-ignore format: one encoding a line
export const shiftGroup: readonly (readonly [string, string, (x: V128, b: LiftBuilder) => V128])[] = [
  ['71 /2', 'psrlw', shiftImmediate(i16x8, 16, 'shrU')],
  ['71 /4', 'psraw', shiftImmediate(i16x8, 16, 'shrS')],
  ['71 /6', 'psllw', shiftImmediate(i16x8, 16, 'shl')],
  ['72 /2', 'psrld', shiftImmediate(i32x4, 32, 'shrU')],
  ['72 /4', 'psrad', shiftImmediate(i32x4, 32, 'shrS')],
  ['72 /6', 'pslld', shiftImmediate(i32x4, 32, 'shl')],
  ['73 /2', 'psrlq', shiftImmediate(i64x2, 64, 'shrU')],
  ['73 /6', 'psllq', shiftImmediate(i64x2, 64, 'shl')],
];

/** An operation on one register; VEX forms have the destination in VEX.vvvv. */
const oneRegister =
  (operation: (x: V128, b: LiftBuilder) => V128): Lift =>
  (b) => {
    const results = readVector(b, b.form.vector === 0 ? 0 : 1).map((x) => operation(x, b));
    writeVector(b, 0, results);
  };

/** PSLLDQ and PSRLDQ: each half by bytes. */
const shiftBytes = (shifted: (x: V128, bytes: I32) => V128): Lift =>
  oneRegister((x, b) => {
    const count = imm8(b);
    b.f.if(i32.gtU(count, i32.const(16)), () => b.f.set(count, i32.const(16)));
    return shifted(x, count);
  });

/** `bytes` of the source become a half of the destination. */
const extend =
  (bytes: 2 | 4 | 8, operation: (x: V128) => V128): Lift =>
  (b) => {
    if (b.form.vector !== 32) {
      writeVector(b, 0, [operation(lowSource(b, 1, bytes))]);
      return;
    }
    const x = lowSource(b, 1, (bytes * 2) as 4 | 8 | 16);
    writeVector(b, 0, [operation(x), operation(shiftedDown(x, i32.const(bytes)))]);
  };

/** ZF: no bit in common; CF: no bit of the source outside the destination. */
const ptest: Lift = (b) => {
  const y = vectorSource(b, 1);
  const x = readVector(b, 0);
  const none = i32.const(0);
  const union = (operation: (p: V128, q: V128) => V128): V128 =>
    x.map((half, i) => operation(half, y[i] as V128)).reduce(v128.or);
  const zf = i32.eqz(v128.anyTrue(union(v128.and)));
  const cf = i32.eqz(v128.anyTrue(union((p, q) => v128.andnot(q, p))));
  b.setFlagBits({ zf, cf, pf: none, af: none, sf: none, of: none });
};

/** The least of eight words in word 0, its position in word 1. */
const phminposuw: VectorOperation = (_x, y, b) => {
  const turned = (x: V128, by: number): V128 =>
    i8x16.shuffle(
      x,
      x,
      IOTA.map((i) => (i + by) & 15),
    );
  let least = b.let(i16x8.minU(y, turned(y, 8)));
  least = b.let(i16x8.minU(least, turned(least, 4)));
  least = b.let(i16x8.minU(least, turned(least, 2)));
  const position = i32.ctz(i16x8.bitmask(i16x8.eq(y, least)));
  const both = i32.or(i16x8.extractU(0, least), i32.shl(position, i32.const(16)));
  return i32x4.replace(0, v128.zero(), both);
};

/** Eight sums of four absolute differences: a block of the source against a sliding window of the destination. */
const mpsadbw: VectorOperation = (x, y, b, half) => {
  const control = b.let(i32.shrU(imm8(b), i32.const(half * 3)));
  const window = b.let(shiftedDown(x, i32.and(control, i32.const(4))));
  const block = b.let(shiftedDown(y, i32.shl(i32.and(control, i32.const(3)), i32.const(2))));
  const part = (i: number): V128 => {
    const bytes = b.let(
      i8x16.shuffle(
        window,
        window,
        IOTA.map((k) => Math.min(k + i, 15)),
      ),
    );
    const one = b.let(
      i8x16.shuffle(
        block,
        block,
        IOTA.map(() => i),
      ),
    );
    return i16x8.extendLowU(absoluteDifference(bytes, one));
  };
  return i16x8.add(i16x8.add(part(0), part(1)), i16x8.add(part(2), part(3)));
};

const isShift = (o: PairedOperation): boolean => /^ps(rl|ra|ll)[wdq]$/.test(o.name);

const xmm = { unit: 'sse' } as const;
const aligned = { unit: 'sse', aligned: true } as const;

// biome-ignore format: one encoding a line
const xmmOnly: readonly (readonly [string, string, VectorOperation])[] = [
  ['6C', 'punpcklqdq', joined],
  ['6D', 'punpckhqdq', (x, y) => i8x16.shuffle(x, y, interleaved(8, 8))],
  ['38 28', 'pmuldq', (x, y) => i64x2.extmulLowS(evenDwords(x), evenDwords(y))],
  ['38 29', 'pcmpeqq', i64x2.eq],
  ['38 2B', 'packusdw', i16x8.narrowU],
  ['38 37', 'pcmpgtq', i64x2.gtS],
  ['38 38', 'pminsb', i8x16.minS],
  ['38 39', 'pminsd', i32x4.minS],
  ['38 3A', 'pminuw', i16x8.minU],
  ['38 3B', 'pminud', i32x4.minU],
  ['38 3C', 'pmaxsb', i8x16.maxS],
  ['38 3D', 'pmaxsd', i32x4.maxS],
  ['38 3E', 'pmaxuw', i16x8.maxU],
  ['38 3F', 'pmaxud', i32x4.maxU],
  ['38 40', 'pmulld', i32x4.mul],
  ['38 41', 'phminposuw', phminposuw],
];

// biome-ignore format: one encoding a line
export const sseIntegerRows: readonly Row[] = [
  ...pairedOperations.map((o) => row(`66 0F ${o.opcode}`, o.name, 'Vo,Wo', isShift(o) ? shiftLift(o.xmm) : vectorLift(o.xmm), aligned)),
  ...xmmOnly.map(([opcode, name, operation]) => row(`66 0F ${opcode}`, name, 'Vo,Wo', vectorLift(operation), aligned)),
  ...shiftGroup.map(([opcode, name, operation]) =>
    row(`66 0F ${opcode}`, name, 'Uo,Ib', oneRegister(operation), xmm)),
  row('66 0F 73 /3', 'psrldq', 'Uo,Ib', shiftBytes(shiftedDown), xmm),
  row('66 0F 73 /7', 'pslldq', 'Uo,Ib', shiftBytes(shiftedUp), xmm),
  row('66 0F 38 17', 'ptest', 'Vo,Wo', ptest, aligned),
  row('66 0F 3A 42', 'mpsadbw', 'Vo,Wo,Ib', vectorLift(mpsadbw), aligned),
  row('66 0F D7', 'pmovmskb', 'Gd,Uo', bitmaskLift(i8x16.bitmask, 16), xmm),
  row('66 0F 38 20', 'pmovsxbw', 'Vo,Wq', extend(8, i16x8.extendLowS), xmm),
  row('66 0F 38 21', 'pmovsxbd', 'Vo,Wd', extend(4, (x) => i32x4.extendLowS(i16x8.extendLowS(x))), xmm),
  row('66 0F 38 22', 'pmovsxbq', 'Vo,Ww', extend(2, (x) => i64x2.extendLowS(i32x4.extendLowS(i16x8.extendLowS(x)))), xmm),
  row('66 0F 38 23', 'pmovsxwd', 'Vo,Wq', extend(8, i32x4.extendLowS), xmm),
  row('66 0F 38 24', 'pmovsxwq', 'Vo,Wd', extend(4, (x) => i64x2.extendLowS(i32x4.extendLowS(x))), xmm),
  row('66 0F 38 25', 'pmovsxdq', 'Vo,Wq', extend(8, i64x2.extendLowS), xmm),
  row('66 0F 38 30', 'pmovzxbw', 'Vo,Wq', extend(8, i16x8.extendLowU), xmm),
  row('66 0F 38 31', 'pmovzxbd', 'Vo,Wd', extend(4, (x) => i32x4.extendLowU(i16x8.extendLowU(x))), xmm),
  row('66 0F 38 32', 'pmovzxbq', 'Vo,Ww', extend(2, (x) => i64x2.extendLowU(i32x4.extendLowU(i16x8.extendLowU(x)))), xmm),
  row('66 0F 38 33', 'pmovzxwd', 'Vo,Wq', extend(8, i32x4.extendLowU), xmm),
  row('66 0F 38 34', 'pmovzxwq', 'Vo,Wd', extend(4, (x) => i64x2.extendLowU(i32x4.extendLowU(x))), xmm),
  row('66 0F 38 35', 'pmovzxdq', 'Vo,Wq', extend(8, i64x2.extendLowU), xmm),
];
