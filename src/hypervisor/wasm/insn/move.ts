/**
 * Data movement (SDM volume 2: MOV MOVZX MOVSX MOVSXD MOVBE BSWAP XCHG LEA CMOVcc SETcc CBW.. CWD.. XLAT).
 *
 * @module
 */
import { type Expr, i32, type I32, i64, type I64, select } from '../emit/expr.ts';
import { DS } from '../state.ts';
import type { IntegerSize } from './flags.ts';
import type { LiftBuilder } from './lift-builder.ts';
import { CONDITIONS, type Lift, type Row, row } from './row.ts';

const mov: Lift = (b) => b.write(0, b.read(1));

/** MOV between register and moffs is MOV; LEA writes the address itself, truncated to the operand size. */
const lea: Lift = (b) => {
  const address = b.address(1);
  b.write(0, b.size === 8 ? address : i32.wrap(address));
};

const extend =
  (from: IntegerSize, signed: boolean): Lift =>
  (b) => {
    if (signed) {
      b.write(0, b.readSigned(1, from, b.size));
      return;
    }
    const value = b.read(1, from) as I32;
    b.write(0, b.size === 8 ? i64.extendI32U(value) : value);
  };

/** MOVSXD with a 16- or 32-bit operand size just moves. */
const movsxd: Lift = (b) => {
  if (b.size === 8) b.write(0, b.readSigned(1, 4, 8));
  else b.write(0, b.read(1));
};

export const swapBytes = (b: LiftBuilder, size: IntegerSize, value: Expr): Expr => {
  if (size === 2) {
    const x = b.let(value as I32);
    return i32.or(
      i32.and(i32.shl(x, i32.const(8)), i32.const(0xff00)),
      i32.and(i32.shrU(x, i32.const(8)), i32.const(0xff)),
    );
  }
  if (size === 4) return swap32(b, value as I32);
  const x = b.let(value as I64);
  const low = i64.extendI32U(swap32(b, i32.wrap(x)));
  const high = i64.extendI32U(swap32(b, i32.wrap(i64.shrU(x, i64.const(32)))));
  return i64.or(i64.shl(low, i64.const(32)), high);
};

function swap32(b: LiftBuilder, value: I32): I32 {
  const x = b.let(value);
  const outer = i32.and(i32.rotr(x, i32.const(8)), i32.const(0xff00ff00 | 0));
  const inner = i32.and(i32.rotl(x, i32.const(8)), i32.const(0x00ff00ff));
  return i32.or(outer, inner);
}

/** BSWAP of a 16-bit register is undefined; processors clear it. */
const bswap: Lift = (b) => b.write(0, b.size === 2 ? i32.const(0) : swapBytes(b, b.size, b.read(0)));

const movbe: Lift = (b) => b.write(0, swapBytes(b, b.size, b.read(1)));

/** XCHG with memory is locked whether or not a prefix says so. */
const xchg: Lift = (b) => {
  const y = b.let(b.read(1) as Expr<'i32'>);
  if (!b.isMemory(0)) {
    const x = b.let(b.read(0) as Expr<'i32'>);
    b.write(0, y);
    b.write(1, x);
    return;
  }
  const before = b.f.local(b.size === 8 ? 'i64' : 'i32');
  const address = b.let(b.address(0));
  const host = b.hostWrite(address, b.size, true);
  b.atomicUpdate(host, b.size, (x) => {
    b.f.set(before as never, x as never);
    return y;
  });
  b.finishWrite(host);
  b.write(1, before);
};

/** The source is read (and may fault) even when the condition is false; a 32-bit destination is then still zero-extended. */
const cmov: Lift = (b) => {
  const source = b.let(b.read(1) as Expr<'i32'>);
  b.write(0, select(b.condition(b.arg), source, b.read(0) as Expr<'i32'>));
};

const setcc: Lift = (b) => b.write(0, b.condition(b.arg), 1);

/** CBW CWDE CDQE. */
const convertAccumulator: Lift = (b) => {
  const half = (b.size / 2) as IntegerSize;
  const value = b.gpr(0, half);
  if (b.size === 8) b.setGpr(0, 8, i64.extendI32S(value as I32));
  else b.setGpr(0, b.size, b.signed32(half, value as I32));
};

/** CWD CDQ CQO. */
const convertDouble: Lift = (b) => {
  if (b.size === 8) b.setGpr(2, 8, i64.shrS(b.gpr(0, 8) as I64, i64.const(63)));
  else b.setGpr(2, b.size, i32.shrS(b.signed32(b.size, b.gpr(0, b.size) as I32), i32.const(31)));
};

const xlat: Lift = (b) => {
  const base = b.form.addressSize === 8 ? (b.gpr(3, 8) as I64) : i64.extendI32U(b.gpr(3, b.form.addressSize) as I32);
  let offset = i64.add(base, i64.extendI32U(b.gpr(0, 1) as I32));
  if (b.form.addressSize === 4) offset = i64.and(offset, i64.const(0xffff_ffff));
  if (b.form.addressSize === 2) offset = i64.and(offset, i64.const(0xffff));
  b.setGpr(0, 1, b.load(1, b.stringAddress(offset, DS, true, 1, false)));
};

/** Prefetches and long no-operations touch nothing and never fault. */
const nop: Lift = () => {};

const conditional = (opcode: number, prefix: string, ops: string, lift: Lift, hot: boolean): Row[] =>
  CONDITIONS.map((name, code) =>
    row(`0F ${(opcode + code).toString(16).toUpperCase()}`, prefix + name, ops, lift, {
      arg: code,
      ...(hot ? { hot: true as const } : {}),
    }),
  );

export const moveRows: readonly Row[] = [
  row('88', 'mov', 'Eb,Gb', mov, { hot: true, indexed: true }),
  row('89', 'mov', 'Ev,Gv', mov, { hot: true, indexed: true }),
  row('8A', 'mov', 'Gb,Eb', mov, { hot: true, indexed: true }),
  row('8B', 'mov', 'Gv,Ev', mov, { hot: true, indexed: true }),
  row('A0', 'mov', 'AL,Ob', mov, { names: ['mov', 'mov', 'movabs'] }),
  row('A1', 'mov', 'rAX,Ov', mov),
  row('A2', 'mov', 'Ob,AL', mov),
  row('A3', 'mov', 'Ov,rAX', mov),
  row('B0+r', 'mov', 'Zb,Ib', mov, { hot: true }),
  row('B8+r', 'mov', 'Zv,Iv', mov, { hot: true }),
  row('C6 /0', 'mov', 'Eb,Ib', mov, { hot: true, indexed: true }),
  row('C7 /0', 'mov', 'Ev,Iz', mov, { hot: true, indexed: true }),
  row('8D', 'lea', 'Gv,M', lea, { hot: true, indexed: true }),
  row('0F B6', 'movzx', 'Gv,Eb', extend(1, false), { hot: true, indexed: true }),
  row('0F B7', 'movzx', 'Gv,Ew', extend(2, false), { hot: true, indexed: true }),
  row('0F BE', 'movsx', 'Gv,Eb', extend(1, true), { hot: true, indexed: true }),
  row('0F BF', 'movsx', 'Gv,Ew', extend(2, true), { hot: true, indexed: true }),
  row('63', 'movsxd', 'Gv,Ed', movsxd, { only64: true, hot: true, indexed: true }),
  row('NFx 0F 38 F0', 'movbe', 'Gv,Mv', movbe),
  row('NFx 0F 38 F1', 'movbe', 'Mv,Gv', movbe),
  row('NP 0F C3', 'movnti', 'My,Gy', mov),
  row('0F C8+r', 'bswap', 'Zv', bswap),
  row('86', 'xchg', 'Eb,Gb', xchg, { lock: true }),
  row('87', 'xchg', 'Ev,Gv', xchg, { lock: true }),
  row('90+r', 'xchg', 'Zv,rAX', xchg),
  row('98', 'cwde', '', convertAccumulator, { names: ['cbw', 'cwde', 'cdqe'] }),
  row('99', 'cdq', '', convertDouble, { names: ['cwd', 'cdq', 'cqo'] }),
  row('D7', 'xlat', '', xlat, { modal: true }),
  row('90 B0', 'nop', '', nop),
  row('F3 90 B0', 'pause', '', nop),
  row('0F 1F', 'nop', 'Ev', nop, { ignoresMemory: true }),
  row('0F 19', 'nop', 'Ev', nop, { ignoresMemory: true }),
  row('0F 1A', 'nop', 'Ev', nop, { ignoresMemory: true }),
  row('0F 1B', 'nop', 'Ev', nop, { ignoresMemory: true }),
  row('0F 1C', 'nop', 'Ev', nop, { ignoresMemory: true }),
  row('0F 1D', 'nop', 'Ev', nop, { ignoresMemory: true }),
  row('0F 1E', 'nop', 'Ev', nop, { ignoresMemory: true }),
  row('F3 0F 1E !FA', 'endbr64', '', nop),
  row('F3 0F 1E !FB', 'endbr32', '', nop),
  row('0F 0D', 'prefetchw', 'M', nop, { ignoresMemory: true }),
  row('0F 0D', 'nop', 'Rv', nop),
  row('0F 18 /0', 'prefetchnta', 'M', nop, { ignoresMemory: true }),
  row('0F 18 /1', 'prefetcht0', 'M', nop, { ignoresMemory: true }),
  row('0F 18 /2', 'prefetcht1', 'M', nop, { ignoresMemory: true }),
  row('0F 18 /3', 'prefetcht2', 'M', nop, { ignoresMemory: true }),
  row('0F 18', 'nop', 'Ev', nop, { ignoresMemory: true }),
  ...conditional(0x40, 'cmov', 'Gv,Ev', cmov, true),
  ...conditional(0x90, 'set', 'Eb', setcc, true),
];
