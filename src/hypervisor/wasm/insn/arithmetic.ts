/**
 * Integer addition, subtraction, logic, comparison (SDM volume 2: ADD ADC SUB SBB CMP AND OR XOR TEST INC DEC NEG NOT).
 *
 * @module
 */
import { type Expr, i32, i64, type I32, type I64, select } from '../emit/expr.ts';
import type { Local } from '../emit/function-builder.ts';
import { carryFlag, overflowFlag } from './flags.ts';
import type { LiftBuilder } from './lift-builder.ts';
import { type Lift, type Row, row } from './row.ts';

type AnyLocal = Local<'i32'>;

const asLocal = (b: LiftBuilder, value: Expr): AnyLocal => b.let(value as Expr<'i32'>);

const add: Lift = (b) => b.sum('add', false);

const sub: Lift = (b) => b.sum('sub', false);

/** CF widened to the operand's type. */
function carryIn(b: LiftBuilder): AnyLocal {
  const cf = b.carry();
  return asLocal(b, b.size === 8 ? i64.extendI32U(cf) : cf);
}

const adc: Lift = (b) => {
  const y = b.operand(b.read(1));
  const c = carryIn(b);
  b.update(0, (x) => {
    const r = asLocal(b, b.t.add(b.t.add(x, y), c));
    b.flagsAdd(x, y, r, true);
    return r;
  });
};

const sbb: Lift = (b) => {
  const y = b.operand(b.read(1));
  const c = carryIn(b);
  b.update(0, (x) => {
    const r = asLocal(b, b.t.sub(b.t.sub(x, y), c));
    b.flagsSub(x, y, r, true);
    return r;
  });
};

const cmp: Lift = (b) => b.sum('sub', true);

const logic =
  (operation: 'and' | 'or' | 'xor'): Lift =>
  (b) => {
    if (operation === 'xor' && b.isSame(0, 1)) {
      const zero = b.operand(b.t.const(0));
      b.flagsLogic(zero);
      b.write(0, zero);
      return;
    }
    const y = b.operand(b.read(1));
    b.update(0, (x) => {
      const r = asLocal(b, b.t[operation](x, y));
      b.flagsLogic(r);
      return r;
    });
  };

const test: Lift = (b) => {
  const x = asLocal(b, b.read(0));
  b.flagsLogic(b.isSame(0, 1) ? x : asLocal(b, b.t.and(x, b.read(1))));
};

/** INC and DEC set all flags but CF. */
const step =
  (direction: 1 | -1): Lift =>
  (b) => {
    const cf = b.let(b.carry());
    b.update(0, (x) => {
      const one = b.operand(b.t.const(1));
      const r = asLocal(b, direction === 1 ? b.t.add(x, one) : b.t.sub(x, one));
      if (direction === 1) b.flagsAdd(x, one, r, false, cf);
      else b.flagsSub(x, one, r, false, cf);
      return r;
    });
  };

const neg: Lift = (b) => {
  b.update(0, (x) => {
    const zero = b.operand(b.t.const(0));
    const r = asLocal(b, b.t.sub(zero, x));
    b.flagsSub(zero, x, r);
    return r;
  });
};

const not: Lift = (b) => {
  b.update(0, (x) => b.t.xor(x, b.t.const(-1)));
};

/** XADD: operand 1 gets the old value, operand 0 the sum. */
const xadd: Lift = (b) => {
  const y = asLocal(b, b.read(1));
  const before = b.f.local(b.size === 8 ? 'i64' : 'i32') as AnyLocal;
  const result = b.f.local(b.size === 8 ? 'i64' : 'i32') as AnyLocal;
  if (!b.isMemory(0)) {
    const x = asLocal(b, b.read(0));
    b.f.set(result, b.t.add(x, y) as Expr<'i32'>);
    b.flagsAdd(x, y, result);
    b.write(1, x);
    b.write(0, result);
    return;
  }
  b.update(0, (x) => {
    b.f.set(before, x as AnyLocal);
    b.f.set(result, b.t.add(x, y) as Expr<'i32'>);
    return result;
  });
  b.flagsAdd(before, y, result);
  b.write(1, before);
};

/** CMPXCHG: a memory destination is always written (SDM volume 2A), with itself when the comparison fails. */
const cmpxchg: Lift = (b) => {
  const accumulator = asLocal(b, b.gpr(0, b.size));
  const source = asLocal(b, b.read(1));
  const before = b.f.local(b.size === 8 ? 'i64' : 'i32') as AnyLocal;
  const equal = b.f.local('i32');
  if (b.isMemory(0)) {
    b.update(0, (x) => {
      b.f.set(before, x as AnyLocal);
      b.f.set(equal, b.t.eq(x, accumulator));
      return select(equal, source, x);
    });
  } else {
    // A register keeps even its upper half when the comparison fails.
    b.f.set(before, b.read(0) as Expr<'i32'>);
    b.f.set(equal, b.t.eq(before, accumulator));
    b.f.if(equal, () => b.write(0, source));
  }
  b.flagsSub(accumulator, before, asLocal(b, b.t.sub(accumulator, before)));
  b.f.if(i32.eqz(equal), () => b.setGpr(0, b.size, before));
};

/** CMPXCHG8B / CMPXCHG16B change only ZF. */
const cmpxchgWide: Lift = (b) => {
  const { f } = b;
  const half = b.size as 4 | 8;
  const address = b.let(b.address(0));
  if (half === 8) {
    f.if(i32.and(i32.wrap(address), i32.const(15)), () => b.raise(13, i32.const(0)));
  }
  const host = b.hostWrite(address, half * 2, true);
  const equal = f.local('i32');
  if (half === 4) {
    const pair = (low: number, high: number): I64 =>
      i64.or(i64.extendI32U(b.gpr(low, 4) as I32), i64.shl(i64.extendI32U(b.gpr(high, 4) as I32), i64.const(32)));
    const expected = b.let(pair(0, 2));
    const wanted = b.let(pair(3, 1));
    const before = f.local('i64');
    const change = (x: Local): Expr => {
      f.set(before, x as Local<'i64'>);
      f.set(equal, i64.eq(x as Local<'i64'>, expected));
      return select(equal, wanted, x);
    };
    if (b.form.lock) b.atomicUpdate(host, 8, change);
    else f.store(8, host, change(b.let(i64.load(host))));
    b.finishWrite(host);
    f.if(i32.eqz(equal), () => {
      b.setGpr(0, 4, i32.wrap(before));
      b.setGpr(2, 4, i32.wrap(i64.shrU(before, i64.const(32))));
    });
  } else {
    // WebAssembly has no 16-byte atomic: the two halves are exchanged under the machine's lock (helpers.lock16).
    if (b.form.lock) f.callVoid(b.helpers['lockBus'] as never, b.cpu);
    const low = b.let(i64.load(host));
    const high = b.let(i64.load(host, 8));
    f.set(equal, i32.and(i64.eq(low, b.gpr(0, 8) as I64), i64.eq(high, b.gpr(2, 8) as I64)));
    f.store(8, host, select(equal, b.gpr(3, 8), low));
    f.store(8, host, select(equal, b.gpr(1, 8), high), 8);
    if (b.form.lock) f.callVoid(b.helpers['unlockBus'] as never, b.cpu);
    b.finishWrite(host);
    f.if(i32.eqz(equal), () => {
      b.setGpr(0, 8, low);
      b.setGpr(2, 8, high);
    });
  }
  setZeroFlag(b, equal);
};

/** Replaces ZF and keeps the other five flags. */
export function setZeroFlag(b: LiftBuilder, zf: I32): void {
  const result = b.flagResult();
  const aux = b.flagAux();
  b.setFlagBits({
    cf: b.let(carryFlag(aux)),
    of: b.let(overflowFlag(aux)),
    af: b.let(i32.and(i32.shrU(aux, i32.const(3)), i32.const(1))),
    pf: b.let(b.condition(10)),
    sf: b.let(b.condition(8)),
    zf: b.let(i32.ne(zf, i32.const(0))),
  });
  void result;
}

const binaryRows = (opcode: number, name: string, lift: Lift, hot: boolean, lock: boolean): Row[] => {
  const hex = (value: number): string => value.toString(16).toUpperCase().padStart(2, '0');
  const digit = opcode >> 3;
  const indexed = name === 'cmp' || name === 'add' ? { indexed: true as const } : {};
  const fuses = name === 'cmp' ? { fuses: true as const } : {};
  const options = { ...(hot ? { hot: true as const, ...indexed, ...fuses } : {}) };
  const lockable = lock ? { ...options, lock: true as const } : options;
  return [
    row(hex(opcode), name, 'Eb,Gb', lift, lockable),
    row(hex(opcode + 1), name, 'Ev,Gv', lift, lockable),
    row(hex(opcode + 2), name, 'Gb,Eb', lift, options),
    row(hex(opcode + 3), name, 'Gv,Ev', lift, options),
    row(hex(opcode + 4), name, 'AL,Ib', lift, options),
    row(hex(opcode + 5), name, 'rAX,Iz', lift, options),
    row(`80 /${digit}`, name, 'Eb,Ib', lift, lockable),
    row(`81 /${digit}`, name, 'Ev,Iz', lift, lockable),
    row(`82 /${digit}`, name, 'Eb,Ib', lift, { ...lockable, no64: true }),
    row(`83 /${digit}`, name, 'Ev,Ibs', lift, lockable),
  ];
};

export const arithmeticRows: readonly Row[] = [
  ...binaryRows(0x00, 'add', add, true, true),
  ...binaryRows(0x08, 'or', logic('or'), true, true),
  ...binaryRows(0x10, 'adc', adc, false, true),
  ...binaryRows(0x18, 'sbb', sbb, false, true),
  ...binaryRows(0x20, 'and', logic('and'), true, true),
  ...binaryRows(0x28, 'sub', sub, true, true),
  ...binaryRows(0x30, 'xor', logic('xor'), true, true),
  ...binaryRows(0x38, 'cmp', cmp, true, false),
  row('84', 'test', 'Eb,Gb', test, { hot: true, fuses: true }),
  row('85', 'test', 'Ev,Gv', test, { hot: true, fuses: true }),
  row('A8', 'test', 'AL,Ib', test, { hot: true }),
  row('A9', 'test', 'rAX,Iz', test, { hot: true }),
  row('F6 /0', 'test', 'Eb,Ib', test, { hot: true, fuses: true }),
  row('F6 /1', 'test', 'Eb,Ib', test, { hot: true }),
  row('F7 /0', 'test', 'Ev,Iz', test, { hot: true }),
  row('F7 /1', 'test', 'Ev,Iz', test, { hot: true }),
  row('FE /0', 'inc', 'Eb', step(1), { lock: true }),
  row('FE /1', 'dec', 'Eb', step(-1), { lock: true }),
  row('FF /0', 'inc', 'Ev', step(1), { lock: true, hot: true }),
  row('FF /1', 'dec', 'Ev', step(-1), { lock: true, hot: true, fuses: true }),
  row('40+r', 'inc', 'Zv', step(1), { no64: true }),
  row('48+r', 'dec', 'Zv', step(-1), { no64: true }),
  row('F6 /2', 'not', 'Eb', not, { lock: true }),
  row('F7 /2', 'not', 'Ev', not, { lock: true, hot: true }),
  row('F6 /3', 'neg', 'Eb', neg, { lock: true }),
  row('F7 /3', 'neg', 'Ev', neg, { lock: true, hot: true }),
  row('0F C0', 'xadd', 'Eb,Gb', xadd, { lock: true }),
  row('0F C1', 'xadd', 'Ev,Gv', xadd, { lock: true }),
  row('0F B0', 'cmpxchg', 'Eb,Gb', cmpxchg, { lock: true }),
  row('0F B1', 'cmpxchg', 'Ev,Gv', cmpxchg, { lock: true }),
  row('0F C7 /1', 'cmpxchg8b', 'My', cmpxchgWide, { lock: true, names: ['cmpxchg8b', 'cmpxchg8b', 'cmpxchg16b'] }),
];
