/**
 * MMX instructions, and those SSE ones that touch MMX registers (SDM volume 1, chapter 9; volume 3A, chapter 12).
 *
 * Every one of them first reports a pending x87 exception (#MF). When it is done, TOP is 0 and all registers are valid,
 * and what was written has all ones for sign and exponent; EMMS leaves all registers empty, and TOP 0 too. Operations
 * are those of sse-integer.ts on vectors whose low halves hold the operands.
 *
 * @module
 */
import { type I32, i32, type I64, i64, type V128 } from '../emit/expr.ts';
import { f64x2, i16x8, i64x2, i8x16, v128 } from '../emit/simd.ts';
import { FPU_STATUS, FPU_TAGS } from '../state.ts';
import { type LiftBuilder, MF } from './lift-builder.ts';
import { type Lift, type Row, type RowOptions, row } from './row.ts';
import { integersToLowSingles, lanesToMmx } from './sse-convert.ts';
import { pairedOperations, shiftGroup } from './sse-integer.ts';
import { doublePacked, readLanes, singlePacked } from './sse-lanes.ts';
import { maskedStore, ySize } from './sse-move.ts';
import { imm8, IOTA, low64, low8Source, type Source, type VectorLocal, type VectorOperation } from './sse-operands.ts';
import { palignrMmx, pshufbMmx, pshuflw } from './sse-shuffle.ts';

const FSW_ES = 1 << 7,
  FSW_TOP = 7 << 11;

/** #MF when an unmasked x87 exception waits to be reported. */
function checkPending(b: LiftBuilder): void {
  b.f.if(i32.and(i32.load(b.cpu, FPU_STATUS), i32.const(FSW_ES)), () => b.raise(MF));
}

function clearTop(b: LiftBuilder): void {
  b.f.store(4, b.cpu, i32.and(i32.load(b.cpu, FPU_STATUS), i32.const(~FSW_TOP)), FPU_STATUS);
}

function enterMmx(b: LiftBuilder): void {
  clearTop(b);
  b.f.store(4, b.cpu, i32.const(0xff), FPU_TAGS);
}

/** An instruction that reads memory or none; `body` must not end the instruction. */
const mmxLift =
  (body: Lift): Lift =>
  (b) => {
    checkPending(b);
    body(b);
    enterMmx(b);
  };

/** An instruction that writes memory: the recorded processor has cleared TOP, and nothing else, when the write faults. */
const mmxStore =
  (body: Lift): Lift =>
  (b) => {
    checkPending(b);
    clearTop(b);
    body(b);
    enterMmx(b);
  };

/** An MMX or memory operand in both halves of a vector. */
function mmxSource(b: LiftBuilder, index: number, bytes: 4 | 8 = 8): VectorLocal {
  if (!b.isMemory(index)) return b.let(i64x2.splat(b.readMmx(index)));
  const value = b.load(bytes, b.address(index));
  return b.let(i64x2.splat(bytes === 8 ? (value as I64) : i64.extendI32U(value as I32)));
}

const writeLow = (b: LiftBuilder, value: V128): void => b.writeMmx(0, low64(value));

const operationLift = (operation: VectorOperation, bytes: 4 | 8 = 8): Lift =>
  mmxLift((b) => {
    const y = mmxSource(b, 1, bytes);
    const x = b.let(i64x2.splat(b.readMmx(0)));
    writeLow(b, operation(x, y, b, 0));
  });

const movdLoad = mmxLift((b) => {
  const size = ySize(b);
  const value = b.read(1, size);
  b.writeMmx(0, size === 8 ? (value as I64) : i64.extendI32U(value as I32));
});
const movdStore = mmxStore((b) => {
  const size = ySize(b);
  const value = b.let(b.readMmx(1));
  b.write(0, size === 8 ? value : i32.wrap(value), size);
});
const movqLoad = mmxLift((b) => b.writeMmx(0, b.isMemory(1) ? (b.load(8, b.address(1)) as I64) : b.let(b.readMmx(1))));
const movqStore = mmxStore((b) => {
  const value = b.let(b.readMmx(1));
  if (b.isMemory(0)) b.store(8, b.address(0), value);
  else b.writeMmx(0, value);
});

const pinsrw = mmxLift((b) => {
  const value = b.let(b.read(1, b.isMemory(1) ? 2 : 4) as I32);
  const lane = i32.and(imm8(b), i32.const(3));
  const mask = i16x8.eq(i16x8.const(IOTA.slice(0, 8)), i16x8.splat(lane));
  writeLow(b, v128.bitselect(i16x8.splat(value), i64x2.splat(b.readMmx(0)), mask));
});
const pextrw = mmxLift((b) => {
  const shift = i64.extendI32U(i32.shl(i32.and(imm8(b), i32.const(3)), i32.const(4)));
  b.write(0, i32.and(i32.wrap(i64.shrU(b.readMmx(1), shift)), i32.const(0xffff)), 4);
});
const pmovmskb = mmxLift((b) => {
  b.write(0, i32.and(i8x16.bitmask(i64x2.splat(b.readMmx(1))), i32.const(0xff)), 4);
});
const maskmovq: Lift = (b) => {
  checkPending(b);
  enterMmx(b);
  maskedStore(b, 8, b.let(i64x2.splat(b.readMmx(0))), b.let(i64x2.splat(b.readMmx(1))));
};

const emms: Lift = (b) => {
  checkPending(b);
  enterMmx(b);
  b.f.store(4, b.cpu, i32.const(0), FPU_TAGS);
};

const movq2dq = mmxLift((b) => b.writeXmm(0, i64x2.replace(0, v128.zero(), b.readMmx(1))));
const movdq2q = mmxLift((b) => b.writeMmx(0, b.readXmmLow(1, 'i64')));

/** Two integers and where they lie. */
function integers(b: LiftBuilder): Source<V128> {
  if (b.isMemory(1)) return low8Source(b, 1);
  const value = b.let(i64x2.replace(0, v128.zero(), b.readMmx(1)));
  return { value, values: [value], pointer: b.slot(1) };
}
/** From memory these have nothing to do with MMX. */
const fromIntegers =
  (convert: (b: LiftBuilder, source: Source<V128>) => void): Lift =>
  (b) => {
    const mmx = !b.isMemory(1);
    if (mmx) checkPending(b);
    const source = integers(b);
    // Even when the conversion ends in #XM.
    if (mmx) enterMmx(b);
    convert(b, source);
  };
const cvtpi2ps = fromIntegers((b, { value, pointer }) => integersToLowSingles(b, value, pointer));
const cvtpi2pd = fromIntegers((b, { value }) => b.writeXmm(0, f64x2.convertLowI32S(value)));

const toIntegers =
  (name: string, double: boolean, truncate: boolean): Lift =>
  (b) => {
    checkPending(b);
    const source = double ? readLanes(b, doublePacked, 1) : low8Source(b, 1);
    enterMmx(b);
    lanesToMmx(b, double ? doublePacked : singlePacked, name, truncate, source);
  };

const mmx: RowOptions = { unit: 'mmx' };
const sse: RowOptions = { unit: 'sse' };
const movdNames = ['movd', 'movd', 'movq'] as const;

// biome-ignore format: one encoding a line
export const mmxRows: readonly Row[] = [
  ...pairedOperations.map((o) =>
    row(`NP 0F ${o.opcode}`, o.name, `Pq,${o.mmxBytes === 4 ? 'Qd' : 'Qq'}`, operationLift(o.mmx, o.mmxBytes), mmx)),
  ...shiftGroup.map(([opcode, name, operation]) =>
    row(`NP 0F ${opcode}`, name, 'Nq,Ib', mmxLift((b) => writeLow(b, operation(i64x2.splat(b.readMmx(0)), b))), mmx)),
  row('NP 0F 38 00', 'pshufb', 'Pq,Qq', operationLift(pshufbMmx), mmx),
  row('NP 0F 3A 0F', 'palignr', 'Pq,Qq,Ib', operationLift(palignrMmx), mmx),
  row('NP 0F 70', 'pshufw', 'Pq,Qq,Ib', operationLift(pshuflw), mmx),
  row('NP 0F 6E', 'movd', 'Py,Ey', movdLoad, { ...mmx, names: movdNames }),
  row('NP 0F 7E', 'movd', 'Ey,Py', movdStore, { ...mmx, names: movdNames }),
  row('NP 0F 6F', 'movq', 'Pq,Qq', movqLoad, mmx),
  row('NP 0F 7F', 'movq', 'Qq,Pq', movqStore, mmx),
  row('NP 0F E7', 'movntq', 'Mq,Pq', movqStore, mmx),
  row('NP 0F C4', 'pinsrw', 'Pq,Rd,Ib', pinsrw, mmx),
  row('NP 0F C4', 'pinsrw', 'Pq,Mw,Ib', pinsrw, mmx),
  row('NP 0F C5', 'pextrw', 'Gd,Nq,Ib', pextrw, mmx),
  row('NP 0F D7', 'pmovmskb', 'Gd,Nq', pmovmskb, mmx),
  row('NP 0F F7', 'maskmovq', 'Pq,Nq', maskmovq, { ...mmx, modal: true }),
  row('NP 0F 77', 'emms', '', emms, mmx),
  row('F3 0F D6', 'movq2dq', 'Vo,Nq', movq2dq, sse),
  row('F2 0F D6', 'movdq2q', 'Pq,Uq', movdq2q, sse),
  row('NP 0F 2A', 'cvtpi2ps', 'Vq,Qq', cvtpi2ps, sse),
  row('66 0F 2A', 'cvtpi2pd', 'Vo,Qq', cvtpi2pd, sse),
  row('NP 0F 2C', 'cvttps2pi', 'Pq,Wq', toIntegers('cvttps2pi', false, true), sse),
  row('NP 0F 2D', 'cvtps2pi', 'Pq,Wq', toIntegers('cvtps2pi', false, false), sse),
  row('66 0F 2C', 'cvttpd2pi', 'Pq,Wo', toIntegers('cvttpd2pi', true, true), { ...sse, aligned: true }),
  row('66 0F 2D', 'cvtpd2pi', 'Pq,Wo', toIntegers('cvtpd2pi', true, false), { ...sse, aligned: true }),
];
