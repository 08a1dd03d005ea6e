import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DecodeTable } from '../decode/table.ts';
import { rows } from '../insn/index.ts';
import { KnownBlocks } from '../interpreter/known-blocks.ts';
import { VCPU_AREA_BYTES } from '../mmu/layout.ts';
import { type RegionRequest, RegionTranslator, type TranslatedBatch, type TranslatedRegion } from './compile-region.ts';

const PAGE = VCPU_AREA_BYTES + 0x1_0000;
const RET = 0xc3;
/** 64-bit code with SSE. */
const MODE = 0x22;

/** A translator, and a page with code all of which has been executed before. */
function translatorOf(code: readonly number[], whileTranslating = (_memory: Uint8Array): void => {}): RegionTranslator {
  const pages = Math.ceil((PAGE + 4096) / 65536) + 1;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const bytes = new Uint8Array(memory.buffer);
  bytes.set(code, PAGE);
  const known = new KnownBlocks(memory.buffer, 0);
  for (let at = 0; at <= code.length; at++) known.add(PAGE + at, MODE);
  return new RegionTranslator({
    memory,
    cpu: 0,
    table: new DecodeTable(rows),
    now: () => 0,
    compile(module) {
      whileTranslating(bytes);
      return new WebAssembly.Module(module);
    },
  });
}

/** A wish for what is at an offset of the page. */
const requestAt = (entry: number, id = 1): RegionRequest => ({
  id,
  base: 0x40_0000n,
  page: PAGE,
  entry,
  mode: MODE,
  cr3: 0n,
  targets: [],
  forgets: false,
  limits: { instructions: 400, pages: 1 },
  isHot: false,
});

/** Translates code at the start of a page. */
function translate(code: readonly number[], whileTranslating?: (memory: Uint8Array) => void): TranslatedRegion {
  const { regions } = translatorOf(code, whileTranslating).translate([requestAt(0)]);
  return regions[0] as TranslatedRegion;
}

test('jumps to the next instruction do not double the code behind them', () => {
  const jumps = (count: number): number[] => [...Array.from({ length: count }, () => [0x74, 0x00]).flat(), RET];
  const ten = translate(jumps(10));
  const sixty = translate(jumps(60));
  assert.notEqual(sixty.name, undefined);
  assert.ok(sixty.bytes < ten.bytes * 7, `${ten.bytes} and ${sixty.bytes} bytes`);
});

test('the code that is handed back is the code that was translated, whatever the guest writes meanwhile', () => {
  const code = [0x48, 0xff, 0xc0, RET];
  const { code: translated } = translate(code, (memory) => memory.set([0x90], PAGE));
  assert.deepEqual([...translated], code);
});

/** Functions that a batch's module exports. */
const exportsOf = ({ module }: TranslatedBatch): string[] =>
  module === undefined ? [] : WebAssembly.Module.exports(module).map(({ name }) => name);

test('regions that are translated together are functions of one module, each with constants of its own', () => {
  // inc rax; jmp rax, and the same with rcx; the string instruction is the interpreter's.
  const code = [0x48, 0xff, 0xc0, 0xff, 0xe0, 0x48, 0xff, 0xc1, 0xa4, 0xff, 0xe1];
  const batch = translatorOf(code).translate([requestAt(0, 7), requestAt(5, 8)]);
  const { module, regions } = batch;
  assert.deepEqual(
    regions.map(({ id, name }) => [id, name]),
    [
      [7, 'r0'],
      [8, 'r1'],
    ],
  );
  assert.deepEqual(exportsOf(batch), ['r0', 'r1']);
  const constants = WebAssembly.Module.imports(module as WebAssembly.Module).flatMap(({ kind, name }) =>
    kind === 'global' ? [name] : [],
  );
  const named = regions.flatMap(({ handlers, logs }) => [
    ...handlers.flatMap(({ handler, record }) => [handler, record]),
    ...logs.map(({ name }) => name),
  ]);
  assert.equal(named.length, 4);
  assert.deepEqual([...named].sort(), [...constants].sort());
});

/** FLD1: the x87 is not translated. */
const UNTRANSLATABLE = [0xd9, 0xe8];

test('a region that cannot be translated, and one that is too large, leave the others of their batch alone', () => {
  // lock cmpxchg8b [rax]; jz to the next instruction: a block of some 400 bytes of WebAssembly.
  const many = Array.from({ length: 670 }, () => [0xf0, 0x0f, 0xc7, 0x08, 0x74, 0x00]).flat();
  const code = [...UNTRANSLATABLE, ...many, RET, 0x48, 0xff, 0xc0, RET];
  const large = { ...requestAt(2, 2), limits: { instructions: 100_000, pages: 1 } };
  const batch = translatorOf(code).translate([requestAt(0, 1), large, requestAt(many.length + 3, 3)]);
  assert.deepEqual(
    batch.regions.map(({ id, name, instructions }) => [id, name, instructions]),
    [
      [1, undefined, 0],
      [2, undefined, 0],
      [3, 'r0', 2],
    ],
  );
  assert.deepEqual(exportsOf(batch), ['r0']);
});

test('when nothing of a batch can be translated there is no module', () => {
  const { module, regions } = translatorOf(UNTRANSLATABLE).translate([requestAt(0, 4)]);
  assert.deepEqual([module, regions.length, regions[0]?.id, regions[0]?.name], [undefined, 1, 4, undefined]);
});
