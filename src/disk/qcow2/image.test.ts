import assert from 'node:assert/strict';
import { deflateRawSync } from 'node:zlib';
import { test } from 'node:test';
import { nodeDecompressors } from '../../host/node/decompressors.ts';
import { ReadOnlyDiskError } from '../buffers.ts';
import { RawDisk } from '../raw.ts';
import { MemoryFile, pattern } from '../testing.ts';
import { checkQcow2 } from './check.ts';
import { createQcow2, type Qcow2Options } from './create.ts';
import { Qcow2Image } from './image.ts';

const CLUSTER = 4096;
const SECTOR = 512;

async function newFile(options: Partial<Qcow2Options> = {}): Promise<MemoryFile> {
  const file = new MemoryFile();
  await createQcow2(file, { bytes: 1 << 20, clusterBytes: CLUSTER, ...options });
  file.log.length = 0;
  return file;
}

async function open(file: MemoryFile, backing?: Uint8Array): Promise<Qcow2Image> {
  const disk = backing && new RawDisk(new MemoryFile(backing, 'backing', true));
  return Qcow2Image.open(file, await Qcow2Image.readHeader(file), disk, nodeDecompressors);
}

async function read(image: Qcow2Image, offset: number, bytes: number): Promise<Uint8Array> {
  const into = new Uint8Array(bytes);
  await image.read(offset, [into]);
  return into;
}

async function problems(file: MemoryFile): Promise<readonly string[]> {
  return (await checkQcow2(await open(file), 'none')).problems;
}

test('a flush without changes flushes the file once, one behind a write writes metadata in order', async () => {
  const file = await newFile();
  const image = await open(file);
  await image.flush();
  assert.deepEqual(file.log, [{ kind: 'flush' }]);
  file.log.length = 0;
  await image.write(0, [pattern(SECTOR, 1)]);
  assert.deepEqual(
    file.log.map(({ kind }) => kind),
    ['write'],
  );
  await image.flush();
  // Data; the block of refcounts and the new L2 table; a barrier; the L1 entry; the end.
  assert.deepEqual(
    file.log.map((event) => (event.kind === 'write' ? event.data.length : event.kind)),
    [SECTOR, SECTOR, CLUSTER, 'flush', 8, 'flush'],
  );
});

test('a small write to a new cluster at the end of the file writes no more than it has', async () => {
  const file = await newFile();
  const image = await open(file);
  await image.write(CLUSTER + 1000, [pattern(10, 1)]);
  assert.deepEqual(
    file.log.map((event) => event.kind === 'write' && event.data.length),
    [10],
  );
  assert.deepEqual(
    await read(image, CLUSTER, CLUSTER),
    Uint8Array.from([...new Uint8Array(1000), ...pattern(10, 1), ...new Uint8Array(CLUSTER - 1010)]),
  );
});

test('a cluster that was given up is used again, without what it held before', async () => {
  const file = await newFile();
  const image = await open(file);
  await image.write(0, [pattern(CLUSTER, 1)]);
  await image.flush();
  const { bytes } = file;
  await image.discard(0, CLUSTER);
  await image.flush();
  await image.metadata.released();
  await image.write(9 * CLUSTER + 7, [Uint8Array.of(5)]);
  assert.equal(file.bytes, bytes);
  assert.deepEqual(await read(image, 9 * CLUSTER, 9), Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 5, 0));
  await image.close();
  assert.deepEqual(await problems(file), []);
});

test('a discarded cluster is a hole in the file once that is durable, and not before', async () => {
  const file = await newFile();
  const image = await open(file);
  await image.write(0, [pattern(CLUSTER, 1)]);
  await image.flush();
  const host = (await image.metadata.mapping.table(0))?.view.getUint32(4) ?? 0;
  await image.discard(0, CLUSTER);
  assert.deepEqual(file.snapshot().subarray(host, host + CLUSTER), pattern(CLUSTER, 1));
  await image.flush();
  await image.metadata.released();
  assert.deepEqual(file.snapshot().subarray(host, host + CLUSTER), new Uint8Array(CLUSTER));
});

test('a read that is under way keeps its cluster from serving something else', async () => {
  const file = await newFile();
  const image = await open(file);
  await image.write(0, [pattern(CLUSTER, 1)]);
  await image.flush();
  const gate = Promise.withResolvers<void>();
  file.before = (operation, _offset, bytes) => (operation === 'read' && bytes === CLUSTER ? gate.promise : undefined);
  const reading = read(image, 0, CLUSTER);
  await image.discard(0, CLUSTER);
  await image.flush();
  for (let cluster = 20; cluster < 40; cluster++) await image.write(cluster * CLUSTER, [pattern(CLUSTER, cluster)]);
  gate.resolve();
  assert.deepEqual(await reading, pattern(CLUSTER, 1));
});

test('two writes to the same new cluster at once both arrive', async () => {
  const file = await newFile();
  const image = await open(file);
  await Promise.all(Array.from({ length: 8 }, (_, index) => image.write(index * SECTOR, [pattern(SECTOR, index)])));
  for (let index = 0; index < 8; index++) {
    assert.deepEqual(await read(image, index * SECTOR, SECTOR), pattern(SECTOR, index));
  }
  await image.close();
  assert.deepEqual(await problems(file), []);
});

test('a write that the host refuses leaves the image whole and usable, whichever of its writes it is', async () => {
  for (let failing = 0; failing < 12; failing++) {
    const file = await newFile();
    const image = await open(file, undefined);
    await image.write(0, [pattern(2 * CLUSTER, 1)]);
    await image.flush();
    let writes = 0;
    file.before = (operation) => {
      if (operation !== 'read' && writes++ === failing) throw new Error('no space left');
    };
    const results = await Promise.allSettled([
      image.write(10 * CLUSTER, [pattern(3 * CLUSTER, 2)]).then(() => image.flush()),
      image.discard(0, CLUSTER).then(() => image.flush()),
    ]);
    for (const result of results)
      if (result.status === 'rejected') assert.match(String(result.reason), /no space left/);
    file.before = undefined;
    await image.write(10 * CLUSTER, [pattern(3 * CLUSTER, 3)]);
    assert.deepEqual(await read(image, 10 * CLUSTER, 3 * CLUSTER), pattern(3 * CLUSTER, 3));
    assert.deepEqual(await read(image, CLUSTER, CLUSTER), pattern(2 * CLUSTER, 1).subarray(CLUSTER));
    await image.close();
    assert.deepEqual(await problems(file), [], `write ${failing} failed`);
  }
});

test('a disk grows past its L1 table, which moves, and past its table of refcounts', async () => {
  const file = new MemoryFile();
  await createQcow2(file, { bytes: 64 * SECTOR, clusterBytes: SECTOR, refcountBits: 64 });
  const image = await open(file);
  await image.write(0, [pattern(64 * SECTOR, 1)]);
  const first = image.metadata.refcounts.tableRun;
  await image.resize(16 << 20);
  for (let offset = 1 << 20; offset < 4 << 20; offset += 1 << 18)
    await image.write(offset, [pattern(1 << 18, offset >> 18)]);
  assert.notDeepEqual(image.metadata.refcounts.tableRun, first);
  await image.close();
  const again = await open(file);
  assert.equal(again.bytes, 16 << 20);
  assert.deepEqual(await read(again, 0, 64 * SECTOR), pattern(64 * SECTOR, 1));
  for (let offset = 1 << 20; offset < 4 << 20; offset += 1 << 18) {
    assert.deepEqual(await read(again, offset, 1 << 18), pattern(1 << 18, offset >> 18));
  }
  assert.deepEqual(await problems(file), []);
});

test('a disk that shrank and grew again reads as zeros where it was cut, over a backing file too', async () => {
  for (const backing of [undefined, pattern(100_000, 9)]) {
    for (const version of [2, 3] as const) {
      const file = await newFile({
        bytes: 100_352,
        version,
        ...(backing && { backing: { name: 'b', format: 'raw' } }),
      });
      const image = await open(file, backing);
      await image.write(50_000, [pattern(20_000, 1)]);
      await image.resize(51_200);
      await image.resize(100_352);
      assert.deepEqual(await read(image, 50_000, 1200), pattern(20_000, 1).subarray(0, 1200));
      assert.ok((await read(image, 51_200, 49_152)).every((byte) => byte === 0));
      await image.close();
    }
  }
});

test('sizes that are asked for at once are set one after the other', async () => {
  const file = await newFile();
  const image = await open(file);
  await image.write(0, [pattern(1 << 20, 1)]);
  await Promise.all([image.resize(2 << 20), image.resize(1 << 19), image.resize(3 << 19)]);
  assert.equal(image.bytes, 3 << 19);
  assert.deepEqual(await read(image, 0, 1 << 19), pattern(1 << 20, 1).subarray(0, 1 << 19));
  assert.ok((await read(image, 1 << 19, 1 << 20)).every((byte) => byte === 0));
  await image.close();
  assert.equal((await open(file)).bytes, 3 << 19);
  assert.deepEqual(await problems(file), []);
});

test('more tables than memory is kept for are written and read again', async () => {
  // A table maps 512 MiB, and 128 are kept.
  const file = new MemoryFile();
  await createQcow2(file, { bytes: 70 * 2 ** 30, clusterBytes: 65_536 });
  const image = await open(file);
  const places = Array.from({ length: 140 }, (_, index) => index * 2 ** 29);
  for (const offset of places) await image.write(offset, [Uint8Array.of(offset / 2 ** 29 + 1)]);
  for (const offset of places) assert.equal((await read(image, offset, 1))[0], offset / 2 ** 29 + 1);
  await image.close();
  assert.deepEqual(await problems(file), []);
});

test('tables that contradict themselves make reads fail and end all writing, and the image says so', async () => {
  const file = await newFile();
  const image = await open(file);
  await image.write(0, [pattern(CLUSTER, 1)]);
  await image.close();
  const view = new DataView(file.contents.buffer);
  const l2 = view.getUint32(view.getUint32(44) + 4);
  // The disk's first cluster is said to be where the L2 table is.
  view.setUint32(l2 + 4, l2);
  const broken = await open(file);
  await assert.rejects(broken.write(0, [pattern(10, 1)]), /is an L2 table/);
  await assert.rejects(broken.write(8 * CLUSTER, [pattern(10, 1)]), /nothing is written any more/);
  await broken.close();
  await assert.rejects(open(file), /corrupt bit/);
});

test('a compressed cluster is read in parts, and a write to it makes it an ordinary one', async () => {
  const file = await newFile({ backing: { name: 'b', format: 'raw' } });
  const image = await open(file, pattern(1 << 20, 7));
  const packed = deflateRawSync(pattern(CLUSTER, 3));
  const host = file.bytes;
  await file.write(host, [packed, pattern(300, 1)]);
  await image.close();
  const again = await open(file, pattern(1 << 20, 7));
  await again.metadata.exclusive(async () => {
    await again.metadata.refcounts.set(host / CLUSTER, 1);
    const table = await again.metadata.writableTable(5);
    table.view.setUint32(5 * 8, 0x4000_0000 | ((Math.ceil(packed.length / SECTOR) - 1) << (70 - 12 - 32)));
    table.view.setUint32(5 * 8 + 4, host);
    again.metadata.mapping.l2.markDirty(table, 40, 48);
  });
  assert.deepEqual(await read(again, 5 * CLUSTER + 100, 200), pattern(CLUSTER, 3).subarray(100, 300));
  await again.write(5 * CLUSTER + 10, [Uint8Array.of(1, 2)]);
  const expected = pattern(CLUSTER, 3);
  expected.set([1, 2], 10);
  assert.deepEqual(await read(again, 5 * CLUSTER, CLUSTER), expected);
  await again.close();
  assert.deepEqual(await problems(file), []);
});

test('a read-only image is never written to, not even its dirty or autoclear bits', async () => {
  const file = await newFile();
  file.contents[79] = 1;
  file.contents[95] = 1;
  const image = await open(new MemoryFile(file.snapshot(), 'image', true));
  await read(image, 0, 100);
  await assert.rejects(image.write(0, [new Uint8Array(1)]), ReadOnlyDiskError);
  await assert.rejects(image.resize(1), ReadOnlyDiskError);
  await image.flush();
  await image.close();
  assert.deepEqual((image.file as MemoryFile).log, []);
});

test('a dirty image takes no writes before it is repaired', async () => {
  const file = await newFile();
  file.contents[79] = 1;
  const image = await open(file);
  await assert.rejects(image.write(0, [new Uint8Array(1)]), /dirty bit/);
  await checkQcow2(image, 'all');
  await (await open(file)).write(0, [new Uint8Array(1)]);
});

test('options that the format does not have are refused by name', async () => {
  const refuses = (options: Partial<Qcow2Options>, message: RegExp): Promise<void> =>
    assert.rejects(newFile(options), message);
  await refuses({ clusterBytes: 1000 }, /cluster size 1000 is not a power of two from 512 bytes to 2 MiB/);
  await refuses({ clusterBytes: 2 ** 22 }, /cluster size 0x400000 is not a power of two/);
  await refuses({ refcountBits: 24 }, /refcount bits 24 is not a power of two from 1 to 64/);
  await refuses({ version: 2, refcountBits: 1 }, /version 2 has refcounts of 16 bits, and zlib, only/);
  await refuses({ bytes: 2 ** 53 }, /size 0x20000000000000 is no number of bytes/);
  await refuses({ bytes: 2 ** 40, clusterBytes: 512 }, /size 0x10000000000 is too much for clusters of 512 bytes/);
});
