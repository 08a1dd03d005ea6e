/** The CPUID leaves of a guest on KVM: the host's, with the machine's topology. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CpuidEntry, physicalAddressBits, readCpuid, vcpuCpuid, writeCpuid } from './cpuid.ts';

const entry = (leaf: number, subleaf = 0, registers: Partial<CpuidEntry> = {}): CpuidEntry => ({
  leaf,
  subleaf,
  flags: 0,
  eax: 0,
  ebx: 0,
  ecx: 0,
  edx: 0,
  ...registers,
});

const of = (supported: readonly CpuidEntry[], index: number, count: number, tscDeadline = false): CpuidEntry[] =>
  vcpuCpuid(supported, { index, count, tscDeadline });

test('entries survive being written for the kernel and read back', () => {
  const entries = [entry(1, 0, { eax: 0x8000_0001, edx: 0xffff_ffff }), entry(0xd, 1, { flags: 1, ecx: 7 })];
  assert.deepEqual(readCpuid(writeCpuid(entries)), entries);
});

test('leaf 1 has the APIC ID, the number of processors, the hypervisor bit, and HTT only when there are several', () => {
  const supported = [entry(1, 0, { ebx: 0xff08_0a55, edx: 1 << 28 })];
  const [alone] = of(supported, 0, 1) as [CpuidEntry];
  assert.deepEqual([alone.ebx, alone.ecx, alone.edx], [0x0001_0a55, 0x8000_0000, 0]);
  const [third] = of(supported, 2, 4) as [CpuidEntry];
  assert.deepEqual([third.ebx, third.ecx, third.edx], [0x0204_0a55, 0x8000_0000, 1 << 28]);
});

test('TSC deadline mode is announced where KVM has it', () => {
  const [leaf] = of([entry(1)], 0, 1, true) as [CpuidEntry];
  assert.equal(leaf.ecx, 0x8100_0000);
});

test('leaf Bh names one thread a core, and as many cores as there are, with the x2APIC ID', () => {
  const levels = of([entry(0xb), entry(0xb, 1)], 2, 3).filter(({ leaf }) => leaf === 0xb);
  assert.deepEqual(
    levels.map(({ subleaf, eax, ebx, ecx, edx }) => [subleaf, eax, ebx, ecx, edx]),
    [
      [0, 0, 1, 0x100, 2],
      [1, 2, 3, 0x201, 2],
      [2, 0, 0, 0x002, 2],
    ],
  );
});

test('a host without leaf Bh gives a guest without', () => {
  assert.deepEqual(of([entry(0)], 0, 2), [entry(0)]);
});

test('caches of the first two levels are a core’s own, the third is shared by all', () => {
  const cache = (level: number): CpuidEntry => entry(4, level, { eax: 0xfc00_c001 | (level << 5) });
  const leaves = of([cache(1), cache(2), cache(3)], 0, 4);
  assert.deepEqual(
    leaves.map(({ eax }) => [(eax >>> 14) & 0xfff, eax >>> 26]),
    [
      [0, 3],
      [0, 3],
      [3, 3],
    ],
  );
});

test('AMD’s leaves count cores and give the APIC ID', () => {
  const leaves = of(
    [entry(0x8000_0001), entry(0x8000_0008, 0, { eax: 0x3030, ecx: 0x7fff }), entry(0x8000_001e)],
    3,
    4,
  );
  assert.equal(leaves[0]?.ecx, 2);
  assert.equal(leaves[1]?.ecx, 0x2f03);
  assert.deepEqual([leaves[2]?.eax, leaves[2]?.ebx], [3, 3]);
});

test('the width of physical addresses is that of leaf 80000008h, or 36', () => {
  assert.equal(physicalAddressBits([entry(0x8000_0008, 0, { eax: 0x3028 })]), 40);
  assert.equal(physicalAddressBits([]), 36);
});
