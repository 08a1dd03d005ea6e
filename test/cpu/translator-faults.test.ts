/** Faults in the middle of translated code: everything is as before the instruction, in cold code and in hot. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CODE,
  CODE_AT,
  DATA,
  DATA_AT,
  DE,
  GP,
  loop,
  type PagedMachine,
  PF,
  SS_FAULT,
  UD2,
  userMachine,
} from './paged-machine.ts';
import { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI } from './registers.ts';

/** Page-fault error codes. */
const USER = 4,
  USER_WRITE = 6,
  USER_WRITE_PROTECTED = 7;
/** RFLAGS after comparisons. */
const AFTER_CMP_4_10 = 0x97,
  AFTER_CMP_4_7 = 0x93,
  AFTER_CMP_5_7 = 0x93;
/** Where a non-canonical address begins. */
const HOLE = 0x8000_0000_0000n;

interface Expected {
  readonly vector: number;
  readonly error?: number;
  readonly cr2?: bigint;
  /** Offset of the instruction from CODE. */
  readonly at: bigint;
  readonly rflags: number;
  readonly registers: Readonly<Record<number, bigint>>;
}

/** A test of code that ends with a fault; `check` looks at memory. */
function faults(
  name: string,
  code: readonly string[],
  registers: Readonly<Record<number, bigint>>,
  expected: Expected,
  check: (m: PagedMachine) => void = () => {},
): void {
  for (const [kind, isHot] of [
    ['cold', false],
    ['hot', true],
  ] as const) {
    test(`${name}, in ${kind} code`, () => {
      const m = userMachine(...code);
      const counts: number[] = [];
      const start = (): void => {
        counts.push(m.vcpu.stats().instructions);
        m.start(CODE, registers);
      };
      assert.ok(m.runTwice(start, isHot));
      const [, between = 0] = counts;
      assert.equal(m.vcpu.stats().instructions - between, between, 'instructions that were done');
      const { vector, error = -1, at, rflags, cr2 } = expected;
      assert.deepEqual(m.fault, { vector, error, rip: CODE + at });
      assert.equal(m.state.rflags, rflags);
      for (let n = 0; n < 16; n++) assert.equal(m.state.gpr(n), expected.registers[n] ?? 0n, `register ${n}`);
      if (cr2 !== undefined) assert.equal(m.state.cr2, cr2);
      assert.ok(m.regionCalls > 0);
      check(m);
    });
  }
}

/** Goes from page to page with RSI and counts in ECX, up to ten: the fifth page is missing. */
const pages = (...code: readonly string[]): string =>
  // add rsi, 0x1000; inc ecx; cmp ecx, 10; jne
  loop('75', ...code, '48 81 c6 00 10 00 00', 'ff c1', '83 f9 0a') + UD2;
const AT_PAGE_4 = { [RSI]: DATA + 0x4000n, [RCX]: 4n };

faults(
  'a load from a page that is missing',
  [pages('8b 06')], // mov eax, [rsi]
  { [RSI]: DATA },
  { vector: PF, error: USER, cr2: DATA + 0x4000n, at: 0n, rflags: AFTER_CMP_4_10, registers: AT_PAGE_4 },
);
faults(
  'a load with flags pending from the instruction before',
  [pages('83 f9 07', '8b 06')], // cmp ecx, 7; mov eax, [rsi]
  { [RSI]: DATA },
  { vector: PF, error: USER, cr2: DATA + 0x4000n, at: 3n, rflags: AFTER_CMP_4_7, registers: AT_PAGE_4 },
);
faults(
  'a store to a page that is missing',
  [pages('89 0e')], // mov [rsi], ecx
  { [RSI]: DATA },
  { vector: PF, error: USER_WRITE, cr2: DATA + 0x4000n, at: 0n, rflags: AFTER_CMP_4_10, registers: AT_PAGE_4 },
  (m) => assert.equal(m.u64(DATA_AT + 0x3000), 3n),
);
const AT_READ_ONLY = { [RDI]: CODE + 0x3000n, [RCX]: 4n };
const WRITE_PROTECTED: Expected = {
  vector: PF,
  error: USER_WRITE_PROTECTED,
  cr2: CODE + 0x3000n,
  at: 3n,
  rflags: AFTER_CMP_4_7,
  registers: AT_READ_ONLY,
};
faults(
  'a store to a page that may only be read',
  ['83 f9 07', '89 0f', UD2], // cmp ecx, 7; mov [rdi], ecx
  AT_READ_ONLY,
  WRITE_PROTECTED,
  (m) => assert.equal(m.u64(CODE_AT + 0x3000), 0n),
);
faults(
  'an addition to memory that may only be read',
  ['83 f9 07', '01 0f', UD2], // cmp ecx, 7; add [rdi], ecx
  AT_READ_ONLY,
  WRITE_PROTECTED,
);
faults(
  'a load that ends in a page that is missing',
  [pages('48 8b 86 fc 0f 00 00')], // mov rax, [rsi + 0xffc]
  { [RSI]: DATA },
  {
    vector: PF,
    error: USER,
    cr2: DATA + 0x4000n,
    at: 0n,
    rflags: 0x97, // cmp 3, 10
    registers: { [RSI]: DATA + 0x3000n, [RCX]: 3n },
  },
);
faults(
  'a store that ends in a page that is missing, which writes nothing',
  [pages('48 89 b6 fc 0f 00 00')], // mov [rsi + 0xffc], rsi
  { [RSI]: DATA },
  {
    vector: PF,
    error: USER_WRITE,
    cr2: DATA + 0x4000n,
    at: 0n,
    rflags: 0x97,
    registers: { [RSI]: DATA + 0x3000n, [RCX]: 3n },
  },
  (m) => assert.equal(m.u64(DATA_AT + 0x3ff8), 0n),
);
faults(
  'a push below the stack',
  [loop('75', 'ff c1', '51', '83 f9 0a'), UD2], // inc ecx; push rcx; cmp ecx, 10
  { [RSP]: DATA + 24n },
  {
    vector: PF,
    error: USER_WRITE,
    cr2: DATA - 8n,
    at: 2n,
    rflags: 0x2 | 0x1, // cmp 3, 10 sets CF, which inc keeps
    registers: { [RSP]: DATA, [RCX]: 4n },
  },
  (m) => assert.equal(m.u64(DATA_AT), 3n),
);
faults(
  'calls without end',
  ['83 f9 07', 'e8 f8 ff ff ff'], // cmp ecx, 7; call -8
  { [RSP]: DATA + 24n, [RCX]: 4n },
  {
    vector: PF,
    error: USER_WRITE,
    cr2: DATA - 8n,
    at: 3n,
    rflags: AFTER_CMP_4_7,
    registers: { [RSP]: DATA, [RCX]: 4n },
  },
  (m) => assert.equal(m.u64(DATA_AT), CODE + 8n),
);
faults(
  'an indirect call below the stack',
  ['83 f9 07', 'ff d0'], // cmp ecx, 7; call rax
  { [RSP]: DATA, [RCX]: 4n, [RAX]: CODE },
  {
    vector: PF,
    error: USER_WRITE,
    cr2: DATA - 8n,
    at: 3n,
    rflags: AFTER_CMP_4_7,
    registers: { [RSP]: DATA, [RCX]: 4n, [RAX]: CODE },
  },
);
faults(
  'a division by zero',
  [loop('75', 'ff c9', 'f7 f1'), UD2], // dec ecx; div ecx
  { [RCX]: 3n, [RAX]: 100n },
  { vector: DE, at: 2n, rflags: 0x46, registers: { [RAX]: 50n } },
);
faults(
  'a quotient that does not fit',
  ['83 f9 07', '48 f7 f9'], // cmp ecx, 7; idiv rcx
  { [RCX]: 4n, [RAX]: 5n, [RDX]: 9n },
  { vector: DE, at: 3n, rflags: AFTER_CMP_4_7, registers: { [RCX]: 4n, [RAX]: 5n, [RDX]: 9n } },
);
faults(
  'a vector that is not aligned',
  [loop('75', '0f 28 06', '83 c6 04', '83 f9 0a'), UD2], // movaps xmm0, [rsi]; add esi, 4; cmp ecx, 10
  { [RSI]: DATA, [RCX]: 4n },
  { vector: GP, error: 0, at: 0n, rflags: AFTER_CMP_4_10, registers: { [RSI]: DATA + 4n, [RCX]: 4n } },
);
faults(
  'a pair that is not aligned for CMPXCHG16B',
  ['83 f9 07', 'f0 48 0f c7 0e'], // cmp ecx, 7; lock cmpxchg16b [rsi]
  { [RSI]: DATA + 8n, [RCX]: 4n },
  { vector: GP, error: 0, at: 3n, rflags: AFTER_CMP_4_7, registers: { [RSI]: DATA + 8n, [RCX]: 4n } },
);
faults(
  'a non-canonical address by DS',
  ['83 f9 07', '8b 06'], // cmp ecx, 7; mov eax, [rsi]
  { [RSI]: HOLE, [RCX]: 4n },
  { vector: GP, error: 0, at: 3n, rflags: AFTER_CMP_4_7, registers: { [RSI]: HOLE, [RCX]: 4n } },
);
faults(
  'a non-canonical address by RBP, which is one by SS',
  ['83 f9 07', '8b 45 00'], // cmp ecx, 7; mov eax, [rbp]
  { [RBP]: HOLE, [RCX]: 4n },
  { vector: SS_FAULT, error: 0, at: 3n, rflags: AFTER_CMP_4_7, registers: { [RBP]: HOLE, [RCX]: 4n } },
);
faults(
  'a non-canonical store by RSP and an index',
  ['83 f9 07', '89 44 8c 10'], // cmp ecx, 7; mov [rsp + rcx * 4 + 0x10], eax
  { [RSP]: HOLE, [RCX]: 4n },
  { vector: SS_FAULT, error: 0, at: 3n, rflags: AFTER_CMP_4_7, registers: { [RSP]: HOLE, [RCX]: 4n } },
);
faults(
  'a push to a non-canonical address',
  ['83 f9 07', '50'], // cmp ecx, 7; push rax
  { [RSP]: HOLE + 8n, [RCX]: 4n },
  { vector: SS_FAULT, error: 0, at: 3n, rflags: AFTER_CMP_4_7, registers: { [RSP]: HOLE + 8n, [RCX]: 4n } },
);
faults(
  'a pop from a non-canonical address',
  ['83 f9 07', '58'], // cmp ecx, 7; pop rax
  { [RSP]: HOLE, [RCX]: 4n },
  { vector: SS_FAULT, error: 0, at: 3n, rflags: AFTER_CMP_4_7, registers: { [RSP]: HOLE, [RCX]: 4n } },
);
faults(
  'a jump to a non-canonical address',
  ['83 f9 07', 'ff e6'], // cmp ecx, 7; jmp rsi
  { [RSI]: HOLE, [RCX]: 4n },
  { vector: GP, error: 0, at: 3n, rflags: AFTER_CMP_4_7, registers: { [RSI]: HOLE, [RCX]: 4n } },
);
faults(
  'a return to a non-canonical address',
  ['56', '83 f9 07', 'c3'], // push rsi; cmp ecx, 7; ret
  { [RSI]: HOLE, [RCX]: 4n, [RSP]: DATA + 8n },
  { vector: GP, error: 0, at: 4n, rflags: AFTER_CMP_4_7, registers: { [RSI]: HOLE, [RCX]: 4n, [RSP]: DATA } },
);
// What follows in these loops writes all flags: only a fault needs those of the comparison.
faults(
  'XLAT from a page that is missing',
  ['b9 05 00 00 00', loop('75', 'd7', '48 01 d3', '39 f1')], // mov ecx, 5; xlat; add rbx, rdx; cmp ecx, esi
  { [RBX]: DATA, [RDX]: 0x4000n, [RSI]: 7n },
  {
    vector: PF,
    error: USER,
    cr2: DATA + 0x4000n,
    at: 5n,
    rflags: AFTER_CMP_5_7,
    registers: { [RCX]: 5n, [RBX]: DATA + 0x4000n, [RDX]: 0x4000n, [RSI]: 7n },
  },
);
faults(
  'WRFSBASE of a non-canonical address',
  ['b9 05 00 00 00', loop('75', 'f3 48 0f ae d3', '48 01 d3', '39 f1')], // ... wrfsbase rbx ...
  { [RBX]: 0x1000n, [RDX]: HOLE, [RSI]: 7n },
  {
    vector: GP,
    error: 0,
    at: 5n,
    rflags: AFTER_CMP_5_7,
    registers: { [RCX]: 5n, [RBX]: HOLE + 0x1000n, [RDX]: HOLE, [RSI]: 7n },
  },
);
