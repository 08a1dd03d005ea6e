/**
 * Shifts and rotates (SDM volume 2: SAL SAR SHL SHR ROL ROR RCL RCR SHLD SHRD). Counts are masked to 5 bits, 6 for 64-bit
 * operands; a masked count of zero changes no flag.
 *
 * Undefined flags follow what Intel processors do where the recorded cases show a rule: AF is cleared by shifts.
 *
 * @module
 */
import { constantOf, type Expr, i32, type I32, i64, type I64 } from '../emit/expr.ts';
import type { Local } from '../emit/function-builder.ts';
import { carryFlag, signExtended, withCarryOverflow } from './flags.ts';
import type { LiftBuilder } from './lift-builder.ts';
import { type Lift, type Row, row } from './row.ts';

type AnyLocal = Local<'i32'>;
const asLocal = (b: LiftBuilder, value: Expr): AnyLocal => b.let(value as Expr<'i32'>);

/** The masked count as an i32 local. */
function count(b: LiftBuilder, raw: I32): AnyLocal {
  return b.let(i32.and(raw, i32.const(b.size === 8 ? 63 : 31)));
}

/** An i32 count in the operand's type. */
const wide = (b: LiftBuilder, value: I32): Expr => (b.size === 8 ? i64.extendI32U(value) : value);
const bit = (b: LiftBuilder, value: Expr): I32 => (b.size === 8 ? i32.wrap(value as I64) : (value as I32));

/** A result, and CF and OF. */
interface Shifted {
  readonly r: AnyLocal;
  readonly cf: I32;
  readonly of: I32;
}

/**
 * The frame of a shift: when the count is zero memory is still written back (and so must be writable) but flags stay. The count
 * is known where a translator says so.
 */
function shiftFrame(
  b: LiftBuilder,
  rawCount: I32,
  change: (x: Local, n: AnyLocal) => Shifted,
  rotate: boolean,
  byConstant?: (x: Local, n: number) => Shifted,
): void {
  const known = constantOf(rawCount);
  if (known !== undefined) {
    const masked = known & (b.size === 8 ? 63 : 31);
    // A count below the width, so that the bit shifted out last can be looked for when somebody asks.
    if (byConstant !== undefined && masked !== 0 && b.size >= 4) {
      b.update(0, (x) => {
        const { r, cf, of } = byConstant(x, masked);
        b.deferFlags(() => shiftFlags(b, r, cf, of));
        return r;
      });
      return;
    }
    const n = b.let(i32.const(masked));
    b.update(0, (x) => {
      if (masked === 0) return x;
      const { r, cf, of } = change(x, n);
      if (rotate) b.setFlags(b.flagResult(), withCarryOverflow(b.flagAux(), b.let(cf), of));
      else b.deferFlags(() => shiftFlags(b, r, cf, of));
      return r;
    });
    return;
  }
  const n = count(b, rawCount);
  b.update(0, (x) => {
    const out = b.f.local(b.size === 8 ? 'i64' : 'i32') as AnyLocal;
    b.f.set(out, x as AnyLocal);
    b.f.if(n, () => {
      const { r, cf, of } = change(x, n);
      b.f.set(out, r);
      if (rotate) b.setFlags(b.flagResult(), withCarryOverflow(b.flagAux(), b.let(cf), of));
      else shiftFlags(b, r, cf, of);
    });
    return out;
  });
}

function shiftFlags(b: LiftBuilder, r: AnyLocal, cf: I32, of: I32): void {
  const c = b.let(cf);
  b.setFlags(signExtended(b.size, r), i32.or(i32.shl(c, i32.const(31)), i32.shl(i32.xor(c, of), i32.const(30))));
}

const top = (b: LiftBuilder, value: Expr): I32 => {
  const bits = b.size * 8;
  return b.size === 8
    ? i32.wrap(i64.shrU(value as I64, i64.const(63)))
    : i32.and(i32.shrU(value as I32, i32.const(bits - 1)), i32.const(1));
};
const second = (b: LiftBuilder, value: Expr): I32 => {
  const bits = b.size * 8;
  return b.size === 8
    ? i32.and(i32.wrap(i64.shrU(value as I64, i64.const(62))), i32.const(1))
    : i32.and(i32.shrU(value as I32, i32.const(bits - 2)), i32.const(1));
};

/** A bit of a value of 4 or 8 bytes. */
const bitAt = (b: LiftBuilder, value: Expr, n: number): I32 =>
  i32.and(bit(b, n === 0 ? value : b.t.shrU(value, b.t.const(n))), i32.const(1));

/** Shifting in 64 bits keeps the last bit out at hand for the narrow sizes, where counts reach past the width. */
const shl: Lift = (b) => {
  shiftFrame(
    b,
    b.read(1, 1) as I32,
    (x, n) => {
      if (b.size === 8) {
        const before = asLocal(b, i64.shl(x as unknown as I64, i64.extendI32U(i32.sub(n, i32.const(1)))));
        const r = asLocal(b, i64.shl(before as unknown as I64, i64.const(1)));
        const cf = b.let(top(b, before));
        return { r, cf, of: i32.xor(cf, top(b, r)) };
      }
      const full = b.let(i64.shl(i64.extendI32U(x as I32), i64.extendI32U(n)));
      const r = b.let(i32.wrap(full));
      const cf = b.let(i32.and(i32.wrap(i64.shrU(full, i64.const(b.size * 8))), i32.const(1)));
      return { r, cf, of: i32.xor(cf, top(b, r)) };
    },
    false,
    (x, n) => {
      const r = asLocal(b, b.t.shl(x, b.t.const(n)));
      const cf = bitAt(b, x, b.size * 8 - n);
      return { r, cf, of: i32.xor(cf, top(b, r)) };
    },
  );
};

const shr: Lift = (b) => {
  shiftFrame(
    b,
    b.read(1, 1) as I32,
    (x, n) => {
      const before = asLocal(b, b.t.shrU(x, wide(b, i32.sub(n, i32.const(1)))));
      const r = asLocal(b, b.t.shrU(before, b.t.const(1)));
      return { r, cf: i32.and(bit(b, before), i32.const(1)), of: overflowOfShr(b, x, n) };
    },
    false,
    (x, n) => {
      const r = asLocal(b, b.t.shrU(x, b.t.const(n)));
      return { r, cf: bitAt(b, x, n - 1), of: n === 1 ? top(b, x) : i32.const(0) };
    },
  );
};

/** OF of SHR is the sign of the operand for a count of 1; for others undefined, and Intel gives bit n-1 shifted in: zero. */
const overflowOfShr = (b: LiftBuilder, x: Local, n: I32): I32 => i32.and(top(b, x), i32.eq(n, i32.const(1)));

const sar: Lift = (b) => {
  shiftFrame(
    b,
    b.read(1, 1) as I32,
    (x, n) => {
      const wideX = b.size < 4 ? asLocal(b, b.signed32(b.size, x as I32)) : x;
      const before = asLocal(b, b.t.shrS(wideX, wide(b, i32.sub(n, i32.const(1)))));
      const r = asLocal(b, b.t.shrS(before, b.t.const(1)));
      return { r, cf: i32.and(bit(b, before), i32.const(1)), of: i32.const(0) };
    },
    false,
    (x, n) => {
      const r = asLocal(b, b.t.shrS(x, b.t.const(n)));
      return { r, cf: bitAt(b, x, n - 1), of: i32.const(0) };
    },
  );
};

/** Rotates of 1 and 2 bytes: the value is repeated through 32 bits, so that a 32-bit rotate does it. */
function repeated(b: LiftBuilder, x: Local): Expr {
  if (b.size === 1) return i32.mul(x as I32, i32.const(0x01010101));
  if (b.size === 2) return i32.mul(x as I32, i32.const(0x00010001));
  return x;
}

const rol: Lift = (b) => {
  shiftFrame(
    b,
    b.read(1, 1) as I32,
    (x, n) => {
      const r = asLocal(b, b.t.rotl(repeated(b, x), wide(b, n)));
      const cf = b.let(i32.and(bit(b, r), i32.const(1)));
      return { r, cf, of: i32.xor(cf, top(b, r)) };
    },
    true,
  );
};

const ror: Lift = (b) => {
  shiftFrame(
    b,
    b.read(1, 1) as I32,
    (x, n) => {
      const r = asLocal(b, b.t.rotr(repeated(b, x), wide(b, n)));
      return { r, cf: b.let(top(b, r)), of: i32.xor(top(b, r), second(b, r)) };
    },
    true,
  );
};

/** RCL and RCR rotate through CF: width + 1 bits. The count is taken modulo width + 1 for 1 and 2 bytes. */
const rotateThroughCarry =
  (left: boolean): Lift =>
  (b) => {
    const bits = b.size * 8;
    const masked = count(b, b.read(1, 1) as I32);
    const n = b.size < 4 ? b.let(i32.remU(masked, i32.const(bits + 1))) : masked;
    const carry = b.let(carryFlag(b.flagAux()));
    b.update(0, (x) => {
      const out = b.f.local(b.size === 8 ? 'i64' : 'i32') as AnyLocal;
      b.f.set(out, x as AnyLocal);
      b.f.if(n, () => {
        let r: AnyLocal;
        let cf: I32;
        if (b.size < 8) {
          // carry:x as one value of bits + 1, rotated in 64 bits.
          const value = b.let(i64.or(i64.extendI32U(x as I32), i64.shl(i64.extendI32U(carry), i64.const(bits))));
          const amount = b.let(i64.extendI32U(n));
          const rest = i64.sub(i64.const(bits + 1), amount);
          const rotated = b.let(
            left
              ? i64.or(i64.shl(value, amount), i64.shrU(value, rest))
              : i64.or(i64.shrU(value, amount), i64.shl(value, rest)),
          );
          r = b.let(i32.wrap(rotated));
          cf = b.let(i32.and(i32.wrap(i64.shrU(rotated, i64.const(bits))), i32.const(1)));
        } else {
          const value = x as unknown as I64;
          const amount = b.let(i64.extendI32U(n));
          const c = b.let(i64.extendI32U(carry));
          const one = i64.const(1);
          // Shifts by 64 are done as two, since WebAssembly takes counts modulo 64.
          if (left) {
            const low = i64.or(i64.shl(value, amount), i64.shl(c, i64.sub(amount, one)));
            r = asLocal(b, i64.or(low, i64.shrU(i64.shrU(value, one), i64.sub(i64.const(64), amount))));
            cf = b.let(i32.wrap(i64.and(i64.shrU(value, i64.sub(i64.const(64), amount)), one)));
          } else {
            const high = i64.or(i64.shrU(value, amount), i64.shl(c, i64.sub(i64.const(64), amount)));
            r = asLocal(b, i64.or(high, i64.shl(i64.shl(value, one), i64.sub(i64.const(64), amount))));
            cf = b.let(i32.wrap(i64.and(i64.shrU(value, i64.sub(amount, one)), one)));
          }
        }
        b.f.set(out, r);
        const of = left ? i32.xor(top(b, r), cf) : i32.xor(top(b, r), second(b, r));
        b.setFlags(b.flagResult(), withCarryOverflow(b.flagAux(), cf, of));
      });
      return out;
    });
  };

/** SHLD and SHRD; 16-bit counts above 16 are undefined, and rotate through both operands as Intel does. */
const doubleShift =
  (left: boolean, countFromCl: boolean): Lift =>
  (b) => {
    const source = asLocal(b, b.read(1));
    const n = count(b, countFromCl ? (b.gpr(1, 1) as I32) : b.immediate32());
    b.update(0, (x) => {
      const out = b.f.local(b.size === 8 ? 'i64' : 'i32') as AnyLocal;
      b.f.set(out, x as AnyLocal);
      b.f.if(n, () => {
        let r: AnyLocal;
        let cf: I32;
        if (b.size === 8) {
          const amount = b.let(i64.extendI32U(n));
          const rest = i64.sub(i64.const(64), amount);
          const value = x as unknown as I64;
          const other = source as unknown as I64;
          if (left) {
            r = asLocal(b, i64.or(i64.shl(value, amount), i64.shrU(other, rest)));
            cf = b.let(i32.wrap(i64.and(i64.shrU(value, rest), i64.const(1))));
          } else {
            r = asLocal(b, i64.or(i64.shrU(value, amount), i64.shl(other, rest)));
            cf = b.let(i32.wrap(i64.and(i64.shrU(value, i64.sub(amount, i64.const(1))), i64.const(1))));
          }
        } else {
          const bits = b.size * 8;
          const amount = b.let(i64.extendI32U(n));
          const value = i64.extendI32U(x as I32);
          const other = i64.extendI32U(source);
          if (left) {
            // For 16 bits the pattern is x:source:x, so that counts of 17..31 bring the destination in again.
            const pattern =
              b.size === 2
                ? b.let(i64.or(i64.or(i64.shl(value, i64.const(32)), i64.shl(other, i64.const(16))), value))
                : b.let(i64.or(i64.shl(value, i64.const(32)), other));
            const shifted = b.let(i64.shl(pattern, amount));
            r = b.let(b.truncated(b.size, i32.wrap(i64.shrU(shifted, i64.const(32)))));
            cf = b.let(
              i32.and(
                i32.wrap(i64.shrU(i64.shl(pattern, i64.sub(amount, i64.const(1))), i64.const(32 + bits - 1))),
                i32.const(1),
              ),
            );
          } else {
            const pattern =
              b.size === 2
                ? b.let(i64.or(i64.or(i64.shl(value, i64.const(32)), i64.shl(other, i64.const(16))), value))
                : b.let(i64.or(i64.shl(other, i64.const(32)), value));
            r = b.let(b.truncated(b.size, i32.wrap(i64.shrU(pattern, amount))));
            cf = b.let(i32.and(i32.wrap(i64.shrU(pattern, i64.sub(amount, i64.const(1)))), i32.const(1)));
          }
        }
        b.f.set(out, r);
        const of = b.let(i32.xor(top(b, r), top(b, x)));
        b.setFlags(
          signExtended(b.size, r),
          i32.or(i32.shl(cf, i32.const(31)), i32.shl(i32.xor(cf, of), i32.const(30))),
        );
      });
      return out;
    });
  };

const group = (digit: number, name: string, lift: Lift, hot = false): Row[] => {
  const options = hot ? { hot: true as const } : {};
  return [
    row(`C0 /${digit}`, name, 'Eb,Ib', lift),
    row(`C1 /${digit}`, name, 'Ev,Ib', lift, options),
    row(`D0 /${digit}`, name, 'Eb,1', lift),
    row(`D1 /${digit}`, name, 'Ev,1', lift, options),
    row(`D2 /${digit}`, name, 'Eb,CL', lift),
    row(`D3 /${digit}`, name, 'Ev,CL', lift),
  ];
};

export const shiftRows: readonly Row[] = [
  ...group(0, 'rol', rol, true),
  ...group(1, 'ror', ror, true),
  ...group(2, 'rcl', rotateThroughCarry(true)),
  ...group(3, 'rcr', rotateThroughCarry(false)),
  ...group(4, 'shl', shl, true),
  ...group(5, 'shr', shr, true),
  ...group(6, 'shl', shl),
  ...group(7, 'sar', sar, true),
  row('0F A4', 'shld', 'Ev,Gv,Ib', doubleShift(true, false)),
  row('0F A5', 'shld', 'Ev,Gv,CL', doubleShift(true, true)),
  row('0F AC', 'shrd', 'Ev,Gv,Ib', doubleShift(false, false)),
  row('0F AD', 'shrd', 'Ev,Gv,CL', doubleShift(false, true)),
];
