import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  alias,
  boolean,
  choice,
  integer,
  KeyValueError,
  list,
  optional,
  parseKeyValues,
  string,
  struct,
  withDefault,
} from './key-value.ts';

const DISK = {
  path: string(),
  ro: withDefault(boolean(), false),
  'block-size': withDefault(integer(512, 65536, 'bytes'), 512),
  cache: withDefault(choice('auto', 'never'), 'auto'),
  queues: withDefault(list(integer(0, 255)), []),
  limit: optional(struct({ rate: integer(-1, 1000), burst: withDefault(boolean(), false) })),
};
const DEFAULTS = { ro: false, 'block-size': 512, cache: 'auto', queues: [], limit: undefined };

const refused = (text: string, message: string): void =>
  assert.throws(
    () => parseKeyValues(text, DISK),
    (error) => error instanceof KeyValueError && error.message === message,
  );

test('keys may come in any order and get their values', () => {
  const parsed = parseKeyValues('block-size=4096,path=/a/disk.img,ro=true', DISK);
  assert.deepEqual(parsed, { ...DEFAULTS, path: '/a/disk.img', ro: true, 'block-size': 4096 });
});

test('the key of the first field may be left out', () => {
  assert.equal(parseKeyValues('/a/disk.img,ro', DISK).path, '/a/disk.img');
  assert.equal(parseKeyValues('disk,ro', DISK).path, 'disk');
});

test('a first value with an equal sign behind something that is no key is a value', () => {
  assert.equal(parseKeyValues('/a=b', DISK).path, '/a=b');
});

test('a first word that is the name of a key is that key', () => {
  assert.deepEqual(parseKeyValues('ro,path=x', DISK), { ...DEFAULTS, path: 'x', ro: true });
});

test('a key without a value means true, and true and false may be written out', () => {
  assert.equal(parseKeyValues('path=x,ro', DISK).ro, true);
  assert.equal(parseKeyValues('path=x,ro=true', DISK).ro, true);
  assert.equal(parseKeyValues('path=x,ro=false', DISK).ro, false);
});

test('an unquoted string may hold spaces, equal signs and non-ASCII letters', () => {
  assert.equal(parseKeyValues('path=a b=c é', DISK).path, 'a b=c é');
});

test('a double-quoted string may hold commas and brackets, and escapes quotes and backslashes', () => {
  assert.equal(parseKeyValues('path="a,[b]\\"\\\\",ro', DISK).path, 'a,[b]"\\');
});

test('a single-quoted string keeps backslashes', () => {
  assert.equal(parseKeyValues("path='a,\\\"b'", DISK).path, 'a,\\"b');
});

test('a quoted string may be empty, an unquoted one may not', () => {
  assert.equal(parseKeyValues('path=""', DISK).path, '');
  refused('path=', 'expected a value at position 5');
});

test('integers may be decimal, hexadecimal, octal and binary', () => {
  const size = (text: string): number => parseKeyValues(`x,block-size=${text}`, DISK)['block-size'];
  assert.deepEqual([size('600'), size('0x1000'), size('0o2000'), size('0b1000000000')], [600, 4096, 1024, 512]);
});

test('an integer may be negative where its range allows', () => {
  assert.deepEqual(parseKeyValues('x,limit=[rate=-0x1]', DISK).limit, { rate: -1, burst: false });
});

test('a list stands in brackets', () => {
  assert.deepEqual(parseKeyValues('x,queues=[1,2,0x3],ro', DISK).queues, [1, 2, 3]);
  assert.deepEqual(parseKeyValues('x,queues=[]', DISK).queues, []);
});

test('lists may be nested', () => {
  const schema = { clusters: list(list(integer(0, 63))) };
  assert.deepEqual(parseKeyValues('clusters=[[0,1],[2]]', schema), { clusters: [[0, 1], [2]] });
});

test('an inner structure may leave out its first key too', () => {
  assert.deepEqual(parseKeyValues('x,limit=[5,burst]', DISK).limit, { rate: 5, burst: true });
});

test('a comma at the end is accepted, as crosvm does', () => {
  assert.equal(parseKeyValues('path=x,', DISK).path, 'x');
});

test('an unknown key is refused with its position and a suggestion', () => {
  refused('path=x,block_size=1', 'unknown key "block_size", did you mean "block-size"? at position 7');
  refused('path=x,zebra=1', 'unknown key "zebra" at position 7');
});

test('a key from the prototype of objects is unknown', () => {
  refused('path=x,constructor=1', 'unknown key "constructor" at position 7');
  refused('__proto__=1', 'unknown key "__proto__" at position 0');
});

test('a repeated key is refused with its position', () => {
  refused('path=x,ro,ro=false', 'duplicate key "ro" at position 10');
  refused('x,path=y', 'duplicate key "path" at position 2');
});

test('a missing key is refused', () => {
  refused('ro', 'key "path" is missing at position 2');
  refused('', 'key "path" is missing at position 0');
});

test('a key that needs a value is refused without one', () => {
  refused('x,block-size', 'key "block-size" needs a value at position 2');
});

test('an integer that is none or out of range is refused', () => {
  refused('x,block-size=1k', 'expected an integer at position 13');
  refused('x,block-size=0xg', 'expected an integer at position 13');
  refused('x,block-size=99999999999999999999', '99999999999999999999 is not from 512 to 65536 bytes at position 13');
});

test('a word that is not among the choices is refused with the choices', () => {
  refused('x,cache=on', '"on" is not auto or never at position 8');
});

test('a boolean that is neither true nor false is refused', () => {
  refused('x,ro=yes', 'expected true or false at position 5');
  refused('x,ro=', 'expected true or false at position 5');
});

test('a quote in an unquoted string is refused', () => {
  refused('path=a"b"', 'quotes and brackets may stand only inside a quoted string at position 6');
});

test('a string that does not end is refused where it starts', () => {
  refused('path="abc', 'a string that starts with " is not ended, or holds an unknown escape at position 5');
});

test('a list without its brackets is refused', () => {
  refused('x,queues=1', "expected '[' at position 9");
  refused('x,queues=[1', "expected ']' at position 11");
});

test('an empty field is refused', () => {
  refused('x,,ro', 'expected a key at position 2');
});

test('a bracket that closes nothing is refused', () => {
  refused('path=x]', 'unexpected text at position 6');
});

/** Text made of what the grammar knows, so that inputs get deep into it. */
const grammarText = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        'path',
        'ro',
        'block-size',
        'cache',
        'queues',
        'limit',
        'rate',
        'true',
        'never',
        '512',
        '-',
        '0x',
      ),
      fc.constantFrom(',', '=', '[', ']', '"', "'", '\\', ' '),
      fc.string({ unit: 'binary', maxLength: 3 }),
    ),
    { maxLength: 24 },
  )
  .map((parts) => parts.join(''));

test('no text makes the parser throw anything but its own error, with a position inside the text', () => {
  fc.assert(
    fc.property(fc.oneof(grammarText, fc.string({ unit: 'binary' })), (text) => {
      try {
        parseKeyValues(text, DISK);
      } catch (error) {
        assert.ok(error instanceof KeyValueError, String(error));
        assert.ok(error.position >= 0 && error.position <= text.length);
      }
    }),
    { seed: 2, numRuns: 10_000 },
  );
});

test('a long text is read in time that grows with its length only', () => {
  const started = performance.now();
  assert.equal(parseKeyValues(`"${'\\\\'.repeat(500_000)}"`, DISK).path.length, 500_000);
  assert.throws(() => parseKeyValues(`"${'\\\\'.repeat(500_000)}`, DISK), KeyValueError);
  assert.equal(parseKeyValues(`x,queues=[${'1,'.repeat(300_000)}]`, DISK).queues.length, 300_000);
  assert.ok(performance.now() - started < 5000);
});

test('every string comes back from its quoted form', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.boolean(), (path, ro) => {
      const quoted = `"${path.replace(/["\\]/g, '\\$&')}"`;
      assert.deepEqual(parseKeyValues(`path=${quoted},ro=${ro}`, DISK), { ...DEFAULTS, path, ro });
    }),
    { seed: 3, numRuns: 2000 },
  );
});

test('a key is known by its other names, and is the same key', () => {
  const schema = { path: string(), 'block-size': alias(withDefault(integer(512, 4096), 512), 'block_size', 'bs') };
  assert.deepEqual(parseKeyValues('a,block_size=1024', schema), { path: 'a', 'block-size': 1024 });
  assert.deepEqual(parseKeyValues('a,bs=2048', schema), { path: 'a', 'block-size': 2048 });
  assert.throws(() => parseKeyValues('a,bs=512,block-size=512', schema), /duplicate key "block-size" at position 9/);
});
