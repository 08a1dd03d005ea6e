/**
 * Shows what the translator makes of 64-bit code: the blocks of the region, and its WebAssembly function.
 *
 *     node tools/show-region.ts [--hot] [--at OFFSET] HEX...
 *
 * The code lies at OFFSET of a page, 0 when left out, and is entered at its first byte. It counts as executed before from end to end;
 * nothing is known of where its indirect jumps go. docs/translator.md follows an example.
 *
 * @module
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Decoder } from '../src/hypervisor/wasm/decode/decoder.ts';
import { DecodeTable } from '../src/hypervisor/wasm/decode/table.ts';
import { rows } from '../src/hypervisor/wasm/insn/index.ts';
import { RIP_BASE } from '../src/hypervisor/wasm/mmu/layout.ts';
import * as state from '../src/hypervisor/wasm/state.ts';
import { buildRegionModule } from '../src/hypervisor/wasm/translator/region-module.ts';
import { bindings, REGION_IMPORTS } from '../src/hypervisor/wasm/translator/region-imports.ts';
import { discoverRegion, type Region } from '../src/hypervisor/wasm/translator/region.ts';
import { HOT_LIMITS, LIMITS } from '../src/hypervisor/wasm/translator/translator.ts';
import { type ListingNames, listFunction } from './wasm-listing.ts';

export interface Shown {
  /** One line an instruction, under a line for every block. */
  readonly blocks: readonly string[];
  /** One line a statement. */
  readonly listing: readonly string[];
  readonly module: Uint8Array<ArrayBuffer>;
}

const PAGE = 4096;
const PAGES = 4;

// biome-ignore format: a table
const GPRS = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'];
/** Fields of the state record that regions use, and the locals that are loaded from them. */
const FIELDS: ReadonlyMap<number, string> = new Map([
  ...GPRS.map((name, n) => [state.gprOffset(n), name] as const),
  ...GPRS.map((_, n) => [state.xmmOffset(n), `xmm${n}`] as const),
  [state.FLAG_RESULT, 'flagResult'],
  [state.FLAG_AUX, 'flagAux'],
  [state.TLB_BASE, 'tlbBase'],
  [state.TLB_TAG, 'tlbTag'],
  [RIP_BASE, 'ripBase'],
  [state.RIP, 'rip'],
  [state.BUDGET, 'budget'],
  [state.CODE_GENERATION, 'generation'],
  [state.REGION_RECORD, 'regionRecord'],
  [state.FETCH_TAG, 'fetchTag'],
  [state.FAULT_VECTOR, 'faultVector'],
  [state.FAULT_ERROR, 'faultError'],
  [state.FAULT_RECORD, 'faultRecord'],
]);

const FUNCTIONS = Object.entries(REGION_IMPORTS).map(([name, [params, result]]) => ({
  name,
  params: params.length,
  results: result === undefined ? 0 : 1,
}));

/** What the region's variables are called: whatever the function begins with loading, or ends with storing. */
function localNames(module: Uint8Array, known: ListingNames): Map<number, string> {
  const names = new Map<number, string>();
  const give = (local: string | undefined, name: string | undefined): void => {
    if (local === undefined || name === undefined) return;
    const index = Number(local);
    if (![...names.values()].includes(name) && !names.has(index)) names.set(index, name);
  };
  for (const text of listFunction(module, known)) {
    const load = /^t(\d+) = \w+\.load\w*\(cpu\.(\w+)\)$/.exec(text);
    give(load?.[1], load?.[2]);
    give(/^i64\.store\(cpu\.rip, t(\d+)\)$/.exec(text)?.[1], 'rip');
    give(/^return t(\d+)$/.exec(text)?.[1], 'status');
  }
  return names;
}

const hex = (value: number): string => `${value < 0 ? '-' : ''}${Math.abs(value).toString(16)}h`;

function blockLines(region: Region, code: Uint8Array, at: number): string[] {
  const out: string[] = [];
  const placeOf = (id: number): string => hex(region.blocks.get(id)?.delta ?? 0);
  for (const { delta, insns, successors } of region.blocks.values()) {
    out.push(`block ${hex(delta)} -> ${successors.map(placeOf).join(' ') || 'out'}`);
    for (const { delta: place, decoded, called } of insns) {
      const bytes = [...code.subarray(place - at, place - at + decoded.length)];
      const text = bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
      const { name, ops } = decoded.row;
      out.push(`  ${hex(place).padEnd(6)} ${text.padEnd(32)} ${name} ${ops}${called ? ' (called)' : ''}`.trimEnd());
    }
  }
  return out;
}

/** Translates code that lies `at` bytes into a page. */
export function showRegion(code: Uint8Array, at = 0, isHot = false): Shown {
  // Offset 0 of linear memory is no place for code: it stands for a page that is not there.
  const bytes = new Uint8Array((PAGES + 1) * PAGE);
  if (at < 0 || at >= PAGE || at + code.length > PAGES * PAGE) throw new RangeError(`${code.length} bytes at ${at}`);
  bytes.set(code, PAGE + at);
  const source = {
    page: (host: number) => bytes.subarray(host, host + PAGE),
    decoder: new Decoder(new DecodeTable(rows)),
    hostPage: (index: number) => (index >= 0 && index < PAGES ? (index + 1) * PAGE : 0),
    isKnown: (host: number) => host >= PAGE + at && host < PAGE + at + code.length,
    isUnavailable: () => false,
    learned: () => [],
  };
  const region = discoverRegion(source, at, isHot ? HOT_LIMITS : LIMITS);
  if (region === undefined) throw new RangeError('the first instruction cannot be translated');
  const bound = bindings(region);
  const module = buildRegionModule([{ region, bindings: bound, isHot, name: 'region' }]);
  if (Array.isArray(module)) throw new RangeError('the region would be too large');
  const known: ListingNames = {
    field: (offset) => FIELDS.get(offset),
    local: () => undefined,
    functions: FUNCTIONS,
    constants: [
      ...bound.called.flatMap((_, n) => [`handler${n}`, `record${n}`]),
      ...bound.indirect.map((_, n) => `log${n}`),
    ],
  };
  const names = localNames(module, known);
  const listing = listFunction(module, { ...known, local: (index) => names.get(index) });
  return { blocks: blockLines(region, code, at), listing, module };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { hot: { type: 'boolean', default: false }, at: { type: 'string', default: '0' } },
  });
  const digits = positionals.join('').replaceAll(/\s/g, '');
  if (!/^([0-9a-f]{2})+$/i.test(digits)) {
    console.error('usage: node tools/show-region.ts [--hot] [--at OFFSET] HEX...');
    process.exit(1);
  }
  const { blocks, listing, module } = showRegion(Uint8Array.fromHex(digits), Number(values.at), values.hot);
  console.log([...blocks, '', `module: ${module.length} bytes`, ...listing].join('\n'));
}
