import assert from 'node:assert/strict';
import { test } from 'node:test';
import { editDistance, suggest } from './suggestion.ts';

test('a swap of neighbours, a missing, an extra and a wrong letter each count once', () => {
  assert.deepEqual(
    ['serail', 'seral', 'serials', 'sorial'].map((word) => editDistance(word, 'serial')),
    [1, 1, 1, 1],
  );
});

test('the closest candidate is suggested', () => {
  assert.equal(suggest('--serail', ['--cpus', '--serial', '--stats']), '--serial');
});

test('a word is taken for the candidate that it abbreviates', () => {
  assert.equal(suggest('init', ['params', 'initrd']), 'initrd');
});

test('nothing is suggested for a word that is close to none', () => {
  assert.equal(suggest('zebra', ['path', 'type']), undefined);
  assert.equal(suggest('', ['path']), undefined);
  assert.equal(suggest('x'.repeat(100_000), ['path']), undefined);
});
