/** What a guest gives back is no longer resident on the host: balloon and free page reports, in real guests. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { linuxCalls } from '../../src/host/node/linux-calls.ts';
import type { BalloonCounters, BalloonStatistics } from '../../src/index.ts';
import { busyboxInitrd, debianKernel, debianModules, need, skipReason } from '../guest/debian.ts';
import { type Console, HYPERVISORS, launch, typervisor } from './console.ts';
import { temporaryFolder } from './programs.ts';

const MIB = 2 ** 20;
const PROGRAM = fileURLToPath(new URL('balloon-program.ts', import.meta.url));
const skipWithoutKoffi = linuxCalls() === undefined && 'koffi is not installed';
const BOOT_LIMIT_MS = 600_000;

/** Memory of the process, in MiB: anonymous (the WebAssembly CPU's guest) and of files in memory (KVM's). */
function resident({ child }: Console): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  const kib = (kind: string): number => Number(new RegExp(`${kind}:\\s+(\\d+) kB`).exec(status)?.[1]);
  return (kib('RssAnon') + kib('RssShmem')) / 1024;
}

/** What the guest has, in MiB, of one line of /proc/meminfo. */
async function meminfo(vm: Console, line: 'MemFree' | 'MemTotal'): Promise<number> {
  const text = await vm.run('cat /proc/meminfo');
  return Number(new RegExp(`${line}: +(\\d+) kB`).exec(text)?.[1]) / 1024;
}

interface Answer {
  readonly actualBytes: number;
  readonly statistics?: BalloonStatistics;
  readonly counters?: BalloonCounters;
}

const ask = (vm: Console, message: number | 'statistics'): Promise<Answer> =>
  new Promise((resolve) => {
    vm.child.once('message', (answer) => resolve(answer as Answer));
    vm.child.send(message);
  });

/** Waits for the guest's driver to have come to a size, by the guest's own account. */
async function settles(vm: Console, bytes: number): Promise<Answer> {
  for (;;) {
    const answer = await ask(vm, 'statistics');
    if (answer.actualBytes === bytes) return answer;
    await vm.run('sleep 1');
  }
}

/** A place for more than half of the guest's memory. */
const mountMemory = (vm: Console): Promise<string> => vm.run('mkdir /m; mount -t tmpfs -o size=450m m /m');

/** Fills memory, so that the host has to give it; `rm` frees it. */
const fill = (vm: Console, mib: number): Promise<string> =>
  vm.run(`dd if=/dev/zero of=/m/file bs=1M count=${mib} 2>/dev/null`);

for (const { hypervisor, skip } of HYPERVISORS) {
  test(`${hypervisor}: inflating gives memory to the host, deflating gives it back, statistics agree`, {
    skip: skip || skipWithoutKoffi,
  }, async () => {
    const config = { memBytes: 512 * MIB, hypervisor };
    await using vm = typervisor([JSON.stringify(config)], { program: PROGRAM });
    await vm.prompt();
    await mountMemory(vm);
    await fill(vm, 400);
    await vm.run('rm /m/file');
    const [full, freeBefore] = [resident(vm), await meminfo(vm, 'MemFree')];
    await ask(vm, 256 * MIB);
    const { statistics, counters } = await settles(vm, 256 * MIB);
    const [inflated, freeAfter] = [resident(vm), await meminfo(vm, 'MemFree')];
    assert.ok(freeBefore - freeAfter > 240, `the guest had ${freeBefore} MiB free, now ${freeAfter}`);
    // The 112 MiB that were never filled may be among those that the guest gives.
    assert.ok(full - inflated > 140, `the host had given ${full} MiB, now ${inflated}`);
    assert.equal(counters?.inflatedBytes, 256 * MIB);
    assert.equal(counters?.releasedBytes, 256 * MIB);
    assert.ok(Math.abs(Number(statistics?.totalBytes) / MIB - (await meminfo(vm, 'MemTotal'))) < 1);
    assert.ok(Math.abs(Number(statistics?.freeBytes) / MIB - freeAfter) < 20);

    await ask(vm, 0);
    const deflated = await settles(vm, 0);
    assert.equal(deflated.counters?.deflatedBytes, 256 * MIB);
    assert.ok((await meminfo(vm, 'MemFree')) > freeBefore - 20);
    await fill(vm, 400);
    vm.type('poweroff -f\n');
    await vm.exits(0);
  });

  test(`${hypervisor}: free page reports give back what a large file took`, {
    skip: skip || skipWithoutKoffi,
  }, async () => {
    await using vm = launch(['--hypervisor', hypervisor, '-m', '512', '--balloon-page-reporting']);
    await vm.prompt();
    await mountMemory(vm);
    const before = resident(vm);
    await fill(vm, 300);
    const filled = resident(vm);
    assert.ok(filled - before > 250, `${before} MiB, then ${filled}`);
    await vm.run('rm /m/file');
    // Linux reports what has been free for two seconds, a part of each list at a time.
    let freed = filled;
    for (let second = 0; second < 60 && filled - freed < 250; second++) {
      await vm.run('sleep 1');
      freed = resident(vm);
    }
    assert.ok(filled - freed > 250, `${filled} MiB, then ${freed}`);
    await fill(vm, 400);
    vm.type('poweroff -f\n');
    await vm.exits(0);
  });
}

test('a guest that runs out of memory takes it from its balloon, and kills nothing', async () => {
  await using vm = launch(['--hypervisor', 'wasm', '-m', '256', '--init-mem', '64']);
  await vm.prompt();
  await mountMemory(vm);
  await vm.run(`until [ $(sed -n 's/^MemFree: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo) -lt 60000 ]; do sleep 1; done`);
  await fill(vm, 150);
  assert.equal(await vm.run('wc -c < /m/file; dmesg | grep -c -i "out of memory"', 1), `${150 * MIB}\n0`);
  vm.type('poweroff -f\n');
  await vm.exits(0);
});

const cloud = debianKernel('cloud');
const modules = debianModules('cloud');
test("Debian's kernel, on MMIO, gives up at the start all but --init-mem, page by page of its own account", {
  skip: skipReason(cloud) || skipReason(modules),
}, async () => {
  const drivers = join(need(modules), 'lib/modules', need(cloud).release, 'kernel/drivers/virtio');
  const names = ['virtio', 'virtio_ring', 'virtio_mmio', 'virtio_balloon'].map((name) => `${name}.ko`);
  const initrd = join(temporaryFolder(), 'balloon.cpio');
  const entries = names.map((name) => ({
    ...{ kind: 'file' as const, path: `lib/${name}` },
    data: readFileSync(join(drivers, name)),
  }));
  writeFileSync(initrd, need(busyboxInitrd({ entries: [{ kind: 'directory', path: 'lib' }, ...entries] })));
  const options = ['-m', '512', '--init-mem', '256', '--virtio-transport', 'mmio', '--no-rng'];
  await using vm = launch([...options, '-i', initrd, need(cloud).bzImage]);
  await vm.prompt(BOOT_LIMIT_MS);
  const before = await meminfo(vm, 'MemFree');
  await vm.run(`dmesg -n 1; ${names.map((name) => `insmod /lib/${name}`).join(' && ')}`);
  await vm.run(`until grep -q "balloon_inflate ${(256 * MIB) / 4096}$" /proc/vmstat; do sleep 1; done`);
  const after = await meminfo(vm, 'MemFree');
  assert.ok(before - after > 250, `${before} MiB, then ${after}`);
  vm.type('poweroff -f\n');
  await vm.exits(0);
});
