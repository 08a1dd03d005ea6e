/**
 * Replays recorded cases on an executor and reports where it disagrees with the processor.
 *
 * @module
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CaseInput, type CpuCase, type Outcome, type Patch, VECTOR_NONE } from './case.ts';
import type { CpuModel } from '../../src/hypervisor/wasm/system/cpu-model.ts';
import { decodeCases, readHeader } from './case-format.ts';
import { DATA_BYTES, DATA_START, ENVIRONMENTS, memoryBackground, SEL_LONG_CODE } from './environment.ts';
import { CS, Flag, type MachineState } from './machine-state.ts';
import { C1 } from './undefined-flags.ts';

/**
 * Runs one instruction: loads `initial` and the memory of environment.ts with the case's patches, executes the code bytes at
 * RIP once (a repeated string instruction to its end), reports. The outcome may be reused by the next call.
 */
export interface Executor {
  run(input: CaseInput): Outcome;
}

/** One thing that differs. */
export interface Difference {
  readonly what: string;
  readonly initial: string;
  readonly expected: string;
  readonly got: string;
}

const GPR_NAMES = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
];
const SELECTOR_NAMES = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];
const VECTOR_NAMES: Record<number, string> = {
  0: '#DE',
  1: '#DB',
  3: '#BP',
  4: '#OF',
  5: '#BR',
  6: '#UD',
  7: '#NM',
  11: '#NP',
  12: '#SS',
  13: '#GP',
  14: '#PF',
  16: '#MF',
  17: '#AC',
  19: '#XM',
};
const PAGE_FAULT = 14;
const PRECISION_FLAG = 0x20;

const hex = (value: bigint | number): string => value.toString(16);
const vectorName = (vector: number): string =>
  vector === VECTOR_NONE ? 'completed' : (VECTOR_NAMES[vector] ?? `vector ${vector}`);

/** RFLAGS as the names of the set bits. */
export function flagNames(rflags: number): string {
  const names = Object.entries(Flag).filter(([name, bit]) => name !== 'ONE' && name !== 'IF' && (rflags & bit) !== 0);
  return names.length === 0 ? '-' : names.map(([name]) => name).join(' ');
}

const background = memoryBackground();

/** What the data pages hold before the instruction. */
export function initialMemory(input: CaseInput): Uint8Array {
  const memory = background.slice();
  for (const patch of input.patches) memory.set(patch.bytes, patch.offset);
  return memory;
}

/** Every difference between what a case expects and what an executor made of it. */
export function differences(c: CpuCase, got: Outcome): Difference[] {
  const { expected, comparison, initial } = c;
  const found: Difference[] = [];
  const note = (what: string, before: string, want: string, have: string): void => {
    found.push({ what, initial: before, expected: want, got: have });
  };
  if (expected.vector !== got.vector) note('exception', '', vectorName(expected.vector), vectorName(got.vector));
  if (expected.vector !== VECTOR_NONE && expected.vector === got.vector) compareFault(c, got, note);

  // An exception in legacy code saves the low halves only.
  const bits = ENVIRONMENTS[c.environment].bits === 64 && expected.state.selectors[CS] === SEL_LONG_CODE ? 64 : 32;
  const cut = (v: bigint): bigint => BigInt.asUintN(bits, v);
  if (cut(expected.state.rip) !== cut(got.state.rip))
    note('rip', hex(cut(initial.rip)), hex(cut(expected.state.rip)), hex(cut(got.state.rip)));
  if (expected.vector !== VECTOR_NONE && comparison.ignorePartial === true) return found;

  const ignored = comparison.ignoreGprs ?? 0;
  for (let i = 0; i < (bits === 64 ? 16 : 8); i++) {
    if ((ignored & (1 << i)) !== 0) continue;
    const undefinedBits = BigInt(comparison.ignoreGprBits?.[i] ?? 0);
    const want = cut(expected.state.gpr[i]) & ~undefinedBits,
      have = cut(got.state.gpr[i]) & ~undefinedBits;
    if (want !== have) note(GPR_NAMES[i], hex(cut(initial.gpr[i])), hex(want), hex(have));
  }
  const changed = (expected.state.rflags ^ got.state.rflags) & comparison.flags;
  if (changed !== 0)
    note(
      'flags',
      flagNames(initial.rflags & changed),
      flagNames(expected.state.rflags & changed),
      flagNames(got.state.rflags & changed),
    );
  for (let i = 0; i < 6; i++) {
    const want = expected.state.selectors[i],
      have = got.state.selectors[i];
    // The return to user mode that precedes the stop clears null selectors.
    if (want !== have && (want > 3 || have > 3))
      note(SELECTOR_NAMES[i], hex(initial.selectors[i]), hex(want), hex(have));
  }
  if (bits === 64) {
    if (expected.state.fsBase !== got.state.fsBase)
      note('fs base', hex(initial.fsBase), hex(expected.state.fsBase), hex(got.state.fsBase));
    if (expected.state.gsBase !== got.state.gsBase)
      note('gs base', hex(initial.gsBase), hex(expected.state.gsBase), hex(got.state.gsBase));
  }
  compareVectors(c, got.state, note);
  compareX87(c, got.state, note);
  compareMemory(c, got.writes, note);
  return found;
}

type Note = (what: string, initial: string, expected: string, got: string) => void;

function compareFault(c: CpuCase, got: Outcome, note: Note): void {
  const { expected, comparison } = c;
  if (comparison.ignoreErrorCode !== true && expected.errorCode !== got.errorCode)
    note('error code', '', hex(expected.errorCode), hex(got.errorCode));
  if (expected.vector !== PAGE_FAULT) return;
  const unit = comparison.cr2PageOnly === true ? 12n : 0n;
  if (expected.cr2 >> unit !== got.cr2 >> unit) note('cr2', '', hex(expected.cr2), hex(got.cr2));
}

/** True when two singles are within 2**exponent of each other, relatively. */
function closeSingles(a: number, b: number, exponent: number): boolean {
  const words = new Uint32Array([a, b]),
    floats = new Float32Array(words.buffer);
  const [x, y] = floats;
  return Number.isFinite(x) && Number.isFinite(y) && Math.abs(x - y) <= Math.abs(x) * 2 ** exponent;
}

/** True when both singles of a quadword are equal or close; `exponent` undefined: never. */
function closePair(want: bigint, have: bigint, exponent: number | undefined): boolean {
  if (exponent === undefined) return false;
  const low =
    closeSingles(Number(want & 0xffff_ffffn), Number(have & 0xffff_ffffn), exponent) ||
    (want ^ have) % 0x1_0000_0000n === 0n;
  return low && (closeSingles(Number(want >> 32n), Number(have >> 32n), exponent) || (want ^ have) >> 32n === 0n);
}

function compareVectors(c: CpuCase, got: MachineState, note: Note): void {
  const { expected, comparison, initial } = c;
  const exponent = comparison.f32RelativeExponent;
  for (let i = 0; i < (ENVIRONMENTS[c.environment].bits === 64 ? 32 : 16); i++) {
    const want = expected.state.xmm[i],
      have = got.xmm[i];
    if (want === have || closePair(want, have, exponent)) continue;
    note(`xmm${i >> 1}${(i & 1) === 0 ? ' low' : ' high'}`, hex(initial.xmm[i]), hex(want), hex(have));
  }
  for (let i = 0; i < (ENVIRONMENTS[c.environment].bits === 64 ? 32 : 16); i++) {
    const want = expected.state.ymmHigh[i],
      have = got.ymmHigh[i];
    if (want !== have && !closePair(want, have, exponent))
      note(`ymm${i >> 1} ${(i & 1) === 0 ? 'third' : 'fourth'}`, hex(initial.ymmHigh[i]), hex(want), hex(have));
  }
  if (expected.state.mxcsr !== got.mxcsr) note('mxcsr', hex(initial.mxcsr), hex(expected.state.mxcsr), hex(got.mxcsr));
}

/** Distance of two doubles extended of one sign in units of the last place. */
function ulps(aHigh: bigint, aLow: bigint, bHigh: bigint, bLow: bigint): bigint {
  if (aHigh >> 15n !== bHigh >> 15n) return 1n << 64n;
  const order = (high: bigint, low: bigint): bigint => ((high & 0x7fffn) << 63n) | (low & 0x7fff_ffff_ffff_ffffn);
  const distance = order(aHigh, aLow) - order(bHigh, bLow);
  return distance < 0n ? -distance : distance;
}

function compareX87(c: CpuCase, got: MachineState, note: Note): void {
  const { expected, comparison, initial } = c;
  const tolerance = comparison.x87Ulps;
  for (let i = 0; i < 8; i++) {
    const wantLow = expected.state.st[i * 2],
      wantHigh = expected.state.st[i * 2 + 1] & 0xffffn;
    const low = got.st[i * 2],
      high = got.st[i * 2 + 1] & 0xffffn;
    if (wantLow === low && wantHigh === high) continue;
    if (tolerance !== undefined && ulps(wantHigh, wantLow, high, low) <= BigInt(tolerance)) continue;
    const text = (h: bigint, l: bigint): string => `${hex(h & 0xffffn)}:${hex(l).padStart(16, '0')}`;
    note(`st${i}`, text(initial.st[i * 2 + 1], initial.st[i * 2]), text(wantHigh, wantLow), text(high, low));
  }
  // An approximation may round the other way, or be exact.
  const status = ~((comparison.ignoreFsw ?? 0) | (tolerance === undefined ? 0 : C1 | PRECISION_FLAG));
  if (((expected.state.fsw ^ got.fsw) & status) !== 0)
    note('fsw', hex(initial.fsw), hex(expected.state.fsw), hex(got.fsw));
  if (expected.state.fcw !== got.fcw) note('fcw', hex(initial.fcw), hex(expected.state.fcw), hex(got.fcw));
  if (expected.state.ftw !== got.ftw) note('ftw', hex(initial.ftw), hex(expected.state.ftw), hex(got.ftw));
}

function compareMemory(c: CpuCase, got: readonly Patch[], note: Note): void {
  const { expected, comparison } = c;
  if (expected.writes.length === 0 && got.length === 0) return;
  const before = initialMemory(c),
    want = before.slice(),
    have = before.slice();
  for (const write of expected.writes) want.set(write.bytes, write.offset);
  for (const write of got) {
    if (write.offset < 0 || write.offset + write.bytes.length > DATA_BYTES) {
      note('memory', '', '', `a write at offset ${write.offset}`);
      return;
    }
    have.set(write.bytes, write.offset);
  }
  for (const [first, end] of comparison.ignoreMemory ?? []) {
    for (let at = Math.max(first, 0); at < Math.min(end, DATA_BYTES); at++) have[at] = want[at];
  }
  for (let at = 0; at < DATA_BYTES; ) {
    if (want[at] === have[at]) {
      at++;
      continue;
    }
    let end = at + 1;
    while (end < Math.min(DATA_BYTES, at + 16) && want[end] !== have[end]) end++;
    const text = (bytes: Uint8Array): string => Buffer.from(bytes.subarray(at, end)).toString('hex');
    note(`[${hex(DATA_START + at)}]`, text(before), text(want), text(have));
    at = end;
  }
}

/** A mismatch as text: the instruction, the registers it started from, and what differs. */
export function describe(c: CpuCase, found: readonly Difference[]): string {
  const env = ENVIRONMENTS[c.environment];
  const count = env.bits === 64 ? 16 : 8;
  const registers = Array.from({ length: count }, (_, i) => `${GPR_NAMES[i]}=${hex(c.initial.gpr[i])}`).join(' ');
  const lines = [
    `${c.form} (${env.name}): ${Buffer.from(c.code).toString('hex').replace(/../g, '$& ').trim()}`,
    `  ${registers}`,
    `  rip=${hex(c.initial.rip)} flags=${flagNames(c.initial.rflags)} mxcsr=${hex(c.initial.mxcsr)} fcw=${hex(c.initial.fcw)} fsw=${hex(c.initial.fsw)} ftw=${hex(c.initial.ftw)}`,
  ];
  for (const patch of c.patches)
    lines.push(`  [${hex(DATA_START + patch.offset)}] = ${Buffer.from(patch.bytes).toString('hex')}`);
  if (c.expected.vector !== VECTOR_NONE)
    lines.push(`  expected ${vectorName(c.expected.vector)}(${hex(c.expected.errorCode)}) cr2=${hex(c.expected.cr2)}`);
  for (const d of found)
    lines.push(`  ${d.what}: ${d.initial === '' ? '' : `was ${d.initial}, `}expected ${d.expected}, got ${d.got}`);
  return lines.join('\n');
}

/** Mismatches of one form. */
export interface FormResult {
  readonly form: string;
  cases: number;
  failed: number;
  /** Reports of the first few. */
  readonly reports: string[];
}

export interface ReplayOptions {
  /** Reports kept per form. */
  readonly reports?: number;
  /** Only forms for which this is true. */
  readonly forms?: (form: string) => boolean;
  /** Only every n-th case. */
  readonly every?: number;
}

/** Replays cases; an exception out of the executor is a mismatch, not an end. */
export function replay(cases: Iterable<CpuCase>, executor: Executor, options: ReplayOptions = {}): FormResult[] {
  const results = new Map<string, FormResult>();
  const keep = options.reports ?? 3,
    every = options.every ?? 1;
  let ordinal = 0;
  for (const c of cases) {
    if (options.forms?.(c.form) === false || ordinal++ % every !== 0) continue;
    let result = results.get(c.form);
    if (result === undefined) {
      result = { form: c.form, cases: 0, failed: 0, reports: [] };
      results.set(c.form, result);
    }
    result.cases++;
    let found: Difference[];
    try {
      found = differences(c, executor.run(c));
    } catch (error) {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      found = [{ what: 'executor threw', initial: '', expected: '', got: text.split('\n').slice(0, 4).join(' | ') }];
    }
    if (found.length === 0) continue;
    result.failed++;
    if (result.reports.length < keep) result.reports.push(describe(c, found));
  }
  return [...results.values()];
}

export const VECTOR_DIRECTORY = join(import.meta.dirname, 'vectors');

/** Names of the vector files, without their ending. */
export function vectorFiles(): string[] {
  return readdirSync(VECTOR_DIRECTORY)
    .filter((name) => name.endsWith('.vec'))
    .map((name) => name.slice(0, -4))
    .sort();
}

/** The processor model that a vector file is for. */
export const vectorModel = (name: string): CpuModel =>
  readHeader(readFileSync(join(VECTOR_DIRECTORY, `${name}.vec`))).model ?? 'v2';

/** The cases of a vector file by name. */
export function readVectors(name: string): Generator<CpuCase> {
  return decodeCases(readFileSync(join(VECTOR_DIRECTORY, `${name}.vec`)));
}

/** A summary of results: one line a failing form, then the reports. Empty when nothing failed. */
export function summarize(results: readonly FormResult[]): string {
  const failing = results.filter((r) => r.failed > 0);
  if (failing.length === 0) return '';
  const total = failing.reduce((sum, r) => sum + r.failed, 0);
  const lines = [`${total} mismatches in ${failing.length} of ${results.length} forms`];
  for (const r of failing) lines.push(`${r.failed}/${r.cases} ${r.form}`);
  for (const r of failing) lines.push('', ...r.reports);
  return lines.join('\n');
}
