import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createQcow2, type Qcow2Options } from '../../disk/qcow2/create.ts';
import { openDiskImage, type DiskImageOptions } from './disk-image.ts';
import { openImageFile } from './image-file.ts';

const FOLDER = mkdtempSync(join(tmpdir(), 'typervisor-disk-image-'));
after(() => rmSync(FOLDER, { recursive: true }));
const at = (name: string): string => join(FOLDER, name);

async function create(name: string, options: Qcow2Options): Promise<string> {
  const file = await openImageFile(at(name), { readOnly: false, create: 'new' });
  await createQcow2(file, options);
  await file.close();
  return at(name);
}

async function contents(options: DiskImageOptions, bytes: number): Promise<string> {
  const disk = await openDiskImage({ readOnly: true, ...options });
  const into = new Uint8Array(bytes);
  await disk.read(0, [into]);
  await disk.close();
  return String.fromCharCode(...into);
}

test('a raw image with the header of another format is what the user says it is', async () => {
  const path = await create('header.qcow2', { bytes: 65536 });
  assert.equal(await contents({ path, format: 'raw' }, 3), 'QFI');
  assert.equal(await contents({ path, format: 'qcow2' }, 3), '\0\0\0');
  assert.equal(await contents({ path, format: 'auto' }, 3), '\0\0\0');
});

test('with snapshot=on changes are seen, and the image stays as it was, with readers beside it', async () => {
  writeFileSync(at('base.raw'), 'original'.padEnd(4096));
  const options = { path: at('base.raw'), format: 'raw', snapshot: true } as const;
  const disk = await openDiskImage(options);
  await disk.write(0, [new TextEncoder().encode('changed!')]);
  const into = new Uint8Array(8);
  await disk.read(0, [into]);
  assert.equal(String.fromCharCode(...into), 'changed!');
  assert.equal(await contents(options, 8), 'original');
  await disk.close();
  assert.equal(readFileSync(at('base.raw'), 'utf8').slice(0, 8), 'original');
});

test('a backing file is opened by the name in the image, by its path, or when any is allowed, and else refused', async () => {
  writeFileSync(at('below.raw'), 'from below'.padEnd(65536));
  const path = await create('above.qcow2', { bytes: 65536, backing: { name: 'below.raw', format: 'raw' } });
  for (const backing of [['below.raw'], [at('below.raw')], 'any'] as const) {
    assert.equal(await contents({ path, format: 'qcow2', backing }, 10), 'from below');
  }
  await assert.rejects(openDiskImage({ path, format: 'qcow2', backing: ['other.raw'] }), {
    name: 'DiskFormatError',
    message: `${path}: backing file "below.raw" is not allowed`,
  });
});

test('what was refused is closed again', async () => {
  const path = at('above.qcow2');
  await assert.rejects(openDiskImage({ path, format: 'qcow2' }));
  await (await openDiskImage({ path, format: 'qcow2', backing: 'any' })).close();
});

test('a backing file without a format in the image is refused, and so is one with an unknown format', async () => {
  const path = await create('formatless.qcow2', { bytes: 65536, backing: { name: 'below.raw' } });
  await assert.rejects(
    contents({ path, format: 'qcow2', backing: 'any' }, 1),
    /has no format in the image, and none is guessed/,
  );
  const other = await create('vmdk.qcow2', { bytes: 65536, backing: { name: 'below.raw', format: 'vmdk' } });
  await assert.rejects(
    contents({ path: other, format: 'qcow2', backing: 'any' }, 1),
    /has the format "vmdk", which is not raw or qcow2/,
  );
});

test('an image that is its own backing file, at once or round a corner, is refused', async () => {
  const self = await create('self.qcow2', { bytes: 65536, backing: { name: 'self.qcow2', format: 'qcow2' } });
  await create('a.qcow2', { bytes: 65536, backing: { name: 'b.qcow2', format: 'qcow2' } });
  await create('b.qcow2', { bytes: 65536, backing: { name: './a.qcow2', format: 'qcow2' } });
  for (const path of [self, at('a.qcow2')]) {
    const open = openDiskImage({ path, format: 'qcow2', backing: 'any' });
    await assert.rejects(open, /backing file "[^"]*" is the image itself, or one above it/);
  }
});

test('a chain of ten images is opened, one of eleven is refused', async () => {
  await create('0.qcow2', { bytes: 65536 });
  for (let number = 1; number <= 10; number++) {
    await create(`${number}.qcow2`, { bytes: 65536, backing: { name: `${number - 1}.qcow2`, format: 'qcow2' } });
  }
  assert.equal(await contents({ path: at('9.qcow2'), format: 'qcow2', backing: 'any' }, 1), '\0');
  await assert.rejects(
    contents({ path: at('10.qcow2'), format: 'qcow2', backing: 'any' }, 1),
    /image 11 of a chain of at most 10/,
  );
});

test('a dirty image is repaired before it is written to, and read as it is', async () => {
  const path = await create('dirty.qcow2', { bytes: 65536 });
  const bytes = readFileSync(path);
  bytes[79] = 1;
  // The refcount of the L1 table's cluster is lost: the repair brings it back.
  bytes.writeUInt16BE(0, 2 * 65536 + 3 * 2);
  writeFileSync(path, bytes);
  assert.equal(await contents({ path, format: 'qcow2' }, 1), '\0');
  assert.equal(readFileSync(path)[79], 1);
  await (await openDiskImage({ path, format: 'qcow2' })).close();
  assert.equal(readFileSync(path)[79], 0);
  assert.equal(readFileSync(path).readUInt16BE(2 * 65536 + 3 * 2), 1);
});

test('a corrupt image is opened for reading only', async () => {
  const path = await create('corrupt.qcow2', { bytes: 65536 });
  const bytes = readFileSync(path);
  bytes[79] = 2;
  writeFileSync(path, bytes);
  assert.equal(await contents({ path, format: 'qcow2' }, 1), '\0');
  await assert.rejects(
    openDiskImage({ path, format: 'qcow2' }),
    /incompatible feature "corrupt bit" allows only reading/,
  );
  assert.equal(await contents({ path, format: 'qcow2', snapshot: true }, 1), '\0');
});
