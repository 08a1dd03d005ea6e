/**
 * Crashes of the host at any write to a qcow2 image: seeded sequences of requests, cut off at many points each, with what was not
 * flushed lost, kept, or torn. DISK_SEEDS says how many sequences, DISK_SEED where they begin.
 *
 * @module
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { checkQcow2 } from '../../src/disk/qcow2/check.ts';
import { createQcow2 } from '../../src/disk/qcow2/create.ts';
import { MemoryFile, pattern, randomSource } from '../../src/disk/testing.ts';
import { fileAfterCrash, lostByte, type Operation } from './crash.ts';
import { SECTOR } from './model-disk.ts';
import { openInMemory, readAll } from './qcow2-in-memory.ts';
import { NO_QEMU, qemuCheck, qemuImg, qemuIo } from './qemu.ts';
import { TemporaryFolder } from './temporary.ts';

const SEEDS = Number(process.env['DISK_SEEDS'] ?? 24);
const FIRST_SEED = Number(process.env['DISK_SEED'] ?? 1);
const REQUESTS = 80;
/** Of the points at which a sequence is cut off, qemu-img looks at one in so many. */
const QEMU_EVERY = 100;
const folder = new TemporaryFolder();

/** What is asked of the disk, as often as it stands here. */
const KINDS: readonly Operation['kind'][] = ['write', 'write', 'write', 'flush', 'zero', 'discard', 'discard'];

type Random = (below: number) => number;

interface Sequence {
  /** The image's file and the disk before the first operation. */
  readonly start: Uint8Array;
  readonly startDisk: Uint8Array;
  readonly backing: Uint8Array | undefined;
  readonly file: MemoryFile;
  readonly operations: readonly Operation[];
}

async function newImage(random: Random, backing: Uint8Array | undefined): Promise<Uint8Array> {
  const file = new MemoryFile();
  const version = random(4) === 0 ? 2 : 3;
  const clusterBytes = SECTOR << random(3);
  await createQcow2(file, {
    bytes: (64 + random(300)) * SECTOR,
    clusterBytes,
    version,
    // Wide counts make many blocks, whose table entries have a step of their own.
    refcountBits: version === 2 ? 16 : (([1, 4, 64, 64] as const)[random(4)] ?? 16),
    ...(backing !== undefined && { backing: { name: 'backing.raw', format: 'raw' } }),
  });
  return file.snapshot();
}

/** Requests one after the other, with what each wrote to the file. */
async function run(start: Uint8Array, backing: Uint8Array | undefined, random: Random): Promise<Sequence> {
  const file = new MemoryFile(start);
  const image = await openInMemory(file, backing);
  const startDisk = await readAll(image);
  const operations: Operation[] = [];
  for (let number = 1; number <= REQUESTS; number++) {
    const offset = random(image.bytes);
    const bytes = Math.min(image.bytes - offset, 1 + random(random(4) === 0 ? 20 * SECTOR : 3 * SECTOR));
    const kind = KINDS[random(KINDS.length)] ?? 'write';
    const data = kind === 'write' ? pattern(bytes, number) : new Uint8Array(bytes);
    const begin = file.log.length;
    switch (kind) {
      case 'flush':
        await image.flush();
        break;
      case 'zero':
        await image.writeZeroes(offset, bytes, random(2) === 0);
        break;
      case 'discard':
        await image.discard(offset, bytes);
        await image.read(offset, [data]);
        break;
      case 'write':
        await image.write(offset, [data]);
    }
    operations.push({ kind, offset, data, begin, end: file.log.length });
  }
  await image.close();
  return { start, startDisk, backing, file, operations };
}

/** Cuts a sequence off behind its first `at` events: the image is whole but for leaks, has all that was flushed, and can be used. */
async function crash(
  { start, startDisk, backing, file, operations }: Sequence,
  at: number,
  random: Random,
): Promise<void> {
  const contents = fileAfterCrash(start, file.log, at, random);
  try {
    const image = await openInMemory(new MemoryFile(contents), backing);
    const { errors, problems } = await checkQcow2(image, 'none');
    assert.equal(errors, 0, problems.join('\n'));
    assert.equal(lostByte(await readAll(image), startDisk, operations, at), undefined);
    if (at % QEMU_EVERY === QEMU_EVERY - 1 && NO_QEMU === false) {
      const { verdict, output } = qemuCheck(folder.write('crashed.qcow2', contents));
      assert.notEqual(verdict, 'corrupt', output);
    }
    if (random(8) > 0) return;
    const data = pattern(8 * SECTOR, at);
    await image.write(16 * SECTOR, [data]);
    await image.discard(40 * SECTOR, 10 * SECTOR);
    await image.close();
    const again = await openInMemory(new MemoryFile((image.file as MemoryFile).snapshot()), backing);
    assert.deepEqual((await readAll(again)).subarray(16 * SECTOR, 24 * SECTOR), data);
    assert.equal((await checkQcow2(again, 'leaks')).errors, 0);
    assert.deepEqual((await checkQcow2(again, 'none')).problems, []);
  } catch (error) {
    throw new Error(`crash behind ${at} of ${file.log.length} events`, { cause: error });
  }
}

async function crashes(seed: number, sequence: Sequence, random: Random): Promise<void> {
  for (let at = 0; at <= sequence.file.log.length; at++) {
    try {
      await crash(sequence, at, random);
    } catch (error) {
      throw new Error(`with DISK_SEED=${seed}`, { cause: error });
    }
  }
}

test('a crash at any write leaves an image without errors that has everything flushed', async () => {
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
    const random = randomSource(seed);
    const backing = random(2) === 0 ? undefined : pattern((1 + random(160)) * SECTOR, seed);
    if (backing !== undefined) folder.write('backing.raw', backing);
    await crashes(seed, await run(await newImage(random, backing), backing, random), random);
  }
});

test('a crash leaves no errors in an image that has internal snapshots and compressed clusters', {
  skip: NO_QEMU,
}, async () => {
  const path = folder.at('snapshot.qcow2');
  qemuImg('create', '-q', '-f', 'qcow2', '-o', 'cluster_size=512', path, `${160 * SECTOR}`);
  qemuIo(path, ['write -P 0x11 0 20k', 'write -c -P 0x22 20k 8k']);
  qemuImg('snapshot', '-c', 'first', path);
  qemuIo(path, ['write -P 0x33 4k 2k', 'write -c -P 0x44 30k 4k']);
  // All tables are shared when our writes begin.
  qemuImg('snapshot', '-c', 'second', path);
  const start = new Uint8Array(readFileSync(path));
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS / 2; seed++) {
    const random = randomSource(seed);
    await crashes(seed, await run(start, undefined, random), random);
  }
});

test('a crash that ignores flushes would leave errors: the simulation finds wrong orders', async () => {
  const random = randomSource(1);
  const { start, file } = await run(await newImage(random, undefined), undefined, random);
  const unordered = file.log.filter(({ kind }) => kind !== 'flush');
  let broken = 0;
  for (let number = 0; number < 100; number++) {
    const contents = fileAfterCrash(start, unordered, random(unordered.length), random);
    const { errors } = await checkQcow2(await openInMemory(new MemoryFile(contents), undefined), 'none');
    if (errors > 0) broken++;
  }
  assert.ok(broken > 10, `${broken} of 100 images had errors`);
});
