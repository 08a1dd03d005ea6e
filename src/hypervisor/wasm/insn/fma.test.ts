import assert from 'node:assert/strict';
import test from 'node:test';
import { SseOperation } from '../softfloat/sse-slow.ts';
import { hostFuses } from './fma-host.ts';
import { fusedRowsFor } from './fma.ts';
import { InstructionBench } from './test-instruction.ts';

/** The host's own fused operations where it has them, and what is done where it has none. */
const WAYS = [
  { way: 'on the host', bench: new InstructionBench(fusedRowsFor(hostFuses)) },
  { way: 'emulated', bench: new InstructionBench(fusedRowsFor(() => false)) },
];
/** Everything masked, round to nearest; the precision flag set or not. */
const QUIET = 0x1f80,
  INEXACT = 0x1fa0;

/** xorshift32: the same values in every run. */
let seed = 0x2545_f491;
function random(): number {
  seed ^= seed << 13;
  seed ^= seed >>> 17;
  seed ^= seed << 5;
  return seed >>> 0;
}

/** 1 to 2 with as many bits as the format has, or few. */
const significand = (): number =>
  random() & 3 ? 1 + random() / 2 ** 32 + random() / 2 ** 60 : 1 + (random() % 16) / 16;
const ordinary = (): number => (random() & 1 ? 1 : -1) * significand() * 2 ** ((random() % 60) - 30);
/** An addend that leaves little of the product, or a number of any magnitude. */
function addend(product: number, epsilon: number): number {
  switch (random() % 4) {
    case 0:
      return -product * (1 + ((random() % 5) - 2) * epsilon);
    case 1:
      return product * 2 ** ((random() % 130) - 65) * significand();
    case 2:
      return (random() % 3) * 2 ** ((random() % 200) - 100);
    default:
      return ordinary();
  }
}

/** A number at the edges of its format: zero, denormal, at the least normal number, huge, infinite or a NaN. */
const edge = (least: number, epsilon: number): number =>
  [0, least * epsilon, least / 2, least, least * (1 + epsilon), 1 / least, 1.5 / (least * epsilon), Infinity, NaN][
    random() % 9
  ] as number;

const doubles = new Float64Array(2);
const singles = new Float32Array(doubles.buffer);
const quadwords = new BigUint64Array(doubles.buffer);
const register = (view: Float64Array | Float32Array, values: readonly number[]): bigint => {
  view.set(values);
  return (quadwords[0] as bigint) | ((quadwords[1] as bigint) << 64n);
};

interface Fusing {
  readonly name: string;
  readonly code: readonly number[];
  readonly view: Float32Array | Float64Array;
  readonly epsilon: number;
  readonly least: number;
}
/** VFMADD231 of a type on XMM0, 1 and 2: its bytes, and what softfloat calls it. */
const FORMS: readonly Fusing[] = [
  { name: 'fmaddps', code: [0xc4, 0xe2, 0x71, 0xb8, 0xc2], view: singles, epsilon: 2 ** -23, least: 2 ** -126 },
  { name: 'fmaddpd', code: [0xc4, 0xe2, 0xf1, 0xb8, 0xc2], view: doubles, epsilon: 2 ** -52, least: 2 ** -1022 },
  { name: 'fmaddss', code: [0xc4, 0xe2, 0x71, 0xb9, 0xc2], view: singles, epsilon: 2 ** -23, least: 2 ** -126 },
  { name: 'fmaddsd', code: [0xc4, 0xe2, 0xf1, 0xb9, 0xc2], view: doubles, epsilon: 2 ** -52, least: 2 ** -1022 },
];
const DESTINATION = 5;

/** Fuses what is in XMM0, 1 and 2, and compares with softfloat: registers and MXCSR. */
function compare(bench: InstructionBench, form: Fusing, mxcsr: number, what: string): void {
  const { name, code } = form;
  bench.setXmm(DESTINATION, bench.xmm(0));
  bench.mxcsr = mxcsr;
  const operation = SseOperation[name] as number;
  bench.slow.run(operation, bench.xmmAt(DESTINATION), bench.xmmAt(1), bench.xmmAt(2), bench.xmmAt(0));
  const flags = bench.mxcsr;
  bench.mxcsr = mxcsr;
  assert.equal(bench.run(...code), -1);
  assert.equal(bench.xmm(0).toString(16), bench.xmm(DESTINATION).toString(16), what);
  assert.equal(bench.mxcsr, flags, what);
}

for (const { way, bench } of WAYS) {
  for (const form of FORMS) {
    const { name, view, epsilon, least } = form;
    for (const mxcsr of [QUIET, INEXACT]) {
      test(`${name} ${way} gives softfloat's result and flags, MXCSR ${mxcsr.toString(16)}`, () => {
        const calls = bench.slowCalls;
        const rounds = 3000;
        for (let round = 0; round < rounds; round++) {
          const x = Array.from(view, ordinary);
          const y = Array.from(view, ordinary);
          const exact = view === singles ? Math.fround : (value: number) => value;
          const z = x.map((value, i) => addend(exact(value) * exact(y[i] as number), epsilon));
          bench.setXmm(0, register(view, z));
          bench.setXmm(1, register(view, x));
          bench.setXmm(2, register(view, y));
          compare(bench, form, mxcsr, `${x.join()} * ${y.join()} + ${z.join()}`);
        }
        // With the flag set hardly anything needs softfloat: zeros of doubles do.
        if (mxcsr === INEXACT) assert.ok(bench.slowCalls - calls < rounds / 5, `${bench.slowCalls - calls} slow calls`);
      });
    }

    test(`${name} ${way} gives softfloat's result and flags at the edges of its range`, () => {
      const any = (): number =>
        random() & 1 ? edge(least, epsilon) : ordinary() * (random() & 1 ? Math.sqrt(least) : 1);
      for (let round = 0; round < 6000; round++) {
        const [x, y, z] = [any, any, any].map((value) => Array.from(view, value)) as [number[], number[], number[]];
        bench.setXmm(0, register(view, z));
        bench.setXmm(1, register(view, x));
        bench.setXmm(2, register(view, y));
        compare(bench, form, random() & 1 ? QUIET : INEXACT, `${x.join()} * ${y.join()} + ${z.join()}`);
      }
    });
  }
}
