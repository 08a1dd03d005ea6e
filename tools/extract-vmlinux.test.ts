import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { debianKernel, need, skipReason } from '../test/guest/debian.ts';
import { extractVmlinux, VmlinuxError } from './extract-vmlinux.ts';

const ELF = new Uint8Array(5000);
ELF.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
ELF.fill(0xa5, 64);

/** A bzImage with a setup part of two sectors and a payload 256 bytes into the rest. */
function bzImage(payload: Uint8Array): Uint8Array {
  const image = new Uint8Array(1024 + 256 + payload.length);
  const view = new DataView(image.buffer);
  image[0x1f1] = 1;
  view.setUint32(0x202, 0x53726448, true);
  view.setUint16(0x206, 0x20f, true);
  view.setUint32(0x248, 256, true);
  view.setUint32(0x24c, payload.length, true);
  image.set(payload, 1280);
  return image;
}

function withSize(packed: Uint8Array, size: number): Uint8Array {
  const whole = new Uint8Array(packed.length + 4);
  whole.set(packed);
  new DataView(whole.buffer).setUint32(packed.length, size, true);
  return whole;
}

/** One LZ4 legacy block of literals only. */
function lz4Stored(data: Uint8Array): Uint8Array {
  const lengths = [...new Array<number>(Math.floor((data.length - 15) / 255)).fill(255), (data.length - 15) % 255];
  const block = [0xf0, ...lengths, ...data];
  const size = block.length;
  return Uint8Array.from([0x02, 0x21, 0x4c, 0x18, size & 255, (size >> 8) & 255, size >> 16, 0, ...block]);
}

test('a gzip payload is unpacked', () => {
  assert.deepEqual(new Uint8Array(extractVmlinux(bzImage(gzipSync(ELF)))), ELF);
});

test('a zstd payload with its size behind it is unpacked', () => {
  assert.deepEqual(new Uint8Array(extractVmlinux(bzImage(withSize(zstdCompressSync(ELF), ELF.length)))), ELF);
});

test('an LZ4 payload with its size behind it is unpacked', () => {
  assert.deepEqual(extractVmlinux(bzImage(withSize(lz4Stored(ELF), ELF.length))), ELF);
});

test('an unpacked payload is taken as it is', () => {
  assert.deepEqual(extractVmlinux(bzImage(ELF)), ELF);
});

test('a payload shorter than it promises is refused', () => {
  const image = bzImage(withSize(lz4Stored(ELF), ELF.length + 1));
  assert.throws(() => extractVmlinux(image), /unpacks to 5000 bytes and promises 5001/);
});

test('an xz payload is refused by name', () => {
  const image = bzImage(Uint8Array.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 0]));
  assert.throws(() => extractVmlinux(image), /packed with xz/);
});

test('a payload that lies outside the file is refused', () => {
  const image = bzImage(ELF).subarray(0, 6000);
  assert.throws(() => extractVmlinux(image), /payload of 5000 bytes at 1280 is not within the file of 6000 bytes/);
});

test('a file without the setup header is refused', () => {
  assert.throws(() => extractVmlinux(ELF), VmlinuxError);
});

test('the embedded guest kernel unpacks to an ELF file with a PVH entry', () => {
  const image = readFileSync(new URL('../guest/images/vmlinuz', import.meta.url));
  assert.notEqual(pvhEntry(extractVmlinux(image)), undefined);
});

const cloud = debianKernel('cloud');
test("Debian's cloud kernel unpacks to an ELF file with a PVH entry", { skip: skipReason(cloud) }, () => {
  assert.notEqual(pvhEntry(extractVmlinux(readFileSync(need(cloud).bzImage))), undefined);
});

const full = debianKernel('full');
test("Debian's full kernel, packed with xz, is refused by name", { skip: skipReason(full) }, () => {
  assert.throws(() => extractVmlinux(readFileSync(need(full).bzImage)), /packed with xz/);
});

/** The address in the Xen note "physical 32-bit entry" (18) of an ELF64 file's first note segment. */
function pvhEntry(elf: Uint8Array): number | undefined {
  const view = new DataView(elf.buffer, elf.byteOffset, elf.byteLength);
  const headers = Number(view.getBigUint64(32, true));
  for (let at = headers; at < headers + 56 * view.getUint16(56, true); at += 56) {
    if (view.getUint32(at, true) !== 4) continue;
    const end = Number(view.getBigUint64(at + 8, true) + view.getBigUint64(at + 32, true));
    for (let note = Number(view.getBigUint64(at + 8, true)); note + 12 <= end; ) {
      const nameBytes = (view.getUint32(note, true) + 3) & ~3;
      const valueBytes = (view.getUint32(note + 4, true) + 3) & ~3;
      if (view.getUint32(note + 8, true) === 18) return view.getUint32(note + 12 + nameBytes, true);
      note += 12 + nameBytes + valueBytes;
    }
  }
  return undefined;
}
