/**
 * Machines that are killed with SIGKILL while their guests write: what a guest was told to be durable is in the image, and the image
 * is whole. The host goes on, so what the kernel had taken is not lost: crashes of the host are `test/disk/qcow2-crash.test.ts`'s.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkQcow2 } from '../../src/disk/qcow2/check.ts';
import { createQcow2 } from '../../src/disk/qcow2/create.ts';
import { randomSource } from '../../src/disk/testing.ts';
import { openDiskImage, openQcow2Image } from '../../src/host/node/disk-image.ts';
import { openImageFile } from '../../src/host/node/image-file.ts';
import { NO_QEMU, qemuCheck } from '../disk/qemu.ts';
import { skipWithout } from '../guest/debian.ts';
import { type Console, launch } from './console.ts';
import { BATCH, BLOCK_BYTES, BLOCKS, blocksOf, diskWriterKernel, numberOf } from './disk-writer-kernel.ts';
import { temporaryFolder } from './programs.ts';

const KILLS = 50;
const DISK_BYTES = BLOCKS * BLOCK_BYTES;
/** Flushes that a guest sees before it is killed, and the time behind the last. */
const MOST_FLUSHES = 40;
const MOST_MILLISECONDS = 20;
const folder = temporaryFolder();

type Format = 'raw' | 'qcow2';

async function emptyImage(path: string, format: Format, clusterBytes: number): Promise<void> {
  rmSync(path, { force: true });
  if (format === 'raw') {
    writeFileSync(path, '');
    truncateSync(path, DISK_BYTES);
    return;
  }
  const file = await openImageFile(path, { readOnly: false, create: 'new' });
  await createQcow2(file, { bytes: DISK_BYTES, clusterBytes });
  await file.close();
}

async function kill(vm: Console): Promise<void> {
  process.kill(-(vm.child.pid as number), 'SIGKILL');
  await vm.exits('SIGKILL');
}

/** No error, by our own check and QEMU's; clusters that are counted and not used may be left. */
async function requireWhole(path: string): Promise<void> {
  const image = await openQcow2Image({ path, readOnly: true });
  const { errors, problems } = await checkQcow2(image, 'none');
  await image.close();
  assert.equal(errors, 0, problems.join('\n'));
  if (NO_QEMU === false) assert.notEqual(qemuCheck(path).verdict, 'corrupt');
}

/** Every word of every block is of the last write to it that was flushed, or of a later one: of several in one batch any may be last. */
async function requireFlushed(path: string, format: Format, seed: number, flushed: number): Promise<number> {
  const disk = await openDiskImage({ path, format, readOnly: true });
  const contents = new Uint32Array(DISK_BYTES / 4);
  await disk.read(0, [new Uint8Array(contents.buffer)]);
  await disk.close();
  const newest = contents.reduce((most, word) => Math.max(most, word), 0);
  /** By block: the least number that may be there, and all there are. */
  const least = new Uint32Array(BLOCKS);
  const writes: Set<number>[] = Array.from({ length: BLOCKS }, () => new Set([0]));
  let number = 0;
  for (const block of blocksOf(seed)) {
    if (++number > Math.max(newest, flushed)) break;
    writes[block]?.add(number);
    const batchStart = number - ((number - 1) % BATCH);
    if (number <= flushed && (least[block] ?? 0) < batchStart) least[block] = number;
  }
  for (const [at, word] of contents.entries()) {
    const block = Math.floor(at / (BLOCK_BYTES / 4));
    if (word >= (least[block] ?? 0) && writes[block]?.has(word)) continue;
    assert.fail(
      `seed ${seed}, ${flushed} flushed: block ${block} has a word of write ${word}, not of ${least[block]} or later`,
    );
  }
  return newest;
}

test(`${KILLS} machines killed at random moments leave everything that was flushed, in raw and qcow2 images`, async (t) => {
  let [writes, late] = [0, 0];
  for (let seed = 1; seed <= KILLS; seed++) {
    const format = seed % 2 === 0 ? 'raw' : 'qcow2';
    const path = join(folder, `killed.${format}`);
    await emptyImage(path, format, 512 << (seed % 8));
    const kernel = diskWriterKernel(folder, seed);
    const disk = ['-b', `${path},format=${format}`, '--virtio-transport', 'mmio'];
    await using vm = launch(['--hypervisor', 'wasm', '-m', '64', ...disk, kernel]);
    const random = randomSource(seed);
    await vm.see(new RegExp(`([A-P]{8}\\n){${1 + random(MOST_FLUSHES)}}`));
    await new Promise((resolve) => void setTimeout(resolve, random(MOST_MILLISECONDS)));
    await kill(vm);
    assert.ok(!vm.output.includes('!'), `a request failed${vm.transcript()}`);
    const flushed = numberOf(/([A-P]{8})\n[^\n]*$/.exec(vm.output)?.[1] ?? '');
    if (format === 'qcow2') await requireWhole(path);
    const newest = await requireFlushed(path, format, seed, flushed);
    writes += flushed;
    if (newest > flushed) late++;
  }
  t.diagnostic(`${writes} writes were flushed; ${late} machines were killed in the middle of others`);
  assert.ok(late > 0, 'no machine was killed while it wrote');
});

test('Linux that is killed while it writes files has those it has synchronised, in a file system that its journal heals', {
  skip: skipWithout('mke2fs') || skipWithout('qemu-img'),
}, async () => {
  for (let round = 1; round <= 3; round++) {
    const [raw, path] = [join(folder, 'linux.ext4'), join(folder, 'linux.qcow2')];
    rmSync(raw, { force: true });
    execFileSync('mke2fs', ['-q', '-t', 'ext4', raw, '64M'], { stdio: 'pipe' });
    execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, path], { stdio: 'pipe' });
    await using vm = launch(['--hypervisor', 'wasm', '-b', `${path},format=qcow2`]);
    await vm.prompt();
    await vm.run('mkdir /tmp/m; mount -t ext4 /dev/vda /tmp/m');
    vm.type(
      'n=0; while :; do n=$((n+1)); dd if=/dev/zero of=/tmp/m/noise$((n%5)) bs=16k count=9 2>/dev/null; printf "%3000d" $n | dd of=/tmp/m/f$n conv=fsync 2>/dev/null; echo done=$n; done\n',
    );
    await vm.see(new RegExp(`done=${8 * round}\\r?\\n`));
    await new Promise((resolve) => void setTimeout(resolve, randomSource(round)(MOST_MILLISECONDS)));
    await kill(vm);
    const last = Number([...vm.output.matchAll(/done=(\d+)\r?\n/g)].at(-1)?.[1]);
    await requireWhole(path);
    execFileSync('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', path, raw], { stdio: 'pipe' });
    // Replays the journal; 1: that was all there was to do. Anything else is an error.
    try {
      execFileSync('e2fsck', ['-fp', '-E', 'journal_only', raw], { stdio: 'pipe' });
    } catch (error) {
      assert.equal((error as { status: number }).status, 1);
    }
    execFileSync('e2fsck', ['-fn', raw], { stdio: 'pipe' });
    const out = join(folder, 'file');
    for (let n = 1; n <= last; n++) {
      execFileSync('debugfs', ['-R', `dump /f${n} ${out}`, raw], { stdio: 'pipe' });
      assert.equal(readFileSync(out, 'latin1').trim(), String(n));
    }
  }
});
