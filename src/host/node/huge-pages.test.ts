import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mustAsk } from './huge-pages.ts';

test('huge pages are asked for only where Linux gives them on request', () => {
  assert.equal(mustAsk('always [madvise] never\n'), true);
  assert.equal(mustAsk('always within_size [advise] never deny force\n'), true);
  assert.equal(mustAsk('[always] madvise never\n'), false);
  assert.equal(mustAsk('always madvise [never]\n'), false);
  assert.equal(mustAsk(''), false);
});
