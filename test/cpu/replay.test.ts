import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import type { CaseInput, CpuCase, Outcome } from './case.ts';
import { decodeCases, encodeCases, readHeader } from './case-format.ts';
import { fillDefault, Profile } from './default-state.ts';
import { LONG } from './environment.ts';
import { COMPARED_FLAGS, Flag, MachineState, RAX, STATUS_FLAGS } from './machine-state.ts';
import { recordNative, recorderUnavailable } from './recorder/native.ts';
import { differences, type Executor, readVectors, replay, summarize, VECTOR_DIRECTORY, vectorFiles } from './replay.ts';

/** ADD RAX, RCX (48 01 C8) from the seeded state 7, its flags all compared but AF. */
function addition(): CpuCase {
  const initial = new MachineState();
  fillDefault(initial, LONG, 7, Profile.Random, false);
  const state = initial.clone();
  state.gpr[RAX] = BigInt.asUintN(64, initial.gpr[RAX] + initial.gpr[1]);
  state.rip = initial.rip + 3n;
  const expected: Outcome = {
    vector: -1,
    errorCode: 0,
    cr2: 0n,
    state,
    writes: [{ offset: 16, bytes: Uint8Array.of(1, 2, 3) }],
  };
  return {
    form: 'add Ev,Gv [01]',
    environment: LONG,
    seed: 7,
    profile: Profile.Random,
    code: Uint8Array.of(0x48, 0x01, 0xc8),
    initial,
    patches: [{ offset: 16, bytes: Uint8Array.of(9, 9, 9) }],
    comparison: { flags: COMPARED_FLAGS & ~Flag.AF },
    expected,
  };
}

/** The case's own expectation, changed a little. */
function outcome(c: CpuCase, change: (state: MachineState) => void, rest: Partial<Outcome> = {}): Outcome {
  const state = c.expected.state.clone();
  change(state);
  return { ...c.expected, state, ...rest };
}
const whats = (c: CpuCase, got: Outcome): string[] => differences(c, got).map((d) => d.what);

test('the expected outcome has no difference', () => {
  const c = addition();
  assert.deepEqual(
    differences(
      c,
      outcome(c, () => {}),
    ),
    [],
  );
});

test('a wrong register, instruction pointer, defined flag, byte of memory or exception is reported', () => {
  const c = addition();
  assert.deepEqual(
    whats(
      c,
      outcome(c, (s) => {
        s.gpr[RAX] ^= 1n;
      }),
    ),
    ['rax'],
  );
  assert.deepEqual(
    whats(
      c,
      outcome(c, (s) => {
        s.rip += 1n;
      }),
    ),
    ['rip'],
  );
  assert.deepEqual(
    whats(
      c,
      outcome(c, (s) => {
        s.rflags ^= Flag.CF;
      }),
    ),
    ['flags'],
  );
  assert.deepEqual(
    whats(
      c,
      outcome(c, (s) => {
        s.xmm[3] ^= 1n;
      }),
    ),
    ['xmm1 high'],
  );
  assert.deepEqual(
    whats(
      c,
      outcome(c, (s) => {
        s.st[2] ^= 1n;
      }),
    ),
    ['st1'],
  );
  assert.deepEqual(
    whats(
      c,
      outcome(c, (s) => {
        s.mxcsr ^= 1;
      }),
    ),
    ['mxcsr'],
  );
  assert.deepEqual(
    whats(
      c,
      outcome(c, () => {}, { vector: 13 }),
    ),
    ['exception'],
  );
  assert.deepEqual(
    whats(
      c,
      outcome(c, () => {}, { writes: [] }),
    ),
    ['[20001010]'],
  );
});

test('an undefined flag is not compared', () => {
  const c = addition();
  assert.deepEqual(
    differences(
      c,
      outcome(c, (s) => {
        s.rflags ^= Flag.AF;
      }),
    ),
    [],
  );
});

test('the same memory written in other pieces is no difference', () => {
  const c = addition();
  const writes = [1, 2, 3].map((byte, i) => ({ offset: 16 + i, bytes: Uint8Array.of(byte) }));
  assert.deepEqual(
    differences(
      c,
      outcome(c, () => {}, { writes }),
    ),
    [],
  );
});

test('error code and CR2 of a page fault are compared', () => {
  const plain = addition();
  const c: CpuCase = { ...plain, expected: { ...plain.expected, vector: 14, errorCode: 6, cr2: 0x20000ff8n } };
  assert.deepEqual(
    whats(
      c,
      outcome(c, () => {}, { errorCode: 7 }),
    ),
    ['error code'],
  );
  assert.deepEqual(
    whats(
      c,
      outcome(c, () => {}, { cr2: 0x20001000n }),
    ),
    ['cr2'],
  );
});

test('an approximation may differ by its tolerance and no more', () => {
  const plain = addition();
  const exact = 0x3f80_0000n;
  plain.expected.state.xmm[0] = exact;
  const c: CpuCase = { ...plain, comparison: { flags: 0, f32RelativeExponent: -10 } };
  assert.deepEqual(
    whats(
      c,
      outcome(c, (s) => {
        s.xmm[0] = exact + 0x1000n;
      }),
    ),
    [],
  );
  assert.deepEqual(
    whats(
      c,
      outcome(c, (s) => {
        s.xmm[0] = exact + 0x4000n;
      }),
    ),
    ['xmm0 low'],
  );
});

test('a report names the form, the bytes and the three values', () => {
  const c = addition();
  const wrong: Executor = {
    run: (input) =>
      outcome(input as CpuCase, (s) => {
        s.gpr[RAX] = 0x42n;
      }),
  };
  const [result] = replay([c], wrong);
  assert.deepEqual([result.cases, result.failed], [1, 1]);
  assert.match(result.reports[0], /add Ev,Gv \[01\] \(long\): 48 01 c8/);
  assert.match(result.reports[0], /rax: was [0-9a-f]+, expected [0-9a-f]+, got 42/);
});

test('an executor that throws is a mismatch, and the replay goes on', () => {
  const broken: Executor = {
    run: () => {
      throw new Error('no such handler');
    },
  };
  const [result] = replay([addition(), addition()], broken);
  assert.deepEqual([result.cases, result.failed], [2, 2]);
  assert.match(result.reports[0], /no such handler/);
});

test('cases survive the file format', () => {
  const c = addition();
  const [back] = decodeCases(encodeCases([c]));
  assert.deepEqual(back.initial.bytes, c.initial.bytes);
  assert.deepEqual(back.expected.state.bytes, c.expected.state.bytes);
  assert.deepEqual(
    { ...back, initial: 0, expected: { ...back.expected, state: 0 } },
    { ...c, initial: 0, expected: { ...c.expected, state: 0 } },
  );
});

test('a damaged vector file is refused with an error', () => {
  const file = encodeCases([addition()]);
  file[file.length >> 1] ^= 0xff;
  assert.throws(() => [...decodeCases(file)]);
});

const recorder = recorderUnavailable();
const intel = /vendor_id\s*: GenuineIntel/.test(recorder === undefined ? readFileSync('/proc/cpuinfo', 'latin1') : '');

test('the native recorder adds two registers', { skip: recorder ?? false }, () => {
  const c = addition();
  const [got] = recordNative([{ ...c, patches: [] }]);
  assert.equal(got.vector, -1);
  assert.equal(got.state.gpr[RAX], c.expected.state.gpr[RAX]);
  assert.equal(got.state.rip, c.initial.rip + 3n);
});

test('the native recorder reports a page fault with error code and address', { skip: recorder ?? false }, () => {
  const c = addition();
  const initial = c.initial.clone();
  initial.gpr[RAX] = 0x2000_0ffcn;
  // MOV [RAX], RCX begins in the guard page.
  const [got] = recordNative([{ ...c, initial, code: Uint8Array.of(0x48, 0x89, 0x08) }]);
  assert.deepEqual([got.vector, got.errorCode, got.cr2, got.state.rip], [14, 6, 0x2000_0ffcn, initial.rip]);
  assert.deepEqual(got.writes, []);
});

test('the native recorder runs legacy instructions in compatibility mode', { skip: recorder ?? false }, () => {
  const initial = new MachineState();
  fillDefault(initial, 1, 7, Profile.Random, false);
  initial.gpr[RAX] = 0x0fn;
  initial.rflags &= ~STATUS_FLAGS;
  // AAA
  const [got] = recordNative([{ ...addition(), environment: 1, initial, code: Uint8Array.of(0x37), patches: [] }]);
  assert.deepEqual([got.vector, got.state.gpr[RAX] & 0xffffn], [-1, 0x105n]);
});

test('the recorded vectors hold at least 50,000 cases in at most 10 MB', () => {
  let cases = 0;
  let bytes = 0;
  for (const name of vectorFiles()) {
    const file = readFileSync(join(VECTOR_DIRECTORY, `${name}.vec`));
    bytes += file.length;
    for (const form of readHeader(file).forms) cases += form.cases;
  }
  assert.ok(cases >= 50_000, `${cases} cases`);
  assert.ok(bytes <= 10_000_000, `${bytes} bytes`);
});

test('this machine agrees with the recorded vectors', {
  skip: recorder ?? (intel ? false : 'not an Intel processor'),
}, () => {
  for (const name of vectorFiles()) {
    const cases = [...readVectors(name)].filter((_, i) => i % 17 === 0);
    const outcomes = recordNative(cases);
    const byCase = new Map(cases.map((c, i) => [c as CaseInput, outcomes[i]]));
    const executor: Executor = { run: (input) => byCase.get(input) as Outcome };
    assert.equal(summarize(replay(cases, executor)), '');
  }
});
