/** QEMU's tools for disk images, the other implementation that ours is held against. @module */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';

function works(command: string): boolean {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;
}

/** Why the tests that need QEMU's tools cannot run; false when they can. */
export const NO_QEMU: string | false = works('qemu-img') && works('qemu-io') ? false : 'needs qemu-img and qemu-io';

/** Runs qemu-img, which must succeed, and returns what it prints. */
export function qemuImg(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('qemu-img', args, { encoding: 'utf8' });
  assert.equal(status, 0, `qemu-img ${args.join(' ')}: ${stdout}${stderr}`);
  return stdout;
}

/** What qemu-img says of an image's consistency. A leak is one only where nothing else is wrong. */
export function qemuCheck(path: string): { verdict: 'clean' | 'leaks' | 'corrupt'; output: string } {
  const { status, stdout, stderr } = spawnSync('qemu-img', ['check', '-f', 'qcow2', path], { encoding: 'utf8' });
  return { verdict: status === 0 ? 'clean' : status === 3 ? 'leaks' : 'corrupt', output: stdout + stderr };
}

/** Runs commands of qemu-io on an image, all of which must succeed. */
export function qemuIo(path: string, commands: readonly string[], format = 'qcow2'): void {
  const args = ['-f', format, ...commands.flatMap((command) => ['-c', command]), path];
  const { status, stdout, stderr } = spawnSync('qemu-io', args, { encoding: 'utf8' });
  assert.equal(status, 0, `qemu-io ${args.join(' ')}: ${stdout}${stderr}`);
  assert.doesNotMatch(stdout, /failed|error/i, `qemu-io ${args.join(' ')}`);
}
