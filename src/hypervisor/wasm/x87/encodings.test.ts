import assert from 'node:assert/strict';
import { test } from 'node:test';
import { x87Encodings } from './encodings.ts';
import { X87Operation, x87Rows } from './operations.ts';

const registerForms = x87Encodings.filter(({ modrm }) => modrm >= 0);

function encodingOf(opcode: number, modrm: number): string[] {
  return registerForms
    .filter((e) => e.opcode === opcode && modrm >= e.modrm && modrm <= e.lastModrm)
    .map(({ operation }) => operation);
}

test('every encoding names an operation and every operation has an encoding', () => {
  assert.deepEqual(
    x87Encodings.filter(({ operation }) => !(operation in X87Operation)),
    [],
  );
  const used = new Set(x87Encodings.map(({ operation }) => operation));
  assert.deepEqual(
    x87Rows.filter(({ name }) => !used.has(name)),
    [],
  );
});

test('no two encodings claim the same bytes', () => {
  for (let opcode = 0xd8; opcode <= 0xdf; opcode++) {
    for (let modrm = 0xc0; modrm <= 0xff; modrm++)
      assert.ok(encodingOf(opcode, modrm).length <= 1, `${opcode} ${modrm}`);
    const digits = x87Encodings.filter((e) => e.opcode === opcode && e.digit >= 0).map(({ digit }) => digit);
    assert.equal(new Set(digits).size, digits.length, `${opcode}`);
  }
});

test('the register forms without an instruction are those that raise #UD on a processor', () => {
  const free: string[] = [];
  for (let opcode = 0xd8; opcode <= 0xdf; opcode++) {
    let from = -1;
    for (let modrm = 0xc0; modrm <= 0x100; modrm++) {
      const isFree = modrm <= 0xff && encodingOf(opcode, modrm).length === 0;
      if (isFree && from < 0) from = modrm;
      if (!isFree && from >= 0) {
        free.push(`${opcode.toString(16)} ${from.toString(16)}-${(modrm - 1).toString(16)}`);
        from = -1;
      }
    }
  }
  assert.deepEqual(free, [
    'd9 d1-d7',
    'd9 e2-e3',
    'd9 e6-e7',
    'd9 ef-ef',
    'da e0-e8',
    'da ea-ff',
    'db e5-e7',
    'db f8-ff',
    'dd f0-ff',
    'de d8-d8',
    'de da-df',
    'df e1-e7',
    'df f8-ff',
  ]);
});
