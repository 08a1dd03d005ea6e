/**
 * Vector files: recorded cases in columns, compressed.
 *
 * A state is 72 quadwords (machine-state.ts), and 32 more with YMM registers. The initial state is stored as its difference from the default state of
 * (environment, seed, profile), the final one as its difference from the initial, with RIP predicted; so a case costs
 * a few tens of bytes before compression. Each kind of datum has its own column, which is what lets the compressor
 * see the repetition.
 *
 * File: zstd of { "TVC" version, varint length of JSON, JSON, then per column varint length and bytes }.
 *
 * @module
 */
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { ByteReader, ByteWriter, VectorFileError } from './byte-stream.ts';
import { VECTOR_NONE, type Comparison, type CpuCase, type Outcome, type Patch } from './case.ts';
import { fillDefault, type Profile } from './default-state.ts';
import { ENVIRONMENTS } from './environment.ts';
import { BASE_STATE_BYTES, MachineState, STATE_BYTES } from './machine-state.ts';

export const FORMAT_VERSION = 1;
const MAGIC = [0x54, 0x56, 0x43, FORMAT_VERSION];
const WORDS = STATE_BYTES / 8,
  BASE_WORDS = BASE_STATE_BYTES / 8;
const PAGE_FAULT = 14;
const MASK64 = (1n << 64n) - 1n;

/** Column order in the file. */
const COLUMNS = [
  'head',
  'comparison',
  'seed',
  'codeLength',
  'code',
  'initialIndex',
  'initialKind',
  'initialValue',
  'patch',
  'patchBytes',
  'vector',
  'fault',
  'finalIndex',
  'finalKind',
  'finalValue',
  'write',
  'writeBytes',
] as const;
type Column = (typeof COLUMNS)[number];

interface FileHeader {
  /** The processor model that has the instructions; x86-64-v2 when left out. States of `v3` have YMM registers. */
  readonly model?: 'v3';
  readonly forms: readonly { readonly form: string; readonly cases: number }[];
  readonly comparisons: readonly Comparison[];
}

/** How a quadword differs from the one it is predicted from. */
const Kind = { Byte0: 0, Byte1: 1, Low16: 2, Zero32: 3, Low32: 4, Step: 5, Full: 6, Zero: 7, Ones: 8 } as const;
const KIND_BYTES = [1, 1, 2, 4, 4, 1, 8, 0, 0];

function kindOf(from: bigint, to: bigint): number {
  if (to === 0n) return Kind.Zero;
  if (to === MASK64) return Kind.Ones;
  const changed = from ^ to;
  if (changed < 0x100n) return Kind.Byte0;
  if ((changed & ~0xff00n) === 0n) return Kind.Byte1;
  const step = BigInt.asIntN(64, to - from);
  if (step >= -128n && step < 128n) return Kind.Step;
  if (changed < 0x1_0000n) return Kind.Low16;
  if (to < 0x1_0000_0000n) return Kind.Zero32;
  return changed < 0x1_0000_0000n ? Kind.Low32 : Kind.Full;
}

function payload(kind: number, from: bigint, to: bigint): bigint {
  if (kind === Kind.Byte1) return to >> 8n;
  return kind === Kind.Step ? to - from : to;
}

function apply(kind: number, from: bigint, value: bigint): bigint {
  switch (kind) {
    case Kind.Byte0:
      return (from & ~0xffn) | value;
    case Kind.Byte1:
      return (from & ~0xff00n) | (value << 8n);
    case Kind.Low16:
      return (from & ~0xffffn) | value;
    case Kind.Low32:
      return (from & ~0xffff_ffffn) | value;
    case Kind.Step:
      return (from + BigInt.asIntN(8, value)) & MASK64;
    case Kind.Zero32:
    case Kind.Full:
      return value;
    case Kind.Zero:
      return 0n;
    case Kind.Ones:
      return MASK64;
    default:
      throw new VectorFileError(`difference kind ${kind} is not defined`);
  }
}

const words = (state: MachineState): BigUint64Array =>
  new BigUint64Array(state.bytes.buffer, state.bytes.byteOffset, WORDS);

/** RIP after an instruction that falls through, or of one that faults. */
function predictedRip(initial: MachineState, environment: number, codeBytes: number, vector: number): bigint {
  if (vector !== VECTOR_NONE) return initial.rip;
  const bits = ENVIRONMENTS[environment]?.bits === 64 ? 64 : 32;
  return BigInt.asUintN(bits, initial.rip + BigInt(codeBytes));
}

class ColumnSet {
  readonly #writers = new Map<Column, ByteWriter>(COLUMNS.map((name) => [name, new ByteWriter()]));
  get(name: Column): ByteWriter {
    return this.#writers.get(name) as ByteWriter;
  }
}

function writeDifference(columns: ColumnSet, prefix: 'initial' | 'final', from: MachineState, to: MachineState): void {
  const a = words(from),
    b = words(to);
  const index = columns.get(`${prefix}Index`),
    kinds = columns.get(`${prefix}Kind`),
    values = columns.get(`${prefix}Value`);
  const changed: number[] = [];
  for (let i = 0; i < WORDS; i++) if (a[i] !== b[i]) changed.push(i);
  index.u8(changed.length);
  for (const i of changed) {
    const kind = kindOf(a[i] as bigint, b[i] as bigint);
    index.u8(i);
    kinds.u8(kind);
    values.little(payload(kind, a[i] as bigint, b[i] as bigint), KIND_BYTES[kind] as number);
  }
}

function writePatches(columns: ColumnSet, name: 'patch' | 'write', patches: readonly Patch[]): void {
  const column = columns.get(name);
  column.varint(patches.length);
  for (const patch of patches) {
    column.varint(patch.offset);
    column.varint(patch.bytes.length);
    columns.get(`${name}Bytes`).write(patch.bytes);
  }
}

/** Encodes cases into one file; cases of a form must follow each other. */
export function encodeCases(cases: readonly CpuCase[], model?: 'v3'): Uint8Array {
  const columns = new ColumnSet();
  const forms: { form: string; cases: number }[] = [];
  const comparisons: Comparison[] = [],
    known = new Map<string, number>();
  const base = new MachineState();
  let lastSeed = 0;
  for (const c of cases) {
    const last = forms.at(-1);
    if (last?.form === c.form) last.cases++;
    else forms.push({ form: c.form, cases: 1 });

    const key = JSON.stringify(c.comparison);
    let comparison = known.get(key);
    if (comparison === undefined) {
      comparison = comparisons.push(c.comparison) - 1;
      known.set(key, comparison);
    }
    columns.get('head').u8(c.environment | (c.profile << 4));
    columns.get('comparison').varint(comparison);
    columns.get('seed').varint((c.seed - lastSeed) >>> 0);
    lastSeed = c.seed;
    columns.get('codeLength').u8(c.code.length);
    columns.get('code').write(c.code);

    fillDefault(base, c.environment, c.seed, c.profile, model === 'v3');
    writeDifference(columns, 'initial', base, c.initial);
    writePatches(columns, 'patch', c.patches);

    const { expected } = c;
    columns.get('vector').u8(expected.vector + 1);
    if (expected.vector !== VECTOR_NONE) columns.get('fault').varint(expected.errorCode);
    if (expected.vector === PAGE_FAULT) columns.get('fault').little(expected.cr2, 8);
    base.copyFrom(c.initial);
    base.rip = predictedRip(c.initial, c.environment, c.code.length, expected.vector);
    writeDifference(columns, 'final', base, expected.state);
    writePatches(columns, 'write', expected.writes);
  }
  const header: FileHeader = { ...(model === undefined ? {} : { model }), forms, comparisons };
  const out = new ByteWriter();
  const json = new TextEncoder().encode(JSON.stringify(header));
  out.write(Uint8Array.from(MAGIC));
  out.varint(json.length);
  out.write(json);
  for (const name of COLUMNS) {
    const bytes = columns.get(name).finish();
    out.varint(bytes.length);
    out.write(bytes);
  }
  return zstdCompressSync(out.finish(), {
    params: { [constants.ZSTD_c_compressionLevel]: 19, [constants.ZSTD_c_windowLog]: 24 },
  });
}

type Readers = Record<Column, ByteReader>;

function readDifference(readers: Readers, prefix: 'initial' | 'final', state: MachineState, limit: number): void {
  const target = words(state);
  const count = readers[`${prefix}Index`].u8();
  for (let i = 0; i < count; i++) {
    const index = readers[`${prefix}Index`].u8();
    if (index >= limit) throw new VectorFileError(`state word ${index} is not defined`);
    const kind = readers[`${prefix}Kind`].u8();
    const value = readers[`${prefix}Value`].little(KIND_BYTES[kind] ?? 0);
    target[index] = apply(kind, target[index] as bigint, value);
  }
}

function readPatches(readers: Readers, name: 'patch' | 'write'): Patch[] {
  const patches: Patch[] = [];
  for (let left = readers[name].varint(); left > 0; left--) {
    const offset = readers[name].varint();
    patches.push({ offset, bytes: readers[`${name}Bytes`].take(readers[name].varint()) });
  }
  return patches;
}

function readOutcome(
  readers: Readers,
  initial: MachineState,
  environment: number,
  codeBytes: number,
  limit: number,
): Outcome {
  const vector = readers.vector.u8() - 1;
  const errorCode = vector === VECTOR_NONE ? 0 : readers.fault.varint();
  const cr2 = vector === PAGE_FAULT ? readers.fault.little(8) : 0n;
  const state = initial.clone();
  state.rip = predictedRip(initial, environment, codeBytes, vector);
  readDifference(readers, 'final', state, limit);
  return { vector, errorCode, cr2, state, writes: readPatches(readers, 'write') };
}

/** The cases of a vector file, one at a time. Throws VectorFileError on a damaged file. */
export function* decodeCases(file: Uint8Array): Generator<CpuCase> {
  const reader = new ByteReader(zstdDecompressSync(file));
  const magic = reader.take(4);
  if (MAGIC.some((byte, i) => magic[i] !== byte))
    throw new VectorFileError(`not a vector file of version ${FORMAT_VERSION}`);
  const header = JSON.parse(new TextDecoder().decode(reader.take(reader.varint()))) as FileHeader;
  const readers = Object.fromEntries(
    COLUMNS.map((name) => [name, new ByteReader(reader.take(reader.varint()))]),
  ) as Readers;

  const limit = header.model === 'v3' ? WORDS : BASE_WORDS;
  let seed = 0;
  for (const { form, cases } of header.forms) {
    for (let left = cases; left > 0; left--) {
      const head = readers.head.u8(),
        environment = head & 15,
        profile = (head >> 4) as Profile;
      const comparison = header.comparisons[readers.comparison.varint()];
      if (comparison === undefined) throw new VectorFileError(`${form}: comparison is not defined`);
      seed = (seed + readers.seed.varint()) >>> 0;
      const code = readers.code.take(readers.codeLength.u8());
      const initial = new MachineState();
      fillDefault(initial, environment, seed, profile, header.model === 'v3');
      readDifference(readers, 'initial', initial, limit);
      const patches = readPatches(readers, 'patch');
      const expected = readOutcome(readers, initial, environment, code.length, limit);
      yield { form, environment, seed, profile, code, initial, patches, comparison, expected };
    }
  }
}

/** Form names and case counts of a vector file and its model, without decoding the cases. */
export function readHeader(file: Uint8Array): FileHeader {
  const reader = new ByteReader(zstdDecompressSync(file));
  reader.take(4);
  return JSON.parse(new TextDecoder().decode(reader.take(reader.varint()))) as FileHeader;
}
