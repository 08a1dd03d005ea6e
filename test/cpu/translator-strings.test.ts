/** String instructions in translated code, which the interpreter's handlers execute. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE, DATA, DATA_AT, type PagedMachine, PF, UD, UD2, userMachine } from './paged-machine.ts';
import { RAX, RCX, RBX, RSI, RDI } from './registers.ts';

const FLAG_DF = 0x400;
/** The page behind the data is missing. */
const END = DATA + 0x4000n,
  END_AT = DATA_AT + 0x4000;
/** RFLAGS after INC of 0, and the flags that CMP of equal bytes sets. */
const AFTER_INC = 0x2,
  EQUAL = 0x46;

interface Expected {
  readonly vector: number;
  readonly at: bigint;
  readonly rflags: number;
  /** RAX, RCX, RSI, RDI. */
  readonly registers: readonly [bigint, bigint, bigint, bigint];
}

/** INC EBX, a string instruction, UD2. */
function strings(
  name: string,
  code: string,
  registers: Readonly<Record<number, bigint>>,
  expected: Expected,
  prepare: (m: PagedMachine) => void = () => {},
  check: (m: PagedMachine) => void = () => {},
  rflags = 0x2,
): void {
  for (const [kind, isHot] of [
    ['cold', false],
    ['hot', true],
  ] as const) {
    test(`${name}, in ${kind} code`, () => {
      const m = userMachine('ff c3', code, UD2);
      const start = (): void => {
        m.ram.fill(0, DATA_AT, END_AT);
        prepare(m);
        m.start(CODE, registers, rflags);
      };
      assert.ok(m.runTwice(start, isHot));
      assert.equal(m.stats.regions.instructions, 3);
      assert.deepEqual([m.fault.vector, m.fault.rip - CODE], [expected.vector, expected.at]);
      assert.deepEqual(m.gprs(RAX, RCX, RSI, RDI), expected.registers);
      assert.equal(m.state.gpr(RBX), 1n);
      assert.equal(m.state.rflags, expected.rflags);
      check(m);
    });
  }
}

const bytes = (m: PagedMachine, at: number, count: number): string => m.ram.subarray(at, at + count).toHex();

strings(
  'REP MOVSB that meets a missing page half-way has moved what it could',
  'f3 a4',
  { [RSI]: DATA, [RDI]: END - 3n, [RCX]: 8n },
  { vector: PF, at: 2n, rflags: AFTER_INC, registers: [0n, 5n, DATA + 3n, END] },
  (m) => m.put(DATA_AT, '01 02 03 04 05 06 07 08'),
  (m) => {
    assert.equal(bytes(m, END_AT - 3, 3), '010203');
    assert.deepEqual([m.state.cr2, m.fault.error], [END, 6]);
  },
);
strings(
  'REP MOVSQ whose source is missing half-way has moved what it could',
  'f3 48 a5',
  { [RSI]: END - 16n, [RDI]: DATA, [RCX]: 4n },
  { vector: PF, at: 2n, rflags: AFTER_INC, registers: [0n, 2n, END, DATA + 16n] },
  (m) => m.put(END_AT - 16, '11 22 33 44 55 66 77 88 99'),
  (m) => {
    assert.equal(bytes(m, DATA_AT, 10), '11223344556677889900');
    assert.deepEqual([m.state.cr2, m.fault.error], [END, 4]);
  },
);
strings(
  'REP STOSD that meets a missing page half-way has stored what it could',
  'f3 ab',
  { [RAX]: 0x4433_2211n, [RDI]: END - 8n, [RCX]: 3n },
  { vector: PF, at: 2n, rflags: AFTER_INC, registers: [0x4433_2211n, 1n, 0n, END] },
  () => {},
  (m) => assert.equal(bytes(m, END_AT - 12, 12), '000000001122334411223344'),
);
strings(
  'REPE CMPSB that meets a missing page leaves the flags as they were',
  'f3 a6',
  { [RSI]: DATA, [RDI]: END - 3n, [RCX]: 8n },
  { vector: PF, at: 2n, rflags: AFTER_INC, registers: [0n, 5n, DATA + 3n, END] },
);
strings(
  'REPNE SCASB that meets a missing page leaves the flags as they were',
  'f2 ae',
  { [RAX]: 7n, [RDI]: END - 3n, [RCX]: 8n },
  { vector: PF, at: 2n, rflags: AFTER_INC, registers: [7n, 5n, 0n, END] },
);
strings(
  'REPNE SCASB stops behind the byte that it looks for',
  'f2 ae',
  { [RAX]: 7n, [RDI]: DATA, [RCX]: 8n },
  { vector: UD, at: 4n, rflags: EQUAL, registers: [7n, 5n, 0n, DATA + 3n] },
  (m) => m.put(DATA_AT, '01 02 07 07'),
);
strings(
  'REPE CMPSB stops behind the bytes that differ',
  'f3 a6',
  { [RSI]: DATA, [RDI]: DATA + 0x100n, [RCX]: 8n },
  // 3 - 2: nothing but the result's parity, which is odd.
  { vector: UD, at: 4n, rflags: 0x2, registers: [0n, 5n, DATA + 3n, DATA + 0x103n] },
  (m) => {
    m.put(DATA_AT, '01 02 03');
    m.put(DATA_AT + 0x100, '01 02 02');
  },
);
for (const [name, code] of [
  ['REP MOVSB', 'f3 a4'],
  ['REP STOSQ', 'f3 48 ab'],
  ['REPE CMPSW', 'f3 66 a7'],
  ['REPNE SCASB', 'f2 ae'],
] as const) {
  strings(
    `${name} with RCX = 0 touches neither memory nor flags`,
    code,
    { [RSI]: END, [RDI]: END },
    {
      vector: UD,
      at: BigInt(2 + code.replaceAll(' ', '').length / 2),
      rflags: AFTER_INC,
      registers: [0n, 0n, END, END],
    },
  );
}
strings(
  'REP MOVSB backwards moves from the highest byte on',
  'f3 a4',
  { [RSI]: DATA + 3n, [RDI]: DATA + 5n, [RCX]: 4n },
  { vector: UD, at: 4n, rflags: AFTER_INC | FLAG_DF, registers: [0n, 0n, DATA - 1n, DATA + 1n] },
  (m) => m.put(DATA_AT, '01 02 03 04'),
  (m) => assert.equal(bytes(m, DATA_AT, 8), '0102010203040000'),
  0x2 | FLAG_DF,
);
strings(
  'REP MOVSB to just ahead of its source repeats what it has moved',
  'f3 a4',
  { [RSI]: DATA, [RDI]: DATA + 2n, [RCX]: 10n },
  { vector: UD, at: 4n, rflags: AFTER_INC, registers: [0n, 0n, DATA + 10n, DATA + 12n] },
  (m) => m.put(DATA_AT, 'ab cd'),
  (m) => assert.equal(bytes(m, DATA_AT, 12), 'abcdabcdabcdabcdabcdabcd'),
);
strings(
  'REP MOVSB over the ends of pages moves them whole',
  'f3 a4',
  { [RSI]: DATA + 1n, [RDI]: DATA + 0x2000n, [RCX]: 0x1ffen },
  { vector: UD, at: 4n, rflags: AFTER_INC, registers: [0n, 0n, DATA + 0x1fffn, DATA + 0x3ffen] },
  (m) => m.ram.fill(0x5a, DATA_AT, DATA_AT + 0x2000),
  (m) => assert.equal(bytes(m, END_AT - 4, 4), '5a5a0000'),
);
for (const [name, code, size] of [
  ['REP MOVSB', 'f3 a4', 1],
  ['REP MOVSD', 'f3 a5', 4],
  ['REP MOVSQ', 'f3 48 a5', 8],
] as const) {
  // Pages end at different elements, one to nine bytes before each other, or in the middle of one; the last two copy what they have written.
  for (const [from, to] of [
    [0x3n, 0x2000n],
    [0x1n, 0x2004n],
    [0x2000n, 0x9n],
    [0x7f8n, 0x27f9n],
    [0x10n, 0x1n],
    [0x1n, 0x9n],
    [0x8n, 0x10n],
  ] as const) {
    const count = 0x1800 / size;
    strings(
      `${name} of a page and a half from ${from.toString(16)}h to ${to.toString(16)}h moves every element in order`,
      code,
      { [RSI]: DATA + from, [RDI]: DATA + to, [RCX]: BigInt(count) },
      {
        vector: UD,
        at: BigInt(2 + code.replaceAll(' ', '').length / 2),
        rflags: AFTER_INC,
        registers: [0n, 0n, DATA + from + 0x1800n, DATA + to + 0x1800n],
      },
      (m) => fillData(m),
      (m) => {
        const expected = new Uint8Array(0x4000);
        for (let at = 0; at < 0x4000; at++) expected[at] = dataByte(at);
        for (let at = 0; at < 0x1800; at += size)
          expected.copyWithin(Number(to) + at, Number(from) + at, Number(from) + at + size);
        assert.equal(bytes(m, DATA_AT, 0x4000), expected.toHex());
      },
    );
  }
}
strings(
  'REP STOSD of a page and a half from 2 bytes before the end of an element stores every one',
  'f3 ab',
  { [RAX]: 0x5555_5555n, [RDI]: DATA + 2n, [RCX]: 0x600n },
  { vector: UD, at: 4n, rflags: AFTER_INC, registers: [0x5555_5555n, 0n, 0n, DATA + 0x1802n] },
  (m) => fillData(m),
  (m) => assert.equal(bytes(m, DATA_AT, 0x1806), `${dataHex(0, 2)}${'55'.repeat(0x1800)}${dataHex(0x1802, 0x1806)}`),
);

function dataByte(at: number): number {
  return (at * 29 + (at >> 8)) & 0xff;
}
function dataHex(from: number, to: number): string {
  return Uint8Array.from({ length: to - from }, (_, n) => dataByte(from + n)).toHex();
}
function fillData(m: PagedMachine): void {
  for (let at = 0; at < 0x4000; at++) m.ram[DATA_AT + at] = dataByte(at);
}
