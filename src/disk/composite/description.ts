/**
 * The description of a composite disk, as crosvm has it (crosvm, protos/src/cdisk_spec.proto): a magic text, then one protocol
 * buffer that lists files and where on the disk they begin. Bytes to a value and back; does no I/O.
 *
 * @module
 */
import { decodeUtf8, encodeUtf8 } from '../../util/utf8.ts';
import { DiskFormatError } from '../disk-format-error.ts';

export const COMPOSITE_MAGIC = 'composite_disk\x1d';
/** The latest; relative paths start at the description's folder. */
const VERSION = 2;
/** A file that lists files; one with more is something else. */
export const MAX_DESCRIPTION_BYTES = 0x10_0000;

// Fields of CompositeDisk, and of ComponentDisk.
const FIELD_VERSION = 1;
const FIELD_COMPONENTS = 2;
const FIELD_LENGTH = 3;
const FIELD_PATH = 1;
const FIELD_OFFSET = 2;
const FIELD_CAPABILITY = 3;
const FIELD_FILE_OFFSET = 4;

// Wire types of protocol buffers.
const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

export interface Component {
  readonly path: string;
  /** Where it begins on the disk; it reaches to the next, or to the end of the disk. */
  readonly offset: number;
  readonly writable: boolean;
  /** Where in the file its contents begin. */
  readonly fileOffset: number;
}

export interface Description {
  /** In the order of their offsets. */
  readonly components: readonly Component[];
  /** Capacity. */
  readonly bytes: number;
}

type Field = readonly [number: number, value: number | Uint8Array];

/** The fields of a message in order; undefined when it is malformed. A number that is not safe is malformed too. */
function readMessage(bytes: Uint8Array): Field[] | undefined {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++];
      if (byte === undefined || scale > 2 ** 63) return NaN;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return Number.isSafeInteger(value) ? value : NaN;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const number = Math.floor(tag / 8);
    switch (tag % 8) {
      case VARINT: {
        const value = varint();
        if (Number.isNaN(value)) return undefined;
        fields.push([number, value]);
        break;
      }
      case BYTES: {
        const length = varint();
        if (!(length <= bytes.length - at)) return undefined;
        fields.push([number, bytes.subarray(at, at + length)]);
        at += length;
        break;
      }
      // Of fields that are not known yet.
      case FIXED64:
        at += 8;
        break;
      case FIXED32:
        at += 4;
        break;
      default:
        return undefined;
    }
  }
  return at === bytes.length ? fields : undefined;
}

/** A field's last value, as protocol buffers have it; 0 when it is absent. */
const numberOf = (fields: readonly Field[], wanted: number): number => {
  const value = fields.findLast(([number, candidate]) => number === wanted && typeof candidate === 'number')?.[1];
  return typeof value === 'number' ? value : 0;
};

/** Reads a whole file. Throws DiskFormatError. */
export function parseDescription(file: Uint8Array, image: string): Description {
  const refuse = (field: string, value: number | string, reason: string): never => {
    throw new DiskFormatError(image, field, value, reason);
  };
  const magic = String.fromCharCode(...file.subarray(0, COMPOSITE_MAGIC.length));
  if (magic !== COMPOSITE_MAGIC) refuse('magic', magic, 'is not that of a composite disk');
  const fields =
    readMessage(file.subarray(COMPOSITE_MAGIC.length)) ??
    refuse('description', file.length, 'bytes long, is malformed');
  const version = numberOf(fields, FIELD_VERSION);
  if (version > VERSION) refuse('version', version, 'is not up to 2');
  const bytes = numberOf(fields, FIELD_LENGTH);
  const components: Component[] = [];
  for (const [number, value] of fields) {
    if (number !== FIELD_COMPONENTS || typeof value === 'number') continue;
    const message = readMessage(value) ?? refuse('component', components.length, 'is malformed');
    const name = message.findLast(([candidate, text]) => candidate === FIELD_PATH && typeof text !== 'number')?.[1];
    const path = typeof name === 'object' ? decodeUtf8(name) : undefined;
    if (path === undefined || path === '')
      return refuse('path of component', components.length, 'is missing or no text');
    components.push({
      path,
      offset: numberOf(message, FIELD_OFFSET),
      writable: numberOf(message, FIELD_CAPABILITY) === 1,
      fileOffset: numberOf(message, FIELD_FILE_OFFSET),
    });
  }
  components.sort((a, b) => a.offset - b.offset);
  if (components[0] === undefined) return refuse('components', 0, 'make no disk');
  if (components[0].offset !== 0) refuse('offset of the first component', components[0].offset, 'is not 0');
  for (const [index, { offset }] of components.entries()) {
    const end = components[index + 1]?.offset ?? bytes;
    if (end <= offset) refuse('offset of a component', offset, `leaves no room before ${end}`);
  }
  return { components, bytes };
}

function varintBytes(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return [...bytes, rest];
}

const numberField = (number: number, value: number): number[] =>
  value === 0 ? [] : [number * 8 + VARINT, ...varintBytes(value)];
const bytesField = (number: number, bytes: ArrayLike<number>): number[] => [
  number * 8 + BYTES,
  ...varintBytes(bytes.length),
  ...Array.from(bytes),
];

/** The file of a description. */
export function encodeDescription({ components, bytes }: Description): Uint8Array {
  return Uint8Array.from([
    ...encodeUtf8(COMPOSITE_MAGIC),
    ...numberField(FIELD_VERSION, VERSION),
    ...components.flatMap(({ path, offset, writable, fileOffset }) =>
      bytesField(FIELD_COMPONENTS, [
        ...bytesField(FIELD_PATH, encodeUtf8(path)),
        ...numberField(FIELD_OFFSET, offset),
        ...numberField(FIELD_CAPABILITY, writable ? 1 : 0),
        ...numberField(FIELD_FILE_OFFSET, fileOffset),
      ]),
    ),
    ...numberField(FIELD_LENGTH, bytes),
  ]);
}
