import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { pattern } from '../../disk/testing.ts';
import { openDiskImage } from '../../host/node/disk-image.ts';
import { HELP_COLUMNS } from '../help.ts';
import { UsageError } from '../usage-error.ts';
import { formatSize, parseSize } from './command.ts';
import { commandHelp, DISK_COMMANDS, diskHelp } from './disk.ts';

const LAUNCHER = fileURLToPath(new URL('../../../bin/typervisor', import.meta.url));
const FOLDER = mkdtempSync(join(tmpdir(), 'typervisor-cli-disk-'));
after(() => rmSync(FOLDER, { recursive: true }));
const at = (name: string): string => join(FOLDER, name);

function run(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [LAUNCHER, ...args], {
    encoding: 'utf8',
    cwd: FOLDER,
  });
  return { status, stdout, stderr };
}

/** Runs a command that succeeds, and returns what it prints. */
function succeed(...args: string[]): string {
  const { status, stdout, stderr } = run(...args);
  assert.deepEqual({ status, stderr }, { status: 0, stderr: '' }, args.join(' '));
  return stdout;
}

const refused = (args: string[], status: number, message: string): void =>
  assert.deepEqual(run(...args), { status, stdout: '', stderr: `typervisor: ${message}\n` });

const facts = (path: string): Record<string, unknown> =>
  JSON.parse(succeed('disk', 'info', '--json', path)) as Record<string, unknown>;

test('help explains every command and option, and fits its columns', () => {
  assert.ok(DISK_COMMANDS.length >= 7);
  for (const command of DISK_COMMANDS) {
    const help = commandHelp(command);
    assert.ok(help.startsWith(`Usage: typervisor ${command.name} [OPTIONS] ${command.operands.join(' ')}\n`));
    for (const { name } of command.options) assert.ok(help.includes(`${name} `), name);
    for (const line of help.split('\n')) assert.ok(line.length <= HELP_COLUMNS, line);
  }
  for (const line of diskHelp().split('\n')) assert.ok(line.length <= HELP_COLUMNS, line);
  assert.equal(succeed('disk', '--help'), diskHelp());
  assert.equal(succeed('help', 'disk'), diskHelp());
});

test('sizes have binary units and are rounded up to sectors; others are refused', () => {
  assert.deepEqual(
    ['1', '512', '64k', '1.5G', '2TiB', '0'].map((text) => parseSize('SIZE', text)),
    [512, 512, 65536, 1.5 * 2 ** 30, 2 ** 41, 0],
  );
  for (const text of ['', '-1', '1e3', '5X', '0x10', '9999P', 'G', '1 G']) {
    assert.throws(() => parseSize('SIZE', text), UsageError, text);
  }
});

test('sizes are shown rounded and exact', () => {
  assert.deepEqual([100, 1024, 1.5 * 2 ** 30].map(formatSize), [
    '100 bytes',
    '1 KiB (1024 bytes)',
    '1.5 GiB (1610612736 bytes)',
  ]);
});

test('create makes an image of the format, size and options that were asked for', () => {
  succeed('disk', 'create', 'plain.raw', '3M');
  assert.deepEqual([statSync(at('plain.raw')).size, statSync(at('plain.raw')).blocks], [3 * 2 ** 20, 0]);
  succeed(
    'disk',
    'create',
    '-f',
    'qcow2',
    '-o',
    'cluster-size=4K,refcount-bits=8,compression=zstd',
    'fine.qcow2',
    '1G',
  );
  const { capacity, version, compression, ...rest } = facts('fine.qcow2');
  assert.deepEqual([capacity, version, compression], [2 ** 30, 3, 'zstd']);
  assert.deepEqual([rest['cluster-size'], rest['refcount-bits']], [4096, 8]);
});

test('create over a backing file takes its size, and wants its format', () => {
  writeFileSync(at('base.raw'), pattern(5 * 512, 1));
  succeed('disk', 'create', '-f', 'qcow2', '-b', 'base.raw', '-F', 'raw', 'over.qcow2');
  const { capacity, ...rest } = facts('over.qcow2');
  assert.deepEqual([capacity, rest['backing-file'], rest['backing-format']], [2560, 'base.raw', 'raw']);
  refused(
    ['disk', 'create', '-f', 'qcow2', '-b', 'base.raw', 'x.qcow2'],
    35,
    'options --backing and --backing-format go together',
  );
});

test('create does not touch a file that exists, unless it is forced to', () => {
  writeFileSync(at('precious'), 'precious');
  const { status, stderr } = run('disk', 'create', 'precious', '1M');
  assert.equal(status, 1);
  assert.match(stderr, /^typervisor: disk "precious": .*\(EEXIST\)\n$/);
  assert.equal(readFileSync(at('precious'), 'utf8'), 'precious');
  succeed('disk', 'create', '--force', 'precious', '1M');
  assert.equal(statSync(at('precious')).size, 2 ** 20);
});

test('arguments that make no sense are one line and status 35', () => {
  refused(['disk'], 35, 'disk: a command is missing: create, info, resize, check, convert, commit');
  refused(['disk', 'creat'], 35, 'unknown command "disk creat", did you mean "create"?');
  refused(['disk', 'create'], 35, 'PATH is missing');
  refused(['disk', 'create', 'a'], 35, 'SIZE is missing');
  refused(['disk', 'create', 'a', '1M', 'b'], 35, 'unexpected argument "b"');
  refused(['disk', 'create', 'a', '12Q'], 35, 'SIZE "12Q" is no size, as 512M or 1.5G is one');
  refused(['disk', 'create', '-f', 'vmdk', 'a', '1M'], 35, '--format "vmdk" is not raw or qcow2');
  refused(['disk', 'create', '-o', 'version=2', 'a', '1M'], 35, '--options "version=2": a raw image has none');
  refused(
    ['disk', 'create', '-f', 'qcow2', '-o', 'version=4', 'a', '1M'],
    35,
    '--options "version=4": 4 is not from 2 to 3 at position 8',
  );
  refused(['disk', 'resize', 'a', '1M'], 35, 'option --format is missing: it says what the image is');
  refused(
    ['disk', 'convert', '-f', 'raw', 'a', 'b'],
    35,
    'option --to is missing: it says what the new image is to be',
  );
});

test('an image that cannot be read is one line and status 1', () => {
  refused(['disk', 'check', 'gone.qcow2'], 1, 'disk "gone.qcow2": there is no such file (ENOENT)');
  writeFileSync(at('garbage.qcow2'), 'x'.repeat(1000));
  refused(['disk', 'check', 'garbage.qcow2'], 1, 'garbage.qcow2: magic 0x78787878 is not that of qcow2');
});

test('info prints what is there in lines', () => {
  succeed('disk', 'create', '-f', 'qcow2', 'info.qcow2', '1G');
  const lines = succeed('disk', 'info', 'info.qcow2').split('\n');
  assert.deepEqual(lines.slice(0, 3), [
    'image:           info.qcow2',
    'format:          qcow2',
    'capacity:        1 GiB (1073741824 bytes)',
  ]);
});

test('resize grows by a size or to one, and shrinks only when that is allowed', () => {
  succeed('disk', 'create', '-f', 'qcow2', 'size.qcow2', '10M');
  succeed('disk', 'resize', '-f', 'qcow2', 'size.qcow2', '+2M');
  assert.equal(facts('size.qcow2')['capacity'], 12 * 2 ** 20);
  refused(
    ['disk', 'resize', '-f', 'qcow2', 'size.qcow2', '1M'],
    35,
    'SIZE 1048576 is less than the 12582912 bytes there are; --shrink allows that',
  );
  succeed('disk', 'resize', '--shrink', '-f', 'qcow2', 'size.qcow2', '1M');
  assert.equal(facts('size.qcow2')['capacity'], 2 ** 20);
});

test('convert carries contents to qcow2 and back, and holes stay holes', () => {
  const contents = new Uint8Array(8 * 2 ** 20);
  contents.set(pattern(100_000, 1), 3 * 2 ** 20 + 5);
  writeFileSync(at('source.raw'), contents);
  succeed('disk', 'convert', '-f', 'raw', '-O', 'qcow2', 'source.raw', 'copy.qcow2');
  assert.ok(statSync(at('copy.qcow2')).size < 2 ** 20);
  succeed('disk', 'check', 'copy.qcow2');
  succeed('disk', 'convert', '-f', 'qcow2', '-O', 'raw', 'copy.qcow2', 'back.raw');
  assert.ok(readFileSync(at('back.raw')).equals(contents));
  assert.ok(statSync(at('back.raw')).blocks * 512 < 2 ** 20);
});

test('commit writes what an image holds to the backing file that was allowed, and empties the image', async () => {
  writeFileSync(at('below.raw'), pattern(300_032, 1));
  succeed(
    'disk',
    'create',
    '-f',
    'qcow2',
    '-o',
    'cluster-size=4K',
    '-b',
    'below.raw',
    '-F',
    'raw',
    'above.qcow2',
    '400K',
  );
  const disk = await openDiskImage({ path: at('above.qcow2'), format: 'qcow2', backing: 'any' });
  await disk.write(8192, [pattern(10_000, 2)]);
  await disk.writeZeroes(40_960, 8192, true);
  await disk.close();
  const seen = Buffer.concat([pattern(300_032, 1), new Uint8Array(400 * 1024 - 300_032)]);
  seen.set(pattern(10_000, 2), 8192);
  seen.fill(0, 40_960, 49_152);
  refused(
    ['disk', 'commit', 'above.qcow2'],
    35,
    'PATH "above.qcow2": --allow-backing "below.raw" is needed to write to that file',
  );
  succeed('disk', 'commit', '--allow-backing', 'below.raw', 'above.qcow2');
  assert.ok(readFileSync(at('below.raw')).equals(seen));
  assert.match(succeed('disk', 'check', 'above.qcow2'), /^no errors\n0 of 100 clusters allocated/);
});

test('check exits with 3 for leaks and with 2 for errors, and repairs what it is told to', () => {
  succeed('disk', 'create', '-f', 'qcow2', 'broken.qcow2', '1M');
  const bytes = readFileSync(at('broken.qcow2'));
  const count = (cluster: number, value: number): void => {
    bytes.writeUInt16BE(value, 2 * 65536 + cluster * 2);
    writeFileSync(at('broken.qcow2'), bytes);
  };
  count(9, 1);
  assert.equal(run('disk', 'check', 'broken.qcow2').status, 3);
  succeed('disk', 'check', '-r', 'leaks', 'broken.qcow2');
  succeed('disk', 'check', 'broken.qcow2');
  count(9, 0);
  count(3, 0);
  assert.equal(run('disk', 'check', '-r', 'leaks', 'broken.qcow2').status, 2);
  succeed('disk', 'check', '-r', 'all', 'broken.qcow2');
  succeed('disk', 'check', 'broken.qcow2');
});

test("crosvm's create_qcow2 takes a size or a backing file, whose format it does not guess", () => {
  succeed('create_qcow2', 'crosvm.qcow2', '1048576');
  assert.equal(facts('crosvm.qcow2')['capacity'], 2 ** 20);
  writeFileSync(at('crosvm.raw'), '');
  truncateSync(at('crosvm.raw'), 2 ** 21);
  succeed('create_qcow2', 'above-raw.qcow2', '--backing-file', 'crosvm.raw');
  assert.deepEqual(
    [facts('above-raw.qcow2')['capacity'], facts('above-raw.qcow2')['backing-format']],
    [2 ** 21, 'raw'],
  );
  refused(
    ['create_qcow2', 'x.qcow2', '--backing-file', 'crosvm.qcow2'],
    35,
    '--backing-file "crosvm.qcow2" looks like qcow2: --backing-format says what it is',
  );
  refused(['create_qcow2', 'x.qcow2'], 35, 'either SIZE or --backing-file is to be given, and not both');
});
