/**
 * Arithmetic flags, kept lazily as a pair (FLAG_RESULT i64 `r`, FLAG_AUX i32 `x`):
 *
 *     ZF = r == 0              SF = (r < 0) xor x.0         PF = even parity of byte 0 of (r xor x.15:8)
 *     CF = x.31                OF = x.31 xor x.30           AF = x.3
 *
 * `r` is the result sign-extended from the operand size. For additions and subtractions x.31:30 are the carries out of
 * the two top bits, so overflow needs no knowledge of the operation; parity and sign corrections (x.15:8, x.0) are
 * zero except when flags were loaded as such.
 *
 * @module
 */
import { type Expr, type I32, type I64, i32, i64 } from '../emit/expr.ts';

export type IntegerSize = 1 | 2 | 4 | 8;

const TOP_BITS = 0xc000_0000 | 0;

/** Integer operations of the type that holds a value of some size (i32 up to 4 bytes, i64 for 8). */
export interface IntegerOps {
  const(value: number | bigint): Expr;
  add(x: Expr, y: Expr): Expr;
  sub(x: Expr, y: Expr): Expr;
  mul(x: Expr, y: Expr): Expr;
  and(x: Expr, y: Expr): Expr;
  or(x: Expr, y: Expr): Expr;
  xor(x: Expr, y: Expr): Expr;
  shl(x: Expr, y: Expr): Expr;
  shrS(x: Expr, y: Expr): Expr;
  shrU(x: Expr, y: Expr): Expr;
  rotl(x: Expr, y: Expr): Expr;
  rotr(x: Expr, y: Expr): Expr;
  divU(x: Expr, y: Expr): Expr;
  divS(x: Expr, y: Expr): Expr;
  remU(x: Expr, y: Expr): Expr;
  remS(x: Expr, y: Expr): Expr;
  clz(x: Expr): Expr;
  ctz(x: Expr): Expr;
  popcnt(x: Expr): Expr;
  eqz(x: Expr): I32;
  eq(x: Expr, y: Expr): I32;
  ne(x: Expr, y: Expr): I32;
  ltS(x: Expr, y: Expr): I32;
  ltU(x: Expr, y: Expr): I32;
  gtS(x: Expr, y: Expr): I32;
  gtU(x: Expr, y: Expr): I32;
  geU(x: Expr, y: Expr): I32;
}

export const integerOps = (size: IntegerSize): IntegerOps => (size === 8 ? i64 : i32) as unknown as IntegerOps;

/** The value sign-extended to i64 from its operand size. */
export function signExtended(size: IntegerSize, value: Expr): I64 {
  switch (size) {
    case 1:
      return i64.extendI32S(i32.extend8S(value as I32));
    case 2:
      return i64.extendI32S(i32.extend16S(value as I32));
    case 4:
      return i64.extendI32S(value as I32);
    case 8:
      return value as I64;
  }
}

/** The bits of a carry vector that FLAG_AUX keeps: the top two, and bit 3. */
function packCarries(size: IntegerSize, carries: Expr): I32 {
  switch (size) {
    case 1:
    case 2: {
      const c = carries as I32;
      const top = i32.and(i32.shl(c, i32.const(size === 1 ? 24 : 16)), i32.const(TOP_BITS));
      return i32.or(top, i32.and(c, i32.const(8)));
    }
    case 4:
      return i32.and(carries as I32, i32.const(TOP_BITS | 8));
    case 8: {
      const c = carries as I64;
      const top = i32.and(i32.wrap(i64.shrU(c, i64.const(32))), i32.const(TOP_BITS));
      return i32.or(top, i32.and(i32.wrap(c), i32.const(8)));
    }
  }
}

/** Aux of `r = x + y (+ carry)`. The operands are read several times: pass locals. The carry vector must be a local too for size 1, 2 and 8: see `LiftBuilder.flagsAdd`. */
export function addCarries(size: IntegerSize, x: Expr, y: Expr, r: Expr): Expr {
  const t = integerOps(size);
  return t.or(t.and(x, y), t.and(t.or(x, y), t.xor(r, t.const(-1))));
}

/** Borrow vector of `r = x - y (- borrow)`. */
export function subCarries(size: IntegerSize, x: Expr, y: Expr, r: Expr): Expr {
  const t = integerOps(size);
  const notX = t.xor(x, t.const(-1));
  return t.or(t.and(notX, y), t.and(t.or(notX, y), r));
}

export { packCarries };

/** CF as 0 or 1. */
export const carryFlag = (aux: I32): I32 => i32.shrU(aux, i32.const(31));
/** OF as 0 or 1. */
export const overflowFlag = (aux: I32): I32 => i32.shrU(i32.xor(aux, i32.shl(aux, i32.const(1))), i32.const(31));
export const adjustFlag = (aux: I32): I32 => i32.and(i32.shrU(aux, i32.const(3)), i32.const(1));
export const zeroFlag = (result: I64): I32 => i64.eqz(result);
export const signFlag = (result: I64, aux: I32): I32 =>
  i32.xor(i32.wrap(i64.shrU(result, i64.const(63))), i32.and(aux, i32.const(1)));
export const parityFlag = (result: I64, aux: I32): I32 =>
  i32.and(
    i32.xor(i32.popcnt(i32.and(i32.xor(i32.wrap(result), i32.shrU(aux, i32.const(8))), i32.const(0xff))), i32.const(1)),
    i32.const(1),
  );

/** Condition code 0..15 (SDM volume 1, appendix B) as 0 or 1. `result` and `aux` are read several times. */
export function condition(code: number, result: I64, aux: I32): I32 {
  const base = ((): I32 => {
    switch (code >> 1) {
      case 0:
        return overflowFlag(aux);
      case 1:
        return carryFlag(aux);
      case 2:
        return zeroFlag(result);
      case 3:
        return i32.or(carryFlag(aux), zeroFlag(result));
      case 4:
        return signFlag(result, aux);
      case 5:
        return parityFlag(result, aux);
      case 6:
        return i32.xor(signFlag(result, aux), overflowFlag(aux));
      default:
        return i32.or(i32.xor(signFlag(result, aux), overflowFlag(aux)), zeroFlag(result));
    }
  })();
  return (code & 1) === 0 ? base : i32.eqz(base);
}

/** Aux with CF replaced and OF kept. `cf` is 0 or 1 and, like `aux`, read twice. */
export function withCarry(aux: I32, cf: I32): I32 {
  const kept = i32.and(aux, i32.const(0x3fff_ffff));
  const both = i32.xor(i32.shl(cf, i32.const(30)), i32.shl(overflowFlag(aux), i32.const(30)));
  return i32.or(i32.or(kept, i32.shl(cf, i32.const(31))), both);
}

/** Aux with CF and OF replaced. */
export function withCarryOverflow(aux: I32, cf: I32, of: I32): I32 {
  const kept = i32.and(aux, i32.const(0x3fff_ffff));
  return i32.or(i32.or(kept, i32.shl(cf, i32.const(31))), i32.shl(i32.xor(cf, of), i32.const(30)));
}

/** Aux with OF replaced and CF kept. `aux` is read twice. */
export function withOverflow(aux: I32, of: I32): I32 {
  const kept = i32.and(aux, i32.const(~(1 << 30)));
  return i32.or(kept, i32.shl(i32.xor(carryFlag(aux), of), i32.const(30)));
}
