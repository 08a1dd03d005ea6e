import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openImageFile } from './image-file.ts';
import { openPersistentFile } from './persistent-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'typervisor-pmem-'));
after(() => rmSync(folder, { recursive: true }));

const PAGE = 4096;
function file(name: string, bytes: number): string {
  const path = join(folder, name);
  writeFileSync(path, new Uint8Array(bytes).fill(7));
  return path;
}
/** The kind of memory that a machine has, four pages behind its start. */
const place = (): Uint8Array => {
  const { buffer } = new WebAssembly.Memory({ initial: 4, maximum: 4, shared: true });
  return new Uint8Array(buffer, 4 * PAGE, 4 * PAGE);
};

test('what is in the file is in the memory, and what is written to the memory is in the file', async () => {
  const path = file('shared', 2 * PAGE);
  const memory = place();
  memory.fill(1);
  await using persistent = await openPersistentFile({ path, readOnly: false });
  assert.equal(persistent.bytes, 2 * PAGE);
  persistent.map(memory);
  assert.deepEqual([memory[0], memory[2 * PAGE - 1], memory[2 * PAGE]], [7, 7, 1]);
  memory[5] = 99;
  await persistent.flush();
  assert.equal(readFileSync(path)[5], 99);
});

test('a read-only file keeps its bytes, whatever is written to the memory', async () => {
  const path = file('private', PAGE);
  const memory = place();
  {
    await using persistent = await openPersistentFile({ path, readOnly: true });
    persistent.map(memory);
    assert.equal(memory[5], 7);
    memory[5] = 99;
    assert.equal(memory[5], 99);
  }
  assert.equal(readFileSync(path)[5], 7);
});

test('once it is closed, the memory is zero and the file has nothing to do with it', async () => {
  const path = file('closed', PAGE);
  const memory = place();
  {
    await using persistent = await openPersistentFile({ path, readOnly: false });
    persistent.map(memory);
    memory[5] = 99;
  }
  assert.equal(memory[5], 0);
  memory[5] = 3;
  assert.equal(readFileSync(path)[5], 99);
});

test('a file whose length is no multiple of a page has its last bytes there, and keeps its length', async () => {
  const path = file('odd', PAGE + 10);
  const memory = place();
  {
    await using persistent = await openPersistentFile({ path, readOnly: false });
    persistent.map(memory);
    assert.deepEqual([memory[PAGE + 9], memory[PAGE + 10]], [7, 0]);
    memory[PAGE + 9] = 8;
    memory[PAGE + 10] = 8;
  }
  assert.deepEqual([...readFileSync(path).subarray(PAGE)], [7, 7, 7, 7, 7, 7, 7, 7, 7, 8]);
});

test('a file that is written to is locked against all others, one that is read against writers', async () => {
  const path = file('locked', PAGE);
  {
    await using _writer = await openPersistentFile({ path, readOnly: false });
    await assert.rejects(openPersistentFile({ path, readOnly: true }), {
      message: `pmem "${path}": it is in use by a writer; lock=false ignores that (EAGAIN)`,
    });
    await assert.rejects(openImageFile(path, { readOnly: true }), /EAGAIN/);
  }
  await using _reader = await openPersistentFile({ path, readOnly: true });
  await using _other = await openPersistentFile({ path, readOnly: true });
  await assert.rejects(openPersistentFile({ path, readOnly: false }), /EAGAIN/);
});

test('files that are not there, folders and empty files are refused in one line', async () => {
  const refuse = (path: string, message: string): Promise<void> =>
    assert.rejects(openPersistentFile({ path, readOnly: false }), { name: 'FileError', message });
  await refuse('/no/such', 'pmem "/no/such": there is no such file (ENOENT)');
  await refuse(folder, `pmem "${folder}": it is a folder (EISDIR)`);
  const empty = file('empty', 0);
  await refuse(empty, `pmem "${empty}": it has no bytes (EMPTY)`);
});
