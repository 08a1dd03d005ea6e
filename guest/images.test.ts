import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const read = (name: string): Buffer => readFileSync(new URL(`images/${name}`, import.meta.url));

test('the committed images have their checksums', () => {
  const rows = read('SHA256SUMS').toString().trimEnd().split('\n');
  const actual = ['vmlinuz', 'initrd.img'].map((name) => {
    return `${createHash('sha256').update(read(name)).digest('hex')}  ${name}`;
  });
  assert.deepEqual(rows, actual);
});

test('the kernel has at most 5 MB', () => {
  assert.ok(read('vmlinuz').length <= 5_000_000);
});

test('the userland has at most 3 MB', () => {
  assert.ok(read('initrd.img').length <= 3_000_000);
});

test('the sources of everything in the images are named with their versions', () => {
  const page = read('SOURCES.md').toString();
  assert.match(page, /vmlinuz \| linux \d+\.\d+\.\d+-\d+ /);
  assert.match(page, /busybox \d:\d+\.\d+\.\d+-\S+ /);
  assert.match(page, /musl \d+\.\d+\.\d+-\d+ /);
  assert.match(page, /GPL-2\.0/);
});
