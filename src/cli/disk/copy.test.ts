import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeDecompressors } from '../../host/node/decompressors.ts';
import { createQcow2 } from '../../disk/qcow2/create.ts';
import { Qcow2Image } from '../../disk/qcow2/image.ts';
import { RawDisk } from '../../disk/raw.ts';
import { MemoryFile, pattern } from '../../disk/testing.ts';
import { copyData } from './copy.ts';

const MIB = 1 << 20;

test('what is empty is neither read nor written, and progress goes to the end', async () => {
  const file = new MemoryFile(8 * MIB);
  file.contents.set(pattern(100, 1), 5 * MIB + 70_000);
  const reads: number[] = [];
  file.before = (operation, offset) => {
    if (operation === 'read') reads.push(offset);
  };
  const target = new MemoryFile(8 * MIB);
  const progress: number[] = [];
  await copyData(new RawDisk(file), new RawDisk(target), (done) => progress.push(done));
  assert.deepEqual(reads, [5 * MIB + 65_536]);
  assert.deepEqual(
    target.log.map((event) => event.kind === 'write' && [event.offset, event.data.length]),
    [[5 * MIB + 65_536, 65_536]],
  );
  assert.equal(progress.at(-1), 8 * MIB);
  assert.ok(Buffer.from(target.contents).equals(file.contents));
});

test('a qcow2 image of a petabyte with two clusters is copied in two reads of its data', async () => {
  const file = new MemoryFile();
  await createQcow2(file, { bytes: 2 ** 50, clusterBytes: 2 * MIB });
  const image = await Qcow2Image.open(file, await Qcow2Image.readHeader(file), undefined, nodeDecompressors);
  const places = [2 ** 40, 2 ** 50 - 4096];
  for (const offset of places) await image.write(offset, [pattern(4096, 3)]);
  const written: number[] = [];
  const target = {
    ...new RawDisk(new MemoryFile()),
    bytes: 2 ** 50,
    write: async (offset: number) => void written.push(offset),
  };
  await copyData(image, target as unknown as RawDisk, () => {});
  assert.deepEqual(written, [2 ** 40, 2 ** 50 - 65_536]);
});

test('a disk that cannot tell where it is empty is read as a whole', async () => {
  const file = new MemoryFile(5 * MIB);
  file.nextData = undefined;
  file.contents.set(pattern(100, 1), 5 * MIB - 100);
  const target = new MemoryFile(5 * MIB);
  await copyData(new RawDisk(file), new RawDisk(target), () => {});
  assert.ok(Buffer.from(target.contents).equals(file.contents));
});
