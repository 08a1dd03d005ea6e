import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeUtf8, encodeUtf8 } from './utf8.ts';

test('texts of every length of code go to the bytes that TextEncoder gives, and back', () => {
  for (const text of ['', 'disk.img', '100% ä/ñ', '磁盘', '💾']) {
    assert.deepEqual([...encodeUtf8(text)], [...new TextEncoder().encode(text)]);
    assert.equal(decodeUtf8(encodeUtf8(text)), text);
  }
});

test('what is no UTF-8, or holds a NUL, is no text', () => {
  for (const bytes of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xc0, 0x80], [0x61, 0]]) {
    assert.equal(decodeUtf8(Uint8Array.from(bytes)), undefined, bytes.join());
  }
});
