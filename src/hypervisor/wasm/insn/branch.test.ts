import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DATA, InstructionBench } from './test-instruction.ts';

const GP = 13;
const RSP = 4;
const VM = 0x2_0000,
  IOPL = 0x3000,
  NT = 0x4000;
const PUSHF = 0x9c,
  POPF = 0x9d;

/** 16-bit code at CPL 3 with SP = 0x100 and a word of set bits on the stack. */
function bench(systemFlags: number): InstructionBench {
  const b = new InstructionBench();
  b.cpl = 3;
  b.systemFlags = systemFlags;
  b.setGpr(RSP, 0x100n);
  b.view.setUint16(DATA + 0x100, 0xffff, true);
  return b;
}

test('PUSHF and POPF in virtual-8086 mode are #GP below IOPL 3 and change nothing', () => {
  for (const instruction of [PUSHF, POPF]) {
    for (const iopl of [0, 0x1000, 0x2000]) {
      const b = bench(VM | iopl);
      assert.equal(b.runIn(16, instruction), GP);
      assert.equal(b.gpr(RSP), 0x100n);
      assert.equal(b.systemFlags, VM | iopl);
    }
  }
});
test('PUSHF in virtual-8086 mode with IOPL 3 pushes', () => {
  const b = bench(VM | IOPL);
  assert.equal(b.runIn(16, PUSHF), -1);
  assert.equal(b.gpr(RSP), 0xfen);
  assert.equal(b.view.getUint16(DATA + 0xfe, true) & 0xf000, 0x3000);
});
test('PUSHF and POPF outside virtual-8086 mode do not ask for IOPL 3', () => {
  const b = bench(0);
  b.view.setUint16(DATA + 0x100, NT, true);
  assert.equal(b.runIn(16, POPF), -1);
  assert.equal(b.systemFlags & (NT | IOPL | VM), NT);
  assert.equal(b.runIn(16, PUSHF), -1);
  assert.equal(b.view.getUint16(DATA + 0x100, true) & 0xf000, NT);
});
