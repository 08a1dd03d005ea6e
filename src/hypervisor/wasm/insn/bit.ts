/**
 * Bit tests, scans and counts (SDM volume 2: BT BTS BTR BTC BSF BSR POPCNT CRC32).
 *
 * @module
 */
import { type Expr, i32, type I32, i64, type I64 } from '../emit/expr.ts';
import { call, type Local } from '../emit/function-builder.ts';
import { type IntegerSize, signExtended, withCarry } from './flags.ts';
import type { LiftBuilder } from './lift-builder.ts';
import { type Lift, type Row, row } from './row.ts';

type AnyLocal = Local<'i32'>;
const asLocal = (b: LiftBuilder, value: Expr): AnyLocal => b.let(value as Expr<'i32'>);

const changed = (b: LiftBuilder, operation: number, x: Expr, mask: Expr): Expr => {
  switch (operation) {
    case 1:
      return b.t.or(x, mask);
    case 2:
      return b.t.and(x, b.t.xor(mask, b.t.const(-1)));
    default:
      return b.t.xor(x, mask);
  }
};

/** CF gets the bit; ZF stays, and so, on Intel processors, do the others. */
function setCarry(b: LiftBuilder, x: Expr, position: Expr): void {
  const shifted = b.t.and(b.t.shrU(x, position), b.t.const(1));
  const cf = b.let(b.size === 8 ? i32.wrap(shifted as I64) : (shifted as I32));
  b.setFlags(b.flagResult(), withCarry(b.flagAux(), cf));
}

/** Operation: 0 BT, 1 BTS, 2 BTR, 3 BTC (the `arg` of the row). */
const bitOperation =
  (immediate: boolean): Lift =>
  (b) => {
    const bits = b.size * 8;
    const raw = immediate ? (b.size === 8 ? i64.extendI32U(b.immediate32()) : b.immediate32()) : b.read(1);
    const index = asLocal(b, raw);
    const position = asLocal(b, b.t.and(index, b.t.const(bits - 1)));
    const mask = b.t.shl(b.t.const(1), position);
    if (!b.isMemory(0) || immediate) {
      if (b.arg === 0) {
        setCarry(b, asLocal(b, b.read(0)), position);
        return;
      }
      b.update(0, (x) => {
        setCarry(b, x, position);
        return changed(b, b.arg, x, mask);
      });
      return;
    }
    // A register index reaches beyond the operand: the address moves by whole operands, signed.
    const signed = signExtended(b.size, index);
    const displaced = i64.mul(i64.shrS(signed, i64.const(Math.log2(bits))), i64.const(b.size));
    const address = b.let(i64.add(b.address(0), displaced));
    if (b.form.legacy) {
      const offset = i64.and(address, i64.const(b.form.addressSize === 2 ? 0xffff : 0xffff_ffff));
      b.f.set(address, b.stringAddress(offset, 0, true, b.size, b.arg !== 0));
    }
    if (b.arg === 0) {
      setCarry(b, b.load(b.size, address), position);
      return;
    }
    const host = b.hostWrite(address, b.size, true);
    if (b.form.lock) {
      b.atomicUpdate(host, b.size, (x) => {
        setCarry(b, x, position);
        return changed(b, b.arg, x, mask);
      });
    } else {
      const x = asLocal(b, b.plainLoad(b.size, host));
      setCarry(b, x, position);
      b.f.store(b.size, host, changed(b, b.arg, x, mask));
    }
    b.finishWrite(host);
  };

/** BSF and BSR: with a zero source ZF is set and the destination keeps its value, as processors do. */
const bitScan =
  (reverse: boolean): Lift =>
  (b) => {
    const source = asLocal(b, b.read(1));
    const zero = b.let(b.t.eqz(source));
    b.f.if(i32.eqz(zero), () => {
      const top = b.size === 8 ? 63 : 31;
      b.write(0, reverse ? b.t.xor(b.t.clz(source), b.t.const(top)) : b.t.ctz(source));
    });
    // Only ZF is defined; the rest as recorded from the hardware: clear, parity of the source.
    b.setFlags(signExtended(b.size, source), i32.const(0));
  };

const popcnt: Lift = (b) => {
  const source = asLocal(b, b.read(1));
  b.write(0, b.t.popcnt(source));
  const zero = b.let(b.t.eqz(source));
  const none = i32.const(0);
  b.setFlagBits({ cf: none, pf: none, af: none, sf: none, of: none, zf: zero });
};

const crc32 =
  (from: 'b' | 'v'): Lift =>
  (b) => {
    const size: IntegerSize = from === 'b' ? 1 : (b.form.operandSize as IntegerSize);
    const value = b.read(1, size);
    const wide = size === 8 ? (value as I64) : i64.extendI32U(value as I32);
    const seed = b.let(b.form.shapes[0] === 'r' ? (b.readRegister(0, 4) as I32) : i32.const(0));
    b.writeRegister(0, 4, call('i32', b.helpers['crc32c'] as never, seed, wide, i32.const(size)));
  };

const group = (digit: number, name: string, arg: number, register: string): Row[] => {
  const lock = arg === 0 ? {} : { lock: true as const };
  return [
    row(`0F ${register}`, name, 'Ev,Gv', bitOperation(false), { arg, ...lock, modal: true, rawOffset: true }),
    row(`0F BA /${digit}`, name, 'Ev,Ib', bitOperation(true), { arg, ...lock }),
  ];
};

export const bitRows: readonly Row[] = [
  ...group(4, 'bt', 0, 'A3'),
  ...group(5, 'bts', 1, 'AB'),
  ...group(6, 'btr', 2, 'B3'),
  ...group(7, 'btc', 3, 'BB'),
  row('0F BC', 'bsf', 'Gv,Ev', bitScan(false)),
  row('0F BD', 'bsr', 'Gv,Ev', bitScan(true)),
  row('F3 0F B8', 'popcnt', 'Gv,Ev', popcnt),
  row('F2 0F 38 F0', 'crc32', 'Gy,Eb', crc32('b'), { usesOperandSize: true }),
  row('F2 0F 38 F1', 'crc32', 'Gy,Ev', crc32('v'), { usesOperandSize: true }),
];
