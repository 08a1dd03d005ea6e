/** One look-up in the TLB for several accesses: each still does what it does alone, wherever pages begin and whoever moves the registers. */
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { test } from 'node:test';
import type { VcpuBus } from '../../src/bus/vcpu-bus.ts';
import { FS } from '../../src/hypervisor/wasm/state.ts';
import {
  CODE,
  CODE_AT,
  DATA,
  DATA_AT,
  loop,
  NX,
  P,
  PF,
  type PagedMachine,
  U,
  UD,
  UD2,
  userMachine,
  userMachineWith,
  W,
} from './paged-machine.ts';
import { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI } from './registers.ts';

const PAGES = 4;
/** Where the data's pages are in physical memory. */
const pageAt = (n: number): number => DATA_AT + (PAGES - 1 - n) * 0x1000;
/** Of no page. */
const NOWHERE = DATA + 0x10_0000n;

interface Outcome {
  readonly gprs: readonly bigint[];
  readonly rip: bigint;
  readonly vector: number;
  readonly error: number;
  readonly cr2: bigint;
  readonly data: string;
}

function fillData(m: PagedMachine): void {
  for (let at = 0; at < PAGES * 0x1000; at++) m.ram[DATA_AT + at] = (at * 37 + (at >> 8)) & 0xff;
}

function prepared(code: readonly string[], prepare: (m: PagedMachine) => void): PagedMachine {
  const m = userMachine(...code);
  // Neighbours in linear memory are none in physical memory.
  for (let n = 0; n < PAGES; n++) m.space.map(DATA + BigInt(n) * 0x1000n, pageAt(n), P | W | U | NX);
  fillData(m);
  prepare(m);
  return m;
}

function outcome(m: PagedMachine): Outcome {
  const { rip, vector, error } = m.fault;
  return {
    gprs: m.gprs(...Array(16).keys()),
    rip,
    vector,
    error,
    cr2: vector === PF ? m.state.cr2 : 0n,
    data: hash('sha256', m.ram.subarray(DATA_AT, DATA_AT + PAGES * 0x1000)),
  };
}

/** `code` as translated, cold and hot, does what it does in the interpreter from each of the starts, whatever the TLB holds. */
function agrees(
  name: string,
  code: readonly string[],
  starts: readonly Readonly<Record<number, bigint>>[],
  vector = UD,
  prepare: (m: PagedMachine) => void = () => {},
): void {
  for (const isHot of [false, true]) {
    test(`${name}, in ${isHot ? 'hot' : 'cold'} code`, () => {
      for (const start of starts) {
        for (const isFlushed of [false, true]) {
          const m = prepared(code, prepare);
          m.start(CODE, start);
          m.run();
          assert.equal(m.fault.vector, vector);
          const expected = outcome(m);
          fillData(m);
          prepare(m);
          if (isFlushed) m.vcpu.cpu.mmu.flushAll();
          m.start(CODE, start);
          assert.ok(m.vcpu.translateHere(undefined, isHot));
          m.run();
          assert.ok(m.regionCalls > 0);
          assert.deepEqual(
            outcome(m),
            expected,
            `from ${JSON.stringify(start, (_, v) => (typeof v === 'bigint' ? v.toString(16) : v))}`,
          );
        }
      }
    });
  }
}

/** Addresses around the boundary of two pages, and well in one. */
const around = (
  register: number,
  more: Readonly<Record<number, bigint>> = {},
  boundary = DATA + 0x1000n,
): Record<number, bigint>[] =>
  [0x800n, 0x3fn, 0x30n, 0x28n, 0x21n, 0x20n, 0x1fn, 0x18n, 0x11n, 0x10n, 9n, 8n, 7n, 4n, 1n, 0n, -8n].map(
    (before) => ({
      ...more,
      [register]: boundary - before,
    }),
  );

agrees(
  'fields of a structure are read on both sides of a page boundary',
  ['48 8b 47 08', '8b 4f 18', '48 0f b7 57 1e', '48 03 1f', UD2], // mov rax, [rdi+8]; mov ecx, [rdi+24]; movzx rdx, word [rdi+30]; add rbx, [rdi]
  around(RDI),
);
agrees(
  'fields of a structure are written on both sides of a page boundary',
  ['48 89 47 08', '89 4f 18', '66 89 57 1e', '48 01 1f', 'f0 48 01 47 10', UD2], // mov [rdi+8], rax; ...; add [rdi], rbx; lock add [rdi+16], rax
  around(RDI, { [RAX]: 0x1122_3344_5566_7788n, [RCX]: 0x99aa_bbccn, [RDX]: 0xddeen, [RBX]: 0x1234_5678_9abcn }),
);
agrees(
  'vectors beside each other are moved over a page boundary',
  ['0f 10 07', '0f 10 4f 10', 'f3 0f 6f 57 20', '0f 11 46 20', '0f 11 0e', 'f3 0f 7f 56 10', UD2],
  around(RDI, { [RSI]: DATA + 0x2ff0n }),
);
agrees(
  'the stack is pushed and popped over a page boundary',
  ['50', '51', '55', '48 8b 44 24 08', '48 89 5c 24 10', '5a', '5e', '5f', UD2],
  around(RSP, { [RAX]: 1n, [RCX]: 2n, [RBP]: 3n, [RBX]: 4n }),
);
agrees(
  'the second of two fields faults, and the first has been written',
  ['48 89 07', '48 89 47 10', UD2],
  [{ [RDI]: DATA + BigInt(PAGES) * 0x1000n - 0x10n, [RAX]: 5n }],
  PF,
);
agrees(
  'the first of two fields faults, and the second is not written',
  ['48 89 47 08', '48 89 47 10', UD2],
  [0xcn, 8n, 0x10n].map((before) => ({ [RDI]: DATA + BigInt(PAGES) * 0x1000n - before, [RAX]: 5n })),
  PF,
);
agrees(
  'a field is read of a page that may not be written, and the next one is not written',
  ['48 8b 07', '48 8b 4f 10', '48 89 47 08', UD2], // mov rax, [rdi]; mov rcx, [rdi+16]; mov [rdi+8], rax
  [{ [RDI]: DATA }],
  PF,
  (m) => m.space.map(DATA, pageAt(0), P | U),
);
agrees(
  'a register that is loaded between two accesses moves the second',
  ['48 8b 07', '48 89 f7', '48 8b 4f 08', UD2], // mov rax, [rdi]; mov rdi, rsi; mov rcx, [rdi+8]
  [{ [RDI]: DATA, [RSI]: DATA + 0x1100n }],
);
agrees(
  'a register that an exchange writes between two accesses moves the second',
  ['48 8b 07', '48 87 f7', '48 8b 4f 08', UD2], // mov rax, [rdi]; xchg rdi, rsi; mov rcx, [rdi+8]
  [{ [RDI]: DATA, [RSI]: DATA + 0x80n }],
);
agrees(
  'a register that an exchanging addition writes between two accesses moves the second',
  ['48 8b 07', '48 0f c1 f7', '48 8b 4f 08', UD2], // mov rax, [rdi]; xadd rdi, rsi; mov rcx, [rdi+8]
  [{ [RDI]: DATA, [RSI]: 0x80n }],
);
agrees(
  'an index that moves between two accesses moves the second',
  // mov rax, [rdi+rsi*8]; mov rdx, [rdi+rsi*8+24]; inc rsi; mov rcx, [rdi+rsi*8+8]; inc rdi; mov rdx, [rdi+rsi*8+8]
  ['48 8b 04 f7', '48 8b 54 f7 18', '48 ff c6', '48 8b 4c f7 08', '48 ff c7', '48 8b 54 f7 08', UD2],
  around(RDI, { [RSI]: 8n }),
);
agrees(
  'constants that are added to the base are counted',
  [
    '48 8b 07', // mov rax, [rdi]
    '48 83 c7 18', // add rdi, 24
    '48 03 47 f0', // add rax, [rdi-16]
    '48 83 ef 08', // sub rdi, 8
    '48 03 07', // add rax, [rdi]
    '48 ff cf', // dec rdi
    '48 03 07', // add rax, [rdi]
    '48 8d 7f f5', // lea rdi, [rdi-11]
    '48 89 47 04', // mov [rdi+4], rax
    '48 83 c7 80', // add rdi, -128
    '48 03 4f 78', // add rcx, [rdi+120]
    UD2,
  ],
  around(RDI),
);
agrees(
  'an addition of 32 bits to the base is no move of it',
  ['48 8b 07', '48 8b 4f 08', '83 c7 08', '48 8b 57 f8', UD2], // mov rax, [rdi]; mov rcx, [rdi+8]; add edi, 8; mov rdx, [rdi-8]
  [{ [RDI]: DATA }, { [RDI]: DATA + 0x1_0000_0000n }],
  UD,
  (m) => m.space.map(DATA + 0x1_0000_0000n, pageAt(1), P | W | U | NX),
);
agrees(
  'what is far from two accesses near each other is another page',
  // mov rax, [rdi]; mov rcx, [rdi+8]; mov rdx, [rdi+0x1000]; mov rbx, [rdi-0x1000]; mov [rdi+0x1008], rax; mov [rdi-8], rcx
  [
    '48 8b 07',
    '48 8b 4f 08',
    '48 8b 97 00 10 00 00',
    '48 8b 9f 00 f0 ff ff',
    '48 89 87 08 10 00 00',
    '48 89 4f f8',
    UD2,
  ],
  [{ [RDI]: DATA + 0x1800n }, { [RDI]: DATA + 0x1000n }],
);
agrees(
  'a conditional move between two accesses moves the second or does not',
  ['48 8b 07', '48 39 c9', '48 0f 44 fe', '48 8b 4f 08', '48 39 f7', '48 0f 45 fe', '48 8b 57 10', UD2],
  [{ [RDI]: DATA, [RSI]: DATA + 0x1ff8n }],
);
agrees(
  'what is known before a branch is known behind it, unless one of the ways moves the base',
  [
    '48 8b 07', // mov rax, [rdi]
    '48 03 47 18', // add rax, [rdi+24]
    '48 03 06', // add rax, [rsi]
    '48 03 46 18', // add rax, [rsi+24]
    '85 c9', // test ecx, ecx
    '74 07', // je +7
    '48 81 c7 00 10 00 00', // add rdi, 0x1000
    '48 8b 57 08', // mov rdx, [rdi+8]
    '48 03 56 08', // add rdx, [rsi+8]
    '48 89 57 10', // mov [rdi+16], rdx
    UD2,
  ],
  [0n, 1n].flatMap((way) => around(RDI, { [RCX]: way, [RSI]: DATA })),
);
agrees(
  'what is known before a loop is known in it, unless its body moves the base',
  [
    '48 8b 07',
    '48 8b 1e',
    loop('75', '48 03 47 08', '48 03 5e 08', '48 01 5e 10', '48 83 c7 10', 'ff c9'),
    '48 03 47 08',
    '48 03 5e 08',
    UD2,
  ],
  around(RDI, { [RCX]: 0x140n, [RSI]: DATA + 0x2fe8n }),
);
agrees(
  'accesses on one side of a branch are none on the other',
  [
    '85 c9', // test ecx, ecx
    '74 09', // je +9
    '48 8b 07', // mov rax, [rdi]
    '48 8b 57 10', // mov rdx, [rdi+16]
    'eb 09', // jmp +9
    '90 90 90 90 90', // nops
    '48 8b 5f 08', // mov rbx, [rdi+8]
    '48 03 5f 08', // add rbx, [rdi+8]
    UD2,
  ],
  [0n, 1n].flatMap((way) => around(RDI, { [RCX]: way })),
);
agrees(
  'accesses on one side of a branch in a loop do not say where those on the other are',
  [
    'f6 c1 01', // test cl, 1
    '74 0a', // je +10
    '48 03 47 08', // add rax, [rdi+8]
    '48 03 47 10', // add rax, [rdi+16]
    'eb 08', // jmp +8
    '48 03 5f 08', // add rbx, [rdi+8]
    '48 03 5f 10', // add rbx, [rdi+16]
    '48 81 c7 10 02 00 00', // add rdi, 0x210
    'ff c9', // dec ecx
    '75 de', // jne back to the start
    UD2,
  ],
  around(RDI, { [RCX]: 9n }),
);
agrees(
  'what is known by FS before a branch is known behind it, unless one of the ways writes its base',
  [
    '64 48 03 07', // add rax, fs:[rdi]
    '64 48 03 47 10', // add rax, fs:[rdi+16]
    'f6 c1 01', // test cl, 1
    '74 05', // je +5
    'f3 48 0f ae d3', // wrfsbase rbx
    '64 48 03 47 08', // add rax, fs:[rdi+8]
    'ff c9', // dec ecx
    '75 e4', // jne back to the start
    UD2,
  ],
  around(RDI, { [RCX]: 4n, [RBX]: 0x1000n }),
  UD,
  (m) => m.state.setSegment(FS, 0, 0x100, 0, 0, 0x1_0000),
);
agrees(
  'a loop that moves the base on one of two ways back to its head',
  [
    '48 03 07', // add rax, [rdi]
    '48 03 47 10', // add rax, [rdi+16]
    'f6 c1 03', // test cl, 3
    '74 07', // je +7
    '48 81 c7 08 00 00 00', // add rdi, 8
    '48 03 47 08', // add rax, [rdi+8]
    'ff c9', // dec ecx
    '75 e5', // jne back to the start
    UD2,
  ],
  around(RDI, { [RCX]: 0x21n }),
);
agrees(
  'FS and DS are far from each other, and a written base of FS moves what is known',
  // mov rax, fs:[rdi]; mov rcx, [rdi+8]; add rax, fs:[rdi+16]; wrfsbase rbx; add rax, fs:[rdi+8]
  ['64 48 8b 07', '48 8b 4f 08', '64 48 03 47 10', 'f3 48 0f ae d3', '64 48 03 47 08', UD2],
  around(RDI, { [RBX]: 0x1000n }),
  UD,
  (m) => m.state.setSegment(FS, 0, 0x100, 0, 0, 0x1_0000),
);
agrees(
  'a repeated string instruction between accesses moves its registers',
  // mov rax, [rdi]; add rax, [rdi+16]; rep movsb; add rax, [rdi+8]; add rax, [rsi]
  ['48 8b 07', '48 03 47 10', 'f3 a4', '48 03 47 08', '48 03 06', UD2],
  around(RDI, { [RSI]: DATA + 0x2000n, [RCX]: 0x18n }),
);

/** Runs `code` once, so that it is known, and again as a region from `second`. */
function translated(
  m: PagedMachine,
  first: Readonly<Record<number, bigint>>,
  second: Readonly<Record<number, bigint>>,
): void {
  m.start(CODE, first);
  m.run();
  m.start(CODE, second);
  assert.ok(m.vcpu.translateHere());
}

test('fields of device memory are read and written one by one, at their own widths', () => {
  const seen: string[] = [];
  const bus: VcpuBus = {
    portRead: () => 0,
    portWrite() {},
    mmioRead: (address, width) => {
      seen.push(`read ${width} ${address.toString(16)}`);
      return 0x5a;
    },
    mmioWrite: (address, width, value) => {
      seen.push(`write ${width} ${address.toString(16)} ${value.toString(16)}`);
    },
  };
  // mov eax, [rdi]; mov [rdi+8], eax; mov cl, [rdi+4]; mov [rdi+12], cx
  const m = userMachineWith({ bus }, '8b 07', '89 47 08', '8a 4f 04', '66 89 4f 0c', UD2);
  m.space.map(NOWHERE, 0xfec0_0000, P | W | U);
  translated(m, { [RDI]: DATA }, { [RDI]: NOWHERE });
  m.run();
  assert.deepEqual(seen, ['read 4 fec00000', 'write 4 fec00008 5a', 'read 1 fec00004', 'write 2 fec0000c 5a']);
  assert.equal(m.fault.vector, UD);
});

test('stores beside code of their page stay in the region, and one into code is done before it goes on', () => {
  const m = userMachine(loop('75', '48 89 07', '48 89 47 08', 'ff c9'), '90'.repeat(37), UD2);
  m.space.map(CODE, CODE_AT, P | W | U);
  translated(m, { [RDI]: DATA, [RCX]: 1n }, { [RDI]: CODE + 0x800n, [RAX]: 1n, [RCX]: 1000n });
  m.run();
  assert.equal(m.regionCalls, 1);
  assert.deepEqual([m.u64(CODE_AT + 0x800), m.u64(CODE_AT + 0x808)], [1n, 1n]);
  // Two increments of EBX in place of NOPs, by a loop that is a region.
  m.start(CODE, { [RDI]: CODE + 16n, [RAX]: 0x9090_9090_9090_c3ffn, [RCX]: 1n });
  m.run();
  assert.ok(m.regionCalls > 1);
  assert.equal(m.state.gpr(RBX), 2n);
  assert.equal(m.fault.vector, UD);
});

for (const [part, at, immediate] of [
  ['first', 0x1ffcn, 0x1ffdn],
  ['second', 0x2000n, 0x2001n],
] as const) {
  test(`a store into two pages drops the code that its ${part} part hits`, () => {
    const m = userMachine(loop('75', '48 89 07', 'ff c9'), UD2); // mov [rdi], rax; dec ecx
    for (const page of [0n, 0x1000n, 0x2000n]) m.space.map(CODE + page, CODE_AT + Number(page), P | W | U);
    m.put(CODE_AT + Number(at), 'b3 01', UD2); // mov bl, 1
    const runThere = (bl: bigint): void => {
      m.start(CODE + at);
      m.run();
      assert.equal(m.state.gpr(RBX), bl);
    };
    runThere(1n);
    // Two after the immediate, or what ends with it, in little-endian order.
    const from = part === 'first' ? immediate : immediate - 7n;
    const value = part === 'first' ? 0x0b_0f02n : 0x02b3_0000_0000_0000n;
    translated(m, { [RDI]: DATA, [RCX]: 1n }, { [RDI]: CODE + from, [RAX]: value, [RCX]: 1n });
    m.run();
    assert.ok(m.regionCalls > 0);
    runThere(2n);
  });
}

test('what is added to in memory over a page boundary counts once each time', () => {
  const m = prepared([loop('75', '48 01 07', '48 01 47 08', 'ff c9'), UD2], () => {});
  const low = pageAt(0) + 0xffc;
  m.view.setUint32(low, 0xffff_ffff, true);
  m.view.setUint32(pageAt(1), 7, true);
  m.view.setBigUint64(pageAt(1) + 4, 5n, true);
  translated(m, { [RDI]: DATA + 0x2000n, [RCX]: 1n }, { [RDI]: DATA + 0xffcn, [RAX]: 3n, [RCX]: 1000n });
  m.run();
  assert.equal(m.view.getUint32(low, true), 2999);
  assert.equal(m.view.getUint32(pageAt(1), true), 8);
  assert.equal(m.u64(pageAt(1) + 4), 3005n);
  assert.equal(m.fault.vector, UD);
});
