/**
 * The table of SSE operations behind `SseSlow`: one row an instruction, its lanes and what happens in each.
 *
 * @module
 */
import { add, divide, multiply, squareRoot } from './arithmetic.ts';
import { compare, EQUAL, LESS, maximumIsFirst, minimumIsFirst, UNORDERED } from './compare.ts';
import type { Relation } from './compare.ts';
import { convert, roundToIntegral, toInteger } from './convert.ts';
import { PE, ROUND_ZERO } from './environment.ts';
import { BINARY16, BINARY32, BINARY64 } from './format.ts';
import { multiplyAdd } from './fused.ts';
import * as native from './native.ts';
import { reciprocal, reciprocalSquareRoot } from './reciprocal.ts';
import type { SseSlow } from './sse-slow.ts';

export interface SseRow {
  readonly name: string;
  /** The first source matters (16 bytes are read). */
  readonly readsFirst: boolean;
  /** Three sources. */
  readonly readsThird?: true;
  /** Bytes read of the second source, and written of the result. */
  readonly sourceBytes: number;
  readonly resultBytes: number;
  readonly run: (slow: SseSlow, immediate: number) => void;
}

/** Works on one lane; `i` counts lanes of the width that the function is for. */
type Lane = (slow: SseSlow, i: number, immediate: number) => void;

function loadA32(slow: SseSlow, i: number): void {
  slow.a.fromBinary32(slow.aWords[i]!, slow.environment);
}
function loadB32(slow: SseSlow, i: number): void {
  slow.b.fromBinary32(slow.bWords[i]!, slow.environment);
}
function loadA64(slow: SseSlow, i: number): void {
  slow.a.fromBinary64(slow.aWords[2 * i + 1]!, slow.aWords[2 * i]!, slow.environment);
}
function loadB64(slow: SseSlow, i: number): void {
  slow.b.fromBinary64(slow.bWords[2 * i + 1]!, slow.bWords[2 * i]!, slow.environment);
}
function store32(slow: SseSlow, i: number): void {
  slow.outWords[i] = slow.out.binary32();
}
function store64(slow: SseSlow, i: number): void {
  slow.out.binary64(slow.outWords, 2 * i);
}
/** Takes a result of native.ts, if there is one. */
function native32(slow: SseSlow, i: number, value: number): boolean {
  if (Number.isNaN(value)) return false;
  slow.outSingles[i] = value;
  if (native.status.inexact) slow.environment.flags |= PE;
  return true;
}
function native64(slow: SseSlow, i: number, value: number): boolean {
  if (Number.isNaN(value)) return false;
  slow.outDoubles[i] = value;
  if (native.status.inexact) slow.environment.flags |= PE;
  return true;
}

const add32: Lane = (slow, i) => {
  if (native32(slow, i, native.add32(slow.aSingles[i]!, slow.bSingles[i]!, slow.environment.rounding))) return;
  loadA32(slow, i);
  loadB32(slow, i);
  add(slow.environment, BINARY32, slow.out, slow.a, slow.b, 0);
  store32(slow, i);
};
const add64: Lane = (slow, i) => {
  if (native64(slow, i, native.add64(slow.aDoubles[i]!, slow.bDoubles[i]!, slow.environment.rounding))) return;
  loadA64(slow, i);
  loadB64(slow, i);
  add(slow.environment, BINARY64, slow.out, slow.a, slow.b, 0);
  store64(slow, i);
};
const subtract32: Lane = (slow, i) => {
  if (native32(slow, i, native.add32(slow.aSingles[i]!, -slow.bSingles[i]!, slow.environment.rounding))) return;
  loadA32(slow, i);
  loadB32(slow, i);
  add(slow.environment, BINARY32, slow.out, slow.a, slow.b, 1);
  store32(slow, i);
};
const subtract64: Lane = (slow, i) => {
  if (native64(slow, i, native.add64(slow.aDoubles[i]!, -slow.bDoubles[i]!, slow.environment.rounding))) return;
  loadA64(slow, i);
  loadB64(slow, i);
  add(slow.environment, BINARY64, slow.out, slow.a, slow.b, 1);
  store64(slow, i);
};
const multiply32: Lane = (slow, i) => {
  if (native32(slow, i, native.multiply32(slow.aSingles[i]!, slow.bSingles[i]!, slow.environment.rounding))) return;
  loadA32(slow, i);
  loadB32(slow, i);
  multiply(slow.environment, BINARY32, slow.out, slow.a, slow.b);
  store32(slow, i);
};
const multiply64: Lane = (slow, i) => {
  if (native64(slow, i, native.multiply64(slow.aDoubles[i]!, slow.bDoubles[i]!, slow.environment.rounding))) return;
  loadA64(slow, i);
  loadB64(slow, i);
  multiply(slow.environment, BINARY64, slow.out, slow.a, slow.b);
  store64(slow, i);
};
const divide32: Lane = (slow, i) => {
  if (native32(slow, i, native.divide32(slow.aSingles[i]!, slow.bSingles[i]!, slow.environment.rounding))) return;
  loadA32(slow, i);
  loadB32(slow, i);
  divide(slow.environment, BINARY32, slow.out, slow.a, slow.b);
  store32(slow, i);
};
const divide64: Lane = (slow, i) => {
  if (native64(slow, i, native.divide64(slow.aDoubles[i]!, slow.bDoubles[i]!, slow.environment.rounding))) return;
  loadA64(slow, i);
  loadB64(slow, i);
  divide(slow.environment, BINARY64, slow.out, slow.a, slow.b);
  store64(slow, i);
};
const squareRoot32: Lane = (slow, i) => {
  if (native32(slow, i, native.squareRoot32(slow.bSingles[i]!, slow.environment.rounding))) return;
  loadB32(slow, i);
  squareRoot(slow.environment, BINARY32, slow.out, slow.b);
  store32(slow, i);
};
const squareRoot64: Lane = (slow, i) => {
  if (native64(slow, i, native.squareRoot64(slow.bDoubles[i]!, slow.environment.rounding))) return;
  loadB64(slow, i);
  squareRoot(slow.environment, BINARY64, slow.out, slow.b);
  store64(slow, i);
};

/** The bits of a chosen operand pass unchanged, but for a denormal that MXCSR.DAZ turns into a zero. */
function choose32(slow: SseSlow, i: number, bits: number): void {
  slow.outWords[i] = slow.environment.denormalsAreZero && (bits & 0x7f80_0000) === 0 ? bits & 0x8000_0000 : bits;
}
function choose64(slow: SseSlow, i: number, from: Int32Array): void {
  const high = from[2 * i + 1]!;
  const flush = slow.environment.denormalsAreZero && (high & 0x7ff0_0000) === 0;
  slow.outWords[2 * i] = flush ? 0 : from[2 * i]!;
  slow.outWords[2 * i + 1] = flush ? high & 0x8000_0000 : high;
}
const extreme32 =
  (isFirst: typeof minimumIsFirst): Lane =>
  (slow, i) => {
    loadA32(slow, i);
    loadB32(slow, i);
    choose32(slow, i, isFirst(slow.environment, slow.a, slow.b) ? slow.aWords[i]! : slow.bWords[i]!);
  };
const extreme64 =
  (isFirst: typeof minimumIsFirst): Lane =>
  (slow, i) => {
    loadA64(slow, i);
    loadB64(slow, i);
    choose64(slow, i, isFirst(slow.environment, slow.a, slow.b) ? slow.aWords : slow.bWords);
  };

/**
 * CMPPS predicates: EQ LT LE UNORD, and their negations. LT, LE and their negations signal quiet NaNs. Of VEX forms bit 3 turns
 * what NaNs give, bit 4 which predicates signal (SDM volume 2A, table 3-1).
 */
function predicate(slow: SseSlow, immediate: number): boolean {
  const kind = immediate & 3;
  const signals = (kind === 1 || kind === 2) !== ((immediate & 16) !== 0);
  const relation = compare(slow.environment, slow.a, slow.b, signals);
  let holds: boolean;
  switch (kind) {
    case 0:
      holds = relation === EQUAL;
      break;
    case 1:
      holds = relation === LESS;
      break;
    case 2:
      holds = relation === LESS || relation === EQUAL;
      break;
    default:
      holds = relation === UNORDERED;
      break;
  }
  if (relation === UNORDERED && (immediate & 8) !== 0) holds = !holds;
  return holds !== ((immediate & 4) !== 0);
}
const compare32: Lane = (slow, i, immediate) => {
  loadA32(slow, i);
  loadB32(slow, i);
  slow.outWords[i] = predicate(slow, immediate) ? -1 : 0;
};
const compare64: Lane = (slow, i, immediate) => {
  loadA64(slow, i);
  loadB64(slow, i);
  const mask = predicate(slow, immediate) ? -1 : 0;
  slow.outWords[2 * i] = mask;
  slow.outWords[2 * i + 1] = mask;
};

/** ZF, PF and CF of COMISD. */
function relationFlags(relation: Relation): number {
  switch (relation) {
    case UNORDERED:
      return 0x45;
    case EQUAL:
      return 0x40;
    case LESS:
      return 0x01;
    default:
      return 0;
  }
}
const order32 =
  (signalling: boolean): Lane =>
  (slow) => {
    loadA32(slow, 0);
    loadB32(slow, 0);
    slow.outWords[0] = relationFlags(compare(slow.environment, slow.a, slow.b, signalling));
    slow.outWords[1] = 0;
  };
const order64 =
  (signalling: boolean): Lane =>
  (slow) => {
    loadA64(slow, 0);
    loadB64(slow, 0);
    slow.outWords[0] = relationFlags(compare(slow.environment, slow.a, slow.b, signalling));
    slow.outWords[1] = 0;
  };

/** ROUNDPS immediate: bits 0-1 the mode, bit 2 MXCSR's instead, bit 3 no precision exception. */
function roundLane(slow: SseSlow, format: typeof BINARY32, immediate: number): void {
  const { environment } = slow;
  const before = environment.flags;
  const rounding = immediate & 4 ? environment.rounding : immediate & 3;
  roundToIntegral(environment, format, slow.out, slow.b, rounding, false);
  if (immediate & 8) environment.flags = (environment.flags & ~PE) | before;
}
const round32: Lane = (slow, i, immediate) => {
  loadB32(slow, i);
  roundLane(slow, BINARY32, immediate);
  store32(slow, i);
};
const round64: Lane = (slow, i, immediate) => {
  loadB64(slow, i);
  roundLane(slow, BINARY64, immediate);
  store64(slow, i);
};

/** Between the formats: lane `from` of the source to lane `to` of the result. */
function widen(slow: SseSlow, from: number, to: number): void {
  loadB32(slow, from);
  convert(slow.environment, BINARY64, slow.out, slow.b, true);
  store64(slow, to);
}
function narrow(slow: SseSlow, from: number, to: number): void {
  if (native32(slow, to, native.narrow64(slow.bDoubles[from]!, slow.environment.rounding))) return;
  loadB64(slow, from);
  convert(slow.environment, BINARY32, slow.out, slow.b, true);
  store32(slow, to);
}

function loadInteger32(slow: SseSlow, i: number): void {
  const value = slow.bWords[i]!;
  slow.b.fromInteger(value < 0 ? 1 : 0, 0, Math.abs(value) | 0);
}
function loadInteger64(slow: SseSlow): void {
  const low = slow.bWords[0]!,
    high = slow.bWords[1]!;
  if (high >= 0) slow.b.fromInteger(0, high, low);
  else slow.b.fromInteger(1, ~high + (low === 0 ? 1 : 0), -low | 0);
}
const fromInteger32to32: Lane = (slow, i) => {
  loadInteger32(slow, i);
  convert(slow.environment, BINARY32, slow.out, slow.b, false);
  store32(slow, i);
};
const fromInteger32to64: Lane = (slow, i) => {
  slow.outDoubles[i] = slow.bWords[i]!;
};
const fromInteger64to32: Lane = (slow) => {
  loadInteger64(slow);
  convert(slow.environment, BINARY32, slow.out, slow.b, false);
  store32(slow, 0);
};
const fromInteger64to64: Lane = (slow) => {
  loadInteger64(slow);
  convert(slow.environment, BINARY64, slow.out, slow.b, false);
  store64(slow, 0);
};
/** The loaded source as a 32-bit integer in result word `to`. */
function storeInteger32(slow: SseSlow, to: number, truncate: boolean): void {
  const { environment } = slow;
  slow.outWords[to] = Number(toInteger(environment, slow.b, 32, truncate ? ROUND_ZERO : environment.rounding));
}
function storeInteger64(slow: SseSlow, truncate: boolean): void {
  const { environment } = slow;
  const value = toInteger(environment, slow.b, 64, truncate ? ROUND_ZERO : environment.rounding);
  slow.outWords[0] = Number(BigInt.asIntN(32, value));
  slow.outWords[1] = Number(value >> 32n);
}
const packed32ToInteger =
  (truncate: boolean): Lane =>
  (slow, i) => {
    loadB32(slow, i);
    storeInteger32(slow, i, truncate);
  };
const packed64ToInteger =
  (truncate: boolean): Lane =>
  (slow, i) => {
    loadB64(slow, i);
    storeInteger32(slow, i, truncate);
  };
const scalarToInteger =
  (load: (slow: SseSlow, i: number) => void, bits: 32 | 64, truncate: boolean): Lane =>
  (slow) => {
    load(slow, 0);
    if (bits === 64) {
      storeInteger64(slow, truncate);
    } else {
      storeInteger32(slow, 0, truncate);
      slow.outWords[1] = 0;
    }
  };

/** ADDSUBPS: even lanes subtract, odd ones add. */
const addSubtract32: Lane = (slow, i) => (i & 1 ? add32 : subtract32)(slow, i, 0);
const addSubtract64: Lane = (slow, i) => (i & 1 ? add64 : subtract64)(slow, i, 0);

/** HADDPS: neighbours of the first source give the lower half, of the second the upper. */
function horizontal32(slow: SseSlow, lane: Lane): void {
  const [a0, a1, a2, a3] = slow.aWords as unknown as [number, number, number, number];
  const [b0, b1, b2, b3] = slow.bWords as unknown as [number, number, number, number];
  slow.aWords.set([a0, a2, b0, b2]);
  slow.bWords.set([a1, a3, b1, b3]);
  for (let i = 0; i < 4; i++) lane(slow, i, 0);
}
function horizontal64(slow: SseSlow, lane: Lane): void {
  const a = slow.aWords.slice(),
    b = slow.bWords.slice();
  slow.aWords.set(b.subarray(0, 2), 2);
  slow.bWords.set(a.subarray(2), 0);
  lane(slow, 0, 0);
  lane(slow, 1, 0);
}

/** Makes the result the next sources: as it is in `own`, with its words at `order` in `other`. */
function feedBack(slow: SseSlow, own: Int32Array, other: Int32Array, order: readonly number[]): void {
  own.set(slow.outWords);
  for (let i = 0; i < 4; i++) other[i] = slow.outWords[order[i]!]!;
}
/**
 * DPPS: the sum of the products that bits 4-7 select, in the lanes that bits 0-3 select. Every lane is added to
 * its neighbour, and adds its counterpart in the other half: the sums differ only in which of several NaNs comes out.
 */
function dotProduct32(slow: SseSlow, immediate: number): void {
  for (let i = 0; i < 4; i++) {
    if (immediate & (16 << i)) multiply32(slow, i, 0);
    else slow.outWords[i] = 0;
  }
  if (slow.stepFaults()) return;
  feedBack(slow, slow.bWords, slow.aWords, [1, 0, 3, 2]);
  for (let i = 0; i < 4; i++) add32(slow, i, 0);
  if (slow.stepFaults()) return;
  feedBack(slow, slow.aWords, slow.bWords, [2, 3, 0, 1]);
  for (let i = 0; i < 4; i++) add32(slow, i, 0);
  for (let i = 0; i < 4; i++) if (!(immediate & (1 << i))) slow.outWords[i] = 0;
}
function dotProduct64(slow: SseSlow, immediate: number): void {
  for (let i = 0; i < 2; i++) {
    if (immediate & (16 << i)) multiply64(slow, i, 0);
    else slow.outDoubles[i] = 0;
  }
  if (slow.stepFaults()) return;
  feedBack(slow, slow.aWords, slow.bWords, [2, 3, 0, 1]);
  for (let i = 0; i < 2; i++) add64(slow, i, 0);
  for (let i = 0; i < 2; i++) if (!(immediate & (1 << i))) slow.outDoubles[i] = 0;
}

const fused32 =
  (negateProduct: number, negateAddend: number): Lane =>
  (slow, i) => {
    loadA32(slow, i);
    loadB32(slow, i);
    slow.c.fromBinary32(slow.cWords[i]!, slow.environment);
    multiplyAdd(slow.environment, BINARY32, slow.out, slow.a, slow.b, slow.c, negateProduct, negateAddend);
    store32(slow, i);
  };
const fused64 =
  (negateProduct: number, negateAddend: number): Lane =>
  (slow, i) => {
    loadA64(slow, i);
    loadB64(slow, i);
    slow.c.fromBinary64(slow.cWords[2 * i + 1]!, slow.cWords[2 * i]!, slow.environment);
    multiplyAdd(slow.environment, BINARY64, slow.out, slow.a, slow.b, slow.c, negateProduct, negateAddend);
    store64(slow, i);
  };
const fused = (name: string, negateProduct: number, negateAddend: number): SseRow[] =>
  family(name, true, fused32(negateProduct, negateAddend), fused64(negateProduct, negateAddend)).map((row) => ({
    ...row,
    readsThird: true,
  }));
/** FMADDSUB: even lanes subtract, odd ones add; FMSUBADD the other way round. */
function fusedAlternating(name: string, evenSubtracts: 0 | 1): SseRow[] {
  const of = (lane: (negateProduct: number, negateAddend: number) => Lane): Lane => {
    const even = lane(0, evenSubtracts),
      odd = lane(0, 1 - evenSubtracts);
    return (slow, i, immediate) => (i & 1 ? odd : even)(slow, i, immediate);
  };
  const rows = [lanes(`${name}ps`, true, 4, 4, of(fused32)), lanes(`${name}pd`, true, 2, 8, of(fused64))];
  return rows.map((row) => ({ ...row, readsThird: true }));
}

/** VCVTPH2PS: DAZ does not count. */
function widenHalf(slow: SseSlow, i: number): void {
  slow.b.fromBinary16((slow.bWords[i >> 1]! >>> ((i & 1) * 16)) & 0xffff);
  convert(slow.environment, BINARY32, slow.out, slow.b, false);
  store32(slow, i);
}
/** VCVTPS2PH: immediate bits 0-1 the mode, bit 2 MXCSR's instead; FTZ does not count. */
function narrowToHalf(slow: SseSlow, immediate: number): void {
  const { environment } = slow;
  if (!(immediate & 4)) environment.rounding = immediate & 3;
  environment.flushToZero = false;
  for (let i = 0; i < 4; i += 2) {
    let pair = 0;
    for (let k = 0; k < 2; k++) {
      loadB32(slow, i + k);
      convert(environment, BINARY16, slow.out, slow.b, true);
      pair |= slow.out.binary16() << (k * 16);
    }
    slow.outWords[i >> 1] = pair;
  }
}

function lanes(name: string, readsFirst: boolean, count: number, laneBytes: number, lane: Lane): SseRow {
  const bytes = count * laneBytes;
  return {
    name,
    readsFirst,
    sourceBytes: bytes,
    resultBytes: bytes,
    run: (slow, immediate) => {
      for (let i = 0; i < count; i++) lane(slow, i, immediate);
    },
  };
}
/** The four forms of an operation: packed and scalar, single and double. */
function family(name: string, readsFirst: boolean, lane32: Lane, lane64: Lane): SseRow[] {
  return [
    lanes(`${name}ps`, readsFirst, 4, 4, lane32),
    lanes(`${name}ss`, readsFirst, 1, 4, lane32),
    lanes(`${name}pd`, readsFirst, 2, 8, lane64),
    lanes(`${name}sd`, readsFirst, 1, 8, lane64),
  ];
}
/** A row with its own idea of lanes. */
function whole(
  name: string,
  readsFirst: boolean,
  sourceBytes: number,
  resultBytes: number,
  run: SseRow['run'],
): SseRow {
  return { name, readsFirst, sourceBytes, resultBytes, run };
}

// biome-ignore format: one instruction a line
export const sseRows: readonly SseRow[] = [
  ...family('add', true, add32, add64),
  ...family('sub', true, subtract32, subtract64),
  ...family('mul', true, multiply32, multiply64),
  ...family('div', true, divide32, divide64),
  ...family('min', true, extreme32(minimumIsFirst), extreme64(minimumIsFirst)),
  ...family('max', true, extreme32(maximumIsFirst), extreme64(maximumIsFirst)),
  ...family('sqrt', false, squareRoot32, squareRoot64),
  ...family('cmp', true, compare32, compare64),
  ...family('round', false, round32, round64),
  lanes('rcpps', false, 4, 4, (slow, i) => { slow.outWords[i] = reciprocal(slow.bWords[i]!); }),
  lanes('rcpss', false, 1, 4, (slow, i) => { slow.outWords[i] = reciprocal(slow.bWords[i]!); }),
  lanes('rsqrtps', false, 4, 4, (slow, i) => { slow.outWords[i] = reciprocalSquareRoot(slow.bWords[i]!); }),
  lanes('rsqrtss', false, 1, 4, (slow, i) => { slow.outWords[i] = reciprocalSquareRoot(slow.bWords[i]!); }),
  lanes('addsubps', true, 4, 4, addSubtract32),
  lanes('addsubpd', true, 2, 8, addSubtract64),
  whole('haddps', true, 16, 16, (slow) => horizontal32(slow, add32)),
  whole('haddpd', true, 16, 16, (slow) => horizontal64(slow, add64)),
  whole('hsubps', true, 16, 16, (slow) => horizontal32(slow, subtract32)),
  whole('hsubpd', true, 16, 16, (slow) => horizontal64(slow, subtract64)),
  whole('dpps', true, 16, 16, dotProduct32),
  whole('dppd', true, 16, 16, dotProduct64),
  ...fused('fmadd', 0, 0),
  ...fused('fmsub', 0, 1),
  ...fused('fnmadd', 1, 0),
  ...fused('fnmsub', 1, 1),
  ...fusedAlternating('fmaddsub', 1),
  ...fusedAlternating('fmsubadd', 0),
  whole('cvtph2ps', false, 8, 16, (slow) => { for (let i = 0; i < 4; i++) widenHalf(slow, i); }),
  whole('cvtps2ph', false, 16, 8, narrowToHalf),
  whole('comiss', true, 4, 8, (slow) => order32(true)(slow, 0, 0)),
  whole('ucomiss', true, 4, 8, (slow) => order32(false)(slow, 0, 0)),
  whole('comisd', true, 8, 8, (slow) => order64(true)(slow, 0, 0)),
  whole('ucomisd', true, 8, 8, (slow) => order64(false)(slow, 0, 0)),
  whole('cvtss2sd', false, 4, 8, (slow) => widen(slow, 0, 0)),
  whole('cvtps2pd', false, 8, 16, (slow) => { widen(slow, 0, 0); widen(slow, 1, 1); }),
  whole('cvtsd2ss', false, 8, 4, (slow) => narrow(slow, 0, 0)),
  whole('cvtpd2ps', false, 16, 16, (slow) => { narrow(slow, 0, 0); narrow(slow, 1, 1); slow.outDoubles[1] = 0; }),
  lanes('cvtdq2ps', false, 4, 4, fromInteger32to32),
  whole('cvtdq2pd', false, 8, 16, (slow) => { fromInteger32to64(slow, 0, 0); fromInteger32to64(slow, 1, 0); }),
  lanes('cvtps2dq', false, 4, 4, packed32ToInteger(false)),
  lanes('cvttps2dq', false, 4, 4, packed32ToInteger(true)),
  whole('cvtpd2dq', false, 16, 16, (slow) => { for (let i = 0; i < 2; i++) packed64ToInteger(false)(slow, i, 0); slow.outDoubles[1] = 0; }),
  whole('cvttpd2dq', false, 16, 16, (slow) => { for (let i = 0; i < 2; i++) packed64ToInteger(true)(slow, i, 0); slow.outDoubles[1] = 0; }),
  // MMX register or m64 on one side.
  lanes('cvtpi2ps', false, 2, 4, fromInteger32to32),
  whole('cvtpi2pd', false, 8, 16, (slow) => { fromInteger32to64(slow, 0, 0); fromInteger32to64(slow, 1, 0); }),
  lanes('cvtps2pi', false, 2, 4, packed32ToInteger(false)),
  lanes('cvttps2pi', false, 2, 4, packed32ToInteger(true)),
  whole('cvtpd2pi', false, 16, 8, (slow) => { for (let i = 0; i < 2; i++) packed64ToInteger(false)(slow, i, 0); }),
  whole('cvttpd2pi', false, 16, 8, (slow) => { for (let i = 0; i < 2; i++) packed64ToInteger(true)(slow, i, 0); }),
  // General register or memory on one side.
  whole('cvtsi2ss_32', false, 4, 4, (slow) => fromInteger32to32(slow, 0, 0)),
  whole('cvtsi2ss_64', false, 8, 4, (slow) => fromInteger64to32(slow, 0, 0)),
  whole('cvtsi2sd_32', false, 4, 8, (slow) => fromInteger32to64(slow, 0, 0)),
  whole('cvtsi2sd_64', false, 8, 8, (slow) => fromInteger64to64(slow, 0, 0)),
  whole('cvtss2si_32', false, 4, 8, (slow) => scalarToInteger(loadB32, 32, false)(slow, 0, 0)),
  whole('cvtss2si_64', false, 4, 8, (slow) => scalarToInteger(loadB32, 64, false)(slow, 0, 0)),
  whole('cvttss2si_32', false, 4, 8, (slow) => scalarToInteger(loadB32, 32, true)(slow, 0, 0)),
  whole('cvttss2si_64', false, 4, 8, (slow) => scalarToInteger(loadB32, 64, true)(slow, 0, 0)),
  whole('cvtsd2si_32', false, 8, 8, (slow) => scalarToInteger(loadB64, 32, false)(slow, 0, 0)),
  whole('cvtsd2si_64', false, 8, 8, (slow) => scalarToInteger(loadB64, 64, false)(slow, 0, 0)),
  whole('cvttsd2si_32', false, 8, 8, (slow) => scalarToInteger(loadB64, 32, true)(slow, 0, 0)),
  whole('cvttsd2si_64', false, 8, 8, (slow) => scalarToInteger(loadB64, 64, true)(slow, 0, 0)),
];
