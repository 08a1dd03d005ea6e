import assert from 'node:assert/strict';
import test from 'node:test';
import { XCR0 } from '../../src/hypervisor/wasm/state.ts';
import type { CpuModel } from '../../src/hypervisor/wasm/system/cpu-model.ts';
import type { CpuState } from '../../src/hypervisor/wasm/system/cpu-state.ts';
import { CODE16, LONG } from './environment.ts';
import { InterpreterExecutor } from './executor.ts';
import { fillDefault, Profile } from './default-state.ts';
import { MachineState } from './machine-state.ts';

const UD = 6,
  NM = 7,
  NONE = -1;
const VADDPS = [0xc5, 0xf0, 0x58, 0xc2],
  VZEROUPPER = [0xc5, 0xf8, 0x77],
  ANDN = [0xc4, 0xe2, 0x70, 0xf2, 0xc2],
  AESENC = [0x66, 0x0f, 0x38, 0xdc, 0xc1],
  TZCNT = [0xf3, 0x0f, 0xbc, 0xc1],
  ADCX = [0x66, 0x0f, 0x38, 0xf6, 0xc1];
const CR0_PE = 1,
  CR0_TS = 8,
  CR4_OSFXSR = 1 << 9,
  CR4_OSXSAVE = 1 << 18;
const EFLAGS_VM = 1 << 17;

/** The exception that an instruction ends in, after `prepare`. */
function vectorOf(
  code: readonly number[],
  prepare: (state: CpuState) => void = () => undefined,
  options: { readonly model?: CpuModel; readonly environment?: number; readonly rflags?: number } = {},
): number {
  const { model = 'v3', environment = LONG, rflags = 0 } = options;
  const executor = new InterpreterExecutor(model);
  prepare(executor.vcpu.state);
  const initial = new MachineState();
  fillDefault(initial, environment, 1, Profile.Integer, true);
  initial.rflags |= rflags;
  const comparison = { flags: 0 };
  const input = { form: '', environment, seed: 1, profile: Profile.Integer, initial, patches: [], comparison };
  return executor.run({ ...input, code: Uint8Array.from(code) }).vector;
}

test('AVX is #UD without CR4.OSXSAVE and without both SSE and AVX in XCR0', () => {
  for (const code of [VADDPS, VZEROUPPER]) {
    assert.equal(vectorOf(code), NONE);
    assert.equal(
      vectorOf(code, (state) => (state.cr4 &= ~CR4_OSXSAVE)),
      UD,
    );
    for (const xcr0 of [1n, 3n, 5n]) {
      assert.equal(
        vectorOf(code, (state) => state.setBig(XCR0, xcr0)),
        UD,
      );
    }
  }
});
test('AVX is #NM with CR0.TS, general-register instructions with VEX are not', () => {
  const setTs = (state: CpuState): void => {
    state.cr0 |= CR0_TS;
  };
  assert.equal(vectorOf(VADDPS, setTs), NM);
  assert.equal(vectorOf(ANDN, setTs), NONE);
});
test('AVX does not ask for CR4.OSFXSR, AESENC without VEX does', () => {
  const clear = (state: CpuState): void => {
    state.cr4 &= ~CR4_OSFXSR;
  };
  assert.equal(vectorOf(VADDPS, clear), NONE);
  assert.equal(vectorOf(AESENC, clear), UD);
});
test('VEX is #UD in real and in virtual-8086 mode', () => {
  for (const code of [VADDPS, ANDN]) {
    assert.equal(vectorOf(code, undefined, { environment: CODE16 }), NONE);
    assert.equal(vectorOf(code, undefined, { environment: CODE16, rflags: EFLAGS_VM }), UD);
    assert.equal(
      vectorOf(code, (state) => (state.cr0 &= ~CR0_PE), { environment: CODE16 }),
      UD,
    );
  }
});
test('x86-64-v2 has none of it, and TZCNT is BSF there', () => {
  for (const code of [VADDPS, VZEROUPPER, ANDN, AESENC, ADCX]) {
    assert.equal(vectorOf(code, undefined, { model: 'v2' }), UD);
  }
  assert.equal(vectorOf(TZCNT, undefined, { model: 'v2' }), NONE);
});
