import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildElf, dirtyMemory, initrdFile, loadRequest, MIB, multibootHeader } from '../../test/boot/images.ts';
import { gpa } from '../memory/guest-memory.ts';
import { loadKernel } from './kernel.ts';
import type { LoadRequest } from './load-request.ts';

const text = new Uint8Array(0x1800).map((_, index) => (index * 5) & 0xff);
const INFO = 0x6000;

function boot(file: Uint8Array, more: Partial<LoadRequest> = {}) {
  const request = loadRequest(file, more);
  return { ...loadKernel(request), memory: request.memory };
}

const elf = (bits: 32 | 64 = 32, flags = 3): Uint8Array =>
  buildElf({
    bits,
    entry: 0x10_0010,
    prefix: multibootHeader(flags),
    segments: [{ paddr: 0x10_0000, data: text, memsz: 0x2000 }],
  });

/** A flat image: header at 0x20 of the file, loaded at 1 MiB. Addresses: header, load, load_end, bss_end, entry. */
function flat(addresses: readonly number[] = [0x10_0020, 0x10_0000, 0, 0, 0x10_0040], bytes = 0x1000): Uint8Array {
  const file = new Uint8Array(bytes).map((_, index) => (index * 3) & 0xff);
  file.set(multibootHeader(0x1_0003, ...addresses), 0x20);
  return file;
}

test('an ELF32 kernel starts in flat 32-bit mode with the magic in EAX and EBX at the information', () => {
  const { format, entry, memory } = boot(elf());
  assert.equal(format, 'multiboot');
  assert.equal(entry.mode, 'protected32');
  assert.equal(entry.rip, 0x10_0010);
  assert.equal(entry.rax, 0x2bad_b002);
  assert.equal(entry.rbx, INFO);
  assert.equal(entry.cr0 & 0x8000_0001, 1);
  assert.equal(entry.rflags, 2);
  assert.deepEqual(entry.cs, { selector: 0x10, base: 0, limit: 0xffff_ffff, attributes: 0xc09b });
  assert.deepEqual(entry.ds, { selector: 0x18, base: 0, limit: 0xffff_ffff, attributes: 0xc093 });
  assert.deepEqual(memory.slice(gpa(0x10_0000), text.length), text);
  assert.equal(memory.readU32(gpa(0x10_1ffc)), 0);
});

test('an ELF64 kernel with a Multiboot header starts in 32-bit mode all the same', () => {
  assert.equal(boot(elf(64)).entry.mode, 'protected32');
});

test('the information gives memory sizes, command line, loader name and memory map', () => {
  const { memory } = boot(elf());
  assert.equal(memory.readU32(gpa(INFO)), 0x245);
  assert.equal(memory.readU32(gpa(INFO + 4)), 634);
  assert.equal(memory.readU32(gpa(INFO + 8)), 31 * 1024);
  assert.equal(memory.readU32(gpa(INFO + 16)), 0x20000);
  const name = memory.readU32(gpa(INFO + 64));
  assert.equal(String.fromCharCode(...memory.slice(gpa(name), 11)), 'typervisor\0');
  const map = memory.readU32(gpa(INFO + 48));
  assert.equal(memory.readU32(gpa(INFO + 44)), 5 * 24);
  assert.equal(memory.readU32(gpa(map)), 20);
  assert.equal(memory.readU64(gpa(map + 2 * 24 + 4)), 0x10_0000n);
  assert.equal(memory.readU64(gpa(map + 2 * 24 + 12)), 0x1f0_0000n);
  assert.equal(memory.readU32(gpa(map + 2 * 24 + 20)), 1);
});

test('the initrd is the one module, page-aligned behind the bss of the kernel', () => {
  const { memory } = boot(elf(), { initrd: initrdFile(0x1801) });
  assert.equal(memory.readU32(gpa(INFO)) & 8, 8);
  assert.equal(memory.readU32(gpa(INFO + 20)), 1);
  const modules = memory.readU32(gpa(INFO + 24));
  assert.deepEqual(
    [0, 4, 12].map((at) => memory.readU32(gpa(modules + at))),
    [0x10_2000, 0x10_3801, 0],
  );
  const name = memory.readU32(gpa(modules + 8));
  assert.equal(String.fromCharCode(...memory.slice(gpa(name), 7)), 'initrd\0');
  assert.equal(memory.readU8(gpa(0x10_2005)), 5);
});

test('a module that does not fit into RAM is refused', () => {
  assert.throws(
    () => boot(elf(), { initrd: initrdFile(31 * MIB) }),
    /^KernelFormatError: initrd: size 0x1f00000 does not fit/,
  );
});

test('a flat image is loaded from load_addr on, to the end of the file when load_end_addr is 0', () => {
  const { entry, memory } = boot(flat());
  assert.equal(entry.rip, 0x10_0040);
  assert.deepEqual(memory.slice(gpa(0x10_0000), 0x1000), flat());
  assert.equal(memory.readU8(gpa(0x10_1000)), 0xa5);
});

test('a flat image with load_end_addr and bss_end_addr has its bss cleared', () => {
  const { memory } = boot(flat([0x10_0010, 0x10_0000, 0x10_0800, 0x10_1000, 0x10_0030]));
  assert.deepEqual(
    memory.slice(gpa(0x10_0000), 0x800),
    flat([0x10_0010, 0x10_0000, 0x10_0800, 0x10_1000, 0x10_0030]).subarray(0x10, 0x810),
  );
  assert.ok(memory.slice(gpa(0x10_0800), 0x800).every((byte) => byte === 0));
  assert.equal(memory.readU8(gpa(0x10_1000)), 0xa5);
});

test('the addresses of a flat image are checked by name', () => {
  const refuse = (addresses: number[], pattern: RegExp): void => assert.throws(() => boot(flat(addresses)), pattern);
  refuse([0x0f_ffff, 0x10_0000, 0, 0, 0x10_0040], /Multiboot header_addr 0xfffff lies below load_addr/);
  refuse([0x10_0021, 0x10_0000, 0, 0, 0x10_0040], /Multiboot load_addr 0x100000 lies before the start of the file/);
  refuse([0x10_0020, 0x10_0000, 0x0f_0000, 0, 0x10_0040], /Multiboot load_end_addr 0xf0000 lies below/);
  refuse([0x10_0020, 0x10_0000, 0x10_1001, 0, 0x10_0040], /Multiboot load_end_addr .* beyond the end of the file/);
  refuse([0x10_0020, 0x10_0000, 0, 0x10_0fff, 0x10_0040], /Multiboot bss_end_addr 0x100fff lies in/);
  refuse([0x10_0020, 0x10_0000, 0, 0xffff_ffff, 0x10_0040], /Multiboot load_addr 0x100000 .* beyond the end of RAM/);
  refuse([0x10_0020, 0x10_0000, 0, 0, 0x10_1000], /Multiboot entry_addr 0x101000 lies outside/);
  refuse([0x7020, 0x7000, 0, 0, 0x7040], /Multiboot load_addr 0x7000 lies in the first MiB/);
});

test('a header with a wrong checksum is no header', () => {
  const file = flat();
  file[0x28] = (file[0x28] ?? 0) ^ 1;
  assert.throws(() => boot(file), /kernel: format unknown/);
});

test('a header behind the first 8192 bytes is not looked for', () => {
  const file = new Uint8Array(0x3000);
  file.set(multibootHeader(0x1_0000, 0x10_2000, 0x10_0000, 0, 0, 0x10_0000), 8192);
  assert.throws(() => boot(file), /kernel: format unknown/);
  file.set(multibootHeader(0x1_0000, 0x10_1ff0, 0x10_0000, 0, 0, 0x10_0000), 8176);
  assert.equal(boot(file).format, 'multiboot');
});

test('a header without addresses in a file that is not ELF is refused', () => {
  const file = new Uint8Array(0x1000);
  file.set(multibootHeader(3), 0x20);
  assert.throws(() => boot(file), /kernel: Multiboot flags 0x3 give no addresses/);
});

test('mandatory flags that the specification does not define are refused, optional ones ignored', () => {
  assert.throws(() => boot(elf(32, 0x8)), /kernel: Multiboot flags 0x8 ask for/);
  assert.equal(boot(elf(32, 0x2_0003)).format, 'multiboot');
});

test('a Multiboot header comes before ELF and bzImage', () => {
  const file = elf();
  new DataView(file.buffer).setUint32(0x202, 0x5372_6448, true);
  assert.equal(boot(file).format, 'multiboot');
});

test('a file without any header is refused', () => {
  assert.throws(() => boot(new Uint8Array(0)), /^KernelFormatError: kernel: format unknown/);
  assert.throws(() => boot(new Uint8Array(0x4000), { memory: dirtyMemory(2 * MIB) }), /kernel: format unknown/);
});
