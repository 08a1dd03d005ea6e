import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DecodeTable } from '../decode/table.ts';
import { rowsOf } from '../insn/index.ts';
import { buildCoreModule, usualName } from './core-module.ts';
import { contextBits, contextOfBits, formKey, hotForms } from './forms.ts';
import { USUAL, usualForms } from './usual-forms.ts';

const table = new DecodeTable(rowsOf('v3'));

test('every entry of the list is a row of the table, with contexts that say the same again', () => {
  const rows = new Set(rowsOf('v3').map(({ enc, ops }) => `${enc} ${ops}`));
  for (const [enc, ops, ...contexts] of USUAL) {
    assert.ok(rows.has(`${enc} ${ops}`), `${enc} ${ops}`);
    assert.ok(contexts.length > 0, `${enc} ${ops} is never met`);
    for (const bits of contexts) assert.equal(contextBits(contextOfBits(bits)), bits, `${enc} ${ops}`);
  }
});

test('no usual form is inline in the main loop, and the core module exports a handler of each', () => {
  const inline = new Set<string>();
  for (const encoding of table.encodings()) {
    const { lift, hot } = encoding.row;
    if (hot === true && lift !== undefined) for (const form of hotForms(encoding)) inline.add(formKey(lift, form));
  }
  const keys = [...usualForms(table).keys()];
  assert.ok(keys.length > 300);
  assert.deepEqual(
    keys.filter((key) => inline.has(key)),
    [],
  );
  const core = buildCoreModule(table, { codeMap: 0x80000, busLock: 0x8000, notesWrites: false });
  assert.equal(core.usualCount, keys.length);
  const names = new Set(WebAssembly.Module.exports(new WebAssembly.Module(core.bytes)).map(({ name }) => name));
  keys.forEach((key, n) => {
    assert.equal(core.handlers.get(key), core.coldBase + n);
    assert.ok(names.has(usualName(n)), key);
  });
});
