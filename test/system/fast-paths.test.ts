/**
 * The fast paths of privileged instructions (interpreter/fast-system.ts) against the functions of system/ that they stand for.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { STATUS_FAULT } from '../../src/hypervisor/wasm/interpreter/record.ts';
import { CODE_MODE, TLB_INDEX } from '../../src/hypervisor/wasm/mmu/layout.ts';
import * as S from '../../src/hypervisor/wasm/state.ts';
import { emptyInsn, executeSystem, type SystemFunction } from '../../src/hypervisor/wasm/system/cpu.ts';
import { deliverEvent } from '../../src/hypervisor/wasm/system/exceptions.ts';
import { iret } from '../../src/hypervisor/wasm/system/iret.ts';
import { guestFault } from '../../src/hypervisor/wasm/system/mmu.ts';
import { syscall, sysret } from '../../src/hypervisor/wasm/system/syscall.ts';
import { Prng } from '../cpu/prng.ts';
import * as K from './kernel-machine.ts';

const machine = new K.KernelMachine();
const { state, vcpu, view } = machine;
const ROUNDS = 600;

const systemInstructions = (): number =>
  Object.values(vcpu.stats().systemInstructions).reduce((sum, count) => sum + count, 0);
const modeOf = (): string => [TLB_INDEX, CODE_MODE, S.TLB_BASE, S.CPL].map((at) => state.i32[at >> 2]).join(' ');
const afterwards = (fault: boolean): string =>
  JSON.stringify([fault ? [state.faultVector, state.faultError] : 'done', fault ? '' : modeOf(), machine.snapshot()]);

/**
 * Executes an instruction and then, from the same state, the function that it stands for: both must do the same. Returns whether
 * the function was not needed the first time.
 */
function isFast(prepare: () => void, length: number, fn: SystemFunction, name: string): boolean {
  machine.reset();
  prepare();
  const before = systemInstructions();
  const status = vcpu.executeOne();
  const fast = systemInstructions() === before;
  const got = afterwards(status === STATUS_FAULT);
  machine.reset();
  prepare();
  const insn = { ...emptyInsn(), opsize: 8, addrsize: 8, length };
  const done = executeSystem(vcpu.cpu, fn, insn);
  assert.equal(got, afterwards(!done), name);
  return fast;
}

const R11 = 11;
const USEFUL_FLAGS = 0x24_4ed7;

test('SYSCALL enters the kernel as its definition says, whatever the flags and the mask', () => {
  const random = new Prng(1, 2);
  let fast = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const flags = random.u32();
    const mask = random.u32();
    const prepare = (): void => {
      machine.code(K.USER_CODE, 0x0f, 0x05);
      machine.user();
      // Some with TF or RF, which are for the long way.
      state.rflags = flags & (USEFUL_FLAGS | ((flags >>> 24) % 5 === 0 ? 0x1_0100 : 0)) & ~0x2_0000;
      state.setBig(S.MSR_FMASK, BigInt(mask));
      vcpu.cpu.mmu.modeChanged();
    };
    if (isFast(prepare, 2, syscall, `round ${round}`)) fast++;
  }
  assert.ok(fast > ROUNDS / 2 && fast < ROUNDS, `${fast} of ${ROUNDS} were fast`);
});

test('SYSCALL without EFER.SCE is the long way, and undefined', () => {
  const prepare = (): void => {
    machine.code(K.USER_CODE, 0x0f, 0x05);
    machine.user();
    state.efer = state.efer & ~1;
  };
  assert.equal(isFast(prepare, 2, syscall, 'no SCE'), false);
  assert.equal(state.faultVector, 6);
});

test('SYSRET returns as its definition says, whatever R11 and RCX hold', () => {
  const random = new Prng(3, 4);
  let fast = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const flags = random.u32();
    const top = random.u32();
    const prepare = (): void => {
      machine.code(K.CODE, 0x48, 0x0f, 0x07);
      machine.code(K.USER_CODE, 0x48, 0x0f, 0x07);
      machine.supervisor();
      state.setGpr(R11, BigInt(top % 3 === 0 ? flags : flags & USEFUL_FLAGS));
      state.setGpr(S.RCX, top % 7 === 0 ? 0x8000_0000_0000n : BigInt(top));
      if (top % 11 === 0) machine.user();
    };
    if (isFast(prepare, 3, sysret, `round ${round}`)) fast++;
  }
  assert.ok(fast > ROUNDS / 2 && fast < ROUNDS, `${fast} of ${ROUNDS} were fast`);
});

/** Selectors that a frame may hold, good ones more often. */
// biome-ignore format: a table
const CODES = [
  K.USER_CODE64, K.USER_CODE64, K.USER_CODE64, K.KERNEL_CODE, K.KERNEL_CODE, K.USER_CODE32, K.FRESH_CODE, K.CONFORMING,
  K.ABSENT_CODE, K.KERNEL_DATA, 0, 3, K.USER_CODE64 & ~3, K.KERNEL_CODE | 3, 0x60, K.KERNEL_CODE | 4,
];
// biome-ignore format: a table
const STACKS = [
  K.USER_DATA, K.USER_DATA, K.USER_DATA, K.KERNEL_DATA, K.KERNEL_DATA, 0, 0, K.READ_ONLY, K.KERNEL_CODE, 3, K.KERNEL_DATA | 3,
  0x60, K.USER_DATA | 4,
];
const pick = <T>(random: Prng, list: readonly T[]): T => list[random.u32() % list.length] as T;

test('IRETQ returns as its definition says, whatever the frame holds', () => {
  const random = new Prng(5, 6);
  let fast = 0;
  for (let round = 0; round < ROUNDS * 4; round++) {
    const odd = random.u32();
    const kernel = random.u32() % 3 === 0;
    const code = odd % 2 === 0 ? (kernel ? K.KERNEL_CODE : K.USER_CODE64) : pick(random, CODES);
    const stack = odd % 3 !== 0 ? (kernel ? pick(random, [0, K.KERNEL_DATA]) : K.USER_DATA) : pick(random, STACKS);
    const flags = random.u32() & (odd % 5 === 0 ? -1 : ~0x100);
    const target = odd % 13 === 0 ? 0x8000_0000_0000n : BigInt(random.u32());
    const dataSelector = odd % 17 === 0 ? K.KERNEL_DATA : odd % 19 === 0 ? K.USER_DATA : 0;
    const displacement = odd % 23 === 0 ? 0xf0 - (odd % 64) : 0;
    const prepare = (): void => {
      machine.code(K.CODE, 0x48, 0xcf);
      machine.supervisor();
      if (dataSelector !== 0)
        state.setSegment(S.DS, dataSelector, 0, 0, 0xffff_ffff, dataSelector === K.USER_DATA ? 0xc0f3 : 0xc093);
      state.nmiBlocked = odd % 29 === 0;
      state.rflags = odd % 31 === 0 ? 0x4002 : 2;
      const at = K.STACK_TOP - 0x100 + displacement;
      state.setGpr(S.RSP, K.KERNEL + BigInt(at));
      const frame = [target, BigInt(code), BigInt(flags >>> 0), BigInt(odd) << 8n, BigInt(stack)];
      frame.forEach((word, index) => view.setBigUint64(at + index * 8, word, true));
      vcpu.cpu.mmu.modeChanged();
    };
    if (isFast(prepare, 2, iret, `round ${round}`)) fast++;
  }
  assert.ok(fast > ROUNDS && fast < ROUNDS * 4, `${fast} of ${ROUNDS * 4} were fast`);
});

test('faults and interrupts go through 64-bit gates as their definition says, whatever the gate, the stack and the flags', () => {
  const random = new Prng(7, 8);
  let fast = 0;
  for (let round = 0; round < ROUNDS * 4; round++) {
    const odd = random.u32();
    const vector = pick(random, [0, 6, 13, 14, 14, 14, 31, 32]);
    const isFault = odd % 3 !== 0;
    const error = isFault && vector >= 13 && vector < 15 ? odd & 0x1f : -1;
    const type = odd % 7 === 0 ? pick(random, [0x0e, 0x85, 0x8c, 0xee, 0x9e]) : pick(random, [0x8e, 0x8f]);
    const selector = odd % 11 === 0 ? pick(random, CODES) : K.KERNEL_CODE;
    const ist = odd % 5 === 0 ? 1 : odd % 37 === 0 ? 7 : 0;
    const flags = random.u32() & 0x3c_4ed7 & (odd % 13 === 0 ? -1 : ~0x100);
    const prepare = (): void => {
      if (odd % 2 === 0) machine.user();
      else machine.supervisor();
      state.rflags = flags;
      state.setGpr(S.RSP, state.gpr(S.RSP) + BigInt(odd % 17 === 0 ? 0x110 : odd % 64));
      if (vector < 32) machine.gate(vector, type, selector, ist);
      if (odd % 19 === 0) view.setBigUint64(K.TSS + 4, 0x1_0000_0000_0000n, true);
      if (odd % 23 === 0) view.setBigUint64(K.TSS + 4, K.KERNEL + BigInt(K.STACK_TOP + 0x10), true);
      // The stack of the TSS where nothing is mapped.
      if (odd % 29 === 0) view.setBigUint64(K.TSS + 4, K.KERNEL + 0x4000_0000n, true);
      state.cr2 = BigInt(odd);
      state.i32[S.ACTIVITY >> 2] = isFault ? S.ACTIVITY_RUNNING : S.ACTIVITY_HALTED;
      vcpu.cpu.mmu.modeChanged();
    };
    machine.reset();
    prepare();
    const untouched = machine.snapshot();
    const done = vcpu.deliverFast(vector, error, isFault);
    if (!done) {
      assert.equal(machine.snapshot(), untouched, `round ${round}: refused, and nothing was done`);
      continue;
    }
    fast++;
    const got = afterwards(false);
    machine.reset();
    prepare();
    try {
      deliverEvent(vcpu.cpu, vector, error, isFault ? 'fault' : 'interrupt');
    } catch (fault) {
      assert.equal(fault, guestFault);
      assert.fail(`round ${round} should have raised ${state.faultVector}`);
    }
    assert.equal(got, afterwards(false), `round ${round}`);
  }
  assert.ok(fast > ROUNDS && fast < ROUNDS * 4, `${fast} of ${ROUNDS * 4} were fast`);
});

test('a fault that is refused a fast delivery is the same fault afterwards', () => {
  machine.reset();
  machine.user();
  state.faultVector = 14;
  state.faultError = 6;
  state.cr2 = 0x1234n;
  view.setBigUint64(K.TSS + 4, K.KERNEL + 0x4000_0000n, true);
  assert.equal(vcpu.deliverFast(14, 6, true), false);
  assert.deepEqual([state.faultVector, state.faultError, state.cr2], [14, 6, 0x1234n]);
});
