import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DecodeTable } from '../decode/table.ts';
import { rows } from '../insn/index.ts';
import { KnownBlocks } from '../interpreter/known-blocks.ts';
import { VCPU_AREA_BYTES } from '../mmu/layout.ts';
import { type RegionRequest, RegionTranslator, type TranslatedRegion } from './compile-region.ts';

const PAGE = VCPU_AREA_BYTES + 0x1_0000;
const RET = 0xc3;
/** 64-bit code with SSE. */
const MODE = 0x22;

/** Translates code at the start of a page, all of which has been executed before. */
function translate(code: readonly number[], whileTranslating = (_memory: Uint8Array): void => {}): TranslatedRegion {
  const pages = Math.ceil((PAGE + 4096) / 65536) + 1;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const bytes = new Uint8Array(memory.buffer);
  bytes.set(code, PAGE);
  const known = new KnownBlocks(memory.buffer, 0);
  for (let at = 0; at <= code.length; at++) known.add(PAGE + at, MODE);
  const translator = new RegionTranslator({
    memory,
    cpu: 0,
    table: new DecodeTable(rows),
    now: () => 0,
    compile(module) {
      whileTranslating(bytes);
      return new WebAssembly.Module(module);
    },
  });
  const request: RegionRequest = {
    id: 1,
    base: 0x40_0000n,
    page: PAGE,
    entry: 0,
    mode: MODE,
    cr3: 0n,
    targets: [],
    forgets: false,
    limits: { instructions: 400, pages: 1 },
    isHot: false,
  };
  return translator.translate(request);
}

test('jumps to the next instruction do not double the code behind them', () => {
  const jumps = (count: number): number[] => [...Array.from({ length: count }, () => [0x74, 0x00]).flat(), RET];
  const ten = translate(jumps(10));
  const sixty = translate(jumps(60));
  assert.notEqual(sixty.module, undefined);
  assert.ok(sixty.bytes < ten.bytes * 7, `${ten.bytes} and ${sixty.bytes} bytes`);
});

test('the code that is handed back is the code that was translated, whatever the guest writes meanwhile', () => {
  const code = [0x48, 0xff, 0xc0, RET];
  const { code: translated } = translate(code, (memory) => memory.set([0x90], PAGE));
  assert.deepEqual([...translated], code);
});
