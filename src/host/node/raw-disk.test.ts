import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Disk } from '../../disk/disk.ts';
import { openRawDisk, type RawDiskOptions } from './raw-disk.ts';

const folder = mkdtempSync(join(tmpdir(), 'typervisor-raw-'));
after(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
function image(bytes: number): string {
  const path = join(folder, `disk${++files}`);
  writeFileSync(
    path,
    Uint8Array.from({ length: bytes }, (_, n) => (n >> 8) + n),
  );
  return path;
}

async function withDisk(
  path: string,
  options: Partial<RawDiskOptions>,
  body: (disk: Disk) => Promise<void>,
): Promise<void> {
  const disk = openRawDisk(path, { readOnly: false, ...options });
  try {
    await body(disk);
  } finally {
    await disk.close();
  }
}

const shared = (bytes: number): Uint8Array =>
  new Uint8Array(new WebAssembly.Memory({ initial: 2, maximum: 2, shared: true }).buffer, 4096, bytes);

test('reads fill buffers in shared memory, one after the other', async () => {
  const path = image(8192);
  await withDisk(path, { readOnly: true }, async (disk) => {
    const memory = shared(8192);
    await disk.read(1000, [memory.subarray(0, 100), memory.subarray(4096, 4296)]);
    const expected = readFileSync(path);
    assert.deepEqual(Buffer.from(memory.subarray(0, 100)), expected.subarray(1000, 1100));
    assert.deepEqual(Buffer.from(memory.subarray(4096, 4296)), expected.subarray(1100, 1300));
    assert.equal(disk.bytes, 8192);
  });
});

test('writes from shared memory land in the file, and nowhere else', async () => {
  const path = image(8192);
  const expected = readFileSync(path);
  await withDisk(path, {}, async (disk) => {
    const memory = shared(2000).fill(0xaa, 0, 500).fill(0xbb, 500, 2000);
    await disk.write(512, [memory.subarray(0, 500), memory.subarray(500, 1536)]);
    await disk.flush();
  });
  expected.fill(0xaa, 512, 1012).fill(0xbb, 1012, 2048);
  assert.deepEqual(readFileSync(path), expected);
});

test('more buffers than one system call takes are moved whole', async () => {
  const path = image(4000);
  await withDisk(path, {}, async (disk) => {
    const buffers = Array.from({ length: 4000 }, () => new Uint8Array(1));
    await disk.read(0, buffers);
    assert.deepEqual(Buffer.concat(buffers), readFileSync(path));
  });
});

test('past the page cache: aligned transfers and misaligned ones give the same bytes', async (t) => {
  const path = image(65536);
  const open = (): Disk | undefined => {
    try {
      return openRawDisk(path, { readOnly: false, direct: true });
    } catch {
      return undefined;
    }
  };
  const disk = open();
  if (disk === undefined) {
    t.skip('the file system of temporary files has no O_DIRECT');
    return;
  }
  const memory = shared(16384);
  await disk.read(4096, [memory.subarray(0, 8192)]);
  await disk.read(513, [memory.subarray(8193, 8193 + 100)]);
  const expected = readFileSync(path);
  assert.deepEqual(Buffer.from(memory.subarray(0, 8192)), expected.subarray(4096, 12288));
  assert.deepEqual(Buffer.from(memory.subarray(8193, 8293)), expected.subarray(513, 613));
  await disk.write(8192, [memory.fill(0x11, 0, 4096).subarray(0, 4096)]);
  await disk.write(100, [memory.subarray(0, 7)]);
  await disk.close();
  assert.deepEqual(readFileSync(path).subarray(8192, 12288), Buffer.alloc(4096, 0x11));
  assert.deepEqual(readFileSync(path).subarray(100, 107), Buffer.alloc(7, 0x11));
});

test('zeros are written out where the host makes no holes, over their whole length', async () => {
  const path = image(3_000_000);
  await withDisk(path, {}, (disk) => disk.writeZeroes(1, 2_500_000, true));
  const contents = readFileSync(path);
  assert.deepEqual([contents[0], contents[2_500_001]], [0, ((2_500_001 >> 8) + 2_500_001) & 0xff]);
  assert.ok(contents.subarray(1, 2_500_001).every((byte) => byte === 0));
});

test('a host that makes holes is asked for discards and for zeros that may be unmapped', async () => {
  const path = image(8192);
  const holes: number[][] = [];
  const punchHole = async (_: number, offset: number, bytes: number): Promise<void> => void holes.push([offset, bytes]);
  await withDisk(path, { punchHole }, async (disk) => {
    await disk.discard(0, 4096);
    await disk.writeZeroes(4096, 512, true);
    await disk.writeZeroes(4608, 512, false);
    await disk.discard(0, 0);
  });
  assert.deepEqual(holes, [
    [0, 4096],
    [4096, 512],
  ]);
  assert.equal(readFileSync(path)[4608], 0);
});

test('what lies outside, or would change a read-only disk, is refused', async () => {
  const path = image(4096);
  await withDisk(path, { readOnly: true }, async (disk) => {
    const one = [new Uint8Array(512)];
    for (const offset of [-1, 3585, 4096, 2 ** 60, Number.NaN, 0.5]) {
      await assert.rejects(disk.read(offset, one), RangeError, String(offset));
    }
    await assert.rejects(disk.write(0, one), /read-only/);
    await assert.rejects(disk.discard(0, 512), /read-only/);
    await assert.rejects(disk.writeZeroes(0, 512, false), /read-only/);
    assert.equal(disk.resize, undefined);
  });
});

test('a disk grows with zeros and shrinks', async () => {
  const path = image(4096);
  await withDisk(path, {}, async (disk) => {
    await disk.resize?.(8192);
    assert.deepEqual([disk.bytes, statSync(path).size], [8192, 8192]);
    const back = new Uint8Array(1);
    await disk.read(8191, [back]);
    assert.equal(back[0], 0);
    await disk.resize?.(1024);
    await assert.rejects(disk.read(1024, [back]), RangeError);
  });
});

test('a file that shrank behind our back is an error that says so', async () => {
  const path = image(4096);
  await withDisk(path, {}, async (disk) => {
    truncateSync(path, 1000);
    await assert.rejects(disk.read(512, [new Uint8Array(1024)]), /ends at byte 1000.*ESHORT/);
  });
});

test('a closed disk is refused to be read, and closed again without harm', async () => {
  const disk = openRawDisk(image(4096), { readOnly: false });
  await disk.close();
  await assert.rejects(disk.read(0, [new Uint8Array(1)]), /closed/);
  await disk.close();
});

test('a folder, a missing file, a character device and an empty file are no disks', () => {
  for (const [path, reason] of [
    [folder, /is a folder/],
    [join(folder, 'missing'), /disk ".*missing": there is no such file \(ENOENT\)/],
    ['/dev/null', /neither a file nor a block device/],
    [image(511), /511 bytes, less than a sector/],
  ] as const) {
    assert.throws(() => openRawDisk(path, { readOnly: true }), reason);
  }
});
