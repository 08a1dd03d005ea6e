import assert from 'node:assert/strict';
import test from 'node:test';
import { SseOperation } from '../softfloat/sse-slow.ts';
import { DATA, InstructionBench } from './test-instruction.ts';

const bench = new InstructionBench();
const GP = 13,
  PF = 14,
  MF = 16;
const RBX = 3,
  RCX = 1;

/** Everything masked, round to nearest; the precision flag set or not. */
const QUIET = 0x1f80,
  INEXACT = 0x1fa0;

const doubles = new Float64Array(2);
const quadwords = new BigUint64Array(doubles.buffer);
const singles = new Float32Array(doubles.buffer);
const pd = (low: number, high: number): bigint => {
  doubles.set([low, high]);
  return (quadwords[0] as bigint) | ((quadwords[1] as bigint) << 64n);
};
const ps = (a: number, b: number, c: number, d: number): bigint => {
  singles.set([a, b, c, d]);
  return (quadwords[0] as bigint) | ((quadwords[1] as bigint) << 64n);
};

/** xorshift32: the same values in every run. */
let seed = 0x2545_f491;
function random(): number {
  seed ^= seed << 13;
  seed ^= seed >>> 17;
  seed ^= seed << 5;
  return seed >>> 0;
}
const pick = <T>(values: readonly T[]): T => values[random() % values.length] as T;

/** Doubles of all kinds: ordinary, short, at the limits of the format, denormal, infinite, NaN. */
function anyDouble(): number {
  const sign = random() & 1 ? -1 : 1;
  const significand = 1 + random() / 2 ** 32;
  switch (random() % 8) {
    case 0:
      return sign * (random() % 1000);
    case 1:
      return sign * significand * 2 ** ((random() % 20) - 10);
    case 2:
      return sign * significand * 2 ** ((random() % 2098) - 1074);
    case 3:
      return sign * (2 ** -511 + (random() % 4) * 2 ** -563) * pick([1, 0.5]);
    case 4:
      return sign * (1 + (random() % 8) / 8) * 2 ** ((random() % 130) - 65);
    case 5:
      return (
        sign * pick([0, 2 ** -1022, 2 ** 1023, Number.MAX_VALUE, Number.MIN_VALUE, 2 ** -126, 2 ** -149, 2 ** 127])
      );
    case 6:
      return pick([Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN]);
    default:
      return sign * random() * pick([1, 2 ** 32, 2 ** -32]);
  }
}
const anySingle = (): number => Math.fround(anyDouble() * pick([1, 1, 2 ** -100, 2 ** 450]));

/**
 * Lanes about as large, all of them, or as small as numbers whose product is at the limits of the format, 2^limit and 2^-limit, or well
 * beyond: one lane of another size would be enough for care.
 */
function lanesAtLimit(limit: number): () => number {
  const exponent = Math.round(pick([-limit, limit, -1.5 * limit, 1.5 * limit]));
  return () => (random() & 1 ? -1 : 1) * (1 + random() / 2 ** 32) * 2 ** (exponent + (random() % 4) - 1);
}

/** Arithmetic as [mnemonic, mandatory prefix, opcode]. */
const OPERATIONS: readonly (readonly [string, number, number])[] = [
  ['add', 0x58],
  ['mul', 0x59],
  ['sub', 0x5c],
  ['min', 0x5d],
  ['div', 0x5e],
  ['max', 0x5f],
  ['sqrt', 0x51],
].flatMap(([name, opcode]) =>
  (
    [
      ['ps', 0],
      ['ss', 0xf3],
      ['pd', 0x66],
      ['sd', 0xf2],
    ] as const
  ).map(([suffix, prefix]) => [`${name}${suffix}`, prefix, opcode as number] as const),
);
const DESTINATION = 1,
  SOURCE = 2,
  SCRATCH = 5;
/** OP XMM1, XMM2. */
const encode = (prefix: number, opcode: number): number[] => [...(prefix === 0 ? [] : [prefix]), 0x0f, opcode, 0xca];

for (const [name, prefix, opcode] of OPERATIONS) {
  test(`${name} gives on the host's arithmetic what it gives exactly, MXCSR included`, () => {
    const single = name.endsWith('s') && (name.endsWith('ps') || name.endsWith('ss'));
    for (let i = 0; i < 6000; i++) {
      const lanes = i % 2 === 0 ? lanesAtLimit : () => (single ? anySingle : anyDouble);
      const value = (): bigint => {
        const lane = lanes(single ? 63 : 511);
        return single ? ps(lane(), lane(), lane(), lane()) : pd(lane(), lane());
      };
      const mxcsr = pick([QUIET, INEXACT, INEXACT, INEXACT, 0x3fa0, 0x5fa0, 0x7fa0, 0x9fa0, 0x1fe0, 0x9fc0, 0x1fbf]);
      const x = value();
      const y = value();
      bench.setXmm(SCRATCH, x);
      bench.setXmm(SOURCE, y);
      bench.mxcsr = mxcsr;
      bench.slow.run(SseOperation[name] as number, bench.xmmAt(SCRATCH), bench.xmmAt(SCRATCH), bench.xmmAt(SOURCE), 0);
      const wanted = bench.xmm(SCRATCH);
      const flags = bench.mxcsr;
      bench.setXmm(DESTINATION, x);
      bench.mxcsr = mxcsr;
      assert.equal(bench.run(...encode(prefix, opcode)), -1);
      const text = `${x.toString(16)} ${y.toString(16)} under ${mxcsr.toString(16)}`;
      assert.equal(bench.xmm(DESTINATION).toString(16), wanted.toString(16), text);
      assert.equal(bench.mxcsr.toString(16), flags.toString(16), text);
    }
  });
}

test('ordinary arithmetic does not leave WebAssembly once a result was inexact', () => {
  const before = bench.slowCalls;
  for (const [name, prefix, opcode] of OPERATIONS) {
    bench.mxcsr = INEXACT;
    const single = /[ps]s$/.test(name);
    bench.setXmm(DESTINATION, single ? ps(1.1, 2.3, 3.7, 4.9) : pd(1.1, 2.3));
    bench.setXmm(SOURCE, single ? ps(0.3, 7.1, 1.9, 0) : pd(0.3, 7.1));
    // Division by zero is not ordinary.
    if (name === 'divps') bench.setXmm(SOURCE, ps(1.3, 7.1, 1.9, 1));
    bench.run(...encode(prefix, opcode));
  }
  assert.equal(bench.slowCalls, before);
});

test('exact arithmetic does not leave WebAssembly while no result was inexact', () => {
  const before = bench.slowCalls;
  for (const [name, prefix, opcode] of OPERATIONS) {
    bench.mxcsr = QUIET;
    const single = /[ps]s$/.test(name);
    bench.setXmm(DESTINATION, single ? ps(36, 64, 9, 100) : pd(36, 64));
    bench.setXmm(SOURCE, single ? ps(4, 16, 9, 25) : pd(4, 16));
    bench.run(...encode(prefix, opcode));
  }
  assert.equal(bench.slowCalls, before);
  assert.equal(bench.mxcsr, QUIET);
});

test('an inexact sum sets the precision flag', () => {
  bench.mxcsr = QUIET;
  bench.setXmm(DESTINATION, pd(0.1, 0));
  bench.setXmm(SOURCE, pd(0.2, 0));
  bench.run(0xf2, 0x0f, 0x58, 0xca);
  assert.equal(bench.mxcsr, INEXACT);
});

test('a product that only rounds up to the least normal number has underflowed', () => {
  bench.mxcsr = INEXACT;
  bench.setXmm(DESTINATION, pd((1 - 2 ** -53) * 2 ** -511, 0));
  bench.setXmm(SOURCE, pd(2 ** -511, 0));
  bench.run(0xf2, 0x0f, 0x59, 0xca);
  assert.equal(bench.xmm(DESTINATION), pd(2 ** -1022, 0));
  assert.equal(bench.mxcsr, INEXACT | 0x10);
});

test('a scalar operation keeps the upper part of its destination', () => {
  bench.mxcsr = INEXACT;
  bench.setXmm(DESTINATION, pd(1, 77));
  bench.setXmm(SOURCE, pd(2, 88));
  bench.run(0xf2, 0x0f, 0x58, 0xca);
  assert.equal(bench.xmm(DESTINATION), pd(3, 77));
});

test('MOVSD from memory clears the upper half, between registers it does not', () => {
  bench.setGpr(RBX, BigInt(DATA + 3));
  bench.view.setFloat64(DATA + 3, 5, true);
  bench.setXmm(DESTINATION, pd(1, 77));
  bench.setXmm(SOURCE, pd(2, 88));
  bench.run(0xf2, 0x0f, 0x10, 0xca);
  assert.equal(bench.xmm(DESTINATION), pd(2, 77));
  bench.run(0xf2, 0x0f, 0x10, 0x0b);
  assert.equal(bench.xmm(DESTINATION), pd(5, 0));
});

test('a misaligned operand raises #GP where alignment is required, before the page fault', () => {
  bench.setGpr(RBX, BigInt(DATA + 8));
  assert.equal(bench.run(0x0f, 0x28, 0x0b), GP, 'movaps load');
  assert.equal(bench.run(0x66, 0x0f, 0x7f, 0x0b), GP, 'movdqa store');
  assert.equal(bench.run(0x66, 0x0f, 0xfe, 0x0b), GP, 'paddd');
  assert.equal(bench.run(0x0f, 0x58, 0x0b), GP, 'addps');
  assert.equal(bench.run(0x0f, 0x10, 0x0b), -1, 'movups');
  assert.equal(bench.run(0xf2, 0x0f, 0xf0, 0x0b), -1, 'lddqu');
  assert.equal(bench.run(0x66, 0x0f, 0x3a, 0x63, 0x0b, 0), -1, 'pcmpistri');
  bench.setGpr(RBX, 8n);
  assert.equal(bench.run(0x0f, 0x28, 0x0b), GP, 'movaps, not present');
  assert.equal(bench.run(0x0f, 0x10, 0x0b), PF, 'movups, not present');
});

test('a fault leaves the destination alone', () => {
  bench.setGpr(RBX, 16n);
  bench.setXmm(DESTINATION, 0x1234n);
  assert.equal(bench.run(0x66, 0x0f, 0xfe, 0x0b), PF);
  assert.equal(bench.xmm(DESTINATION), 0x1234n);
});

test('shift counts beyond the width give zeros, or copies of the sign', () => {
  const words = 0x8000_7fff_0001_ffff_8000_7fff_0001_ffffn;
  const shifted = (opcode: number, count: bigint): bigint => {
    bench.setXmm(DESTINATION, words);
    bench.setXmm(SOURCE, count | (0xdeadn << 64n));
    bench.run(0x66, 0x0f, opcode, 0xca);
    return bench.xmm(DESTINATION);
  };
  assert.equal(shifted(0xd1, 15n), 0x0001_0000_0000_0001_0001_0000_0000_0001n);
  for (const count of [16n, 0x100n, 1n << 32n, (1n << 64n) - 1n]) {
    assert.equal(shifted(0xd1, count), 0n, 'psrlw');
    assert.equal(shifted(0xf1, count), 0n, 'psllw');
    assert.equal(shifted(0xe1, count), 0xffff_0000_0000_ffff_ffff_0000_0000_ffffn, 'psraw');
  }
});

test('PSHUFB takes zero for indices with bit 7 set', () => {
  bench.setXmm(DESTINATION, 0x0f0e0d0c_0b0a0908_07060504_03020100n);
  bench.setXmm(SOURCE, 0x8f800f10_1f7f0001_ffff0102_030405f0n);
  bench.run(0x66, 0x0f, 0x38, 0x00, 0xca);
  assert.equal(bench.xmm(DESTINATION), 0x00000f00_0f0f0001_00000102_03040500n);
});

test('every PSHUFD and PSHUFLW immediate selects its fields', () => {
  const word = (n: number): bigint => BigInt(0x1111 * (n + 1));
  const source = Array.from({ length: 8 }, (_, i) => word(i) << BigInt(16 * i)).reduce((a, b) => a | b);
  bench.setXmm(SOURCE, source);
  for (let imm = 0; imm < 256; imm++) {
    let dwords = 0n;
    let words = (source >> 64n) << 64n;
    for (let i = 0; i < 4; i++) {
      const field = (imm >> (2 * i)) & 3;
      dwords |= ((source >> BigInt(32 * field)) & 0xffff_ffffn) << BigInt(32 * i);
      words |= word(field) << BigInt(16 * i);
    }
    bench.run(0x66, 0x0f, 0x70, 0xca, imm);
    assert.equal(bench.xmm(DESTINATION), dwords, `pshufd ${imm}`);
    bench.run(0xf2, 0x0f, 0x70, 0xca, imm);
    assert.equal(bench.xmm(DESTINATION), words, `pshuflw ${imm}`);
  }
});

test('PCMPISTRI finds a letter, and says sixteen and clears CF where there is none', () => {
  const text = (s: string): bigint => [...s].reduce((v, c, i) => v | (BigInt(c.charCodeAt(0)) << BigInt(8 * i)), 0n);
  bench.setXmm(DESTINATION, text('xyz'));
  bench.setXmm(SOURCE, text('find the y'));
  assert.equal(bench.run(0x66, 0x0f, 0x3a, 0x63, 0xca, 0), -1);
  assert.deepEqual([bench.gpr(RCX), bench.carry], [9n, true]);
  bench.setXmm(SOURCE, text('nothing here'));
  bench.run(0x66, 0x0f, 0x3a, 0x63, 0xca, 0);
  assert.deepEqual([bench.gpr(RCX), bench.carry], [16n, false]);
});

test('COMISD orders numbers and calls NaN unordered', () => {
  const ordered = (x: number, y: number): readonly boolean[] => {
    bench.mxcsr = QUIET;
    bench.setXmm(DESTINATION, pd(x, 0));
    bench.setXmm(SOURCE, pd(y, 0));
    bench.run(0x66, 0x0f, 0x2f, 0xca);
    return [bench.zero, bench.carry];
  };
  assert.deepEqual(ordered(1, 2), [false, true]);
  assert.deepEqual(ordered(2, 1), [false, false]);
  assert.deepEqual(ordered(0, -0), [true, false]);
  assert.deepEqual(ordered(1, Number.NaN), [true, true]);
});

test('an MMX instruction sets TOP to 0, all tags valid and the exponent to ones; EMMS empties the tags', () => {
  bench.fpuStatus = 0x3900;
  bench.fpuTags = 0x10;
  bench.setMmx(1, 0xff01n);
  bench.setMmx(2, 0x0102n);
  // PADDB MM1, MM2
  assert.equal(bench.run(0x0f, 0xfc, 0xca), -1);
  assert.deepEqual([bench.mmx(1), bench.mmxExponent(1)], [0x0003n, 0xffff]);
  assert.deepEqual([bench.fpuStatus, bench.fpuTags], [0x0100, 0xff]);
  assert.equal(bench.run(0x0f, 0x77), -1);
  assert.equal(bench.fpuTags, 0);
});

test('an MMX instruction reports a pending x87 exception and does nothing else', () => {
  bench.fpuStatus = 0xb881;
  bench.fpuTags = 0x10;
  bench.setMmx(1, 5n);
  assert.equal(bench.run(0x0f, 0xfc, 0xc9), MF);
  assert.deepEqual([bench.mmx(1), bench.fpuStatus, bench.fpuTags], [5n, 0xb881, 0x10]);
  bench.fpuStatus = 0;
});
