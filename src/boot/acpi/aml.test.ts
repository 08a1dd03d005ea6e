import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as aml from './aml.ts';
import { ioWindow, io, irq, memory32Fixed, memoryWindow64, resourceTemplate } from './resources.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

test('integers take the shortest encoding', () => {
  const values = [0, 1, 2, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000];
  assert.deepEqual(
    values.map((value) => hex(aml.integer(value))),
    ['00', '01', '0a02', '0aff', '0b0001', '0bffff', '0c00000100', '0cffffffff', '0e0000000001000000'],
  );
});

test('an integer that is negative or above 2^53 is an error of the caller', () => {
  assert.throws(() => aml.integer(-1), RangeError);
  assert.throws(() => aml.integer(2 ** 53), RangeError);
});

test('a package length counts itself in one byte up to 63 and in two or three beyond', () => {
  const start = (length: number): string => hex(aml.buffer(new Uint8Array(length)).subarray(0, 4));
  assert.equal(start(60), '113f0a3c');
  assert.equal(start(61), '1141040a');
  assert.equal(start(0xffa), '114fff0b');
  assert.equal(start(0xffb), '11810001');
});

test('names are padded, and paths carry their prefix and count', () => {
  assert.equal(hex(aml.reference('\\_SB')), '5c5f53425f');
  assert.equal(hex(aml.reference('^A.B')), '5e2e415f5f5f425f5f5f');
  assert.equal(hex(aml.reference('A.B.C')), '2f03415f5f5f425f5f5f435f5f5f');
  assert.throws(() => aml.reference('lower'), RangeError);
});

test('EISA IDs and UUIDs have the byte order of the specification', () => {
  assert.equal(hex(aml.eisaId('PNP0A08')), '0c41d00a08');
  assert.equal(hex(aml.uuid('33DB4D5B-1FF7-401C-9657-7441C03DD766')), '11130a105b4ddb33f71f1c4096577441c03dd766');
});

test('resource descriptors are those of section 6.4', () => {
  assert.equal(hex(io(0x3f8, 8)), '4701f803f8030108');
  assert.equal(hex(irq(4)), '221000');
  assert.equal(hex(memory32Fixed(0xf400_0000, 0x400_0000)), '86090001000000f400000004');
  assert.equal(hex(ioWindow(0xd00, 0xffff)), '880d00010c030000000dffff000000f3');
  assert.equal(
    hex(memoryWindow64(0x1_0000_0000, 0x1_ffff_ffff)),
    '8a2b00000c01000000000000000000000000010000' + '00ffffffff0100000000000000000000000000000001000000',
  );
  assert.equal(hex(resourceTemplate(irq(8))), '11080a052200017900');
});
