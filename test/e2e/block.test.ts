/** Disks and random numbers in real guests, on both transports. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { CpioEntry } from '../../guest/cpio.ts';
import { busyboxInitrd, debianKernel, debianModules, need, skipReason, skipWithout } from '../guest/debian.ts';
import { GuestModules, type GuestTransport } from '../guest/guest-modules.ts';
import { type Console, launch } from './console.ts';
import { compiled, extendedInitrd, temporaryFolder } from './programs.ts';

const BOOT_LIMIT_MS = 600_000;
const folder = temporaryFolder();
const cloud = debianKernel('cloud');
const modules = debianModules('cloud');
const checks = compiled('checks');
const skip = skipReason(cloud) || skipReason(modules) || skipWithout('mke2fs');

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** An ext4 image of 64 MiB with a file /hello, made without mounting anything. */
function ext4(name: string): string {
  const root = join(folder, `${name}-root`);
  mkdirSync(root);
  writeFileSync(join(root, 'hello'), 'from the host\n');
  const path = join(folder, name);
  execFileSync('mke2fs', ['-q', '-t', 'ext4', '-d', root, path, '64M'], { stdio: 'pipe' });
  return path;
}

/** Fails when the file system has an error. */
const check = (path: string): void => void execFileSync('e2fsck', ['-fn', path], { stdio: 'pipe' });

const guestModules = (transport: GuestTransport): GuestModules =>
  new GuestModules(transport, ['block/virtio_blk', 'char/hw_random/virtio-rng']);

function debianInitrd(transport: GuestTransport): string {
  const path = join(folder, `${transport}.cpio`);
  writeFileSync(path, need(busyboxInitrd({ entries: guestModules(transport).entries })));
  return path;
}

const loadModules = async (vm: Console, transport: GuestTransport): Promise<void> =>
  void (await vm.run(guestModules(transport).loadCommand));

/** Writes 8 MiB to the disk and reads them back past the page cache; the host finds the same in a clean file system. */
async function writeAndCheck(vm: Console, image: string): Promise<void> {
  await vm.run('mkdir /mnt; mount -t ext4 /dev/vda /mnt');
  assert.equal(await vm.run('cat /mnt/hello'), 'from the host');
  await vm.run('dd if=/dev/urandom of=/mnt/data bs=1M count=8 2>/dev/null; sync');
  const written = await vm.run('sha256sum < /mnt/data');
  assert.equal(await vm.run('echo 3 > /proc/sys/vm/drop_caches; sha256sum < /mnt/data'), written);
  await vm.run('umount /mnt');
  vm.type('poweroff -f\n');
  await vm.exits(0);
  check(image);
  const data = execFileSync('debugfs', ['-R', 'cat /data', image], { maxBuffer: 2 ** 26, stdio: 'pipe' });
  assert.equal(`${sha256(data)}  -`, written);
}

const readRandom = async (vm: Console): Promise<void> => {
  assert.match(await vm.run('cat /sys/class/misc/hw_random/rng_available'), /virtio_rng/);
  const [one, two] = [
    await vm.run('head -c 64 /dev/hwrng | sha256sum'),
    await vm.run('head -c 64 /dev/hwrng | sha256sum'),
  ];
  assert.notEqual(one, two);
};

test("Debian's kernel finds disk and entropy device on PCI, with MSI-X, and the file system stays clean", {
  skip,
}, async () => {
  const image = ext4('pci.ext4');
  await using vm = launch(['-m', '512', '-i', debianInitrd('pci'), '-b', `${image},id=DISK-1`, need(cloud).bzImage]);
  await vm.prompt(BOOT_LIMIT_MS);
  await loadModules(vm, 'pci');
  const functions = await vm.run(
    'cd /sys/bus/pci/devices; for d in *; do echo $d $(cat $d/class $d/vendor $d/device $d/revision); done; cd /',
  );
  assert.deepEqual(functions.split('\n'), [
    '0000:00:00.0 0x060000 0x8086 0x1237 0x02',
    '0000:00:02.0 0x018000 0x1af4 0x1042 0x01',
    '0000:00:03.0 0x088000 0x1af4 0x1044 0x01',
    '0000:00:04.0 0x088000 0x1af4 0x1045 0x01',
  ]);
  assert.match(await vm.run('grep virtio0-req /proc/interrupts'), /PCI-MSI/);
  assert.equal(await vm.run('cat /sys/block/vda/serial; echo; cat /sys/block/vda/size'), 'DISK-1\n131072');
  await readRandom(vm);
  await writeAndCheck(vm, image);
});

test("Debian's kernel finds them on MMIO through ACPI, with packed rings", { skip }, async () => {
  const image = ext4('mmio.ext4');
  const disk = `${image},packed-queue`;
  const transport = ['--virtio-transport', 'mmio'];
  await using vm = launch(['-m', '512', '-i', debianInitrd('mmio'), '-b', disk, ...transport, need(cloud).bzImage]);
  await vm.prompt(BOOT_LIMIT_MS);
  await loadModules(vm, 'mmio');
  assert.equal(await vm.run('ls /sys/bus/pci/devices'), '0000:00:00.0');
  assert.match(await vm.run('ls -d /sys/bus/platform/devices/LNRO*'), /LNRO0005:00/);
  await readRandom(vm);
  await writeAndCheck(vm, image);
});

test('without MSI the line of the function does, shared and level-triggered', {
  skip: skipWithout('mke2fs'),
}, async () => {
  const image = ext4('intx.ext4');
  await using vm = launch(['-p', 'pci=nomsi', '-b', image]);
  await vm.prompt();
  assert.match(await vm.run('grep virtio /proc/interrupts'), /18-fasteoi +virtio/);
  await writeAndCheck(vm, image);
});

test('a read-only disk is shown as one and its image keeps every byte', { skip: skipWithout('mke2fs') }, async () => {
  const image = ext4('ro.ext4');
  const before = sha256(readFileSync(image));
  await using vm = launch(['-b', `${image},ro,root`]);
  await vm.prompt();
  assert.match(await vm.run('cat /proc/cmdline'), / root=\/dev\/vda ro /);
  assert.equal(await vm.run('cat /sys/block/vda/ro'), '1');
  assert.equal(await vm.run('mkdir /tmp/m; mount -t ext4 -o ro /dev/vda /tmp/m; cat /tmp/m/hello'), 'from the host');
  await vm.run('dd if=/dev/zero of=/dev/vda count=1 2>/dev/null', 1);
  vm.type('poweroff -f\n');
  await vm.exits(0);
  assert.equal(sha256(readFileSync(image)), before);
});

test('disks come in their order, each with its block size; discards where they are offered', async () => {
  const images = ['a', 'b', 'c'].map((name, index) => {
    const path = join(folder, name);
    writeFileSync(path, new Uint8Array((index + 1) * 0x10_0000).fill(0x61 + index));
    return path;
  });
  const [a, b, c] = images as [string, string, string];
  const disks = ['-b', a, '-b', `${b},block-size=4096,num-queues=1`, '-b', `${c},sparse=false`];
  await using vm = launch([...disks, '--no-rng', '--no-balloon']);
  await vm.prompt();
  assert.equal(await vm.run('head -c 1 /dev/vda; head -c 1 /dev/vdb; head -c 1 /dev/vdc; echo'), 'abc');
  const queue = '/sys/block/vd?/queue';
  assert.equal(await vm.run(`cat ${queue}/logical_block_size`), '512\n4096\n512');
  assert.equal(await vm.run(`cat ${queue}/discard_max_bytes`), '33554432\n33554432\n0');
  assert.equal(await vm.run('ls /sys/bus/pci/devices | cat'), '0000:00:00.0\n0000:00:02.0\n0000:00:10.0\n0000:00:11.0');
  vm.type('poweroff -f\n');
  await vm.exits(0);
});

test('a guest that reboots in place while it writes finds its disk again', {
  skip: skipWithout('mke2fs'),
}, async () => {
  const image = ext4('reboot.ext4');
  await using vm = launch(['-b', image]);
  await vm.prompt();
  await vm.run('mkdir /tmp/m; mount -t ext4 /dev/vda /tmp/m; echo kept > /tmp/m/kept; sync');
  vm.type(
    '(while :; do dd if=/dev/zero of=/tmp/m/noise bs=64k count=64 conv=fsync 2>/dev/null; done) & sleep 1; reboot -f\n',
  );
  await vm.see('Restarting system');
  await vm.prompt();
  assert.equal(await vm.run('mkdir -p /tmp/m; mount -t ext4 /dev/vda /tmp/m; cat /tmp/m/kept'), 'kept');
  await vm.run('umount /tmp/m');
  vm.type('poweroff -f\n');
  await vm.exits(0);
  check(image);
});

test('a sparse disk of 64 GiB is reached to its last sector and takes no space for the rest', async () => {
  const path = join(folder, 'large');
  writeFileSync(path, '');
  truncateSync(path, 64 * 2 ** 30);
  await using vm = launch(['-b', path]);
  await vm.prompt();
  const sectors = 64 * 2 ** 21;
  assert.equal(await vm.run('cat /sys/block/vda/size'), String(sectors));
  await vm.run(`echo last | dd of=/dev/vda seek=${sectors - 1} conv=sync,fsync 2>/dev/null`);
  await vm.run('echo 3 > /proc/sys/vm/drop_caches');
  assert.equal(await vm.run(`dd if=/dev/vda skip=${sectors - 1} 2>/dev/null | head -c 4`), 'last');
  vm.type('poweroff -f\n');
  await vm.exits(0);
  const { size, blocks } = statSync(path);
  assert.equal(size, 64 * 2 ** 30);
  assert.ok(blocks * 512 < 2 ** 20, `${blocks} blocks`);
});

const isRoot = process.getuid?.() === 0;
test('a host disk that is full is an I/O error in the guest, one line on standard error, and the guest goes on', {
  skip: !isRoot && 'mounting a small tmpfs needs root',
}, async (t) => {
  const small = join(folder, 'small');
  mkdirSync(small);
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', small], { encoding: 'utf8' });
  if (mounted.status !== 0) {
    t.skip(`no tmpfs: ${mounted.stderr.trim()}`);
    return;
  }
  try {
    const path = join(small, 'disk');
    writeFileSync(path, '');
    truncateSync(path, 8 * 2 ** 20);
    await using vm = launch(['-b', path]);
    await vm.prompt();
    await vm.run('dd if=/dev/zero of=/dev/vda bs=64k count=8 conv=fsync 2>/dev/null');
    await vm.run('dd if=/dev/zero of=/dev/vda bs=64k count=64 conv=fsync 2>/dev/null', 1);
    assert.equal(
      vm.errors,
      `typervisor: virtio: block vda: write failed: disk "${path}": no space is left on its device (ENOSPC)\n`,
    );
    assert.equal(await vm.run('dd if=/dev/vda bs=64k count=8 2>/dev/null | wc -c'), '524288');
    vm.type('poweroff -f\n');
    await vm.exits(0);
  } finally {
    execFileSync('umount', [small]);
  }
});

test('what was flushed is there after the machine was killed', async () => {
  const path = join(folder, 'killed');
  writeFileSync(path, new Uint8Array(2 ** 20));
  await using vm = launch(['-b', path]);
  await vm.prompt();
  vm.type(
    'n=0; while :; do n=$((n+1)); printf "%512d" $n | dd of=/dev/vda seek=$n conv=fsync 2>/dev/null; echo done=$n; done\n',
  );
  const last = 40;
  await vm.see(new RegExp(`done=${last}\\r?\\n`));
  process.kill(-(vm.child.pid as number), 'SIGKILL');
  await vm.exits('SIGKILL');
  const contents = readFileSync(path);
  for (let n = 1; n <= last; n++) {
    assert.equal(contents.toString('latin1', n * 512, (n + 1) * 512).trim(), String(n));
  }
});

for (const transport of ['pci', 'mmio']) {
  test(`code that a disk writes over code that has run is what runs then, on ${transport}`, {
    skip: skipReason(checks),
  }, async () => {
    // mov eax, n; ret
    const functions = Array.from({ length: 16 }, (_, n) => {
      const page = Buffer.alloc(4096);
      page.set([0xb8, n, 0, 0, 0, 0xc3]);
      return page;
    });
    const image = join(folder, `code-${transport}`);
    writeFileSync(image, Buffer.concat(functions));
    const program: CpioEntry = { kind: 'file', path: 'checks', data: readFileSync(need(checks)), mode: 0o755 };
    const initrd = extendedInitrd(folder, [program]);
    await using vm = launch(['-i', initrd, '-b', `${image},ro`, '--virtio-transport', transport]);
    await vm.prompt();
    assert.equal(await vm.run('/checks disk-code /dev/vda'), 'ok');
    vm.type('poweroff -f\n');
    await vm.exits(0);
  });
}

test('with snapshot the guest keeps what it writes until it ends, and the image every byte', {
  skip: skipWithout('mke2fs'),
}, async () => {
  const image = ext4('snapshot.ext4');
  const before = sha256(readFileSync(image));
  await using vm = launch(['-b', `${image},snapshot`]);
  await vm.prompt();
  await vm.run('mkdir /tmp/m; mount -t ext4 /dev/vda /tmp/m; echo changed > /tmp/m/hello; umount /tmp/m');
  assert.equal(await vm.run('mount -t ext4 /dev/vda /tmp/m; cat /tmp/m/hello; umount /tmp/m'), 'changed');
  vm.type('poweroff -f\n');
  await vm.exits(0);
  assert.equal(sha256(readFileSync(image)), before);
});

test('a second machine is refused an image that the first one writes to, in one line', {
  skip: skipWithout('mke2fs'),
}, async () => {
  const image = ext4('locked.ext4');
  await using first = launch(['-b', image]);
  await first.prompt();
  await using second = launch(['-b', `${image},ro`]);
  await second.exits(1);
  assert.match(second.errors, /^typervisor: disk ".*locked\.ext4".*\n$/);
  await using third = launch(['-b', `${image},ro,lock=false`]);
  await third.prompt();
});

test('what an image is not, and what it may not open, is one line', { skip: skipWithout('qemu-img') }, async () => {
  const base = ext4('base.ext4');
  const top = join(folder, 'top.qcow2');
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'raw', top], { stdio: 'pipe' });
  for (const [block, message] of [
    [`${base},format=qcow2`, /base\.ext4/],
    [`${top},format=qcow2`, /backing file .*is not allowed/],
  ] as const) {
    await using vm = launch(['-b', block]);
    await vm.exits(1);
    assert.match(vm.errors, /^typervisor: [^\n]*\n$/);
    assert.match(vm.errors, message);
  }
});
