import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EscapeKeys } from './escape-keys.ts';

/** What the guest gets and what is commanded when these pieces are typed one after the other. */
function type(...pieces: string[]): { guest: string; commands: string[] } {
  const commands: string[] = [];
  const keys = new EscapeKeys((command) => commands.push(command));
  const guest = pieces.map((piece) => String.fromCharCode(...keys.filter(Buffer.from(piece, 'latin1')))).join('');
  return { guest, commands };
}

test('everything without a Ctrl-A is the guest’s', () => {
  assert.deepEqual(type('abc\x03\x1b[A\xff'), { guest: 'abc\x03\x1b[A\xff', commands: [] });
});

test('Ctrl-A x leaves and Ctrl-A h asks for help, in capitals too', () => {
  assert.deepEqual(type('\x01x\x01H\x01?'), { guest: '', commands: ['leave', 'help', 'help'] });
});

test('Ctrl-A a, and Ctrl-A twice, send one Ctrl-A', () => {
  assert.deepEqual(type('[\x01a|\x01\x01]x'), { guest: '[\x01|\x01]x', commands: [] });
});

test('the letter may come in a later piece than its Ctrl-A', () => {
  assert.deepEqual(type('a\x01', 'x', 'b'), { guest: 'ab', commands: ['leave'] });
});

test('Ctrl-A and any other key both go to the guest', () => {
  assert.deepEqual(type('\x01e\x01\x1b[D'), { guest: '\x01e\x01\x1b[D', commands: [] });
});
