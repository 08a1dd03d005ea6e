import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CS, TR } from '../state.ts';
import {
  clts,
  invlpg,
  invpcid,
  lmsw,
  movFromControl,
  movToControl,
  smsw,
  writeBackInvalidate,
  xgetbv,
  xsetbv,
} from './control-registers.ts';
import { writeMsr } from './msr.ts';
import { KERNEL_CODE32, TestMachine } from './test-machine.ts';

const write = (m: TestMachine, register: number, value: bigint | number): string => {
  m.state.setGpr(0, BigInt(value));
  return m.run(movToControl, { reg: register, rm: 0, length: 3 });
};
const read = (m: TestMachine, register: number): bigint => {
  assert.equal(m.run(movFromControl, { reg: register, rm: 3 }), 'ok');
  return m.state.gpr(3);
};

test('CR0 keeps its defined bits and ET', () => {
  const m = new TestMachine().protectedMode();
  assert.equal(write(m, 0, 0x5ff1_ffef), 'ok');
  assert.equal(read(m, 0), 0x4001_003fn);
});
test('CR0 with bits above 31 is #GP(0)', () =>
  assert.equal(write(new TestMachine().longMode(), 0, 0x1_8000_0011n), '#13(0x0)'));
test('PG without PE is #GP(0)', () =>
  assert.equal(write(new TestMachine().protectedMode(), 0, 0x8000_0010), '#13(0x0)'));
test('NW without CD is #GP(0)', () =>
  assert.equal(write(new TestMachine().protectedMode(), 0, 0x2000_0011), '#13(0x0)'));
test('clearing PG in 64-bit code is #GP(0)', () =>
  assert.equal(write(new TestMachine().longMode(), 0, 0x11), '#13(0x0)'));
test('clearing PG in compatibility mode leaves IA-32e mode', () => {
  const m = new TestMachine().longMode();
  m.state.setSegment(CS, KERNEL_CODE32, 0, 0, 0xffff_ffff, 0xc09b);
  m.state.codeSize = 32;
  assert.equal(write(m, 0, 0x11), 'ok');
  assert.equal(m.state.efer, 0x901);
  assert.equal(m.state.codeSize, 32);
});
test('clearing PG with PCIDs on is #GP(0)', () => {
  const m = new TestMachine().longMode();
  m.state.codeSize = 32;
  m.state.cr4 |= 0x2_0000;
  assert.equal(write(m, 0, 0x11), '#13(0x0)');
});
test('setting PG with LME and PAE enters IA-32e mode in compatibility code', () => {
  const m = new TestMachine().protectedMode();
  m.state.efer = 0x100;
  m.state.cr4 = 0x20;
  assert.equal(write(m, 0, 0x8000_0011), 'ok');
  assert.equal(m.state.efer, 0x500);
  assert.equal(m.state.codeSize, 32);
  assert.deepEqual(m.mmu.log, ['all']);
});
test('setting PG with LME but without PAE is #GP(0)', () => {
  const m = new TestMachine().protectedMode();
  m.state.efer = 0x100;
  assert.equal(write(m, 0, 0x8000_0011), '#13(0x0)');
  assert.equal(m.state.efer, 0x100);
});
test('setting PG with LME from a code segment with L is #GP(0)', () => {
  const m = new TestMachine().protectedMode();
  m.state.efer = 0x100;
  m.state.cr4 = 0x20;
  m.state.setAttributes(CS, 0xa09b);
  assert.equal(write(m, 0, 0x8000_0011), '#13(0x0)');
});
test('setting PG with LME under a 16-bit TSS is #GP(0)', () => {
  const m = new TestMachine().protectedMode();
  m.state.efer = 0x100;
  m.state.cr4 = 0x20;
  m.state.setAttributes(TR, 0x83);
  assert.equal(write(m, 0, 0x8000_0011), '#13(0x0)');
});
test('setting PE from real mode keeps the 16-bit code size', () => {
  const m = new TestMachine().realMode();
  assert.equal(write(m, 0, 0x11), 'ok');
  assert.equal(m.state.codeSize, 16);
  assert.equal(m.state.cpl, 0);
});
test('PAE paging loads the PDPTEs', () => {
  const m = new TestMachine().protectedMode();
  m.state.cr4 = 0x20;
  m.state.cr3 = 0x8_0020n;
  m.put64(0x8_0020, 0x1001n, 0x2001n, 0n, 0xf000_0000_0000_0000n);
  assert.equal(write(m, 0, 0x8000_0011), 'ok');
  assert.deepEqual(
    [0, 1, 2, 3].map((i) => m.state.pdpte(i)),
    [0x1001n, 0x2001n, 0n, 0xf000_0000_0000_0000n],
  );
});
test('a present PDPTE with a reserved bit is #GP(0) and none is loaded', () => {
  const m = new TestMachine().protectedMode();
  m.state.cr4 = 0x20;
  m.state.cr3 = 0x8_0000n;
  m.put64(0x8_0000, 0x1001n, 0x2003n, 0n, 0n);
  assert.equal(write(m, 0, 0x8000_0011), '#13(0x0)');
  assert.equal(m.state.pdpte(0), 0n);
  assert.equal(m.state.cr0, 0x31);
});
test('MOV CR3 under PAE paging reloads the PDPTEs', () => {
  const m = new TestMachine().protectedMode();
  m.state.cr4 = 0x20;
  m.state.cr0 = 0x8000_0011;
  m.put64(0x8_0000, 0x1001n, 0n, 0n, 1n << 40n);
  assert.equal(write(m, 3, 0x8_0000), 'ok');
  assert.equal(m.state.pdpte(0), 0x1001n);
  m.put64(0x8_0000, (1n << 40n) | 1n);
  assert.equal(write(m, 3, 0x8_0000), '#13(0x0)');
});

test('MOV CR3 flushes address space 0 without PCIDs', () => {
  const m = new TestMachine().longMode();
  assert.equal(write(m, 3, 0x1234_5018), 'ok');
  assert.deepEqual(m.mmu.log, ['pcid 0']);
  assert.equal(m.state.cr3, 0x1234_5018n);
});
test('MOV CR3 with PCIDs flushes the new address space, or with bit 63 nothing', () => {
  const m = new TestMachine().longMode();
  m.state.cr4 |= 0x2_0000;
  write(m, 3, 0x5007);
  write(m, 3, 0x8000_0000_0000_6008n);
  assert.deepEqual(m.mmu.log, ['pcid 7']);
  assert.equal(m.state.cr3, 0x6008n);
});
test('CR3 bit 63 without PCIDs and address bits above the physical width are #GP(0)', () => {
  const m = new TestMachine().longMode();
  assert.equal(write(m, 3, 0x8000_0000_0000_0000n), '#13(0x0)');
  assert.equal(write(m, 3, 1n << 40n), '#13(0x0)');
  assert.equal(write(m, 3, 1n << 39n), 'ok');
});
test('outside 64-bit mode only 32 bits are moved', () => {
  const m = new TestMachine().protectedMode();
  m.state.setGpr(0, 0xffff_ffff_0000_1000n);
  assert.equal(m.run(movToControl, { reg: 3, rm: 0 }), 'ok');
  assert.equal(m.state.cr3, 0x1000n);
});

test('CR4 with an unannounced bit is #GP(0)', () => {
  for (const bit of [0, 1, 12, 13, 14, 15, 19, 22, 23, 24, 31]) {
    assert.equal(write(new TestMachine().longMode(), 4, (1n << BigInt(bit)) | 0x20n), '#13(0x0)', `bit ${bit}`);
  }
});
test('CR4 takes every announced bit', () => {
  const m = new TestMachine().longMode();
  assert.equal(write(m, 4, 0x37_0ffc), 'ok');
  assert.equal(read(m, 4), 0x37_0ffcn);
});
test('clearing PAE in IA-32e mode is #GP(0)', () =>
  assert.equal(write(new TestMachine().longMode(), 4, 0), '#13(0x0)'));
test('setting PCIDE outside IA-32e mode or with a PCID in CR3 is #GP(0)', () => {
  assert.equal(write(new TestMachine().protectedMode(), 4, 0x2_0020), '#13(0x0)');
  const m = new TestMachine().longMode();
  m.state.cr3 = 0x1001n;
  assert.equal(write(m, 4, 0x2_0020), '#13(0x0)');
  m.state.cr3 = 0x1000n;
  assert.equal(write(m, 4, 0x2_0020), 'ok');
});
test('a change of PGE flushes everything, a change of OSFXSR nothing', () => {
  const m = new TestMachine().longMode();
  write(m, 4, 0x220);
  assert.deepEqual(m.mmu.log, []);
  write(m, 4, 0x2a0);
  assert.deepEqual(m.mmu.log, ['all']);
});

test('CR2 and CR8 read back', () => {
  const m = new TestMachine().longMode();
  write(m, 2, 0xffff_8000_1234_5678n);
  assert.equal(read(m, 2), 0xffff_8000_1234_5678n);
  write(m, 8, 15);
  assert.equal(m.interrupts.cr8, 15);
  assert.equal(read(m, 8), 15n);
});
test('CR8 above 15 is #GP(0)', () => assert.equal(write(new TestMachine().longMode(), 8, 16), '#13(0x0)'));
test('control registers that do not exist are #UD', () => {
  for (const register of [1, 5, 6, 7, 9, 15]) assert.equal(write(new TestMachine().longMode(), register, 0), '#6');
});
test('control registers are for CPL 0', () => {
  const m = new TestMachine().longMode().user64();
  assert.equal(write(m, 0, 0), '#13(0x0)');
  assert.equal(m.run(movFromControl, { reg: 3, rm: 0 }), '#13(0x0)');
  assert.equal(m.run(clts), '#13(0x0)');
  assert.equal(m.run(lmsw, { rm: 0 }), '#13(0x0)');
  assert.equal(m.run(invlpg, { addrsize: 8 }), '#13(0x0)');
  assert.equal(m.run(invpcid, { addrsize: 8 }), '#13(0x0)');
  assert.equal(m.run(writeBackInvalidate), '#13(0x0)');
});

test('LMSW sets PE but cannot clear it', () => {
  const m = new TestMachine().realMode();
  m.state.setGpr(0, 0xfff1n);
  assert.equal(m.run(lmsw, { rm: 0, opsize: 2 }), 'ok');
  assert.equal(m.state.cr0 & 15, 1);
  m.state.setGpr(0, 0x000en);
  m.run(lmsw, { rm: 0, opsize: 2 });
  assert.equal(m.state.cr0 & 15, 15);
});
test('SMSW writes 16 bits to memory and the operand size to a register', () => {
  const m = new TestMachine().longMode();
  m.put32(0x5000, 0xffff_ffff);
  m.run(smsw, { offsetLo: 0x5000, opsize: 8, addrsize: 8 });
  assert.equal(m.u32(0x5000), 0xffff_0033);
  m.run(smsw, { rm: 2, opsize: 4 });
  assert.equal(m.state.gpr(2), 0x8005_0033n);
});
test('SMSW in user mode is #GP(0) under UMIP and fine without', () => {
  const m = new TestMachine().longMode().user64();
  assert.equal(m.run(smsw, { rm: 2 }), 'ok');
  m.state.cr4 |= 0x800;
  assert.equal(m.run(smsw, { rm: 2 }), '#13(0x0)');
});
test('CLTS clears TS alone', () => {
  const m = new TestMachine().longMode();
  m.state.cr0 |= 8;
  m.run(clts);
  assert.equal(m.state.cr0, 0x8005_0033);
});

test('INVLPG names the linear address with its segment base', () => {
  const m = new TestMachine().longMode();
  m.state.setBig(0x100 + 5 * 32, 0xffff_8000_0000_0000n);
  m.run(invlpg, { offsetLo: 0x1234, addrsize: 8, segment: 5 });
  assert.deepEqual(m.mmu.log, ['page ffff8000:1234']);
});
test('INVLPG of a non-canonical address does nothing', () => {
  const m = new TestMachine().longMode();
  assert.equal(m.run(invlpg, { offsetHi: 0x8000, addrsize: 8 }), 'ok');
  assert.deepEqual(m.mmu.log, []);
});

const invalidate = (type: number, pcid: bigint, address: bigint, pcide = true): string => {
  const m = new TestMachine().longMode();
  if (pcide) m.state.cr4 |= 0x2_0000;
  m.put64(0x5000, pcid, address);
  m.state.setGpr(1, BigInt(type));
  const outcome = m.run(invpcid, { reg: 1, offsetLo: 0x5000, addrsize: 8 });
  return outcome === 'ok' ? m.mmu.log.join() : outcome;
};
test('INVPCID has four types', () => {
  assert.equal(invalidate(0, 5n, 0x7000n), 'page 5 0:7000');
  assert.equal(invalidate(1, 5n, 0n), 'pcid 5');
  assert.equal(invalidate(2, 5n, 0n), 'all');
  assert.equal(invalidate(3, 5n, 0n), 'non-global');
  assert.equal(invalidate(4, 5n, 0n), '#13(0x0)');
});
test('INVPCID refuses reserved bits, non-canonical addresses and PCIDs while they are off', () => {
  assert.equal(invalidate(1, 0x1000n, 0n), '#13(0x0)');
  assert.equal(invalidate(0, 0n, 0x8000_0000_0000n), '#13(0x0)');
  assert.equal(invalidate(0, 1n, 0n, false), '#13(0x0)');
  assert.equal(invalidate(1, 1n, 0n, false), '#13(0x0)');
  assert.equal(invalidate(1, 0n, 0n, false), 'pcid 0');
});

const setXcr0 = (value: number, index = 0, high = 0, osxsave = true): string => {
  const m = new TestMachine().longMode();
  if (osxsave) m.state.cr4 |= 0x4_0000;
  m.state.setGpr(0, BigInt(value));
  m.state.setGpr(1, BigInt(index));
  m.state.setGpr(2, BigInt(high));
  return m.run(xsetbv);
};
test('XSETBV takes x87 with or without SSE and nothing else', () => {
  assert.equal(setXcr0(1), 'ok');
  assert.equal(setXcr0(3), 'ok');
  for (const value of [0, 2, 7, 0x200]) assert.equal(setXcr0(value), '#13(0x0)');
  assert.equal(setXcr0(3, 1), '#13(0x0)');
  assert.equal(setXcr0(3, 0, 1), '#13(0x0)');
});
test('XSETBV of x86-64-v3 takes AVX with SSE only, and the mode follows', () => {
  const set = (value: number): string => {
    const m = new TestMachine(1, 'v3').longMode();
    m.state.cr4 |= 0x4_0000;
    m.state.setGpr(0, BigInt(value));
    m.state.setGpr(1, 0n);
    m.state.setGpr(2, 0n);
    const before = m.mmu.modeChanges;
    return `${m.run(xsetbv)} ${m.mmu.modeChanges - before}`;
  };
  assert.equal(set(7), 'ok 1');
  for (const value of [4, 5, 6, 0xf]) assert.equal(set(value), '#13(0x0) 0');
});
test('XSETBV and XGETBV without OSXSAVE are #UD', () => {
  assert.equal(setXcr0(3, 0, 0, false), '#6');
  assert.equal(new TestMachine().longMode().run(xgetbv), '#6');
});
test('XGETBV 0 reads XCR0 and 1 what of it is in use', () => {
  const m = new TestMachine().longMode();
  m.state.cr4 |= 0x4_0000;
  m.state.xcr0 = 3;
  assert.equal(m.run(xgetbv), 'ok');
  assert.equal(m.state.gpr(0), 3n);
  m.state.setGpr(1, 1n);
  m.run(xgetbv);
  assert.equal(m.state.gpr(0), 0n);
  m.state.setBig(0x400 + 5 * 32 + 8, 1n);
  m.run(xgetbv);
  assert.equal(m.state.gpr(0), 2n);
  m.state.setGpr(1, 2n);
  assert.equal(m.run(xgetbv), '#13(0x0)');
});
test('LME cannot change while paging is on', () => {
  const m = new TestMachine().longMode();
  assert.equal(writeMsr(m.cpu, 0xc000_0080, 0xc01n), false);
  assert.equal(writeMsr(m.cpu, 0xc000_0080, 0x901n), true);
  assert.equal(m.state.efer, 0xd01);
});
