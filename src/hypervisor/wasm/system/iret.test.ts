import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CS, DS, ES, FS, GS, segmentOffset, SS } from '../state.ts';
import { iret } from './iret.ts';
import {
  CODE16,
  CONFORMING,
  KERNEL_CODE,
  KERNEL_CODE32,
  KERNEL_DATA,
  NOT_PRESENT,
  NOT_PRESENT_CODE,
  READ_ONLY,
  STACK16,
  TestMachine,
  USER_CODE32,
  USER_CODE64,
  USER_DATA,
} from './test-machine.ts';

const STACK = 0x2_0000;
/** A frame of IRETQ at the stack pointer. */
const frame = (m: TestMachine, ip: bigint | number, cs: number, flags: number, sp: bigint | number, ss: number): void =>
  m.put64(STACK, ip, cs, flags, sp, ss);
const iretq = (m: TestMachine): string => m.run(iret, { opsize: 8 });

test('IRETQ to user mode loads CS, SS, RIP, RSP and the flags', () => {
  const m = new TestMachine().longMode();
  m.state.dr7 = 0x401;
  frame(m, 0x40_1000n, USER_CODE64, 0x1_0246, 0x7fff_0000_1238n, USER_DATA);
  assert.equal(iretq(m), 'ok');
  assert.equal(m.state.rip, 0x40_1000n);
  assert.equal(m.state.gpr(4), 0x7fff_0000_1238n);
  assert.equal(m.state.cpl, 3);
  assert.equal(m.state.codeSize, 64);
  assert.equal(m.state.selector(CS), USER_CODE64);
  assert.equal(m.state.selector(SS), USER_DATA);
  assert.equal(m.state.rflags, 0x1_0246);
});
test('RF is not loaded while no breakpoint is enabled', () => {
  const m = new TestMachine().longMode();
  frame(m, 0x1000, KERNEL_CODE, 0x1_0002, 0x3_0000, KERNEL_DATA);
  assert.equal(iretq(m), 'ok');
  assert.equal(m.state.rflags, 2);
});
test('IRETQ to compatibility mode switches to 32-bit code', () => {
  const m = new TestMachine().longMode();
  frame(m, 0x1000, USER_CODE32, 0x202, 0xffff_d000n, USER_DATA);
  assert.equal(iretq(m), 'ok');
  assert.equal(m.state.codeSize, 32);
  assert.equal(m.state.gpr(4), 0xffff_d000n);
});
test('IRETQ at the same level pops RSP and SS too', () => {
  const m = new TestMachine().longMode();
  frame(m, 0xffff_ffff_8000_0000n, KERNEL_CODE, 2, 0xffff_ffff_8100_0001n, KERNEL_DATA);
  assert.equal(iretq(m), 'ok');
  assert.equal(m.state.gpr(4), 0xffff_ffff_8100_0001n);
  assert.equal(m.state.rip, 0xffff_ffff_8000_0000n);
});
test('IRETQ to CPL 0 accepts a null SS', () => {
  const m = new TestMachine().longMode();
  frame(m, 0x1000, KERNEL_CODE, 2, 0x3_0000, 0);
  assert.equal(iretq(m), 'ok');
  assert.equal(m.state.selector(SS), 0);
});
test('IRETQ to user mode refuses a null SS with #GP(0)', () => {
  const m = new TestMachine().longMode();
  frame(m, 0x1000, USER_CODE64, 2, 0x3_0000, 3);
  assert.equal(iretq(m), '#13(0x0)');
});
test('IRETQ with a non-canonical return address is #GP(0) and leaves RSP alone', () => {
  const m = new TestMachine().longMode();
  frame(m, 0x8000_0000_0000n, USER_CODE64, 2, 0x3_0000, USER_DATA);
  assert.equal(iretq(m), '#13(0x0)');
  assert.equal(m.state.gpr(4), BigInt(STACK));
  assert.equal(m.state.rip, 0x10000n);
  assert.equal(m.state.cpl, 0);
});
test('IRETQ to compatibility mode beyond the limit is #GP(0)', () => {
  const m = new TestMachine().longMode();
  frame(m, 0x1_0000_0000n, USER_CODE32, 2, 0x3_0000, USER_DATA);
  assert.equal(iretq(m), '#13(0x0)');
});
test('IRET in IA-32e mode with NT set is #GP(0)', () => {
  const m = new TestMachine().longMode();
  m.state.rflags = 0x4002;
  assert.equal(iretq(m), '#13(0x0)');
});

const refusal = (cs: number, ss: number, cpl = 0): string => {
  const m = new TestMachine().longMode();
  if (cpl === 3) m.user64();
  frame(m, 0x1000, cs, 2, 0x3_0000, ss);
  return iretq(m);
};
test('IRET to a null CS is #GP(0)', () => assert.equal(refusal(3, USER_DATA), '#13(0x0)'));
test('IRET to a CS beyond the GDT is #GP(selector)', () => assert.equal(refusal(0x103, USER_DATA), '#13(0x100)'));
test('IRET to a data segment in CS is #GP(selector)', () => assert.equal(refusal(USER_DATA, USER_DATA), '#13(0x20)'));
test('IRET to an inner level is #GP(selector)', () => assert.equal(refusal(KERNEL_CODE, KERNEL_DATA, 3), '#13(0x8)'));
test('IRET to non-conforming code whose DPL is not the RPL is #GP(selector)', () =>
  assert.equal(refusal(KERNEL_CODE | 3, USER_DATA), '#13(0x8)'));
test('IRET to conforming code of a lower DPL than the RPL is fine', () =>
  assert.equal(refusal(CONFORMING | 3, USER_DATA), 'ok'));
test('IRET to absent code is #NP(selector)', () => assert.equal(refusal(NOT_PRESENT_CODE, KERNEL_DATA), '#11(0x88)'));
test('IRET to an SS whose RPL is not that of CS is #GP(SS)', () =>
  assert.equal(refusal(USER_CODE64, KERNEL_DATA), '#13(0x10)'));
test('IRET to a read-only SS is #GP(SS)', () => assert.equal(refusal(KERNEL_CODE, READ_ONLY), '#13(0x48)'));
test('IRET to an absent SS is #SS(SS)', () => assert.equal(refusal(KERNEL_CODE, NOT_PRESENT), '#12(0x40)'));

test('IRET unblocks NMIs even when it faults', () => {
  const m = new TestMachine().longMode();
  m.state.nmiBlocked = true;
  frame(m, 0, 3, 2, 0, 0);
  assert.equal(iretq(m), '#13(0x0)');
  assert.equal(m.state.nmiBlocked, false);
});
test('a return to user mode makes data segments of lower DPL null and keeps the base under a null FS', () => {
  const m = new TestMachine().longMode();
  m.state.setSegment(DS, KERNEL_DATA, 0, 0, 0xffff_ffff, 0xc093);
  m.state.setSegment(ES, USER_DATA, 0, 0, 0xffff_ffff, 0xc0f3);
  m.state.setBig(segmentOffset(FS), 0x7f12_3456_7000n);
  m.state.setBig(segmentOffset(GS), 0x1234n);
  frame(m, 0x1000, USER_CODE64, 2, 0x3_0000, USER_DATA);
  assert.equal(iretq(m), 'ok');
  assert.equal(m.state.selector(DS), 0);
  assert.notEqual(m.state.attributes(DS) & 0x1_0000, 0);
  assert.equal(m.state.selector(ES), USER_DATA);
  assert.equal(m.state.big(segmentOffset(FS)), 0x7f12_3456_7000n);
  assert.equal(m.state.big(segmentOffset(GS)), 0x1234n);
});
test('at CPL 3 below IOPL neither IF nor IOPL change', () => {
  const m = new TestMachine().longMode().user64();
  m.state.rflags = 0x202;
  frame(m, 0x1000, USER_CODE64, 0x3002, 0x3_0000, USER_DATA);
  assert.equal(iretq(m), 'ok');
  assert.equal(m.state.rflags, 0x202);
});
test('at CPL 3 with IOPL 3 IF changes', () => {
  const m = new TestMachine().longMode().user64();
  m.state.rflags = 0x3202;
  frame(m, 0x1000, USER_CODE64, 0x0002, 0x3_0000, USER_DATA);
  iretq(m);
  assert.equal(m.state.rflags, 0x3002);
});
test('a page fault on the popped stack leaves everything alone', () => {
  const m = new TestMachine().longMode();
  m.state.setGpr(4, 0x2_0ff0n);
  m.put64(0x2_0ff0, 0x1000, USER_CODE64);
  m.mmu.rule(0x2_1000, 'absent');
  assert.equal(iretq(m), '#14(0x0)');
  assert.equal(m.state.gpr(4), 0x2_0ff0n);
});

test('IRETD at the same level in protected mode pops three slots', () => {
  const m = new TestMachine().protectedMode();
  m.put32(STACK, 0x1234, KERNEL_CODE, 0x246);
  assert.equal(m.run(iret, { opsize: 4 }), 'ok');
  assert.equal(m.state.rip, 0x1234n);
  assert.equal(m.state.gpr(4), BigInt(STACK + 12));
  assert.equal(m.state.rflags, 0x246);
});
test('a 16-bit IRET zero-extends IP and keeps the upper flags', () => {
  const m = new TestMachine().protectedMode();
  m.state.rflags = 0x20_0002;
  m.put16(STACK, 0x1234, CODE16, 0x0246);
  assert.equal(m.run(iret, { opsize: 2 }), 'ok');
  assert.equal(m.state.rip, 0x1234n);
  assert.equal(m.state.gpr(4), BigInt(STACK + 6));
  assert.equal(m.state.rflags, 0x20_0246);
  assert.equal(m.state.codeSize, 16);
});
test('IRETD to user mode pops five slots', () => {
  const m = new TestMachine().protectedMode();
  m.put32(STACK, 0x1234, USER_CODE32, 0x202, 0x5_5555, USER_DATA);
  assert.equal(m.run(iret, { opsize: 4 }), 'ok');
  assert.equal(m.state.gpr(4), 0x5_5555n);
  assert.equal(m.state.cpl, 3);
});
test('a return to a 16-bit stack keeps the upper half of ESP', () => {
  const m = new TestMachine().longMode();
  m.descriptor(STACK16 | 3, 0, 0xffff, 0x00f2);
  frame(m, 0x1000, USER_CODE32, 2, 0x1234, STACK16 | 3);
  m.state.setGpr(4, 0x2_0000n);
  assert.equal(iretq(m), 'ok');
  assert.equal(m.state.gpr(4), 0x2_1234n);
});
test('IRETD beyond the code limit is #GP(0)', () => {
  const m = new TestMachine().protectedMode();
  m.put32(STACK, 0x1_0000, CODE16, 2);
  assert.equal(m.run(iret, { opsize: 4 }), '#13(0x0)');
});
test('IRETD to virtual-8086 mode loads all segments', () => {
  const m = new TestMachine().protectedMode();
  m.put32(STACK, 0x100, 0x2000, 0x2_3202, 0xfffe, 0x3000, 0x4000, 0x5000, 0x6000, 0x7000);
  assert.equal(m.run(iret, { opsize: 4 }), 'ok');
  assert.equal(m.state.cpl, 3);
  assert.equal(m.state.codeSize, 16);
  assert.equal(m.state.virtual8086, true);
  assert.deepEqual(
    [ES, CS, SS, DS, FS, GS].map((s) => m.state.selector(s)),
    [0x4000, 0x2000, 0x3000, 0x5000, 0x6000, 0x7000],
  );
  assert.equal(m.state.big(segmentOffset(CS)), 0x2_0000n);
  assert.equal(m.state.gpr(4), 0xfffen);
});
test('IRET in virtual-8086 mode without IOPL 3 is #GP(0)', () => {
  const m = new TestMachine().protectedMode();
  m.put32(STACK, 0x100, 0x2000, 0x2_0202, 0xfffe, 0x3000, 0, 0, 0, 0);
  m.run(iret, { opsize: 4 });
  assert.equal(m.run(iret, { opsize: 2 }), '#13(0x0)');
});
test('IRET in real mode pops three words', () => {
  const m = new TestMachine().realMode();
  m.put16(0x2_1000, 0x1234, 0x5678, 0x7246);
  assert.equal(m.run(iret, { opsize: 2 }), 'ok');
  assert.equal(m.state.rip, 0x1234n);
  assert.equal(m.state.selector(CS), 0x5678);
  assert.equal(m.state.big(segmentOffset(CS)), 0x5_6780n);
  assert.equal(m.state.rflags, 0x7246);
  assert.equal(m.state.gpr(4), 0x1006n);
});
test('the accessed bits of the new CS and SS are set', () => {
  const m = new TestMachine().longMode();
  frame(m, 0x1000, USER_CODE64, 2, 0x3_0000, USER_DATA);
  iretq(m);
  assert.equal(m.mmu.memory[0x1000 + (USER_CODE64 & ~7) + 5], 0xfb);
  assert.equal(m.mmu.memory[0x1000 + (USER_DATA & ~7) + 5], 0xf3);
});
test('IRET from compatibility mode at the same level leaves SS alone', () => {
  const m = new TestMachine().longMode();
  m.state.setSegment(CS, KERNEL_CODE32, 0, 0, 0xffff_ffff, 0xc09b);
  m.state.codeSize = 32;
  m.put32(STACK, 0x1000, KERNEL_CODE32, 2);
  assert.equal(m.run(iret, { opsize: 4 }), 'ok');
  assert.equal(m.state.gpr(4), BigInt(STACK + 12));
});
