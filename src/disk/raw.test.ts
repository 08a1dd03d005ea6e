import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReadOnlyDiskError } from './buffers.ts';
import { RawDisk } from './raw.ts';
import { MemoryFile, pattern } from './testing.ts';

async function readAll(disk: RawDisk, offset: number, bytes: number): Promise<Uint8Array> {
  const into = new Uint8Array(bytes);
  await disk.read(offset, [into]);
  return into;
}

test('what is written from several buffers is read into several others', async () => {
  const disk = new RawDisk(new MemoryFile(4096));
  await disk.write(1000, [Uint8Array.of(1, 2), new Uint8Array(0), Uint8Array.of(3)]);
  const [first, second] = [new Uint8Array(1), new Uint8Array(3)];
  await disk.read(999, [first, second]);
  assert.deepEqual([...first, ...second], [0, 1, 2, 3]);
});

test('a range that does not lie on the disk is refused, and the file does not grow', async () => {
  const file = new MemoryFile(4096);
  const disk = new RawDisk(file);
  await assert.rejects(disk.write(4095, [new Uint8Array(2)]), RangeError);
  await assert.rejects(disk.read(-1, [new Uint8Array(1)]), RangeError);
  await assert.rejects(disk.read(0.5, [new Uint8Array(1)]), RangeError);
  await assert.rejects(disk.discard(0, 4097), RangeError);
  await assert.rejects(disk.writeZeroes(2 ** 53, 1, true), RangeError);
  assert.equal(file.bytes, 4096);
  assert.deepEqual(file.log, []);
});

test('a discard punches a hole', async () => {
  const file = new MemoryFile(pattern(4096, 1));
  await new RawDisk(file).discard(512, 1024);
  assert.deepEqual(file.snapshot().subarray(512, 1536), new Uint8Array(1024));
  assert.deepEqual(file.snapshot().subarray(1536), pattern(4096, 1).subarray(1536));
});

test('a discard does nothing where the host cannot punch holes', async () => {
  const file = new MemoryFile(pattern(4096, 1));
  file.punchHole = undefined;
  await new RawDisk(file).discard(512, 1024);
  assert.deepEqual(file.snapshot(), pattern(4096, 1));
});

test("zeros that may not be unmapped are of the host's making where it can, and its error is one", async () => {
  const file = new MemoryFile(pattern(4096, 1));
  const ranges: number[][] = [];
  file.zeroRange = async (...range) => ranges.push(range) > 0;
  const disk = new RawDisk(file);
  await disk.writeZeroes(512, 1024, false);
  await disk.writeZeroes(512, 0, false);
  assert.deepEqual([ranges, file.log], [[[512, 1024]], []]);
  file.zeroRange = () => Promise.reject(new Error('no space'));
  await assert.rejects(disk.writeZeroes(512, 1024, false), /no space/);
  assert.deepEqual(file.log, []);
});

test('where the host cannot, zeros that may not be unmapped are written, a large range of them in pieces', async () => {
  const bytes = 2.5 * 1024 * 1024;
  const file = new MemoryFile(pattern(bytes, 1));
  const disk = new RawDisk(file);
  await disk.writeZeroes(1, bytes - 1, false);
  assert.deepEqual(
    file.log.map((event) => event.kind === 'write' && event.data.length),
    [1024 * 1024, 1024 * 1024, 512 * 1024 - 1],
  );
  assert.deepEqual(await readAll(disk, 0, 3), Uint8Array.of(pattern(1, 1)[0], 0, 0));
});

test('a disk that was made larger reads as zeros there, one that was made smaller ends earlier', async () => {
  const disk = new RawDisk(new MemoryFile(pattern(1024, 1)));
  await disk.resize?.(2048);
  assert.deepEqual(await readAll(disk, 1024, 1024), new Uint8Array(1024));
  await disk.resize?.(512);
  assert.equal(disk.bytes, 512);
  await assert.rejects(readAll(disk, 512, 1), RangeError);
});

test('a read-only disk refuses everything that changes it, and is not flushed when it is closed', async () => {
  const file = new MemoryFile(1024, 'image', true);
  const disk = new RawDisk(file);
  await assert.rejects(disk.write(0, [new Uint8Array(1)]), ReadOnlyDiskError);
  await assert.rejects(disk.discard(0, 1), ReadOnlyDiskError);
  await assert.rejects(disk.writeZeroes(0, 1, true), ReadOnlyDiskError);
  await assert.rejects(disk.resize?.(1) ?? Promise.resolve(), ReadOnlyDiskError);
  await disk.close();
  assert.deepEqual([file.log, file.closed], [[], true]);
});

test('closing flushes, and closes the file even when that fails', async () => {
  const file = new MemoryFile(1024);
  file.before = (operation) => {
    if (operation === 'flush') throw new Error('no space');
  };
  await assert.rejects(new RawDisk(file).close(), /no space/);
  assert.equal(file.closed, true);
});
