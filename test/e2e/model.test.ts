/** The processor models: what they announce, and that Linux and the C library use it. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { busyboxInitrd, debianKernel, need, skipReason } from '../guest/debian.ts';
import { launch } from './console.ts';
import { compiled, extendedInitrd, temporaryFolder } from './programs.ts';

const BOOT_LIMIT_MS = 600_000;
const V3 = ['--hypervisor', 'wasm,model=x86-64-v3'];

const cloud = debianKernel('cloud');
const checks = compiled('checks');
const program = checks.ok
  ? [{ kind: 'file', path: 'bin/checks', mode: 0o755, data: readFileSync(checks.value) } as const]
  : [];
const userland = busyboxInitrd({ entries: program });
const folder = temporaryFolder();

for (const [model, options, count] of [
  ['x86-64-v2', ['--hypervisor', 'wasm,model=x86-64-v2'], '0'],
  ['x86-64-v3', V3, '1'],
  ['the default, x86-64-v3', [], '1'],
] as const) {
  test(`a guest on ${model} is told of ${count} of AVX2, FMA and BMI2 together`, async () => {
    await using vm = launch([...options]);
    await vm.prompt();
    assert.equal(await vm.run(`grep -c ' fma .* bmi1 avx2 .* bmi2' /proc/cpuinfo; true`), count);
  });
}

test('processes and threads keep YMM registers of their own', { skip: skipReason(checks) }, async () => {
  await using vm = launch([...V3, '-i', extendedInitrd(folder, program)]);
  await vm.prompt();
  assert.equal(await vm.run('checks wide'), 'ok');
});

test("Debian's cloud kernel and the C library run on x86-64-v3", {
  skip: skipReason(cloud) || skipReason(userland) || skipReason(checks),
}, async () => {
  const initrd = join(folder, 'debian.cpio');
  writeFileSync(initrd, need(userland));
  await using vm = launch([...V3, '-m', '512', '-i', initrd, need(cloud).bzImage]);
  await vm.prompt(BOOT_LIMIT_MS);
  for (const name of ['wide', 'signals', 'jit', 'processes']) {
    assert.equal(await vm.run(`checks ${name}`), 'ok', name);
  }
  assert.equal(await vm.run('checks threads'), '16000 56000 160');
  vm.type('poweroff -f\n');
  await vm.exits(0);
});
