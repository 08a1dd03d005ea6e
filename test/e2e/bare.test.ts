/** Machines whose kernel is a few instructions: how they end, their serial ports, and the terminal around them. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { whyNotKvm } from '../../src/host/node/kvm/why-not-kvm.ts';
import { hostKvm } from '../../src/hypervisor/kvm/testing.ts';
import { type Console, launch as launchAny, type LaunchOptions } from './console.ts';
import * as kernels from './kernels.ts';
import { temporaryFolder } from './programs.ts';

const folder = temporaryFolder();
const { skip: noKvm } = await hostKvm();
const HYPERVISORS = [
  { hypervisor: 'wasm', skip: false },
  { hypervisor: 'kvm', skip: noKvm },
] as const;
const DEBUG_EXIT = ['--debug-exit', 'port=0xf4'];
const needsScript = { skip: !existsSync('/usr/bin/script') && 'script is not installed' };
const CTRL_A = '\x01';

for (const { hypervisor, skip } of HYPERVISORS) {
  const launch = (args: readonly string[] = [], options: LaunchOptions = {}): Console =>
    launchAny(['--hypervisor', hypervisor, ...args], options);

  for (const value of [0, 3, 127]) {
    test(`${hypervisor}: a kernel under test that writes ${value} to the debug-exit port ends with status ${value * 2 + 1}`, {
      skip,
    }, async () => {
      await using vm = launch([...DEBUG_EXIT, kernels.exitKernel(folder, value)]);
      await vm.exits(value * 2 + 1);
    });
  }

  test(`${hypervisor}: without --debug-exit its port does nothing`, { skip }, async () => {
    await using vm = launch([kernels.exitKernel(folder, 1)]);
    await vm.see('still here');
  });

  test(`${hypervisor}: a triple fault ends with status 33 and names the machine`, { skip }, async () => {
    await using vm = launch(['--name', 'victim', kernels.tripleFaultKernel(folder)]);
    await vm.exits(33);
    assert.match(vm.errors, /^typervisor: victim: .*triple fault\n$/);
  });

  for (const how of ['i8042', 'cf9'] as const) {
    test(`${hypervisor}: a reset through ${how} starts the kernel again, in place`, { skip }, async () => {
      await using vm = launch([kernels.resetKernel(folder, how)]);
      await vm.see(/(boot\n){5}/);
    });

    test(`${hypervisor}: a reset through ${how} ends with status 32 under --no-reboot`, { skip }, async () => {
      await using vm = launch(['--no-reboot', kernels.resetKernel(folder, how)]);
      await vm.exits(32);
      assert.equal(vm.output, 'boot\n');
    });
  }

  test(`${hypervisor}: kernel parameters follow those of typervisor, in order`, { skip }, async () => {
    await using vm = launch([...DEBUG_EXIT, '-p', 'a b', '--params', 'c="d e"', kernels.commandLineKernel(folder)]);
    await vm.exits(1);
    assert.match(vm.output, /^console=ttyS0 (\S+ )*a b c="d e"\n$/);
  });

  test(`${hypervisor}: the four serial ports write to their own files`, { skip }, async () => {
    const logs = [1, 2, 3, 4].map((num) => join(folder, `${hypervisor}-port${num}`));
    const serial = logs.flatMap((path, index) => ['--serial', `type=file,num=${index + 1},path=${path}`]);
    await using vm = launch([...DEBUG_EXIT, ...serial, kernels.serialKernel(folder)]);
    await vm.exits(1);
    assert.equal(vm.output, '');
    assert.deepEqual(
      logs.map((path) => readFileSync(path, 'latin1')),
      ['port 1\n', 'port 2\n', 'port 3\n', 'port 4\n'],
    );
  });

  test(`${hypervisor}: a serial port that is a file is appended to`, { skip }, async () => {
    const log = join(folder, `${hypervisor}-log`);
    for (const _ of ['once', 'twice']) {
      await using vm = launch([...DEBUG_EXIT, '--serial', `type=file,num=3,path=${log}`, kernels.serialKernel(folder)]);
      await vm.exits(1);
    }
    assert.equal(readFileSync(log, 'latin1'), 'port 3\nport 3\n');
  });

  test(`${hypervisor}: another port can have the standard streams`, { skip }, async () => {
    await using vm = launch([
      ...DEBUG_EXIT,
      '--serial',
      'type=stdout,num=2,stdin,console',
      kernels.serialKernel(folder),
    ]);
    await vm.exits(1);
    assert.equal(vm.output, 'port 2\n');
  });

  test(`${hypervisor}: a serial file that cannot be opened ends with status 1 and one line`, { skip }, async () => {
    await using vm = launch(['--serial', `type=file,num=2,path=${folder}/none/log`, kernels.serialKernel(folder)]);
    await vm.exits(1);
    assert.match(vm.errors, /^typervisor: serial port 2 ".*none\/log": .*ENOENT.*\n$/);
  });

  test(`${hypervisor}: piped input reaches a kernel that polls the port, and its end does not stop the machine`, {
    skip,
  }, async () => {
    await using vm = launch([...DEBUG_EXIT, kernels.echoKernel(folder)], { input: 'hello' });
    await vm.see('ready\nhello');
    await assert.rejects(vm.status(1000), /no end within/);
  });

  test(`${hypervisor}: 64 KiB of piped input arrive whole`, { skip }, async () => {
    const input = Buffer.alloc(65_536, 'abcdefghijklmnop\n');
    await using vm = launch([...DEBUG_EXIT, kernels.echoKernel(folder)], {
      input: Buffer.concat([input, Buffer.from('q')]),
    });
    await vm.exits(11);
    assert.equal(vm.output, `ready\n${input.toString('latin1')}q`);
  });

  test(`${hypervisor}: Ctrl-A x on a terminal ends a machine that takes no input, with status 0`, {
    skip: skip || needsScript.skip,
  }, async () => {
    await using vm = launch([kernels.haltKernel(folder)], { terminal: true });
    await vm.see('ready');
    vm.type(`${CTRL_A}x`);
    await vm.exits(0);
  });

  test(`${hypervisor}: on a terminal Ctrl-C and what is typed go to the guest`, {
    skip: skip || needsScript.skip,
  }, async () => {
    await using vm = launch([...DEBUG_EXIT, kernels.echoKernel(folder)], { terminal: true });
    await vm.see('ready');
    vm.type('\x03\x04\x1a[A');
    await vm.see('\x03\x04\x1a[A');
    vm.type('q');
    await vm.exits(11);
  });

  test(`${hypervisor}: SIGTERM ends the machine as it ends other programs`, { skip }, async () => {
    await using vm = launch([kernels.haltKernel(folder)]);
    await vm.see('ready');
    vm.child.kill('SIGTERM');
    await vm.exits(128 + 15);
  });

  test(`${hypervisor}: a reader of standard output that goes away ends the machine, with status 141`, {
    skip,
  }, async () => {
    await using vm = launch([kernels.chattyKernel(folder)]);
    await vm.see('xxxx');
    vm.child.stdout?.destroy();
    await vm.exits(141);
  });
}

test('wasm: with CR0.NE clear an x87 error arrives as IRQ 13, and port F0h lets it pass', async () => {
  await using vm = launchAny(['--hypervisor', 'wasm', ...DEBUG_EXIT, kernels.coprocessorKernel(folder)]);
  await vm.exits(1);
  assert.equal(vm.output, 'iwiw');
});

test('wasm: --stats prints counters on standard error', async () => {
  await using vm = launchAny(['--hypervisor', 'wasm', ...DEBUG_EXIT, '--stats', kernels.exitKernel(folder, 0)]);
  await vm.exits(1);
  assert.match(vm.errors, /^vCPU 0, \d+\.\d{3} s\n\nguest instructions\n +executed +[1-9][\d,]*\n/);
});

test('kvm: --stats prints the exits on standard error', { skip: noKvm }, async () => {
  await using vm = launchAny(['--hypervisor', 'kvm', ...DEBUG_EXIT, '--stats', kernels.exitKernel(folder, 0)]);
  await vm.exits(1);
  assert.match(vm.errors, /^vCPU 0, \d+\.\d{3} s\n\nexits from KVM\n +port access +1 /);
});

test('kvm: a machine with 12 GiB of memory starts', { skip: noKvm }, async () => {
  const args = ['--hypervisor', 'kvm', '-m', '12288', ...DEBUG_EXIT];
  await using vm = launchAny([...args, kernels.exitKernel(folder, 3)]);
  await vm.exits(7);
});

test('auto on a host without KVM refuses what only KVM has, in one line', {
  skip: whyNotKvm() === undefined && 'this host has KVM',
}, async () => {
  await using two = launchAny(['-c', '2', kernels.exitKernel(folder, 3)]);
  await two.exits(1);
  assert.equal(two.errors, 'typervisor: the WebAssembly CPU is one, 2 are configured: more take KVM\n');
  await using large = launchAny(['-m', '4096', kernels.exitKernel(folder, 3)]);
  await large.exits(1);
  assert.equal(large.errors, 'typervisor: the WebAssembly CPU takes up to 3072 MiB of memory, not 4096\n');
  await using split = launchAny(['--irqchip', 'split', kernels.exitKernel(folder, 3)]);
  await split.exits(1);
  assert.equal(
    split.errors,
    'typervisor: the WebAssembly CPU has interrupt controllers of its own, --irqchip split takes KVM\n',
  );
});

test('at log level info one line says which hypervisor it is, and why not KVM', async () => {
  await using vm = launchAny(['--log-level', 'info', ...DEBUG_EXIT, kernels.exitKernel(folder, 3)]);
  await vm.exits(7);
  const reason = whyNotKvm();
  const wanted = reason === undefined ? /^typervisor: hypervisor: KVM / : `WebAssembly, not KVM: ${reason}\n`;
  if (typeof wanted === 'string') assert.equal(vm.errors, `typervisor: hypervisor: ${wanted}`);
  else assert.match(vm.errors, wanted);
});
