import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endStatus } from './end-status.ts';

const because = { reason: 'reason', detail: 'detail' };

test('wrong translated code has a status of its own', () => {
  assert.equal(endStatus({ kind: 'mismatch', ...because }), 36);
});

test('a hypervisor that cannot go on ends like a guest that crashed', () => {
  assert.equal(endStatus({ kind: 'error', ...because }), 33);
  assert.equal(endStatus({ kind: 'triple-fault' }), 33);
});
