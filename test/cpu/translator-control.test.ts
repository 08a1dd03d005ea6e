/** Control flow and odd instructions in translated regions. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE, CODE_AT, DATA, DATA_AT, UD, UD2, userMachine } from './paged-machine.ts';

const RAX = 0,
  RCX = 1,
  RSI = 6,
  RDI = 7;

test('a 64-bit constant whose low half is 1 keeps its high half', () => {
  const m = userMachine('48 b8 01 00 00 00 05 00 00 00', UD2); // mov rax, 0x5_0000_0001
  assert.ok(m.runTwice(() => m.start(CODE), false));
  assert.equal(m.state.gpr(RAX), 0x5_0000_0001n);
  assert.equal(m.fault.vector, UD);
});

test('a region ends before a string instruction that lies in two pages', () => {
  const m = userMachine();
  m.put(CODE_AT + 0xff6, 'b9 03 00 00 00', 'ff c0', '90 90', 'f3 a4', 'ff c0', UD2); // mov ecx, 3; inc eax; nops; rep movsb; inc eax
  m.put(DATA_AT, '11 22 33');
  assert.ok(m.runTwice(() => m.start(CODE + 0xff6n, { [RSI]: DATA, [RDI]: DATA + 0x100n }), false));
  assert.deepEqual(m.gprs(RAX, RCX, RSI, RDI), [2n, 0n, DATA + 3n, DATA + 0x103n]);
  assert.equal(m.u64(DATA_AT + 0x100), 0x33_2211n);
  assert.equal(m.fault.rip, CODE + 0x1003n);
});

test('conditional jumps to the next instruction do not multiply the code behind them', () => {
  const m = userMachine('74 00'.repeat(16), 'ff c0', UD2); // jz +0, sixteen times; inc eax
  assert.ok(m.runTwice(() => m.start(CODE), false));
  assert.equal(m.state.gpr(RAX), 1n);
  assert.equal(m.fault.rip, CODE + 34n);
  const bytes = m.vcpu.stats()['region bytes'] as number;
  assert.ok(bytes < 10_000, `${bytes} bytes of WebAssembly`);
});
