import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { FileError } from './files.ts';
import { openOutputFile, type OutputFile } from './output-file.ts';

const FOLDER = mkdtempSync(join(tmpdir(), 'typervisor-output-'));
after(() => rmSync(FOLDER, { recursive: true }));
const unexpected = (error: Error): never => assert.fail(error);

test('output is appended to a file, which is made when there is none', async () => {
  const path = join(FOLDER, 'log');
  for (const text of ['one ', 'two']) {
    await using file = openOutputFile(path, 'serial port 2', unexpected);
    file.sink.write(Buffer.from(text));
  }
  assert.equal(readFileSync(path, 'utf8'), 'one two');
});

test('a path that cannot be opened is refused by name', () => {
  const path = join(FOLDER, 'no/log');
  assert.throws(
    () => openOutputFile(path, 'serial port 2', unexpected),
    (error) =>
      error instanceof FileError &&
      error.message === `serial port 2 ${JSON.stringify(path)}: there is no such file (ENOENT)`,
  );
  assert.throws(() => openOutputFile(FOLDER, 'serial port 2', unexpected), /it is a folder \(EISDIR\)/);
});

test('a full device is reported once', async () => {
  const { promise, resolve } = Promise.withResolvers<Error>();
  const file = openOutputFile('/dev/full', 'serial port 3', resolve);
  file.sink.write(Buffer.from('x'));
  assert.match((await promise).message, /^serial port 3 "\/dev\/full": no space is left on its device \(ENOSPC\)$/);
  await file.close();
});

test('a named pipe without a reader is refused, and with one gets the output', async () => {
  const path = join(FOLDER, 'pipe');
  execFileSync('mkfifo', [path]);
  assert.throws(() => openOutputFile(path, 'serial port 4', unexpected), /nobody reads this pipe \(ENXIO\)/);
  const copy = join(FOLDER, 'copy');
  writeFileSync(copy, '');
  // The reader waits in open() for a writer; as soon as it does, the pipe can be opened.
  const reader = spawn('sh', ['-c', `exec cat '${path}' > '${copy}'`]);
  const exited = once(reader, 'exit');
  const text = 'x'.repeat(200_000);
  let file: OutputFile | undefined;
  while (file === undefined) {
    try {
      file = openOutputFile(path, 'serial port 4', unexpected);
    } catch (error) {
      assert.match(String(error), /nobody reads this pipe/);
      assert.equal(reader.exitCode, null);
      await setTimeout(1);
    }
  }
  file.sink.write(Buffer.from(text));
  await file.close();
  await exited;
  assert.equal(readFileSync(copy, 'utf8'), text);
});
