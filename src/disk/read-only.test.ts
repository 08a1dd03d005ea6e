import assert from 'node:assert/strict';
import { zstdCompressSync } from 'node:zlib';
import { test } from 'node:test';
import { nodeDecompressors } from '../host/node/decompressors.ts';
import { AndroidSparseDisk } from './android-sparse.ts';
import { ReadOnlyDiskError } from './buffers.ts';
import { parseDescription, encodeDescription } from './composite/description.ts';
import type { Disk } from './disk.ts';
import { DiskFormatError } from './disk-format-error.ts';
import { MemoryFile, pattern, randomSource } from './testing.ts';
import { ZstdSeekableDisk } from './zstd-seekable.ts';

/** A sparse image of blocks of 16 bytes: data, a repeated word, nothing, a checksum, data. */
function sparseImage(): Uint8Array {
  const chunk = (type: number, blocks: number, body: readonly number[]): number[] => {
    const header = new DataView(new ArrayBuffer(12));
    header.setUint16(0, type, true);
    header.setUint32(4, blocks, true);
    header.setUint32(8, 12 + body.length, true);
    return [...new Uint8Array(header.buffer), ...body];
  };
  const header = new DataView(new ArrayBuffer(28));
  header.setUint32(0, 0xed26_ff3a, true);
  header.setUint16(4, 1, true);
  header.setUint16(8, 28, true);
  header.setUint16(10, 12, true);
  header.setUint32(12, 16, true);
  header.setUint32(16, 7, true);
  header.setUint32(20, 5, true);
  return Uint8Array.from([
    ...new Uint8Array(header.buffer),
    ...chunk(0xcac1, 2, [...pattern(32, 1)]),
    ...chunk(0xcac2, 2, [1, 2, 3, 4]),
    ...chunk(0xcac3, 2, []),
    ...chunk(0xcac4, 0, [0, 0, 0, 0]),
    ...chunk(0xcac1, 1, [...pattern(16, 2)]),
  ]);
}

const SPARSE_CONTENTS = Uint8Array.from([
  ...pattern(32, 1),
  ...Array.from({ length: 8 }, () => [1, 2, 3, 4]).flat(),
  ...new Uint8Array(32),
  ...pattern(16, 2),
]);

/** Frames and their table, with checksums of the table or without. */
function seekableImage(frames: readonly Uint8Array[], checksums: boolean): Uint8Array {
  const packed = frames.map((frame) => zstdCompressSync(frame));
  const entryBytes = checksums ? 12 : 8;
  const table = new DataView(new ArrayBuffer(8 + frames.length * entryBytes + 9));
  table.setUint32(0, 0x184d_2a5e, true);
  table.setUint32(4, table.byteLength - 8, true);
  for (const [index, frame] of frames.entries()) {
    table.setUint32(8 + index * entryBytes, packed[index].length, true);
    table.setUint32(12 + index * entryBytes, frame.length, true);
  }
  const footer = table.byteLength - 9;
  table.setUint32(footer, frames.length, true);
  table.setUint8(footer + 4, checksums ? 0x80 : 0);
  table.setUint32(footer + 5, 0x8f92_eab1, true);
  return new Uint8Array(Buffer.concat([...packed, new Uint8Array(table.buffer)]));
}

const FRAMES = [pattern(1000, 1), pattern(0, 1), pattern(70_000, 2), pattern(1, 3)];
const openZstd = (bytes: Uint8Array): Promise<Disk> => ZstdSeekableDisk.open(new MemoryFile(bytes), nodeDecompressors);
const openSparse = (bytes: Uint8Array): Promise<Disk> => AndroidSparseDisk.open(new MemoryFile(bytes));

async function readsAs(disk: Disk, contents: Uint8Array): Promise<void> {
  assert.equal(disk.bytes, contents.length);
  const random = randomSource(1);
  for (let request = 0; request < 300; request++) {
    const offset = request === 0 ? 0 : random(contents.length);
    const bytes = request === 0 ? contents.length : random(contents.length - offset + 1);
    const cut = random(bytes + 1);
    const into = [new Uint8Array(cut), new Uint8Array(bytes - cut)];
    await disk.read(offset, into);
    assert.deepEqual(Buffer.concat(into), Buffer.from(contents.subarray(offset, offset + bytes)));
  }
}

test('a sparse image reads as its data, its words and its gaps', async () => {
  await readsAs(await openSparse(sparseImage()), SPARSE_CONTENTS);
});

test('a seekable image reads as its frames unpacked, with checksums in its table and without', async () => {
  for (const checksums of [false, true]) {
    await readsAs(await openZstd(seekableImage(FRAMES, checksums)), new Uint8Array(Buffer.concat(FRAMES)));
  }
});

test('both refuse everything that would change them', async () => {
  for (const disk of [await openSparse(sparseImage()), await openZstd(seekableImage(FRAMES, false))]) {
    assert.deepEqual([disk.readOnly, disk.resize], [true, undefined]);
    await assert.rejects(disk.write(0, [new Uint8Array(1)]), ReadOnlyDiskError);
    await assert.rejects(disk.discard(0, 1), ReadOnlyDiskError);
    await assert.rejects(disk.writeZeroes(0, 1, true), ReadOnlyDiskError);
    await assert.rejects(disk.read(disk.bytes, [new Uint8Array(1)]), RangeError);
    await disk.flush();
  }
});

test('zstd data without a seek table is refused', async () => {
  await assert.rejects(
    openZstd(zstdCompressSync(pattern(1000, 1))),
    /seekable magic 0x[0-9a-f]+ is not there: zstd data without a seek table is no disk/,
  );
});

test('a frame that does not unpack to what the table says is an error of its reads alone', async () => {
  const image = seekableImage(FRAMES, false);
  image[8] ^= 0xff;
  const disk = await openZstd(image);
  await assert.rejects(disk.read(0, [new Uint8Array(1)]), /frame 0 at 0 cannot be unpacked/);
  await disk.read(1000, [new Uint8Array(100)]);
});

/** FUZZ_SECONDS makes it longer, FUZZ_SEED different. */
const seconds = Number(process.env['FUZZ_SECONDS'] ?? 0.5);
const firstSeed = Number(process.env['FUZZ_SEED'] ?? 1);

const PARSERS: Record<string, readonly [original: Uint8Array, use: (bytes: Uint8Array) => Promise<void>]> = {
  'Android sparse image': [sparseImage(), async (bytes) => useDisk(await openSparse(bytes))],
  'seekable zstd image': [seekableImage(FRAMES, false), async (bytes) => useDisk(await openZstd(bytes))],
  'composite description': [
    encodeDescription({
      components: [0, 4096, 70_000].map((offset) => ({ path: 'x', offset, writable: true, fileOffset: 1 })),
      bytes: 2 ** 40,
    }),
    async (bytes) => void parseDescription(bytes, 'image'),
  ],
};

async function useDisk(disk: Disk): Promise<void> {
  const into = new Uint8Array(Math.min(disk.bytes, 100_000));
  await disk.read(0, [into]);
  await disk.read(disk.bytes - into.length, [into]);
}

for (const [name, [original, use]] of Object.entries(PARSERS)) {
  test(`a mutated ${name} is read or refused in one line`, async (t) => {
    const end = performance.now() + seconds * 1000;
    let runs = 0;
    let refused = 0;
    for (; performance.now() < end; runs++) {
      const random = randomSource(firstSeed + runs);
      const bytes = original.slice();
      for (let count = 1 + random(4); count > 0; count--) {
        // Tables are at the beginning or at the end.
        const at = random(3) === 0 ? random(bytes.length) : random(2) ? random(60) : bytes.length - 1 - random(60);
        bytes[at] = random(2) ? random(256) : ([0, 1, 0x7f, 0x80, 0xff][random(5)] ?? 0);
      }
      try {
        await use(random(8) ? bytes : bytes.subarray(0, random(bytes.length)));
      } catch (error) {
        if (!(error instanceof DiskFormatError)) throw new Error(`FUZZ_SEED=${firstSeed + runs}`, { cause: error });
        assert.doesNotMatch(error.message, /\n|undefined|NaN/);
        refused++;
      }
    }
    t.diagnostic(`${runs} images, ${refused} refused`);
    assert.ok(refused > 0 && refused < runs);
  });
}
