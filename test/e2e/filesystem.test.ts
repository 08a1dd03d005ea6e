/**
 * What people do with a new disk, in a Debian guest: make a file system, unpack a source tree, look
 * at it again, give space back, check.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { need, skipReason, skipWithout } from '../guest/debian.ts';
import { debianSystem } from '../guest/debian-system.ts';
import { launch } from './console.ts';
import { temporaryFolder } from './programs.ts';

const BOOT_LIMIT_MS = 900_000;
const GIB = 2 ** 30;
const MIB = 2 ** 20;
const folder = temporaryFolder();
const system = debianSystem();
const skip = skipReason(system) || skipWithout('mke2fs') || skipWithout('qemu-img');
const SOURCES = fileURLToPath(new URL('../../', import.meta.url));
const TREES = ['src', 'docs'];

/** An archive of this project's sources, with zeros behind it as the rest of a disk. */
function sourceArchive(): string {
  const path = join(folder, 'sources.tar');
  execFileSync('tar', ['-C', SOURCES, '-cf', path, ...TREES]);
  return path;
}

/** The digest of the list of all files' digests, as `sha256sum` writes it. */
function treeDigest(): string {
  const files = TREES.flatMap((tree) =>
    readdirSync(join(SOURCES, tree), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => `${entry.parentPath.slice(SOURCES.length)}/${entry.name}`),
  );
  const digest = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');
  return digest(
    files
      .sort()
      .map((path) => `${digest(readFileSync(join(SOURCES, path)))}  ${path}\n`)
      .join(''),
  );
}

const TREE_DIGEST = `find ${TREES.join(' ')} -type f | LC_ALL=C sort | xargs sha256sum | sha256sum`;

/** A disk of 64 GiB that takes no space. */
function largeDisk(name: string, format: 'raw' | 'qcow2'): string {
  const path = join(folder, `${name}.${format}`);
  if (format === 'qcow2') execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', path, '64G'], { stdio: 'pipe' });
  else {
    writeFileSync(path, '');
    truncateSync(path, 64 * GIB);
  }
  return path;
}

const spaceOf = (path: string): number => statSync(path).blocks * 512;

for (const [transport, format, keys] of [
  ['pci', 'raw', ''],
  ['mmio', 'qcow2', ',packed-queue'],
] as const) {
  test(`Debian on ${transport} makes ext4 on 64 GiB of ${format}, unpacks sources, trims, zeroes a SCSI disk; both ends find it whole`, {
    skip,
  }, async (t) => {
    const { kernel, initrd, image } = need(system);
    // All of them now: somebody may be at work on them.
    const [archive, digest, index] = [sourceArchive(), treeDigest(), readFileSync(join(SOURCES, 'src/index.ts'))];
    const path = largeDisk(transport, format);
    const empty = spaceOf(path);
    const disks = [`${image},root,snapshot`, `${path},format=${format}${keys}`, `${archive},ro`];
    const scsi = join(folder, `${transport}.scsi`);
    writeFileSync(scsi, new Uint8Array(16 * MIB).fill(0xff));
    const options = [
      '--hypervisor',
      'wasm',
      '-m',
      '512',
      '--virtio-transport',
      transport,
      '-p',
      'init=/bin/bash',
      '--scsi-block',
      scsi,
    ];
    await using vm = launch([...options, '-i', initrd, ...disks.flatMap((disk) => ['-b', disk]), kernel]);
    await vm.prompt(BOOT_LIMIT_MS);
    await vm.run('dmesg -n 1; mkfs.ext4 -q /dev/vdb && mount /dev/vdb /mnt', 0, BOOT_LIMIT_MS);
    await vm.run('tar -C /mnt -xf /dev/vdc && sync', 0, BOOT_LIMIT_MS);
    await vm.run('echo 3 > /proc/sys/vm/drop_caches');
    assert.equal(await vm.run(`cd /mnt; ${TREE_DIGEST}; cd /`, 0, BOOT_LIMIT_MS), `${digest}  -`);

    await vm.run('dd if=/dev/zero of=/mnt/more bs=1M count=96 conv=fsync 2>/dev/null', 0, BOOT_LIMIT_MS);
    const full = spaceOf(path);
    await vm.run('rm /mnt/more; sync; fstrim /mnt', 0, BOOT_LIMIT_MS);
    // Linux writes no zeros itself as long as the disk takes WRITE SAME.
    await vm.run('modprobe -a virtio_scsi sd_mod; until [ -b /dev/sda ]; do sleep 0.1; done', 0, BOOT_LIMIT_MS);
    await vm.run('blkdiscard -z -o 1M -l 8M /dev/sda', 0, BOOT_LIMIT_MS);
    assert.notEqual(await vm.run('cat /sys/block/sda/queue/write_zeroes_max_bytes'), '0');

    await vm.run('umount /mnt; e2fsck -fn /dev/vdb 2>/dev/null', 0, BOOT_LIMIT_MS);
    vm.type('poweroff -ff\n');
    await vm.exits(0);
    const trimmed = spaceOf(path);
    const mib = (bytes: number): string => (bytes / MIB).toFixed(1);
    t.diagnostic(`MiB on the host: ${mib(empty)}, with the file ${mib(full)}, without it ${mib(trimmed)}`);
    assert.ok(full > 96 * MIB, 'the file is there');
    assert.ok(full - trimmed > 90 * MIB, 'the host has the space back');

    const bytes = readFileSync(scsi);
    assert.ok(bytes.subarray(MIB, 9 * MIB).every((byte) => byte === 0));
    assert.ok([0, MIB - 1, 9 * MIB, 16 * MIB - 1].every((at) => bytes[at] === 0xff));

    if (format === 'qcow2') execFileSync('qemu-img', ['check', '-q', path], { stdio: 'pipe' });
    const raw = format === 'raw' ? path : join(folder, 'converted');
    if (raw !== path) execFileSync('qemu-img', ['convert', '-O', 'raw', path, raw], { stdio: 'pipe' });
    execFileSync('e2fsck', ['-fn', raw], { stdio: 'pipe' });
    const file = execFileSync('debugfs', ['-R', 'cat /src/index.ts', raw], { stdio: 'pipe' });
    assert.deepEqual(file, index);
  });
}
