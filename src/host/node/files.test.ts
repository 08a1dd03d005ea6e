import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, ftruncateSync, mkdtempSync, openSync, closeSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { FileError, openFile } from './files.ts';

const FOLDER = mkdtempSync(join(tmpdir(), 'typervisor-files-'));
after(() => rmSync(FOLDER, { recursive: true }));

function fileWith(name: string, contents: string | Uint8Array): string {
  const path = join(FOLDER, name);
  writeFileSync(path, contents);
  return path;
}

const refused = (path: string, message: string, maxBytes = 1000): void =>
  assert.throws(
    () => openFile(path, 'kernel', maxBytes),
    (error) => error instanceof FileError && error.message === `kernel ${JSON.stringify(path)}: ${message}`,
  );

test('a file is read in pieces from any offset, into shared memory too', () => {
  using file = openFile(fileWith('plain', 'abcdefgh'), 'kernel', 1000);
  assert.equal(file.bytes, 8);
  const into = new Uint8Array(new SharedArrayBuffer(3));
  file.read(2, into);
  assert.equal(String.fromCharCode(...into), 'cde');
});

test('a file that is missing, or below something that is no folder, is refused by name', () => {
  refused(join(FOLDER, 'gone'), 'there is no such file (ENOENT)');
  refused(join(fileWith('leaf', 'x'), 'below'), 'a part of its path is not a folder (ENOTDIR)');
});

test('a folder is refused', () => {
  refused(FOLDER, 'it is a folder (EISDIR)');
});

test('an empty file is refused', () => {
  refused(fileWith('empty', ''), 'it is empty (EMPTY)');
});

test('a file of the largest size is accepted, one byte more is refused', () => {
  const path = fileWith('large', new Uint8Array(1000));
  openFile(path, 'kernel', 1000)[Symbol.dispose]();
  refused(path, 'it has 1000 bytes, and at most 999 are possible here (ETOOLARGE)', 999);
});

test('a file without permission is refused', () => {
  const path = fileWith('secret', 'x');
  chmodSync(path, 0);
  chmodSync(FOLDER, 0o755);
  const isRoot = process.getuid?.() === 0;
  if (isRoot) process.seteuid?.(65534);
  try {
    refused(path, 'permission denied (EACCES)');
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
});

test('a path with a NUL is refused as an error of the file', () => {
  assert.throws(() => openFile('a\0b', 'initrd', 10), FileError);
});

test('a file that shrinks after it was opened is an error when it is read', () => {
  const path = fileWith('shrinking', 'abcdefgh');
  using file = openFile(path, 'kernel', 1000);
  const fd = openSync(path, 'r+');
  ftruncateSync(fd, 4);
  closeSync(fd);
  assert.throws(
    () => file.read(2, new Uint8Array(4)),
    (error) =>
      error instanceof FileError &&
      error.message.endsWith('it ends at byte 4; it was longer when it was opened (ESHORT)'),
  );
});

test('a pipe is read to its end', () => {
  const path = join(FOLDER, 'pipe');
  execFileSync('mkfifo', [path]);
  spawn('sh', ['-c', `printf abcdefgh > '${path}'`]);
  using file = openFile(path, 'initrd', 8);
  const into = new Uint8Array(4);
  file.read(4, into);
  assert.equal(String.fromCharCode(...into), 'efgh');
});

test('a pipe with more than fits is refused without reading on', () => {
  refused('/dev/zero', 'it has more, and at most 5000000 are possible here (ETOOLARGE)', 5_000_000);
});
