import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CR3, CS, DS, LDTR, SS, TR } from '../state.ts';
import { deliver } from './exceptions.ts';
import { callFar, jmpFar } from './far-transfer.ts';
import { iret } from './iret.ts';
import { intN } from './software-interrupts.ts';
import {
  GDT,
  KERNEL_CODE,
  KERNEL_DATA,
  LDT,
  LDT_SELECTOR,
  NOT_PRESENT,
  NOT_PRESENT_CODE,
  TestMachine,
  TSS,
  TSS_SELECTOR,
  USER_CODE32,
  USER_DATA,
} from './test-machine.ts';

const NEW = 0xb0,
  NEW_TSS = 0x6000,
  GATE = 0xb8;

/** The current task in TSS, a second one in NEW_TSS that starts at 0x7777 with ESP 0x50000. */
function machine(): TestMachine {
  const m = new TestMachine().protectedMode();
  m.descriptor(TSS_SELECTOR, TSS, 0x67, 0x008b);
  m.descriptor(NEW, NEW_TSS, 0x67, 0x0089);
  m.put32(NEW_TSS + 0x1c, 0x1_2000, 0x7777, 0x202);
  for (let i = 0; i < 8; i++) m.put32(NEW_TSS + 0x28 + i * 4, i === 4 ? 0x5_0000 : 0x100 + i);
  for (const [i, s] of [KERNEL_DATA, KERNEL_CODE, KERNEL_DATA, KERNEL_DATA, 0, USER_DATA, LDT_SELECTOR].entries())
    m.put32(NEW_TSS + 0x48 + i * 4, s);
  for (let i = 0; i < 8; i++) if (i !== 4) m.state.setGpr(i, BigInt(0x200 + i));
  m.state.rflags = 0x246;
  return m;
}
const jump = (m: TestMachine, selector = NEW): string => m.run(jmpFar, { selector, imm: 0, length: 7 });
const call = (m: TestMachine, selector = NEW): string => m.run(callFar, { selector, imm: 0, length: 7 });

test('a jump to a TSS saves one task and loads the other', () => {
  const m = machine();
  assert.equal(jump(m), 'ok');
  assert.equal(m.u32(TSS + 0x20), 0x10007);
  assert.equal(m.u32(TSS + 0x24), 0x246);
  assert.deepEqual(
    [0, 3, 4, 7].map((i) => m.u32(TSS + 0x28 + i * 4)),
    [0x200, 0x203, 0x2_0000, 0x207],
  );
  assert.deepEqual([m.u16(TSS + 0x4c), m.u16(TSS + 0x50)], [KERNEL_CODE, KERNEL_DATA]);
  assert.equal(m.state.rip, 0x7777n);
  assert.deepEqual(
    [0, 3, 4, 7].map((i) => Number(m.state.gpr(i))),
    [0x100, 0x103, 0x5_0000, 0x107],
  );
  assert.equal(m.state.rflags, 0x202);
  assert.deepEqual(
    [TR, LDTR, DS].map((s) => m.state.selector(s)),
    [NEW, LDT_SELECTOR, KERNEL_DATA],
  );
  assert.equal(m.state.big(0x100 + LDTR * 32), BigInt(LDT));
  assert.equal(m.state.cr0 & 8, 8);
  assert.deepEqual([m.mmu.memory[GDT + TSS_SELECTOR + 5], m.mmu.memory[GDT + NEW + 5]], [0x89, 0x8b]);
});
test('a call to a TSS nests: both stay busy, NT and the back link are set', () => {
  const m = machine();
  assert.equal(call(m), 'ok');
  assert.deepEqual([m.mmu.memory[GDT + TSS_SELECTOR + 5], m.mmu.memory[GDT + NEW + 5]], [0x8b, 0x8b]);
  assert.equal(m.u16(NEW_TSS), TSS_SELECTOR);
  assert.equal(m.state.rflags, 0x4202);
});
test('IRET with NT returns to the calling task and frees the other', () => {
  const m = machine();
  call(m);
  assert.equal(m.run(iret, { length: 1 }), 'ok');
  assert.equal(m.state.rip, 0x10007n);
  assert.equal(m.state.selector(TR), TSS_SELECTOR);
  assert.equal(m.u32(NEW_TSS + 0x20), 0x7778);
  assert.equal(m.u32(NEW_TSS + 0x24), 0x202);
  assert.deepEqual([m.mmu.memory[GDT + TSS_SELECTOR + 5], m.mmu.memory[GDT + NEW + 5]], [0x8b, 0x89]);
});
test('IRET to a task that is not busy is #TS', () => {
  const m = machine();
  m.state.rflags = 0x4002;
  m.put16(TSS, NEW);
  assert.equal(m.run(iret), '#10(0xb0)');
});
test('a task gate in the IDT switches and pushes the error code in the new task', () => {
  const m = machine();
  m.gate32(13, NEW, 0, 0x85);
  assert.equal(deliver(m.cpu, 13, 0x42, 'fault'), 'delivered');
  assert.equal(m.state.rip, 0x7777n);
  assert.equal(m.state.gpr(4), 0x4_fffcn);
  assert.equal(m.u32(0x4_fffc), 0x42);
  assert.equal(m.u32(TSS + 0x20), 0x10000);
  assert.equal(m.u32(TSS + 0x24), 0x1_0246);
});
test("a task gate in the GDT needs its own DPL, not the TSS descriptor's", () => {
  const m = machine().user32();
  m.gate32(GATE >> 3, NEW, 0, 0xe5, GDT);
  assert.equal(jump(m, GATE), 'ok');
  const n = machine().user32();
  assert.equal(jump(n), '#13(0xb0)');
  n.gate32(GATE >> 3, NEW, 0, 0x85, GDT);
  assert.equal(jump(n, GATE), '#13(0xb8)');
  const o = machine();
  o.gate32(GATE >> 3, NEW, 0, 0x05, GDT);
  assert.equal(jump(o, GATE), '#11(0xb8)');
});
test('the new TSS is checked before anything changes', () => {
  const refuse = (limit: number, attributes: number): string => {
    const m = machine();
    m.descriptor(NEW, NEW_TSS, limit, attributes);
    const outcome = jump(m);
    assert.equal(m.state.selector(TR), TSS_SELECTOR);
    assert.equal(m.state.rip, 0x10000n);
    return outcome;
  };
  assert.equal(refuse(0x66, 0x89), '#10(0xb0)');
  assert.equal(refuse(0x67, 0x09), '#11(0xb0)');
  assert.equal(refuse(0x67, 0x8b), '#13(0xb0)');
  assert.equal(refuse(0x2a, 0x81), '#10(0xb0)');
});
test('a page fault in the new TSS belongs to the old task', () => {
  const m = machine();
  m.mmu.rule(NEW_TSS, 'absent');
  assert.equal(jump(m), '#14(0x0)');
  assert.equal(m.state.rip, 0x10000n);
});
test('bad segments of the new task are reported there', () => {
  const refuse = (slot: number, selector: number): string => {
    const m = machine();
    m.put32(NEW_TSS + 0x48 + slot * 4, selector);
    const outcome = jump(m);
    assert.equal(m.state.rip, 0x7777n);
    assert.equal(m.state.selector(TR), NEW);
    return outcome;
  };
  assert.equal(refuse(1, 0), '#10(0x0)');
  assert.equal(refuse(1, KERNEL_DATA), '#10(0x10)');
  assert.equal(refuse(1, USER_CODE32 & ~3), '#10(0x18)');
  assert.equal(refuse(1, NOT_PRESENT_CODE), '#11(0x88)');
  assert.equal(refuse(2, 0), '#10(0x0)');
  assert.equal(refuse(2, USER_DATA), '#10(0x20)');
  assert.equal(refuse(2, NOT_PRESENT), '#12(0x40)');
  assert.equal(refuse(3, 0x2000), '#10(0x2000)');
  assert.equal(refuse(3, NOT_PRESENT), '#11(0x40)');
  assert.equal(refuse(6, KERNEL_DATA), '#10(0x10)');
});
test('a task in ring 3 takes its level from CS', () => {
  const m = machine();
  for (const [slot, selector] of [
    [0, USER_DATA],
    [1, USER_CODE32],
    [2, USER_DATA],
    [3, USER_DATA],
  ] as const)
    m.put32(NEW_TSS + 0x48 + slot * 4, selector);
  assert.equal(jump(m), 'ok');
  assert.equal(m.state.cpl, 3);
  assert.equal(m.state.selector(SS), USER_DATA);
});
test('a virtual-8086 task loads real-mode segments', () => {
  const m = machine();
  m.put32(NEW_TSS + 0x24, 0x2_0202);
  m.put32(NEW_TSS + 0x4c, 0x2000);
  assert.equal(jump(m), 'ok');
  assert.equal(m.state.virtual8086, true);
  assert.equal(m.state.big(0x100 + CS * 32), 0x2_0000n);
});
test('with paging CR3 comes from the TSS', () => {
  const m = machine();
  m.state.cr0 = 0x8000_0031;
  jump(m);
  assert.equal(m.state.big(CR3), 0x1_2000n);
  assert.deepEqual(m.mmu.log, ['pcid 0']);
});
test('the debug trap flag of a TSS raises #DB in the new task', () => {
  const m = machine();
  m.put16(NEW_TSS + 0x64, 1);
  assert.equal(jump(m), '#1');
  assert.equal(m.state.rip, 0x7777n);
  assert.equal(m.state.dr6 & 0x8000, 0x8000);
});
test('local breakpoints are disabled by a task switch', () => {
  const m = machine();
  m.state.dr7 = 0x7ff;
  jump(m);
  assert.equal(m.state.dr7, 0x6aa);
});
test('a 16-bit TSS saves and loads 16 bits', () => {
  const m = machine();
  m.descriptor(NEW, NEW_TSS, 0x2b, 0x0081);
  m.put16(
    NEW_TSS + 0x0e,
    0x1234,
    0x0202,
    1,
    2,
    3,
    4,
    0x8000,
    6,
    7,
    8,
    KERNEL_DATA,
    KERNEL_CODE,
    KERNEL_DATA,
    KERNEL_DATA,
    0,
  );
  assert.equal(jump(m), 'ok');
  assert.equal(m.state.rip, 0x1234n);
  assert.equal(m.state.gpr(4) & 0xffffn, 0x8000n);
  assert.equal(m.state.selector(LDTR), 0);
});
test('INT n through a task gate of DPL 0 from user mode is #GP', () => {
  const m = machine().user32();
  m.gate32(0x40, NEW, 0, 0x85);
  assert.equal(m.run(intN, { imm: 0x40 }), '#13(0x202)');
});
