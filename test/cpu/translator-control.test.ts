/** Control flow and odd instructions in translated regions. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NX, P, PagedMachine, U, W } from './paged-machine.ts';

const CODE = 0x40_0000n,
  CODE_AT = 0x10_0000,
  DATA = 0x80_8000n,
  DATA_AT = 0x11_0000;
const RAX = 0;
const UD = 6,
  UD2 = '0f0b';

/** User code in four pages at CODE, data in four pages at DATA. */
function machine(...code: readonly string[]): PagedMachine {
  const m = new PagedMachine();
  for (let at = 0; at < 0x4000; at += 0x1000) {
    m.space.map(CODE + BigInt(at), CODE_AT + at, P | U);
    m.space.map(DATA + BigInt(at), DATA_AT + at, P | W | U | NX);
  }
  m.user();
  m.put(CODE_AT, ...code);
  return m;
}

test('a 64-bit constant whose low half is 1 keeps its high half', () => {
  const m = machine('48 b8 01 00 00 00 05 00 00 00', UD2); // mov rax, 0x5_0000_0001
  assert.ok(m.runTwice(() => m.start(CODE), false));
  assert.equal(m.state.gpr(RAX), 0x5_0000_0001n);
  assert.equal(m.fault.vector, UD);
});
