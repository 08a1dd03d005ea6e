/**
 * What the profile finds worth translating.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import * as S from '../../src/hypervisor/wasm/state.ts';
import * as K from './kernel-machine.ts';

const repeated = (count: number, ...bytes: readonly number[]): number[] =>
  Array.from({ length: count }, () => bytes).flat();
const UD2 = [0x0f, 0x0b];

/** Runs until the processor shuts down: an exception without a gate. */
function runToEnd(machine: K.KernelMachine): void {
  machine.state.setTable(S.IDTR, 0, 0, 0);
  assert.deepEqual(machine.vcpu.run(), { kind: 'shutdown' });
}

test('a block that runs behind a short one is translated although slices seldom end at it', () => {
  const machine = new K.KernelMachine();
  const { state } = machine;
  const at = (offset: number): bigint => K.KERNEL + BigInt(K.CODE + offset);
  // 50 additions, jmp rsi; nop, jmp rdi; 10 additions, dec r8, jnz to jmp rbx.
  machine.code(K.CODE, ...repeated(50, 0x48, 0x83, 0xc1, 1), 0xff, 0xe6);
  machine.code(K.CODE + 0x100, 0x90, 0xff, 0xe7);
  machine.code(K.CODE + 0x200, ...repeated(10, 0x48, 0x83, 0xc2, 1), 0x49, 0xff, 0xc8, 0x74, 2, 0xff, 0xe3, ...UD2);
  machine.supervisor();
  state.setGpr(S.RSI, at(0x100));
  state.setGpr(S.RDI, at(0x200));
  state.setGpr(S.RBX, at(0));
  state.setGpr(S.RDX, 0n);
  state.setGpr(8, 60_000n);
  runToEnd(machine);
  assert.equal(state.gpr(S.RCX), 3_000_000n);
  assert.equal(state.gpr(S.RDX), 600_000n);
  assert.ok(machine.vcpu.stats().regions.built >= 3, `${machine.vcpu.stats().regions.built} regions`);
});

test('a kernel that is left and entered all the time is translated', () => {
  const machine = new K.KernelMachine();
  const { state } = machine;
  // User: 10 additions, syscall, dec rdx, jnz back, ud2. Kernel: 10 additions, sysretq.
  machine.code(K.USER_CODE, ...repeated(10, 0x48, 0x83, 0xc6, 1), 0x0f, 0x05, 0x48, 0xff, 0xca, 0x75, 0xd1, ...UD2);
  machine.code(K.CODE + 0x400, ...repeated(10, 0x48, 0x83, 0xc7, 1), 0x48, 0x0f, 0x07);
  machine.user();
  state.setGpr(S.RDX, 100_000n);
  runToEnd(machine);
  assert.equal(state.gpr(S.RSI), 1_000_000n);
  assert.equal(state.gpr(S.RDI), 1_000_000n);
  const { translated, instructions } = machine.vcpu.stats();
  assert.ok(translated > instructions / 2, `${translated} of ${instructions}`);
});
