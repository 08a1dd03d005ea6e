import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuid, cpuidLeaf } from './cpuid.ts';
import type { CpuidResult } from './cpuid.ts';
import { TestMachine } from './test-machine.ts';

const text = (...words: number[]): string =>
  words.map((w) => String.fromCharCode(w & 255, (w >>> 8) & 255, (w >>> 16) & 255, w >>> 24)).join('');
const leaf = (index: number, subleaf = 0, m = new TestMachine().longMode()): CpuidResult =>
  cpuidLeaf(m.cpu, index, subleaf);
const has = (value: number, bit: number): boolean => ((value >>> bit) & 1) === 1;

test('the vendor is Intel and the highest leaf 16h', () => {
  const { eax, ebx, ecx, edx } = leaf(0);
  assert.equal(eax, 0x16);
  assert.equal(text(ebx, edx, ecx), 'GenuineIntel');
});
test('the signature is family 6 model 36h', () => {
  const { eax } = leaf(1);
  assert.equal((eax >> 8) & 15, 6);
  assert.equal(((eax >> 12) & 0xf0) | ((eax >> 4) & 15), 0x36);
});
test('x86-64-v2 is complete and v3 is not announced', () => {
  const one = leaf(1);
  for (const bit of [0, 9, 13, 19, 20, 23]) assert.ok(has(one.ecx, bit), `leaf 1 ecx ${bit}`);
  for (const bit of [0, 8, 15, 23, 24, 25, 26]) assert.ok(has(one.edx, bit), `leaf 1 edx ${bit}`);
  assert.ok(has(leaf(0x8000_0001).ecx, 0));
  for (const bit of [1, 3, 5, 12, 25, 28, 29]) assert.ok(!has(one.ecx, bit), `leaf 1 ecx ${bit}`);
  for (const bit of [3, 5, 8, 16, 19, 24]) assert.ok(!has(leaf(7).ebx, bit), `leaf 7 ebx ${bit}`);
});
test('x86-64-v3 is complete where the model has it', () => {
  const v3 = (index: number, subleaf = 0): CpuidResult => leaf(index, subleaf, new TestMachine(1, 'v3').longMode());
  for (const bit of [1, 12, 22, 25, 28, 29]) assert.ok(has(v3(1).ecx, bit), `leaf 1 ecx ${bit}`);
  for (const bit of [3, 5, 8, 19]) assert.ok(has(v3(7).ebx, bit), `leaf 7 ebx ${bit}`);
  assert.ok(!has(v3(7).ebx, 16));
  assert.ok(has(v3(0x8000_0001).ecx, 5));
});
test('PSE-36 is announced, for the page walk takes bits 39:32 of a 4 MiB page from its entry', () => {
  assert.ok(has(leaf(1).edx, 17));
});
test('no mitigation interface is announced but ARCH_CAPABILITIES', () => {
  const { edx } = leaf(7);
  assert.ok(has(edx, 29));
  for (const bit of [10, 26, 27, 28, 31]) assert.ok(!has(edx, bit), `leaf 7 edx ${bit}`);
});
test('OSXSAVE follows CR4, the APIC bit its MSR, SYSCALL the code size', () => {
  const m = new TestMachine().longMode();
  assert.ok(!has(leaf(1, 0, m).ecx, 27));
  m.state.cr4 |= 0x4_0000;
  assert.ok(has(leaf(1, 0, m).ecx, 27));
  assert.ok(has(leaf(1, 0, m).edx, 9));
  m.interrupts.msrs.set(0x1b, 0xfee0_0100n);
  assert.ok(!has(leaf(1, 0, m).edx, 9));
  assert.ok(has(leaf(0x8000_0001, 0, m).edx, 11));
  m.user32();
  assert.ok(!has(leaf(0x8000_0001, 0, m).edx, 11));
});
test('one processor has no hyper-threading bit; four have, and their topology', () => {
  assert.ok(!has(leaf(1).edx, 28));
  const m = new TestMachine(4).longMode();
  assert.ok(has(leaf(1, 0, m).edx, 28));
  assert.equal((leaf(1, 0, m).ebx >>> 16) & 0xff, 4);
  assert.deepEqual(leaf(0xb, 0, m), { eax: 0, ebx: 1, ecx: 0x100, edx: 0 });
  assert.deepEqual(leaf(0xb, 1, m), { eax: 2, ebx: 4, ecx: 0x201, edx: 0 });
  assert.deepEqual(leaf(0xb, 2, m), { eax: 0, ebx: 0, ecx: 2, edx: 0 });
});
test('leaf 4 lists four caches', () => {
  const bytes = [0, 1, 2, 3].map((i) => {
    const { ebx, ecx } = leaf(4, i);
    return ((ebx >>> 22) + 1) * ((ebx & 0xfff) + 1) * (ecx + 1);
  });
  assert.deepEqual(bytes, [32 << 10, 32 << 10, 1 << 20, 32 << 20]);
  assert.equal(leaf(4, 4).eax, 0);
});
test('leaf 15h announces a TSC of 1 GHz from a crystal of 1 GHz', () => {
  assert.deepEqual(leaf(0x15), { eax: 1, ebx: 1, ecx: 1_000_000_000, edx: 0 });
  assert.equal(leaf(0x16).eax, 1000);
  assert.ok(has(leaf(0x8000_0007).edx, 8));
});
test('leaf Dh describes x87 and SSE alone', () => {
  assert.deepEqual(leaf(0xd, 0), { eax: 3, ebx: 576, ecx: 576, edx: 0 });
  assert.deepEqual(leaf(0xd, 1), { eax: 15, ebx: 576, ecx: 0, edx: 0 });
  assert.deepEqual(leaf(0xd, 2), { eax: 0, ebx: 0, ecx: 0, edx: 0 });
});
test('leaf Dh of x86-64-v3 has room for the upper halves of YMM registers, once XCR0 enables them', () => {
  const m = new TestMachine(1, 'v3').longMode();
  m.state.xcr0 = 3;
  assert.deepEqual(leaf(0xd, 0, m), { eax: 7, ebx: 576, ecx: 832, edx: 0 });
  m.state.xcr0 = 7;
  assert.deepEqual(leaf(0xd, 0, m), { eax: 7, ebx: 832, ecx: 832, edx: 0 });
  assert.equal(leaf(0xd, 1, m).ebx, 832);
  assert.deepEqual(leaf(0xd, 2, m), { eax: 256, ebx: 576, ecx: 0, edx: 0 });
});
test('the hypervisor leaves carry our signature and the frequencies', () => {
  const { eax, ebx, ecx, edx } = leaf(0x4000_0000);
  assert.equal(eax, 0x4000_0010);
  assert.equal(text(ebx, ecx, edx), 'typervisor\0\0');
  assert.deepEqual(leaf(0x4000_0001), { eax: 0, ebx: 0, ecx: 0, edx: 0 });
  assert.equal(leaf(0x4000_0010).eax, 1_000_000);
});
test('the brand string is ours', () => {
  const words = [0x8000_0002, 0x8000_0003, 0x8000_0004].flatMap((index) => {
    const { eax, ebx, ecx, edx } = leaf(index);
    return [eax, ebx, ecx, edx];
  });
  assert.match(text(...words), /^typervisor .*1\.00GHz\0*$/);
  assert.equal(text(...words).length, 48);
});
test('addresses are 40 bits physical and 48 linear', () => assert.equal(leaf(0x8000_0008).eax, 0x3028));
test('leaves out of range answer as the highest basic one', () => {
  for (const index of [0x17, 0x1f, 0x4000_0011, 0x8000_0009, 0xffff_ffff]) assert.deepEqual(leaf(index), leaf(0x16));
});
test('CPUID writes four registers and clears their upper halves', () => {
  const m = new TestMachine().longMode();
  m.state.setGpr(0, 0xdead_0000_0000n);
  m.state.setGpr(3, 0xffff_ffff_ffff_ffffn);
  assert.equal(m.run(cpuid), 'ok');
  assert.equal(m.state.gpr(0), 0x16n);
  assert.equal(m.state.gpr(3), 0x756e_6547n);
});
