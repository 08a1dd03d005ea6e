/** Debian's own, unmodified kernels to a busybox shell. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { busyboxInitrd, debianKernel, debianVmlinux, need, skipReason } from '../guest/debian.ts';
import { hostKvm } from '../../src/hypervisor/kvm/testing.ts';
import { launch } from './console.ts';
import { compiled, temporaryFolder } from './programs.ts';

/** One and a half billion instructions: minutes on a machine whose cores are taken. */
const BOOT_LIMIT_MS = 600_000;

const cloud = debianKernel('cloud');
const vmlinux = debianVmlinux('cloud');
const full = debianKernel('full');
const checks = compiled('checks');
const compat32 = compiled('compat32');
const programs = [checks, compat32].flatMap((program, index) =>
  program.ok
    ? [
        {
          kind: 'file',
          path: `bin/${index ? 'compat32' : 'checks'}`,
          mode: 0o755,
          data: readFileSync(program.value),
        } as const,
      ]
    : [],
);
const userland = busyboxInitrd({ entries: programs });
const folder = temporaryFolder();

function initrd(): string {
  const path = join(folder, 'initrd.cpio');
  writeFileSync(path, need(userland));
  return path;
}

test("Debian's cloud kernel boots to a shell as bzImage", {
  skip: skipReason(cloud) || skipReason(userland),
}, async (t) => {
  const { bzImage, release } = need(cloud);
  await using vm = launch(['-m', '512', '-i', initrd(), bzImage]);
  await vm.prompt(BOOT_LIMIT_MS);
  assert.equal(await vm.run('uname -r'), release);
  assert.equal(await vm.run('awk "BEGIN { print 1 / 3, 2 / 7 }"'), '0.333333 0.285714');
  const withPrograms = { skip: skipReason(checks) || skipReason(compat32) };
  await t.test('and runs programs that fault, thread, debug and rewrite themselves', withPrograms, async () => {
    for (const name of ['signals', 'jit', 'paging']) assert.equal(await vm.run(`checks ${name}`), 'ok', name);
    assert.equal(await vm.run('checks threads'), '16000 56000 160');
    assert.match(await vm.run('checks single-step'), /^loop 303\nstring 5/);
    assert.match(await vm.run('compat32'), /long mode 1234567812345678/);
  });
  vm.type('poweroff -f\n');
  await vm.exits(0);
});

test("Debian's cloud kernel boots to a shell as ELF", {
  skip: skipReason(vmlinux) || skipReason(userland),
}, async () => {
  await using vm = launch(['-m', '512', '-i', initrd(), need(vmlinux)]);
  await vm.prompt(BOOT_LIMIT_MS);
  assert.equal(await vm.run('uname -r'), need(cloud).release);
  vm.type('poweroff -f\n');
  await vm.exits(0);
});

test("Debian's full kernel boots to a shell", { skip: skipReason(full) || skipReason(userland) }, async () => {
  const { bzImage, release } = need(full);
  await using vm = launch(['-m', '512', '-i', initrd(), bzImage]);
  await vm.prompt(BOOT_LIMIT_MS);
  assert.equal(await vm.run('uname -r'), release);
  vm.type('reboot -f\n');
  await vm.see(/Linux version/, BOOT_LIMIT_MS);
});

const { skip: noKvm } = await hostKvm();
test("Debian's cloud kernel as ELF prints its banner on whatever KVM there is", {
  skip: noKvm || skipReason(vmlinux),
}, async () => {
  const args = ['--hypervisor', 'kvm', '-m', '512', '-p', 'earlyprintk=serial,ttyS0,115200'];
  await using vm = launch([...args, need(vmlinux)]);
  // A paravirtual KVM emulates kernel code one instruction at a time, and gives up some time after this.
  await vm.see(/Linux version \d+\.\d+/, BOOT_LIMIT_MS);
  await vm.see(/Command line: console=ttyS0 .*earlyprintk=serial/, BOOT_LIMIT_MS);
});
