/** Disks of the SCSI host in real guests. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { busyboxInitrd, debianKernel, debianModules, need, skipReason, skipWithout } from '../guest/debian.ts';
import { GuestModules, waitForDevices } from '../guest/guest-modules.ts';
import { launch } from './console.ts';
import { temporaryFolder } from './programs.ts';

const BOOT_LIMIT_MS = 600_000;
const DRIVERS = ['scsi/scsi_common', 'scsi/scsi_mod', 'scsi/sd_mod', 'scsi/virtio_scsi'];
const folder = temporaryFolder();
const cloud = debianKernel('cloud');
const modules = debianModules('cloud');
const skip = skipReason(cloud) || skipReason(modules) || skipWithout('mke2fs');

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

function ext4(name: string): string {
  const path = join(folder, name);
  execFileSync('mke2fs', ['-q', '-t', 'ext4', path, '64M'], { stdio: 'pipe' });
  return path;
}

for (const transport of ['pci', 'mmio'] as const) {
  test(`Debian's kernel on ${transport} finds three LUNs, writes one, discards, and is kept from the read-only one`, {
    skip,
  }, async () => {
    const [image, readOnly, large] = [ext4(`${transport}.ext4`), ext4(`${transport}-ro.ext4`), ext4(`${transport}-4k`)];
    const before = sha256(readFileSync(readOnly));
    const guest = new GuestModules(transport, DRIVERS);
    const initrd = join(folder, `${transport}.cpio`);
    writeFileSync(initrd, need(busyboxInitrd({ entries: guest.entries })));
    const disks = [image, `${readOnly},ro`, `${large},block-size=4096`].flatMap((disk) => ['--scsi-block', disk]);
    await using vm = launch([
      '-m',
      '256',
      '-i',
      initrd,
      '--virtio-transport',
      transport,
      ...disks,
      need(cloud).bzImage,
    ]);
    await vm.prompt(BOOT_LIMIT_MS);
    await vm.run(`${guest.loadCommand}; ${waitForDevices('/dev/sda', '/dev/sdb', '/dev/sdc')}`);
    // Linux looks at several at once, and names them in the order in which that ends.
    const names: string[] = [];
    for (const lun of [0, 1, 2]) names.push(await vm.run(`ls /sys/bus/scsi/devices/0:0:0:${lun}/block`));
    assert.deepEqual([...names].sort(), ['sda', 'sdb', 'sdc']);
    const files = (file: string): Promise<string> =>
      vm.run(`cd /sys/block; cat ${names.map((disk) => `${disk}/${file}`).join(' ')}; cd /`);
    assert.equal(await files('size'), '131072\n131072\n131072');
    assert.equal(await files('ro'), '0\n1\n0');
    assert.equal(await files('queue/logical_block_size'), '512\n512\n4096');
    assert.equal(await files('queue/rotational'), '0\n0\n0');
    assert.equal(await files('device/model'), Array.from({ length: 3 }, () => 'VIRTUAL DISK    ').join('\n'));
    assert.equal(await vm.run('cat /sys/class/scsi_disk/0:0:0:0/cache_type'), 'write back');
    assert.equal(await vm.run('cat /sys/class/scsi_disk/0:0:0:0/provisioning_mode'), 'unmap');
    await vm.run(`mkdir /mnt; mount -t ext4 /dev/${names[0]} /mnt`);
    await vm.run('dd if=/dev/urandom of=/mnt/data bs=1M count=8 2>/dev/null; sync');
    const written = await vm.run('sha256sum < /mnt/data');
    assert.equal(await vm.run('echo 3 > /proc/sys/vm/drop_caches; sha256sum < /mnt/data'), written);
    await vm.run('dd if=/dev/zero of=/mnt/more bs=1M count=32 2>/dev/null; sync');
    const full = statSync(image).blocks;
    await vm.run('rm /mnt/more; sync; fstrim /mnt; umount /mnt');
    assert.ok(statSync(image).blocks < full - 32 * 2048 * 0.9, 'the host has the space back');
    await vm.run(`dd if=/dev/zero of=/dev/${names[1]} count=1 2>/dev/null`, 1);
    vm.type('poweroff -f\n');
    await vm.exits(0);
    execFileSync('e2fsck', ['-fn', image], { stdio: 'pipe' });
    const data = execFileSync('debugfs', ['-R', 'cat /data', image], { maxBuffer: 2 ** 26, stdio: 'pipe' });
    assert.equal(`${sha256(data)}  -`, written);
    assert.equal(sha256(readFileSync(readOnly)), before);
  });
}
