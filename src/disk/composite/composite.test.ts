import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ModelDisk } from '../../../test/disk/model-disk.ts';
import { ReadOnlyDiskError } from '../buffers.ts';
import { RawDisk } from '../raw.ts';
import { MemoryFile, pattern, randomSource } from '../testing.ts';
import { CompositeDisk } from './composite-disk.ts';
import { COMPOSITE_MAGIC, encodeDescription, parseDescription } from './description.ts';

const component = (path: string, offset: number, writable = false, fileOffset = 0) => ({
  path,
  offset,
  writable,
  fileOffset,
});
const raw = (contents: Uint8Array | number, readOnly = false): RawDisk =>
  new RawDisk(new MemoryFile(contents, 'part', readOnly));

test('a description has the bytes of its protocol buffer, and reads back', () => {
  const description = { components: [component('a', 0, true), component('bc', 300, false, 7)], bytes: 4096 };
  const bytes = encodeDescription(description);
  assert.deepEqual(
    [...bytes.subarray(COMPOSITE_MAGIC.length)],
    // biome-ignore format: one field a line
    [
      0x08, 2,
      0x12, 5, 0x0a, 1, 0x61, 0x18, 1,
      0x12, 9, 0x0a, 2, 0x62, 0x63, 0x10, 0xac, 0x02, 0x20, 7,
      0x18, 0x80, 0x20,
    ],
  );
  assert.deepEqual(parseDescription(bytes, 'x'), description);
});

test('fields of protocol buffers that are not known are passed over', () => {
  const bytes = encodeDescription({ components: [component('a', 0)], bytes: 10 });
  // Field 9 in every wire type: a number, 8 bytes, 4 bytes, a text.
  const unknown = [0x48, 1, 0x49, 1, 2, 3, 4, 5, 6, 7, 8, 0x4d, 1, 2, 3, 4, 0x4a, 1, 0x41];
  assert.equal(parseDescription(Uint8Array.from([...bytes, ...unknown]), 'x').bytes, 10);
});

test('a description that makes no disk is refused with what is wrong', () => {
  const refuses = (bytes: Uint8Array, message: string): void =>
    assert.throws(() => parseDescription(bytes, 'x'), { name: 'DiskFormatError', message: `x: ${message}` });
  const encode = (components: ReturnType<typeof component>[], bytes: number) =>
    encodeDescription({ components, bytes });
  refuses(encode([], 10), 'components 0 make no disk');
  refuses(encode([component('a', 5)], 10), 'offset of the first component 5 is not 0');
  refuses(encode([component('a', 0), component('b', 0)], 10), 'offset of a component 0 leaves no room before 0');
  refuses(encode([component('a', 0)], 0), 'offset of a component 0 leaves no room before 0');
  refuses(encode([component('', 0)], 10), 'path of component 0 is missing or no text');
  refuses(encode([component('a', 0)], 10).subarray(0, -1), 'description 23 bytes long, is malformed');
  refuses(Uint8Array.of(1, 2, 3), 'magic "\\u0001\\u0002\\u0003" is not that of a composite disk');
});

test('random requests over the borders of parts read back as written, each in its file', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const random = randomSource(seed);
    const sizes = [5000, 512, 30_000, 1];
    const files = sizes.map((bytes) => new MemoryFile(pattern(bytes, seed), 'part'));
    let offset = 0;
    const parts = files.map((file) => {
      const part = { disk: new RawDisk(file), offset, start: 0 };
      offset += file.bytes;
      return part;
    });
    const contents = Buffer.concat(files.map((file) => file.snapshot()));
    const model = new ModelDisk(new Uint8Array(contents), 4096, random);
    const disk = new CompositeDisk('x', offset, parts);
    for (let step = 0; step < 100; step++) await model.step(disk);
    await model.verifyAll(disk);
    assert.deepEqual(Buffer.concat(files.map((file) => file.snapshot())), Buffer.from(model.contents));
  }
});

test('a write that touches a read-only part, or what is behind the end of one, writes nothing', async () => {
  const first = new MemoryFile(1024, 'first');
  const disk = new CompositeDisk('x', 4096, [
    { disk: new RawDisk(first), offset: 0, start: 0 },
    { disk: raw(512, true), offset: 1024, start: 0 },
    { disk: raw(512), offset: 2048, start: 0 },
  ]);
  assert.equal(disk.readOnly, false);
  for (const offset of [1000, 2500]) await assert.rejects(disk.write(offset, [new Uint8Array(100)]), ReadOnlyDiskError);
  assert.deepEqual(first.log, []);
});

test('what lies between the end of a file and the next part reads as zeros', async () => {
  const disk = new CompositeDisk('x', 300, [
    { disk: raw(Uint8Array.of(1, 2, 3)), offset: 0, start: 1 },
    { disk: raw(Uint8Array.of(9)), offset: 5, start: 0 },
  ]);
  const into = new Uint8Array(8).fill(0xff);
  await disk.read(0, [into.subarray(0, 3), into.subarray(3)]);
  assert.deepEqual([...into], [2, 3, 0, 0, 0, 9, 0, 0]);
});
