import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dirtyMemory, MIB } from '../../test/boot/images.ts';
import { gpa } from '../memory/guest-memory.ts';
import { encodeUtf8, writeCommandLine } from './command-line.ts';

test('text is encoded as UTF-8, lone surrogates as U+FFFD', () => {
  for (const text of ['', 'quiet', 'é', '€', '😀 and more', 'a\ud800b', '\udc00']) {
    assert.deepEqual(encodeUtf8(text), new TextEncoder().encode(text), JSON.stringify(text));
  }
});

test('the 2 KiB of the command line hold nothing else', () => {
  const memory = dirtyMemory(2 * MIB);
  assert.equal(writeCommandLine(memory, 'root=/dev/vda'), 0x20000);
  assert.equal(String.fromCharCode(...memory.slice(gpa(0x20000), 13)), 'root=/dev/vda');
  assert.ok(memory.slice(gpa(0x2000d), 0x7f3).every((byte) => byte === 0));
  assert.equal(memory.readU8(gpa(0x20800)), 0xa5);
});
