import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CS, DS, segmentOffset, SS, TR } from '../state.ts';
import { callFar, callFarIndirect, jmpFar, jmpFarIndirect, retf } from './far-transfer.ts';
import {
  CODE16,
  CONFORMING,
  GDT,
  KERNEL_CODE,
  KERNEL_CODE32,
  KERNEL_DATA,
  NOT_PRESENT,
  NOT_PRESENT_CODE,
  RING1_CODE,
  RING1_DATA,
  TestMachine,
  TSS,
  USER_CODE32,
  USER_CODE64,
  USER_DATA,
} from './test-machine.ts';

const GATE = 0xc0;
const legacy = (): TestMachine => {
  const m = new TestMachine().protectedMode();
  m.state.setTable(0x200, GDT, 0, 0xfff);
  return m;
};
const long = (): TestMachine => {
  const m = new TestMachine().longMode();
  m.state.setTable(0x200, GDT, 0, 0xfff);
  return m;
};
const jump = (m: TestMachine, selector: number, offset = 0x1234): string =>
  m.run(jmpFar, { selector, imm: offset, length: 7 });
const call = (m: TestMachine, selector: number, offset = 0x1234): string =>
  m.run(callFar, { selector, imm: offset, length: 7 });
/** Far pointer in memory at 0x5000 with a 64-bit offset. */
const indirect = (m: TestMachine, fn: typeof jmpFarIndirect, selector: number, offset: bigint): string => {
  m.put64(0x5000, offset);
  m.put16(0x5008, selector);
  return m.run(fn, { offsetLo: 0x5000, addrsize: 8, opsize: 8, length: 3 });
};

test('a far jump in real mode loads CS times 16', () => {
  const m = new TestMachine().realMode();
  assert.equal(m.run(jmpFar, { selector: 0xf000, imm: 0xfff0, opsize: 2 }), 'ok');
  assert.equal(m.state.big(segmentOffset(CS)), 0xf_0000n);
  assert.equal(m.state.rip, 0xfff0n);
});
test('a far jump beyond the limit in real mode is #GP(0)', () => {
  assert.equal(new TestMachine().realMode().run(jmpFar, { selector: 0, imm: 0x1_0000, opsize: 4 }), '#13(0x0)');
});
test('a far call in real mode pushes CS and IP', () => {
  const m = new TestMachine().realMode();
  assert.equal(m.run(callFar, { selector: 0x3000, imm: 0x10, opsize: 2, length: 5 }), 'ok');
  assert.equal(m.state.gpr(4), 0xffcn);
  assert.deepEqual([m.u16(0x2_0ffc), m.u16(0x2_0ffe)], [0x105, 0x1000]);
});
test('a far return in real mode pops IP, CS and parameters', () => {
  const m = new TestMachine().realMode();
  m.put16(0x2_1000, 0x77, 0x3000);
  assert.equal(m.run(retf, { opsize: 2, imm: 6 }), 'ok');
  assert.equal(m.state.rip, 0x77n);
  assert.equal(m.state.selector(CS), 0x3000);
  assert.equal(m.state.gpr(4), 0x100an);
});

test('a far jump changes the code size', () => {
  const m = legacy();
  assert.equal(jump(m, CODE16), 'ok');
  assert.equal(m.state.codeSize, 16);
  assert.equal(m.state.rip, 0x1234n);
  assert.equal(m.mmu.memory[GDT + CODE16 + 5], 0x9b);
});
test('a far jump from compatibility mode enters 64-bit code', () => {
  const m = long();
  m.state.codeSize = 32;
  m.state.setSegment(CS, KERNEL_CODE32, 0, 0, 0xffff_ffff, 0xc09b);
  assert.equal(jump(m, KERNEL_CODE), 'ok');
  assert.equal(m.state.codeSize, 64);
});
test('a far jump checks the code segment', () => {
  assert.equal(jump(legacy(), 0), '#13(0x0)');
  assert.equal(jump(legacy(), 0x2000), '#13(0x2000)');
  assert.equal(jump(legacy(), KERNEL_DATA), '#13(0x10)');
  assert.equal(jump(legacy(), USER_CODE32), '#13(0x18)');
  assert.equal(jump(legacy(), KERNEL_CODE | 3), '#13(0x8)');
  assert.equal(jump(legacy(), NOT_PRESENT_CODE), '#11(0x88)');
  assert.equal(jump(legacy(), CODE16, 0x1_0000), '#13(0x0)');
  assert.equal(jump(legacy().user32(), CONFORMING), 'ok');
});
test('a far jump to code with both L and D is #GP(selector)', () => {
  const m = long();
  m.descriptor(0xa8, 0, 0xfffff, 0xe09a);
  assert.equal(indirect(m, jmpFarIndirect, 0xa8, 0n), '#13(0xa8)');
});
test('a conforming target keeps the privilege level', () => {
  const m = legacy().user32();
  jump(m, CONFORMING);
  assert.equal(m.state.cpl, 3);
  assert.equal(m.state.selector(CS), CONFORMING | 3);
});
test('an indirect far jump takes a 64-bit offset', () => {
  const m = long();
  assert.equal(indirect(m, jmpFarIndirect, KERNEL_CODE, 0xffff_ffff_8000_1000n), 'ok');
  assert.equal(m.state.rip, 0xffff_ffff_8000_1000n);
  assert.equal(indirect(m, jmpFarIndirect, KERNEL_CODE, 0x8000_0000_0000n), '#13(0x0)');
  assert.equal(m.run(jmpFarIndirect, { rm: 0 }), '#6');
});

test('a far call in 64-bit mode pushes slots of the operand size', () => {
  const m = long();
  assert.equal(indirect(m, callFarIndirect, KERNEL_CODE, 0x1234n), 'ok');
  assert.deepEqual([m.u64(0x1_fff0), m.u64(0x1_fff8)], [0x10003n, 8n]);
  assert.equal(m.state.gpr(4), 0x1_fff0n);
});
test('a far call without stack room is #SS(0) with nothing written', () => {
  const m = legacy();
  m.state.setSegment(SS, KERNEL_DATA, 0, 0, 0x1_ffff, 0x4093);
  m.state.setGpr(4, 4n);
  assert.equal(call(m, KERNEL_CODE), '#12(0x0)');
  assert.equal(m.u32(0), 0);
});
test('a page fault on the second slot leaves the stack pointer alone', () => {
  const m = legacy();
  m.state.setGpr(4, 0x1_f004n);
  m.mmu.rule(0x1_e000, 'absent');
  assert.equal(call(m, KERNEL_CODE), '#14(0x2)');
  assert.equal(m.state.gpr(4), 0x1_f004n);
  assert.equal(m.state.rip, 0x10000n);
});

test('a far return at the same level releases parameters', () => {
  const m = legacy();
  m.put32(0x2_0000, 0x4321, KERNEL_CODE);
  assert.equal(m.run(retf, { imm: 12 }), 'ok');
  assert.equal(m.state.rip, 0x4321n);
  assert.equal(m.state.gpr(4), 0x2_0014n);
});
test('a far return to user mode releases parameters on both stacks and drops segments', () => {
  const m = legacy();
  m.put32(0x2_0000, 0x4321, USER_CODE32, 0, 0, 0x7_0000, USER_DATA);
  assert.equal(m.run(retf, { imm: 8 }), 'ok');
  assert.equal(m.state.cpl, 3);
  assert.equal(m.state.gpr(4), 0x7_0008n);
  assert.equal(m.state.selector(SS), USER_DATA);
  assert.equal(m.state.selector(DS), 0);
});
test('a 64-bit far return goes to compatibility mode', () => {
  const m = long();
  m.put64(0x2_0000, 0x4321n, USER_CODE32, 0x7_0000n, USER_DATA);
  assert.equal(m.run(retf, { opsize: 8 }), 'ok');
  assert.equal(m.state.codeSize, 32);
  assert.equal(m.state.gpr(4), 0x7_0000n);
});
test('a far return checks CS, SS and the address', () => {
  const back = (cs: number, ss: number, ip = 0x1000n): string => {
    const m = long();
    m.put64(0x2_0000, ip, cs, 0x7_0000n, ss);
    return m.run(retf, { opsize: 8 });
  };
  assert.equal(back(0, 0), '#13(0x0)');
  assert.equal(back(KERNEL_DATA, 0), '#13(0x10)');
  assert.equal(back(NOT_PRESENT_CODE, 0), '#11(0x88)');
  assert.equal(back(USER_CODE64, 3), '#13(0x0)');
  assert.equal(back(USER_CODE64, KERNEL_DATA), '#13(0x10)');
  assert.equal(back(USER_CODE64, USER_DATA, 0x8000_0000_0000n), '#13(0x0)');
  assert.equal(back(USER_CODE64, USER_DATA), 'ok');
  const m = long().user64();
  m.put64(0x2_0000, 0x1000n, KERNEL_CODE);
  assert.equal(m.run(retf, { opsize: 8 }), '#13(0x8)');
});

/** A 32-bit call gate to `selector`:0x8765 with DPL 3 and parameters. */
const gate32 = (m: TestMachine, selector: number, type = 0xec, parameters = 0): void =>
  m.gate32(GATE >> 3, selector, 0x8765, type, GDT, parameters);

test('a jump through a call gate takes its target', () => {
  const m = legacy();
  gate32(m, KERNEL_CODE);
  assert.equal(jump(m, GATE), 'ok');
  assert.equal(m.state.rip, 0x8765n);
});
test('a jump through a call gate cannot gain privilege', () => {
  const m = legacy().user32();
  gate32(m, KERNEL_CODE);
  assert.equal(jump(m, GATE), '#13(0x8)');
});
test('a call through a gate to an inner level switches stacks and copies parameters', () => {
  const m = legacy().user32();
  gate32(m, RING1_CODE & ~3, 0xec, 2);
  m.put32(TSS + 12, 0x4_0000, RING1_DATA);
  m.put32(0x2_0000, 0xaaaa, 0xbbbb);
  assert.equal(call(m, GATE), 'ok');
  assert.equal(m.state.cpl, 1);
  assert.equal(m.state.gpr(4), 0x4_0000n - 24n);
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5].map((i) => m.u32(0x4_0000 - 24 + i * 4)),
    [0x10007, USER_CODE32, 0xaaaa, 0xbbbb, 0x2_0000, USER_DATA],
  );
  assert.equal(m.state.selector(CS), RING1_CODE);
  assert.equal(m.state.selector(SS), RING1_DATA);
});
test('a call through a 16-bit gate pushes words', () => {
  const m = legacy();
  gate32(m, KERNEL_CODE, 0xe4);
  assert.equal(call(m, GATE), 'ok');
  assert.equal(m.state.gpr(4), 0x1_fffcn);
  assert.deepEqual([m.u16(0x1_fffc), m.u16(0x1_fffe)], [0x0007, KERNEL_CODE]);
});
test('call gates are checked', () => {
  const through = (change: (m: TestMachine) => void, user = false): string => {
    const m = user ? legacy().user32() : legacy();
    gate32(m, KERNEL_CODE);
    change(m);
    return call(m, GATE);
  };
  assert.equal(
    through((m) => gate32(m, KERNEL_CODE, 0x8c), true),
    '#13(0xc0)',
  );
  assert.equal(
    through((m) => gate32(m, KERNEL_CODE, 0x6c)),
    '#11(0xc0)',
  );
  assert.equal(
    through((m) => gate32(m, 0)),
    '#13(0x0)',
  );
  assert.equal(
    through((m) => gate32(m, 0x2000)),
    '#13(0x2000)',
  );
  assert.equal(
    through((m) => gate32(m, KERNEL_DATA)),
    '#13(0x10)',
  );
  assert.equal(
    through((m) => gate32(m, USER_CODE32)),
    '#13(0x18)',
  );
  assert.equal(
    through((m) => gate32(m, NOT_PRESENT_CODE)),
    '#11(0x88)',
  );
});
test('the inner stack of a call gate is checked', () => {
  const inner = (selector: number, limit = 0x67): string => {
    const m = legacy().user32();
    gate32(m, KERNEL_CODE);
    m.put32(TSS + 4, 0x4_0000, selector);
    m.state.setSegment(TR, 0x60, TSS, 0, limit, 0x8b);
    return call(m, GATE);
  };
  assert.equal(inner(KERNEL_DATA), 'ok');
  assert.equal(inner(KERNEL_DATA, 8), '#10(0x60)');
  assert.equal(inner(0), '#10(0x0)');
  assert.equal(inner(0x2000), '#10(0x2000)');
  assert.equal(inner(USER_DATA), '#10(0x20)');
  assert.equal(inner(KERNEL_CODE), '#10(0x8)');
  assert.equal(inner(NOT_PRESENT), '#12(0x40)');
});
test('a 64-bit call gate switches to the inner stack with a null SS', () => {
  const m = long().user64();
  m.put64(GDT + GATE, 0x8000_ec00_0008_1000n, 0xffff_ffffn);
  m.put64(TSS + 4, 0x4_0008n);
  assert.equal(indirect(m, callFarIndirect, GATE | 3, 0n), 'ok');
  assert.equal(m.state.rip, 0xffff_ffff_8000_1000n);
  assert.equal(m.state.gpr(4), 0x4_0008n - 32n);
  assert.deepEqual(
    [0, 1, 2, 3].map((i) => m.u64(0x4_0008 - 32 + i * 8)),
    [0x10003n, BigInt(USER_CODE64), 0x2_0000n, BigInt(USER_DATA)],
  );
  assert.equal(m.state.selector(SS), 0);
  assert.equal(m.state.cpl, 0);
});
test('a 64-bit call gate at the same level pushes 8-byte slots even from compatibility mode', () => {
  const m = long();
  m.state.setSegment(CS, KERNEL_CODE32, 0, 0, 0xffff_ffff, 0xc09b);
  m.state.codeSize = 32;
  m.put64(GDT + GATE, 0x0000_ec00_0008_1000n, 0n);
  assert.equal(call(m, GATE), 'ok');
  assert.equal(m.state.gpr(4), 0x1_fff0n);
  assert.deepEqual([m.u64(0x1_fff0), m.u64(0x1_fff8)], [0x10007n, BigInt(KERNEL_CODE32)]);
  assert.equal(m.state.codeSize, 64);
});
test('a 64-bit call gate to 32-bit code, with a typed upper half or a non-canonical target is refused', () => {
  const through = (low: bigint, high: bigint): string => {
    const m = long();
    m.put64(GDT + GATE, low, high);
    return indirect(m, callFarIndirect, GATE, 0n);
  };
  assert.equal(through(0x0000_ec00_0090_1000n, 0n), '#13(0x90)');
  assert.equal(through(0x0000_ec00_0008_1000n, 0x0100_0000_0000n), '#13(0xc0)');
  assert.equal(through(0x0000_ec00_0008_1000n, 0x8000n), '#13(0x0)');
});
test('task gates, TSSs and 16-bit gates are #GP(selector) in IA-32e mode', () => {
  for (const type of [0x89, 0x85, 0x84, 0x86]) {
    const m = long();
    m.gate32(GATE >> 3, KERNEL_CODE, 0, type, GDT);
    assert.equal(indirect(m, jmpFarIndirect, GATE, 0n), '#13(0xc0)');
  }
});
