import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FLAG_AUX, FLAG_RESULT, STATE_BYTES } from '../state.ts';
import { CpuState } from './cpu-state.ts';

const create = (): CpuState => new CpuState(new SharedArrayBuffer(STATE_BYTES + 64), 64);

test('every combination of arithmetic flags survives being written and read', () => {
  const state = create();
  for (let bits = 0; bits < 64; bits++) {
    const flags =
      2 |
      (bits & 1) |
      ((bits & 2) << 1) |
      ((bits & 4) << 2) |
      ((bits & 8) << 3) |
      ((bits & 16) << 3) |
      ((bits & 32) << 6);
    state.rflags = flags;
    assert.equal(state.rflags.toString(16), flags.toString(16));
  }
});

test('system flags pass through and reserved bits read as fixed', () => {
  const state = create();
  state.rflags = 0xffff_ffff;
  assert.equal(state.rflags.toString(16), '3f7fd7');
  state.rflags = 0;
  assert.equal(state.rflags, 2);
});

test('the lazy pair of a negative 64-bit result reads as SF without ZF', () => {
  const state = create();
  state.setBig(FLAG_RESULT, 0xffff_ffff_ffff_ff00n);
  state.i32[FLAG_AUX >> 2] = 0;
  assert.equal(state.rflags, 2 | 0x80 | 0x04);
});

test('a result whose low half alone is zero does not set ZF', () => {
  const state = create();
  state.setBig(FLAG_RESULT, 0x1_0000_0000n);
  state.i32[FLAG_AUX >> 2] = 0;
  assert.equal(state.rflags & 0x40, 0);
});

test('carry and overflow come from bits 31 and 30 of the auxiliary word', () => {
  const state = create();
  state.setBig(FLAG_RESULT, 1n);
  state.i32[FLAG_AUX >> 2] = 0x8000_0000 | 0;
  assert.equal(state.rflags & 0x801, 0x801);
  state.i32[FLAG_AUX >> 2] = 0xc000_0000 | 0;
  assert.equal(state.rflags & 0x801, 0x001);
  state.i32[FLAG_AUX >> 2] = 0x4000_0000;
  assert.equal(state.rflags & 0x801, 0x800);
});

test('parity is corrected by the delta byte', () => {
  const state = create();
  state.setBig(FLAG_RESULT, 0x03n);
  state.i32[FLAG_AUX >> 2] = 0;
  assert.equal(state.rflags & 4, 4);
  state.i32[FLAG_AUX >> 2] = 0x100;
  assert.equal(state.rflags & 4, 0);
});

test('a 16-bit register write keeps the upper bits and a 32-bit one clears them', () => {
  const state = create();
  state.setGpr(3, 0x1111_2222_3333_4444n);
  state.setGprSized(3, 2, 0xabcd, 0);
  assert.equal(state.gpr(3), 0x1111_2222_3333_abcdn);
  state.setGprSized(3, 4, 0x5555_6666, 0x7777_8888);
  assert.equal(state.gpr(3), 0x5555_6666n);
  state.setGprSized(3, 8, 0x5555_6666, 0x7777_8888);
  assert.equal(state.gpr(3), 0x7777_8888_5555_6666n);
});
