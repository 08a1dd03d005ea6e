import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CS,
  MSR_CSTAR,
  MSR_FMASK,
  MSR_LSTAR,
  MSR_STAR,
  MSR_SYSENTER_CS,
  MSR_SYSENTER_EIP,
  MSR_SYSENTER_ESP,
  SS,
} from '../state.ts';
import { syscall, sysenter, sysexit, sysret } from './syscall.ts';
import { TestMachine } from './test-machine.ts';

const ENTRY = 0xffff_ffff_8100_0040n;
function machine(): TestMachine {
  const m = new TestMachine().longMode();
  m.state.setBig(MSR_STAR, 0x0023_0010_0000_0000n);
  m.state.setBig(MSR_LSTAR, ENTRY);
  m.state.setBig(MSR_CSTAR, 0xffff_ffff_8100_0080n);
  m.state.setBig(MSR_FMASK, 0x4_7700n);
  m.state.setBig(MSR_SYSENTER_CS, 0x10n);
  m.state.setBig(MSR_SYSENTER_ESP, 0xffff_8880_0000_1000n);
  m.state.setBig(MSR_SYSENTER_EIP, 0xffff_ffff_8100_1000n);
  return m;
}

test('SYSCALL saves RIP and RFLAGS and enters CPL 0', () => {
  const m = machine().user64();
  m.state.rip = 0x40_1000n;
  m.state.rflags = 0x1_0b46;
  m.state.setGpr(4, 0x7fff_0000n);
  assert.equal(m.run(syscall), 'ok');
  assert.equal(m.state.gpr(1), 0x40_1002n);
  assert.equal(m.state.gpr(11), 0xb46n);
  assert.equal(m.state.rip, ENTRY);
  assert.equal(m.state.rflags, 0x846);
  assert.equal(m.state.gpr(4), 0x7fff_0000n);
  assert.deepEqual([m.state.selector(CS), m.state.attributes(CS), m.state.limit(CS)], [0x10, 0xa09b, 0xffff_ffff]);
  assert.deepEqual([m.state.selector(SS), m.state.attributes(SS)], [0x18, 0xc093]);
  assert.equal(m.state.cpl, 0);
});
test('SYSCALL is #UD outside 64-bit mode and with SCE clear', () => {
  assert.equal(machine().user32().run(syscall), '#6');
  const m = machine().user64();
  m.state.efer = 0xd00;
  assert.equal(m.run(syscall), '#6');
});

test('SYSRET returns to 64-bit code at CPL 3', () => {
  const m = machine();
  m.state.setGpr(1, 0x7f12_3456_789an);
  m.state.setGpr(11, 0xffff_ffffn);
  assert.equal(m.run(sysret, { opsize: 8 }), 'ok');
  assert.equal(m.state.rip, 0x7f12_3456_789an);
  assert.equal(m.state.rflags, 0x3c_7fd7);
  assert.deepEqual([m.state.selector(CS), m.state.attributes(CS)], [0x33, 0xa0fb]);
  assert.deepEqual([m.state.selector(SS), m.state.attributes(SS)], [0x2b, 0xc0f3]);
  assert.equal(m.state.cpl, 3);
});
test('SYSRET with a 32-bit operand returns to compatibility mode', () => {
  const m = machine();
  m.state.setGpr(1, 0xdead_0804_8000n);
  m.state.setGpr(11, 0x202n);
  assert.equal(m.run(sysret, { opsize: 4 }), 'ok');
  assert.equal(m.state.rip, 0x0804_8000n);
  assert.deepEqual([m.state.selector(CS), m.state.attributes(CS), m.state.codeSize], [0x23, 0xc0fb, 32]);
});
test('SYSRET to a non-canonical address is #GP(0) at CPL 0', () => {
  const m = machine();
  m.state.setGpr(1, 0x8000_0000_0000n);
  assert.equal(m.run(sysret, { opsize: 8 }), '#13(0x0)');
  assert.equal(m.state.cpl, 0);
});
test('SYSRET in user mode is #GP(0), with SCE clear #UD', () => {
  const m = machine().user64();
  assert.equal(m.run(sysret, { opsize: 8 }), '#13(0x0)');
  m.state.efer = 0xd00;
  assert.equal(m.run(sysret, { opsize: 8 }), '#6');
});

test('SYSENTER from compatibility mode enters 64-bit code', () => {
  const m = machine().user32();
  m.state.rflags = 0x302;
  assert.equal(m.run(sysenter), 'ok');
  assert.equal(m.state.rip, 0xffff_ffff_8100_1000n);
  assert.equal(m.state.gpr(4), 0xffff_8880_0000_1000n);
  assert.deepEqual([m.state.selector(CS), m.state.selector(SS), m.state.codeSize, m.state.cpl], [0x10, 0x18, 64, 0]);
  assert.equal(m.state.rflags, 0x102);
});
test('SYSENTER in protected mode takes 32 bits of the pointers', () => {
  const m = new TestMachine().protectedMode().user32();
  m.state.setBig(MSR_SYSENTER_CS, 0x8n);
  m.state.setBig(MSR_SYSENTER_ESP, 0x1_0000_5000n);
  m.state.setBig(MSR_SYSENTER_EIP, 0x1_0000_6000n);
  assert.equal(m.run(sysenter), 'ok');
  assert.equal(m.state.rip, 0x6000n);
  assert.equal(m.state.gpr(4), 0x5000n);
  assert.equal(m.state.attributes(CS), 0xc09b);
});
test('SYSENTER with a null SYSENTER_CS or in real mode is #GP(0)', () => {
  const m = machine();
  m.state.setBig(MSR_SYSENTER_CS, 3n);
  assert.equal(m.run(sysenter), '#13(0x0)');
  assert.equal(new TestMachine().realMode().run(sysenter), '#13(0x0)');
});

test('SYSEXIT returns to 64-bit or 32-bit code by its operand size', () => {
  const m = machine();
  m.state.setGpr(2, 0x7fff_0000_1000n);
  m.state.setGpr(1, 0x7fff_0000_2000n);
  assert.equal(m.run(sysexit, { opsize: 8 }), 'ok');
  assert.equal(m.state.rip, 0x7fff_0000_1000n);
  assert.equal(m.state.gpr(4), 0x7fff_0000_2000n);
  assert.deepEqual([m.state.selector(CS), m.state.selector(SS), m.state.codeSize, m.state.cpl], [0x33, 0x3b, 64, 3]);
  const n = machine();
  n.state.setGpr(2, 0x7fff_0000_1000n);
  n.run(sysexit, { opsize: 4 });
  assert.equal(n.state.rip, 0x1000n);
  assert.deepEqual([n.state.selector(CS), n.state.selector(SS), n.state.codeSize], [0x23, 0x2b, 32]);
});
test('SYSEXIT checks CPL, SYSENTER_CS and canonical pointers', () => {
  assert.equal(machine().user64().run(sysexit, { opsize: 8 }), '#13(0x0)');
  const m = machine();
  m.state.setGpr(1, 0x8000_0000_0000n);
  assert.equal(m.run(sysexit, { opsize: 8 }), '#13(0x0)');
  m.state.setBig(MSR_SYSENTER_CS, 0n);
  assert.equal(m.run(sysexit, { opsize: 4 }), '#13(0x0)');
});
