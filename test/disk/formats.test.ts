/** Composite disks and sparse images beside the programs that know them: sfdisk and Android's img2simg. @module */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { pattern } from '../../src/disk/testing.ts';
import { openDiskImage, type DiskImageOptions } from '../../src/host/node/disk-image.ts';
import { TemporaryFolder } from './temporary.ts';

const folder = new TemporaryFolder();
const LAUNCHER = fileURLToPath(new URL('../../bin/typervisor', import.meta.url));
const SFDISK = ['/usr/sbin/sfdisk', '/sbin/sfdisk', 'sfdisk'].find(
  (path) => spawnSync(path, ['--version']).status === 0,
);
const hasImg2simg = spawnSync('img2simg', []).error === undefined;

function typervisor(...args: string[]): string {
  const { status, stderr, stdout } = spawnSync(process.execPath, [LAUNCHER, ...args], {
    encoding: 'utf8',
    cwd: folder.path,
  });
  assert.equal(status, 0, stderr);
  return stdout;
}

async function contents(options: DiskImageOptions): Promise<Buffer> {
  const disk = await openDiskImage({ readOnly: true, ...options });
  const into = Buffer.alloc(disk.bytes);
  await disk.read(0, [into]);
  await disk.close();
  return into;
}

interface PartitionTable {
  readonly label: string;
  readonly id: string;
  readonly partitions: readonly { start: number; size: number; type: string; uuid: string; name: string }[];
}

test('create_composite makes a disk whose partitions sfdisk finds, with both tables whole', {
  skip: SFDISK === undefined && 'needs sfdisk',
}, async () => {
  folder.write('root.img', pattern(3 * 4096, 1));
  folder.write('data.img', pattern(5000, 2));
  const guid = '01234567-89ab-4cde-8f01-23456789abcd';
  typervisor('create_composite', 'vm.composite', 'root:root.img:writable', `dätá:data.img:${guid}`);
  const disk = await contents({ path: folder.at('vm.composite'), format: 'composite' });
  assert.equal(disk.length % 65536, 0);
  const raw = folder.write('composite.raw', disk);
  const { stdout, status } = spawnSync(SFDISK ?? '', ['--verify', raw], { encoding: 'utf8' });
  assert.equal(status, 0);
  assert.match(stdout, /No errors detected/);
  const json = spawnSync(SFDISK ?? '', ['--json', raw], { encoding: 'utf8' }).stdout;
  const { partitiontable } = JSON.parse(json) as { partitiontable: PartitionTable };
  assert.equal(partitiontable.label, 'gpt');
  const [root, data] = partitiontable.partitions;
  assert.deepEqual([root.start, root.size, root.name], [40, 24, 'root']);
  assert.deepEqual([data.start, data.size, data.uuid], [64, 16, guid.toUpperCase()]);
  assert.equal(root.type, '0FC63DAF-8483-4772-8E79-3D69D8477DE4');
  assert.ok(disk.subarray(64 * 512, 64 * 512 + 5000).equals(pattern(5000, 2)));
  // Without the table at the beginning the one at the end is found.
  disk.fill(0, 512, 1024);
  const backup = spawnSync(SFDISK ?? '', ['--json', folder.write('backup.raw', disk)], { encoding: 'utf8' });
  assert.match(backup.stdout, /"name": "root"/);
});

test('a write to a composite disk lands in the file of its partition, and others are refused', async () => {
  folder.write('root.img', pattern(3 * 4096, 1));
  folder.write('data.img', pattern(5000, 2));
  typervisor('create_composite', 'rw.composite', 'root:root.img:writable', 'data:data.img');
  const disk = await openDiskImage({ path: folder.at('rw.composite'), format: 'composite' });
  await disk.write(40 * 512 + 7, [pattern(100, 3)]);
  await assert.rejects(disk.write(64 * 512, [new Uint8Array(512)]), { name: 'ReadOnlyDiskError' });
  await assert.rejects(disk.write(512, [new Uint8Array(512)]), { name: 'ReadOnlyDiskError' });
  await disk.close();
  assert.deepEqual(new Uint8Array(readFileSync(folder.at('root.img')).subarray(7, 107)), pattern(100, 3));
});

test('a composite disk does not reach files outside its folder that were not allowed, links or not', async () => {
  const outside = new TemporaryFolder();
  const secret = outside.write('secret', pattern(4096, 1));
  typervisor('create_composite', 'reach.composite', `x:${secret}`);
  const options = { path: folder.at('reach.composite'), format: 'composite' } as const;
  await assert.rejects(
    contents(options),
    /component "[^"]*secret" is not in the folder of its description, and not allowed/,
  );
  assert.ok(
    (await contents({ ...options, backing: [secret] }))
      .subarray(40 * 512)
      .subarray(0, 4096)
      .equals(pattern(4096, 1)),
  );
  symlinkSync(secret, folder.at('link'));
  typervisor('create_composite', 'link.composite', 'x:link');
  await assert.rejects(
    contents({ path: folder.at('link.composite'), format: 'composite' }),
    /component "link" is not in the folder/,
  );
});

test('create_composite refuses what makes no partition in one line', () => {
  folder.write('odd.img', pattern(5000, 1));
  const refused = (message: string, ...args: string[]): void => {
    const { status, stderr } = spawnSync(process.execPath, [LAUNCHER, 'create_composite', 'no.composite', ...args], {
      encoding: 'utf8',
      cwd: folder.path,
    });
    assert.deepEqual([status, stderr], [35, `typervisor: ${message}\n`]);
  };
  refused('a partition is missing: LABEL:PARTITION[:writable][:GUID]');
  refused('PARTITION "root": a label and a path are needed, as in root:root.img', 'root');
  refused('PARTITION "a:odd.img:writable": its 5000 bytes are no multiple of 4096', 'a:odd.img:writable');
  refused('PARTITION "a:odd.img:rw": "rw" is neither writable nor a GUID', 'a:odd.img:rw');
  refused('PARTITION "a:odd.img": its label is there already', 'a:odd.img', 'a:odd.img');
});

test("what Android's img2simg packs reads as it was", { skip: !hasImg2simg && 'needs img2simg' }, async () => {
  const image = new Uint8Array(40 * 4096);
  image.set(pattern(3 * 4096, 1), 4096);
  image.fill(0x5a, 10 * 4096, 13 * 4096);
  image.set(pattern(4096, 2), 39 * 4096);
  const raw = folder.write('plain.raw', image);
  assert.equal(spawnSync('img2simg', [raw, folder.at('packed.simg'), '4096']).status, 0);
  assert.ok(readFileSync(folder.at('packed.simg')).length < 10 * 4096);
  for (const format of ['android-sparse', 'auto'] as const) {
    assert.ok((await contents({ path: folder.at('packed.simg'), format })).equals(image));
  }
  typervisor('disk', 'convert', '-f', 'android-sparse', '-O', 'raw', 'packed.simg', 'unpacked.raw');
  assert.ok(readFileSync(folder.at('unpacked.raw')).equals(image));
});

test('a disk of 64 GiB takes no space as raw and as qcow2, and reads zeros to its end', async () => {
  writeFileSync(folder.at('large.raw'), '');
  truncateSync(folder.at('large.raw'), 2 ** 36);
  typervisor('disk', 'create', '-f', 'qcow2', 'large.qcow2', '64G');
  for (const format of ['raw', 'qcow2'] as const) {
    const disk = await openDiskImage({ path: folder.at(`large.${format}`), format });
    assert.equal(disk.bytes, 2 ** 36);
    await disk.write(2 ** 36 - 4096, [pattern(4096, 1)]);
    await disk.discard(0, 2 ** 36);
    const into = new Uint8Array(4096);
    await disk.read(2 ** 36 - 4096, [into]);
    assert.ok(into.every((byte) => byte === 0));
    await disk.close();
    assert.ok(statSync(folder.at(`large.${format}`)).blocks * 512 < 2 ** 20);
  }
});
