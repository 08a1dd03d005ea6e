import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { random } from './random.ts';

test('all of a buffer is filled, with other bytes each time', () => {
  for (const bytes of [1, 256, 100_000]) {
    const buffers = [new Uint8Array(bytes), new Uint8Array(bytes), new Uint8Array(bytes)] as const;
    for (const buffer of buffers) random(buffer);
    if (bytes === 1) continue;
    assert.notDeepEqual(buffers[0], buffers[1]);
    // 16 zeros at the end of three random buffers: never.
    for (const buffer of buffers) assert.ok(buffer.subarray(-16).some((byte) => byte !== 0));
  }
});

test('a part of a buffer is filled and what is around it is not', () => {
  const buffer = new Uint8Array(48);
  random(buffer.subarray(16, 32));
  assert.ok(buffer.subarray(16, 32).some((byte) => byte !== 0));
  assert.deepEqual(buffer.subarray(0, 16), new Uint8Array(16));
  assert.deepEqual(buffer.subarray(32), new Uint8Array(16));
});

test('no file stays open', { skip: process.platform !== 'linux' && 'needs /proc' }, () => {
  random(new Uint8Array(8));
  const before = readdirSync('/proc/self/fd').length;
  for (let n = 0; n < 100; n++) random(new Uint8Array(8));
  assert.equal(readdirSync('/proc/self/fd').length, before);
});
