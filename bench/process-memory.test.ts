import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countPresent, findMapping, residentMemory } from './process-memory.ts';
import { guestRam } from './systems.ts';

const MIB = 0x10_0000;

test('a mapping is found by its size, among those that can be written', () => {
  const maps =
    '7f0000000000-7f0000400000 r--p 00000000 00:00 0 \n7f1000000000-7f1000400000 rw-p 00000000 00:00 0 \n' +
    '7f2000000000-7f2000800000 rw-s 00000000 00:00 0 \n';
  assert.equal(findMapping(maps, 4 * MIB), 0x7f10_0000_0000);
  assert.equal(findMapping(maps, 8 * MIB), 0x7f20_0000_0000);
  assert.equal(findMapping(maps, 16 * MIB), undefined);
});

test('a mapping that stands there in pieces is found, where they touch', () => {
  const pieces =
    '7f0000000000-7f0000200000 rw-p 00000000 00:00 0 \n7f0000200000-7f0000300000 rw-p 00000000 00:00 0 \n' +
    '7f0000300000-7f0000400000 rw-p 00000000 00:00 0 \n7f0000500000-7f0000900000 rw-p 00000000 00:00 0 \n';
  assert.equal(findMapping(pieces, 2 * MIB), 0x7f00_0000_0000);
  assert.equal(findMapping(pieces, 3 * MIB), 0x7f00_0000_0000);
  assert.equal(findMapping(pieces, 4 * MIB), 0x7f00_0000_0000);
  assert.equal(findMapping(pieces, 8 * MIB), undefined);
});

test('pages are present when the highest bit of their entry is set', () => {
  const entries = new BigUint64Array([0x8000_0000_0000_0001n, 0x0180_0000_0000_0000n, 0x8180_0000_0000_0000n]);
  assert.equal(countPresent(new Uint8Array(entries.buffer)), 2);
});

test('of a shared WebAssembly memory the pages that were touched count, behind the offset', () => {
  const ram = guestRam('typervisor', 64);
  const memory = new WebAssembly.Memory({
    initial: ram.mappingBytes / 65536,
    maximum: ram.mappingBytes / 65536,
    shared: true,
  });
  // Some below guest RAM, 3 MiB in it.
  new Uint8Array(memory.buffer, 0, MIB).fill(1);
  new Uint8Array(memory.buffer, ram.offset + 8 * MIB, 3 * MIB).fill(1);
  const found = residentMemory(process.pid, ram);
  assert.equal(found?.guest, 3);
  assert.ok((found?.total ?? 0) > 4);
});

test('a process that is gone has no memory', () => {
  assert.equal(residentMemory(0x7fff_ffff, guestRam('qemu', 64)), undefined);
});
