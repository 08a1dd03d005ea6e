/** Images on file systems that are full, or have no holes. Needs root, to mount them. @module */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { checkQcow2 } from '../../src/disk/qcow2/check.ts';
import { createQcow2 } from '../../src/disk/qcow2/create.ts';
import { pattern } from '../../src/disk/testing.ts';
import { openDiskImage, openQcow2Image } from '../../src/host/node/disk-image.ts';
import { openImageFile } from '../../src/host/node/image-file.ts';
import { TemporaryFolder } from './temporary.ts';

const MIB = 1 << 20;
// Before the folder, which is removed when this has run.
after(() => {
  for (const path of [isMounted && mount, isRamfs && ramfs]) if (path !== false) spawnSync('umount', [path]);
});
const folder = new TemporaryFolder();
const mount = folder.at('small');
const ramfs = folder.at('ramfs');
mkdirSync(mount);
mkdirSync(ramfs);
const isMounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', mount]).status === 0;
const isRamfs = spawnSync('mount', ['-t', 'ramfs', 'ramfs', ramfs]).status === 0;
const skip = isMounted ? false : 'needs the right to mount a tmpfs';

for (const format of ['raw', 'qcow2'] as const) {
  test(`a write to a ${format} image on a full disk fails, and with room again it succeeds`, { skip }, async () => {
    const path = `${mount}/disk.${format}`;
    const file = await openImageFile(path, { readOnly: false, create: 'new' });
    if (format === 'raw') await file.truncate?.(16 * MIB);
    else await createQcow2(file, { bytes: 16 * MIB });
    await file.close();
    writeFileSync(`${mount}/ballast`, new Uint8Array(2 * MIB));
    const disk = await openDiskImage({ path, format });
    await disk.write(0, [pattern(MIB, 1)]);
    await disk.flush();
    await assert.rejects(
      (async () => {
        for (let offset = MIB; offset < 8 * MIB; offset += MIB) await disk.write(offset, [pattern(MIB, 2)]);
      })(),
      { name: 'FileError', code: 'ENOSPC' },
    );
    const into = new Uint8Array(MIB);
    await disk.read(0, [into]);
    assert.deepEqual(into, pattern(MIB, 1));
    rmSync(`${mount}/ballast`);
    await disk.write(9 * MIB, [pattern(MIB, 3)]);
    await disk.flush();
    await disk.read(9 * MIB, [into]);
    assert.deepEqual(into, pattern(MIB, 3));
    await disk.close();
    if (format === 'qcow2') {
      const image = await openQcow2Image({ path, readOnly: true });
      assert.deepEqual((await checkQcow2(image, 'none')).problems, []);
      await image.close();
    }
    rmSync(path);
  });
}

test('where there are no holes, zeros are written and discards do nothing', {
  skip: isRamfs ? false : 'needs the right to mount a ramfs',
}, async () => {
  const path = `${ramfs}/disk.raw`;
  writeFileSync(path, pattern(MIB, 1));
  const disk = await openDiskImage({ path, format: 'raw' });
  await disk.writeZeroes(0, 100_000, true);
  await disk.writeZeroes(100_000, 100_000, true);
  await disk.discard(300_000, 100_000);
  const into = new Uint8Array(MIB);
  await disk.read(0, [into]);
  const expected = pattern(MIB, 1);
  expected.fill(0, 0, 200_000);
  assert.deepEqual(into, expected);
  await disk.close();
});
