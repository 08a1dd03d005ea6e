import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildElf, dirtyMemory, type ElfSpec, initrdFile, loadRequest, MIB, pvhNote } from '../../test/boot/images.ts';
import { gpa } from '../memory/guest-memory.ts';
import { loadKernel } from './kernel.ts';
import type { LoadRequest } from './load-request.ts';

const text = new Uint8Array(0x300).fill(0xcc);
const linux: ElfSpec = { entry: 0x100_0000, segments: [{ paddr: 0x100_0000, data: text, memsz: 0x1000 }] };

function boot(spec: ElfSpec, more: Partial<LoadRequest> = {}) {
  const request = loadRequest(buildElf(spec), more);
  return { ...loadKernel(request), memory: request.memory };
}
const refusal = (spec: ElfSpec, more?: Partial<LoadRequest>) => () => boot(spec, more);
const withSegment = (segment: Partial<ElfSpec['segments'][number]>): ElfSpec => ({
  ...linux,
  segments: [{ paddr: 0x100_0000, data: text, ...segment }],
});

test('an ELF64 kernel is loaded at p_paddr, its bss cleared, and starts in long mode at e_entry', () => {
  const { format, entry, memory } = boot(linux);
  assert.equal(format, 'elf64');
  assert.equal(entry.mode, 'long');
  assert.equal(entry.rip, 0x100_0000);
  assert.equal(entry.rsi, 0x7000);
  assert.deepEqual(memory.slice(gpa(0x100_0000), 0x300), text);
  assert.ok(memory.slice(gpa(0x100_0300), 0xd00).every((byte) => byte === 0));
  assert.equal(memory.readU8(gpa(0x100_1000)), 0xa5);
});

test('the zero page of an ELF kernel is a valid boot_params with the initrd', () => {
  const { memory } = boot(linux, { initrd: initrdFile(0x1000) });
  assert.equal(memory.readU16(gpa(0x71fe)), 0xaa55);
  assert.equal(memory.readU32(gpa(0x7202)), 0x5372_6448);
  assert.equal(memory.readU32(gpa(0x7218)), 32 * MIB - 0x1000);
  assert.equal(memory.readU32(gpa(0x7228)), 0x20000);
  assert.equal(memory.readU8(gpa(0x71e8)), 5);
});

test('the first 4 GiB are identity-mapped with 2 MiB pages', () => {
  const { entry, memory } = boot(linux);
  assert.equal(entry.cr3, 0x9000);
  assert.equal(memory.readU64(gpa(0x9000)), 0xa003n);
  assert.equal(memory.readU64(gpa(0x9008)), 0n);
  assert.deepEqual(
    [0, 8, 16, 24, 32].map((at) => memory.readU64(gpa(0xa000 + at))),
    [0xb003n, 0xc003n, 0xd003n, 0xe003n, 0n],
  );
  assert.equal(memory.readU64(gpa(0xb000)), 0x83n);
  assert.equal(memory.readU64(gpa(0xeff8)), 0xffe0_0083n);
});

test('long mode is on, with the segments of the 64-bit boot protocol in the GDT', () => {
  const { entry, memory } = boot(linux);
  assert.equal(entry.cr0, 0x8000_0011);
  assert.equal(entry.cr4, 0x20);
  assert.equal(entry.efer, 0x500);
  assert.deepEqual(entry.gdtr, { base: 0x1500, limit: 0x27 });
  assert.deepEqual(entry.cs, { selector: 0x10, base: 0, limit: 0xffff_ffff, attributes: 0xa09b });
  assert.deepEqual(entry.ss, { selector: 0x18, base: 0, limit: 0xffff_ffff, attributes: 0xc093 });
  assert.equal(memory.readU64(gpa(0x1510)), 0x00af_9b00_0000_ffffn);
  assert.equal(memory.readU64(gpa(0x1518)), 0x00cf_9300_0000_ffffn);
  assert.equal(memory.readU64(gpa(0x1520)), 0x0000_8b00_0000_0067n);
});

test('an ELF32 kernel without a note starts in 32-bit protected mode with ESI at the zero page', () => {
  const { format, entry, memory } = boot({ ...linux, bits: 32 });
  assert.equal(format, 'elf32');
  assert.equal(entry.mode, 'protected32');
  assert.equal(entry.rip, 0x100_0000);
  assert.equal(entry.rsi, 0x7000);
  assert.equal(entry.cr0, 0x11);
  assert.equal(memory.readU64(gpa(0x1510)), 0x00cf_9b00_0000_ffffn);
});

test('the virtual entry point of an ELF32 kernel is translated through its segment', () => {
  const spec: ElfSpec = {
    bits: 32,
    entry: 0xc100_0010,
    segments: [{ paddr: 0x100_0000, vaddr: 0xc100_0000, data: text }],
  };
  assert.equal(boot(spec).entry.rip, 0x100_0010);
});

test('an e_entry outside the segments is refused in ELF64, where it must be physical', () => {
  assert.throws(refusal({ ...linux, entry: 0xffff_ffff_8100_0000n }), /kernel: e_entry above 2\^53 lies in no PT_LOAD/);
  assert.throws(refusal({ ...linux, entry: 0x100_1000 }), /kernel: e_entry 0x1001000 lies in no PT_LOAD/);
});

test('a segment in the first MiB is refused', () => {
  const segments = [...linux.segments, { paddr: 0xf_ffff, data: text }];
  assert.throws(refusal({ ...linux, segments }), /kernel: p_paddr 0xfffff lies in the first MiB/);
});

test('a segment that ends beyond RAM is refused before anything is loaded', () => {
  const memory = dirtyMemory(32 * MIB);
  const segments = [...linux.segments, { paddr: 0x200_0000 - 0x200, data: text }];
  assert.throws(
    refusal({ ...linux, segments }, { memory }),
    /kernel: p_paddr 0x1fffe00 \+ 0x300 lies beyond the end of RAM/,
  );
  assert.equal(memory.readU8(gpa(0x100_0000)), 0xa5);
});

test('addresses and sizes that wrap at 2^64 are refused', () => {
  assert.throws(refusal(withSegment({ paddr: 0xffff_ffff_ffff_f000n })), /program header 0 p_paddr above 2\^53/);
  assert.throws(refusal(withSegment({ memsz: 0xffff_ffff_ffff_ffffn })), /program header 0 p_memsz above 2\^53/);
  assert.throws(refusal(withSegment({ memsz: 0x1f_ffff_ffff_ffffn })), /p_paddr 0x1000000 .* beyond the end of RAM/);
  assert.throws(refusal(withSegment({ offset: 0xffff_ffff_ffff_ffffn })), /program header 0 p_offset above 2\^53/);
  assert.throws(refusal({ ...linux, phoff: 0xffff_ffff_ffff_ffffn }), /e_phoff above 2\^53/);
});

test('segment bytes beyond the end of the file are refused', () => {
  assert.throws(
    refusal(withSegment({ filesz: 0x301 })),
    /kernel: program header 0 p_offset .* beyond the end of the file/,
  );
  assert.throws(
    refusal(withSegment({ offset: 0x1000 })),
    /kernel: program header 0 p_offset 0x1000 .* beyond the end of the file/,
  );
});

test('a segment with more bytes in the file than in memory is refused', () => {
  assert.throws(
    refusal(withSegment({ memsz: 0x2ff })),
    /kernel: program header 0 p_filesz 0x300 exceeds p_memsz 0x2ff/,
  );
});

test('segments that overlap are refused, so that loading costs at most one pass over RAM', () => {
  const segments = [
    { paddr: 0x100_0000, data: text },
    { paddr: 0x100_02ff, data: text },
  ];
  assert.throws(
    refusal({ ...linux, segments }),
    /kernel: p_paddr 0x10002ff overlaps the segment that ends at 0x1000300/,
  );
});

test('the fields of the ELF header are checked by name', () => {
  assert.throws(refusal({ ...linux, type: 3 }), /kernel: e_type 0x3 is not an executable/);
  assert.throws(refusal({ ...linux, machine: 183 }), /kernel: e_machine 0xb7 is not 64-bit x86/);
  assert.throws(refusal({ ...linux, phnum: 0xffff }), /kernel: e_phnum 65535 is not 1 to 256/);
  assert.throws(refusal({ ...linux, phnum: 200 }), /kernel: e_phoff 0x40 .* beyond the end of the file/);
  assert.throws(refusal({ ...linux, segments: [] }), /kernel: e_phnum 0 is not/);
  assert.throws(refusal({ ...linux, segments: [], notes: [pvhNote(0)] }), /no PT_LOAD segment/);
  const bigEndian = buildElf(linux);
  bigEndian[5] = 2;
  assert.throws(() => loadKernel(loadRequest(bigEndian)), /kernel: EI_DATA 0x2 is not little-endian/);
  assert.throws(() => loadKernel(loadRequest(buildElf(linux).subarray(0, 40))), /kernel: ELF header at 0x0/);
});
