/** Whether QEMU and we keep our hands off each other's images. @module */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { openDiskImage } from '../../src/host/node/disk-image.ts';
import { linuxCalls } from '../../src/host/node/linux-calls.ts';
import { NO_QEMU, qemuImg } from './qemu.ts';
import { TemporaryFolder } from './temporary.ts';

const folder = new TemporaryFolder();
const skip = NO_QEMU === false && linuxCalls() === undefined ? 'koffi is not installed' : NO_QEMU;

/** qemu-io with an image open, until its input ends. */
async function holding(path: string, ...options: string[]): Promise<ChildProcess> {
  const child = spawn('qemu-io', [...options, '-f', 'raw', path], { stdio: ['pipe', 'pipe', 'inherit'] });
  after(() => child.kill('SIGKILL'));
  child.stdin?.write('read 0 512\n');
  for await (const line of createInterface(child.stdout)) if (line.includes('read 512/512')) break;
  return child;
}

async function release(child: ChildProcess): Promise<void> {
  child.stdin?.end('quit\n');
  child.stdout?.resume();
  if (child.exitCode === null) await once(child, 'exit');
}

/** What qemu-io says when it opens an image. */
const qemuOpens = (path: string, ...options: string[]): string =>
  spawnSync('qemu-io', [...options, '-f', 'raw', '-c', 'read 0 512', path], { encoding: 'utf8' }).stderr;

test('an image that QEMU writes to is refused, one that QEMU reads may be read', { skip }, async () => {
  const path = folder.at('qemu.raw');
  qemuImg('create', '-q', '-f', 'raw', path, '1M');
  const writer = await holding(path);
  for (const readOnly of [false, true]) {
    await assert.rejects(
      openDiskImage({ path, format: 'raw', readOnly }),
      /QEMU uses it; lock=false ignores that \(EAGAIN\)/,
    );
  }
  await (await openDiskImage({ path, format: 'raw', readOnly: true, lock: false })).close();
  await release(writer);
  const reader = await holding(path, '-r');
  await (await openDiskImage({ path, format: 'raw', readOnly: true })).close();
  await release(reader);
  await (await openDiskImage({ path, format: 'raw' })).close();
});

test('QEMU refuses an image that is written to here, and reads one that is read here', { skip }, async () => {
  const path = folder.at('ours.raw');
  qemuImg('create', '-q', '-f', 'raw', path, '1M');
  const writer = await openDiskImage({ path, format: 'raw' });
  assert.match(qemuOpens(path), /Failed to get "(?:write|shared "write")" lock/);
  await writer.close();
  const reader = await openDiskImage({ path, format: 'raw', readOnly: true });
  assert.match(qemuOpens(path), /Failed to get "write" lock/);
  assert.equal(qemuOpens(path, '-r'), '');
  await reader.close();
  assert.equal(qemuOpens(path), '');
});
