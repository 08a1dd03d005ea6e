import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildBzImage, dirtyMemory, initrdFile, MIB } from '../../test/boot/images.ts';
import { gpa } from '../memory/guest-memory.ts';
import { type BootOptions, prepareBoot } from './boot.ts';
import { fileFromBytes } from './byte-file.ts';

const options = (more: Partial<BootOptions> = {}): BootOptions => ({
  memory: dirtyMemory(32 * MIB),
  ramBytes: 32 * MIB,
  vcpuCount: 1,
  kernel: fileFromBytes('vmlinuz', buildBzImage()),
  initrd: initrdFile(0x1000),
  commandLine: 'quiet',
  random: (into) => into.fill(7),
  ...more,
});

test('one call leaves kernel, command line, seed and all firmware tables in memory', () => {
  const request = options();
  const { memory } = request;
  const state = prepareBoot(request);
  const text = (address: number, bytes: number): string => String.fromCharCode(...memory.slice(gpa(address), bytes));
  assert.equal(state.mode, 'long');
  assert.equal(state.rip, 0x20_0200);
  assert.equal(text(0x20000, 6), 'quiet\0');
  assert.equal(memory.readU8(gpa(0x20810)), 7);
  assert.equal(text(0xe0000, 8), 'RSD PTR ');
  assert.equal(memory.readU64(gpa(0x7070)), 0xe0000n);
  assert.equal(text(0x9fff0, 4), '_MP_');
  assert.equal(text(0xf0000, 5), '_SM3_');
});

test('the BIOS data area lists the serial ports, 640 KiB of base memory and no EBDA', () => {
  const request = options();
  prepareBoot(request);
  const word = (address: number): number => request.memory.readU16(gpa(address));
  assert.deepEqual([0x400, 0x402, 0x404, 0x406].map(word), [0x3f8, 0x2f8, 0x3e8, 0x2e8]);
  assert.equal(word(0x40e), 0);
  assert.equal(word(0x413), 640);
});

test('a second boot in the same memory gives the same bytes below 1 MiB', () => {
  const request = options();
  prepareBoot(request);
  const first = request.memory.slice(gpa(0), MIB).slice();
  const state = prepareBoot({ ...request, commandLine: 'a longer command line than before' });
  assert.equal(state.rsi, 0x7000);
  prepareBoot(request);
  assert.deepEqual(request.memory.slice(gpa(0), MIB), first);
});

test('a machine that makes no sense is refused before its memory is touched', () => {
  const refuse = (more: Partial<BootOptions>, pattern: RegExp): void => {
    const request = options(more);
    assert.throws(() => prepareBoot(request), pattern);
    assert.equal(request.memory.readU8(gpa(0x400)), 0xa5);
  };
  refuse({ ramBytes: MIB }, /^RangeError: guest RAM of 1048576 bytes is not more than 1 MiB/);
  refuse({ ramBytes: 64 * MIB }, /^RangeError: guest memory of 33554432 bytes is not the low part/);
  refuse({ vcpuCount: 0 }, /^RangeError: 0 processors/);
  refuse({ vcpuCount: 1025 }, /^RangeError: 1025 processors/);
});

test("a file that cannot be read ends with the host's own error", () => {
  const kernel = {
    ...fileFromBytes('vmlinuz', buildBzImage()),
    read: () => {
      throw new Error('EIO: i/o error');
    },
  };
  assert.throws(() => prepareBoot(options({ kernel })), /^Error: EIO/);
});

test('the file name of a refused kernel cannot break the line or the terminal', () => {
  const kernel = fileFromBytes('evil\n\u001b[2Jname', new Uint8Array(4096));
  assert.throws(() => prepareBoot(options({ kernel })), {
    message: 'evil??[2Jname: format unknown has no Multiboot, ELF or bzImage header',
  });
});
