/**
 * Images that QEMU's tools made, read and written here, and read by them again. DISK_SEEDS says how many, DISK_SEED where they
 * begin.
 *
 * @module
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, readFileSync, rmSync } from 'node:fs';
import { test } from 'node:test';
import { checkQcow2 } from '../../src/disk/qcow2/check.ts';
import { pattern, randomSource } from '../../src/disk/testing.ts';
import { openQcow2Image } from '../../src/host/node/disk-image.ts';
import { ModelDisk, SECTOR } from './model-disk.ts';
import { NO_QEMU, qemuCheck, qemuImg, qemuIo } from './qemu.ts';
import { TemporaryFolder } from './temporary.ts';

const SEEDS = Number(process.env['DISK_SEEDS'] ?? 24);
const FIRST_SEED = Number(process.env['DISK_SEED'] ?? 1);
const folder = new TemporaryFolder();

type Random = (below: number) => number;

/** What qemu-io is asked for, and what that leaves on the disk. */
interface Requests {
  readonly commands: string[];
  readonly contents: Uint8Array;
}

/** Compressed writes of whole clusters that hold nothing yet. They come first: QEMU 7.2 may put others where packed ones ended. */
function drawPacked({ commands, contents }: Requests, clusterBytes: number, random: Random): void {
  const whole = Math.floor(contents.length / clusterBytes);
  const clusters = new Set(Array.from({ length: Math.min(whole, 8) }, () => random(whole)));
  for (const cluster of clusters) {
    const value = 1 + random(255);
    commands.push(`write -c -P ${value} ${cluster * clusterBytes} ${clusterBytes}`);
    contents.fill(value, cluster * clusterBytes, (cluster + 1) * clusterBytes);
  }
}

function drawPlain({ commands, contents }: Requests, clusterBytes: number, zeroFlag: boolean, random: Random): void {
  for (let number = 0; number < 20; number++) {
    const offset = random(contents.length / SECTOR) * SECTOR;
    const bytes = Math.min(contents.length - offset, (1 + random((3 * clusterBytes) / SECTOR)) * SECTOR);
    const value = random(3) === 0 ? 0 : 1 + random(255);
    const kind = value > 0 ? `-P ${value}` : zeroFlag && random(2) === 0 ? '-z -u' : '-z';
    commands.push(`write ${kind} ${offset} ${bytes}`);
    contents.fill(value, offset, offset + bytes);
  }
}

/** An image of QEMU's with contents known; also of compressed clusters that do not pack well, converted from a file. */
function makeImage(seed: number, random: Random, path: string): Uint8Array {
  const clusterBytes = SECTOR << random(13);
  const isOld = random(4) === 0;
  const options = isOld
    ? `compat=0.10,cluster_size=${clusterBytes}`
    : `cluster_size=${clusterBytes},refcount_bits=${1 << random(7)},compression_type=${random(2) ? 'zstd' : 'zlib'}`;
  const sectors = 1 + random(Math.min(30 * clusterBytes, 3 << 20) / SECTOR);
  const contents = new Uint8Array(sectors * SECTOR);
  const kind = random(3);
  if (kind === 0) {
    contents.set(pattern(contents.length, seed));
    const raw = folder.write('source.raw', contents);
    qemuImg('convert', '-c', '-f', 'raw', '-O', 'qcow2', '-o', options, raw, path);
  } else if (kind === 1) {
    const backing = pattern((1 + random(2 * sectors)) * SECTOR, seed);
    folder.write('backing.raw', backing);
    contents.set(backing.subarray(0, contents.length));
    qemuImg('create', '-q', '-f', 'qcow2', '-o', options, '-b', 'backing.raw', '-F', 'raw', path, `${contents.length}`);
  } else qemuImg('create', '-q', '-f', 'qcow2', '-o', options, path, `${contents.length}`);
  const requests: Requests = { commands: [], contents };
  if (kind !== 0) drawPacked(requests, clusterBytes, random);
  drawPlain(requests, clusterBytes, !isOld, random);
  qemuIo(path, requests.commands);
  return contents;
}

const open = (path: string, readOnly = false) => openQcow2Image({ path, readOnly, backing: ['backing.raw'] });

test('what QEMU wrote is read here, and what is written over it here QEMU reads, check and all', {
  skip: NO_QEMU,
}, async () => {
  const path = folder.at('image.qcow2');
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
    try {
      const random = randomSource(seed);
      rmSync(path, { force: true });
      const contents = makeImage(seed, random, path);
      const image = await open(path);
      assert.deepEqual((await checkQcow2(image, 'none')).problems, []);
      const model = new ModelDisk(contents, image.clusterBytes, random);
      await model.verifyAll(image);
      for (let step = 0; step < 40; step++) await model.step(image);
      await image.close();
      const { verdict, output } = qemuCheck(path);
      assert.equal(verdict, 'clean', output);
      const raw = folder.write('model.raw', model.contents);
      assert.equal(qemuImg('compare', '-f', 'qcow2', '-F', 'raw', path, raw), 'Images are identical.\n');
      const requests: Requests = { commands: [], contents: model.contents };
      drawPlain(requests, image.clusterBytes, image.header.version === 3, random);
      qemuIo(path, requests.commands);
      const again = await open(path, true);
      await model.verifyAll(again);
      assert.deepEqual((await checkQcow2(again, 'none')).problems, []);
      await again.close();
    } catch (error) {
      throw new Error(`with DISK_SEED=${seed}`, { cause: error });
    }
  }
});

test('writes here leave an internal snapshot as it was', { skip: NO_QEMU }, async () => {
  const path = folder.at('snapshot.qcow2');
  qemuImg('create', '-q', '-f', 'qcow2', '-o', 'cluster_size=4k', path, '1M');
  qemuIo(path, ['write -P 0x11 0 512k', 'write -c -P 0x22 512k 4k']);
  qemuImg('snapshot', '-c', 'before', path);
  const image = await openQcow2Image({ path });
  await image.write(1000, [pattern(100_000, 1)]);
  await image.discard(200 * 1024, 100 * 1024);
  await image.write(512 * 1024 + 7, [pattern(9, 2)]);
  await assert.rejects(image.resize(2 ** 21), /nb_snapshots 1 must be 0 to change the size/);
  await image.close();
  assert.equal(qemuCheck(path).verdict, 'clean');
  qemuImg('snapshot', '-a', 'before', path);
  qemuIo(path, ['read -P 0x11 0 512k', 'read -P 0x22 512k 4k', 'read -P 0 516k 508k']);
});

test('a bitmap is no longer called true once something was written here, and stays while nothing is', {
  skip: NO_QEMU,
}, async () => {
  const path = folder.at('bitmap.qcow2');
  qemuImg('create', '-q', '-f', 'qcow2', path, '1M');
  qemuImg('bitmap', '--add', path, 'changes');
  const autoclear = (): number => readFileSync(path)[95];
  await (await openQcow2Image({ path })).close();
  assert.equal(autoclear(), 1);
  const image = await openQcow2Image({ path });
  assert.match((await checkQcow2(image, 'none')).leaksUnknown ?? '', /bitmaps/);
  await image.write(0, [pattern(10, 1)]);
  await image.close();
  assert.equal(autoclear(), 0);
  assert.notEqual(qemuCheck(path).verdict, 'corrupt');
});

test('an image that QEMU left dirty, with lazy refcounts, is repaired and whole', { skip: NO_QEMU }, async () => {
  const path = folder.at('lazy.qcow2');
  qemuImg('create', '-q', '-f', 'qcow2', '-o', 'lazy_refcounts=on,cluster_size=4k', path, '1M');
  const commands = ['write -P 0x55 100k 200k', 'flush', 'sigraise 9'];
  spawnSync('qemu-io', ['-f', 'qcow2', ...commands.flatMap((command) => ['-c', command]), path]);
  assert.equal(readFileSync(path)[79] & 1, 1, 'the image is dirty');
  const image = await openQcow2Image({ path });
  const into = new Uint8Array(200 * 1024);
  await image.read(100 * 1024, [into]);
  assert.ok(into.every((byte) => byte === 0x55));
  await image.write(0, [pattern(5000, 1)]);
  await image.close();
  assert.equal(qemuCheck(path).verdict, 'clean');
});

test('features that are not supported are refused by the name QEMU gives them', { skip: NO_QEMU }, async () => {
  const path = folder.at('refused.qcow2');
  const refuses = async (options: string, reason: RegExp): Promise<void> => {
    rmSync(path, { force: true });
    qemuImg('create', '-q', '-f', 'qcow2', '-o', options, path, '1M');
    await assert.rejects(openQcow2Image({ path }), reason);
  };
  await refuses('extended_l2=on', /incompatible feature "extended L2 entries" \(bit 4\) is not supported/);
  await refuses(
    `data_file=${folder.at('data.raw')}`,
    /incompatible feature "external data file" \(bit 2\) is not supported/,
  );
  rmSync(path);
  // QEMU's other encryption, LUKS, is not made where the processor is too fast for the clock that QEMU measures it with.
  const secret = ['--object', 'secret,id=s,data=x', '-o', 'encrypt.format=aes,encrypt.key-secret=s'];
  qemuImg('create', '-q', '-f', 'qcow2', ...secret, path, '1M');
  await assert.rejects(openQcow2Image({ path }), /crypt_method 1 is not supported: the image is encrypted/);
});

test('the repairs of leaks and of wrong counts leave what qemu-img finds clean', { skip: NO_QEMU }, async () => {
  const source = folder.at('whole.qcow2');
  qemuImg('create', '-q', '-f', 'qcow2', '-o', 'cluster_size=4k', source, '1M');
  qemuIo(source, ['write -P 0x77 0 100k']);
  const path = folder.at('damaged.qcow2');
  for (const [cluster, count] of [
    [9, 0],
    [9, 2],
    [3, 0],
    [100, 1],
    [1500, 7],
  ] as const) {
    copyFileSync(source, path);
    const bytes = readFileSync(path);
    bytes.writeUInt16BE(count, Number(bytes.readBigUInt64BE(4096)) + cluster * 2);
    folder.write('damaged.qcow2', bytes);
    const image = await openQcow2Image({ path });
    const report = await checkQcow2(image, 'all');
    assert.deepEqual(
      [report.errors + report.leaks, report.repairedErrors + report.repairedLeaks].map(Math.sign),
      [1, 1],
    );
    await image.close();
    const { verdict, output } = qemuCheck(path);
    assert.equal(verdict, 'clean', `cluster ${cluster} counted ${count}: ${output}`);
    qemuIo(path, ['read -P 0x77 0 100k']);
  }
});
