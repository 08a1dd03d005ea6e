/**
 * x87 arithmetic and comparison: FADD, FSUB, FMUL, FDIV, their reversed, integer and popping forms, FCOM and relatives, FTST, FXAM.
 *
 * @module
 */
import { add, divide, multiply } from '../softfloat/arithmetic.ts';
import { compare, EQUAL, LESS, type Relation, UNORDERED } from '../softfloat/compare.ts';
import { FINITE, INFINITE, UNSUPPORTED, ZERO } from '../softfloat/value.ts';
import { TEMP0 } from '../state.ts';
import { loadMemory } from './operand.ts';
import type { X87Memory, X87Row } from './row.ts';
import { C0, C1, C2, C3, CONDITION_CODES, DONE, type Outcome } from './status.ts';
import type { X87 } from './x87.ts';

type Compute = (fpu: X87) => void;

// On fpu.a, ST(0) or the destination, and fpu.b, the source.
const computations: Readonly<Record<string, Compute>> = {
  fadd: (fpu) => add(fpu.environment, fpu.format, fpu.out, fpu.a, fpu.b, 0),
  fmul: (fpu) => multiply(fpu.environment, fpu.format, fpu.out, fpu.a, fpu.b),
  fsub: (fpu) => add(fpu.environment, fpu.format, fpu.out, fpu.a, fpu.b, 1),
  fsubr: (fpu) => add(fpu.environment, fpu.format, fpu.out, fpu.b, fpu.a, 1),
  fdiv: (fpu) => divide(fpu.environment, fpu.format, fpu.out, fpu.a, fpu.b),
  fdivr: (fpu) => divide(fpu.environment, fpu.format, fpu.out, fpu.b, fpu.a),
};

/** ST(to) := ST(to) op ST(from), then `pops`. */
function registers(fpu: X87, compute: Compute, to: number, from: number, pops: number): Outcome {
  if (fpu.isEmpty(to) || fpu.isEmpty(from)) return fpu.finishUnderflow(to, pops);
  fpu.load(to, fpu.a);
  fpu.load(from, fpu.b);
  compute(fpu);
  return fpu.finish(to, pops);
}

/** ST(0) := ST(0) op memory. */
function withMemory(fpu: X87, compute: Compute, kind: X87Memory, operand: number): Outcome {
  if (fpu.isEmpty(0)) return fpu.finishUnderflow(0, 0);
  fpu.load(0, fpu.a);
  loadMemory(fpu, kind, operand, fpu.b);
  compute(fpu);
  return fpu.finish(0, 0);
}

function arithmeticRows(name: string, compute: Compute): X87Row[] {
  const integer = `fi${name.slice(1)}`;
  const memory = (row: string, kind: X87Memory): X87Row => ({
    name: row,
    memory: kind,
    waits: true,
    run: (fpu, _, operand) => withMemory(fpu, compute, kind, operand),
  });
  return [
    { name: `${name} st,st(i)`, waits: true, run: (fpu, i) => registers(fpu, compute, 0, i, 0) },
    { name: `${name} st(i),st`, waits: true, run: (fpu, i) => registers(fpu, compute, i, 0, 0) },
    { name: `${name}p st(i),st`, waits: true, run: (fpu, i) => registers(fpu, compute, i, 0, 1) },
    memory(`${name} m32fp`, 'm32fp'),
    memory(`${name} m64fp`, 'm64fp'),
    memory(`${integer} m16int`, 'm16int'),
    memory(`${integer} m32int`, 'm32int'),
  ];
}

function setConditionCodes(fpu: X87, relation: Relation): void {
  fpu.status &= ~CONDITION_CODES;
  if (relation === UNORDERED) fpu.status |= C0 | C2 | C3;
  else if (relation === EQUAL) fpu.status |= C3;
  else if (relation === LESS) fpu.status |= C0;
}

/** Ends a comparison of fpu.a with fpu.b. An unmasked exception keeps it from popping, but not from setting the codes. */
function finishCompare(fpu: X87, signalling: boolean, pops: number): Outcome {
  const { environment } = fpu;
  setConditionCodes(fpu, compare(environment, fpu.a, fpu.b, signalling));
  if (!environment.suppressed()) fpu.pop(pops);
  fpu.commit();
  return DONE;
}

function compareUnderflow(fpu: X87, pops: number): Outcome {
  setConditionCodes(fpu, UNORDERED);
  if (fpu.stackFault(0)) fpu.pop(pops);
  fpu.commit();
  return DONE;
}

function compareRegister(fpu: X87, i: number, signalling: boolean, pops: number): Outcome {
  if (fpu.isEmpty(0) || fpu.isEmpty(i)) return compareUnderflow(fpu, pops);
  fpu.load(0, fpu.a);
  fpu.load(i, fpu.b);
  return finishCompare(fpu, signalling, pops);
}

function compareMemory(name: string, kind: X87Memory, pops: number): X87Row {
  return {
    name: `${name} ${kind}`,
    memory: kind,
    waits: true,
    run: (fpu, _, operand) => {
      if (fpu.isEmpty(0)) return compareUnderflow(fpu, pops);
      fpu.load(0, fpu.a);
      loadMemory(fpu, kind, operand, fpu.b);
      return finishCompare(fpu, true, pops);
    },
  };
}

/** FCOMI and relatives leave ZF, PF and CF at their places in TEMP0, for the caller to make EFLAGS of (the others clear). C1 changes only with a stack fault. */
function compareToEflags(fpu: X87, i: number, signalling: boolean, pops: number): Outcome {
  const { environment } = fpu;
  const c1 = fpu.status & C1;
  let relation: Relation = UNORDERED;
  if (fpu.isEmpty(0) || fpu.isEmpty(i)) {
    fpu.stackFault(0);
  } else {
    fpu.load(0, fpu.a);
    fpu.load(i, fpu.b);
    relation = compare(environment, fpu.a, fpu.b, signalling);
    environment.roundedUp = c1 !== 0;
  }
  fpu.u32[TEMP0 >> 2] = relation === UNORDERED ? 0x45 : relation === EQUAL ? 0x40 : relation === LESS ? 1 : 0;
  if (!environment.suppressed()) fpu.pop(pops);
  fpu.commit();
  return DONE;
}

function compareZero(fpu: X87): Outcome {
  if (fpu.isEmpty(0)) return compareUnderflow(fpu, 0);
  fpu.load(0, fpu.a);
  fpu.b.setZero(0);
  return finishCompare(fpu, true, 0);
}

/** FXAM: C3 C2 C0 say the class, C1 the sign bit, of an empty register too. */
function examine(fpu: X87): Outcome {
  fpu.status &= ~CONDITION_CODES;
  if (fpu.signExponent(0) & 0x8000) fpu.status |= C1;
  if (fpu.isEmpty(0)) {
    fpu.status |= C3 | C0;
  } else {
    fpu.load(0, fpu.a);
    const { kind, denormal } = fpu.a;
    if (kind === ZERO) fpu.status |= C3;
    else if (kind === FINITE) fpu.status |= denormal ? C3 | C2 : C2;
    else if (kind === INFINITE) fpu.status |= C2 | C0;
    else if (kind !== UNSUPPORTED) fpu.status |= C0;
  }
  fpu.commitStatus();
  return DONE;
}

export const arithmeticX87Rows: readonly X87Row[] = [
  ...Object.entries(computations).flatMap(([name, compute]) => arithmeticRows(name, compute)),
  { name: 'fcom st(i)', waits: true, run: (fpu, i) => compareRegister(fpu, i, true, 0) },
  { name: 'fcomp st(i)', waits: true, run: (fpu, i) => compareRegister(fpu, i, true, 1) },
  { name: 'fcompp', waits: true, run: (fpu) => compareRegister(fpu, 1, true, 2) },
  { name: 'fucom st(i)', waits: true, run: (fpu, i) => compareRegister(fpu, i, false, 0) },
  { name: 'fucomp st(i)', waits: true, run: (fpu, i) => compareRegister(fpu, i, false, 1) },
  { name: 'fucompp', waits: true, run: (fpu) => compareRegister(fpu, 1, false, 2) },
  compareMemory('fcom', 'm32fp', 0),
  compareMemory('fcom', 'm64fp', 0),
  compareMemory('fcomp', 'm32fp', 1),
  compareMemory('fcomp', 'm64fp', 1),
  compareMemory('ficom', 'm16int', 0),
  compareMemory('ficom', 'm32int', 0),
  compareMemory('ficomp', 'm16int', 1),
  compareMemory('ficomp', 'm32int', 1),
  { name: 'fcomi st,st(i)', waits: true, setsFlags: true, run: (fpu, i) => compareToEflags(fpu, i, true, 0) },
  { name: 'fcomip st,st(i)', waits: true, setsFlags: true, run: (fpu, i) => compareToEflags(fpu, i, true, 1) },
  { name: 'fucomi st,st(i)', waits: true, setsFlags: true, run: (fpu, i) => compareToEflags(fpu, i, false, 0) },
  { name: 'fucomip st,st(i)', waits: true, setsFlags: true, run: (fpu, i) => compareToEflags(fpu, i, false, 1) },
  { name: 'ftst', waits: true, run: compareZero },
  { name: 'fxam', waits: true, run: examine },
];
