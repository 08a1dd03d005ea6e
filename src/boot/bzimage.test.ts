import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BzImageSpec, buildBzImage, dirtyMemory, initrdFile, loadRequest, MIB } from '../../test/boot/images.ts';
import { gpa } from '../memory/guest-memory.ts';
import { loadKernel } from './kernel.ts';
import type { LoadRequest } from './load-request.ts';

const payload = new Uint8Array(0x1230).map((_, index) => (index * 7) & 0xff);

function boot(spec: BzImageSpec = {}, more: Partial<LoadRequest> = {}) {
  const request = loadRequest(buildBzImage({ payload, ...spec }), more);
  return { ...loadKernel(request), memory: request.memory };
}

const refusal = (spec: BzImageSpec, more?: Partial<LoadRequest>) => () => boot(spec, more);

test('a kernel with XLF_KERNEL_64 starts in long mode 0x200 behind its load address, RSI at the zero page', () => {
  const { entry, memory, format } = boot();
  assert.equal(format, 'bzimage');
  assert.equal(entry.mode, 'long');
  assert.equal(entry.rip, 0x20_0200);
  assert.equal(entry.rsi, 0x7000);
  assert.deepEqual(memory.slice(gpa(0x20_0000), payload.length), payload);
});

test('a kernel without XLF_KERNEL_64 starts in 32-bit protected mode at its first byte, with EBX, EBP and EDI zero', () => {
  const { entry } = boot({ xloadflags: 0 });
  assert.equal(entry.mode, 'protected32');
  assert.equal(entry.rip, 0x20_0000);
  assert.equal(entry.rsi, 0x7000);
  assert.deepEqual([entry.rbx, entry.rbp, entry.rdi], [0, 0, 0]);
});

test('a kernel that cannot be relocated goes to code32_start', () => {
  const { entry, memory } = boot({ relocatable: 0, xloadflags: 0 });
  assert.equal(entry.rip, 0x10_0000);
  assert.deepEqual(memory.slice(gpa(0x10_0000), payload.length), payload);
});

test('the setup header lands in the zero page up to where its jump says that it ends', () => {
  const { memory } = boot({ headerLength: 0x62 });
  assert.equal(memory.readU16(gpa(0x71fe)), 0xaa55);
  assert.equal(memory.readU32(gpa(0x7202)), 0x5372_6448);
  assert.equal(memory.readU16(gpa(0x7206)), 0x020f);
  assert.equal(memory.readU32(gpa(0x7260)), 0x40_0000);
  assert.equal(memory.readU32(gpa(0x7264)), 0);
});

test('the zero page names loader, command line, RSDP and RNG seed, and has its sentinel clear', () => {
  const { memory } = boot();
  assert.equal(memory.readU8(gpa(0x71ef)), 0);
  assert.equal(memory.readU8(gpa(0x7210)), 0xff);
  assert.equal(memory.readU32(gpa(0x7228)), 0x20000);
  assert.equal(memory.readU64(gpa(0x7070)), 0xe0000n);
  const text = memory.slice(gpa(0x20000), 14);
  assert.equal(String.fromCharCode(...text), 'console=ttyS0\0');
  assert.equal(memory.readU64(gpa(0x7250)), 0x20800n);
  assert.equal(memory.readU64(gpa(0x20800)), 0n);
  assert.equal(memory.readU32(gpa(0x20808)), 9);
  assert.equal(memory.readU32(gpa(0x2080c)), 256);
  assert.deepEqual(memory.slice(gpa(0x20810), 256), new Uint8Array(256).fill(0x42));
});

test('the zero page carries the memory map', () => {
  const { memory } = boot();
  const entries = Array.from({ length: memory.readU8(gpa(0x71e8)) }, (_, index) => {
    const at = 0x72d0 + index * 20;
    return [memory.readU64(gpa(at)), memory.readU64(gpa(at + 8)), memory.readU32(gpa(at + 16))];
  });
  assert.deepEqual(entries, [
    [0n, 0x9e800n, 1],
    [0x9e800n, 0x61800n, 2],
    [0x100000n, 0x1f00000n, 1],
    [0xf4000000n, 0x4000000n, 2],
    [0xfeffc000n, 0x4000n, 2],
  ]);
});

test('the initrd lies page-aligned at the end of RAM', () => {
  const { memory } = boot({}, { initrd: initrdFile(0x1801) });
  assert.equal(memory.readU32(gpa(0x7218)), 32 * MIB - 0x2000);
  assert.equal(memory.readU32(gpa(0x721c)), 0x1801);
  assert.equal(memory.readU8(gpa(32 * MIB - 0x2000 + 0x1800)), 0x00);
  assert.equal(memory.readU8(gpa(32 * MIB - 0x2000 + 0x17ff)), 0xff);
});

test('the initrd ends at initrd_addr_max when RAM goes beyond it', () => {
  const { memory } = boot({ initrdAddrMax: 0x17f_ffff }, { initrd: initrdFile(0x1000) });
  assert.equal(memory.readU32(gpa(0x7218)), 0x17f_f000);
});

test('an initrd that would lie in the memory where the kernel unpacks itself is refused', () => {
  assert.throws(refusal({ initSize: 0xfff_000 }, { initrd: initrdFile(0x2000) }), {
    name: 'KernelFormatError',
    message: /^initrd: size 0x2000 does not fit into the 0x1000 bytes of RAM that the kernel leaves from 0x1fff000/,
  });
});

test('an empty initrd is refused', () => {
  assert.throws(refusal({}, { initrd: initrdFile(0) }), /^KernelFormatError: initrd: size 0 .*empty/);
});

test('a command line longer than cmdline_size is refused', () => {
  boot({ cmdlineSize: 20 }, { commandLine: 'x'.repeat(20) });
  assert.throws(
    refusal({ cmdlineSize: 20 }, { commandLine: 'x'.repeat(21) }),
    /command line: length 21 exceeds the 20 bytes/,
  );
});

test('a command line of more than 2047 bytes is refused whatever the kernel takes', () => {
  boot({ cmdlineSize: 0xffff_ffff }, { commandLine: 'x'.repeat(2047) });
  assert.throws(
    refusal({ cmdlineSize: 0xffff_ffff }, { commandLine: 'é'.repeat(1024) }),
    /length 2048 exceeds the 2047/,
  );
});

test('a command line with a NUL is refused', () => {
  assert.throws(refusal({}, { commandLine: 'a\0b' }), /command line: byte 1 is a NUL/);
});

test('a kernel that unpacks beyond the end of RAM is refused before anything is loaded', () => {
  const memory = dirtyMemory(32 * MIB);
  assert.throws(
    refusal({ initSize: 0x100_0001 }, { memory }),
    /^KernelFormatError: kernel: init_size 0x1000001 from 0x1000000/,
  );
  assert.equal(memory.readU8(gpa(0x20_0000)), 0xa5);
});

test('a pref_address above 2^53 is refused', () => {
  assert.throws(refusal({ prefAddress: 0xffff_ffff_ffff_ffffn }), /kernel: init_size/);
});

test('a file that is shorter than its syssize says is refused', () => {
  assert.throws(refusal({ syssize: 0x124 }), /kernel: syssize 0x124 .*cut short/);
});

test('a setup part that is as long as the file is refused', () => {
  assert.throws(
    () => loadKernel(loadRequest(buildBzImage().subarray(0, 0x400))),
    /kernel: setup_sects 0x1 leaves no kernel/,
  );
});

test('setup_sects 0 means 4 sectors', () => {
  const { memory } = boot({ setupSects: 0 });
  assert.deepEqual(memory.slice(gpa(0x20_0000), payload.length), payload);
});

test('a zImage, a protocol before 2.02, a bad boot flag and an over-long header are refused by name', () => {
  assert.throws(refusal({ loadflags: 0 }), /kernel: loadflags 0x0 say zImage/);
  assert.throws(refusal({ version: 0x0201 }), /kernel: version 0x201/);
  assert.throws(refusal({ bootFlag: 0 }), /kernel: boot_flag 0x0/);
  assert.throws(refusal({ headerLength: 0x8f }), /kernel: setup header end 0x291/);
});

test('code32_start in the first MiB or beyond RAM is refused', () => {
  assert.throws(
    refusal({ relocatable: 0, xloadflags: 0, code32Start: 0x9_0000 }),
    /code32_start 0x90000 lies in the first MiB/,
  );
  assert.throws(
    refusal({ relocatable: 0, xloadflags: 0, code32Start: 0xffff_ffff }),
    /code32_start 0xffffffff .* beyond the end of RAM/,
  );
});

test('loading reports the bytes of kernel and initrd', () => {
  const seen: string[] = [];
  const progress = (file: string, done: number, total: number): void => void seen.push(`${file} ${done}/${total}`);
  boot({}, { initrd: initrdFile(5 * MIB), progress });
  assert.deepEqual(seen, ['kernel 4656/4656', 'initrd 4194304/5242880', 'initrd 5242880/5242880']);
});
