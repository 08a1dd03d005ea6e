/**
 * Bit manipulation and long addition of x86-64-v3 (SDM volume 2: ADCX ADOX ANDN BEXTR BLSI BLSMSK BLSR BZHI LZCNT MULX PDEP
 * PEXT RORX SARX SHLX SHRX TZCNT).
 *
 * @module
 */
import { type Expr, i32, type I32, i64, type I64, select } from '../emit/expr.ts';
import type { Local } from '../emit/function-builder.ts';
import { RDX } from '../state.ts';
import { addCarries, carryFlag, overflowFlag, signExtended, withCarry, withOverflow } from './flags.ts';
import type { LiftBuilder } from './lift-builder.ts';
import { mulHighUnsigned } from './multiply.ts';
import { type Lift, type Row, row } from './row.ts';

type AnyLocal = Local<'i32'>;
const asLocal = (b: LiftBuilder, value: Expr): AnyLocal => b.let(value as Expr<'i32'>);
const asI32 = (b: LiftBuilder, value: Expr): I32 => (b.size === 8 ? i32.wrap(value as I64) : (value as I32));
const fromI32 = (b: LiftBuilder, value: I32): Expr => (b.size === 8 ? i64.extendI32U(value) : value);

/** SF and ZF of `r`, CF; OF is cleared. */
function setResultFlags(b: LiftBuilder, r: Expr, cf: I32): void {
  const carry = b.let(cf);
  // With OF clear the two top bits of the auxiliary word are equal.
  b.setFlags(signExtended(b.size, r), i32.or(i32.shl(carry, i32.const(31)), i32.shl(carry, i32.const(30))));
}

const andn: Lift = (b) => {
  const y = asLocal(b, b.read(2));
  const r = asLocal(b, b.t.and(b.t.xor(b.read(1), b.t.const(-1)), y));
  b.write(0, r);
  b.flagsLogic(r);
};

/** BLSR, BLSMSK and BLSI: `combine` takes the source and the source less one, or negated. */
const lowest =
  (combine: (b: LiftBuilder, x: Expr) => Expr, carryOfZero: boolean): Lift =>
  (b) => {
    const x = asLocal(b, b.read(1));
    const r = asLocal(b, combine(b, x));
    b.write(0, r);
    setResultFlags(b, r, carryOfZero ? b.t.eqz(x) : i32.eqz(b.t.eqz(x)));
  };
const lessOne = (b: LiftBuilder, x: Expr): Expr => b.t.sub(x, b.t.const(1));

/** All ones below bit `n` (an i32, a local): `n` at or above the width gives all ones. */
function onesBelow(b: LiftBuilder, n: I32): Expr {
  const bits = b.size * 8;
  const ones = b.t.sub(b.t.shl(b.t.const(1), fromI32(b, n)), b.t.const(1));
  const beyond = i32.geU(n, i32.const(bits));
  return select(beyond, b.t.const(-1) as I32, ones as I32);
}

/** Bits 7:0 of the control are the first bit, 15:8 the length. */
const bextr: Lift = (b) => {
  const x = asLocal(b, b.read(1));
  const control = b.let(asI32(b, b.read(2)));
  const start = b.let(i32.and(control, i32.const(0xff)));
  const length = b.let(i32.and(i32.shrU(control, i32.const(8)), i32.const(0xff)));
  const within = i32.ltU(start, i32.const(b.size * 8));
  const moved = select(within, b.t.shrU(x, fromI32(b, start)) as I32, b.t.const(0) as I32);
  const r = asLocal(b, b.t.and(moved, onesBelow(b, length)));
  b.write(0, r);
  b.flagsLogic(r);
};

const bzhi: Lift = (b) => {
  const x = asLocal(b, b.read(1));
  const n = b.let(i32.and(asI32(b, b.read(2)), i32.const(0xff)));
  const r = asLocal(b, b.t.and(x, onesBelow(b, n)));
  b.write(0, r);
  setResultFlags(b, r, i32.geU(n, i32.const(b.size * 8)));
};

/** RDX times the source: the low half to operand 1, then the high half to operand 0. */
const mulx: Lift = (b) => {
  const y = asLocal(b, b.read(2));
  const x = asLocal(b, b.gpr(RDX, b.size));
  if (b.size === 8) {
    const wideX = x as unknown as Local<'i64'>;
    const wideY = y as unknown as Local<'i64'>;
    const high = b.let(mulHighUnsigned(b.f, wideX, wideY));
    b.write(1, b.let(i64.mul(wideX, wideY)));
    b.write(0, high);
    return;
  }
  const product = b.let(i64.mul(i64.extendI32U(x), i64.extendI32U(y)));
  b.write(1, i32.wrap(product));
  b.write(0, i32.wrap(i64.shrU(product, i64.const(32))));
};

/** Runs `body` for every one of `mask` (a local that is used up), with `bit` the one and `place` 1, 2, 4, ... */
function overOnes(b: LiftBuilder, mask: AnyLocal, body: (bit: AnyLocal, place: AnyLocal) => void): void {
  const { f, t } = b;
  const place = asLocal(b, t.const(1));
  f.block((done) => {
    f.loop((again) => {
      f.brIf(done, t.eqz(mask));
      const bit = asLocal(b, t.and(mask, t.sub(t.const(0), mask)));
      body(bit, place);
      f.set(mask, t.xor(mask, bit) as I32);
      f.set(place, t.shl(place, t.const(1)) as I32);
      f.br(again);
    });
  });
}
const bitsByMask =
  (deposit: boolean): Lift =>
  (b) => {
    const { f, t } = b;
    const mask = asLocal(b, b.read(2));
    const x = asLocal(b, b.read(1));
    const r = asLocal(b, t.const(0));
    overOnes(b, mask, (bit, place) => {
      const [from, to] = deposit ? [place, bit] : [bit, place];
      f.if(i32.eqz(t.eqz(t.and(x, from))), () => f.set(r, t.or(r, to) as I32));
    });
    b.write(0, r);
  };

const rorx: Lift = (b) => {
  const x = b.read(1);
  b.write(0, b.t.rotr(x, fromI32(b, b.immediate32())));
};

const shiftBy =
  (direction: 'shl' | 'shrU' | 'shrS'): Lift =>
  (b) => {
    const x = asLocal(b, b.read(1));
    // WebAssembly masks the count as the processor does.
    b.write(0, b.t[direction](x, b.read(2)));
  };

/** TZCNT and LZCNT: a zero source gives the width and CF. */
const countZeros =
  (trailing: boolean): Lift =>
  (b) => {
    const { t, size } = b;
    const x = asLocal(b, b.read(1));
    let count = trailing ? t.ctz(x) : t.clz(x);
    if (size === 2) count = trailing ? t.ctz(t.or(x, t.const(0x1_0000))) : t.sub(count, t.const(16));
    const r = asLocal(b, count);
    const cf = b.let(t.eqz(x));
    b.write(0, r);
    setResultFlags(b, r, cf);
  };

/** ADCX and ADOX: a sum with CF, or OF, in and out; the other flags stay. */
const addLong =
  (carry: 'cf' | 'of'): Lift =>
  (b) => {
    const { t, size } = b;
    const y = asLocal(b, b.read(1));
    const x = asLocal(b, b.read(0));
    const aux = b.flagAux();
    const result = b.flagResult();
    const flag = carry === 'cf' ? carryFlag(aux) : overflowFlag(aux);
    const r = asLocal(b, t.add(t.add(x, y), fromI32(b, flag)));
    const out = b.let(asI32(b, t.shrU(addCarries(size, x, y, r), t.const(size * 8 - 1))));
    b.write(0, r);
    b.setFlags(result, carry === 'cf' ? withCarry(aux, out) : withOverflow(aux, out));
  };

const vex = { unit: 'vex' } as const;

// biome-ignore format: one encoding a line
export const bmiRows: readonly Row[] = [
  row('F3 0F BC', 'tzcnt', 'Gv,Ev', countZeros(true)),
  row('F3 0F BD', 'lzcnt', 'Gv,Ev', countZeros(false)),
  row('66 0F 38 F6', 'adcx', 'Gy,Ey', addLong('cf')),
  row('F3 0F 38 F6', 'adox', 'Gy,Ey', addLong('of')),
  row('VEX.LZ.NP.0F38.WIG F2', 'andn', 'Gy,By,Ey', andn, vex),
  row('VEX.LZ.NP.0F38.WIG F3 /1', 'blsr', 'By,Ey', lowest((b, x) => b.t.and(x, lessOne(b, x)), true), vex),
  row('VEX.LZ.NP.0F38.WIG F3 /2', 'blsmsk', 'By,Ey', lowest((b, x) => b.t.xor(x, lessOne(b, x)), true), vex),
  row('VEX.LZ.NP.0F38.WIG F3 /3', 'blsi', 'By,Ey', lowest((b, x) => b.t.and(x, b.t.sub(b.t.const(0), x)), false), vex),
  row('VEX.LZ.NP.0F38.WIG F7', 'bextr', 'Gy,Ey,By', bextr, vex),
  row('VEX.LZ.NP.0F38.WIG F5', 'bzhi', 'Gy,Ey,By', bzhi, vex),
  row('VEX.LZ.F2.0F38.WIG F6', 'mulx', 'Gy,By,Ey', mulx, vex),
  row('VEX.LZ.F2.0F38.WIG F5', 'pdep', 'Gy,By,Ey', bitsByMask(true), vex),
  row('VEX.LZ.F3.0F38.WIG F5', 'pext', 'Gy,By,Ey', bitsByMask(false), vex),
  row('VEX.LZ.F2.0F3A.WIG F0', 'rorx', 'Gy,Ey,Ib', rorx, vex),
  row('VEX.LZ.F3.0F38.WIG F7', 'sarx', 'Gy,Ey,By', shiftBy('shrS'), vex),
  row('VEX.LZ.66.0F38.WIG F7', 'shlx', 'Gy,Ey,By', shiftBy('shl'), vex),
  row('VEX.LZ.F2.0F38.WIG F7', 'shrx', 'Gy,Ey,By', shiftBy('shrU'), vex),
];
