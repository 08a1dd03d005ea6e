/**
 * Decides what is translated, and keeps the regions of one vCPU.
 *
 * The profile costs the interpreter nothing: whenever a slice of instructions ends, the block at RIP is noted. A block that is
 * met several times in a row of slices has taken tens of thousands of instructions, and gets a region.
 *
 * @module
 */
import type { Decoder } from '../decode/decoder.ts';
import type { BlockCache } from '../interpreter/block-cache.ts';
import { R_IMMEDIATE } from '../interpreter/record.ts';
import { TLB_ADDEND, TLB_EXECUTE } from '../mmu/layout.ts';
import { MODE_SINGLE } from '../mmu/tlb.ts';
import { CODE_SIZE, REGION_RECORD, RIP, TLB_BASE, TLB_TAG } from '../state.ts';
import {
  buildRegionModule,
  type CalledHandler,
  REGION_IMPORTS,
  TARGET_LOG_BYTES,
  TARGET_LOG_ENTRIES,
} from './emit-region.ts';
import { type CodeSource, discoverRegion, type Region, type RegionInsn, type RegionLimits } from './region.ts';

export interface TranslatorOptions {
  readonly memory: WebAssembly.Memory;
  /** Offset of the vCPU's private area. */
  readonly cpu: number;
  readonly decoder: Decoder;
  readonly blocks: BlockCache;
  /** Functions of REGION_IMPORTS. */
  readonly helpers: WebAssembly.ModuleImports;
  readonly handlers: WebAssembly.Table;
  readonly regions: WebAssembly.Table;
  /** Milliseconds, for statistics. */
  readonly now: () => number;
}

export interface TranslatorStats {
  built: number;
  /** Translated again because they are hot. */
  rebuilt: number;
  dropped: number;
  /** Bytes of WebAssembly. */
  bytes: number;
  /** Guest instructions in regions, as often as they were translated. */
  instructions: number;
  /** Spent on translation, and the part of it that went to WebAssembly's compiler. */
  milliseconds: number;
  compileMilliseconds: number;
}

/** Slices that end at a block before it is translated. */
const THRESHOLD = 3;
/** Regions that exist at once; beyond, all are dropped and the hot ones come back. */
const MAX_REGIONS = 8192;
const LIMITS: RegionLimits = { instructions: 120, pages: 4 };
/** Slices that end in a region before it is translated again; every time eight times as many. */
const HOT_THRESHOLD = 32;
const MORE = 8;
/** How large it may become then. */
const HOT_LIMITS: RegionLimits = { instructions: 400, pages: 8 };
/** Farthest target of an indirect jump from the region's page, in bytes. */
const MAX_DISTANCE = 0x1000_0000;
/** Most targets of an indirect jump that a region holds. */
const MAX_TARGETS = 24;

/** Where an indirect jump has gone: notes of the code, by offset in linear memory, and what has been read of them. */
interface TargetLog {
  readonly at: number;
  readonly counts: Map<bigint, number>;
}

/** A region that can be entered. */
interface LiveRegion {
  readonly host: number;
  /** Linear address of the page that it was translated for. */
  readonly base: bigint;
  samples: number;
  /** Samples at which it is translated again. */
  next: number;
}

export class Translator {
  readonly #options: TranslatorOptions;
  readonly #words: Int32Array;
  readonly #longs: BigUint64Array;
  readonly #bytes: Uint8Array;
  readonly #imports: WebAssembly.Imports;
  /** How often slices ended at a block, by its offset in linear memory. */
  readonly #samples = new Map<number, number>();
  /** By number. */
  readonly #live: (LiveRegion | undefined)[] = [];
  /** Logs of indirect jumps, by the offset in linear memory of the instruction. */
  readonly #logs = new Map<number, TargetLog>();
  #free: number[] = [];
  #next = 0;
  readonly stats: TranslatorStats = {
    built: 0,
    rebuilt: 0,
    dropped: 0,
    bytes: 0,
    instructions: 0,
    milliseconds: 0,
    compileMilliseconds: 0,
  };

  constructor(options: TranslatorOptions) {
    this.#options = options;
    const { buffer } = options.memory;
    this.#words = new Int32Array(buffer, options.cpu);
    this.#longs = new BigUint64Array(buffer);
    this.#bytes = new Uint8Array(buffer);
    const { memory, handlers, regions } = options;
    const env: WebAssembly.ModuleImports = { memory, handlers, regions };
    for (const name of Object.keys(REGION_IMPORTS)) env[name] = options.helpers[name] as WebAssembly.ImportValue;
    this.#imports = { env };
  }

  /** A slice has ended at RIP. */
  sample(): void {
    const host = this.#hostOfRip();
    if (host === 0) return;
    const count = (this.#samples.get(host) ?? 0) + 1;
    if (count < THRESHOLD) {
      this.#samples.set(host, count);
      return;
    }
    this.#samples.delete(host);
    this.#build(host, this.#pageOfRip(), LIMITS);
  }

  /** A slice has ended in a translated region. */
  sampleRegion(): void {
    const record = this.#words[REGION_RECORD >> 2] as number;
    const index = this.#words[(record - this.#options.cpu + R_IMMEDIATE) >> 2] as number;
    const region = this.#live[index];
    if (region === undefined) return;
    region.samples++;
    if (region.samples < region.next) return;
    region.next *= MORE;
    this.#rebuild(index, region);
  }

  /** All code is gone: so are the logs. */
  flushed(): void {
    this.#logs.clear();
  }

  /** Translates the block at RIP now, whatever the profile says. False when it has a region or cannot be translated. */
  translateHere(limits: RegionLimits = LIMITS): boolean {
    const host = this.#hostOfRip();
    return host !== 0 && this.#build(host, this.#pageOfRip(), limits);
  }

  /** Offset in linear memory of the instruction at RIP, when it starts a decoded block of 64-bit code; else 0. */
  #hostOfRip(): number {
    const { blocks } = this.#options;
    if (this.#words[CODE_SIZE >> 2] !== 64 || (blocks.mode & MODE_SINGLE) !== 0) return 0;
    const low = this.#words[RIP >> 2] as number;
    const page = this.#hostPage(low & ~0xfff, this.#words[(RIP >> 2) + 1] as number);
    if (page === 0) return 0;
    const host = page + (low & 0xfff);
    return blocks.canTranslate(host) ? host : 0;
  }

  /** Where a page of code lies in linear memory, as far as the TLB knows. */
  #hostPage(low: number, high: number): number {
    const entry = (this.#words[TLB_BASE >> 2] as number) + ((low >>> 7) & 0x7fe0);
    const tag = (BigInt(high >>> 0) << 32n) | BigInt((low | (this.#words[TLB_TAG >> 2] as number)) >>> 0);
    if (this.#longs[(entry + TLB_EXECUTE) >> 3] !== tag) return 0;
    return (low + (this.#words[(entry + TLB_ADDEND - this.#options.cpu) >> 2] as number)) >>> 0;
  }

  /** The page of RIP in linear address space. */
  #pageOfRip(): bigint {
    const low = this.#words[RIP >> 2] as number;
    return (BigInt((this.#words[(RIP >> 2) + 1] as number) >>> 0) << 32n) | BigInt((low & ~0xfff) >>> 0);
  }

  /** Translates from the block at `host`, whose page is at `base`. False when nothing there can be translated. */
  #build(host: number, base: bigint, limits: RegionLimits): boolean {
    const started = this.#options.now();
    const region = this.#discover(host, base, limits);
    if (region === undefined) {
      this.#options.blocks.refuseTranslation(host);
      return false;
    }
    const { blocks, regions } = this.#options;
    const index = this.#free.pop() ?? this.#next++;
    if (index >= regions.length) regions.grow(1024);
    regions.set(index, this.#compile(region));
    blocks.installRegion(host, index, extents(region));
    this.#live[index] = { host, base, samples: 0, next: HOT_THRESHOLD };
    this.stats.built++;
    this.stats.milliseconds += this.#options.now() - started;
    return true;
  }

  /** Translates a region again, larger and with what has been learned about its indirect jumps. */
  #rebuild(index: number, { host, base }: LiveRegion): void {
    const started = this.#options.now();
    const region = this.#discover(host, base, HOT_LIMITS);
    if (region !== undefined) {
      this.#options.regions.set(index, this.#compile(region));
      this.#options.blocks.extendRegion(host, extents(region));
      this.stats.rebuilt++;
    }
    this.stats.milliseconds += this.#options.now() - started;
  }

  #discover(host: number, base: bigint, limits: RegionLimits): Region | undefined {
    const { blocks, decoder } = this.#options;
    const source: CodeSource = {
      bytes: this.#bytes,
      decoder,
      hostPage: (index) => {
        const page = BigInt.asUintN(64, base + BigInt(index) * 4096n);
        return this.#hostPage(Number(page & 0xffff_ffffn) | 0, Number(page >> 32n) | 0);
      },
      isKnown: (at) => blocks.isKnown(at),
      isUnavailable: (decoded) => blocks.isUnavailable(decoded.row),
      learned: (at) => this.#learned(at, base),
    };
    return discoverRegion(source, host & 0xfff, limits);
  }

  /** The targets in the log of the indirect jump at `host`, as deltas from the page at `base`, the most frequent first. */
  #learned(host: number, base: bigint): number[] {
    const log = this.#logs.get(host);
    if (log === undefined) return [];
    const counter = (log.at - this.#options.cpu) >> 2;
    const noted = Math.min(this.#words[counter] as number, TARGET_LOG_ENTRIES + 1);
    this.#words[counter] = 0;
    for (let i = 0; i < noted; i++) {
      const rip = this.#longs[(log.at >> 3) + 1 + i] as bigint;
      log.counts.set(rip, (log.counts.get(rip) ?? 0) + 1);
    }
    return [...log.counts]
      .sort((x, y) => y[1] - x[1])
      .slice(0, MAX_TARGETS)
      .map(([rip]) => Number(BigInt.asIntN(64, rip - base)))
      .filter((delta) => Math.abs(delta) < MAX_DISTANCE);
  }

  #compile(region: Region): unknown {
    const { blocks } = this.#options;
    const bytes = buildRegionModule(region, {
      handlerOf: (insn) => this.#handlerOf(insn),
      targetLogOf: (insn) => {
        const host = (region.pages.get(insn.delta >> 12) as number) + (insn.delta & 0xfff);
        let log = this.#logs.get(host);
        if (log === undefined) {
          log = { at: blocks.reserve(TARGET_LOG_BYTES), counts: new Map() };
          this.#logs.set(host, log);
        }
        return log.at;
      },
    });
    const compiling = this.#options.now();
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), this.#imports);
    this.stats.compileMilliseconds += this.#options.now() - compiling;
    this.stats.bytes += bytes.length;
    this.stats.instructions += region.instructions;
    return instance.exports['r'];
  }

  #handlerOf(insn: RegionInsn): CalledHandler {
    return this.#options.blocks.recordFor(insn.decoded, insn.delta & 0xfff);
  }

  /** The number of a region is free again: its code will not be entered any more. */
  drop(index: number): void {
    this.#live[index] = undefined;
    this.#free.push(index);
    this.stats.dropped++;
  }

  /** Too many regions: the caller drops all code between two slices. */
  get isFull(): boolean {
    return this.#next - this.#free.length > MAX_REGIONS;
  }

  get live(): number {
    return this.#next - this.#free.length;
  }
}

/** The bytes of a region's instructions, page by page in linear memory: [first, end). */
function extents(region: Region): { readonly from: number; readonly to: number }[] {
  const list: { from: number; to: number }[] = [];
  const add = (delta: number, bytes: number): void => {
    const from = (region.pages.get(delta >> 12) as number) + (delta & 0xfff);
    const last = list.at(-1);
    if (last !== undefined && last.to === from && (from & 0xfff) !== 0) last.to = from + bytes;
    else list.push({ from, to: from + bytes });
  };
  for (const { insns } of region.blocks.values()) {
    for (const { delta, decoded } of insns) {
      const rest = 4096 - (delta & 0xfff);
      add(delta, Math.min(decoded.length, rest));
      if (decoded.length > rest) add(delta + rest, decoded.length - rest);
    }
  }
  return list;
}
