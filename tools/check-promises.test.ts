import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkPromises } from './check-promises.ts';

const table = (row: string): string => `Text.\n\n| Promise | Test |\n|--|--|\n${row}\n\nMore.\n`;
const exists = (path: string): boolean => path === 'src/a.test.ts';

test('a promise with a test that exists, and one that admits to have none, are accepted', () => {
  assert.deepEqual(checkPromises(table('| one | `src/a.test.ts` |\n| two | fast: none yet |'), exists), []);
});

test('a promise whose test is gone is reported', () => {
  assert.deepEqual(checkPromises(table('| one | `src/a.test.ts`, `src/b.test.ts` |'), exists), [
    'src/b.test.ts, named for "one", does not exist',
  ]);
});

test('a promise without a test is reported', () => {
  assert.deepEqual(checkPromises(table('| a \\| b | trust me |'), exists), ['no test is named for "a \\| b"']);
});

test('other tables are no promises', () => {
  assert.deepEqual(checkPromises('| A | B |\n|--|--|\n| x | y |\n', exists), []);
});
