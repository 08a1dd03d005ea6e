import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InitialCpuState } from '../../initial-state.ts';
import { CS, DS, FPU_CONTROL, segmentOffset, SS, TR, VCPU_INDEX } from '../state.ts';
import { randomToRegister } from './random.ts';
import { init, loadInitialState, powerOn, startUp } from './reset-state.ts';
import { TestMachine } from './test-machine.ts';

test('power-on is the reset vector in real mode', () => {
  const m = new TestMachine();
  assert.equal(m.state.big(segmentOffset(CS)) + m.state.rip, 0xffff_fff0n);
  assert.equal(m.state.rflags, 2);
  assert.equal(m.state.cr0, 0x6000_0010);
  assert.equal(m.state.codeSize, 16);
  assert.equal(m.state.dr6, 0xffff_0ff0);
  assert.equal(m.state.dr7, 0x400);
  assert.equal(m.state.mxcsr, 0x1f80);
  assert.equal(m.state.xcr0, 1);
  assert.equal(m.state.gpr(2), 0x3_0661n);
  assert.equal(m.state.limit(DS), 0xffff);
  assert.equal(m.state.attributes(TR), 0x8b);
  assert.equal(m.state.activity, 0);
});
test('another processor waits for a SIPI and starts at its vector', () => {
  const m = new TestMachine(2);
  m.state.i32[VCPU_INDEX >> 2] = 1;
  powerOn(m.cpu);
  assert.equal(m.state.vcpuIndex, 1);
  assert.equal(m.state.activity, 2);
  startUp(m.cpu, 0x9a);
  assert.equal(m.state.activity, 0);
  assert.equal(m.state.selector(CS), 0x9a00);
  assert.equal(m.state.big(segmentOffset(CS)), 0x9_a000n);
  assert.equal(m.state.rip, 0n);
});
test('a SIPI to a running processor is ignored', () => {
  const m = new TestMachine();
  startUp(m.cpu, 0x9a);
  assert.equal(m.state.selector(CS), 0xf000);
});
test('INIT keeps floating point, MSRs and the cache bits, and drops EFER', () => {
  const m = new TestMachine().longMode();
  m.state.u32[FPU_CONTROL >> 2] = 0x27f;
  m.state.mxcsr = 0x1fa0;
  m.state.setBig(0x298, 0x1234n);
  m.state.xcr0 = 3;
  init(m.cpu);
  assert.equal(m.state.u32[FPU_CONTROL >> 2], 0x27f);
  assert.equal(m.state.mxcsr, 0x1fa0);
  assert.equal(m.state.big(0x298), 0x1234n);
  assert.equal(m.state.xcr0, 3);
  assert.equal(m.state.efer, 0);
  assert.equal(m.state.cr0, 0x10);
  assert.equal(m.state.codeSize, 16);
});

const flat = (selector: number, attributes: number) => ({ selector, base: 0, limit: 0xffff_ffff, attributes });
const LONG: InitialCpuState = {
  rip: 0x10_0200,
  rflags: 2,
  rax: 0,
  rbx: 0,
  rcx: 0,
  rdx: 0,
  rsi: 0x7000,
  rdi: 0,
  rbp: 0,
  rsp: 0x8ff0,
  cr0: 0x8005_0033,
  cr3: 0x9000,
  cr4: 0x20,
  efer: 0x500,
  cs: flat(0x10, 0xa09b),
  ds: flat(0x18, 0xc093),
  es: flat(0x18, 0xc093),
  fs: flat(0x18, 0xc093),
  gs: flat(0x18, 0xc093),
  ss: flat(0x18, 0xc093),
  tr: { selector: 0x20, base: 0, limit: 0x67, attributes: 0x8b },
  ldtr: { selector: 0, base: 0, limit: 0, attributes: 0x1_0000 },
  gdtr: { base: 0x500, limit: 0x27 },
  idtr: { base: 0x520, limit: 7 },
};
test("a loader's state is taken as it is", () => {
  const m = new TestMachine();
  loadInitialState(m.cpu, LONG);
  assert.equal(m.state.rip, 0x10_0200n);
  assert.equal(m.state.gpr(6), 0x7000n);
  assert.equal(m.state.gpr(2), 0n);
  assert.equal(m.state.codeSize, 64);
  assert.equal(m.state.cpl, 0);
  assert.equal(m.state.limit(SS), 0xffff_ffff);
  assert.deepEqual([m.state.big(0x200), m.state.tableLimit(0x200)], [0x500n, 0x27]);
  assert.equal(m.state.cr3, 0x9000n);
});
test('memory types are on and write-back, as firmware leaves them', () => {
  const m = new TestMachine();
  loadInitialState(m.cpu, LONG);
  assert.equal(m.state.big(0x300), 0x806n);
});

test('RDRAND fills the operand and sets CF alone', () => {
  const m = new TestMachine().longMode();
  m.state.rflags = 0x8d6;
  assert.equal(m.run(randomToRegister, { rm: 3, opsize: 8 }), 'ok');
  assert.equal(m.state.gpr(3), 0x1234_5678_1234_5678n);
  assert.equal(m.state.rflags, 3);
});
test('RDRAND without randomness gives zero and clears CF', () => {
  const m = new TestMachine().longMode();
  m.random = undefined;
  m.state.setGpr(3, 0xffff_ffff_ffff_ffffn);
  m.run(randomToRegister, { rm: 3, opsize: 2 });
  assert.equal(m.state.gpr(3), 0xffff_ffff_ffff_0000n);
  assert.equal(m.state.rflags, 2);
});
