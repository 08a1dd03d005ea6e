/**
 * Crashes of the host while a qcow2 image is resized, among other requests: cut off at every write, with what was not flushed lost, kept,
 * or torn. DISK_SEEDS says how many sequences, DISK_SEED where they begin.
 *
 * @module
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkQcow2 } from '../../src/disk/qcow2/check.ts';
import { createQcow2 } from '../../src/disk/qcow2/create.ts';
import type { Qcow2Image } from '../../src/disk/qcow2/image.ts';
import { MemoryFile, pattern, randomSource } from '../../src/disk/testing.ts';
import { fileAfterCrash } from './crash.ts';
import { SECTOR } from './model-disk.ts';
import { openInMemory, readAll } from './qcow2-in-memory.ts';
import { NO_QEMU, qemuCheck } from './qemu.ts';
import { TemporaryFolder } from './temporary.ts';

const SEEDS = Number(process.env['DISK_SEEDS'] ?? 24);
const FIRST_SEED = Number(process.env['DISK_SEED'] ?? 1);
/** Many resizes of small disks; and large ones, whose L1 table has to move: with clusters of 512 bytes above 4096 sectors. */
const SHAPES = [
  { seeds: SEEDS, requests: 40, maxSectors: 400 },
  { seeds: Math.ceil(SEEDS / 6), requests: 16, maxSectors: 6000 },
] as const;
type Shape = (typeof SHAPES)[number];
/** Of the points at which a sequence is cut off, qemu-img looks at one in so many. */
const QEMU_EVERY = 150;
const folder = new TemporaryFolder();

/** What was asked for, with the file's events during which it was under way. */
interface Operation {
  readonly kind: 'write' | 'flush' | 'resize';
  readonly offset: number;
  readonly data: Uint8Array;
  readonly begin: number;
  readonly end: number;
}

interface Sequence {
  readonly shape: Shape;
  readonly start: Uint8Array;
  readonly startDisk: Uint8Array;
  readonly backing: Uint8Array | undefined;
  readonly file: MemoryFile;
  readonly operations: readonly Operation[];
}

/** What a byte of the disk may be: a number, or anything. */
const ANYTHING = -1;

/**
 * What is wrong with a disk after a crash. A flush and a resize that had ended make durable what had ended before them. What a resize
 * cuts off may be anything while the disk has its old size; what one adds is zeros.
 */
function fault(disk: Uint8Array, { startDisk: start, operations, shape }: Sequence, crash: number): string | undefined {
  const begun = operations.filter(({ begin }) => begin < crash);
  const barrier = begun.findLastIndex(({ kind, end }) => kind !== 'write' && end <= crash);
  const durable = new Int16Array(shape.maxSectors * SECTOR).fill(ANYTHING);
  durable.set(start);
  const sizes = new Set([start.length]);
  let bytes = start.length;
  /** What was written since, or may be anything. */
  const since: { readonly offset: number; readonly data: Uint8Array | number; readonly end: number }[] = [];
  for (const [index, { kind, offset, data }] of begun.entries()) {
    if (kind === 'flush') continue;
    const isDurable = index <= barrier;
    if (kind === 'write') {
      if (isDurable) durable.set(data, offset);
      else since.push({ offset, data, end: offset + data.length });
      continue;
    }
    const to = offset;
    // What is added is zeros as soon as it is there. What is cut off goes before the disk has its new size.
    if (to > bytes) durable.fill(0, bytes, to);
    else if (isDurable) durable.fill(ANYTHING, to, bytes);
    else since.push({ offset: to, data: ANYTHING, end: bytes });
    if (isDurable) sizes.clear();
    sizes.add(to);
    bytes = to;
  }
  if (!sizes.has(disk.length)) return `the disk has ${disk.length} bytes, not ${[...sizes].join(' or ')}`;
  for (let at = 0; at < disk.length; at++) {
    const byte = disk[at] as number;
    if (durable[at] === byte || durable[at] === ANYTHING) continue;
    const isNew = since.some(({ offset, data, end }) => {
      if (at < offset || at >= end) return false;
      const value = typeof data === 'number' ? data : data[at - offset];
      return value === ANYTHING || value === byte;
    });
    if (!isNew) return `byte ${at} is ${byte}, not ${durable[at]}`;
  }
  return undefined;
}

async function run(shape: Shape, random: (below: number) => number): Promise<Sequence> {
  const { requests, maxSectors } = shape;
  const backing = random(2) === 0 ? undefined : pattern((1 + random(160)) * SECTOR, 3);
  if (backing !== undefined) folder.write('backing.raw', backing);
  const created = new MemoryFile();
  const version = random(4) === 0 ? 2 : 3;
  await createQcow2(created, {
    bytes: (64 + random(100)) * SECTOR,
    // Small ones, so that the L1 table has to move.
    clusterBytes: SECTOR << random(2),
    version,
    refcountBits: version === 2 ? 16 : (([1, 16, 64] as const)[random(3)] ?? 16),
    ...(backing !== undefined && { backing: { name: 'backing.raw', format: 'raw' } }),
  });
  const start = created.snapshot();
  const file = new MemoryFile(start);
  const image = await openInMemory(file, backing);
  const startDisk = await readAll(image);
  const operations: Operation[] = [];
  for (let number = 1; number <= requests; number++) {
    const begin = file.log.length;
    const choice = random(6);
    if (choice === 0) {
      const bytes = (1 + random(maxSectors)) * SECTOR;
      await image.resize(bytes);
      operations.push({ kind: 'resize', offset: bytes, data: new Uint8Array(0), begin, end: file.log.length });
    } else if (choice === 1) {
      await image.flush();
      operations.push({ kind: 'flush', offset: 0, data: new Uint8Array(0), begin, end: file.log.length });
    } else {
      const offset = random(image.bytes);
      const bytes = Math.min(image.bytes - offset, 1 + random(6 * SECTOR));
      const data = choice === 2 ? new Uint8Array(bytes) : pattern(bytes, number);
      if (choice === 2) await image.writeZeroes(offset, bytes, random(2) === 0);
      else await image.write(offset, [data]);
      operations.push({ kind: 'write', offset, data, begin, end: file.log.length });
    }
  }
  await image.close();
  return { shape, start, startDisk, backing, file, operations };
}

for (const shape of SHAPES) {
  test(`a crash while an image of up to ${shape.maxSectors} sectors is resized leaves its old size or the new one, no errors, and everything flushed`, async () => {
    for (let seed = FIRST_SEED; seed < FIRST_SEED + shape.seeds; seed++) {
      const random = randomSource(seed);
      const sequence = await run(shape, random);
      const { start, backing, file } = sequence;
      for (let at = 0; at <= file.log.length; at++) {
        const where = `DISK_SEED=${seed}, behind ${at} of ${file.log.length} events`;
        const contents = fileAfterCrash(start, file.log, at, random);
        const image = await openInMemory(new MemoryFile(contents), backing);
        const { errors, problems } = await checkQcow2(image, 'none');
        assert.equal(errors, 0, `${where}: ${problems.join('\n')}`);
        const disk = await readAll(image);
        assert.equal(fault(disk, sequence, at), undefined, where);
        if (at % QEMU_EVERY === QEMU_EVERY - 1 && NO_QEMU === false) {
          const { verdict, output } = qemuCheck(folder.write('crashed.qcow2', contents));
          assert.notEqual(verdict, 'corrupt', `${where}: ${output}`);
        }
        if (random(8) === 0) await growsOn(image, disk, (1 + random(shape.maxSectors)) * SECTOR, backing, where);
      }
    }
  });
}

/** Whoever goes on grows it: what is added reads as zeros, whatever the crash left there. */
async function growsOn(
  image: Qcow2Image,
  disk: Uint8Array,
  more: number,
  backing: Uint8Array | undefined,
  where: string,
): Promise<void> {
  const expected = new Uint8Array(disk.length + more);
  expected.set(disk);
  await image.resize(expected.length);
  const grown = await readAll(image);
  assert.ok(Buffer.from(grown.buffer).equals(Buffer.from(expected.buffer)), `${where}: what was added`);
  await image.close();
  const again = await openInMemory(new MemoryFile((image.file as MemoryFile).snapshot()), backing);
  assert.equal((await checkQcow2(again, 'leaks')).errors, 0, where);
}
