/**
 * Multiplication and division (SDM volume 2: MUL IMUL DIV IDIV AAM AAD).
 *
 * @module
 */
import { type Expr, i32, type I32, i64, type I64 } from '../emit/expr.ts';
import { call, type FunctionBuilder, type Local } from '../emit/function-builder.ts';
import { signExtended } from './flags.ts';
import { DE, type LiftBuilder } from './lift-builder.ts';
import { type Lift, type Row, row } from './row.ts';

type AnyLocal = Local<'i32'>;
const asLocal = (b: LiftBuilder, value: Expr): AnyLocal => b.let(value as Expr<'i32'>);

/** Upper 64 bits of the unsigned product, from 32-bit pieces. */
export function mulHighUnsigned(f: FunctionBuilder, x: Local<'i64'>, y: Local<'i64'>): I64 {
  const low = i64.const(0xffff_ffff);
  const s32 = i64.const(32);
  const x0 = f.let(i64.and(x, low));
  const x1 = f.let(i64.shrU(x, s32));
  const y0 = f.let(i64.and(y, low));
  const y1 = f.let(i64.shrU(y, s32));
  const p01 = f.let(i64.mul(x0, y1));
  const middle = f.let(i64.add(i64.add(i64.mul(x1, y0), i64.shrU(i64.mul(x0, y0), s32)), i64.and(p01, low)));
  return i64.add(i64.add(i64.mul(x1, y1), i64.shrU(p01, s32)), i64.shrU(middle, s32));
}

/** Upper 64 bits of the signed product. */
export function mulHighSigned(f: FunctionBuilder, x: Local<'i64'>, y: Local<'i64'>): I64 {
  const high = f.let(mulHighUnsigned(f, x, y));
  const fix = (sign: I64, other: I64): I64 => i64.and(i64.shrS(sign, i64.const(63)), other);
  return i64.sub(i64.sub(high, fix(x, y)), fix(y, x));
}

/** CF = OF = overflow; SF ZF PF AF as Intel leaves them: of the low half of the result, AF clear. */
function multiplyFlags(b: LiftBuilder, low: Expr, overflow: I32): void {
  const c = b.let(overflow);
  b.setFlags(signExtended(b.size, low), i32.shl(c, i32.const(31)));
}

/** MUL and one-operand IMUL. With CF = OF = c, aux bit 31 is c and bit 30 is 0. */
const wideMultiply =
  (signed: boolean): Lift =>
  (b) => {
    const { f, size } = b;
    const y = asLocal(b, b.read(0));
    const x = asLocal(b, b.gpr(0, size));
    if (size === 8) {
      const wideX = x as unknown as Local<'i64'>;
      const wideY = y as unknown as Local<'i64'>;
      const low = f.let(i64.mul(wideX, wideY));
      const high = f.let(signed ? mulHighSigned(f, wideX, wideY) : mulHighUnsigned(f, wideX, wideY));
      b.setGpr(0, 8, low);
      b.setGpr(2, 8, high);
      b.deferFlags(() => {
        multiplyFlags(b, low, signed ? i64.ne(high, i64.shrS(low, i64.const(63))) : i32.eqz(i64.eqz(high)));
      });
      return;
    }
    const widen = (v: Local): I64 => (signed ? signExtended(size, v) : i64.extendI32U(v as I32));
    const product = f.let(i64.mul(widen(x), widen(y)));
    const low = f.let(i32.wrap(product));
    if (size === 1) b.setGpr(0, 2, low);
    else {
      b.setGpr(0, size, low);
      b.setGpr(2, size, i32.wrap(i64.shrU(product, i64.const(size * 8))));
    }
    const fits = signed ? i64.eq(product, signExtended(size, low)) : i64.eqz(i64.shrU(product, i64.const(size * 8)));
    multiplyFlags(b, low, i32.eqz(fits));
  };

function imulTwo(b: LiftBuilder, x: AnyLocal, y: AnyLocal): void {
  const { f, size } = b;
  if (size === 8) {
    const wideX = x as unknown as Local<'i64'>;
    const wideY = y as unknown as Local<'i64'>;
    const low = f.let(i64.mul(wideX, wideY));
    b.write(0, low);
    b.deferFlags(() => {
      // Small factors cannot overflow: spare the long product.
      const overflow = f.local('i32');
      const small = (v: I64): I32 => i64.eq(v, i64.extend32S(v));
      f.if(
        i32.and(small(wideX), small(wideY)),
        () => f.set(overflow, i32.const(0)),
        () => f.set(overflow, i64.ne(mulHighSigned(f, wideX, wideY), i64.shrS(low, i64.const(63)))),
      );
      multiplyFlags(b, low, overflow);
    });
    return;
  }
  const product = f.let(i64.mul(signExtended(size, x), signExtended(size, y)));
  const low = f.let(i32.wrap(product));
  b.write(0, low);
  b.deferFlags(() => multiplyFlags(b, low, i64.ne(product, signExtended(size, low))));
}

const imul2: Lift = (b) => {
  const y = asLocal(b, b.read(1));
  imulTwo(b, asLocal(b, b.read(0)), y);
};

const imul3: Lift = (b) => {
  const x = asLocal(b, b.read(1));
  imulTwo(b, x, asLocal(b, b.read(2)));
};

const divide =
  (signed: boolean): Lift =>
  (b) => {
    const { f, size } = b;
    const divisor = asLocal(b, b.read(0));
    f.if(b.t.eqz(divisor), () => b.raise(DE));
    if (size === 8) {
      const helper = b.helpers[signed ? 'divideSigned128' : 'divideUnsigned128'] as never;
      // The helper leaves quotient in RAX and remainder in RDX, or returns 0 when the quotient does not fit.
      b.spillGprs([0, 2]);
      f.if(i32.eqz(call('i32', helper, b.cpu, divisor as unknown as I64)), () => b.raise(DE));
      b.reloadGprs([0, 2]);
      return;
    }
    const bits = size * 8;
    const widen = (v: Local): I64 => (signed ? signExtended(size, v) : i64.extendI32U(v as I32));
    const dividend = f.let(
      size === 1
        ? signed
          ? i64.extendI32S(i32.extend16S(b.gpr(0, 2) as I32))
          : i64.extendI32U(b.gpr(0, 2) as I32)
        : i64.or(
            i64.extendI32U(b.gpr(0, size) as I32),
            i64.shl(i64.extendI32U(b.gpr(2, size) as I32), i64.const(bits)),
          ),
    );
    if (signed && size === 2) f.set(dividend, i64.extend32S(dividend));
    const wide = f.let(widen(divisor));
    // -2^63 / -1 does not fit and would trap.
    if (signed && size === 4) {
      f.if(i32.and(i64.eq(dividend, i64.const(-0x8000_0000_0000_0000n)), i64.eq(wide, i64.const(-1))), () =>
        b.raise(DE),
      );
    }
    const quotient = f.let(signed ? i64.divS(dividend, wide) : i64.divU(dividend, wide));
    const fits = signed
      ? i64.eq(quotient, signExtended(size, f.let(i32.wrap(quotient))))
      : i64.eqz(i64.shrU(quotient, i64.const(bits)));
    f.if(i32.eqz(fits), () => b.raise(DE));
    const remainder = f.let(i32.wrap(signed ? i64.remS(dividend, wide) : i64.remU(dividend, wide)));
    if (size === 1) {
      b.setGpr(0, 1, i32.wrap(quotient));
      b.setGpr(0, 1, remainder, true);
    } else {
      b.setGpr(0, size, i32.wrap(quotient));
      b.setGpr(2, size, remainder);
    }
  };

/**
 * The 128-by-64 division helper: (cpu, divisor i64) -> 1, or 0 when the quotient overflows. Dividend RDX:RAX; quotient to
 * RAX, remainder to RDX. Long division in base 2^32 on a normalised divisor (Knuth, TAOCP volume 2, 4.3.1, algorithm D).
 */
export function buildDivide128(f: FunctionBuilder, signed: boolean, rax: number, rdx: number): void {
  const cpu = f.param('i32', 0);
  const d = f.let(f.param('i64', 1));
  const high = f.let(i64.load(cpu, rdx));
  const low = f.let(i64.load(cpu, rax));
  const s63 = i64.const(63);
  const negativeDividend = f.let(signed ? i64.shrS(high, s63) : i64.const(0));
  const negativeQuotient = f.let(signed ? i64.xor(negativeDividend, i64.shrS(d, s63)) : i64.const(0));
  if (signed) {
    f.if(i64.ltS(d, i64.const(0)), () => f.set(d, i64.sub(i64.const(0), d)));
    f.if(i32.wrap(negativeDividend), () => {
      f.set(low, i64.sub(i64.const(0), low));
      f.set(high, i64.sub(i64.xor(high, i64.const(-1)), i64.const(-1)));
      f.if(i32.eqz(i64.eqz(low)), () => f.set(high, i64.sub(high, i64.const(1))));
    });
  }
  const quotient = f.local('i64');
  const remainder = f.local('i64');
  f.if(
    i64.eqz(high),
    () => {
      f.set(quotient, i64.divU(low, d));
      f.set(remainder, i64.remU(low, d));
    },
    () => {
      f.if(i64.geU(high, d), () => f.return(i32.const(0)));
      const shift = f.let(i64.clz(d));
      const s32 = i64.const(32);
      const mask = i64.const(0xffff_ffff);
      const v = f.let(i64.shl(d, shift));
      const v1 = f.let(i64.shrU(v, s32));
      const v0 = f.let(i64.and(v, mask));
      // Bits shifted out of the low half: in two steps, for a shift of 0 must bring in none.
      const u32 = f.let(i64.or(i64.shl(high, shift), i64.shrU(i64.shrU(low, i64.const(1)), i64.sub(s63, shift))));
      const u10 = f.let(i64.shl(low, shift));
      const digit = (u: Local<'i64'>, next: I64): Local<'i64'> => {
        const q = f.let(i64.divU(u, v1));
        const r = f.let(i64.sub(u, i64.mul(q, v1)));
        const follow = f.let(next);
        f.block((done) => {
          f.loop((again) => {
            const fine = i32.and(i64.leU(q, mask), i64.leU(i64.mul(q, v0), i64.or(i64.shl(r, s32), follow)));
            f.brIf(done, fine);
            f.set(q, i64.sub(q, i64.const(1)));
            f.set(r, i64.add(r, v1));
            f.brIf(again, i64.leU(r, mask));
          });
        });
        return q;
      };
      const q1 = digit(u32, i64.shrU(u10, s32));
      const u21 = f.let(i64.sub(i64.or(i64.shl(u32, s32), i64.shrU(u10, s32)), i64.mul(q1, v)));
      const q0 = digit(u21, i64.and(u10, mask));
      f.set(quotient, i64.add(i64.shl(q1, s32), q0));
      f.set(remainder, i64.shrU(i64.sub(i64.or(i64.shl(u21, s32), i64.and(u10, mask)), i64.mul(q0, v)), shift));
    },
  );
  if (signed) {
    const limit = i64.const(-0x8000_0000_0000_0000n);
    // |quotient| may be 2^63 only when the quotient is negative.
    f.if(
      i32.wrap(negativeQuotient),
      () => {
        f.if(i64.gtU(quotient, limit), () => f.return(i32.const(0)));
        f.set(quotient, i64.sub(i64.const(0), quotient));
      },
      () => f.if(i64.ltS(quotient, i64.const(0)), () => f.return(i32.const(0))),
    );
    f.if(i32.wrap(negativeDividend), () => f.set(remainder, i64.sub(i64.const(0), remainder)));
  }
  f.store(8, cpu, quotient, rax);
  f.store(8, cpu, remainder, rdx);
  f.return(i32.const(1));
  f.unreachable();
}

/** AAM: AH = AL / imm, AL = AL mod imm. */
const aam: Lift = (b) => {
  const divisor = b.let(i32.and(b.immediate32(), i32.const(0xff)));
  b.f.if(i32.eqz(divisor), () => b.raise(DE));
  const al = b.let(b.gpr(0, 1) as I32);
  b.setGpr(0, 1, i32.divU(al, divisor), true);
  const r = b.let(i32.remU(al, divisor));
  b.setGpr(0, 1, r);
  b.setFlags(signExtended(1, r), i32.const(0));
};

/** AAD: AL = AL + AH * imm, AH = 0; flags of the addition's low byte. */
const aad: Lift = (b) => {
  const ah = b.gpr(0, 1, true) as I32;
  const r = b.let(i32.and(i32.add(b.gpr(0, 1) as I32, i32.mul(ah, b.immediate32())), i32.const(0xff)));
  b.setGpr(0, 2, r);
  b.setFlags(signExtended(1, r), i32.const(0));
};

export const multiplyRows: readonly Row[] = [
  row('F6 /4', 'mul', 'Eb', wideMultiply(false)),
  row('F7 /4', 'mul', 'Ev', wideMultiply(false)),
  row('F6 /5', 'imul', 'Eb', wideMultiply(true)),
  row('F7 /5', 'imul', 'Ev', wideMultiply(true)),
  row('0F AF', 'imul', 'Gv,Ev', imul2, { hot: true }),
  row('69', 'imul', 'Gv,Ev,Iz', imul3, { hot: true }),
  row('6B', 'imul', 'Gv,Ev,Ibs', imul3, { hot: true }),
  row('F6 /6', 'div', 'Eb', divide(false)),
  row('F7 /6', 'div', 'Ev', divide(false)),
  row('F6 /7', 'idiv', 'Eb', divide(true)),
  row('F7 /7', 'idiv', 'Ev', divide(true)),
  row('D4', 'aam', 'Ib', aam, { no64: true, size: 1 }),
  row('D5', 'aad', 'Ib', aad, { no64: true, size: 1 }),
];
