/** Files as persistent memory in real guests. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { busyboxInitrd, debianKernel, debianModules, need, skipReason, skipWithout } from '../guest/debian.ts';
import { GuestModules, type GuestTransport, PMEM_DRIVERS, waitForDevices } from '../guest/guest-modules.ts';
import { type Console, launch } from './console.ts';
import { temporaryFolder } from './programs.ts';

const BOOT_LIMIT_MS = 600_000;
const folder = temporaryFolder();
const cloud = debianKernel('cloud');
const modules = debianModules('cloud');
const skip = skipReason(cloud) || skipReason(modules) || skipWithout('mke2fs');

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** An ext4 image with a file /hello, made without mounting anything; its blocks are pages, which DAX asks for. */
function ext4(name: string, size = '64M'): string {
  const root = join(folder, `${name}-root`);
  mkdirSync(root);
  writeFileSync(join(root, 'hello'), 'from the host\n');
  const path = join(folder, name);
  execFileSync('mke2fs', ['-q', '-t', 'ext4', '-b', '4096', '-d', root, path, size], { stdio: 'pipe' });
  return path;
}

/** The contents of a file in an image without errors. */
function fileIn(image: string, path: string): Uint8Array {
  execFileSync('e2fsck', ['-fn', image], { stdio: 'pipe' });
  return execFileSync('debugfs', ['-R', `cat ${path}`, image], { maxBuffer: 2 ** 26, stdio: 'pipe' });
}

/** A guest at its prompt, with persistent memory in /dev/pmem0 and so on. */
async function boot(transport: GuestTransport, ...args: readonly string[]): Promise<Console> {
  const guest = new GuestModules(transport, PMEM_DRIVERS);
  const initrd = join(folder, `${transport}.cpio`);
  writeFileSync(initrd, need(busyboxInitrd({ entries: guest.entries })));
  const vm = launch(['-m', '256', '-i', initrd, '--virtio-transport', transport, ...args, need(cloud).bzImage]);
  await vm.prompt(BOOT_LIMIT_MS);
  await vm.run(`${guest.loadCommand}; ${waitForDevices('/dev/pmem0')}`);
  return vm;
}

for (const transport of ['pci', 'mmio'] as const) {
  test(`a guest on ${transport} mounts a file with DAX, and the file has what it wrote and flushed`, {
    skip,
  }, async () => {
    const image = ext4(`${transport}.ext4`);
    await using vm = await boot(transport, '--pmem', image);
    assert.equal(await vm.run('cat /sys/block/pmem0/size'), '131072');
    await vm.run('mkdir /mnt; mount -t ext4 -o dax /dev/pmem0 /mnt');
    assert.match(await vm.run('grep pmem0 /proc/mounts'), /ext4 rw,.*dax=always/);
    assert.equal(await vm.run('cat /mnt/hello'), 'from the host');
    await vm.run('dd if=/dev/urandom of=/mnt/data bs=1M count=8 conv=fsync 2>/dev/null');
    const written = await vm.run('sha256sum < /mnt/data');
    assert.equal(await vm.run('echo 3 > /proc/sys/vm/drop_caches; sha256sum < /mnt/data'), written);
    // Code that is executed where it lies in the file.
    await vm.run('cp /bin/busybox /mnt/busybox; sync');
    assert.equal(await vm.run('/mnt/busybox echo executed'), 'executed');
    await vm.run('umount /mnt');
    vm.type('poweroff -f\n');
    await vm.exits(0);
    assert.equal(`${sha256(fileIn(image, '/data'))}  -`, written);
  });
}

test('what was flushed is in the file after the machine was killed', { skip }, async () => {
  const image = ext4('killed.ext4');
  await using vm = await boot('pci', '--pmem', image);
  await vm.run('mkdir /mnt; mount -t ext4 /dev/pmem0 /mnt; echo kept > /mnt/kept; sync');
  vm.child.kill('SIGKILL');
  await vm.exits('SIGKILL');
  // The file system was mounted: its journal is played back, and counters are corrected (status 1), as a mount does.
  const { status, stdout } = spawnSync('e2fsck', ['-fp', image], { encoding: 'utf8' });
  assert.ok(status === 0 || status === 1, stdout);
  assert.equal(Buffer.from(fileIn(image, '/kept')).toString(), 'kept\n');
});

test('a read-only file keeps every byte, and a guest that flushes what it wrote is told', { skip }, async () => {
  const image = ext4('ro.ext4');
  const before = sha256(readFileSync(image));
  await using vm = await boot('pci', '--pmem', `${image},ro,root`);
  assert.match(await vm.run('cat /proc/cmdline'), / root=\/dev\/pmem0 ro$/);
  assert.equal(await vm.run('mkdir /mnt; mount -t ext4 -o ro /dev/pmem0 /mnt; cat /mnt/hello'), 'from the host');
  await vm.run('umount /mnt');
  await vm.run('dd if=/dev/zero of=/dev/pmem0 bs=4k count=1 conv=fsync 2>/dev/null', 1);
  vm.type('poweroff -f\n');
  await vm.exits(0);
  assert.equal(sha256(readFileSync(image)), before);
});

test('two files are two devices, and both are there after a reboot in place', { skip }, async () => {
  const [first, second] = [ext4('first.ext4', '33M'), ext4('second.ext4', '16M')];
  await using vm = await boot('pci', '--pmem', first, '--pmem', second);
  const ready = waitForDevices('/dev/pmem0', '/dev/pmem1');
  await vm.run(ready);
  const sizes = 'cat /sys/block/pmem0/size /sys/block/pmem1/size';
  // In sectors, padded to 2 MiB.
  assert.equal(await vm.run(sizes), '69632\n32768');
  await vm.run('mkdir /mnt; mount -t ext4 /dev/pmem1 /mnt; echo before > /mnt/note; umount /mnt');
  vm.type('reboot -f\n');
  await vm.prompt(BOOT_LIMIT_MS);
  await vm.run(`${new GuestModules('pci', PMEM_DRIVERS).loadCommand}; ${ready}`);
  assert.equal(await vm.run(sizes), '69632\n32768');
  assert.equal(await vm.run('mkdir /mnt; mount -t ext4 /dev/pmem1 /mnt; cat /mnt/note; umount /mnt'), 'before');
  vm.type('poweroff -f\n');
  await vm.exits(0);
  assert.equal(Buffer.from(fileIn(second, '/note')).toString(), 'before\n');
});
