import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { FileError } from './files.ts';
import { openImageFile } from './image-file.ts';
import { linuxCalls } from './linux-calls.ts';

const FOLDER = mkdtempSync(join(tmpdir(), 'typervisor-image-'));
after(() => rmSync(FOLDER, { recursive: true }));
const noKoffi = linuxCalls() === undefined ? 'koffi is not installed' : false;

let files = 0;
function fileWith(contents: string | Uint8Array): string {
  const path = join(FOLDER, `file${files++}`);
  writeFileSync(path, contents);
  return path;
}
const refuses = (path: string, reason: string) => (error: unknown) =>
  error instanceof FileError && error.message === `disk ${JSON.stringify(path)}: ${reason}`;

test('bytes go to and from buffers in shared memory, more of them than one system call takes', async () => {
  const path = fileWith('');
  const file = await openImageFile(path, { readOnly: false });
  const shared = new Uint8Array(new SharedArrayBuffer(3000)).map((_, index) => index % 251);
  const pieces = Array.from({ length: 3000 }, (_, index) => shared.subarray(index, index + 1));
  await file.write(5, pieces);
  assert.equal(file.bytes, 3005);
  const into = new Uint8Array(new SharedArrayBuffer(3000));
  await file.read(
    5,
    Array.from({ length: 3000 }, (_, index) => into.subarray(index, index + 1)),
  );
  assert.deepEqual([...into], [...shared]);
  await file.close();
  assert.deepEqual([...readFileSync(path).subarray(5)], [...shared]);
});

test('what lies past the end reads as zeros, also when the file was cut by somebody else', async () => {
  const path = fileWith('abcdefgh');
  const file = await openImageFile(path, { readOnly: true });
  truncateSync(path, 3);
  const into = new Uint8Array(6).fill(0xff);
  await file.read(1, [into.subarray(0, 1), into.subarray(1)]);
  assert.deepEqual([...into], [0x62, 0x63, 0, 0, 0, 0]);
  await file.close();
});

test('large reads of what is in memory, of several buffers and past the end, fill all of them', async () => {
  const contents = Uint8Array.from({ length: 10_000 }, (_, index) => index % 253);
  const file = await openImageFile(fileWith(contents), { readOnly: true });
  const into = new Uint8Array(new SharedArrayBuffer(12_000)).fill(0xff);
  await file.read(1000, [into.subarray(0, 4096), into.subarray(4096, 8000), into.subarray(8000)]);
  assert.deepEqual([...into], [...contents.subarray(1000), ...new Uint8Array(3000)]);
  await file.close();
});

test('a second writer is refused, and so are a reader beside a writer and a writer beside a reader', {
  skip: noKoffi,
}, async () => {
  const path = fileWith('x');
  const writer = await openImageFile(path, { readOnly: false });
  await assert.rejects(
    openImageFile(path, { readOnly: false }),
    refuses(path, 'it is in use; lock=false ignores that (EAGAIN)'),
  );
  await assert.rejects(
    openImageFile(path, { readOnly: true }),
    refuses(path, 'it is in use by a writer; lock=false ignores that (EAGAIN)'),
  );
  await writer.close();
  const readers = [await openImageFile(path, { readOnly: true }), await openImageFile(path, { readOnly: true })];
  await assert.rejects(openImageFile(path, { readOnly: false }), FileError);
  for (const reader of readers) await reader.close();
});

test('the lock is the one that flock(1) takes, as crosvm does', {
  skip: noKoffi || !existsSync('/usr/bin/flock'),
}, async () => {
  const path = fileWith('x');
  const file = await openImageFile(path, { readOnly: false });
  assert.throws(() => execFileSync('flock', ['--nonblock', path, 'true']));
  await file.close();
  execFileSync('flock', ['--nonblock', path, 'true']);
});

test('without a lock, two may write', async () => {
  const path = fileWith('x');
  const first = await openImageFile(path, { readOnly: false });
  const second = await openImageFile(path, { readOnly: false, lock: false });
  await Promise.all([first.close(), second.close()]);
});

test('a hole gives its blocks back, and reads as zeros', { skip: noKoffi }, async () => {
  const path = fileWith(new Uint8Array(1024 * 1024).fill(1));
  const file = await openImageFile(path, { readOnly: false });
  await file.flush();
  const before = statSync(path).blocks;
  await file.punchHole?.(256 * 1024, 512 * 1024);
  assert.ok(before - statSync(path).blocks >= 1024, `${before} blocks before, ${statSync(path).blocks} after`);
  assert.equal(file.bytes, 1024 * 1024);
  const into = new Uint8Array(3);
  await file.read(256 * 1024 - 1, [into]);
  assert.deepEqual([...into], [1, 0, 0]);
  await file.close();
});

test('a range of zeros keeps its blocks and is not longer than the file; where the file system cannot, nothing is done', {
  skip: noKoffi,
}, async () => {
  const path = fileWith(new Uint8Array(1024 * 1024).fill(1));
  const file = await openImageFile(path, { readOnly: false });
  await file.flush();
  const before = statSync(path).blocks;
  assert.equal(await file.zeroRange(768 * 1024, 256 * 1024 + 1), false);
  const into = new Uint8Array(4);
  const done = await file.zeroRange(1001, 512 * 1024);
  await file.read(1000, [into.subarray(0, 2)]);
  await file.read(1001 + 512 * 1024 - 1, [into.subarray(2)]);
  assert.deepEqual([...into], done ? [1, 0, 0, 1] : [1, 1, 1, 1]);
  await file.flush();
  assert.ok(statSync(path).blocks >= before, `${before} blocks before, ${statSync(path).blocks} after`);
  assert.equal(file.bytes, 1024 * 1024);
  await file.close();
});

test('sparse=false keeps all space', async () => {
  const file = await openImageFile(fileWith('x'), { readOnly: false, sparse: false });
  assert.equal(file.punchHole, undefined);
  await file.close();
});

test('a file is closed behind its last operation, and takes none afterwards', async () => {
  const path = fileWith('');
  const file = await openImageFile(path, { readOnly: false });
  const writing = file.write(0, [new Uint8Array(8 * 1024 * 1024).fill(7)]);
  await Promise.all([file.close(), writing]);
  assert.equal(statSync(path).size, 8 * 1024 * 1024);
  await assert.rejects(file.read(0, [new Uint8Array(1)]), refuses(path, 'it is closed (EBADF)'));
});

test('a write that the system refuses is an error, and reading goes on', async () => {
  const path = fileWith('x');
  const file = await openImageFile(path, { readOnly: true });
  await assert.rejects(file.write(0, [new Uint8Array(1)]), FileError);
  await file.read(0, [new Uint8Array(1)]);
  await file.close();
});

test('folders, pipes and character devices are refused', async () => {
  const pipe = join(FOLDER, 'pipe');
  execFileSync('mkfifo', [pipe]);
  await assert.rejects(openImageFile(FOLDER, { readOnly: true }), refuses(FOLDER, 'it is a folder (EISDIR)'));
  for (const path of [pipe, '/dev/zero']) {
    const reason = 'it is neither a file nor a block device of known length (ENODEV)';
    await assert.rejects(openImageFile(path, { readOnly: true }), refuses(path, reason));
  }
});

test('a new file is made only where there is none, one to be replaced is emptied', async () => {
  const path = fileWith('old');
  await assert.rejects(openImageFile(path, { readOnly: false, create: 'new' }), /EEXIST/);
  assert.equal(readFileSync(path, 'utf8'), 'old');
  await (await openImageFile(path, { readOnly: false, create: 'replace' })).close();
  assert.equal(readFileSync(path, 'utf8'), '');
});

test('a file in use is not emptied by who wants to replace it', { skip: noKoffi }, async () => {
  const path = fileWith('precious');
  const user = await openImageFile(path, { readOnly: true });
  await assert.rejects(openImageFile(path, { readOnly: false, create: 'replace' }), /it is in use/);
  assert.equal(readFileSync(path, 'utf8'), 'precious');
  await user.close();
});

test('a file has one identity under all its names', async () => {
  const path = fileWith('x');
  symlinkSync(path, `${path}-link`);
  const [first, second] = await Promise.all([
    openImageFile(path, { readOnly: true }),
    openImageFile(`${path}-link`, { readOnly: true }),
  ]);
  assert.equal(first.identity, second.identity);
  await Promise.all([first.close(), second.close()]);
});
