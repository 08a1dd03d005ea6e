/**
 * x87 data transfer: FLD, FST, FILD, FIST, FISTTP, FBLD, FBSTP, FXCH, FCMOV, constants, FABS, FCHS.
 *
 * @module
 */
import { fromBcd, toBcd } from '../softfloat/bcd.ts';
import { convert, toInteger } from '../softfloat/convert.ts';
import type { CONSTANTS } from '../softfloat/elementary.ts';
import { IE, ROUND_ZERO } from '../softfloat/environment.ts';
import { BINARY32, BINARY64, EXTENDED } from '../softfloat/format.ts';
import { constant } from '../softfloat/transcendental.ts';
import { loadMemory } from './operand.ts';
import type { X87Memory, X87Row } from './row.ts';
import { C1, DONE, DONE_WITHOUT_WRITE, type Outcome } from './status.ts';
import type { X87 } from './x87.ts';

/** Raises stack overflow when there is no room: the default NaN is pushed over what is there. */
function overflows(fpu: X87): boolean {
  if (fpu.isEmpty(7)) return false;
  if (fpu.stackFault(C1)) {
    fpu.rotate(-1);
    fpu.storeDefaultNan(0);
  }
  fpu.commit();
  return true;
}

/** Pushes `out`. Unlike arithmetic, a load of a denormal goes ahead when DE is unmasked. */
function push(fpu: X87): Outcome {
  const { environment } = fpu;
  if (!(environment.flags & ~environment.masks & IE)) {
    fpu.rotate(-1);
    fpu.store(0, fpu.out);
  }
  environment.roundedUp = false;
  fpu.commit();
  return DONE;
}

function loadNumber(name: string, kind: X87Memory): X87Row {
  return {
    name,
    memory: kind,
    waits: true,
    run: (fpu, _, operand) => {
      if (overflows(fpu)) return DONE;
      loadMemory(fpu, kind, operand, fpu.a);
      convert(fpu.environment, EXTENDED, fpu.out, fpu.a, kind === 'm32fp' || kind === 'm64fp');
      return push(fpu);
    },
  };
}

/** FLD m80fp moves the bytes, whatever they mean. */
function loadExtended(fpu: X87, _: number, operand: number): Outcome {
  if (overflows(fpu)) return DONE;
  const { memory } = fpu;
  fpu.rotate(-1);
  fpu.storeParts(
    0,
    memory.getUint16(operand + 8, true),
    memory.getUint32(operand + 4, true),
    memory.getUint32(operand, true),
  );
  fpu.commit();
  return DONE;
}

function loadBcd(fpu: X87, _: number, operand: number): Outcome {
  if (overflows(fpu)) return DONE;
  fromBcd(fpu.memoryBytes.subarray(operand, operand + 10), fpu.a);
  convert(fpu.environment, EXTENDED, fpu.out, fpu.a, false);
  return push(fpu);
}

/** FLD ST(i). An empty source is underflow, even where the push would overflow. */
function loadRegister(fpu: X87, i: number): Outcome {
  if (fpu.isEmpty(i)) {
    if (fpu.stackFault(0)) {
      fpu.rotate(-1);
      fpu.storeDefaultNan(0);
    }
  } else {
    if (overflows(fpu)) return DONE;
    const signExponent = fpu.signExponent(i),
      high = fpu.significandHigh(i),
      low = fpu.significandLow(i);
    fpu.rotate(-1);
    fpu.storeParts(0, signExponent, high, low);
  }
  fpu.commit();
  return DONE;
}

function loadConstant(name: string, which: keyof typeof CONSTANTS | 'one' | 'zero'): X87Row {
  return {
    name,
    waits: true,
    run: (fpu) => {
      if (overflows(fpu)) return DONE;
      if (which === 'one') fpu.out.set(0, EXTENDED.bias, EXTENDED.top);
      else if (which === 'zero') fpu.out.set(0, 0, 0n);
      else constant(fpu.environment, fpu.out, which);
      return push(fpu);
    },
  };
}

/** FST to memory as binary32 or binary64. */
function storeNumber(name: string, kind: 'm32fp' | 'm64fp', pops: number): X87Row {
  return {
    name,
    memory: kind,
    store: true,
    waits: true,
    run: (fpu, _, operand) => {
      const { environment, memory, out } = fpu;
      const format = kind === 'm32fp' ? BINARY32 : BINARY64;
      if (fpu.isEmpty(0)) {
        fpu.stackFault(0);
        out.set(1, kind === 'm32fp' ? 0xff : 0x7ff, format.top | (format.top >> 1n));
      } else {
        fpu.load(0, fpu.a);
        convert(environment, format, out, fpu.a, false);
      }
      if (!fpu.finishStore(pops)) return DONE_WITHOUT_WRITE;
      if (kind === 'm32fp') {
        memory.setInt32(operand, out.binary32(), true);
      } else {
        out.binary64(words, 0);
        memory.setInt32(operand, words[0]!, true);
        memory.setInt32(operand + 4, words[1]!, true);
      }
      return DONE;
    },
  };
}
const words = new Int32Array(2);

function storeExtended(fpu: X87, _: number, operand: number): Outcome {
  const { memory } = fpu;
  let signExponent = 0xffff,
    high = 0xc000_0000,
    low = 0;
  if (fpu.isEmpty(0)) {
    fpu.stackFault(0);
  } else {
    signExponent = fpu.signExponent(0);
    high = fpu.significandHigh(0);
    low = fpu.significandLow(0);
  }
  if (!fpu.finishStore(1)) return DONE_WITHOUT_WRITE;
  memory.setUint32(operand, low, true);
  memory.setUint32(operand + 4, high, true);
  memory.setUint16(operand + 8, signExponent, true);
  return DONE;
}

function storeInteger(name: string, kind: 'm16int' | 'm32int' | 'm64int', pops: number, truncate = false): X87Row {
  const bits = kind === 'm16int' ? 16 : kind === 'm32int' ? 32 : 64;
  return {
    name,
    memory: kind,
    store: true,
    waits: true,
    run: (fpu, _, operand) => {
      const { environment, memory } = fpu;
      let value = -1n << BigInt(bits - 1);
      if (fpu.isEmpty(0)) {
        fpu.stackFault(0);
      } else {
        fpu.load(0, fpu.a);
        value = toInteger(environment, fpu.a, bits, truncate ? ROUND_ZERO : environment.rounding);
      }
      if (!fpu.finishStore(pops)) return DONE_WITHOUT_WRITE;
      if (kind === 'm16int') memory.setInt16(operand, Number(value), true);
      else if (kind === 'm32int') memory.setInt32(operand, Number(value), true);
      else memory.setBigInt64(operand, value, true);
      return DONE;
    },
  };
}

const bcd = new Uint8Array(10);
const BCD_INDEFINITE: readonly number[] = [0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff];

function storeBcd(fpu: X87, _: number, operand: number): Outcome {
  if (fpu.isEmpty(0)) {
    fpu.stackFault(0);
    bcd.set(BCD_INDEFINITE);
  } else {
    fpu.load(0, fpu.a);
    toBcd(fpu.environment, fpu.a, bcd);
  }
  if (!fpu.finishStore(1)) return DONE_WITHOUT_WRITE;
  fpu.memoryBytes.set(bcd, operand);
  return DONE;
}

function storeRegister(fpu: X87, i: number, pops: number): Outcome {
  if (fpu.isEmpty(0)) return fpu.finishUnderflow(i, pops);
  fpu.copy(0, i);
  fpu.pop(pops);
  fpu.commit();
  return DONE;
}

/** The undocumented D9 D8+i: FSTP ST(i) that only pops when ST(0) is empty. */
function storeUnchecked(fpu: X87, i: number): Outcome {
  if (!fpu.isEmpty(0)) fpu.copy(0, i);
  fpu.pop(1);
  fpu.commit();
  return DONE;
}

function exchange(fpu: X87, i: number): Outcome {
  const empty0 = fpu.isEmpty(0),
    emptyI = fpu.isEmpty(i);
  if (empty0 || emptyI) {
    if (!fpu.stackFault(0)) {
      fpu.commit();
      return DONE;
    }
    if (empty0) fpu.storeDefaultNan(0);
    if (emptyI) fpu.storeDefaultNan(i);
  }
  const signExponent = fpu.signExponent(0),
    high = fpu.significandHigh(0),
    low = fpu.significandLow(0);
  fpu.copy(i, 0);
  fpu.storeParts(i, signExponent, high, low);
  fpu.commit();
  return DONE;
}

/** FCMOV: an empty register on either side is an underflow whether the condition holds or not; otherwise C1 stays. */
function moveConditionally(fpu: X87, i: number, holds: number): Outcome {
  if (fpu.isEmpty(0) || fpu.isEmpty(i)) return fpu.finishUnderflow(0, 0);
  if (holds) fpu.copy(i, 0);
  fpu.commitStatus();
  return DONE;
}

function changeSign(fpu: X87, keep: number, flip: number): Outcome {
  if (fpu.isEmpty(0)) return fpu.finishUnderflow(0, 0);
  fpu.storeParts(0, (fpu.signExponent(0) & keep) ^ flip, fpu.significandHigh(0), fpu.significandLow(0));
  fpu.commit();
  return DONE;
}

export const transferX87Rows: readonly X87Row[] = [
  loadNumber('fld m32fp', 'm32fp'),
  loadNumber('fld m64fp', 'm64fp'),
  { name: 'fld m80fp', memory: 'm80fp', waits: true, run: loadExtended },
  { name: 'fld st(i)', waits: true, run: loadRegister },
  loadNumber('fild m16int', 'm16int'),
  loadNumber('fild m32int', 'm32int'),
  loadNumber('fild m64int', 'm64int'),
  { name: 'fbld m80bcd', memory: 'm80bcd', waits: true, run: loadBcd },
  storeNumber('fst m32fp', 'm32fp', 0),
  storeNumber('fstp m32fp', 'm32fp', 1),
  storeNumber('fst m64fp', 'm64fp', 0),
  storeNumber('fstp m64fp', 'm64fp', 1),
  { name: 'fstp m80fp', memory: 'm80fp', store: true, waits: true, run: storeExtended },
  { name: 'fst st(i)', waits: true, run: (fpu, i) => storeRegister(fpu, i, 0) },
  { name: 'fstp st(i)', waits: true, run: (fpu, i) => storeRegister(fpu, i, 1) },
  { name: 'fstp1 st(i)', waits: true, run: storeUnchecked },
  storeInteger('fist m16int', 'm16int', 0),
  storeInteger('fist m32int', 'm32int', 0),
  storeInteger('fistp m16int', 'm16int', 1),
  storeInteger('fistp m32int', 'm32int', 1),
  storeInteger('fistp m64int', 'm64int', 1),
  storeInteger('fisttp m16int', 'm16int', 1, true),
  storeInteger('fisttp m32int', 'm32int', 1, true),
  storeInteger('fisttp m64int', 'm64int', 1, true),
  { name: 'fbstp m80bcd', memory: 'm80bcd', store: true, waits: true, run: storeBcd },
  { name: 'fxch st(i)', waits: true, run: exchange },
  { name: 'fcmov st,st(i)', waits: true, run: moveConditionally },
  loadConstant('fld1', 'one'),
  loadConstant('fldz', 'zero'),
  loadConstant('fldpi', 'pi'),
  loadConstant('fldl2t', 'log2Of10'),
  loadConstant('fldl2e', 'log2OfE'),
  loadConstant('fldlg2', 'log10Of2'),
  loadConstant('fldln2', 'lnOf2'),
  { name: 'fabs', waits: true, run: (fpu) => changeSign(fpu, 0x7fff, 0) },
  { name: 'fchs', waits: true, run: (fpu) => changeSign(fpu, 0xffff, 0x8000) },
];
