import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  checkInstructionBreakpoints,
  debugArmed,
  finishInstruction,
  movFromDebug,
  movToDebug,
  noteDataAccess,
  notePortAccess,
  SHADOW_MOV_SS,
} from './debug.ts';
import { MSR_FMASK } from '../state.ts';
import { writeMsr } from './msr.ts';
import { intN } from './software-interrupts.ts';
import { syscall } from './syscall.ts';
import { TestMachine } from './test-machine.ts';

const write = (m: TestMachine, register: number, value: bigint): string => {
  m.state.setGpr(0, value);
  return m.run(movToDebug, { reg: register, rm: 0 });
};
const long = (): TestMachine => new TestMachine().longMode();

test('debug addresses read back', () => {
  const m = long();
  assert.equal(write(m, 3, 0xffff_8000_0000_1234n), 'ok');
  m.run(movFromDebug, { reg: 3, rm: 7 });
  assert.equal(m.state.gpr(7), 0xffff_8000_0000_1234n);
});
test('DR6 and DR7 have fixed bits', () => {
  const m = long();
  write(m, 6, 0n);
  assert.equal(m.state.dr6, 0xffff_0ff0);
  write(m, 6, 0xffff_ffffn);
  assert.equal(m.state.dr6, 0xffff_efff);
  write(m, 7, 0xffff_dfffn);
  assert.equal(m.state.dr7, 0xffff_07ff);
});
test('DR6 and DR7 with upper bits are #GP(0)', () => {
  assert.equal(write(long(), 6, 1n << 32n), '#13(0x0)');
  assert.equal(write(long(), 7, 1n << 32n), '#13(0x0)');
});
test('DR4 and DR5 alias DR6 and DR7 until CR4.DE', () => {
  const m = long();
  assert.equal(write(m, 4, 0n), 'ok');
  assert.equal(m.state.dr6, 0xffff_0ff0);
  m.state.cr4 |= 8;
  assert.equal(write(m, 5, 0n), '#6');
  assert.equal(write(m, 8, 0n), '#6');
});
test('debug registers are for CPL 0', () => assert.equal(write(long().user64(), 0, 0n), '#13(0x0)'));
test('general detect makes every access a #DB with BD', () => {
  const m = long();
  m.state.dr7 = 0x2400;
  assert.equal(write(m, 0, 0n), '#1');
  assert.equal(m.state.dr6 & 0x2000, 0x2000);
});

test('nothing is armed at reset; TF, DR7 or a pending trap arm', () => {
  const m = long();
  assert.equal(debugArmed(m.cpu), false);
  m.state.dr7 = 0x401;
  assert.equal(debugArmed(m.cpu), true);
  m.state.dr7 = 0x400;
  m.state.rflags = 0x102;
  assert.equal(debugArmed(m.cpu), true);
});
test('an execution breakpoint is a fault at its address, once RF is set no more', () => {
  const m = long();
  m.state.setDr(1, 0x1_0000n);
  m.state.dr7 = 0x404;
  assert.equal(checkInstructionBreakpoints(m.cpu), true);
  assert.equal(m.state.faultVector, 1);
  assert.equal(m.state.dr6 & 15, 2);
  m.state.rflags = 0x1_0002;
  assert.equal(checkInstructionBreakpoints(m.cpu), false);
});
test('an execution breakpoint compares the linear address', () => {
  const m = new TestMachine().realMode();
  m.state.setDr(0, 0x1_0100n);
  m.state.dr7 = 0x402;
  assert.equal(checkInstructionBreakpoints(m.cpu), true);
});
test('a write breakpoint of 4 bytes hits overlapping writes and no reads', () => {
  const m = long();
  m.state.setDr(0, 0x5000n);
  m.state.dr7 = 0x400 | 1 | (0xd << 16);
  noteDataAccess(m.cpu, 0x5002, 0, 1, false);
  noteDataAccess(m.cpu, 0x4ff8, 0, 8, true);
  noteDataAccess(m.cpu, 0x5004, 0, 8, true);
  assert.equal(m.state.pendingDebug, 0);
  noteDataAccess(m.cpu, 0x4ffd, 0, 4, true);
  assert.equal(m.state.pendingDebug, 1);
  assert.equal(finishInstruction(m.cpu, false, false, false), true);
  assert.equal(m.state.dr6 & 15, 1);
  assert.equal(m.state.pendingDebug, 0);
});
test('an access breakpoint of 8 bytes hits reads', () => {
  const m = long();
  m.state.setDr(2, 0xffff_8000_0000_5000n);
  m.state.dr7 = 0x400 | 0x10 | (0xb << 24);
  noteDataAccess(m.cpu, 0x5007, 0xffff_8000, 1, false);
  assert.equal(m.state.pendingDebug, 4);
});
test('an I/O breakpoint needs CR4.DE', () => {
  const m = long();
  m.state.setDr(0, 0x3f8n);
  m.state.dr7 = 0x400 | 1 | (2 << 16);
  notePortAccess(m.cpu, 0x3f8, 1);
  assert.equal(m.state.pendingDebug, 0);
  m.state.cr4 |= 8;
  notePortAccess(m.cpu, 0x3f7, 2);
  assert.equal(m.state.pendingDebug, 1);
});
test('single-step traps with BS when TF was set before', () => {
  const m = long();
  assert.equal(finishInstruction(m.cpu, true, false, false), true);
  assert.equal(m.state.dr6 & 0x4000, 0x4000);
  assert.equal(finishInstruction(m.cpu, false, false, false), false);
});
test('after MOV SS a data breakpoint waits and a single-step trap is lost', () => {
  const m = long();
  m.state.pendingDebug = 1;
  m.state.interruptShadow = SHADOW_MOV_SS;
  assert.equal(finishInstruction(m.cpu, true, false, false), false);
  m.state.interruptShadow = 0;
  assert.equal(finishInstruction(m.cpu, false, false, false), true);
  assert.equal(m.state.dr6 & 0x400f, 1);
});
test('with BTF only branches trap, and the trap clears it', () => {
  const m = long();
  writeMsr(m.cpu, 0x1d9, 2n);
  assert.equal(finishInstruction(m.cpu, true, false, false), false);
  assert.equal(finishInstruction(m.cpu, true, true, false), true);
  assert.equal(finishInstruction(m.cpu, true, false, false), true);
});
test('an instruction clears RF unless it was IRET', () => {
  const m = long();
  m.state.rflags = 0x1_0002;
  finishInstruction(m.cpu, false, false, true);
  assert.equal(m.state.rflags, 0x1_0002);
  finishInstruction(m.cpu, false, false, false);
  assert.equal(m.state.rflags, 2);
});
test('an instruction that delivers an event is not single-stepped into the handler', () => {
  const m = long();
  m.gate64(0x40, 8, 0x1234n);
  m.state.rflags = 0x102;
  checkInstructionBreakpoints(m.cpu);
  assert.equal(m.run(intN, { imm: 0x40 }), 'ok');
  assert.equal(finishInstruction(m.cpu, true, false, false), false);
  checkInstructionBreakpoints(m.cpu);
  assert.equal(finishInstruction(m.cpu, true, false, false), true);
});
test('SYSCALL is single-stepped only when it leaves TF set', () => {
  for (const [mask, trapped] of [
    [0x100n, false],
    [0n, true],
  ] as const) {
    const m = long();
    m.state.setBig(MSR_FMASK, mask);
    m.state.rflags = 0x102;
    checkInstructionBreakpoints(m.cpu);
    assert.equal(m.run(syscall), 'ok');
    assert.equal(finishInstruction(m.cpu, true, false, false), trapped);
  }
});
