/**
 * The fast XSAVE family (interpreter/fast-xsave.ts) against the functions of system/ that it stands for.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { XSAVE_COMPACTED, XSAVE_OPTIMIZED, XSAVE_WIDE } from '../../src/hypervisor/wasm/interpreter/fast-xsave.ts';
import * as S from '../../src/hypervisor/wasm/state.ts';
import { emptyInsn, executeSystem, type SystemFunction } from '../../src/hypervisor/wasm/system/cpu.ts';
import { xrstor, xrstors, xsave, xsavec, xsaveopt, xsaves } from '../../src/hypervisor/wasm/system/xsave.ts';
import { Prng } from '../cpu/prng.ts';
import * as K from './kernel-machine.ts';

const machine = new K.KernelMachine();
const { state, vcpu, view } = machine;
const ROUNDS = 1000;
const AREA = K.SPARE;
const HIGH = Number(K.KERNEL >> 32n);

const pick = <T>(random: Prng, list: readonly T[]): T => list[random.u32() % list.length] as T;

/** Registers of all components, in their initial state or not; and an area full of rubbish with a header. */
function draw(seed: number): { components: number; offset: number } {
  const random = new Prng(seed, 9);
  machine.reset();
  machine.supervisor();
  state.cr4 = state.cr4 | (1 << 18);
  state.xcr0 = pick(random, [7, 7, 7, 3, 1]);
  if (random.u32() % 3 !== 0) {
    for (let at = S.FPR; at < S.FPU_CONTROL; at += 4) state.u32[at >> 2] = random.u32();
    for (let n = 0; n < 8; n++) state.u32[(S.FPR >> 2) + n * 4 + 2] = random.u32() & 0xffff;
    for (let n = 0; n < 8; n++) state.u32[(S.FPR >> 2) + n * 4 + 3] = 0;
    state.u32[S.FPU_CONTROL >> 2] = (random.u32() & 0x1f3f) | 0x40;
    state.u32[S.FPU_STATUS >> 2] = random.u32() & 0x7f7f;
    state.u32[S.FPU_TAGS >> 2] = random.u32() & 0xff;
    state.u32[S.FPU_OPCODE >> 2] = random.u32() & 0x7ff;
    for (const field of [S.FPU_IP, S.FPU_IP + 4, S.FPU_DP, S.FPU_DP + 4]) state.u32[field >> 2] = random.u32();
  }
  // One field alone makes a component count.
  if (random.u32() % 4 === 0)
    state.u32[pick(random, [S.FPU_IP + 4, S.FPU_CS, S.FPU_DS, S.FPR + 8, S.FPR + 116]) >> 2] = 1;
  if (random.u32() % 3 !== 0) {
    for (let n = 0; n < 16; n++)
      for (let word = 0; word < 4; word++) state.u32[(S.xmmOffset(n) >> 2) + word] = random.u32();
  }
  if (random.u32() % 4 === 0) state.u32[(S.xmmOffset(15) >> 2) + 3] = 1;
  if (random.u32() % 3 !== 0) {
    for (let n = 0; n < 16; n++) state.u32[(S.xmmOffset(n) >> 2) + 4 + (random.u32() % 4)] = random.u32();
  }
  state.mxcsr = pick(random, [0x1f80, 0x1f80, 0xffff]);
  for (let at = 0; at < 832; at += 4) view.setUint32(AREA + at, random.u32(), true);
  view.setUint32(AREA + 24, random.u32() & (random.u32() % 9 === 0 ? -1 : 0xffff), true);
  const isCompacted = random.u32() % 2 === 0;
  const format = pick(random, [7, 7, 3, 1, 2]);
  const header = [pick(random, [0, 1, 2, 3, 3, 4, 7, 7]), 0, isCompacted ? format : 0, isCompacted ? 0x8000_0000 : 0];
  for (let word = 0; word < 16; word++) view.setUint32(AREA + 512 + word * 4, header[word] ?? 0, true);
  // A word of the header that must be zero.
  if (random.u32() % 5 === 0) view.setUint32(AREA + 512 + pick(random, [4, 8, 12, 16, 20, 24, 60]), random.u32(), true);
  return {
    components: pick(random, [7, 7, 3, 3, 1, 2, 6, 0, 4, 8]),
    offset: pick(random, [0, 0, 0, 0, 64, 0x20, 0xd00]),
  };
}

function compare(slow: SystemFunction, kind: number, isSave: boolean, name: string): void {
  let fast = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const wide = round % 2 === 0;
    const prepare = (): number => {
      const { components, offset } = draw(round);
      state.setGpr(S.RAX, BigInt(components));
      return AREA + offset;
    };
    const at = prepare();
    const untouched = machine.snapshot();
    const full = kind | (wide ? XSAVE_WIDE : 0);
    const done = isSave ? vcpu.saveFast(at, HIGH, full) : vcpu.restoreFast(at, HIGH, full);
    const got = machine.snapshot();
    if (!done) {
      assert.equal(got, untouched, `${name}, round ${round}: refused, and nothing was done`);
      continue;
    }
    fast++;
    prepare();
    const { rip } = state;
    const insn = { ...emptyInsn(), opsize: wide ? 8 : 4, addrsize: 8, offsetLo: at, offsetHi: HIGH };
    assert.ok(executeSystem(vcpu.cpu, slow, insn), `${name}, round ${round} raises ${state.faultVector}`);
    state.rip = rip;
    assert.equal(got, machine.snapshot(), `${name}, round ${round}`);
  }
  assert.ok(fast > ROUNDS / 20 && fast < ROUNDS, `${fast} of ${ROUNDS} were fast`);
}

// biome-ignore format: a table
const FAMILY: readonly (readonly [string, SystemFunction, number, boolean])[] = [
  ['XSAVE',    xsave,    0,               true],
  ['XSAVEOPT', xsaveopt, XSAVE_OPTIMIZED, true],
  ['XSAVEC',   xsavec,   XSAVE_COMPACTED, true],
  ['XSAVES',   xsaves,   XSAVE_COMPACTED, true],
  ['XRSTOR',   xrstor,   0,               false],
  ['XRSTORS',  xrstors,  XSAVE_COMPACTED, false],
];
for (const [name, slow, kind, isSave] of FAMILY) {
  test(`${name} does the short way what its definition says, or refuses`, () => compare(slow, kind, isSave, name));
}

test('a page that cannot be written is refused, and no fault is left behind', () => {
  draw(1);
  state.setGpr(S.RAX, 3n);
  state.faultVector = -1;
  assert.equal(vcpu.saveFast(AREA, HIGH + 1, 0), false);
  assert.equal(state.faultVector, -1);
});

test('XRSTORS outside privilege level 0 raises #GP, short way or not', () => {
  draw(1);
  machine.code(K.USER_CODE, 0x0f, 0xc7, 0x1b);
  machine.user();
  state.cr4 = state.cr4 | (1 << 18);
  state.setGpr(S.RAX, 3n);
  state.setGpr(S.RBX, K.USER + BigInt(K.USER_STACK_TOP - 0x1000));
  vcpu.cpu.mmu.modeChanged();
  vcpu.executeOne();
  assert.equal(state.faultVector, 13);
});
