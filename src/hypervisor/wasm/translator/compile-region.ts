/**
 * From a request for a region to its WebAssembly code. It reads guest code and what is known of it from shared memory only, so that it
 * can run on a thread of its own; what it makes is checked against memory when it is put in place.
 *
 * @module
 */
import { Decoder } from '../decode/decoder.ts';
import type { DecodeTable } from '../decode/table.ts';
import { KnownBlocks } from '../interpreter/known-blocks.ts';
import { unavailable } from '../interpreter/unavailable.ts';
import { CodePages } from './code-pages.ts';
import { buildRegionModule, constantName, regionName, type RegionSource } from './region-module.ts';
import { JumpTargets } from './jump-targets.ts';
import { bindings } from './region-imports.ts';
import { discoverRegion, type Region, type RegionLimits } from './region.ts';
import type { RegionInsn } from './region-insn.ts';

/** A wish for a region; survives `structuredClone`. */
export interface RegionRequest {
  readonly id: number;
  /** Linear address of the entry's page, where that lies in linear memory, and the entry's offset in it. */
  readonly base: bigint;
  readonly page: number;
  readonly entry: number;
  /** The execution mode. */
  readonly mode: number;
  /** The page tables that other pages are found by. */
  readonly cr3: bigint;
  /** Where indirect jumps have gone since the last request. */
  readonly targets: readonly NotedTargets[];
  /** All that was noted before is void. */
  readonly forgets: boolean;
  readonly limits: RegionLimits;
  /** Worth V8's optimising compiler at once. */
  readonly isHot: boolean;
}

/** Where an indirect jump at an offset in linear memory has gone lately: RIPs, as often as they were noted. */
export interface NotedTargets {
  readonly at: number;
  readonly rips: BigUint64Array;
}

export interface CodeExtent {
  /** Bytes of code within one page, as offsets in linear memory: [from, to). */
  readonly from: number;
  readonly to: number;
}

/** A translated region; survives `structuredClone`. */
export interface TranslatedRegion {
  readonly id: number;
  /** What the module exports it as; undefined when not even one instruction can be translated. */
  readonly name: string | undefined;
  readonly extents: readonly CodeExtent[];
  /** The guest's code in these, one after the other, as it was translated. */
  readonly code: Uint8Array;
  /** By name, offsets in linear memory of the instructions that the module's constants belong to (`bindings`), and in their page. */
  readonly handlers: readonly RegionConstant[];
  readonly logs: readonly RegionLog[];
  /** Offsets in linear memory of the starts of its blocks. */
  readonly blocks: readonly number[];
  readonly isHot: boolean;
  /** Equal for regions with the same blocks and branches. */
  readonly shape: string;
  readonly instructions: number;
  /** Of WebAssembly, a part of its module's. */
  readonly bytes: number;
  /** Spent on it before WebAssembly's compiler, and when that was begun, by the clock of `RegionTranslatorOptions.now`. */
  readonly milliseconds: number;
  readonly startedMilliseconds: number;
}

/** An instruction that a handler of the interpreter carries out, and the two constants that say which. */
export interface RegionConstant {
  readonly at: number;
  readonly handler: string;
  readonly record: string;
}

/** An indirect jump, and the constant that says where it notes its targets. */
export interface RegionLog {
  readonly at: number;
  readonly name: string;
}

/** Regions that were translated together; survives `structuredClone`. */
export interface TranslatedBatch {
  /** Undefined when no region can be translated. */
  readonly module: WebAssembly.Module | undefined;
  readonly regions: readonly TranslatedRegion[];
  /** Spent in WebAssembly's compiler, and when that was begun. */
  readonly compileMilliseconds: number;
  readonly compileStartedMilliseconds: number;
}

/** Carries requests out, here or on another thread. */
export interface RegionCompiler {
  request(request: RegionRequest): void;
  /** The next finished regions, or undefined. Cheap when there are none. */
  poll(): TranslatedBatch | undefined;
}

export interface RegionTranslatorOptions {
  readonly memory: WebAssembly.Memory;
  /** Offset of the vCPU's private area. */
  readonly cpu: number;
  readonly table: DecodeTable;
  /** Milliseconds of the machine's clock. */
  readonly now: () => number;
  /** Compiles; hot modules perhaps with the optimising compiler at once. */
  readonly compile: (bytes: Uint8Array<ArrayBuffer>, isHot: boolean) => WebAssembly.Module;
}

export class RegionTranslator {
  readonly #options: RegionTranslatorOptions;
  readonly #decoder: Decoder;
  readonly #known: KnownBlocks;
  readonly #pages: CodePages;
  readonly #targets = new JumpTargets();
  readonly #bytes: Uint8Array;

  constructor(options: RegionTranslatorOptions) {
    this.#options = options;
    this.#decoder = new Decoder(options.table);
    this.#known = new KnownBlocks(options.memory.buffer, options.cpu);
    this.#pages = new CodePages(options.memory.buffer, options.cpu);
    this.#bytes = new Uint8Array(options.memory.buffer);
  }

  /** Takes from a request what is known of indirect jumps; in the order of the requests, whichever is translated first. */
  learn({ targets, forgets }: RegionRequest): void {
    if (forgets) this.#targets.clear();
    for (const { at, rips } of targets) this.#targets.note(at, rips);
  }

  /** Carries out requests together, at most MAX_BATCH; hot ones alone, for their module is compiled in another way. */
  translate(requests: readonly RegionRequest[]): TranslatedBatch {
    const { now, compile } = this.#options;
    const began = now();
    const found = requests.map((request) => this.#discover(request));
    let parts = found.filter((part) => part !== undefined);
    const emitted = now();
    let bytes = parts.length === 0 ? undefined : buildRegionModule(parts);
    while (Array.isArray(bytes)) {
      const tooLarge = bytes;
      parts = parts.filter((_part, index) => !tooLarge.includes(index));
      bytes = parts.length === 0 ? undefined : buildRegionModule(parts);
    }
    const compiling = now();
    const module = bytes === undefined ? undefined : compile(bytes, parts[0]?.isHot === true);
    const done = now();
    const shares = {
      bytes: Math.round((bytes?.length ?? 0) / Math.max(parts.length, 1)),
      milliseconds: (compiling - emitted) / Math.max(parts.length, 1),
    };
    // One after the other, as traces want them, though all are found before the first one is emitted.
    let startedMilliseconds = began;
    const regions = requests.map(({ id }, n): TranslatedRegion => {
      const part = found[n];
      const index = part === undefined ? -1 : parts.indexOf(part);
      if (part === undefined || index < 0) return { ...NOTHING, id, startedMilliseconds };
      const milliseconds = part.translated.milliseconds + shares.milliseconds;
      const from = startedMilliseconds;
      startedMilliseconds += milliseconds;
      return {
        ...part.translated,
        name: regionName(index),
        handlers: part.called.map((at, m) => ({
          at,
          handler: constantName('handler', index, m),
          record: constantName('record', index, m),
        })),
        logs: part.indirect.map((at, m) => ({ at, name: constantName('log', index, m) })),
        bytes: shares.bytes,
        milliseconds,
        startedMilliseconds: from,
      };
    });
    return { module, regions, compileMilliseconds: done - compiling, compileStartedMilliseconds: compiling };
  }

  /** Finds the region of a request; undefined when there is none. */
  #discover(request: RegionRequest): Discovered | undefined {
    const { now } = this.#options;
    const { id, base, entry, mode, cr3, limits, isHot } = request;
    const began = now();
    const copies = new Map<number, Uint8Array>();
    const page = (host: number): Uint8Array => {
      let copy = copies.get(host);
      if (copy === undefined) {
        copy = this.#bytes.slice(host, host + 4096);
        copies.set(host, copy);
      }
      return copy;
    };
    const region = discoverRegion(
      {
        page,
        decoder: this.#decoder,
        hostPage: (index) => (index === 0 ? request.page : this.#pages.find(cr3, base + BigInt(index) * 4096n)),
        isKnown: (host) => this.#known.has(host, mode),
        isUnavailable: (decoded) => unavailable(decoded.row, mode) >= 0,
        learned: (host) => this.#targets.of(host, base),
      },
      entry,
      limits,
    );
    if (region === undefined) return undefined;
    const bound = bindings(region);
    const extents = extentsOf(region);
    const hostOf = ({ delta }: RegionInsn): number => (region.pages.get(delta >> 12) as number) + (delta & 0xfff);
    return {
      region,
      bindings: bound,
      isHot,
      name: `${isHot ? 'hot' : 'region'} ${(base + BigInt(entry)).toString(16)}`,
      called: bound.called.map(hostOf),
      indirect: bound.indirect.map(hostOf),
      translated: {
        id,
        extents,
        code: codeOf(extents, page),
        blocks: [...new Set([...region.blocks.values()].map(({ insns }) => hostOf(insns[0] as RegionInsn)))],
        isHot,
        shape: `${isHot ? 'hot ' : ''}${shapeOf(region)}`,
        instructions: region.instructions,
        milliseconds: now() - began,
      },
    };
  }
}

/** A region before it is translated, and what is known of the result. */
interface Discovered extends RegionSource {
  readonly called: readonly number[];
  readonly indirect: readonly number[];
  readonly translated: Omit<TranslatedRegion, 'name' | 'handlers' | 'logs' | 'bytes' | 'startedMilliseconds'>;
}

/** The bytes that were translated, one extent after the other. */
function codeOf(extents: readonly CodeExtent[], page: (host: number) => Uint8Array): Uint8Array {
  const code = new Uint8Array(extents.reduce((sum, { from, to }) => sum + to - from, 0));
  let at = 0;
  for (const { from, to } of extents) {
    const offset = from & 0xfff;
    code.set(page(from - offset).subarray(offset, offset + to - from), at);
    at += to - from;
  }
  return code;
}

const NOTHING: TranslatedRegion = {
  id: 0,
  name: undefined,
  extents: [],
  code: new Uint8Array(0),
  handlers: [],
  logs: [],
  blocks: [],
  isHot: false,
  shape: '',
  instructions: 0,
  bytes: 0,
  milliseconds: 0,
  startedMilliseconds: 0,
};

/** The bytes of a region's instructions, page by page. */
function extentsOf(region: Region): CodeExtent[] {
  const list: { from: number; to: number }[] = [];
  const add = (delta: number, bytes: number): void => {
    const from = (region.pages.get(delta >> 12) as number) + (delta & 0xfff);
    const last = list.at(-1);
    if (last !== undefined && last.to === from && (from & 0xfff) !== 0) last.to = from + bytes;
    else list.push({ from, to: from + bytes });
  };
  for (const { delta, decoded } of region.insns) {
    const rest = 4096 - (delta & 0xfff);
    add(delta, Math.min(decoded.length, rest));
    if (decoded.length > rest) add(delta + rest, decoded.length - rest);
  }
  return list;
}

const shapeOf = (region: Region): string =>
  [...region.blocks.values()]
    .map(({ delta, insns, successors }) => `${delta}.${insns.length}.${successors.join(',')}`)
    .sort()
    .join(';');

/** Translates when it is asked, on the asking thread. */
export function compileAtOnce(options: Omit<RegionTranslatorOptions, 'compile'>): RegionCompiler {
  const translator = new RegionTranslator({ ...options, compile: (bytes) => new WebAssembly.Module(bytes) });
  const done: TranslatedBatch[] = [];
  return {
    request(request) {
      translator.learn(request);
      done.push(translator.translate([request]));
    },
    poll: () => done.shift(),
  };
}
