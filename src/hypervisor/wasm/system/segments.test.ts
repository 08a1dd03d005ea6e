import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DS, ES, FS, GS, segmentOffset, SS } from '../state.ts';
import { SHADOW_MOV_SS } from './debug.ts';
import { loadGs, loadSs, movToSegment, popSegment } from './segments.ts';
import {
  CONFORMING,
  EXECUTE_ONLY,
  EXPAND_DOWN,
  KERNEL_CODE,
  KERNEL_DATA,
  LDT,
  NOT_PRESENT,
  NOT_PRESENT_CODE,
  READ_ONLY,
  RING1_DATA,
  STACK16,
  TestMachine,
  TSS_SELECTOR,
  USER_CODE32,
  USER_DATA,
} from './test-machine.ts';

/** MOV register, AX with a selector in AX. */
const load = (m: TestMachine, register: number, selector: number): string => {
  m.state.setGpr(0, BigInt(selector));
  return m.run(movToSegment, { reg: register, rm: 0 });
};
const protectedMode = (): TestMachine => new TestMachine().protectedMode();

test('a data segment is loaded with base, limit and attributes, and marked accessed', () => {
  const m = protectedMode();
  m.descriptor(0xa8, 0x12345678, 0x9abcd, 0x4092);
  assert.equal(load(m, ES, 0xa8), 'ok');
  assert.equal(m.state.big(segmentOffset(ES)), 0x12345678n);
  assert.equal(m.state.limit(ES), 0x9abcd);
  assert.equal(m.state.attributes(ES), 0x4093);
  assert.equal(m.mmu.memory[0x1000 + 0xa8 + 5], 0x93);
});
test('granularity scales the limit', () => {
  const m = protectedMode();
  m.descriptor(0xa8, 0, 0x12345, 0xc092);
  load(m, DS, 0xa8);
  assert.equal(m.state.limit(DS), 0x1234_5fff);
});
test('a descriptor that is accessed already is not written', () => {
  const m = protectedMode();
  m.descriptor(0xa8, 0, 0xfffff, 0xc093);
  m.mmu.rule(0x1000, 'read-only');
  assert.equal(load(m, DS, 0xa8), 'ok');
});
test('a write fault on the accessed bit is raised with nothing loaded', () => {
  const m = protectedMode();
  m.mmu.rule(0x1000, 'read-only');
  assert.equal(load(m, DS, USER_DATA), '#14(0x3)');
  assert.equal(m.state.selector(DS), KERNEL_DATA);
});
test('a null selector makes a data segment unusable', () => {
  const m = protectedMode();
  assert.equal(load(m, DS, 3), 'ok');
  assert.equal(m.state.selector(DS), 3);
  assert.equal(m.state.attributes(DS) & 0x1_0000, 0x1_0000);
});
test('a null selector into GS clears its base', () => {
  const m = new TestMachine().longMode();
  m.state.setBig(segmentOffset(GS), 0x1234n);
  load(m, GS, 0);
  assert.equal(m.state.big(segmentOffset(GS)), 0n);
});
test('readable conforming code of any DPL can be loaded', () =>
  assert.equal(load(protectedMode(), DS, CONFORMING), 'ok'));
test('execute-only code is #GP(selector)', () => assert.equal(load(protectedMode(), DS, EXECUTE_ONLY), '#13(0x80)'));
test('a system segment is #GP(selector)', () => assert.equal(load(protectedMode(), DS, TSS_SELECTOR), '#13(0x60)'));
test('a selector beyond the GDT is #GP(selector)', () =>
  assert.equal(load(protectedMode(), DS, 0x1003), '#13(0x1000)'));
test('a descriptor that crosses the GDT limit is #GP(selector)', () => {
  const m = protectedMode();
  m.state.setTable(0x200, 0x1000, 0, USER_DATA - 3 + 6);
  assert.equal(load(m, DS, USER_DATA), '#13(0x20)');
});
test('an absent data segment is #NP(selector)', () =>
  assert.equal(load(protectedMode(), FS, NOT_PRESENT), '#11(0x40)'));
test('the RPL must not exceed the DPL', () => assert.equal(load(protectedMode(), DS, KERNEL_DATA | 1), '#13(0x10)'));
test('the CPL must not exceed the DPL', () =>
  assert.equal(load(protectedMode().user32(), DS, KERNEL_DATA), '#13(0x10)'));
test('a selector in the LDT is found there', () => {
  const m = protectedMode();
  m.state.setSegment(6, 0x70, LDT, 0, 0xff, 0x82);
  m.descriptor(0x0c, 0x7000, 0xfffff, 0xc092, LDT);
  assert.equal(load(m, DS, 0x0c), 'ok');
  assert.equal(m.state.big(segmentOffset(DS)), 0x7000n);
});
test('a selector in an LDT that is not there is #GP(selector)', () =>
  assert.equal(load(protectedMode(), DS, 0x0f), '#13(0xc)'));

test('SS needs writable data of the current level', () => {
  assert.equal(load(protectedMode(), SS, KERNEL_DATA), 'ok');
  assert.equal(load(protectedMode(), SS, READ_ONLY), '#13(0x48)');
  assert.equal(load(protectedMode(), SS, KERNEL_CODE), '#13(0x8)');
  assert.equal(load(protectedMode(), SS, USER_DATA), '#13(0x20)');
  assert.equal(load(protectedMode(), SS, RING1_DATA), '#13(0x58)');
});
test('an absent SS is #SS(selector)', () => assert.equal(load(protectedMode(), SS, NOT_PRESENT), '#12(0x40)'));
test('a null SS is #GP(0) outside 64-bit mode', () => assert.equal(load(protectedMode(), SS, 0), '#13(0x0)'));
test('a null SS is fine in 64-bit mode below CPL 3', () =>
  assert.equal(load(new TestMachine().longMode(), SS, 0), 'ok'));
test('a null SS at CPL 3 is #GP(0)', () =>
  assert.equal(load(new TestMachine().longMode().user64(), SS, 3), '#13(0x0)'));
test('a null SS whose RPL is not the CPL is #GP(0)', () =>
  assert.equal(load(new TestMachine().longMode(), SS, 1), '#13(0x0)'));
test('MOV SS holds interrupts and debug traps off for one instruction', () => {
  const m = protectedMode();
  load(m, SS, KERNEL_DATA);
  assert.equal(m.state.interruptShadow, SHADOW_MOV_SS);
});
test('CS and registers 6 and 7 are #UD', () => {
  for (const register of [1, 6, 7]) assert.equal(load(protectedMode(), register, KERNEL_DATA), '#6');
});

test('in real mode the base is the selector times 16 and the limit stays', () => {
  const m = new TestMachine().realMode();
  m.state.setSegment(DS, 0, 0, 0, 0xffff_ffff, 0xc093);
  assert.equal(load(m, DS, 0xb800), 'ok');
  assert.equal(m.state.big(segmentOffset(DS)), 0xb_8000n);
  assert.equal(m.state.limit(DS), 0xffff_ffff);
});

test('POP DS takes the operand size off the stack', () => {
  const m = protectedMode();
  m.put32(0x2_0000, 0xffff_0000 | USER_DATA);
  assert.equal(m.run(popSegment, { reg: DS, opsize: 4 }), 'ok');
  assert.equal(m.state.selector(DS), USER_DATA);
  assert.equal(m.state.gpr(4), 0x2_0004n);
});
test('a POP whose selector is refused leaves the stack pointer alone', () => {
  const m = protectedMode();
  m.put32(0x2_0000, NOT_PRESENT);
  assert.equal(m.run(popSegment, { reg: DS, opsize: 4 }), '#11(0x40)');
  assert.equal(m.state.gpr(4), 0x2_0000n);
});
test('POP SS to a 16-bit stack still moves the whole old pointer', () => {
  const m = protectedMode();
  m.state.setGpr(4, 0x2_fffcn);
  m.put32(0x2_fffc, STACK16);
  m.run(popSegment, { reg: SS, opsize: 4 });
  assert.equal(m.state.gpr(4), 0x3_0000n);
});
test('an expand-down stack is accessible above its limit only', () => {
  const m = protectedMode();
  m.put32(0x1_0000, USER_DATA);
  m.state.setSegment(SS, EXPAND_DOWN, 0, 0, 0xffff, 0xc097);
  m.state.setGpr(4, 0x1_0000n);
  assert.equal(m.run(popSegment, { reg: DS, opsize: 4 }), 'ok');
  m.state.setGpr(4, 0xfffcn);
  assert.equal(m.run(popSegment, { reg: DS, opsize: 4 }), '#12(0x0)');
});

test('LSS loads the pair without an interrupt shadow', () => {
  const m = protectedMode();
  m.put32(0x5000, 0x1234_5678);
  m.put16(0x5004, KERNEL_DATA);
  assert.equal(m.run(loadSs, { reg: 4, opsize: 4, offsetLo: 0x5000 }), 'ok');
  assert.equal(m.state.gpr(4), 0x1234_5678n);
  assert.equal(m.state.interruptShadow, 0);
});
test('LGS with a refused selector leaves the general register alone', () => {
  const m = new TestMachine().longMode();
  m.put64(0x5000, 0x1111n);
  m.put16(0x5008, NOT_PRESENT_CODE);
  assert.equal(m.run(loadGs, { reg: 3, opsize: 8, addrsize: 8, offsetLo: 0x5000 }), '#11(0x88)');
  assert.equal(m.state.gpr(3), 0n);
});
test('a memory operand beyond its limit is #GP(0), in the stack segment #SS(0)', () => {
  const m = protectedMode();
  m.state.setSegment(DS, KERNEL_DATA, 0, 0, 0x5004, 0x4093);
  assert.equal(m.run(loadGs, { reg: 3, opsize: 4, offsetLo: 0x5000 }), '#13(0x0)');
  m.state.setSegment(SS, KERNEL_DATA, 0, 0, 0x5004, 0x4093);
  assert.equal(m.run(loadGs, { reg: 3, opsize: 4, offsetLo: 0x5000, segment: SS }), '#12(0x0)');
});
test('a non-canonical memory operand is #GP(0), in the stack segment #SS(0)', () => {
  const m = new TestMachine().longMode();
  assert.equal(m.run(loadGs, { opsize: 8, addrsize: 8, offsetHi: 0x8000 }), '#13(0x0)');
  assert.equal(m.run(loadGs, { opsize: 8, addrsize: 8, offsetHi: 0x8000, segment: SS }), '#12(0x0)');
});
test('reading through a null segment is #GP(0)', () => {
  assert.equal(protectedMode().run(loadGs, { opsize: 4, segment: FS, offsetLo: 0x5000 }), '#13(0x0)');
});
test('reading through an execute-only code segment is #GP(0)', () => {
  const m = protectedMode();
  m.state.setAttributes(1, 0xc099);
  assert.equal(m.run(loadGs, { opsize: 4, segment: 1, offsetLo: 0x5000 }), '#13(0x0)');
});
test('user code of DPL 3 loads its own segments', () => {
  const m = protectedMode().user32();
  assert.equal(load(m, DS, USER_CODE32), 'ok');
  assert.equal(load(m, SS, USER_DATA), 'ok');
});
