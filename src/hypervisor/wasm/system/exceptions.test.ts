import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ACTIVITY_SHUTDOWN, CS, SS, TR } from '../state.ts';
import { deliver, deliverInterrupt, deliverNmi, deliverPendingFault } from './exceptions.ts';
import { int3, intN } from './software-interrupts.ts';
import {
  CONFORMING,
  KERNEL_CODE,
  KERNEL_CODE32,
  KERNEL_DATA,
  NOT_PRESENT_CODE,
  TestMachine,
  TSS,
  USER_CODE64,
  USER_DATA,
} from './test-machine.ts';

const HANDLER = 0xffff_ffff_8123_4560n;

test('an interrupt at the same level pushes an aligned frame of five slots', () => {
  const m = new TestMachine().longMode();
  m.gate64(0x40, KERNEL_CODE, HANDLER);
  m.state.setGpr(4, 0x1fff9n);
  m.state.rflags = 0x246;
  assert.equal(deliverInterrupt(m.cpu, 0x40), 'delivered');
  assert.equal(m.state.rip, HANDLER);
  assert.equal(m.state.gpr(4), 0x1fff0n - 40n);
  assert.deepEqual(
    [0, 1, 2, 3, 4].map((i) => m.u64(0x1fff0 - 40 + i * 8)),
    [0x10000n, 8n, 0x246n, 0x1fff9n, 16n],
  );
  assert.equal(m.state.rflags, 0x46);
  assert.equal(m.state.selector(SS), KERNEL_DATA);
});

test('a trap gate leaves IF set', () => {
  const m = new TestMachine().longMode();
  m.gate64(0x40, KERNEL_CODE, HANDLER, 0x8f);
  m.state.rflags = 0x302;
  deliverInterrupt(m.cpu, 0x40);
  assert.equal(m.state.rflags, 0x202);
});

test('from user mode the stack comes from the TSS and SS becomes null', () => {
  const m = new TestMachine().longMode().user64();
  m.put64(TSS + 4, 0x3_0000n);
  m.gate64(14, KERNEL_CODE, HANDLER);
  m.state.setGpr(4, 0x7fff_ffff_f000n);
  m.state.rip = 0x40_1234n;
  m.state.rflags = 0x202;
  assert.equal(deliver(m.cpu, 14, 6, 'fault'), 'delivered');
  assert.equal(m.state.gpr(4), 0x3_0000n - 48n);
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5].map((i) => m.u64(0x3_0000 - 48 + i * 8)),
    [6n, 0x40_1234n, BigInt(USER_CODE64), 0x10202n, 0x7fff_ffff_f000n, BigInt(USER_DATA)],
  );
  assert.equal(m.state.selector(SS), 0);
  assert.notEqual(m.state.attributes(SS) & 0x1_0000, 0);
  assert.equal(m.state.selector(CS), KERNEL_CODE);
  assert.equal(m.state.cpl, 0);
  assert.equal(m.state.codeSize, 64);
});

test('an IST entry is used even without a privilege change', () => {
  const m = new TestMachine().longMode();
  m.put64(TSS + 36 + 8, 0x5_0008n);
  m.gate64(8, KERNEL_CODE, HANDLER, 0x8e, 2);
  deliver(m.cpu, 8, 0, 'fault');
  assert.equal(m.state.gpr(4), 0x5_0000n - 48n);
  assert.equal(m.state.selector(SS), KERNEL_DATA);
});

test('a conforming handler runs at the interrupted level', () => {
  const m = new TestMachine().longMode().user64();
  m.gate64(0x40, CONFORMING, HANDLER);
  m.state.setGpr(4, 0x2_0000n);
  deliverInterrupt(m.cpu, 0x40);
  assert.equal(m.state.cpl, 3);
  assert.equal(m.state.selector(CS), CONFORMING | 3);
  assert.equal(m.state.gpr(4), 0x2_0000n - 40n);
});

test('a compatibility-mode program is interrupted into 64-bit code with its stack pointer saved', () => {
  const m = new TestMachine().longMode().user32();
  m.put64(TSS + 4, 0x3_0000n);
  m.gate64(0x80, KERNEL_CODE, HANDLER, 0xee);
  m.state.setGpr(4, 0xffff_d000n);
  assert.equal(m.run(intN, { imm: 0x80 }), 'ok');
  assert.equal(m.u64(0x3_0000 - 16), 0xffff_d000n);
  assert.equal(m.u64(0x3_0000 - 40), 0x10002n);
  assert.equal(m.state.codeSize, 64);
});

test('the accessed bit of the handler code segment is set in memory', () => {
  const m = new TestMachine().longMode();
  m.gate64(0x40, KERNEL_CODE, HANDLER);
  deliverInterrupt(m.cpu, 0x40);
  assert.equal(m.mmu.memory[0x1000 + KERNEL_CODE + 5], 0x9b);
});

const nested = (prepare: (m: TestMachine) => void, act: (m: TestMachine) => string): string => {
  const m = new TestMachine().longMode();
  m.gate64(0x40, KERNEL_CODE, HANDLER);
  prepare(m);
  return act(m);
};
const int40 = (m: TestMachine): string => m.run(intN, { imm: 0x40 });

test('INT n beyond the IDT limit is #GP with the IDT bit and the vector', () => {
  assert.equal(
    nested((m) => m.state.setTable(0x210, 0x2000, 0, 0x40 * 16 + 14), int40),
    '#13(0x202)',
  );
});
test('INT n through a gate that is no 64-bit interrupt or trap gate is #GP', () => {
  assert.equal(
    nested((m) => m.gate64(0x40, KERNEL_CODE, HANDLER, 0x86), int40),
    '#13(0x202)',
  );
});
test('INT n from user mode through a gate of DPL 0 is #GP with EXT clear', () => {
  assert.equal(
    nested((m) => m.user64(), int40),
    '#13(0x202)',
  );
});
test('INT n through a gate that is not present is #NP', () => {
  assert.equal(
    nested((m) => m.gate64(0x40, KERNEL_CODE, HANDLER, 0x0e), int40),
    '#11(0x202)',
  );
});
test('INT n to a null selector is #GP(0)', () => {
  assert.equal(
    nested((m) => m.gate64(0x40, 3, HANDLER), int40),
    '#13(0x0)',
  );
});
test('INT n to a selector beyond the GDT is #GP(selector)', () => {
  assert.equal(
    nested((m) => m.gate64(0x40, 0x100, HANDLER), int40),
    '#13(0x100)',
  );
});
test('INT n to a data segment is #GP(selector)', () => {
  assert.equal(
    nested((m) => m.gate64(0x40, KERNEL_DATA, HANDLER), int40),
    '#13(0x10)',
  );
});
test('INT n to 32-bit code in IA-32e mode is #GP(selector)', () => {
  assert.equal(
    nested((m) => m.gate64(0x40, KERNEL_CODE32, HANDLER), int40),
    '#13(0x90)',
  );
});
test('INT n to code that is not present is #NP(selector)', () => {
  assert.equal(
    nested((m) => m.gate64(0x40, NOT_PRESENT_CODE, HANDLER), int40),
    '#11(0x88)',
  );
});
test('INT n to a selector in an absent LDT is #GP(selector)', () => {
  assert.equal(
    nested((m) => m.gate64(0x40, 0x0c, HANDLER), int40),
    '#13(0xc)',
  );
});
test('a handler address that is not canonical is #GP(0)', () => {
  assert.equal(
    nested((m) => m.gate64(0x40, KERNEL_CODE, 0x8000_0000_0000n), int40),
    '#13(0x0)',
  );
});
test('a stack pointer that is not canonical is #SS(0)', () => {
  assert.equal(
    nested((m) => m.state.setGpr(4, 0x8000_0000_1000n), int40),
    '#12(0x0)',
  );
});
test('an inner stack pointer beyond the TSS limit is #TS with the TSS selector', () => {
  assert.equal(
    nested((m) => {
      m.user64();
      m.gate64(0x40, KERNEL_CODE, HANDLER, 0xee);
      m.state.setSegment(TR, 0x60, TSS, 0, 10, 0x8b);
    }, int40),
    '#10(0x60)',
  );
});
test('a page fault while the frame is pushed leaves the registers alone', () => {
  const m = new TestMachine().longMode();
  m.gate64(0x40, KERNEL_CODE, HANDLER);
  m.mmu.rule(0x1f000, 'absent');
  assert.equal(m.run(intN, { imm: 0x40 }), '#14(0x2)');
  assert.equal(m.state.rip, 0x10000n);
  assert.equal(m.state.gpr(4), 0x20000n);
  assert.equal(m.state.selector(CS), KERNEL_CODE);
  assert.equal(m.state.cr2, 0x1fff8n);
});
test('a supervisor page fault in the IDT is taken as a supervisor access even from user mode', () => {
  const m = new TestMachine().longMode().user64();
  m.mmu.rule(0x2000, 'supervisor');
  m.gate64(0x40, KERNEL_CODE, HANDLER, 0xee);
  m.put64(TSS + 4, 0x3_0000n);
  assert.equal(m.run(intN, { imm: 0x40 }), 'ok');
});

test('an external interrupt through an absent gate becomes #NP with EXT set', () => {
  const m = new TestMachine().longMode();
  m.gate64(11, KERNEL_CODE, HANDLER);
  m.gate64(0x40, KERNEL_CODE, HANDLER, 0x0e);
  assert.equal(deliverInterrupt(m.cpu, 0x40), 'delivered');
  assert.equal(m.u64(Number(m.state.gpr(4))), 0x203n);
});
test('a page fault during the delivery of a page fault is a double fault with error code 0', () => {
  const m = new TestMachine().longMode();
  m.gate64(14, KERNEL_CODE, HANDLER, 0x8e, 1);
  m.gate64(8, KERNEL_CODE, HANDLER + 0x100n);
  m.put64(TSS + 36, 0x6_1000n);
  m.mmu.rule(0x6_0000, 'absent');
  assert.equal(deliver(m.cpu, 14, 0, 'fault'), 'delivered');
  assert.equal(m.state.rip, HANDLER + 0x100n);
  assert.equal(m.u64(Number(m.state.gpr(4))), 0n);
  assert.equal(m.u64(Number(m.state.gpr(4)) + 8), 0x10000n);
});
test('a page fault during the delivery of #GP is delivered as a page fault', () => {
  const m = new TestMachine().longMode();
  m.gate64(13, KERNEL_CODE, HANDLER, 0x8e, 1);
  m.gate64(14, KERNEL_CODE, HANDLER + 0x100n);
  m.put64(TSS + 36, 0x6_1000n);
  m.mmu.rule(0x6_0000, 'absent');
  deliver(m.cpu, 13, 0, 'fault');
  assert.equal(m.state.rip, HANDLER + 0x100n);
  assert.equal(m.u64(Number(m.state.gpr(4))), 2n);
});
test('#GP during the delivery of #GP is a double fault', () => {
  const m = new TestMachine().longMode();
  m.gate64(13, KERNEL_DATA, HANDLER);
  m.gate64(8, KERNEL_CODE, HANDLER + 0x100n);
  deliver(m.cpu, 13, 0, 'fault');
  assert.equal(m.state.rip, HANDLER + 0x100n);
});
test('#NP during the delivery of #UD is delivered as #NP', () => {
  const m = new TestMachine().longMode();
  m.gate64(6, KERNEL_CODE, HANDLER, 0x0e);
  m.gate64(11, KERNEL_CODE, HANDLER + 0x100n);
  deliver(m.cpu, 6, -1, 'fault');
  assert.equal(m.state.rip, HANDLER + 0x100n);
  assert.equal(m.u64(Number(m.state.gpr(4))), 0x33n);
});
test('a fault during the delivery of a double fault shuts down', () => {
  const m = new TestMachine().longMode();
  m.state.setTable(0x210, 0x2000, 0, 0);
  assert.equal(deliver(m.cpu, 14, 0, 'fault'), 'shutdown');
  assert.equal(m.state.activity, ACTIVITY_SHUTDOWN);
  assert.equal(m.state.rip, 0x10000n);
});

test('a pending fault pushes RF and its own address', () => {
  const m = new TestMachine().longMode();
  m.gate64(6, KERNEL_CODE, HANDLER);
  m.state.faultVector = 6;
  m.state.faultError = -1;
  deliverPendingFault(m.cpu);
  assert.equal(m.u64(0x20000 - 24) & 0x10000n, 0x10000n);
  assert.equal(m.state.faultVector, -1);
});
test('INT3 pushes the address after it and no RF', () => {
  const m = new TestMachine().longMode();
  m.gate64(3, KERNEL_CODE, HANDLER);
  assert.equal(m.run(int3, { length: 1 }), 'ok');
  assert.equal(m.u64(0x20000 - 40), 0x10001n);
  assert.equal(m.u64(0x20000 - 24) & 0x10000n, 0n);
});
test('an NMI blocks further NMIs', () => {
  const m = new TestMachine().longMode();
  m.gate64(2, KERNEL_CODE, HANDLER);
  deliverNmi(m.cpu);
  assert.equal(m.state.nmiBlocked, true);
});
test('a #DB clears the general-detect bit of DR7', () => {
  const m = new TestMachine().longMode();
  m.gate64(1, KERNEL_CODE, HANDLER);
  m.state.dr7 = 0x2400;
  deliver(m.cpu, 1, -1, 'trap');
  assert.equal(m.state.dr7, 0x400);
});
test('delivery wakes a halted processor and ends an interrupt shadow', () => {
  const m = new TestMachine().longMode();
  m.gate64(0x40, KERNEL_CODE, HANDLER);
  m.state.activity = 1;
  m.state.interruptShadow = 1;
  deliverInterrupt(m.cpu, 0x40);
  assert.equal(m.state.activity, 0);
  assert.equal(m.state.interruptShadow, 0);
});
test('a frame that ends on a 4 GiB boundary is written below it', () => {
  const m = new TestMachine().longMode();
  m.gate64(0x40, KERNEL_CODE, HANDLER);
  m.state.setGpr(4, 0x1_0000_0000n);
  deliverInterrupt(m.cpu, 0x40);
  assert.equal(m.state.gpr(4), 0xffff_ffd8n);
  assert.equal(m.u64(0xfffd8), 0x10000n);
});
