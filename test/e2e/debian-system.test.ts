/** A stock Debian with systemd from a virtio disk or persistent memory: login, a package from a repository on a second disk, power-off. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fetchPackage } from '../../tools/debian-packages.ts';
import { need, skipReason, skipWithout } from '../guest/debian.ts';
import { debianSystem, withPmemDrivers } from '../guest/debian-system.ts';
import { launch } from './console.ts';
import { temporaryFolder } from './programs.ts';

/** Some five billion instructions, of which most run a few times only. */
const BOOT_LIMIT_MS = 900_000;
const folder = temporaryFolder();
const system = debianSystem();
const hello = fetchPackage('hello');
const skip = skipReason(system) || skipReason(hello) || skipWithout('mke2fs');

/** A disk with a flat apt repository that has one package. */
function repository(): string {
  const root = join(folder, 'repository');
  const { file } = need(hello);
  mkdirSync(root);
  copyFileSync(file, join(root, 'hello.deb'));
  const control = execFileSync('dpkg-deb', ['-f', file], { encoding: 'utf8' }).trim();
  const digest = createHash('sha256').update(readFileSync(file)).digest('hex');
  const fields = [`Filename: ./hello.deb`, `Size: ${statSync(file).size}`, `SHA256: ${digest}`];
  writeFileSync(join(root, 'Packages'), `${control}\n${fields.join('\n')}\n`);
  const image = join(folder, 'repository.ext4');
  execFileSync('mke2fs', ['-q', '-t', 'ext4', '-d', root, image, '16M'], { stdio: 'pipe' });
  return image;
}

const repositoryImage = skip === false ? repository() : '';

/** A disk for a guest to write to, and what tells afterwards that it is whole: a raw file system to look into. */
interface SystemDisk {
  readonly args: readonly string[];
  /** Its name, and that of the disk with the repository. */
  readonly device: string;
  readonly repository: string;
  readonly check: () => string;
}

const DISKS = { device: '/dev/vda', repository: '/dev/vdb' };

function rawCopy(name: string): string {
  const path = join(folder, name);
  execFileSync('cp', ['--sparse=always', need(system).image, path]);
  return path;
}

function rawDisk(name: string, keys: string): SystemDisk {
  const path = rawCopy(`${name}.ext4`);
  return { ...DISKS, args: ['-i', need(system).initrd, '-b', `${path},${keys}`], check: () => path };
}

/** A copy whose table of file systems names another device than a virtio disk. */
function copyFor(device: string, name: string): string {
  const path = rawCopy(name);
  const table = join(folder, `${name}-fstab`);
  writeFileSync(table, `${device} / ext4 errors=remount-ro 0 1\n`);
  for (const command of ['rm /etc/fstab', `write ${table} /etc/fstab`]) {
    execFileSync('debugfs', ['-w', '-R', command, path], { stdio: 'pipe' });
  }
  return path;
}

function scsiDisk(): SystemDisk {
  const path = copyFor('/dev/sda', 'scsi.ext4');
  const args = ['-i', need(system).initrd, '--scsi-block', `${path},root`];
  return { args, device: '/dev/sda', repository: '/dev/vda', check: () => path };
}

/** The image as memory. Debian's initial RAM disk has no drivers for it. */
function persistentMemory(): SystemDisk {
  const path = copyFor('/dev/pmem0', 'pmem.ext4');
  const initrd = join(folder, 'pmem-initrd');
  writeFileSync(initrd, withPmemDrivers(need(system)));
  const args = ['-i', initrd, '--pmem', `${path},root`];
  return { args, device: '/dev/pmem0', repository: '/dev/vda', check: () => path };
}

/** An image over the system's, which stays as it is. */
function overlaidDisk(): SystemDisk {
  const { image } = need(system);
  const path = join(folder, 'overlaid.qcow2');
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', image, '-F', 'raw', path], { stdio: 'pipe' });
  const before = statSync(image).mtimeMs;
  const check = (): string => {
    execFileSync('qemu-img', ['check', '-q', path], { stdio: 'pipe' });
    assert.equal(statSync(image).mtimeMs, before);
    const flat = join(folder, 'overlaid.ext4');
    execFileSync('qemu-img', ['convert', '-O', 'raw', path, flat], { stdio: 'pipe' });
    return flat;
  };
  const block = `${path},root,format=qcow2,backing=[${image}]`;
  return { ...DISKS, args: ['-i', need(system).initrd, '-b', block], check };
}

for (const [name, disk, options] of [
  ['a disk on PCI', () => rawDisk('pci', 'root'), []],
  ['one on MMIO with packed rings', () => rawDisk('mmio', 'root,packed-queue'), ['--virtio-transport', 'mmio']],
  ['a qcow2 image over a backing file', overlaidDisk, []],
  ['a disk of a SCSI host', scsiDisk, []],
  ['persistent memory', persistentMemory, []],
] as const) {
  test(`Debian with systemd boots from ${name}, installs a package, powers off and leaves a clean disk`, {
    skip: skip || skipWithout('qemu-img'),
  }, async () => {
    const { kernel, password } = need(system);
    const { args, device, repository, check } = disk();
    await using vm = launch(['-m', '512', ...args, '-b', `${repositoryImage},ro`, ...options, kernel]);
    await vm.see('debian login:', BOOT_LIMIT_MS);
    vm.type('root\n');
    await vm.see('Password:');
    vm.type(`${password}\n`);
    await vm.prompt();
    assert.match(await vm.run('findmnt -no SOURCE,FSTYPE,OPTIONS /'), new RegExp(`^${device} +ext4 +rw`));
    assert.equal(await vm.run('systemctl list-units --failed --no-legend --plain'), '');
    await vm.run(`mount ${repository} /mnt`);
    await vm.run('echo "deb [trusted=yes] file:/mnt ./" > /etc/apt/sources.list');
    await vm.run('apt-get -qq update && apt-get -qq install -y hello', 0, BOOT_LIMIT_MS);
    assert.equal(await vm.run('hello'), 'Hello, world!');
    await vm.run('umount /mnt');
    vm.type('poweroff\n');
    await vm.see('Power down', BOOT_LIMIT_MS);
    await vm.exits(0);
    const root = check();
    execFileSync('e2fsck', ['-fn', root], { stdio: 'pipe' });
    const installed = execFileSync('debugfs', ['-R', 'stat /usr/bin/hello', root], { encoding: 'utf8', stdio: 'pipe' });
    assert.match(installed, /Type: regular/);
  });
}
