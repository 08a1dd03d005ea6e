/** The embedded guest with a virtio console as its terminal. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { skipWithout } from '../guest/debian.ts';
import { launch, NODE } from './console.ts';
import { temporaryFolder } from './programs.ts';

const CONSOLE = 'type=stdout,hardware=virtio-console,console,stdin';
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const numbers = (count: number): string => Array.from({ length: count }, (_, n) => `${n + 1}\n`).join('');

for (const transport of ['pci', 'mmio']) {
  test(`a shell on hvc0 over ${transport}: commands, much output and much input arrive whole`, async () => {
    await using vm = launch(['--serial', CONSOLE, '--virtio-transport', transport]);
    await vm.prompt();
    assert.equal(await vm.run('tty'), '/dev/hvc0');
    assert.equal(sha256(`${await vm.run('seq 1 5000')}\n`), sha256(numbers(5000)));
    vm.type('stty raw -echo; echo re""ady; head -c 65536 | sha256sum; stty sane\n');
    await vm.see('ready');
    const pasted = numbers(20_000).slice(0, 65536);
    vm.type(pasted);
    await vm.see(sha256(pasted));
    await vm.prompt();
    vm.type('poweroff -f\n');
    await vm.exits(0);
  });
}

test('a second console is a file beside the shell on the serial port', async () => {
  const path = join(temporaryFolder(), 'hvc1');
  await using vm = launch(['--serial', `type=file,path=${path},hardware=virtio-console,num=2`]);
  await vm.prompt();
  assert.equal(await vm.run('cat /sys/bus/pci/devices/0000:00:01.0/class'), '0x078000');
  await vm.run('echo hello > /dev/hvc0');
  vm.type('poweroff -f\n');
  await vm.exits(0);
  assert.equal(readFileSync(path, 'utf8'), 'hello\r\n');
});

test('what is typed before the shell is there waits for it', async () => {
  await using vm = launch(['--serial', CONSOLE], { input: 'echo typed a""head; poweroff -f\n' });
  await vm.see('typed ahead');
  await vm.exits(0);
});

test('the shell knows the size of the terminal', { skip: skipWithout('script') }, () => {
  const launcher = fileURLToPath(new URL('../../bin/typervisor', import.meta.url));
  const machine = `${NODE} ${launcher} run --serial ${CONSOLE}`;
  const { stdout, status } = spawnSync('script', ['-qefc', `stty rows 33 cols 101; ${machine}`, '/dev/null'], {
    input: 'echo size; stty size; poweroff -f\n',
    encoding: 'utf8',
    timeout: 180_000,
  });
  assert.match(stdout, /^size\r?\n33 101\r?$/m);
  assert.equal(status, 0);
});
