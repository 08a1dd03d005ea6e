import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeDescriptor } from './gdt.ts';

test('a descriptor spreads base, limit and attributes over its fields', () => {
  const segment = { selector: 8, base: 0x1234_5678, limit: 0x9_abcd, attributes: 0x4093 };
  assert.equal(encodeDescriptor(segment), 0x1249_9334_5678_abcdn);
});

test('a limit in bytes is given in pages when the granularity bit is set', () => {
  const segment = { selector: 8, base: 0, limit: 0xffff_ffff, attributes: 0xc09b };
  assert.equal(encodeDescriptor(segment), 0x00cf_9b00_0000_ffffn);
});
