/**
 * STI and POPF: they stay in the interpreter's loop, or in their region, unless there is a reason to come out.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { STATUS_FAULT, STATUS_LEAVE } from '../../src/hypervisor/wasm/interpreter/record.ts';
import * as S from '../../src/hypervisor/wasm/state.ts';
import * as K from './kernel-machine.ts';

const machine = new K.KernelMachine();
const { state, vcpu } = machine;
const UD2 = [0x0f, 0x0b];

/** Runs supervisor code once as it is met, and again as a region where `translated`. Returns the status. */
function runCode(translated: boolean, prepare: () => void, ...code: readonly number[]): number {
  machine.reset();
  machine.code(K.CODE, ...code);
  const start = (): void => {
    machine.supervisor();
    prepare();
  };
  start();
  vcpu.execute(100);
  start();
  if (translated) assert.ok(vcpu.translateHere(), 'a region');
  return vcpu.execute(100);
}

for (const translated of [false, true]) {
  const where = translated ? 'in a region' : 'in the interpreter';

  test(`STI stays in the loop, ${where}, unless somebody has kicked the vCPU`, () => {
    assert.equal(
      runCode(translated, () => machine.clearKick(), 0xfb, 0x90, ...UD2),
      STATUS_FAULT,
    );
    assert.equal(state.faultVector, 6);
    assert.equal(runCode(translated, machine.kick, 0x39, 0xc0, 0xfb, 0x90, ...UD2), STATUS_LEAVE);
    assert.equal(state.rip, K.KERNEL + BigInt(K.CODE + 3));
    assert.equal(state.interruptShadow, 1);
    assert.equal(state.rflags & 0x2ff, 0x246, 'IF, and the flags of the comparison');
  });

  test(`POPF that sets IF stays in the loop, ${where}, unless somebody has kicked the vCPU`, () => {
    const code = [0x68, 0x02, 0x02, 0, 0, 0x9d, 0x90, ...UD2];
    assert.equal(
      runCode(translated, () => machine.clearKick(), ...code),
      STATUS_FAULT,
    );
    assert.equal(runCode(translated, machine.kick, ...code), STATUS_LEAVE);
    assert.equal(state.rip, K.KERNEL + BigInt(K.CODE + 6));
    assert.equal(state.interruptShadow, 0);
  });

  test(`POPF that sets AC makes user pages accessible at once, ${where}`, () => {
    // push 40002h; popf; mov eax, [rbx]; ud2
    const code = [0x68, 0x02, 0, 0x04, 0, 0x9d, 0x8b, 0x03, ...UD2];
    const prepare = (): void => state.setGpr(S.RBX, K.USER + BigInt(K.USER_CODE));
    assert.equal(runCode(translated, prepare, ...code), STATUS_FAULT);
    assert.equal(state.faultVector, 6);
    assert.equal(runCode(translated, prepare, 0x68, 0x02, 0, 0, 0, ...code.slice(5)), STATUS_FAULT);
    assert.equal(state.faultVector, 14);
  });
}
