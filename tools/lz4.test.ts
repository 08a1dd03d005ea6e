import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decompressLz4Block, decompressLz4Legacy, Lz4Error } from './lz4.ts';

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const bytes = (...parts: readonly (number | string)[]): Uint8Array =>
  Uint8Array.from(parts.flatMap((part) => (typeof part === 'number' ? [part] : [...new TextEncoder().encode(part)])));

function block(data: Uint8Array, room = 1000): string {
  const into = new Uint8Array(room);
  return text(into.subarray(0, decompressLz4Block(data, into, 0)));
}

test('literals are copied', () => {
  assert.equal(block(bytes(0x50, 'hello')), 'hello');
});

test('a match copies earlier output', () => {
  assert.equal(block(bytes(0x61, 'abcdef', 6, 0, 0x10, '.')), 'abcdefabcde.');
});

test('a match that overlaps its own output repeats it', () => {
  assert.equal(block(bytes(0x23, 'ab', 2, 0, 0x10, '.')), 'abababab' + 'a.');
});

test('lengths of 15 and more go on in further bytes', () => {
  assert.equal(block(bytes(0x1f, 'x', 1, 0, 255, 3, 0x10, '.')), `${'x'.repeat(1 + 15 + 255 + 3 + 4)}.`);
});

test('an offset before the start of the output is refused', () => {
  assert.throws(() => block(bytes(0x10, 'x', 2, 0)), /offset 2 at output byte 1/);
});

test('an offset of zero is refused', () => {
  assert.throws(() => block(bytes(0x10, 'x', 0, 0)), Lz4Error);
});

test('output beyond the room is refused', () => {
  assert.throws(() => block(bytes(0x1f, 'x', 1, 0, 255, 3, 0x10, '.'), 100), /longer than 100 bytes/);
});

test('literals beyond the end of the block are refused', () => {
  assert.throws(() => block(bytes(0x50, 'hell')), /5 literals/);
});

test('a length that runs past the end of the block is refused', () => {
  assert.throws(() => block(bytes(0xf0, 255, 255)), /a length runs past/);
});

test('a block that ends inside an offset is refused', () => {
  assert.throws(() => block(bytes(0x10, 'x', 1)), /ends inside the offset/);
});

test('the blocks of a frame follow one another, matches staying within their block', () => {
  const frame = bytes(0x02, 0x21, 0x4c, 0x18, 4, 0, 0, 0, 0x30, 'abc', 3, 0, 0, 0, 0x20, 'de');
  assert.equal(text(decompressLz4Legacy(frame, 100)), 'abcde');
});

test('a block longer than its frame is refused', () => {
  const frame = bytes(0x02, 0x21, 0x4c, 0x18, 5, 0, 0, 0, 0x30, 'abc');
  assert.throws(() => decompressLz4Legacy(frame, 100), /block of 5 bytes at byte 8/);
});

test('a frame that unpacks to more than the limit is refused', () => {
  const frame = bytes(0x02, 0x21, 0x4c, 0x18, 4, 0, 0, 0, 0x30, 'abc', 3, 0, 0, 0, 0x20, 'de');
  assert.throws(() => decompressLz4Legacy(frame, 4), Lz4Error);
});
