import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CS, DS, ES, FS, GS, SS } from '../state.ts';
import { deliver, deliverInterrupt } from './exceptions.ts';
import { hlt, int1, int3, intN, into, undefinedInstruction } from './software-interrupts.ts';
import {
  CODE16,
  CONFORMING,
  KERNEL_CODE,
  KERNEL_DATA,
  NOT_PRESENT,
  RING1_CODE,
  RING1_DATA,
  STACK16,
  TestMachine,
  TSS,
  USER_CODE32,
  USER_DATA,
} from './test-machine.ts';

const legacy = (): TestMachine => new TestMachine().protectedMode();
/** A user-mode machine whose ring-0 stack is at 0x40000. */
function user(): TestMachine {
  const m = legacy().user32();
  m.put32(TSS + 4, 0x4_0000, KERNEL_DATA);
  return m;
}

test('real mode pushes three words and loads the vector', () => {
  const m = new TestMachine().realMode();
  m.put16(0x40 * 4, 0x1234, 0xf000);
  m.state.rflags = 0x0302;
  assert.equal(m.run(intN, { imm: 0x40 }), 'ok');
  assert.equal(m.state.selector(CS), 0xf000);
  assert.equal(m.state.rip, 0x1234n);
  assert.deepEqual([m.u16(0x2_0ffa), m.u16(0x2_0ffc), m.u16(0x2_0ffe)], [0x102, 0x1000, 0x302]);
  assert.equal(m.state.rflags, 2);
});
test('a real-mode vector beyond the table is #GP, and shutdown when none of the handlers is in it', () => {
  const m = new TestMachine().realMode();
  m.state.setTable(0x210, 0, 0, 0xff);
  assert.equal(m.run(intN, { imm: 0x40 }), '#13(0x202)');
  m.state.setTable(0x210, 0, 0, 3);
  assert.equal(deliverInterrupt(m.cpu, 0x40), 'shutdown');
});
test('a 32-bit gate at the same level pushes three doublewords and an error code', () => {
  const m = legacy();
  m.gate32(13, KERNEL_CODE, 0x5678);
  deliver(m.cpu, 13, 0x42, 'fault');
  assert.equal(m.state.rip, 0x5678n);
  assert.equal(m.state.gpr(4), 0x1_fff0n);
  assert.deepEqual(
    [0, 1, 2, 3].map((i) => m.u32(0x1_fff0 + i * 4)),
    [0x42, 0x10000, KERNEL_CODE, 0x1_0002],
  );
});
test('a 16-bit gate pushes words', () => {
  const m = legacy();
  m.gate32(0x40, CODE16, 0x1234_5678, 0x86);
  deliverInterrupt(m.cpu, 0x40);
  assert.equal(m.state.rip, 0x5678n);
  assert.equal(m.state.gpr(4), 0x1_fffan);
  assert.equal(m.state.codeSize, 16);
});
test('from user mode the stack of the TSS is used', () => {
  const m = user();
  m.gate32(0x40, KERNEL_CODE, 0x5678, 0xef);
  m.state.rflags = 0x202;
  assert.equal(m.run(intN, { imm: 0x40 }), 'ok');
  assert.equal(m.state.gpr(4), 0x4_0000n - 20n);
  assert.deepEqual(
    [0, 1, 2, 3, 4].map((i) => m.u32(0x4_0000 - 20 + i * 4)),
    [0x10002, USER_CODE32, 0x202, 0x2_0000, USER_DATA],
  );
  assert.deepEqual([m.state.selector(SS), m.state.selector(CS), m.state.cpl], [KERNEL_DATA, KERNEL_CODE, 0]);
  assert.equal(m.state.rflags & 0x200, 0x200);
});
test('a handler in ring 1 uses its own stack', () => {
  const m = legacy().user32();
  m.put32(TSS + 12, 0x5_0000, RING1_DATA);
  m.gate32(0x40, RING1_CODE & ~3, 0x5678, 0xee);
  assert.equal(m.run(intN, { imm: 0x40 }), 'ok');
  assert.equal(m.state.cpl, 1);
  assert.equal(m.state.selector(CS), RING1_CODE);
});
test('the inner stack is checked', () => {
  const inner = (selector: number, pointer = 0x4_0000): string => {
    const m = user();
    m.descriptor(STACK16, 0, 0xff, 0x0092);
    m.put32(TSS + 4, pointer, selector);
    m.gate32(0x40, KERNEL_CODE, 0x5678, 0xee);
    return m.run(intN, { imm: 0x40 });
  };
  assert.equal(inner(0), '#10(0x0)');
  assert.equal(inner(0x2000), '#10(0x2000)');
  assert.equal(inner(USER_DATA), '#10(0x20)');
  assert.equal(inner(KERNEL_DATA | 1), '#10(0x10)');
  assert.equal(inner(KERNEL_CODE), '#10(0x8)');
  assert.equal(inner(NOT_PRESENT), '#12(0x40)');
  assert.equal(inner(STACK16, 0x100), 'ok');
  assert.equal(inner(STACK16, 0x102), '#12(0x98)');
});
test('an interrupt that finds no inner stack reports #TS with EXT', () => {
  const m = user();
  m.put32(TSS + 4, 0x4_0000, USER_DATA);
  m.gate32(0x40, KERNEL_CODE, 0x5678);
  m.gate32(10, CONFORMING, 0x9999);
  m.state.setGpr(4, 0x2_0000n);
  deliverInterrupt(m.cpu, 0x40);
  assert.equal(m.state.rip, 0x9999n);
  assert.equal(m.u32(0x2_0000 - 16), 0x21);
});
test('an inner 16-bit stack keeps the upper half of ESP', () => {
  const m = user();
  m.put32(TSS + 4, 0x1_8000, STACK16);
  m.gate32(0x40, KERNEL_CODE, 0x5678, 0xee);
  m.state.setGpr(4, 0x7_1234n);
  assert.equal(m.run(intN, { imm: 0x40 }), 'ok');
  assert.equal(m.state.gpr(4), 0x7_7fecn);
});
test('a 16-bit TSS holds 16-bit stacks', () => {
  const m = user();
  m.state.setSegment(7, 0x60, TSS, 0, 0x2b, 0x83);
  m.put16(TSS + 2, 0x8000, KERNEL_DATA);
  m.gate32(0x40, KERNEL_CODE, 0x5678, 0xee);
  m.run(intN, { imm: 0x40 });
  assert.equal(m.state.gpr(4), 0x8000n - 20n);
});
test('gates are checked', () => {
  const through = (selector: number, offset: number, type: number): string => {
    const m = user();
    m.gate32(0x40, selector, offset, type);
    return m.run(intN, { imm: 0x40 });
  };
  assert.equal(through(KERNEL_CODE, 0, 0x8e), '#13(0x202)');
  assert.equal(through(KERNEL_CODE, 0, 0xec), '#13(0x202)');
  assert.equal(through(KERNEL_CODE, 0, 0x6e), '#11(0x202)');
  assert.equal(through(0, 0, 0xee), '#13(0x0)');
  assert.equal(through(0x2000, 0, 0xee), '#13(0x2000)');
  assert.equal(through(KERNEL_DATA, 0, 0xee), '#13(0x10)');
  assert.equal(through(CODE16, 0x1_0000, 0xee), '#13(0x0)');
});
test('a handler of a less privileged level is #GP(selector)', () => {
  const m = legacy();
  m.gate32(0x40, USER_CODE32, 0);
  assert.equal(m.run(intN, { imm: 0x40 }), '#13(0x18)');
});

function virtual8086(): TestMachine {
  const m = user();
  m.state.rflags = 0x2_0202;
  for (const [i, s] of [
    [ES, 0x4000],
    [CS, 0x2000],
    [SS, 0x3000],
    [DS, 0x5000],
    [FS, 0x6000],
    [GS, 0x7000],
  ] as const) {
    m.state.setSegment(i, s, s << 4, 0, 0xffff, 0xf3);
  }
  m.state.codeSize = 16;
  m.state.setGpr(4, 0xfffen);
  m.state.rip = 0x100n;
  return m;
}
test('an interrupt in virtual-8086 mode saves and clears the data segments', () => {
  const m = virtual8086();
  m.gate32(0x40, KERNEL_CODE, 0x5678);
  deliverInterrupt(m.cpu, 0x40);
  assert.equal(m.state.gpr(4), 0x4_0000n - 36n);
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5, 6, 7, 8].map((i) => m.u32(0x4_0000 - 36 + i * 4)),
    [0x100, 0x2000, 0x2_0202, 0xfffe, 0x3000, 0x4000, 0x5000, 0x6000, 0x7000],
  );
  assert.deepEqual(
    [ES, DS, FS, GS].map((s) => m.state.selector(s)),
    [0, 0, 0, 0],
  );
  assert.equal(m.state.virtual8086, false);
  assert.equal(m.state.cpl, 0);
});
test('from virtual-8086 mode the handler must be in ring 0', () => {
  const m = virtual8086();
  m.gate32(3, RING1_CODE & ~3, 0, 0xee);
  assert.equal(m.run(int3, { length: 1 }), '#13(0x50)');
  m.gate32(3, CONFORMING, 0, 0xee);
  assert.equal(m.run(int3, { length: 1 }), '#13(0x38)');
});
test('INT n in virtual-8086 mode needs IOPL 3', () => {
  const m = virtual8086();
  m.gate32(0x40, KERNEL_CODE, 0x5678, 0xee);
  assert.equal(m.run(intN, { imm: 0x40 }), '#13(0x0)');
  m.state.rflags = 0x2_3202;
  assert.equal(m.run(intN, { imm: 0x40 }), 'ok');
});

test('INTO interrupts on overflow and is #UD in 64-bit mode', () => {
  const m = legacy();
  m.gate32(4, KERNEL_CODE, 0x5678);
  assert.equal(m.run(into, { length: 1 }), 'ok');
  assert.equal(m.state.rip, 0x10001n);
  m.state.rflags = 0x802;
  m.run(into, { length: 1 });
  assert.equal(m.state.rip, 0x5678n);
  assert.equal(new TestMachine().longMode().run(into), '#6');
});
test('INT1 passes a gate of DPL 0 from user mode', () => {
  const m = user();
  m.gate32(1, KERNEL_CODE, 0x5678);
  assert.equal(m.run(int1, { length: 1 }), 'ok');
  assert.equal(m.state.rip, 0x5678n);
});
test('HLT is for CPL 0, undefined instructions are #UD', () => {
  assert.equal(user().run(hlt), '#13(0x0)');
  const m = legacy();
  m.run(hlt);
  assert.equal(m.state.activity, 1);
  assert.equal(m.run(undefinedInstruction), '#6');
});
