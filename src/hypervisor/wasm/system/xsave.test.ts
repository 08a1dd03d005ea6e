import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FPR, FPU_CONTROL, FPU_DP, FPU_IP, FPU_OPCODE, FPU_STATUS, FPU_TAGS, XMM } from '../state.ts';
import type { SystemFunction } from './cpu.ts';
import { fxrstor, fxsave, ldmxcsr, stmxcsr, xrstor, xrstors, xsave, xsavec, xsaveopt, xsaves } from './xsave.ts';
import { TestMachine } from './test-machine.ts';

const AT = 0x5000,
  HEADER = AT + 512;

/** 64-bit mode with SSE and XSAVE enabled, XCR0 = 3, RFBM all ones. */
function machine(): TestMachine {
  const m = new TestMachine().longMode();
  m.state.cr4 |= 0x4_0600;
  m.state.xcr0 = 3;
  m.state.setGpr(0, 0xffff_ffffn);
  m.state.setGpr(2, 0xffff_ffffn);
  return m;
}
/** Gives x87 and SSE recognisable contents: TOP = 3, ST0 = R3. */
function fill(m: TestMachine): void {
  const { u32 } = m.state;
  u32[FPU_CONTROL >> 2] = 0x27f;
  u32[FPU_STATUS >> 2] = 0x1800;
  u32[FPU_TAGS >> 2] = 0x18;
  u32[FPU_OPCODE >> 2] = 0x123;
  m.state.setBig(FPU_IP, 0x7fff_1234_5678n);
  m.state.setBig(FPU_DP, 0x7fff_8765_4321n);
  for (let r = 0; r < 8; r++) {
    m.state.setBig(FPR + r * 16, 0x8000_0000_0000_0000n + BigInt(r));
    m.state.setBig(FPR + r * 16 + 8, 0x4000n + BigInt(r));
  }
  for (let r = 0; r < 16; r++) {
    m.state.setBig(XMM + r * 32, BigInt(r) * 0x1111n);
    m.state.setBig(XMM + r * 32 + 8, 0xffff_0000n + BigInt(r));
  }
  m.state.mxcsr = 0x9fc0;
}
const run = (m: TestMachine, fn: SystemFunction, opsize = 4, offsetLo = AT): string =>
  m.run(fn, { offsetLo, addrsize: 8, opsize });

test('FXSAVE lays out the legacy region and leaves the last 48 bytes alone', () => {
  const m = machine();
  fill(m);
  m.mmu.memory.fill(0xee, AT, AT + 512);
  assert.equal(run(m, fxsave), 'ok');
  assert.deepEqual([m.u16(AT), m.u16(AT + 2), m.mmu.memory[AT + 4], m.u16(AT + 6)], [0x27f, 0x1800, 0x18, 0x123]);
  assert.equal(m.u64(AT + 8), 0x1234_5678n);
  assert.equal(m.u64(AT + 16), 0x8765_4321n);
  assert.equal(m.u32(AT + 24), 0x9fc0);
  assert.equal(m.u32(AT + 28), 0xffff);
  assert.equal(m.u64(AT + 32), 0x8000_0000_0000_0003n);
  assert.equal(m.u64(AT + 40), 0x4003n);
  assert.equal(m.u64(AT + 32 + 5 * 16), 0x8000_0000_0000_0000n);
  assert.equal(m.u64(AT + 160 + 15 * 16), 15n * 0x1111n);
  assert.equal(m.u64(AT + 160 + 15 * 16 + 8), 0xffff_000fn);
  assert.equal(m.u32(AT + 464), 0xeeee_eeee);
});
test('FXSAVE64 stores 64-bit pointers', () => {
  const m = machine();
  fill(m);
  run(m, fxsave, 8);
  assert.equal(m.u64(AT + 8), 0x7fff_1234_5678n);
  assert.equal(m.u64(AT + 16), 0x7fff_8765_4321n);
});
test('FXRSTOR64 brings back what FXSAVE64 stored', () => {
  const m = machine();
  fill(m);
  const before = m.state.bytes.slice(XMM, 0x6b0);
  run(m, fxsave, 8);
  m.state.bytes.fill(0x55, FPR, 0x6b0);
  for (let r = 0; r < 16; r++) m.state.bytes.fill(0x55, XMM + r * 32, XMM + r * 32 + 16);
  m.state.mxcsr = 0x1f80;
  assert.equal(run(m, fxrstor, 8), 'ok');
  assert.deepEqual(m.state.bytes.slice(XMM, 0x6b0), before);
});
test('outside 64-bit mode only XMM0-7 move', () => {
  const m = machine().user32();
  fill(m);
  m.mmu.memory.fill(0xee, AT, AT + 512);
  assert.equal(m.run(fxsave, { offsetLo: AT }), 'ok');
  assert.equal(m.u32(AT + 160 + 8 * 16), 0xeeee_eeee);
  m.put64(AT + 160 + 8 * 16, 0n, 0n);
  m.run(fxrstor, { offsetLo: AT });
  assert.equal(m.state.big(XMM + 8 * 32), 8n * 0x1111n);
});
test('without OSFXSR the SSE state stays out', () => {
  const m = machine();
  fill(m);
  m.state.cr4 &= ~0x200;
  m.mmu.memory.fill(0xee, AT, AT + 512);
  run(m, fxsave);
  assert.equal(m.u32(AT + 24), 0xeeee_eeee);
  assert.equal(m.u32(AT + 160), 0xeeee_eeee);
});
test('a misaligned image is #GP(0), a set TS or EM #NM', () => {
  assert.equal(run(machine(), fxsave, 4, AT + 8), '#13(0x0)');
  assert.equal(run(machine(), xsave, 4, AT + 16), '#13(0x0)');
  for (const bit of [4, 8]) {
    const m = machine();
    m.state.cr0 |= bit;
    assert.equal(run(m, fxsave), '#7');
    assert.equal(run(m, fxrstor), '#7');
  }
});
test('FXRSTOR with reserved MXCSR bits is #GP(0) and changes nothing', () => {
  const m = machine();
  fill(m);
  m.put32(AT + 24, 0x1_0000);
  assert.equal(run(m, fxrstor), '#13(0x0)');
  assert.equal(m.state.u32[FPU_CONTROL >> 2], 0x27f);
});
test('a restored status word has ES and B by its exceptions and masks', () => {
  const m = machine();
  m.put16(AT, 0x37e, 0x0001);
  run(m, fxrstor);
  assert.equal(m.state.u32[FPU_STATUS >> 2], 0x8081);
  m.put16(AT, 0x37f, 0x8081);
  run(m, fxrstor);
  assert.equal(m.state.u32[FPU_STATUS >> 2], 0x0001);
});
test('a page fault in the second page of an image stores nothing', () => {
  const m = machine();
  m.mmu.rule(0x6000, 'absent');
  m.mmu.memory.fill(0xee, 0x5f00, 0x6100);
  assert.equal(run(m, fxsave, 4, 0x5f00), '#14(0x2)');
  assert.equal(m.u32(0x5f00), 0xeeee_eeee);
});

test('XSAVE writes the requested components and keeps the other header bits', () => {
  const m = machine();
  fill(m);
  m.mmu.memory.fill(0xee, AT, AT + 576);
  m.put64(HEADER, 0x5n);
  m.state.setGpr(0, 2n);
  assert.equal(run(m, xsave), 'ok');
  assert.equal(m.u64(HEADER), 7n);
  assert.equal(m.u32(AT), 0xeeee_eeee);
  assert.equal(m.u32(AT + 24), 0x9fc0);
  assert.equal(m.u64(AT + 160 + 16), 0x1111n);
  assert.equal(m.u32(HEADER + 8), 0xeeee_eeee);
});
test('XSAVE clears header bits of components in their initial state but writes them', () => {
  const m = machine();
  m.mmu.memory.fill(0xee, AT, AT + 512);
  m.put64(HEADER, 3n);
  run(m, xsave);
  assert.equal(m.u64(HEADER), 0n);
  assert.equal(m.u16(AT), 0x37f);
  assert.equal(m.u64(AT + 160), 0n);
});
test('XSAVEOPT leaves out components in their initial state, but not MXCSR', () => {
  const m = machine();
  m.mmu.memory.fill(0xee, AT, AT + 512);
  m.put64(HEADER, 0n);
  run(m, xsaveopt);
  assert.equal(m.u16(AT), 0xeeee);
  assert.equal(m.u32(AT + 160), 0xeeee_eeee);
  assert.equal(m.u32(AT + 24), 0x1f80);
});
test('XSAVEC writes a compacted header', () => {
  const m = machine();
  m.state.setBig(XMM, 1n);
  m.mmu.memory.fill(0xee, AT, AT + 576);
  assert.equal(run(m, xsavec), 'ok');
  assert.equal(m.u64(HEADER), 2n);
  assert.equal(m.u64(HEADER + 8), 0x8000_0000_0000_0003n);
  assert.equal(m.u16(AT), 0xeeee);
  assert.equal(m.u64(AT + 160), 1n);
});
test('XSAVEC counts SSE as in use for an MXCSR of its own', () => {
  const m = machine();
  m.state.mxcsr = 0x1fa0;
  run(m, xsavec);
  assert.equal(m.u64(HEADER), 2n);
  assert.equal(m.u32(AT + 24), 0x1fa0);
});
test('XSAVES and XRSTORS are for CPL 0', () => {
  const m = machine().user64();
  assert.equal(run(m, xsaves), '#13(0x0)');
  assert.equal(run(m, xrstors), '#13(0x0)');
  assert.equal(run(machine(), xsaves), 'ok');
});
test('the XSAVE family is #UD without OSXSAVE and #NM with TS', () => {
  for (const fn of [xsave, xsaveopt, xsavec, xsaves, xrstor, xrstors]) {
    const m = machine();
    m.state.cr4 &= ~0x4_0000;
    assert.equal(run(m, fn), '#6');
    const n = machine();
    n.state.cr0 |= 8;
    assert.equal(run(n, fn), '#7');
  }
});

test('XRSTOR loads what the header marks and initialises the rest', () => {
  const m = machine();
  fill(m);
  run(m, xsave, 8);
  m.put64(HEADER, 2n, 0n, 0n);
  m.state.setBig(XMM, 0x77n);
  m.state.mxcsr = 0x1f80;
  assert.equal(run(m, xrstor, 8), 'ok');
  assert.equal(m.state.big(XMM), 0n);
  assert.equal(m.state.big(XMM + 32), 0x1111n);
  assert.equal(m.state.mxcsr, 0x9fc0);
  assert.equal(m.state.u32[FPU_CONTROL >> 2], 0x37f);
  assert.equal(m.state.big(FPR), 0n);
});
test('XRSTOR in standard form loads MXCSR even where it initialises the registers', () => {
  const m = machine();
  fill(m);
  m.put32(AT + 24, 0x1fa0);
  m.put64(HEADER, 0n, 0n, 0n);
  assert.equal(run(m, xrstor), 'ok');
  assert.equal(m.state.mxcsr, 0x1fa0);
  assert.equal(m.state.big(XMM + 32), 0n);
});
test('XRSTOR in compacted form resets MXCSR with the registers', () => {
  const m = machine();
  fill(m);
  m.put32(AT + 24, 0x1fa0);
  m.put64(HEADER, 0n, 0x8000_0000_0000_0003n);
  assert.equal(run(m, xrstor), 'ok');
  assert.equal(m.state.mxcsr, 0x1f80);
});
test('XRSTOR leaves components alone that are not requested', () => {
  const m = machine();
  fill(m);
  m.put64(HEADER, 0n, 0n, 0n);
  m.state.setGpr(0, 1n);
  run(m, xrstor);
  assert.equal(m.state.mxcsr, 0x9fc0);
  assert.equal(m.state.big(XMM + 32), 0x1111n);
  assert.equal(m.state.u32[FPU_STATUS >> 2], 0);
});
test('XRSTOR refuses headers with bits it does not know', () => {
  const refuse = (...header: bigint[]): string => {
    const m = machine();
    m.put64(HEADER, ...header);
    return run(m, xrstor);
  };
  assert.equal(refuse(4n), '#13(0x0)');
  assert.equal(refuse(1n << 32n), '#13(0x0)');
  assert.equal(refuse(0n, 1n), '#13(0x0)');
  assert.equal(refuse(0n, 0n, 1n), '#13(0x0)');
  assert.equal(refuse(0n, 0n, 0n, 1n), 'ok');
  assert.equal(refuse(0n, 0x8000_0000_0000_0007n), '#13(0x0)');
  assert.equal(refuse(2n, 0x8000_0000_0000_0001n), '#13(0x0)');
  assert.equal(refuse(0n, 0x8000_0000_0000_0003n, 0n, 1n), '#13(0x0)');
  assert.equal(refuse(1n, 0x8000_0000_0000_0003n), 'ok');
});
test('XRSTOR with reserved MXCSR bits is #GP(0)', () => {
  const m = machine();
  m.put64(HEADER, 0n, 0n, 0n);
  m.put32(AT + 24, 0x8000_0000);
  assert.equal(run(m, xrstor), '#13(0x0)');
  m.state.setGpr(0, 1n);
  assert.equal(run(m, xrstor), 'ok');
});
test('XRSTORS takes the compacted form only', () => {
  const m = machine();
  m.put64(HEADER, 0n, 0n, 0n);
  assert.equal(run(m, xrstors), '#13(0x0)');
  m.put64(HEADER, 0n, 0x8000_0000_0000_0000n);
  assert.equal(run(m, xrstors), 'ok');
});
test('XSAVES and XRSTORS are a round trip', () => {
  const m = machine();
  fill(m);
  const before = m.state.bytes.slice(XMM, 0x6b0);
  run(m, xsaves, 8);
  m.state.bytes.fill(0, FPR, 0x6b0);
  for (let r = 0; r < 16; r++) m.state.bytes.fill(0, XMM + r * 32, XMM + r * 32 + 16);
  assert.equal(run(m, xrstors, 8), 'ok');
  assert.deepEqual(m.state.bytes.slice(XMM, 0x6b0), before);
});

test('an image that cannot be copied in one piece is saved and restored all the same', () => {
  for (const at of [0x5e80, AT]) {
    const m = machine();
    m.mmu.windows = at !== AT;
    fill(m);
    const before = m.state.bytes.slice(XMM, 0x6b0);
    run(m, xsave, 8, at);
    assert.equal(m.u64(at + 160 + 15 * 16), 15n * 0x1111n);
    m.state.bytes.fill(0, FPR, 0x6b0);
    assert.equal(run(m, xrstor, 8, at), 'ok');
    assert.deepEqual(m.state.bytes.slice(XMM, 0x6b0), before);
  }
});

test('LDMXCSR and STMXCSR move MXCSR', () => {
  const m = machine();
  m.put32(AT, 0x1fa0);
  assert.equal(run(m, ldmxcsr), 'ok');
  run(m, stmxcsr, 4, AT + 4);
  assert.equal(m.u32(AT + 4), 0x1fa0);
  m.put32(AT, 0x1_1fa0);
  assert.equal(run(m, ldmxcsr), '#13(0x0)');
});
test('LDMXCSR is #UD with EM or without OSFXSR, #NM with TS', () => {
  const m = machine();
  m.state.cr0 |= 8;
  assert.equal(run(m, ldmxcsr), '#7');
  m.state.cr0 |= 4;
  assert.equal(run(m, ldmxcsr), '#6');
  const n = machine();
  n.state.cr4 &= ~0x200;
  assert.equal(run(n, stmxcsr), '#6');
});

/** x86-64-v3 with AVX enabled; YMM n has 0x10 + n in its third quadword. */
function avxMachine(): TestMachine {
  const m = new TestMachine(1, 'v3').longMode();
  m.state.cr4 |= 0x4_0600;
  m.state.xcr0 = 7;
  m.state.setGpr(0, 0xffff_ffffn);
  m.state.setGpr(2, 0xffff_ffffn);
  fill(m);
  for (let r = 0; r < 16; r++) m.state.setBig(XMM + r * 32 + 16, 0x10n + BigInt(r));
  return m;
}
const YMM = AT + 576;

test('XSAVE and XSAVEC put the upper halves of YMM registers behind the header', () => {
  for (const fn of [xsave, xsavec]) {
    const m = avxMachine();
    assert.equal(run(m, fn), 'ok');
    assert.equal(m.u32(HEADER), 7);
    assert.deepEqual([m.u64(YMM), m.u64(YMM + 15 * 16)], [0x10n, 0x1fn]);
  }
});
test('outside 64-bit mode the upper halves of YMM8-15 stay where they are', () => {
  const m = avxMachine();
  m.state.codeSize = 32;
  m.mmu.memory.fill(0xee, YMM, YMM + 256);
  assert.equal(run(m, xsave), 'ok');
  assert.deepEqual([m.u64(YMM + 7 * 16), m.u32(YMM + 8 * 16)], [0x17n, 0xeeee_eeee]);
});
test('XSAVEOPT leaves out upper halves that are zero and writes MXCSR for AVX alone', () => {
  const m = avxMachine();
  m.state.setGpr(0, 4n);
  for (let r = 0; r < 16; r++) m.state.setBig(XMM + r * 32 + 16, 0n);
  m.mmu.memory.fill(0xee, AT, AT + 512);
  m.mmu.memory.fill(0xee, YMM, YMM + 256);
  assert.equal(run(m, xsaveopt), 'ok');
  assert.deepEqual([m.u32(HEADER), m.u32(AT + 24), m.u32(AT + 160), m.u32(YMM)], [0, 0x9fc0, 0xeeee_eeee, 0xeeee_eeee]);
});
test('XRSTOR brings the upper halves back, or initialises them, and leaves the lower ones alone', () => {
  const m = avxMachine();
  assert.equal(run(m, xsave), 'ok');
  m.state.setGpr(0, 4n);
  for (let r = 0; r < 16; r++) m.state.setBig(XMM + r * 32 + 16, 0n);
  m.state.setBig(XMM + 32, 0x77n);
  assert.equal(run(m, xrstor), 'ok');
  assert.deepEqual([m.state.big(XMM + 32), m.state.big(XMM + 48)], [0x77n, 0x11n]);
  m.mmu.view.setUint32(HEADER, 3, true);
  assert.equal(run(m, xrstor), 'ok');
  assert.deepEqual([m.state.big(XMM + 32), m.state.big(XMM + 48)], [0x77n, 0n]);
});
test('XRSTOR in standard form loads MXCSR for AVX alone, in compacted form it does not', () => {
  const m = avxMachine();
  m.state.setGpr(0, 4n);
  for (const [fn, expected] of [
    [xsave, 0x9fc0],
    [xsavec, 0x1f80],
  ] as const) {
    m.state.mxcsr = 0x9fc0;
    assert.equal(run(m, fn), 'ok');
    m.state.mxcsr = 0x1f80;
    assert.equal(run(m, xrstor), 'ok');
    assert.equal(m.state.mxcsr, expected);
  }
});
test('an area that holds AVX state is as long as that', () => {
  const m = avxMachine();
  m.mmu.windows = false;
  assert.equal(run(m, xsave), 'ok');
  assert.equal(m.u64(YMM + 15 * 16), 0x1fn);
});
