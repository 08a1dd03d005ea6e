/** What `typervisor` refuses before a machine exists: arguments, and files that cannot be a kernel or an initrd. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { buildBzImage, buildElf } from '../boot/images.ts';
import { typervisor } from './console.ts';
import { exitKernel } from './kernels.ts';
import { temporaryFolder } from './programs.ts';

const folder = temporaryFolder();
const file = (name: string, data: Uint8Array | string): string => {
  const path = join(folder, name);
  writeFileSync(path, data);
  return path;
};

/** Runs to the end: the status, and one line on standard error. */
async function refusal(...args: string[]): Promise<{ status: unknown; line: string }> {
  await using run = typervisor(args, { input: '' });
  const status = await run.status();
  assert.equal(run.output, '', run.transcript());
  assert.match(run.errors, /^typervisor: [^\n]+\n$/, run.transcript());
  return { status, line: run.errors.slice('typervisor: '.length, -1) };
}

const BAD_ARGUMENTS: readonly (readonly [args: readonly string[], line: RegExp])[] = [
  [['run', '--initrb', 'x'], /--initrb.*--initrd/],
  [['run', '-m'], /-m/],
  [['run', '-m', '32'], /--mem "32": 32 is not from 64 to \d+ MiB at position 0/],
  [['run', '--hypervisor', 'wasm', '-m', '4096'], /--mem "4096": the WebAssembly CPU has at most 3072 MiB/],
  [['run', '-m', 'size=256,size=512'], /size.*position 9/],
  [['run', '-m', 'sise=256'], /sise.*size/],
  [['run', '--hypervisor', 'wasm', '-c', '2'], /--cpus "2"/],
  [['run', '--serial', 'type=file'], /needs a path/],
  [['run', '--serial', 'type=printer'], /printer/],
  [['run', '--hypervisor', 'kvn'], /"kvn" is not .*kvm/],
  [['run', '--debug-exit', 'port=0x10000'], /0x10000|65536/],
  [['run', 'one', 'two'], /"two"/],
  [['rum'], /rum.*run/],
];
for (const [args, line] of BAD_ARGUMENTS) {
  test(`"${args.join(' ')}" is refused with status 35 and one line`, async () => {
    const refused = await refusal(...args);
    assert.match(refused.line, line);
    assert.equal(refused.status, 35);
  });
}

test('--help explains every option and ends with status 0', async () => {
  await using run = typervisor(['run', '--help'], { input: '' });
  await run.exits(0);
  const options = [
    '--initrd',
    '--params',
    '--mem',
    '--cpus',
    '--serial',
    '--block',
    '--scsi-block',
    '--pmem',
    '--no-rng',
    '--no-balloon',
    '--init-mem',
    '--virtio-transport',
    '--hypervisor',
    '--no-reboot',
    '--name',
    '--stats',
  ];
  for (const option of [...options, '--debug-exit', '--help']) assert.ok(run.output.includes(option), option);
});

const kernel = exitKernel(folder, 0);
mkdirSync(join(folder, 'folder'));
const text = file('text', 'This is not a kernel.\n'.repeat(100));
const elf = buildElf({ entry: 0x100_0000, segments: [{ paddr: 0x100_0000, data: new Uint8Array(64) }] });

/** More than what there is below the PCI hole, without a byte on the host. */
const huge = file('huge', '');
truncateSync(huge, 4 * 1024 ** 3);

// biome-ignore format: a table
const BAD_FILES: readonly (readonly [name: string, args: readonly string[], line: RegExp])[] = [
  ['a kernel that does not exist', [join(folder, 'none')], /^kernel ".*none": there is no such file \(ENOENT\)$/],
  ['a kernel that is a folder', [join(folder, 'folder')], /^kernel ".*folder": it is a folder \(EISDIR\)$/],
  ['an empty kernel', [file('empty', '')], /^kernel ".*empty": it is empty \(EMPTY\)$/],
  ['a kernel of no known format', [text], /text.*: .*format|magic/],
  ['an initrd that does not exist', ['-i', join(folder, 'none')], /^initrd ".*none": there is no such file \(ENOENT\)$/],
  ['an empty initrd', [kernel, '-i', file('empty', '')], /^initrd ".*empty": it is empty \(EMPTY\)$/],
  ['an initrd larger than the memory', ['-m', '64', '-i', file('large', new Uint8Array(65 << 20))], /^initrd ".*large": .*68157440/],
  ['a disk that does not exist', [kernel, '-b', join(folder, 'none')], /^disk ".*none": there is no such file \(ENOENT\)$/],
  ['a disk that is a folder', [kernel, '-b', join(folder, 'folder')], /^disk ".*folder": it is a folder \(EISDIR\)$/],
  ['a disk of less than a sector', [kernel, '-b', file('tiny', 'tiny')], /^disk ".*tiny": it has 4 bytes, less than a sector \(EMPTY\)$/],
  ['persistent memory that does not exist', [kernel, '--pmem', join(folder, 'none')], /^pmem ".*none": there is no such file \(ENOENT\)$/],
  ['persistent memory without a byte', [kernel, '--pmem', file('void', '')], /^pmem ".*void": it has no bytes \(EMPTY\)$/],
  ['persistent memory that does not fit', [kernel, '--hypervisor', 'wasm', '--pmem', huge], /^guest RAM of 268435456 bytes and persistent memory of 4294967296 do not fit into 3489660928$/],
  ['a SCSI disk of less than a block', [kernel, '--scsi-block', `${file('small', 'x'.repeat(512))},block-size=4096`], /^disk ".*small": it has 512 bytes, less than a block of 4096 \(EMPTY\)$/],
  ['a disk that is persistent memory too', [kernel, '-b', file('both', 'x'.repeat(512)), '--pmem', `${join(folder, 'both')},ro`], /^pmem ".*both": it is given twice, and not both times read-only \(ESHARED\)$/],
  ['a disk that is given twice and may be written', [kernel, '-b', file('twice', 'x'.repeat(512)), '-b', `${join(folder, 'twice')},ro`], /^disk ".*twice": it is given twice, and not both times read-only \(ESHARED\)$/],
  ['a bzImage of an old boot protocol', [file('old', buildBzImage({ version: 0x0201 }))], /old: .*0x201 /],
  ['a bzImage that is cut off', [file('short', buildBzImage().subarray(0, 0x230))], /short: .*0x/],
  ['an ELF kernel whose segment is outside the file', [file('cut', elf.subarray(0, -8))], /cut: .*0x/],
  ['an ELF kernel for another machine', [file('arm', buildElf({ entry: 0x100_0000, machine: 183, segments: [] }))], /arm: e_machine 0xb7 /],
];
for (const [name, args, line] of BAD_FILES) {
  test(`${name} ends with status 1 and one line that names the file, the field and the value`, async () => {
    const refused = await refusal('run', ...args);
    assert.match(refused.line, line);
    assert.equal(refused.status, 1);
  });
}

test('standard output without space ends the machine with status 1 and one line', () => {
  const full = openSync('/dev/full', 'w');
  const launcher = fileURLToPath(new URL('../../bin/typervisor', import.meta.url));
  const { status, stderr } = spawnSync(process.execPath, [launcher, 'run'], {
    stdio: ['ignore', full, 'pipe'],
    encoding: 'utf8',
    timeout: 60_000,
  });
  closeSync(full);
  assert.match(stderr, /^typervisor: standard output: ENOSPC[^\n]*\n$/);
  assert.equal(status, 1);
});
