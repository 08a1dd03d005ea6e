/**
 * Seeded random operations on qcow2 images: every read is held against a plain array, and every image against QEMU's tools.
 * DISK_SEEDS says how many sequences, DISK_SEED where they begin.
 *
 * @module
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RawDisk } from '../../src/disk/raw.ts';
import { checkQcow2 } from '../../src/disk/qcow2/check.ts';
import { createQcow2, type Qcow2Options } from '../../src/disk/qcow2/create.ts';
import { Qcow2Image } from '../../src/disk/qcow2/image.ts';
import { MemoryFile, pattern, randomSource } from '../../src/disk/testing.ts';
import { nodeDecompressors } from '../../src/host/node/decompressors.ts';
import { ModelDisk, SECTOR } from './model-disk.ts';
import { NO_QEMU, qemuCheck, qemuImg } from './qemu.ts';
import { TemporaryFolder } from './temporary.ts';

const SEEDS = Number(process.env['DISK_SEEDS'] ?? 40);
const FIRST_SEED = Number(process.env['DISK_SEED'] ?? 1);
const STEPS = 120;
const folder = new TemporaryFolder();

type Random = (below: number) => number;

/** An image of any cluster size, refcount width and version, over a backing file that may be shorter or longer, or over none. */
function drawOptions(random: Random, backing: Uint8Array | undefined): Qcow2Options {
  const clusterBytes = SECTOR << random(13);
  const version = random(4) === 0 ? 2 : 3;
  return {
    bytes: (1 + random(Math.min(40 * clusterBytes, 3 << 20) / SECTOR)) * SECTOR,
    clusterBytes,
    version,
    refcountBits: version === 2 ? 16 : 1 << random(7),
    ...(backing !== undefined && { backing: { name: 'backing.raw', format: 'raw' } }),
  };
}

/** Operations of the host's file take their time, and end in another order than they began. */
function unsteady(file: MemoryFile, random: Random): MemoryFile {
  file.before = async () => {
    for (let turns = random(6); turns > 0; turns--) await Promise.resolve();
  };
  return file;
}

async function open(file: MemoryFile, backing: Uint8Array | undefined): Promise<Qcow2Image> {
  const disk = backing && new RawDisk(new MemoryFile(backing, 'backing.raw', true));
  return Qcow2Image.open(file, await Qcow2Image.readHeader(file), disk, nodeDecompressors);
}

/** The whole life of an image: what it holds, and its file. */
async function live(seed: number): Promise<{ file: MemoryFile; model: ModelDisk; backing: Uint8Array | undefined }> {
  const random = randomSource(seed);
  const backing = random(2) === 0 ? undefined : pattern((1 + random(4000)) * SECTOR, seed);
  const options = drawOptions(random, backing);
  const file = unsteady(new MemoryFile(), random);
  await createQcow2(file, options);
  const contents = new Uint8Array(options.bytes);
  contents.set(backing?.subarray(0, options.bytes) ?? []);
  const model = new ModelDisk(contents, options.clusterBytes ?? 0, random);
  let image = await open(file, backing);
  for (let step = 0; step < STEPS; step++) {
    const kind = random(40);
    if (kind === 0) {
      await image.close();
      image = await open(file, backing);
      assert.deepEqual((await checkQcow2(image, 'none')).problems, []);
      await model.verifyAll(image);
    } else if (kind === 1) await model.resize(image, 2 * options.bytes);
    else if (kind < 5) await image.flush();
    else await model.step(image);
  }
  await image.close();
  return { file, model, backing };
}

test('any sequence of requests reads back as written, and leaves an image that qemu-img finds clean and equal', {
  skip: NO_QEMU,
}, async () => {
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
    try {
      const { file, model, backing } = await live(seed);
      const image = await open(file, backing);
      await model.verifyAll(image);
      assert.deepEqual((await checkQcow2(image, 'none')).problems, []);
      if (backing !== undefined) folder.write('backing.raw', backing);
      const path = folder.write('image.qcow2', file.snapshot());
      const { verdict, output } = qemuCheck(path);
      assert.equal(verdict, 'clean', output);
      const raw = folder.write('model.raw', model.contents);
      assert.equal(qemuImg('compare', '-f', 'qcow2', '-F', 'raw', path, raw), 'Images are identical.\n');
    } catch (error) {
      throw new Error(`with DISK_SEED=${seed}`, { cause: error });
    }
  }
});
