/** Guest RAM on both sides of the PCI hole, as devices and loaders see it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GuestMemory, GuestMemoryError, gpa } from './guest-memory.ts';

const FOUR_GIB = 0x1_0000_0000;
/** 0x40 bytes at 0, 0x20 at 4 GiB, at offset 8 of their buffer. */
const memory = (): { memory: GuestMemory; bytes: Uint8Array } => {
  const bytes = new Uint8Array(8 + 0x60);
  return { memory: new GuestMemory(bytes.buffer, 8, 0x40, 0x20), bytes };
};

test('what is above 4 GiB lies behind the rest', () => {
  const { memory: ram, bytes } = memory();
  ram.writeU32(gpa(0x3c), 0x1122_3344);
  ram.writeU64(gpa(FOUR_GIB), 0x99n);
  assert.deepEqual([...bytes.subarray(8 + 0x3c, 8 + 0x42)], [0x44, 0x33, 0x22, 0x11, 0x99, 0]);
  assert.equal(ram.readU8(gpa(FOUR_GIB)), 0x99);
  assert.equal(ram.slice(gpa(FOUR_GIB), 4)[0], 0x99);
});

test('no range reaches across the hole, behind the end, or below zero', () => {
  const { memory: ram } = memory();
  for (const [address, bytes] of [
    [0x3d, 4],
    [0x40, 1],
    [FOUR_GIB - 1, 1],
    [FOUR_GIB - 1, 2],
    [FOUR_GIB + 0x1d, 4],
    [-1, 1],
    [0.5, 1],
  ]) {
    assert.equal(ram.contains(address, bytes), false, `${address}+${bytes}`);
    assert.throws(() => ram.slice(gpa(address), bytes), GuestMemoryError);
  }
  assert.equal(ram.contains(0, 0x40), true);
  assert.equal(ram.contains(FOUR_GIB, 0x20), true);
});

test('without RAM above 4 GiB nothing is there', () => {
  const ram = new GuestMemory(new ArrayBuffer(16), 0, 16);
  assert.equal(ram.contains(FOUR_GIB, 1), false);
  assert.equal(ram.contains(15, 1), true);
});
