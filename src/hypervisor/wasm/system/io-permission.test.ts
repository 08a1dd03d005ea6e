import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TR } from '../state.ts';
import { checkPort } from './io-permission.ts';
import { TestMachine, TSS } from './test-machine.ts';

const access = (m: TestMachine, port: number, bytes: number): string => m.run((cpu) => checkPort(cpu, port, bytes));

/** A user-mode machine whose bitmap at TSS + 0x68 forbids ports 0x3f9 and 0x80 and ends at port 0x3ff. */
function user(): TestMachine {
  const m = new TestMachine().longMode().user64();
  m.state.setSegment(TR, 0x60, TSS, 0, 0x68 + 0x80, 0x8b);
  m.put16(TSS + 0x66, 0x68);
  m.mmu.memory[TSS + 0x68 + (0x3f9 >> 3)] = 2;
  m.mmu.memory[TSS + 0x68 + (0x80 >> 3)] = 1;
  m.mmu.memory[TSS + 0x68 + 0x80] = 0xff;
  return m;
}

test('CPL 0 and real mode may use every port', () => {
  assert.equal(access(new TestMachine().longMode(), 0xffff, 4), 'ok');
  assert.equal(access(new TestMachine().realMode(), 0xffff, 4), 'ok');
});
test('IOPL 3 opens the ports to user mode', () => {
  const m = user();
  m.state.rflags = 0x3002;
  assert.equal(access(m, 0x3f9, 1), 'ok');
});
test('a clear bit permits, a set bit is #GP(0)', () => {
  assert.equal(access(user(), 0x3f8, 1), 'ok');
  assert.equal(access(user(), 0x3f9, 1), '#13(0x0)');
  assert.equal(access(user(), 0x3fa, 2), 'ok');
});
test('every port of a wide access must be permitted', () => {
  assert.equal(access(user(), 0x3f8, 2), '#13(0x0)');
  assert.equal(access(user(), 0x7d, 4), '#13(0x0)');
  assert.equal(access(user(), 0x7c, 4), 'ok');
});
test('ports beyond the bitmap are #GP(0)', () => {
  assert.equal(access(user(), 0x3ff, 1), 'ok');
  assert.equal(access(user(), 0x400, 1), '#13(0x0)');
  assert.equal(access(user(), 0xffff, 1), '#13(0x0)');
});
test('a TSS too short for a bitmap offset, or of 16 bits, permits nothing', () => {
  const m = user();
  m.state.setSegment(TR, 0x60, TSS, 0, 0x66, 0x8b);
  assert.equal(access(m, 0x3f8, 1), '#13(0x0)');
  m.state.setSegment(TR, 0x60, TSS, 0, 0xff, 0x83);
  assert.equal(access(m, 0x3f8, 1), '#13(0x0)');
});
test('virtual-8086 mode always looks at the bitmap', () => {
  const m = user();
  m.state.efer = 0;
  m.state.rflags = 0x2_3002;
  assert.equal(access(m, 0x3f9, 1), '#13(0x0)');
  assert.equal(access(m, 0x3f8, 1), 'ok');
});
