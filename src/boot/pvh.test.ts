import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildElf, type ElfSpec, initrdFile, loadRequest, MIB, pvhNote, words } from '../../test/boot/images.ts';
import { gpa } from '../memory/guest-memory.ts';
import { loadKernel } from './kernel.ts';
import type { LoadRequest } from './load-request.ts';

const text = new Uint8Array(0x300).fill(0xcc);
const both: ElfSpec = {
  entry: 0x100_0000,
  segments: [{ paddr: 0x100_0000, data: text }],
  notes: [{ name: 'Linux', type: 18, desc: words(1) }, pvhNote(0x100_0100)],
};
const INFO = 0x6000;

function boot(spec: ElfSpec, more: Partial<LoadRequest> = {}) {
  const request = loadRequest(buildElf(spec), more);
  return { ...loadKernel(request), memory: request.memory };
}

test('an ELF64 kernel with both entries takes the Linux one', () => {
  assert.equal(boot(both).format, 'elf64');
});

test('an ELF64 kernel takes its PVH entry when asked, in flat 32-bit mode with EBX at the start info', () => {
  const { format, entry } = boot(both, { entry: 'pvh' });
  assert.equal(format, 'pvh');
  assert.equal(entry.mode, 'protected32');
  assert.equal(entry.rip, 0x100_0100);
  assert.equal(entry.rbx, INFO);
  assert.equal(entry.cr0, 0x11);
  assert.equal(entry.cr4, 0);
  assert.deepEqual(entry.tr, { selector: 0x20, base: 0, limit: 0x67, attributes: 0x8b });
});

test('an ELF64 kernel whose e_entry is virtual takes its PVH entry', () => {
  assert.equal(boot({ ...both, entry: 0xffff_ffff_8100_0000n }).format, 'pvh');
});

test('an ELF32 kernel with the note takes its PVH entry, unless Linux is asked for', () => {
  const spec: ElfSpec = { ...both, bits: 32, notes: [{ name: 'Xen', type: 18, desc: words(0x100_0100) }] };
  assert.equal(boot(spec).entry.rip, 0x100_0100);
  assert.equal(boot(spec, { entry: 'linux' }).format, 'elf32');
});

test('the start info holds command line, RSDP, memory map and the initrd as its module', () => {
  const { memory } = boot(both, { entry: 'pvh', initrd: initrdFile(0x1234) });
  assert.equal(memory.readU32(gpa(INFO)), 0x336e_c578);
  assert.equal(memory.readU32(gpa(INFO + 4)), 1);
  assert.equal(memory.readU32(gpa(INFO + 12)), 1);
  const modules = Number(memory.readU64(gpa(INFO + 16)));
  assert.equal(memory.readU64(gpa(modules)), BigInt(32 * MIB - 0x2000));
  assert.equal(memory.readU64(gpa(modules + 8)), 0x1234n);
  assert.equal(memory.readU64(gpa(INFO + 24)), 0x20000n);
  assert.equal(memory.readU64(gpa(INFO + 32)), 0xe0000n);
  const map = Number(memory.readU64(gpa(INFO + 40)));
  assert.equal(memory.readU32(gpa(INFO + 48)), 5);
  assert.equal(memory.readU64(gpa(map + 2 * 24)), 0x10_0000n);
  assert.equal(memory.readU64(gpa(map + 2 * 24 + 8)), 0x1f0_0000n);
  assert.equal(memory.readU32(gpa(map + 2 * 24 + 16)), 1);
});

test('asking for PVH without the note is refused', () => {
  assert.throws(() => boot({ ...both, notes: [] }, { entry: 'pvh' }), /kernel: XEN_ELFNOTE_PHYS32_ENTRY missing/);
});

test('a PVH entry outside the segments or of an odd size is refused', () => {
  const entry = 'pvh';
  assert.throws(
    () => boot({ ...both, notes: [pvhNote(0x100_0300)] }, { entry }),
    /PHYS32_ENTRY 0x1000300 lies in no PT_LOAD/,
  );
  const odd = { name: 'Xen', type: 18, desc: new Uint8Array(3) };
  assert.throws(() => boot({ ...both, notes: [odd] }, { entry }), /PHYS32_ENTRY size 3 is neither/);
  const high = { name: 'Xen', type: 18, desc: words(0x100_0100, 1) };
  assert.throws(() => boot({ ...both, notes: [high] }, { entry }), /PHYS32_ENTRY 0x101000100 lies in no PT_LOAD/);
});

test('a note whose sizes run over its segment ends the search without a match', () => {
  const file = buildElf({ ...both, notes: [pvhNote(0x100_0100)] });
  new DataView(file.buffer).setUint32(file.length - 24, 0xffff_ffff, true);
  assert.throws(() => loadKernel(loadRequest(file, { entry: 'pvh' })), /XEN_ELFNOTE_PHYS32_ENTRY missing/);
});
