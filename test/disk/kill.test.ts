/** A process that is killed while it writes to a qcow2 image leaves it whole, with everything it had flushed. @module */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { checkQcow2 } from '../../src/disk/qcow2/check.ts';
import { createQcow2 } from '../../src/disk/qcow2/create.ts';
import { randomSource } from '../../src/disk/testing.ts';
import { openQcow2Image } from '../../src/host/node/disk-image.ts';
import { openImageFile } from '../../src/host/node/image-file.ts';
import { DISK_BYTES, plannedWrite } from './kill-writer.ts';
import { NO_QEMU, qemuCheck } from './qemu.ts';
import { TemporaryFolder } from './temporary.ts';

const KILLS = Number(process.env['DISK_SEEDS'] ?? 12);
const WRITER = fileURLToPath(new URL('kill-writer.ts', import.meta.url));
const DISCARDED = 65_536;
/** Writes between two flushes. */
const BATCH = 5;
const folder = new TemporaryFolder();

/** Lets a writer run until it has flushed so often, and returns how many of its writes were durable when it was killed. */
async function killedWriter(path: string, seed: number, flushes: number): Promise<number> {
  const child = spawn(process.execPath, [WRITER, path, `${seed}`], { stdio: ['ignore', 'pipe', 'inherit'] });
  let durable = 0;
  let lines = 0;
  for await (const line of createInterface(child.stdout)) {
    durable = Number(line);
    if (++lines === flushes) child.kill('SIGKILL');
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  assert.equal(child.signalCode, 'SIGKILL');
  return durable;
}

test('a writer that is killed at any moment leaves an image without errors that has everything flushed', async () => {
  const path = folder.at('killed.qcow2');
  for (let seed = 1; seed <= KILLS; seed++) {
    rmSync(path, { force: true });
    const file = await openImageFile(path, { readOnly: false, create: 'new' });
    await createQcow2(file, { bytes: DISK_BYTES, clusterBytes: 512 << (seed % 8) });
    await file.close();
    const durable = await killedWriter(path, seed, 1 + randomSource(seed)(20));
    const image = await openQcow2Image({ path, readOnly: true });
    const { errors, problems } = await checkQcow2(image, 'none');
    assert.equal(errors, 0, problems.join('\n'));
    if (NO_QEMU === false) assert.notEqual(qemuCheck(path).verdict, 'corrupt');
    const disk = new Uint8Array(DISK_BYTES);
    await image.read(0, [disk]);
    await image.close();
    const expected = new Uint8Array(DISK_BYTES);
    for (let number = 0; number < durable; number++) {
      const { offset, data } = plannedWrite(seed, number);
      expected.set(data, offset);
    }
    // What was under way when it was killed may be there or not.
    const open = new Set<number>();
    for (let number = durable; number < durable + BATCH; number++) {
      const { offset, data } = plannedWrite(seed, number);
      for (let at = offset; at < offset + data.length; at++) open.add(at);
    }
    const lost = disk.findIndex((byte, at) => at >= DISCARDED && byte !== expected[at] && !open.has(at));
    assert.equal(lost, -1, `byte ${lost} of seed ${seed} is ${disk[lost]}, not ${expected[lost]}`);
  }
});
