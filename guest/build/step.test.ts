import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ignoredLines, mergeConfig } from './step.ts';

const CONFIG = ['# Linux', 'CONFIG_A=y', '# CONFIG_B is not set', 'CONFIG_C="text"', ''].join('\n');

test("a fragment's lines replace those of the configuration", () => {
  assert.equal(
    mergeConfig(CONFIG, '# A comment\n# CONFIG_A is not set\nCONFIG_B=y\n'),
    '# Linux\nCONFIG_C="text"\n\n# CONFIG_A is not set\nCONFIG_B=y\n',
  );
});

test('an option whose name starts like another is not touched', () => {
  assert.match(mergeConfig('CONFIG_AB=y\n', 'CONFIG_A=y\n'), /^CONFIG_AB=y\n/);
});

test('an option that Kconfig left off is found', () => {
  assert.deepEqual(ignoredLines(CONFIG, 'CONFIG_A=y\nCONFIG_B=y\n'), ['CONFIG_B=y']);
});

test('an option that Kconfig does not know is found', () => {
  assert.deepEqual(ignoredLines(CONFIG, 'CONFIG_D=y\n'), ['CONFIG_D=y']);
});

test('an option with another value is found', () => {
  assert.deepEqual(ignoredLines(CONFIG, 'CONFIG_C="other"\n'), ['CONFIG_C="other"']);
});

test('an option that Kconfig turned on against the fragment is found', () => {
  assert.deepEqual(ignoredLines(CONFIG, '# CONFIG_A is not set\n'), ['# CONFIG_A is not set']);
});

test('an option turned off that is off or unknown is no surprise', () => {
  assert.deepEqual(ignoredLines(CONFIG, '# CONFIG_B is not set\n# CONFIG_E is not set\n'), []);
});
