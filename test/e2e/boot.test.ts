/** The embedded guest: to its shell, and the ways its life ends or starts again. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { type Console, HYPERVISORS, launch as launchAny, type LaunchOptions } from './console.ts';

const needsScript = { skip: !existsSync('/usr/bin/script') && 'script is not installed' };
const CTRL_A = '\x01';
const GREETING = 'This is the embedded guest of typervisor';

for (const { hypervisor, skip } of HYPERVISORS) {
  const launch = (args: readonly string[] = [], options: LaunchOptions = {}): Console =>
    launchAny(['--hypervisor', hypervisor, ...args], options);

  test(`${hypervisor}: the embedded guest reaches its shell, and typed commands are answered`, { skip }, async () => {
    await using vm = launch();
    await vm.see(GREETING);
    await vm.prompt();
    assert.equal(await vm.run('uname -sm'), 'Linux x86_64');
    assert.equal(await vm.run('echo $((6 * 7))'), '42');
    // An idle guest halts, and wakes when it is typed to.
    for (let n = 0; n < 5; n++) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      assert.equal(await vm.run(`echo ${n}`), String(n));
    }
    await vm.run('false', 1);
    vm.type('poweroff\n');
    await vm.exits(0);
  });

  test(`${hypervisor}: commands piped in before the boot are run, and power-off ends with status 0`, {
    skip,
  }, async () => {
    await using vm = launch([], { input: 'uname -a; poweroff -f\n' });
    await vm.exits(0);
    assert.match(vm.output, /^Linux typervisor 6\..* x86_64 GNU\/Linux\r?$/m);
  });

  test(`${hypervisor}: the end of piped input does not stop the guest`, { skip }, async () => {
    await using vm = launch([], { input: 'sleep 1; echo "still" here; sleep 1; poweroff -f\n' });
    await vm.see('still here');
    await vm.exits(0);
  });

  test(`${hypervisor}: the shell that ends powers the guest off`, { skip }, async () => {
    await using vm = launch([], { input: 'exit\n' });
    await vm.exits(0);
  });

  for (const how of ['reboot', 'reboot -f', 'echo b > /proc/sysrq-trigger']) {
    test(`${hypervisor}: after "${how}" the guest boots again in place`, { skip }, async () => {
      await using vm = launch();
      await vm.prompt();
      await vm.run('echo before > /tmp/file');
      vm.type(`${how}\n`);
      await vm.see(GREETING);
      await vm.prompt();
      assert.equal(await vm.run('cat /tmp/file 2>/dev/null || echo new'), 'new');
      vm.type('poweroff -f\n');
      await vm.exits(0);
    });
  }

  test(`${hypervisor}: under --no-reboot a reboot ends with status 32`, { skip }, async () => {
    await using vm = launch(['--no-reboot'], { input: 'reboot -f\n' });
    await vm.exits(32);
  });

  test(`${hypervisor}: a panic ends with status 34`, { skip }, async () => {
    await using vm = launch([], { input: 'echo c > /proc/sysrq-trigger\n' });
    await vm.exits(34);
  });

  test(`${hypervisor}: typervisor.run= on the command line runs a command in place of the shell`, {
    skip,
  }, async () => {
    await using vm = launch(['-p', 'typervisor.run="echo it is $((1 + 1)); cat /proc/cmdline"']);
    await vm.exits(0);
    assert.match(vm.output, /^it is 2\r?$/m);
    assert.match(vm.output, / console=ttyS0 .*quiet typervisor\.run=/m);
  });

  test(`${hypervisor}: what a command prints last is out before the power is`, { skip }, async () => {
    await using vm = launch(['-p', 'typervisor.run="seq -w 9999"']);
    await vm.exits(0);
    const numbers = vm.output.match(/^\d{4}\r?$/gm) ?? [];
    assert.equal(numbers.length, 9999);
    assert.equal(numbers.at(-1)?.trim(), '9999');
  });

  test(`${hypervisor}: on a terminal the guest can be left with Ctrl-A x and gets Ctrl-C`, {
    skip: skip || needsScript.skip,
  }, async () => {
    await using vm = launch([], { terminal: true });
    await vm.prompt();
    vm.type('sh -c \'echo "slee"ping; sleep 1000\'\n');
    await vm.see('sleeping');
    vm.type('\x03');
    await vm.prompt();
    vm.type('echo a\x7fb\n');
    await vm.see(/^b\r?$/m);
    vm.type(`${CTRL_A}x`);
    await vm.exits(0);
  });
}

// On KVM the log depends on the processor of the host: its bugs, and what its leaves say of XSAVE.
test('wasm: nothing in the kernel log is a warning or worse', async () => {
  await using vm = launchAny(['--hypervisor', 'wasm']);
  await vm.prompt();
  assert.equal(await vm.run('dmesg -r | grep "^<[0-4]>"; true'), '');
});

test('the guest knows no vulnerability of its processor', async () => {
  await using vm = launchAny(['--hypervisor', 'wasm']);
  await vm.prompt();
  assert.equal(await vm.run("grep -h bugs /proc/cpuinfo | tr -d '\\t '"), 'bugs:');
  assert.equal(await vm.run('grep -vh "Not affected" /sys/devices/system/cpu/vulnerabilities/*; true'), '');
});

test('with translate=false everything is interpreted', async () => {
  await using vm = launchAny(['--hypervisor', 'wasm,translate=false', '--stats'], { input: 'uname -m; poweroff -f\n' });
  await vm.exits(0);
  assert.match(vm.output, /^x86_64\r?$/m);
  assert.match(vm.errors, /^ {2}translated +0 +0\.0 %$/m);
});

test('a boot whose translated code is all checked shows no difference', async () => {
  await using vm = launchAny(['--hypervisor', 'wasm', '--check-translation', '1', '--stats'], {
    input: 'sha256sum /bin/busybox; poweroff -f\n',
  });
  await vm.exits(0);
  const [, checked = ''] = /calls of regions to be checked\n {2}checked +([\d,]+)\n/.exec(vm.errors) ?? [];
  assert.ok(Number(checked.replaceAll(',', '')) > 1000, checked);
});
