import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GS, segmentOffset } from '../state.ts';
import { rdfsbase, rdgsbase, rdmsr, swapgs, wrfsbase, wrmsr } from './msr.ts';
import { TestMachine } from './test-machine.ts';
import { rdpid, rdpmc } from './tsc.ts';

const write = (m: TestMachine, index: number, value: bigint): string => {
  m.state.setGpr(1, BigInt(index));
  m.state.setGpr(0, value & 0xffff_ffffn);
  m.state.setGpr(2, value >> 32n);
  return m.run(wrmsr);
};
const read = (m: TestMachine, index: number): bigint | string => {
  m.state.setGpr(1, BigInt(index));
  const outcome = m.run(rdmsr);
  return outcome === 'ok' ? (m.state.gpr(2) << 32n) | m.state.gpr(0) : outcome;
};
const long = (): TestMachine => new TestMachine().longMode();

test('MSRs are for CPL 0', () => {
  assert.equal(write(long().user64(), 0x10, 0n), '#13(0x0)');
  assert.equal(read(long().user64(), 0x10), '#13(0x0)');
});
test('unknown MSRs are #GP(0)', () => {
  for (const index of [0x0, 0x3a, 0x48, 0x49, 0xce, 0x140, 0x1fc, 0x4b564d00, 0xc001_0015]) {
    assert.equal(read(long(), index), '#13(0x0)', index.toString(16));
    assert.equal(write(long(), index, 0n), '#13(0x0)', index.toString(16));
  }
});
test('address registers take canonical values only', () => {
  for (const index of [0x175, 0x176, 0xc000_0082, 0xc000_0083, 0xc000_0100, 0xc000_0101, 0xc000_0102]) {
    const m = long();
    assert.equal(write(m, index, 0xffff_8000_1234_5678n), 'ok');
    assert.equal(read(m, index), 0xffff_8000_1234_5678n);
    assert.equal(write(m, index, 0x8000_0000_0000n), '#13(0x0)');
  }
});
test('STAR takes anything, FMASK and TSC_AUX 32 bits', () => {
  const m = long();
  assert.equal(write(m, 0xc000_0081, 0x0023_0010_ffff_ffffn), 'ok');
  assert.equal(read(m, 0xc000_0081), 0x0023_0010_ffff_ffffn);
  assert.equal(write(m, 0xc000_0084, 0x4_7700n), 'ok');
  assert.equal(write(m, 0xc000_0084, 1n << 32n), '#13(0x0)');
  assert.equal(write(m, 0xc000_0103, 7n), 'ok');
  assert.equal(write(m, 0xc000_0103, 1n << 32n), '#13(0x0)');
});
test('EFER refuses reserved bits and ignores LMA', () => {
  const m = new TestMachine().protectedMode();
  assert.equal(write(m, 0xc000_0080, 0x900n), 'ok');
  assert.equal(read(m, 0xc000_0080), 0x900n);
  assert.equal(write(m, 0xc000_0080, 0xd00n), 'ok');
  assert.equal(read(m, 0xc000_0080), 0x900n);
  for (const bit of [1n, 12n, 14n, 63n]) assert.equal(write(m, 0xc000_0080, 1n << bit), '#13(0x0)');
});
test('a change of NXE flushes the TLB', () => {
  const m = long();
  write(m, 0xc000_0080, 0x101n);
  assert.deepEqual(m.mmu.log, ['all']);
});

test('the PAT takes its six types in every byte', () => {
  const m = long();
  assert.equal(read(m, 0x277), 0x0007_0406_0007_0406n);
  assert.equal(write(m, 0x277, 0x0407_0105_0007_0106n), 'ok');
  assert.equal(write(m, 0x277, 0x0200_0000_0000_0000n), '#13(0x0)');
});
test('MTRRs are checked', () => {
  const m = long();
  assert.equal(read(m, 0xfe), 0x508n);
  assert.equal(write(m, 0xfe, 0n), '#13(0x0)');
  assert.equal(write(m, 0x2ff, 0xc06n), 'ok');
  assert.equal(write(m, 0x2ff, 0xc02n), '#13(0x0)');
  assert.equal(write(m, 0x2ff, 0x1006n), '#13(0x0)');
  assert.equal(write(m, 0x200, 0xff_ffff_f006n), 'ok');
  assert.equal(write(m, 0x200, 0x100_0000_0006n), '#13(0x0)');
  assert.equal(write(m, 0x201, 0xff_f000_0800n), 'ok');
  assert.equal(write(m, 0x201, 0xff_f000_0801n), '#13(0x0)');
  assert.equal(write(m, 0x20f, 0x800n), 'ok');
  assert.equal(write(m, 0x210, 0n), '#13(0x0)');
  assert.equal(write(m, 0x26f, 0x0606_0606_0606_0606n), 'ok');
  assert.equal(write(m, 0x26f, 0x0706_0606_0606_0606n), '#13(0x0)');
  assert.equal(read(m, 0x201), 0xff_f000_0800n);
  assert.equal(read(m, 0x26f), 0x0606_0606_0606_0606n);
});
test('machine-check registers announce no banks', () => {
  const m = long();
  assert.equal(read(m, 0x179), 0n);
  assert.equal(read(m, 0x17a), 0n);
  assert.equal(write(m, 0x17a, 0n), 'ok');
  assert.equal(write(m, 0x17a, 4n), '#13(0x0)');
  assert.equal(read(m, 0x400), '#13(0x0)');
});
test('MISC_ENABLE has fast strings on and keeps its other bits', () => {
  const m = long();
  assert.equal(read(m, 0x1a0), 0x1801n);
  write(m, 0x1a0, 0n);
  assert.equal(read(m, 0x1a0), 0x1800n);
});
test('the microcode revision reads as 1 and may be cleared', () => {
  const m = long();
  assert.equal(write(m, 0x8b, 0n), 'ok');
  assert.equal(read(m, 0x8b), 1n << 32n);
});
test('ARCH_CAPABILITIES denies what Linux asks about and is read-only', () => {
  const m = long();
  const value = read(m, 0x10a) as bigint;
  for (const bit of [0, 4, 5, 6, 8, 20, 26, 27, 62]) assert.equal((value >> BigInt(bit)) & 1n, 1n, `bit ${bit}`);
  for (const bit of [1, 2, 7]) assert.equal((value >> BigInt(bit)) & 1n, 0n, `bit ${bit}`);
  assert.equal(write(m, 0x10a, 0n), '#13(0x0)');
});
test('XSS takes zero only', () => {
  assert.equal(write(long(), 0xda0, 0n), 'ok');
  assert.equal(write(long(), 0xda0, 1n), '#13(0x0)');
});
test('DEBUGCTL has BTF alone', () => {
  const m = long();
  assert.equal(write(m, 0x1d9, 2n), 'ok');
  assert.equal(read(m, 0x1d9), 2n);
  assert.equal(write(m, 0x1d9, 1n), '#13(0x0)');
});
test('the local APIC has its own registers', () => {
  const m = long();
  assert.equal(read(m, 0x1b), 0xfee0_0900n);
  assert.equal(write(m, 0x6e0, 0x1234n), 'ok');
  assert.deepEqual(m.interrupts.writes, [[0x6e0, 0x1234n]]);
  assert.equal(read(m, 0x802), '#13(0x0)');
});

test('the TSC is the clock plus an offset that WRMSR sets', () => {
  const m = long();
  m.now = 5_000_000_000;
  assert.equal(read(m, 0x10), 5_000_000_000n);
  assert.equal(write(m, 0x10, 100n), 'ok');
  assert.equal(read(m, 0x3b), BigInt.asUintN(64, 100n - 5_000_000_000n));
  m.now += 7;
  assert.equal(read(m, 0x10), 107n);
});
test('a TSC above 2^53 counts exactly', () => {
  const m = long();
  write(m, 0x10, 0xffff_ffff_ffff_fff0n);
  m.now += 3;
  assert.equal(read(m, 0x10), 0xffff_ffff_ffff_fff3n);
});
test('TSC_ADJUST moves the TSC by its difference', () => {
  const m = long();
  write(m, 0x3b, 1000n);
  assert.equal(read(m, 0x10), 2000n);
  write(m, 0x3b, 400n);
  assert.equal(read(m, 0x10), 1400n);
  assert.equal(read(m, 0x3b), 400n);
});
test('an armed TSC deadline is measured again when the TSC moves', () => {
  const m = long();
  write(m, 0x6e0, 5000n);
  m.interrupts.writes.length = 0;
  write(m, 0x3b, 1000n);
  assert.deepEqual(m.interrupts.writes, [[0x6e0, 5000n]]);
});
test('RDPID reads TSC_AUX', () => {
  const m = long();
  m.state.setBig(0x2e0, 0x55n);
  m.run(rdpid, { rm: 9 });
  assert.equal(m.state.gpr(9), 0x55n);
});
test('RDPMC is #GP(0): there are no counters', () => assert.equal(long().run(rdpmc), '#13(0x0)'));

test('SWAPGS exchanges the GS base with KERNEL_GS_BASE', () => {
  const m = long();
  m.state.setBig(segmentOffset(GS), 0x7fff_0000_1000n);
  m.state.setBig(0x2b0, 0xffff_8880_0000_2000n);
  assert.equal(m.run(swapgs), 'ok');
  assert.equal(m.state.big(segmentOffset(GS)), 0xffff_8880_0000_2000n);
  assert.equal(m.state.big(0x2b0), 0x7fff_0000_1000n);
});
test('SWAPGS is #UD outside 64-bit mode and #GP(0) outside CPL 0', () => {
  assert.equal(new TestMachine().protectedMode().run(swapgs), '#6');
  assert.equal(long().user64().run(swapgs), '#13(0x0)');
});
test('WRFSBASE and RDFSBASE work in user mode once CR4.FSGSBASE is set', () => {
  const m = long().user64();
  assert.equal(m.run(wrfsbase, { rm: 3, opsize: 8 }), '#6');
  m.state.cr4 |= 0x1_0000;
  m.state.setGpr(3, 0x7f12_3456_789an);
  assert.equal(m.run(wrfsbase, { rm: 3, opsize: 8 }), 'ok');
  m.run(rdfsbase, { rm: 4, opsize: 8 });
  assert.equal(m.state.gpr(4), 0x7f12_3456_789an);
  m.run(rdfsbase, { rm: 4, opsize: 4 });
  assert.equal(m.state.gpr(4), 0x3456_789an);
  m.run(wrfsbase, { rm: 3, opsize: 4 });
  m.run(rdfsbase, { rm: 4, opsize: 8 });
  assert.equal(m.state.gpr(4), 0x3456_789an);
});
test('WRFSBASE with a non-canonical address is #GP(0)', () => {
  const m = long();
  m.state.cr4 |= 0x1_0000;
  m.state.setGpr(3, 0x8000_0000_0000n);
  assert.equal(m.run(wrfsbase, { rm: 3, opsize: 8 }), '#13(0x0)');
});
test('RDGSBASE is #UD outside 64-bit mode', () => {
  const m = new TestMachine().protectedMode();
  m.state.cr4 |= 0x1_0000;
  assert.equal(m.run(rdgsbase, { rm: 0 }), '#6');
});
