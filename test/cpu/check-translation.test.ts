/** Translated code that is checked: what a region did is done again by the interpreter, and what differs ends the machine. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CheckerStats } from '../../src/hypervisor/stats.ts';
import { TranslationMismatch } from '../../src/hypervisor/wasm/check/mismatch.ts';
import { compileAtOnce, type RegionCompiler } from '../../src/hypervisor/wasm/translator/compile-region.ts';
import {
  CODE,
  CODE_AT,
  DATA,
  DATA_AT,
  loop,
  P,
  type PagedMachine,
  PF,
  testVcpu,
  U,
  UD2,
  userMachineWith,
  W,
} from './paged-machine.ts';
import { RAX, RCX, RBX, RSI, RDI } from './registers.ts';

const CHECK_ALL = { checkTranslation: { every: 1, eager: false } };

/** A machine whose translator takes the byte at an offset of the code for another one: its regions are wrong. */
function mistaken(offset: number, byte: number, ...code: readonly string[]): PagedMachine {
  const at: { ram?: Uint8Array } = {};
  const m = userMachineWith(
    {
      ...CHECK_ALL,
      regionCompiler(options): RegionCompiler {
        const right = compileAtOnce(options);
        return {
          request(request) {
            const ram = at.ram as Uint8Array;
            const before = ram[CODE_AT + offset] as number;
            ram[CODE_AT + offset] = byte;
            right.request(request);
            ram[CODE_AT + offset] = before;
          },
          poll() {
            const batch = right.poll();
            if (batch === undefined) return undefined;
            // It says that it was made of what is in memory.
            const regions = batch.regions.map((region) => {
              const made = Uint8Array.from(region.code);
              made[offset] = (at.ram as Uint8Array)[CODE_AT + offset] as number;
              return { ...region, code: made };
            });
            return { ...batch, regions };
          },
        };
      },
    },
    ...code,
  );
  at.ram = m.ram;
  return m;
}

/** Runs the code as it is met, and then translated, which is found out. */
function mismatch(m: PagedMachine, registers: Readonly<Record<number, bigint>> = {}): TranslationMismatch {
  let found: unknown;
  const start = (): void => {
    m.ram.fill(0, DATA_AT, DATA_AT + 0x1000);
    m.start(CODE, registers);
  };
  assert.throws(
    () => m.runTwice(start, false),
    (error) => {
      found = error;
      return error instanceof TranslationMismatch;
    },
  );
  return found as TranslationMismatch;
}

/** Calls of regions that have been checked, or could not be. */
function checkedCalls(m: PagedMachine): CheckerStats {
  const { checked } = m.vcpu.stats();
  assert.ok(checked !== undefined);
  return checked;
}

const ADD_LOOP = [loop('75', '48 83 c0 02', 'ff c9'), UD2]; // add rax, 2; dec ecx; jnz

test('a wrong constant is found, with the register and both its values', () => {
  const error = mismatch(mistaken(3, 3, ...ADD_LOOP), { [RCX]: 5n });
  assert.deepEqual(error.differences, [{ what: 'rax', translated: '0xf', interpreted: '0xa' }]);
  assert.match(error.message, /^translated code at 0x400000 does not do .*: rax is 0xf for 0xa$/);
});

test('a mismatch is described by the state before, and by a command that shows the region', () => {
  const { detail } = mismatch(mistaken(3, 3, ...ADD_LOOP), { [RCX]: 5n });
  assert.match(
    detail,
    /^the region at RIP 0x400000, mode 0x\w+, took 15 instructions and ended with FAULT at 0x400008$/m,
  );
  assert.match(detail, /^rip=0+400000 .*\nrax=0{16} rcx=0+5 /m);
  assert.match(detail, /^node tools\/show-region\.ts --at 0x0 4883c002ffc975f80f0b$/m);
});

test('a store to the wrong place is found', () => {
  // mov [rsi + 16], rbx
  const error = mismatch(mistaken(3, 24, '48 89 5e 10', UD2), { [RSI]: DATA, [RBX]: 0x1234_0000_0000n });
  assert.deepEqual(error.differences, [
    { what: 'memory at 0x110014', translated: '0x00000000', interpreted: '0x00001234' },
  ]);
});

test('a store that only the interpreter makes is found', () => {
  // mov [rsi], rbx; the wrong one is cmp [rsi], rbx
  const error = mismatch(mistaken(1, 0x39, '48 89 1e', UD2), { [RSI]: DATA, [RBX]: 7n });
  assert.ok(
    error.differences.some(({ what, interpreted }) => what === 'memory at 0x110000' && interpreted === '0x00000007'),
  );
});

test('a wrong flag is found', () => {
  // cmp rax, rbx; the wrong one is test rax, rbx
  const error = mismatch(mistaken(1, 0x85, '48 39 d8', UD2), { [RBX]: 1n });
  assert.deepEqual(
    error.differences.map(({ what }) => what),
    ['rflags'],
  );
});

test('a fault at the wrong address is found', () => {
  const error = mismatch(mistaken(3, 0x20, '48 8b 46 10', UD2), { [RSI]: DATA + 0x4000n });
  assert.deepEqual(error.differences, [{ what: 'cr2', translated: '0x80c020', interpreted: '0x80c010' }]);
});

test('a fault that only translated code meets is found', () => {
  // mov rax, [rsi + disp32]
  const error = mismatch(mistaken(4, 0x40, '48 8b 86 00 00 00 00', UD2), { [RSI]: DATA });
  assert.deepEqual(error.differences[0], { what: 'the end', translated: 'a fault', interpreted: 'no fault' });
});

test('a vCPU that runs into a mismatch says so', () => {
  const m = mistaken(3, 3, ...ADD_LOOP);
  m.start(CODE, { [RCX]: 5n });
  m.run();
  m.start(CODE, { [RCX]: 5n });
  assert.ok(m.vcpu.translateHere());
  const exit = m.vcpu.run();
  assert.equal(exit.kind, 'mismatch');
});

/** Loops over four pages of data and adds: region after region, with stores, up to a page that is missing. */
const PAGES = loop('75', '48 01 06', '48 8b 5e 08', '48 81 c6 00 10 00 00', 'ff c1', '83 f9 0a') + UD2;

for (const [kind, isHot] of [
  ['cold', false],
  ['hot', true],
] as const) {
  test(`right code passes, and does what it does unchecked, faults and counts included, in ${kind} code`, () => {
    const run = (checking: object): unknown => {
      const m = userMachineWith(checking, PAGES);
      assert.ok(m.runTwice(() => m.start(CODE, { [RSI]: DATA, [RAX]: 5n }), isHot));
      const memory = Buffer.from(m.ram.subarray(DATA_AT, DATA_AT + 0x4000)).toString('base64');
      assert.equal(m.fault.vector, PF);
      return [m.state.dump(), m.fault, m.state.faultError, memory, m.vcpu.stats().instructions];
    };
    assert.deepEqual(run(CHECK_ALL), run({}));
  });
}

test('each call of a region is checked, those that come from another region too', () => {
  // A loop of two regions, for the first ends at CPUID's neighbour: call rdi in a loop, with the callee a region of its own.
  const m = userMachineWith(CHECK_ALL, loop('75', 'ff d7', 'ff c9'), UD2);
  m.put(CODE_AT + 0x1000, '48 ff c0 c3'); // inc rax; ret
  const start = (): void => m.start(CODE, { [RCX]: 100n, [RDI]: CODE + 0x1000n, 4: DATA + 0x800n });
  start();
  m.run();
  m.start(CODE + 0x1000n);
  assert.ok(m.vcpu.translateHere());
  start();
  assert.ok(m.vcpu.translateHere());
  m.run();
  assert.equal(m.state.gpr(RAX), 100n);
  // The calls, and the returns to behind them, which are no region.
  assert.ok(checkedCalls(m).checked > 100);
  assert.equal(checkedCalls(m).checked, m.vcpu.stats().regions.calls);
});

test('one of so many calls is checked on average', () => {
  const m = userMachineWith({ checkTranslation: { every: 10, eager: false } }, loop('75', 'ff d7', 'ff c9'), UD2);
  m.put(CODE_AT + 0x1000, '48 ff c0 c3');
  const start = (): void => m.start(CODE, { [RCX]: 5000n, [RDI]: CODE + 0x1000n, 4: DATA + 0x800n });
  start();
  m.run();
  m.start(CODE + 0x1000n);
  assert.ok(m.vcpu.translateHere());
  start();
  m.run();
  const checked = checkedCalls(m).checked;
  assert.ok(checked > 400 && checked < 600, `${checked} of 5000`);
});

test('code that reads or writes a device is left alone, and counted', () => {
  const m = userMachineWith(CHECK_ALL, '8b 06', '89 06', UD2); // mov eax, [rsi]; mov [rsi], eax
  m.space.map(DATA + 0x8000n, 0xfed0_0000, P | W | U);
  assert.ok(m.runTwice(() => m.start(CODE, { [RSI]: DATA + 0x8000n }), false));
  assert.equal(checkedCalls(m).outside, 1);
  assert.equal(checkedCalls(m).checked, 0);
});

test('code that reads the clock or is a system instruction in part is left alone, and counted', () => {
  // rdtsc; inc ecx; stmxcsr [rsi]; inc ecx
  const m = userMachineWith(CHECK_ALL, '0f 31', 'ff c1', '0f ae 1e', 'ff c1', UD2);
  assert.ok(m.runTwice(() => m.start(CODE, { [RSI]: DATA }), false));
  assert.equal(m.state.gpr(RCX), 2n);
  assert.ok(checkedCalls(m).outside > 0);
});

test('code that rewrites itself passes', () => {
  // add eax, 1; mov [rdi], bl; inc ebx; dec ecx; jnz: the constant of the addition changes at each turn.
  const m = userMachineWith(CHECK_ALL, loop('75', '83 c0 01', '88 1f', 'ff c3', 'ff c9'), UD2);
  for (let page = 0; page < 0x4000; page += 0x1000) m.space.map(CODE + BigInt(page), CODE_AT + page, P | W | U);
  m.start(CODE, { [RCX]: 4n, [RDI]: DATA, [RBX]: 1n });
  m.run();
  m.start(CODE, { [RCX]: 4n, [RDI]: CODE + 2n, [RBX]: 10n });
  assert.ok(m.vcpu.translateHere());
  m.run();
  assert.equal(m.state.gpr(RAX), 1n + 10n + 11n + 12n);
  assert.ok(checkedCalls(m).checked > 0);
});

test('code that writes page tables passes, and what the page walk notes there stays', () => {
  const m = userMachineWith(CHECK_ALL, '48 89 1e', '48 8b 07', '48 89 07', UD2); // mov [rsi], rbx; mov rax, [rdi]; mov [rdi], rax
  // The page of the tables that maps the data, and a page of data that has not been used.
  const entry = m.space.entryAt(DATA);
  m.space.map(DATA + 0x10_0000n, entry & ~0xfff, P | W | U);
  const unused = DATA + 0x9000n;
  m.space.map(unused, DATA_AT + 0x3000, P | W | U);
  const spare = m.space.entryAt(DATA + 0xa000n);
  assert.equal(spare & ~0xfff, entry & ~0xfff);
  const start = (): void =>
    m.start(CODE, { [RSI]: DATA + 0x10_0000n + BigInt(spare & 0xfff), [RDI]: unused, [RBX]: 0x1234_0000n });
  start();
  m.run();
  m.space.map(unused, DATA_AT + 0x3000, P | W | U);
  m.vcpu.cpu.mmu.flushAll();
  start();
  assert.ok(m.vcpu.translateHere());
  m.run();
  assert.equal(checkedCalls(m).checked, 1);
  assert.equal(m.u64(spare), 0x1234_0000n);
  assert.equal(m.space.entry(unused) & 0x60n, 0x60n);
});

test('checking is refused with two vCPUs', () => {
  assert.throws(() => testVcpu({ ramBytes: 1 << 20, vcpuCount: 2, ...CHECK_ALL }), {
    name: 'RangeError',
    message: 'translation can be checked with one vCPU only, not 2',
  });
});
