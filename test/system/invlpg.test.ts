/**
 * INVLPG and the code that has been decoded.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { STATUS_FAULT } from '../../src/hypervisor/wasm/interpreter/record.ts';
import { FETCH_GENERATION } from '../../src/hypervisor/wasm/mmu/layout.ts';
import * as S from '../../src/hypervisor/wasm/state.ts';
import * as K from './kernel-machine.ts';

const machine = new K.KernelMachine();
const { state, vcpu } = machine;
const UD2 = [0x0f, 0x0b];

test('INVLPG of a page that code was fetched from is followed by the new code', () => {
  machine.reset();
  // The code page: invlpg [rbx]; ud2. The spare page is where code is called: mov al, 1; ud2, or mov al, 2; ud2.
  machine.code(K.CODE, 0x0f, 0x01, 0x3b, ...UD2);
  machine.code(K.SPARE, 0xb0, 1, ...UD2);
  machine.code(K.USER_CODE, 0xb0, 2, ...UD2);
  const called = K.KERNEL + 0x20_0000n;
  const runAt = (rip: bigint): void => {
    machine.supervisor();
    state.rip = rip;
    state.setGpr(S.RBX, called);
    assert.equal(vcpu.execute(100), STATUS_FAULT);
    assert.equal(state.faultVector, 6);
  };
  machine.map(called, K.SPARE, 3n);
  runAt(called);
  assert.equal(state.gprLo(S.RAX) & 0xff, 1);
  machine.map(called, K.USER_CODE, 3n);
  runAt(K.KERNEL + BigInt(K.CODE));
  runAt(called);
  assert.equal(state.gprLo(S.RAX) & 0xff, 2);
});

test('INVLPG of a page without code leaves the jump cache alone', () => {
  machine.reset();
  machine.code(K.CODE, 0x0f, 0x01, 0x3b, ...UD2);
  machine.supervisor();
  state.setGpr(S.RBX, K.KERNEL + BigInt(K.STACK_TOP - 0x1000));
  const generation = state.i32[FETCH_GENERATION >> 2];
  vcpu.execute(100);
  assert.equal(state.i32[FETCH_GENERATION >> 2], generation);
});
