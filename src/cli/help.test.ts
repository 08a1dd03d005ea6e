import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { entry, HELP_COLUMNS, wrap } from './help.ts';
import { RUN_OPTIONS } from './run/options.ts';
import { runHelp } from './run/run.ts';

test('text is broken at spaces, and newlines stay', () => {
  assert.deepEqual(wrap('one two three\nfour', 8), ['one two', 'three', 'four']);
});

test('a word that is longer than a line stays whole', () => {
  assert.deepEqual(wrap('a unbreakable b', 4), ['a', 'unbreakable', 'b']);
});

test('an explanation stands beside a short term and below a long one', () => {
  assert.deepEqual(entry('-h', 'Text.'), ['  -h                      Text.']);
  assert.deepEqual(entry('--a-very-long-option-name', 'Text.'), [
    '  --a-very-long-option-name',
    '                          Text.',
  ]);
});

test('the help of run explains every option and every key, and fits its columns', () => {
  const help = runHelp();
  for (const { name, keys = [] } of RUN_OPTIONS) {
    assert.ok(help.includes(name), name);
    for (const [key] of keys) assert.ok(help.includes(key), key);
  }
  for (const line of help.split('\n')) assert.ok(line.length <= HELP_COLUMNS, line);
});

test('the help of run and the table of the README have the same exit statuses, in the same order', () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const table = [...readme.matchAll(/^\| (\d[\d +n]*|odd) \| /gm)].map(([, status]) => status);
  const [, part = ''] = /\nExit status:\n([^]*?)\n\n/.exec(runHelp()) ?? [];
  const listed = part.split('\n').flatMap((line) => line.slice(2, 26).trim() || []);
  assert.deepEqual(listed, table);
  assert.ok(table.length > 5);
});
