import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const LAUNCHER = fileURLToPath(new URL('../../bin/typervisor', import.meta.url));

function typervisor(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [LAUNCHER, ...args], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

test('version prints the version of the package', () => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  assert.deepEqual(typervisor('version'), { status: 0, stdout: `typervisor ${version}\n`, stderr: '' });
  assert.deepEqual(typervisor('--version'), typervisor('version'));
});

test('help names the commands, and help of a command is its --help', () => {
  assert.match(typervisor('help').stdout, /^Usage: typervisor COMMAND[^]*\n {2}run .*\n[^]*\n {2}version /);
  assert.deepEqual(typervisor('help', 'run'), typervisor('run', '--help'));
});

test('without a command the overview goes to standard error, with the status of bad arguments', () => {
  const { status, stdout, stderr } = typervisor();
  assert.deepEqual({ status, stdout, start: stderr.split(' ')[0] }, { status: 35, stdout: '', start: 'Usage:' });
});

test('an unknown command is one line and status 35', () => {
  const stderr = 'typervisor: unknown command "rnu", did you mean "run"?\n';
  assert.deepEqual(typervisor('rnu'), { status: 35, stdout: '', stderr });
});

test('an argument that a command does not take is refused', () => {
  const refused = { status: 35, stdout: '', stderr: 'typervisor: unexpected argument "x"\n' };
  for (const args of [
    ['version', 'x'],
    ['--version', 'x'],
    ['help', 'run', 'x'],
    ['help', 'help', 'x'],
  ]) {
    assert.deepEqual(typervisor(...args), refused);
  }
});

test('a bad value is one line that names the option, the value and the position, and status 35', () => {
  const stderr = 'typervisor: --mem "size=1": 1 is not from 64 to 15360 MiB at position 5\n';
  assert.deepEqual(typervisor('run', '--mem', 'size=1'), { status: 35, stdout: '', stderr });
});

test("crosvm's --extended-status before the command is accepted", () => {
  assert.deepEqual(typervisor('--extended-status', 'version'), typervisor('version'));
});
