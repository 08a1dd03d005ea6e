/** Translated code against the interpreter while Debian's kernel boots and the benchmark's programs run. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { buildPrograms, listPrograms } from '../../bench/programs.ts';
import { busyboxInitrd, debianKernel, need, skipReason } from '../guest/debian.ts';
import { launch } from './console.ts';
import { temporaryFolder } from './programs.ts';

const LIMIT_MS = 600_000;
const cloud = debianKernel('cloud');
const binary = buildPrograms();
const userland = busyboxInitrd(
  binary.ok
    ? { entries: [{ kind: 'file', path: 'bin/bench', mode: 0o755, data: readFileSync(binary.value) }] }
    : undefined,
);
const folder = temporaryFolder();

test("a boot of Debian's cloud kernel and all benchmark programs show no difference when every tenth call of a region is checked", {
  skip: skipReason(cloud) || skipReason(binary) || skipReason(userland),
}, async () => {
  const initrd = join(folder, 'initrd.cpio');
  writeFileSync(initrd, need(userland));
  await using vm = launch(['-m', '512', '-i', initrd, '--check-translation', '10', '--stats', need(cloud).bzImage]);
  await vm.prompt(LIMIT_MS);
  for (const { name } of listPrograms(need(binary))) {
    // It fails unless its result is the one that it has natively.
    await vm.run(`bench ${name} 1`, 0, LIMIT_MS);
  }
  vm.type('poweroff -f\n');
  await vm.exits(0);
  const [, checked = ''] = /calls of regions to be checked\n {2}checked +([\d,]+)\n/.exec(vm.errors) ?? [];
  assert.ok(Number(checked.replaceAll(',', '')) > 100_000, checked);
});
