/** Disks that get another capacity while a guest uses them, through the library. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { DEFAULT_BLOCK, DEFAULT_SCSI_BLOCK, type RunConfig } from '../../src/index.ts';
import { busyboxInitrd, debianKernel, debianModules, need, skipReason, skipWithout } from '../guest/debian.ts';
import { GuestModules, waitForDevices } from '../guest/guest-modules.ts';
import { type Console, typervisor } from './console.ts';
import { temporaryFolder } from './programs.ts';
import type { ResizeAnswer, ResizeMessage } from './resize-program.ts';

const MIB = 2 ** 20;
const PROGRAM = fileURLToPath(new URL('resize-program.ts', import.meta.url));
const BOOT_LIMIT_MS = 600_000;
const SCSI_DRIVERS = ['scsi/scsi_common', 'scsi/scsi_mod', 'scsi/sd_mod', 'scsi/virtio_scsi'];
const folder = temporaryFolder();
const cloud = debianKernel('cloud');
const modules = debianModules('cloud');

const ask = (vm: Console, ...message: ResizeMessage): Promise<ResizeAnswer> =>
  new Promise((resolve) => {
    vm.child.once('message', (answer) => resolve(answer as ResizeAnswer));
    vm.child.send(message);
  });

function image(name: string, format: 'raw' | 'qcow2'): string {
  const path = join(folder, name);
  if (format === 'qcow2') execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', path, '8M'], { stdio: 'pipe' });
  else {
    writeFileSync(path, '');
    truncateSync(path, 8 * MIB);
  }
  return path;
}

/** Capacity that the image has for others, and that it is whole. */
function capacity(path: string, format: 'raw' | 'qcow2'): number {
  if (format === 'raw') return statSync(path).size;
  execFileSync('qemu-img', ['check', '-q', path], { stdio: 'pipe' });
  const info = execFileSync('qemu-img', ['info', '--output=json', path], { encoding: 'utf8' });
  return (JSON.parse(info) as { 'virtual-size': number })['virtual-size'];
}

/** Resizes while the guest looks for it, and returns the milliseconds until the guest has said that it is so. */
async function resizeSeen(vm: Console, device: string, ...message: ResizeMessage): Promise<number> {
  const [, bytes] = message;
  vm.type(
    `echo; echo waiting; until [ $(cat /sys/block/${device}/size) = ${bytes / 512} ]; do :; done; echo seen ${bytes}\n`,
  );
  await vm.see(/^waiting\r?\n/m);
  const from = performance.now();
  assert.deepEqual(await ask(vm, ...message), { bytes });
  await vm.see(new RegExp(`^seen ${bytes}\\r?\\n`, 'm'));
  const milliseconds = performance.now() - from;
  await vm.prompt();
  return milliseconds;
}

for (const [virtioTransport, format, packed] of [
  ['pci', 'raw', false],
  ['mmio', 'raw', true],
  ['pci', 'qcow2', true],
  ['mmio', 'qcow2', false],
] as const) {
  test(`a guest on ${virtioTransport} sees a ${format} disk grow and shrink, and uses what there is`, {
    skip: format === 'qcow2' && skipWithout('qemu-img'),
  }, async (t) => {
    const path = image(`${virtioTransport}.${format}`, format);
    const config: Partial<RunConfig> = {
      hypervisor: 'wasm',
      virtioTransport,
      block: [{ ...DEFAULT_BLOCK, path, format, packed, id: 'DATA' }],
    };
    await using vm = typervisor([JSON.stringify(config)], { program: PROGRAM });
    await vm.prompt();
    await vm.run('echo kept | dd of=/dev/vda conv=sync,fsync 2>/dev/null');
    const grown = await resizeSeen(vm, 'vda', 'DATA', 64 * MIB, false);
    await vm.run(
      'echo last | dd of=/dev/vda seek=131071 conv=sync,fsync 2>/dev/null; echo 3 > /proc/sys/vm/drop_caches',
    );
    assert.equal(await vm.run('dd if=/dev/vda skip=131071 2>/dev/null | head -c 4; echo'), 'last');
    // What was added reads as zeros.
    assert.equal(await vm.run('dd if=/dev/vda skip=16384 count=8192 2>/dev/null | tr -d "\\0" | wc -c'), '0');
    assert.equal((await ask(vm, 0, 4 * MIB, false)).reason, 'would-shrink');
    const shrunk = await resizeSeen(vm, 'vda', 0, 4 * MIB, true);
    t.diagnostic(`seen after ${grown.toFixed(0)} ms and ${shrunk.toFixed(0)} ms`);
    assert.equal(await vm.run('dd if=/dev/vda 2>/dev/null | wc -c'), String(4 * MIB));
    assert.equal(await vm.run('dd if=/dev/vda count=1 2>/dev/null | head -c 4; echo'), 'kept');
    vm.type('poweroff -f\n');
    await vm.exits(0);
    assert.equal(capacity(path, format), 4 * MIB);
  });
}

for (const virtioTransport of ['pci', 'mmio'] as const) {
  test(`a guest on ${virtioTransport} sees a SCSI disk grow and shrink, and uses what there is`, {
    skip: skipReason(cloud) || skipReason(modules),
  }, async (t) => {
    const path = image(`${virtioTransport}.scsi`, 'raw');
    const guest = new GuestModules(virtioTransport, SCSI_DRIVERS);
    const initrd = join(folder, `${virtioTransport}.cpio`);
    writeFileSync(initrd, need(busyboxInitrd({ entries: guest.entries })));
    const config: Partial<RunConfig> = {
      ...{ hypervisor: 'wasm', virtioTransport, kernel: need(cloud).bzImage, initrd },
      scsiBlock: [{ ...DEFAULT_SCSI_BLOCK, path }],
    };
    await using vm = typervisor([JSON.stringify(config)], { program: PROGRAM });
    await vm.prompt(BOOT_LIMIT_MS);
    await vm.run(`${guest.loadCommand}; ${waitForDevices('/dev/sda')}`);
    const grown = await resizeSeen(vm, 'sda', 'lun 0', 64 * MIB, false);
    await vm.run(
      'echo last | dd of=/dev/sda seek=131071 conv=sync,fsync 2>/dev/null; echo 3 > /proc/sys/vm/drop_caches',
    );
    assert.equal(await vm.run('dd if=/dev/sda skip=131071 2>/dev/null | head -c 4; echo'), 'last');
    const shrunk = await resizeSeen(vm, 'sda', 'lun 0', 4 * MIB, true);
    t.diagnostic(`seen after ${grown.toFixed(0)} ms and ${shrunk.toFixed(0)} ms`);
    assert.equal(await vm.run('dd if=/dev/sda 2>/dev/null | wc -c'), String(4 * MIB));
    vm.type('poweroff -f\n');
    await vm.exits(0);
    assert.equal(statSync(path).size, 4 * MIB);
  });
}

test('what cannot be resized says why, and the guest goes on', async () => {
  const path = image('refused', 'raw');
  const block = [
    { ...DEFAULT_BLOCK, path, readOnly: true },
    { ...DEFAULT_BLOCK, path: image('snapshot', 'raw'), snapshot: true },
  ];
  await using vm = typervisor([JSON.stringify({ hypervisor: 'wasm', block })], { program: PROGRAM });
  await vm.prompt();
  assert.deepEqual(await ask(vm, 0, 16 * MIB, false), {
    reason: 'disk-is-read-only',
    message: `disk "${path}": it is read-only`,
  });
  assert.equal((await ask(vm, 2, 16 * MIB, false)).reason, 'no-such-disk');
  assert.equal((await ask(vm, 1, 1000, true)).reason, 'bad-size');
  assert.deepEqual(await ask(vm, 1, 16 * MIB, false), { bytes: 16 * MIB });
  await vm.run('until [ "$(cat /sys/block/vdb/size)" = 32768 ]; do :; done');
  vm.type('poweroff -f\n');
  await vm.exits(0);
  assert.equal(statSync(join(folder, 'snapshot')).size, 8 * MIB);
});
