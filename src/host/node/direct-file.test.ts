import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ModelDisk } from '../../../test/disk/model-disk.ts';
import { RawDisk } from '../../disk/raw.ts';
import { createQcow2 } from '../../disk/qcow2/create.ts';
import { checkQcow2 } from '../../disk/qcow2/check.ts';
import { pattern, randomSource } from '../../disk/testing.ts';
import { openDirectFile } from './direct-file.ts';
import { openQcow2Image } from './disk-image.ts';

// Not in the folder for temporary files, which is often a file system that cannot do without its cache.
const CACHE = join(import.meta.dirname, '../../../.cache');
mkdirSync(CACHE, { recursive: true });
const FOLDER = mkdtempSync(join(CACHE, 'direct-'));
after(() => rmSync(FOLDER, { recursive: true }));

async function whyNot(): Promise<string | false> {
  writeFileSync(join(FOLDER, 'probe'), 'x');
  try {
    await (await openDirectFile(join(FOLDER, 'probe'), { readOnly: true, lock: false })).close();
    return false;
  } catch {
    return 'needs a file system with O_DIRECT';
  }
}
const skip = await whyNot();

test('requests of any shape, side by side, read back as written, and the file keeps its odd length', {
  skip,
}, async () => {
  for (let seed = 1; seed <= 4; seed++) {
    const path = join(FOLDER, `random${seed}`);
    const contents = pattern(5 * 4096 + 512 * seed + 1, seed);
    writeFileSync(path, contents);
    const model = new ModelDisk(contents.slice(), 4096, randomSource(seed));
    const disk = new RawDisk(await openDirectFile(path, { readOnly: false, lock: false }));
    for (let step = 0; step < 100; step++) await model.step(disk);
    await model.resize(disk, 10 * 4096);
    for (let step = 0; step < 50; step++) await model.step(disk);
    await model.verifyAll(disk);
    await disk.close();
    assert.deepEqual(new Uint8Array(readFileSync(path)), model.contents);
  }
});

test('pieces larger than the aligned memory go through it part by part', { skip }, async () => {
  const path = join(FOLDER, 'large');
  writeFileSync(path, '');
  const file = await openDirectFile(path, { readOnly: false, lock: false });
  const data = pattern(3 * 1024 * 1024 + 77, 1);
  await file.write(13, [data.subarray(0, 5), data.subarray(5)]);
  assert.equal(file.bytes, 13 + data.length);
  const into = new Uint8Array(data.length + 100).fill(0xff);
  await file.read(13, [into]);
  assert.deepEqual(Buffer.from(into.subarray(0, data.length)), Buffer.from(data));
  assert.ok(into.subarray(data.length).every((byte) => byte === 0));
  await file.close();
  assert.equal(statSync(path).size, 13 + data.length);
});

test('a qcow2 image grows past the page cache, and is whole', { skip }, async () => {
  const path = join(FOLDER, 'image.qcow2');
  const file = await openDirectFile(path, { readOnly: false, lock: false, create: 'new' });
  await createQcow2(file, { bytes: 1 << 20, clusterBytes: 512 });
  await file.close();
  const image = await openQcow2Image({ path, direct: true, lock: false });
  const model = new ModelDisk(new Uint8Array(1 << 20), 512, randomSource(1));
  for (let step = 0; step < 100; step++) await model.step(image);
  await image.close();
  const again = await openQcow2Image({ path, readOnly: true, lock: false });
  await model.verifyAll(again);
  assert.deepEqual((await checkQcow2(again, 'none')).problems, []);
  await again.close();
});

test('what is written is not kept in the page cache', {
  skip: skip || (spawnSync('fincore', ['--version']).status !== 0 && 'needs fincore'),
}, async () => {
  const path = join(FOLDER, 'uncached');
  writeFileSync(path, '');
  const file = await openDirectFile(path, { readOnly: false, lock: false });
  await file.write(0, [pattern(1 << 20, 1)]);
  await file.read(0, [new Uint8Array(1 << 20)]);
  assert.equal(execFileSync('fincore', ['-n', '-o', 'PAGES', path], { encoding: 'utf8' }).trim(), '0');
  await file.close();
});
