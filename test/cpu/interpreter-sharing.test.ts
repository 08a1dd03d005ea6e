import assert from 'node:assert/strict';
import { test } from 'node:test';
import { P, PagedMachine, U } from './paged-machine.ts';

const CODE = 0x40_0000n,
  UD2 = '0f 0b';

/** RAX after code that ends with UD2. */
function run(...code: readonly string[]): bigint {
  const m = new PagedMachine();
  m.space.map(CODE, 0x10_0000, P | U);
  m.user();
  m.put(0x10_0000, ...code, UD2);
  m.start(CODE);
  m.run();
  assert.equal(m.fault.vector, 6);
  return m.state.gpr(0);
}

test('machines that share an interpreter meet instructions in any order', () => {
  assert.equal(run('48 0f c8'), 0n); // bswap rax
  assert.equal(run('f9', '48 11 c0', '48 0f c8'), 0x0100_0000_0000_0000n); // stc; adc rax, rax; bswap rax
});
