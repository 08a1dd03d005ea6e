import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { skipWithout } from '../test/guest/debian.ts';
import { type CpioEntry, writeCpio } from './cpio.ts';

const text = (bytes: Uint8Array): string => new TextDecoder('latin1').decode(bytes);

const ENTRIES: readonly CpioEntry[] = [
  { kind: 'directory', path: 'bin' },
  { kind: 'file', path: 'bin/hello', data: 'hello', mode: 0o755 },
  { kind: 'symlink', path: 'bin/sh', target: 'busybox' },
  { kind: 'character-device', path: 'console', major: 5, minor: 1 },
];

test('a file has the header of the newc format, its name and its data, each filled up to four bytes', () => {
  const archive = text(writeCpio([{ kind: 'file', path: 'a', data: 'hello', mode: 0o644 }], 0x1234));
  // biome-ignore format: the header's fields
  const header = [
    '070701', '00000001' /* inode */, '000081A4' /* mode */, '00000000', '00000000', '00000001' /* links */, '00001234',
    '00000005' /* size */, '00000000', '00000000', '00000000', '00000000', '00000002' /* name */, '00000000',
  ].join('');
  assert.equal(archive.slice(0, 120), `${header}a\0hello\0\0\0`);
});

test('the archive ends with the trailer', () => {
  assert.match(text(writeCpio([])), /TRAILER!!!\0+$/);
});

test('the same entries give the same bytes', () => {
  assert.deepEqual(writeCpio(ENTRIES), writeCpio(ENTRIES));
});

test('an absolute path is refused', () => {
  assert.throws(() => writeCpio([{ kind: 'directory', path: '/bin' }]), /"\/bin".*not relative/);
});

test('a path given twice is refused', () => {
  assert.throws(() => writeCpio([ENTRIES[0]!, ENTRIES[0]!]), /"bin" is there twice/);
});

test('cpio lists kinds, modes, sizes and targets as they were given', { skip: skipWithout('cpio') }, () => {
  const { stdout } = spawnSync('cpio', ['-tvn'], { input: writeCpio(ENTRIES), encoding: 'utf8', env: { TZ: 'UTC' } });
  const rows = stdout
    .trim()
    .split('\n')
    .map((row) => row.replace(/\s+/g, ' '));
  assert.deepEqual(rows, [
    'drwxr-xr-x 2 0 0 0 Jan 1 1970 bin',
    '-rwxr-xr-x 1 0 0 5 Jan 1 1970 bin/hello',
    'lrwxrwxrwx 1 0 0 7 Jan 1 1970 bin/sh -> busybox',
    'crw------- 1 0 0 5, 1 Jan 1 1970 console',
  ]);
});
