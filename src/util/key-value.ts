/**
 * crosvm's key=value grammar, as in `--serial type=file,path="a,b",num=2`, read under a schema.
 *
 * Fields are separated by commas; the key of the first may be left out; a key without a value means `true`; an unquoted
 * string ends at a comma or bracket; `"..."` knows the escapes `\"` and `\\`, `'...'` knows none; lists and inner
 * structures stand in brackets; integers are decimal or 0x, 0o, 0b. Unknown, repeated and missing keys are errors. Every
 * error is a `KeyValueError` with the position, counted from 0 in characters, as crosvm counts it.
 *
 * @module
 */
import { suggest } from './suggestion.ts';

export class KeyValueError extends Error {
  override readonly name = 'KeyValueError';
  /** What is wrong, without the position. */
  readonly reason: string;
  /** Index into the text. */
  readonly position: number;
  constructor(reason: string, position: number) {
    super(`${reason} at position ${position}`);
    this.reason = reason;
    this.position = position;
  }
}

/** Where reading has got to in the text. */
interface Cursor {
  readonly text: string;
  position: number;
}

/** How one value is read. Made by the functions below, and put together into a schema. */
export interface Value<T> {
  /** Reads the value at the cursor and leaves the cursor behind it. */
  readonly read: (cursor: Cursor) => T;
  /** What the key means without `=`; absent when it needs a value. */
  readonly bare?: T;
  /** What the structure gets when the key is absent; absent itself when the key is required. */
  readonly absent?: () => T;
  /** Other names of the key, which older command lines have. */
  readonly aliases?: readonly string[];
}

/** The keys of a structure in order: the first is the one whose name may be left out. */
export type Schema = Readonly<Record<string, Value<unknown>>>;

/** What a schema reads. */
export type Parsed<S extends Schema> = { -readonly [K in keyof S]: S[K] extends Value<infer T> ? T : never };

const fail = (reason: string, cursor: Cursor, position: number = cursor.position): never => {
  throw new KeyValueError(reason, position);
};

const atSeparator = ({ text, position }: Cursor): boolean =>
  position >= text.length || text[position] === ',' || text[position] === ']';

/** Takes what a sticky pattern matches here; empty when it does not match. */
function take(cursor: Cursor, pattern: RegExp): string {
  pattern.lastIndex = cursor.position;
  const match = pattern.exec(cursor.text)?.[0] ?? '';
  cursor.position += match.length;
  return match;
}

const IDENTIFIER = /[A-Za-z0-9_][A-Za-z0-9_-]*/y;
const DOUBLE_QUOTED = /"[^"\\]*(?:\\["\\][^"\\]*)*"/y;
const SINGLE_QUOTED = /'[^']*'/y;
const UNQUOTED = /[^,"'[\]]+/y;
const INTEGER = /-?(?:0x[0-9a-fA-F]+|0o[0-7]+|0b[01]+|[0-9]+)/y;

function readString(cursor: Cursor): string {
  const quote = cursor.text[cursor.position];
  let value: string;
  if (quote === '"' || quote === "'") {
    const quoted = take(cursor, quote === '"' ? DOUBLE_QUOTED : SINGLE_QUOTED);
    if (quoted === '') fail(`a string that starts with ${quote} is not ended, or holds an unknown escape`, cursor);
    value = quoted.slice(1, -1);
    if (quote === '"') value = value.replace(/\\(["\\])/g, '$1');
  } else {
    value = take(cursor, UNQUOTED);
    if (value === '') fail('expected a value', cursor);
  }
  if (!atSeparator(cursor)) fail('quotes and brackets may stand only inside a quoted string', cursor);
  return value;
}

export const string = (): Value<string> => ({ read: readString });

export const boolean = (): Value<boolean> => ({
  read: (cursor) => {
    const start = cursor.position;
    const word = take(cursor, IDENTIFIER);
    if (word !== 'true' && word !== 'false') fail('expected true or false', cursor, start);
    return word === 'true';
  },
  bare: true,
});

/** An integer from `min` to `max`, both included and safe. `unit` is named in the error. */
export const integer = (min: number, max: number, unit = ''): Value<number> => ({
  read: (cursor) => {
    const start = cursor.position;
    const digits = take(cursor, INTEGER);
    if (digits === '' || !atSeparator(cursor)) fail('expected an integer', cursor, start);
    const negative = digits.startsWith('-');
    // Number() knows the prefixes, but no sign in front of them.
    const magnitude = Number(negative ? digits.slice(1) : digits);
    const value = negative && magnitude !== 0 ? -magnitude : magnitude;
    if (value < min || value > max) {
      const allowed = min === max ? `${min}` : `from ${min} to ${max}`;
      fail(`${digits} is not ${allowed}${unit && ` ${unit}`}`, cursor, start);
    }
    return value;
  },
});

/** One of a few words. */
export const choice = <const T extends string>(...words: readonly T[]): Value<T> => ({
  read: (cursor) => {
    const start = cursor.position;
    const word = readString(cursor);
    const found = words.find((candidate) => candidate === word);
    return found ?? fail(`"${word}" is not ${words.join(', ').replace(/, ([^,]*)$/, ' or $1')}`, cursor, start);
  },
});

/** Values of one kind in brackets. */
export const list = <T>(element: Value<T>): Value<T[]> => ({
  read: (cursor) => {
    if (take(cursor, /\[/y) === '') fail("expected '['", cursor);
    const values: T[] = [];
    while (cursor.position < cursor.text.length && cursor.text[cursor.position] !== ']') {
      values.push(element.read(cursor));
      endField(cursor);
    }
    if (take(cursor, /\]/y) === '') fail("expected ']'", cursor);
    return values;
  },
});

/** An inner structure in brackets. */
export const struct = <const S extends Schema>(schema: S): Value<Parsed<S>> => ({
  read: (cursor) => {
    if (take(cursor, /\[/y) === '') fail("expected '['", cursor);
    const parsed = readFields(cursor, schema);
    if (take(cursor, /\]/y) === '') fail("expected ']'", cursor);
    return parsed;
  },
});

/** A key that may be absent. */
export const optional = <T>(value: Value<T>): Value<T | undefined> => ({ ...value, absent: () => undefined });

/** A key that has a value when it is absent. */
export const withDefault = <T>(value: Value<T>, absent: T): Value<T> => ({ ...value, absent: () => absent });

/** A key that has other names too. */
export const alias = <T>(value: Value<T>, ...aliases: readonly string[]): Value<T> => ({ ...value, aliases });

/** The key that a name stands for. */
const canonical = (name: string, schema: Schema): string =>
  Object.entries(schema).find(([, value]) => value.aliases?.includes(name))?.[0] ?? name;

/** A field ends at a comma, which is taken, or before a bracket or the end. */
function endField(cursor: Cursor): void {
  if (!atSeparator(cursor)) fail("expected ','", cursor);
  if (cursor.text[cursor.position] === ',') cursor.position++;
}

/**
 * The key at the cursor, which is left behind its `=`. The first field may lack its key: then the text there is no
 * identifier, or is one that no `=` follows and that names no field.
 */
function readKey(cursor: Cursor, schema: Schema, first: boolean): { key: string; hasValue: boolean } {
  const start = cursor.position;
  const key = canonical(take(cursor, IDENTIFIER), schema);
  const hasEqual = cursor.text[cursor.position] === '=';
  if (first && !(key !== '' && (hasEqual || Object.hasOwn(schema, key)))) {
    cursor.position = start;
    return { key: Object.keys(schema)[0] ?? '', hasValue: true };
  }
  if (key === '') fail('expected a key', cursor);
  if (!Object.hasOwn(schema, key)) {
    const meant = suggest(key, Object.keys(schema));
    fail(`unknown key "${key}"${meant === undefined ? '' : `, did you mean "${meant}"?`}`, cursor, start);
  }
  if (!hasEqual && !atSeparator(cursor)) fail("expected '='", cursor);
  if (hasEqual) cursor.position++;
  return { key, hasValue: hasEqual };
}

function readFields<S extends Schema>(cursor: Cursor, schema: S): Parsed<S> {
  const values = new Map<string, unknown>();
  const begin = cursor.position;
  while (cursor.position < cursor.text.length && cursor.text[cursor.position] !== ']') {
    const start = cursor.position;
    const { key, hasValue } = readKey(cursor, schema, start === begin);
    const value = schema[key];
    if (value === undefined) return fail(`unknown key "${key}"`, cursor, start);
    if (values.has(key)) fail(`duplicate key "${key}"`, cursor, start);
    if (!hasValue && !('bare' in value)) fail(`key "${key}" needs a value`, cursor, start);
    values.set(key, hasValue ? value.read(cursor) : value.bare);
    endField(cursor);
  }
  for (const [key, value] of Object.entries(schema)) {
    if (values.has(key)) continue;
    if (value.absent === undefined) fail(`key "${key}" is missing`, cursor);
    else values.set(key, value.absent());
  }
  return Object.fromEntries(values) as Parsed<S>;
}

/** Reads a whole option value. Throws `KeyValueError`, and nothing else, when it does not follow the schema. */
export function parseKeyValues<const S extends Schema>(text: string, schema: S): Parsed<S> {
  const cursor: Cursor = { text, position: 0 };
  const parsed = readFields(cursor, schema);
  if (cursor.position < text.length) fail('unexpected text', cursor);
  return parsed;
}
