/**
 * ACPI Machine Language, as much of it as the DSDT needs (ACPI 6.3, chapter 20): each function gives the encoding of one
 * construct. `Term` stands in a list of statements or objects, `Data` wherever a value is computed.
 *
 * @module
 */
import { concat, littleEndian } from '../table-writer.ts';

/** An encoded TermObj. */
export type Term = Uint8Array & { readonly __aml: 'term' };
/** An encoded TermArg or DataRefObject. */
export type Data = Uint8Array & { readonly __aml: 'data' };

const ZERO_OP = 0x00;
const ONE_OP = 0x01;
const NAME_OP = 0x08;
const BYTE_PREFIX = 0x0a;
const WORD_PREFIX = 0x0b;
const DWORD_PREFIX = 0x0c;
const STRING_PREFIX = 0x0d;
const QWORD_PREFIX = 0x0e;
const SCOPE_OP = 0x10;
const BUFFER_OP = 0x11;
const PACKAGE_OP = 0x12;
const METHOD_OP = 0x14;
const DUAL_NAME_PREFIX = 0x2e;
const MULTI_NAME_PREFIX = 0x2f;
const EXT_OP_PREFIX = 0x5b;
const LOCAL0_OP = 0x60;
const ARG0_OP = 0x68;
const STORE_OP = 0x70;
const AND_OP = 0x7b;
const OR_OP = 0x7d;
const CREATE_DWORD_FIELD_OP = 0x8a;
const NOT_OP = 0x92;
const EQUAL_OP = 0x93;
const IF_OP = 0xa0;
const ELSE_OP = 0xa1;
const RETURN_OP = 0xa4;
const DEVICE_OP = 0x82; // behind EXT_OP_PREFIX

type Bytes = readonly number[] | Uint8Array;

const term = (...parts: readonly Bytes[]): Term => concat(...parts) as Term;
const data = (...parts: readonly Bytes[]): Data => concat(...parts) as Data;

const ascii = (text: string): number[] => Array.from(text, (character) => character.charCodeAt(0) & 0x7f);

/**
 * PkgLength (20.2.4): counts itself and what follows. One byte up to 63, else the low nibble in the first byte, eight more
 * bits in each of up to three others.
 */
function packageLength(contents: number): number[] {
  if (contents + 1 < 1 << 6) return [contents + 1];
  for (let more = 1; more <= 3; more++) {
    const total = contents + 1 + more;
    if (total < 1 << (4 + 8 * more)) return [(more << 6) | (total & 0xf), ...littleEndian(total >>> 4, more)];
  }
  throw new RangeError(`AML package of ${contents} bytes is too long`);
}

const withLength = (opcode: Bytes, ...contents: readonly Bytes[]): Uint8Array => {
  const body = concat(...contents);
  return concat(opcode, packageLength(body.length), body);
};

const segment = (name: string): number[] => {
  if (!/^[A-Z_][A-Z0-9_]{0,3}$/.test(name)) throw new RangeError(`AML name segment ${name} is not valid`);
  return ascii(name.padEnd(4, '_'));
};

/** NameString (20.2.2): segments separated by dots, behind `\` or any number of `^`. */
function nameString(path: string): Uint8Array {
  const prefix = /^(\\|\^*)/.exec(path)?.[0] ?? '';
  const segments = path.slice(prefix.length).split('.').map(segment);
  const count =
    segments.length === 1 ? [] : segments.length === 2 ? [DUAL_NAME_PREFIX] : [MULTI_NAME_PREFIX, segments.length];
  return concat(ascii(prefix), count, ...segments);
}

// --- Values ---

/** The shortest encoding of an unsigned integer below 2^53. */
export function integer(value: number): Data {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`AML integer ${value} is not unsigned`);
  if (value === 0) return data([ZERO_OP]);
  if (value === 1) return data([ONE_OP]);
  if (value < 2 ** 8) return data([BYTE_PREFIX], littleEndian(value, 1));
  if (value < 2 ** 16) return data([WORD_PREFIX], littleEndian(value, 2));
  if (value < 2 ** 32) return data([DWORD_PREFIX], littleEndian(value, 4));
  return data([QWORD_PREFIX], littleEndian(value, 8));
}

export const string = (text: string): Data => data([STRING_PREFIX], ascii(text), [0]);

export const buffer = (contents: Bytes): Data => data(withLength([BUFFER_OP], integer(contents.length), contents));

export const packageOf = (...elements: readonly Data[]): Data =>
  data(withLength([PACKAGE_OP], [elements.length], ...elements));

/** EISAID (19.6.36): three letters of five bits and four hexadecimal digits, as a big-endian 32-bit integer. */
export function eisaId(id: string): Data {
  const match = /^([A-Z])([A-Z])([A-Z])([0-9A-F]{4})$/.exec(id);
  if (!match) throw new RangeError(`${id} is not an EISA ID`);
  const [a = 0, b = 0, c = 0] = ascii(id.slice(0, 3)).map((letter) => letter - 0x40);
  const product = Number.parseInt(id.slice(3), 16);
  const vendor = (a << 10) | (b << 5) | c;
  return data([DWORD_PREFIX], [vendor >> 8, vendor & 0xff, product >> 8, product & 0xff]);
}

/** ToUUID (19.6.142): the first three groups are little-endian. */
export function uuid(text: string): Data {
  const bytes =
    text
      .replaceAll('-', '')
      .match(/../g)
      ?.map((pair) => Number.parseInt(pair, 16)) ?? [];
  if (bytes.length !== 16) throw new RangeError(`${text} is not a UUID`);
  return buffer([3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].map((index) => bytes[index] ?? 0));
}

export const local = (index: number): Data => data([LOCAL0_OP + index]);
export const arg = (index: number): Data => data([ARG0_OP + index]);
export const reference = (path: string): Data => data(nameString(path));

export const equal = (a: Data, b: Data): Data => data([EQUAL_OP], a, b);
export const notEqual = (a: Data, b: Data): Data => data([NOT_OP, EQUAL_OP], a, b);

// --- Statements and objects. Targets are local(), arg() or reference(). ---

export const store = (value: Data, target: Data): Term => term([STORE_OP], value, target);
export const and = (a: Data, b: Data, target: Data): Term => term([AND_OP], a, b, target);
export const or = (a: Data, b: Data, target: Data): Term => term([OR_OP], a, b, target);
export const ifThen = (condition: Data, ...then: readonly Term[]): Term =>
  term(withLength([IF_OP], condition, ...then));
/** Belongs right behind an ifThen. */
export const otherwise = (...then: readonly Term[]): Term => term(withLength([ELSE_OP], ...then));
export const returnValue = (value: Data): Term => term([RETURN_OP], value);
export const createDWordField = (source: Data, byteOffset: number, name: string): Term =>
  term([CREATE_DWORD_FIELD_OP], source, integer(byteOffset), nameString(name));

export const name = (path: string, value: Data): Term => term([NAME_OP], nameString(path), value);
export const scope = (path: string, ...terms: readonly Term[]): Term =>
  term(withLength([SCOPE_OP], nameString(path), ...terms));
export const device = (path: string, ...terms: readonly Term[]): Term =>
  term(withLength([EXT_OP_PREFIX, DEVICE_OP], nameString(path), ...terms));

/** A serialized method: what creates names while it runs must not run twice at once. */
export const method = (path: string, argumentCount: number, ...terms: readonly Term[]): Term =>
  term(withLength([METHOD_OP], nameString(path), [argumentCount | (1 << 3)], ...terms));
