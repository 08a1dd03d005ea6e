import assert from 'node:assert/strict';
import { deflateRawSync, zstdCompressSync } from 'node:zlib';
import { test } from 'node:test';
import { nodeDecompressors } from '../../host/node/decompressors.ts';
import { DiskFormatError } from '../disk-format-error.ts';
import { RawDisk } from '../raw.ts';
import { MemoryFile, pattern, randomSource } from '../testing.ts';
import { checkQcow2 } from './check.ts';
import { createQcow2 } from './create.ts';
import { HeaderField } from './defs.ts';
import { Qcow2Image } from './image.ts';

/** Per kind of image; FUZZ_SECONDS makes it longer, FUZZ_SEED different. */
const seconds = Number(process.env['FUZZ_SECONDS'] ?? 1);
const firstSeed = Number(process.env['FUZZ_SEED'] ?? 1);
/** Far above what the slowest image takes on a loaded machine; an endless loop never comes back at all. */
const SLOW_MS = 5000;
/** What the few requests below may add to a file: data, tables, a refcount table that moves. */
const GROWTH_BYTES = 4 * 1024 * 1024;

type Random = (below: number) => number;

const BACKING = pattern(40_000, 3);

/** A small image with everything in it: data, zeros, compressed clusters, several tables. */
async function seedImage(version: 2 | 3, compression: 'zlib' | 'zstd'): Promise<Uint8Array> {
  const file = new MemoryFile();
  const clusterBytes = 1024;
  const backing = { name: 'backing.raw', format: 'raw' };
  await createQcow2(file, { bytes: 300 * 1024, clusterBytes, version, compression, backing });
  const image = await open(file);
  await image.write(0, [pattern(20_000, 1)]);
  await image.write(200 * 1024, [pattern(10_000, 2)]);
  if (version === 3) await image.writeZeroes(4096, 4096, false);
  await image.discard(202 * 1024, 4096);
  // Nothing here writes compressed clusters, so one is put into the tables by hand.
  const packed =
    compression === 'zlib' ? deflateRawSync(pattern(clusterBytes, 9)) : zstdCompressSync(pattern(clusterBytes, 9));
  await image.close();
  const host = file.bytes;
  await file.write(host, [packed]);
  const again = await open(file);
  await again.metadata.exclusive(async () => {
    const cluster = 100;
    const table = await again.metadata.writableTable(cluster);
    const at = (cluster % again.metadata.mapping.l2Entries) * 8;
    table.view.setUint32(at, 0x4000_0000 | ((Math.ceil(packed.length / 512) - 1) << 28));
    table.view.setUint32(at + 4, host);
    again.metadata.mapping.l2.markDirty(table, at, at + 8);
    await again.metadata.refcounts.set(host / clusterBytes, 1);
    await again.metadata.commit();
  });
  await again.close();
  const finished = await open(file);
  assert.deepEqual((await checkQcow2(finished, 'none')).problems, []);
  const into = new Uint8Array(clusterBytes);
  await finished.read(100 * clusterBytes, [into]);
  assert.deepEqual(into, pattern(clusterBytes, 9));
  return file.snapshot();
}

async function open(file: MemoryFile): Promise<Qcow2Image> {
  const header = await Qcow2Image.readHeader(file);
  const backing = header.backing && new RawDisk(new MemoryFile(BACKING, 'backing.raw', true));
  return Qcow2Image.open(file, header, backing, nodeDecompressors);
}

/** Values at which tables break: ends of widths, flags, offsets of what is already there and of what is not. */
function interesting(random: Random, fileBytes: number): bigint {
  const offset = BigInt(random(Math.ceil(fileBytes / 1024) + 2)) * 1024n;
  const flags = [0n, 1n, 1n << 63n, 1n << 62n, (1n << 63n) | 1n, 0xff00_0000_0000_0000n][random(6)] ?? 0n;
  const odd = [0n, 1n, 511n, 0x7fff_ffffn, 0xffff_ffffn, 1n << 40n, 1n << 53n, (1n << 56n) - 1024n, (1n << 64n) - 1n];
  return random(3) > 0 ? offset | flags : (odd[random(odd.length)] ?? 0n);
}

/** Where the refcount table, its block, the L1 table and the L2 tables are. */
function tablesOf(image: Uint8Array): number[] {
  const view = new DataView(image.buffer);
  const l1 = view.getUint32(HeaderField.l1_table_offset + 4);
  const l2 = Array.from({ length: view.getUint32(HeaderField.l1_size) }, (_, index) =>
    view.getUint32(l1 + index * 8 + 4),
  );
  const refcounts = view.getUint32(HeaderField.refcount_table_offset + 4);
  return [refcounts, view.getUint32(refcounts + 4), l1, ...l2].filter((offset) => offset > 0);
}

/** Bytes at the places where the format keeps what it believes. */
function mutate(original: Uint8Array, random: Random): Uint8Array {
  const file = original.slice();
  const view = new DataView(file.buffer);
  for (let count = 1 + random(4); count > 0; count--) {
    switch (random(4)) {
      case 0: {
        const fields = Object.values(HeaderField);
        const at = fields[random(fields.length)] ?? 0;
        if (random(2) === 0) view.setUint32(at, Number(interesting(random, file.length) & 0xffff_ffffn));
        else view.setUint8(at + random(8), random(256));
        break;
      }
      case 1:
        view.setUint8(random(file.length), random(256));
        break;
      default: {
        const tables = tablesOf(original);
        const table = tables[random(tables.length)] ?? 0;
        view.setBigUint64(table + random(random(2) ? 8 : 128) * 8, interesting(random, file.length));
      }
    }
  }
  return random(16) ? file : file.subarray(0, random(file.length));
}

/** What a hostile image may answer: an error of the format, or that nothing is written any more. */
function requireExpected(error: unknown): void {
  const isExpected =
    error instanceof DiskFormatError || (error instanceof Error && /nothing is written any more/.test(error.message));
  if (!isExpected) throw error;
  assert.doesNotMatch(error.message, /\n|undefined|NaN|\[object/);
}

/** Uses an image as a guest would that wants to break out. Returns whether it was refused at once. */
async function use(contents: Uint8Array, random: Random): Promise<boolean> {
  const file = new MemoryFile(contents);
  let image: Qcow2Image;
  try {
    image = await open(file);
  } catch (error) {
    requireExpected(error);
    return true;
  }
  const { backing } = image.header;
  for (let request = 0; request < 12; request++) {
    // Disks may be huge now; the tables describe their beginning.
    const span = Math.min(image.bytes, 310 * 1024);
    if (span === 0) break;
    const offset = random(span);
    const bytes = Math.min(span - offset, 1 + random(20_000));
    try {
      switch (random(6)) {
        case 0:
          await image.writeZeroes(offset, bytes, random(2) === 0);
          break;
        case 1:
          await image.discard(offset, bytes);
          break;
        case 2:
          await image.flush();
          break;
        case 3:
          await image.read(offset, [new Uint8Array(bytes)]);
          break;
        default:
          await image.write(offset, [pattern(bytes, request)]);
      }
    } catch (error) {
      requireExpected(error);
    }
  }
  await image.close().catch(requireExpected);
  assert.ok(
    file.bytes <= contents.length + GROWTH_BYTES,
    `the file grew from ${contents.length} to ${file.bytes} bytes`,
  );
  // Whatever the tables say, a guest does not get at the name of a file of the host.
  assert.deepEqual((await Qcow2Image.readHeader(file)).backing, backing);
  const checked = await open(new MemoryFile(file.snapshot(), 'image', true)).catch(requireExpected);
  if (checked !== undefined) await checkQcow2(checked, 'none').catch(requireExpected);
  return false;
}

for (const [version, compression] of [
  [2, 'zlib'],
  [3, 'zlib'],
  [3, 'zstd'],
] as const) {
  test(`a mutated image of version ${version} with ${compression} is refused or used without harm, and soon`, async (t) => {
    const original = await seedImage(version, compression);
    assert.equal(await use(original, randomSource(1)), false);
    const end = performance.now() + seconds * 1000;
    let runs = 0;
    let refused = 0;
    for (; performance.now() < end; runs++) {
      const seed = firstSeed + runs;
      const random = randomSource(seed);
      const started = performance.now();
      try {
        if (await use(mutate(original, random), random)) refused++;
      } catch (error) {
        throw new Error(`FUZZ_SEED=${seed}`, { cause: error });
      }
      assert.ok(performance.now() - started < SLOW_MS, `FUZZ_SEED=${seed} took too long`);
    }
    t.diagnostic(`${runs} images, ${refused} refused`);
    assert.ok(refused > 0 && refused < runs);
  });
}
