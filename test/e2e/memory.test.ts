/** Memory sizes as the guest sees them, and data all over the largest. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { freemem } from 'node:os';
import { test } from 'node:test';
import { need, skipReason } from '../guest/debian.ts';
import { HYPERVISORS, launch } from './console.ts';
import { compiled, extendedInitrd, temporaryFolder } from './programs.ts';

const MIB = 2 ** 20;
/** What a machine needs beside its guest's memory. */
const OVERHEAD_MIB = 500;
const skipWithLess = (mib: number): string | false =>
  freemem() > (mib + OVERHEAD_MIB) * MIB ? false : `this machine has not ${mib + OVERHEAD_MIB} MiB of free memory`;

const SIZES = HYPERVISORS.flatMap(({ hypervisor, skip }) =>
  [64, 256, 1024, 3072].map((mib) => ({ hypervisor, mib, skip: skip || skipWithLess(mib) })),
);
for (const { hypervisor, mib, skip } of SIZES) {
  test(`${hypervisor}: a guest with ${mib} MiB sees that much within 1 %`, { skip }, async () => {
    await using vm = launch(['--hypervisor', hypervisor, '-m', String(mib)]);
    await vm.prompt();
    const [, total] = /Memory: \d+K\/(\d+)K available/.exec(await vm.run('dmesg')) ?? assert.fail(vm.transcript());
    const seen = Number(total) / 1024;
    assert.ok(seen > mib * 0.99 && seen <= mib, `${seen} MiB`);
    // What the kernel keeps for itself, the page structures above all, is a small part of it.
    const [, usable] = /MemTotal: +(\d+) kB/.exec(await vm.run('cat /proc/meminfo')) ?? assert.fail(vm.transcript());
    assert.ok(Number(usable) / 1024 > mib * 0.95 - 20, `${usable} kB`);
  });
}

const checks = compiled('checks');
test('3 GiB hold what is written to them', { skip: skipReason(checks) || skipWithLess(3072) }, async () => {
  const program = { kind: 'file', path: 'bin/checks', mode: 0o755, data: readFileSync(need(checks)) } as const;
  await using vm = launch(['-m', '3072', '-i', extendedInitrd(temporaryFolder(), [program])]);
  await vm.prompt();
  // One word a page: every page table entry and every page.
  assert.match(await vm.run('checks memory 90,512'), /^2[6-9]\d\d MiB$/);
});
