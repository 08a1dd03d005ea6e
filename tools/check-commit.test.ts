import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkMessage } from './check-commit.ts';

test('a title with a component and a body with a reason are accepted', () => {
  assert.deepEqual(checkMessage('devices/platform: Answer the line status\n\nLinux polls it.\n'), []);
});

test('a title without a component is refused', () => {
  assert.deepEqual(checkMessage('Answer the line status\n\nLinux polls it.'), [
    'the title is not "component: Summary"',
  ]);
});

test('a title of more than 72 columns is refused', () => {
  assert.deepEqual(checkMessage(`bus: A${'a'.repeat(67)}\n\nWhy.`), ['the title has 73 columns, more than 72']);
});

test('a message without a body is refused', () => {
  assert.deepEqual(checkMessage('bus: Add a thing'), ['there is no body that says why']);
});
