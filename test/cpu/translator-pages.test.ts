/** Code in several pages, at several addresses, in several address spaces, and mappings that change under it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FETCH_TAG, FS, GS } from '../../src/hypervisor/wasm/state.ts';
import {
  ACCESSED,
  CODE,
  CODE_AT,
  CR4_PCIDE,
  CR4_PGE,
  CR4_SMAP,
  DATA,
  DATA_AT,
  DIRTY,
  GLOBAL,
  loop,
  NM,
  NX,
  P,
  PagedMachine,
  PF,
  U,
  UD,
  UD2,
  userMachine,
  W,
} from './paged-machine.ts';
import { RAX, RCX, RDX, RBX, RSP, RSI, RDI } from './registers.ts';

const CR0_TS = 8;
/** Supervisor's code in every address space, and code that is another one in each. */
const KERNEL = 0xffff_8000_0010_0000n,
  HERE = 0x40_0000n,
  TABLES = 0xffff_8000_0020_0000n;

/** CPL 0, and a second address space, whose CR3 is in RDI: at HERE, EAX becomes 1 in the first and 2 in the second. */
function twoSpaces(cr4: number, ...kernel: readonly string[]): { m: PagedMachine; start: () => void } {
  const m = new PagedMachine();
  const other = m.addressSpace();
  for (const space of [m.space, other]) space.map(KERNEL, 0x12_0000, P | W | GLOBAL);
  m.space.map(HERE, 0x10_0000, P | W);
  other.map(HERE, 0x11_0000, P | W);
  // Data in the entry of the TLB that HERE has.
  m.space.map(HERE + 0x40_0000n, 0x13_0000, P | W | NX);
  m.put(0x10_0000, 'b8 01 00 00 00', 'ff e3'); // mov eax, 1; jmp rbx
  m.put(0x11_0000, 'b8 02 00 00 00', UD2); // mov eax, 2
  m.put(0x12_0000, ...kernel);
  m.state.cr4 |= cr4;
  m.vcpu.cpu.mmu.flushAll();
  return { m, start: () => m.start(KERNEL, { [RDX]: HERE, [RSI]: HERE + 0x40_0000n, [RDI]: BigInt(other.root) }) };
}

test("a supervisor's code is the new address space's even when data has taken its entry in the TLB", () => {
  // lea rbx, [rip + 2]; jmp rdx; mov rcx, [rsi]; mov cr3, rdi; jmp rdx
  const { m, start } = twoSpaces(CR4_PGE, '48 8d 1d 02 00 00 00', 'ff e2', '48 8b 0e', '0f 22 df', 'ff e2');
  start();
  m.run();
  assert.equal(m.state.gpr(RAX), 2n);
  assert.equal(m.fault.vector, UD);
});

test("a supervisor's code is the new address space's even while EFLAGS.AC is set under SMAP", () => {
  // stac; lea rbx, [rip + 2]; jmp rdx; mov cr3, rdi; jmp rdx
  const { m, start } = twoSpaces(CR4_PGE | CR4_SMAP, '0f 01 cb', '48 8d 1d 02 00 00 00', 'ff e2', '0f 22 df', 'ff e2');
  start();
  m.vcpu.execute(20);
  assert.equal(m.state.gpr(RAX), 2n);
  assert.equal(m.fault.vector, UD);
});

test('INVLPG of a page of code counts even when data has taken its entry in the TLB', () => {
  // lea rbx, [rip + 2]; jmp rdx; mov rcx, [rsi]; mov [r9], r8; invlpg [rdx]; jmp rdx
  const { m } = twoSpaces(CR4_PGE, '48 8d 1d 02 00 00 00', 'ff e2', '48 8b 0e', '4d 89 01', '0f 01 3a', 'ff e2');
  const entry = m.space.entryAt(HERE);
  m.space.map(TABLES, entry & ~0xfff, P | W | GLOBAL);
  m.start(KERNEL, {
    [RDX]: HERE,
    [RSI]: HERE + 0x40_0000n,
    8: 0x11_0000n | P | W,
    9: TABLES + BigInt(entry & 0xfff),
  });
  m.vcpu.execute(20);
  assert.equal(m.state.gpr(RAX), 2n);
  assert.equal(m.fault.vector, UD);
});

test('INVLPG of the second page of an instruction in two pages counts', () => {
  // mov [r9], r8; invlpg [rsi]; jmp rdx
  const { m } = twoSpaces(0, '4d 89 01', '0f 01 3e', 'ff e2');
  const entry = m.space.entryAt(HERE + 0x1000n);
  m.space.map(TABLES, entry & ~0xfff, P | W | GLOBAL);
  const at = HERE + 0xffen;
  // mov eax, 0x00000101 or 0x02020101
  m.put(0x10_0ffd, '90 b8 01');
  m.put(0x13_0000, '01 00 00', 'ff e3', UD2);
  m.put(0x11_0000, '01 02 02', UD2);
  m.space.map(HERE + 0x1000n, 0x13_0000, P | W);
  m.start(at, {
    [RBX]: KERNEL,
    [RDX]: at,
    [RSI]: HERE + 0x1000n,
    8: 0x11_0000n | P | W,
    9: TABLES + BigInt(entry & 0xfff),
  });
  m.vcpu.execute(20);
  assert.equal(m.state.gpr(RAX), 0x0202_0101n);
  assert.equal(m.fault.vector, UD);
});

/** So many times FETCH_TAG moves until it is what it was: its generation has ten bits. */
const GENERATIONS = 1024;

/** A loop that takes three rounds: EBX += 1 in the first page, EAX += 1 in the second, which begins in its ADD. */
function acrossPages(): { m: PagedMachine; entry: bigint; start: () => void } {
  const m = userMachine();
  const from = 0xff9;
  // add ebx, 1; jmp +0; add eax, 1, whose operand is in the second page; dec ecx; jnz; ud2
  m.put(CODE_AT + from, '83 c3 01', 'eb 00', '83 c0 01', 'ff c9', '75 f4', UD2);
  const entry = CODE + BigInt(from);
  return { m, entry, start: () => m.start(entry, { [RCX]: 3n }) };
}

for (const [kind, isHot] of [
  ['cold', false],
  ['hot', true],
] as const) {
  test(`a loop goes on over an instruction in two pages, in ${kind} code`, () => {
    const { m, start } = acrossPages();
    assert.ok(m.runTwice(start, isHot));
    assert.deepEqual(m.gprs(RAX, RBX, RCX), [3n, 3n, 0n]);
    assert.equal(m.regionCalls, 1);
    assert.equal(m.fault.rip, CODE + 0x1005n);
  });

  test(`a region is refused when its second page is another one meanwhile, in ${kind} code`, () => {
    const { m, start } = acrossPages();
    assert.ok(m.runTwice(start, isHot));
    // The same but for the operand: add eax, 5.
    m.ram.copyWithin(CODE_AT + 0x4000, CODE_AT + 0x1000, CODE_AT + 0x2000);
    m.put(CODE_AT + 0x4000, '05');
    m.space.map(CODE + 0x1000n, CODE_AT + 0x4000, P | U);
    m.vcpu.cpu.mmu.invalidatePage(Number(CODE) + 0x1000, 0);
    start();
    m.run();
    assert.deepEqual(m.gprs(RAX, RBX, RCX), [15n, 3n, 0n]);
    assert.equal(m.fault.rip, CODE + 0x1005n);
  });

  test(`a region is refused when its second page is another one until all generations have been used, in ${kind} code`, () => {
    const { m, start } = acrossPages();
    assert.ok(m.runTwice(start, isHot));
    m.ram.copyWithin(CODE_AT + 0x4000, CODE_AT + 0x1000, CODE_AT + 0x2000);
    m.put(CODE_AT + 0x4000, '05');
    m.space.map(CODE + 0x1000n, CODE_AT + 0x4000, P | U);
    const before = m.state.u32[FETCH_TAG >> 2];
    for (let n = 0; n < GENERATIONS; n++) {
      m.vcpu.cpu.mmu.invalidatePage(Number(CODE) + 0x1000, 0);
      start();
      m.run();
      assert.deepEqual(m.gprs(RAX, RBX, RCX), [15n, 3n, 0n]);
    }
    assert.equal(m.state.u32[FETCH_TAG >> 2], before);
  });

  test(`a region is refused at another address where another page follows, in ${kind} code`, () => {
    const other = CODE + 0x20_0000n;
    const m = userMachine('e9 fb 0f 00 00'); // jmp to the next page
    m.put(CODE_AT + 0x1000, 'b8 01 00 00 00', UD2); // mov eax, 1
    m.put(CODE_AT + 0x2000, 'b8 02 00 00 00', UD2); // mov eax, 2
    m.space.map(other, CODE_AT, P | U);
    m.space.map(other + 0x1000n, CODE_AT + 0x2000, P | U);
    assert.ok(m.runTwice(() => m.start(CODE), isHot));
    assert.equal(m.state.gpr(RAX), 1n);
    m.start(other);
    m.run();
    assert.equal(m.state.gpr(RAX), 2n);
    m.start(CODE);
    m.run();
    assert.equal(m.state.gpr(RAX), 1n);
  });

  test(`a region is entered when the TLB has only forgotten its second page, in ${kind} code`, () => {
    const { m, start } = acrossPages();
    assert.ok(m.runTwice(start, isHot));
    const translated = (): number => m.stats.translated;
    const before = translated();
    m.vcpu.cpu.mmu.invalidatePage(Number(CODE) + 0x1000, 0);
    start();
    m.run();
    assert.deepEqual(m.gprs(RCX), [0n]);
    assert.ok(translated() > before);
  });

  test(`a region whose second page is missing meanwhile runs up to the instruction that needs it, in ${kind} code`, () => {
    const { m, start } = acrossPages();
    assert.ok(m.runTwice(start, isHot));
    m.space.map(CODE + 0x1000n, 0, 0n);
    m.vcpu.cpu.mmu.invalidatePage(Number(CODE) + 0x1000, 0);
    start();
    m.run();
    // An instruction fetch at privilege level 3.
    assert.deepEqual(m.fault, { vector: PF, error: 0x14, rip: CODE + 0xffen });
    assert.equal(m.state.cr2, CODE + 0x1000n);
    assert.deepEqual(m.gprs(RAX, RBX, RCX), [0n, 1n, 3n]);
    assert.equal(m.state.rflags, 0x2);
  });

  test(`a region does what it does at every linear address of its page, in ${kind} code`, () => {
    // lea rbx, [rip]; call +0; pop rsi; dec ecx; jnz; ud2
    const m = userMachine(loop('75', '48 8d 1d 00 00 00 00', 'e8 00 00 00 00', '5e', 'ff c9'), UD2);
    const alias = 0x7fff_1234_5000n;
    m.space.map(alias, CODE_AT, P | U);
    const start = (at: bigint): void => m.start(at, { [RCX]: 3n, [RSP]: DATA + 0x100n });
    assert.ok(m.runTwice(() => start(CODE), isHot));
    assert.deepEqual(m.gprs(RBX, RSI), [CODE + 7n, CODE + 12n]);
    start(alias);
    m.run();
    assert.deepEqual(m.gprs(RBX, RSI, RCX), [alias + 7n, alias + 12n, 0n]);
    assert.equal(m.fault.rip, alias + 17n);
    assert.equal(m.regionCalls, 2);
  });

  test(`one region serves two address spaces, with the data of each, in ${kind} code`, () => {
    const m = userMachine(loop('75', '03 06', '83 2e 01', 'ff c9'), UD2); // add eax, [rsi]; sub dword [rsi], 1; dec ecx
    const other = m.addressSpace();
    other.map(CODE, CODE_AT, P | U);
    other.map(DATA, DATA_AT + 0x1000, P | W | U | NX);
    m.state.cr4 |= CR4_PCIDE;
    m.vcpu.cpu.mmu.flushAll();
    const results: bigint[] = [];
    const runIn = (cr3: number): void => {
      m.state.cr3 = BigInt(cr3);
      m.start(CODE, { [RSI]: DATA, [RCX]: 3n });
      m.run();
      results.push(m.state.gpr(RAX));
    };
    m.put(DATA_AT, '0a');
    m.put(DATA_AT + 0x1000, '64');
    runIn(m.space.root | 1);
    m.start(CODE);
    assert.ok(m.vcpu.translateHere(undefined, isHot));
    runIn(other.root | 2);
    runIn(m.space.root | 1);
    runIn(other.root | 2);
    assert.deepEqual(results, [10n + 9n + 8n, 100n + 99n + 98n, 7n + 6n + 5n, 97n + 96n + 95n]);
    assert.equal(m.regionCalls, 3);
  });

  test(`a page of data that INVLPG names is the new one in the next round, in ${kind} code`, () => {
    const m = new PagedMachine();
    for (let at = 0; at < 0x2000; at += 0x1000) m.space.map(CODE + BigInt(at), CODE_AT + at, P | W);
    m.space.map(DATA, DATA_AT, P | W);
    const entry = m.space.entryAt(DATA);
    m.space.map(CODE + 0x1000n, entry & ~0xfff, P | W);
    m.put(DATA_AT, '01');
    m.put(DATA_AT + 0x1000, '64');
    // L: add eax, [rsi] twice; mov [rdi], rbx; invlpg [rsi]; dec ecx; jnz L
    m.put(CODE_AT, loop('75', '03 06', '03 06', '48 89 1f', '0f 01 3e', 'ff c9'), UD2);
    const start = (): void => {
      m.space.map(DATA, DATA_AT, P | W);
      m.vcpu.cpu.mmu.invalidatePage(Number(DATA), 0);
      m.start(CODE, {
        [RSI]: DATA,
        [RDI]: CODE + 0x1000n + BigInt(entry & 0xfff),
        [RBX]: BigInt(DATA_AT + 0x1000) | P | W,
        [RCX]: 3n,
      });
    };
    assert.ok(m.runTwice(start, isHot));
    assert.equal(m.state.gpr(RAX), 2n + 200n + 200n);
    assert.equal(m.fault.vector, UD);
  });

  test(`a store of a loop sets the dirty bit again after that was taken away, in ${kind} code`, () => {
    const m = userMachine(loop('75', '01 0e', 'ff c9'), UD2); // add [rsi], ecx; dec ecx
    const start = (): void => m.start(CODE, { [RSI]: DATA, [RCX]: 3n });
    assert.ok(m.runTwice(start, isHot));
    assert.equal(m.space.entry(DATA) & (ACCESSED | DIRTY), ACCESSED | DIRTY);
    m.space.map(DATA, DATA_AT, P | W | U | NX);
    m.vcpu.cpu.mmu.invalidatePage(Number(DATA), 0);
    start();
    m.run();
    assert.equal(m.space.entry(DATA) & (ACCESSED | DIRTY), ACCESSED | DIRTY);
    assert.equal(m.u64(DATA_AT), 18n);
  });

  test(`a store of a loop faults once its page is write-protected, and goes on when it is not any more, in ${kind} code`, () => {
    const m = userMachine(loop('75', '01 0e', 'ff c9'), UD2); // add [rsi], ecx; dec ecx
    assert.ok(m.runTwice(() => m.start(CODE, { [RSI]: DATA, [RCX]: 3n }), isHot));
    m.start(CODE, { [RSI]: DATA, [RCX]: 3n });
    m.vcpu.execute(1);
    assert.equal(m.state.gpr(RCX), 2n);
    m.space.map(DATA, DATA_AT, P | U | NX);
    m.vcpu.cpu.mmu.invalidatePage(Number(DATA), 0);
    m.run();
    assert.deepEqual(m.fault, { vector: PF, error: 7, rip: CODE });
    assert.deepEqual(m.gprs(RCX), [2n]);
    assert.equal(m.u64(DATA_AT), 12n + 3n);
    m.space.map(DATA, DATA_AT, P | W | U | NX);
    m.vcpu.cpu.mmu.invalidatePage(Number(DATA), 0);
    m.run();
    assert.equal(m.fault.vector, UD);
    assert.equal(m.u64(DATA_AT), 18n);
  });

  test(`what a supervisor's loop may reach depends on EFLAGS.AC under SMAP, in ${kind} code`, () => {
    const m = new PagedMachine();
    m.space.map(CODE, CODE_AT, P | W);
    m.space.map(DATA, DATA_AT, P | W | U);
    m.state.cr4 |= CR4_SMAP;
    m.vcpu.cpu.mmu.flushAll();
    // stac; add eax, [rsi]; dec ecx; jnz to the ADD; clac; mov ecx, 3; add eax, [rsi]
    m.put(CODE_AT, '0f 01 cb', '90', loop('75', '03 06', 'ff c9'), '0f 01 ca', 'b9 03 00 00 00', '03 06');
    m.put(DATA_AT, '05');
    const start = (): void => m.start(CODE, { [RSI]: DATA, [RCX]: 3n });
    assert.ok(m.runTwice(start, isHot));
    assert.deepEqual(m.fault, { vector: PF, error: 1, rip: CODE + 18n });
    assert.deepEqual(m.gprs(RAX, RCX), [15n, 3n]);
    assert.equal(m.state.rflags & 0x4_0000, 0);
  });

  test(`POPF changes what a loop of a supervisor may reach under SMAP, in ${kind} code`, () => {
    const m = new PagedMachine();
    m.space.map(CODE, CODE_AT, P | W);
    m.space.map(DATA, DATA_AT, P | W | U);
    m.space.map(DATA + 0x1000n, DATA_AT + 0x1000, P | W);
    m.state.cr4 |= CR4_SMAP;
    m.vcpu.cpu.mmu.flushAll();
    m.put(DATA_AT, '05');
    // L: push rdi; popf; add eax, [rsi]; mov edi, [r8 + rcx * 4]; dec ecx; jnz L
    m.put(CODE_AT, loop('75', '57 9d', '03 06', '41 8b 3c 88', 'ff c9'), UD2);
    const start = (): void => {
      for (const [n, flags] of [0x2, 0x2, 0x2, 0x4_0002, 0x4_0002].entries()) {
        m.view.setUint32(DATA_AT + 0x1800 + n * 4, flags, true);
      }
      m.start(CODE, {
        [RSI]: DATA,
        [RDI]: 0x4_0002n,
        [RCX]: 4n,
        [RSP]: DATA + 0x1100n,
        8: DATA + 0x1800n,
      });
    };
    assert.ok(m.runTwice(start, isHot));
    // Rounds with ECX = 4, 3 and 2 have AC set; the one with 1 has not.
    assert.deepEqual(m.fault, { vector: PF, error: 1, rip: CODE + 2n });
    assert.deepEqual(m.gprs(RAX, RCX, RSP), [15n, 1n, DATA + 0x1100n]);
    assert.equal(m.state.rflags, 0x2);
  });

  test(`a region made at one privilege level keeps to the rights of another, in ${kind} code`, () => {
    const m = userMachine(loop('75', '03 06', 'ff c9'), UD2); // add eax, [rsi]; dec ecx
    m.space.map(DATA, DATA_AT, P | W | NX);
    m.put(DATA_AT, '05');
    const start = (): void => m.start(CODE, { [RSI]: DATA, [RCX]: 3n });
    m.kernel();
    assert.ok(m.runTwice(start, isHot));
    assert.equal(m.state.gpr(RAX), 15n);
    m.user();
    start();
    m.run();
    assert.deepEqual(m.fault, { vector: PF, error: 5, rip: CODE });
    assert.deepEqual(m.gprs(RAX, RCX), [0n, 3n]);
  });

  test(`bases of FS and GS are those of each run, in ${kind} code`, () => {
    // add eax, fs:[rcx * 4]; add ebx, gs:[rcx * 4]; dec ecx
    const m = userMachine(loop('75', '64 03 04 8d 00 00 00 00', '65 03 1c 8d 00 00 00 00', 'ff c9'), UD2);
    m.put(DATA_AT, '00000000 01000000 02000000 04000000');
    m.put(DATA_AT + 0x1000, '00000000 10000000 20000000 40000000');
    const start = (fs: bigint, gs: bigint): void => {
      m.start(CODE, { [RCX]: 3n });
      m.state.setBase(FS, Number(fs), 0);
      m.state.setBase(GS, Number(gs), 0);
    };
    assert.ok(m.runTwice(() => start(DATA, DATA + 0x1000n), isHot));
    assert.deepEqual(m.gprs(RAX, RBX), [7n, 0x70n]);
    start(DATA + 0x1000n, DATA);
    m.run();
    assert.deepEqual(m.gprs(RAX, RBX), [0x70n, 7n]);
    assert.equal(m.regionCalls, 2);
  });

  test(`the same bytes are other instructions in compatibility mode, in ${kind} code`, () => {
    // 48 ff c0 is inc rax in 64-bit code; dec eax, inc eax in 32-bit code.
    const m = userMachine('48 ff c0', '48 ff c0', UD2);
    const start = (): void => m.start(CODE, { [RAX]: 0xffff_ffffn });
    assert.ok(m.runTwice(start, isHot));
    assert.equal(m.state.gpr(RAX), 0x1_0000_0001n);
    m.user32();
    start();
    m.run();
    assert.equal(m.state.gpr(RAX), 0xffff_ffffn);
    assert.equal(m.regionCalls, 1);
    m.user();
    start();
    m.run();
    assert.equal(m.state.gpr(RAX), 0x1_0000_0001n);
    assert.equal(m.regionCalls, 2);
  });

  test(`SSE in a region raises #NM once CR0.TS is set, in ${kind} code`, () => {
    const m = userMachine('ff c0', '0f 58 c0', 'ff c0', UD2); // inc eax; addps xmm0, xmm0; inc eax
    assert.ok(m.runTwice(() => m.start(CODE), isHot));
    m.state.cr0 |= CR0_TS;
    m.start(CODE);
    m.run();
    assert.deepEqual(m.fault, { vector: NM, error: -1, rip: CODE + 2n });
    assert.equal(m.state.gpr(RAX), 1n);
    m.state.cr0 &= ~CR0_TS;
    m.start(CODE);
    m.run();
    assert.equal(m.state.gpr(RAX), 2n);
  });
}
