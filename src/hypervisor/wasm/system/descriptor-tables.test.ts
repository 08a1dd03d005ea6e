import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GDTR, IDTR, LDTR, segmentOffset, TR } from '../state.ts';
import { arpl, lar, lgdt, lidt, lldt, lsl, ltr, sgdt, sidt, sldt, str, verr, verw } from './descriptor-tables.ts';
import {
  CONFORMING,
  EXECUTE_ONLY,
  KERNEL_CODE,
  KERNEL_DATA,
  LDT,
  LDT_SELECTOR,
  NOT_PRESENT,
  READ_ONLY,
  TestMachine,
  TSS,
  TSS_SELECTOR,
  USER_CODE32,
  USER_DATA,
} from './test-machine.ts';

const long = (): TestMachine => new TestMachine().longMode();
const legacy = (): TestMachine => new TestMachine().protectedMode();
const AT = { offsetLo: 0x5000, addrsize: 8 };

test('LGDT in 64-bit mode takes a 64-bit base whatever the operand size', () => {
  const m = long();
  m.put16(0x5000, 0x7f);
  m.put64(0x5002, 0xffff_8000_1234_5678n);
  assert.equal(m.run(lgdt, { ...AT, opsize: 2 }), 'ok');
  assert.equal(m.state.big(GDTR), 0xffff_8000_1234_5678n);
  assert.equal(m.state.tableLimit(GDTR), 0x7f);
});
test('LIDT with a 16-bit operand takes 24 bits of the base', () => {
  const m = legacy();
  m.put16(0x5000, 0x3ff);
  m.put32(0x5002, 0x1234_5678);
  assert.equal(m.run(lidt, { ...AT, addrsize: 4, opsize: 2 }), 'ok');
  assert.equal(m.state.big(IDTR), 0x34_5678n);
});
test('LGDT with a non-canonical base is #GP(0)', () => {
  const m = long();
  m.put64(0x5002, 0x8000_0000_0000n);
  assert.equal(m.run(lgdt, AT), '#13(0x0)');
});
test('LGDT and LIDT are for CPL 0 and memory operands', () => {
  assert.equal(long().user64().run(lgdt, AT), '#13(0x0)');
  assert.equal(long().user64().run(lidt, AT), '#13(0x0)');
  assert.equal(long().run(lgdt, { rm: 0 }), '#6');
});
test('SGDT and SIDT store what was loaded', () => {
  const m = long();
  m.state.setTable(IDTR, 0x9000_0000, 0xffff_ffff, 0x123);
  m.run(sidt, AT);
  assert.equal(m.u16(0x5000), 0x123);
  assert.equal(m.u64(0x5002), 0xffff_ffff_9000_0000n);
  m.run(sgdt, AT);
  assert.equal(m.u64(0x5002), 0x1000n);
});
test('the four store instructions are #GP(0) in user mode under UMIP', () => {
  for (const fn of [sgdt, sidt, sldt, str]) {
    const m = long().user64();
    assert.equal(m.run(fn, AT), 'ok');
    m.state.cr4 |= 0x800;
    assert.equal(m.run(fn, AT), '#13(0x0)');
  }
});

const loadTr = (m: TestMachine, selector: number): string => {
  m.state.setGpr(0, BigInt(selector));
  return m.run(ltr, { rm: 0 });
};
const loadLdt = (m: TestMachine, selector: number): string => {
  m.state.setGpr(0, BigInt(selector));
  return m.run(lldt, { rm: 0 });
};
test('LTR loads a 16-byte descriptor in IA-32e mode and marks it busy', () => {
  const m = long();
  m.put64(0x1000 + TSS_SELECTOR + 8, 0xffff_8880n);
  assert.equal(loadTr(m, TSS_SELECTOR), 'ok');
  assert.equal(m.state.big(segmentOffset(TR)), 0xffff_8880_0000_0000n + BigInt(TSS));
  assert.equal(m.state.attributes(TR), 0x8b);
  assert.equal(m.mmu.memory[0x1000 + TSS_SELECTOR + 5], 0x8b);
});
test('LTR of a busy TSS is #GP(selector)', () => {
  const m = long();
  loadTr(m, TSS_SELECTOR);
  assert.equal(loadTr(m, TSS_SELECTOR), '#13(0x60)');
});
test('LTR checks the selector', () => {
  assert.equal(loadTr(long(), 0), '#13(0x0)');
  assert.equal(loadTr(long(), 0x0c), '#13(0xc)');
  assert.equal(loadTr(long(), KERNEL_DATA), '#13(0x10)');
  assert.equal(loadTr(long(), 0x1000), '#13(0x1000)');
  const m = long();
  m.descriptor(TSS_SELECTOR, TSS, 0x67, 0x0009);
  assert.equal(loadTr(m, TSS_SELECTOR), '#11(0x60)');
});
test('LTR of a descriptor whose upper half is outside the GDT, typed, or not canonical is #GP(selector)', () => {
  const m = long();
  m.state.setTable(GDTR, 0x1000, 0, TSS_SELECTOR + 14);
  assert.equal(loadTr(m, TSS_SELECTOR), '#13(0x60)');
  const n = long();
  n.put64(0x1000 + TSS_SELECTOR + 8, 0x0000_0100_0000_0000n);
  assert.equal(loadTr(n, TSS_SELECTOR), '#13(0x60)');
  const o = long();
  o.put64(0x1000 + TSS_SELECTOR + 8, 0x8000n);
  assert.equal(loadTr(o, TSS_SELECTOR), '#13(0x60)');
});
test('LTR takes a 16-bit TSS outside IA-32e mode only', () => {
  const m = legacy();
  m.descriptor(TSS_SELECTOR, TSS, 0x2b, 0x0081);
  assert.equal(loadTr(m, TSS_SELECTOR), 'ok');
  const n = long();
  n.descriptor(TSS_SELECTOR, TSS, 0x2b, 0x0081);
  assert.equal(loadTr(n, TSS_SELECTOR), '#13(0x60)');
});
test('LLDT loads, accepts null, refuses others', () => {
  const m = long();
  assert.equal(loadLdt(m, LDT_SELECTOR), 'ok');
  assert.equal(m.state.big(segmentOffset(LDTR)), BigInt(LDT));
  assert.equal(loadLdt(m, 3), 'ok');
  assert.equal(m.state.attributes(LDTR) & 0x1_0000, 0x1_0000);
  assert.equal(loadLdt(m, TSS_SELECTOR), '#13(0x60)');
  assert.equal(loadLdt(m, 0x74), '#13(0x74)');
  m.descriptor(LDT_SELECTOR, LDT, 0xff, 0x0002);
  assert.equal(loadLdt(m, LDT_SELECTOR), '#11(0x70)');
});
test('LLDT, LTR and the queries are #UD in real mode', () => {
  for (const fn of [lldt, ltr, sldt, str, lar, lsl, verr, verw, arpl])
    assert.equal(new TestMachine().realMode().run(fn, { rm: 0 }), '#6');
});
test('LLDT and LTR are for CPL 0', () => {
  assert.equal(loadLdt(long().user64(), 0), '#13(0x0)');
  assert.equal(loadTr(long().user64(), TSS_SELECTOR), '#13(0x0)');
});
test('SLDT and STR write 16 bits to memory and the operand size to a register', () => {
  const m = long();
  m.put32(0x5000, 0xffff_ffff);
  m.run(str, AT);
  assert.equal(m.u32(0x5000), 0xffff_0060);
  m.state.setGpr(3, 0xffff_ffff_ffff_ffffn);
  m.run(str, { rm: 3, opsize: 2 });
  assert.equal(m.state.gpr(3), 0xffff_ffff_ffff_0060n);
  m.run(str, { rm: 3, opsize: 4 });
  assert.equal(m.state.gpr(3), 0x60n);
  loadLdt(m, LDT_SELECTOR);
  m.run(sldt, { rm: 3, opsize: 8 });
  assert.equal(m.state.gpr(3), 0x70n);
});

const zf = (m: TestMachine): boolean => (m.state.rflags & 0x40) !== 0;
const ask = (fn: typeof verr, selector: number, m = legacy()): boolean => {
  m.state.setGpr(0, BigInt(selector));
  m.state.rflags = 0x8d7 ^ 0x40;
  assert.equal(m.run(fn, { rm: 0, reg: 3 }), 'ok');
  assert.equal(m.state.rflags & ~0x40, 0x897);
  return zf(m);
};
test('VERR accepts readable segments of sufficient privilege, present or not', () => {
  assert.equal(ask(verr, KERNEL_DATA), true);
  assert.equal(ask(verr, KERNEL_CODE), true);
  assert.equal(ask(verr, EXECUTE_ONLY), false);
  assert.equal(ask(verr, TSS_SELECTOR), false);
  assert.equal(ask(verr, 0), false);
  assert.equal(ask(verr, 0x1000), false);
  assert.equal(ask(verr, KERNEL_DATA | 3), false);
  assert.equal(ask(verr, KERNEL_DATA, legacy().user32()), false);
  assert.equal(ask(verr, CONFORMING | 3, legacy().user32()), true);
  assert.equal(ask(verr, NOT_PRESENT), true);
});
test('VERW accepts writable data only', () => {
  assert.equal(ask(verw, KERNEL_DATA), true);
  assert.equal(ask(verw, READ_ONLY), false);
  assert.equal(ask(verw, KERNEL_CODE), false);
  assert.equal(ask(verw, USER_DATA, legacy().user32()), true);
});
test('LAR returns the access rights of the second doubleword', () => {
  const m = legacy();
  assert.equal(ask(lar, USER_DATA, m), true);
  assert.equal(m.state.gpr(3), 0xc0_f200n);
});
test('LAR and LSL accept fewer system types in IA-32e mode', () => {
  for (const [type, inLar, inLsl, inLarLong, inLslLong] of [
    [1, true, true, false, false],
    [2, true, true, true, true],
    [3, true, true, false, false],
    [4, true, false, false, false],
    [5, true, false, false, false],
    [6, false, false, false, false],
    [7, false, false, false, false],
    [9, true, true, true, true],
    [11, true, true, true, true],
    [12, true, false, true, false],
    [14, false, false, false, false],
    [15, false, false, false, false],
  ] as const) {
    const with_ = (m: TestMachine): TestMachine => {
      m.descriptor(0xa8, 0, 0xff, 0x80 | type);
      return m;
    };
    assert.equal(ask(lar, 0xa8, with_(legacy())), inLar, `lar ${type}`);
    assert.equal(ask(lsl, 0xa8, with_(legacy())), inLsl, `lsl ${type}`);
    assert.equal(ask(lar, 0xa8, with_(long())), inLarLong, `lar ${type} long`);
    assert.equal(ask(lsl, 0xa8, with_(long())), inLslLong, `lsl ${type} long`);
  }
});
test('LSL returns the limit in bytes, or leaves the register alone', () => {
  const m = legacy();
  ask(lsl, USER_CODE32, m);
  assert.equal(m.state.gpr(3), 0xffff_ffffn);
  ask(lsl, 0x1000, m);
  assert.equal(m.state.gpr(3), 0xffff_ffffn);
});
test('a page fault while LAR reads the GDT is raised', () => {
  const m = legacy();
  m.mmu.rule(0x1000, 'absent');
  m.state.setGpr(0, 8n);
  assert.equal(m.run(lar, { rm: 0, reg: 3 }), '#14(0x0)');
});

test('ARPL raises a lower RPL and sets ZF', () => {
  const m = legacy();
  m.state.setGpr(0, 0x1234_0010n);
  m.state.setGpr(3, 0x23n);
  assert.equal(m.run(arpl, { rm: 0, reg: 3, opsize: 2 }), 'ok');
  assert.equal(m.state.gpr(0), 0x1234_0013n);
  assert.equal(zf(m), true);
  m.run(arpl, { rm: 0, reg: 3, opsize: 2 });
  assert.equal(zf(m), false);
});
test('ARPL to memory needs write access only to raise an RPL', () => {
  const m = legacy();
  m.put16(0x5000, 0x10);
  m.mmu.rule(0x5000, 'read-only');
  m.state.setGpr(3, 0n);
  assert.equal(m.run(arpl, { offsetLo: 0x5000, reg: 3, opsize: 2 }), 'ok');
  m.state.setGpr(3, 3n);
  assert.equal(m.run(arpl, { offsetLo: 0x5000, reg: 3, opsize: 2 }), '#14(0x3)');
});
