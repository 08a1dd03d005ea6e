/** Boots over and over: a race that loses an interrupt or a wake-up shows as a boot that hangs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { launch } from './console.ts';

const BOOTS = 20;

test(`${BOOTS} boots in a row reach the shell and power off`, async () => {
  for (let boot = 1; boot <= BOOTS; boot++) {
    await using vm = launch(['--name', `boot${boot}`]);
    await vm.prompt();
    assert.equal(await vm.run('echo $((40 + 2))'), '42');
    vm.type('poweroff -f\n');
    await vm.exits(0);
  }
});
