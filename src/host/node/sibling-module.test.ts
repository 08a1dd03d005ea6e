import assert from 'node:assert/strict';
import { test } from 'node:test';
import { siblingModule } from './sibling-module.ts';

test('a module beside a source is a source, and beside a built file is a built file', () => {
  assert.equal(siblingModule('file:///p/src/host/node/a.ts', './b.ts').href, 'file:///p/src/host/node/b.ts');
  assert.equal(siblingModule('file:///p/dist/chunk-A.js', './c.ts').href, 'file:///p/dist/c.js');
});
