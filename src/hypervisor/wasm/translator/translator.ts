/**
 * Decides what is translated, and keeps the regions of one vCPU.
 *
 * The profile costs the interpreter nothing: whenever a slice of instructions ends, the block at RIP is noted. A block that is
 * met in several slices has taken tens of thousands of instructions, and gets a region; so does one that regions are often left to. Translating is a compiler's business
 * (compile-region.ts), which may be a thread of its own: the guest goes on meanwhile.
 *
 * @module
 */
import type { RegionFunction } from '../check/checked-region.ts';
import type { RegionStats } from '../../stats.ts';
import type { RegionChecker } from '../check/region-checker.ts';
import type { Decoder } from '../decode/decoder.ts';
import type { BlockCache } from '../interpreter/block-cache.ts';
import { R_IMMEDIATE } from '../interpreter/record.ts';
import { LIVE_REGIONS, MODE_SINGLE, TLB_ADDEND, TLB_EXECUTE } from '../mmu/layout.ts';
import { CODE_SIZE, CR3, REGION_RECORD, RIP, TLB_BASE, TLB_TAG } from '../state.ts';
import type { NotedTargets, RegionCompiler, TranslatedBatch, TranslatedRegion } from './compile-region.ts';
import type { TranslatorTrace } from './translator-trace.ts';
import { type CodePlace, Profile } from './profile.ts';
import { MAX_BATCH } from './region-module.ts';
import { REGION_IMPORTS, TARGET_LOG_BYTES, TARGET_LOG_ENTRIES } from './region-imports.ts';
import type { RegionLimits } from './region.ts';

export interface TranslatorOptions {
  readonly memory: WebAssembly.Memory;
  /** Offset of the vCPU's private area. */
  readonly cpu: number;
  readonly decoder: Decoder;
  readonly blocks: BlockCache;
  /** Undefined: nothing is translated. */
  readonly compiler: RegionCompiler | undefined;
  /** Offset in linear memory of code at a linear address by the page tables, or 0; raises nothing. */
  readonly fetch: (low: number, high: number) => number;
  /** Functions of REGION_IMPORTS. */
  readonly helpers: WebAssembly.ModuleImports;
  readonly handlers: WebAssembly.Table;
  readonly regions: WebAssembly.Table;
  /** Translates what is met once, and again as hot code soon. */
  readonly eager: boolean;
  /** Stands between the main loop and regions while these are checked. */
  readonly checker: RegionChecker | undefined;
  readonly trace?: TranslatorTrace | undefined;
}

export interface TranslatorStats {
  built: number;
  /** Translated again because they are hot. */
  rebuilt: number;
  dropped: number;
  /** Requests whose code had changed when the region came. */
  stale: number;
  /** Bytes of WebAssembly. */
  bytes: number;
  /** Guest instructions in regions, as often as they were translated. */
  instructions: number;
  /** Spent on translation, and the part of it that went to WebAssembly's compiler. */
  milliseconds: number;
  compileMilliseconds: number;
}

/** Regions that exist at once; beyond, all are dropped and the hot ones come back. */
const MAX_REGIONS = 8192;
/** Requests under way at once: those that are carried out together, and as many behind them, so that the compiler never waits. */
const MAX_PENDING = 2 * MAX_BATCH;
export const LIMITS: RegionLimits = { instructions: 120, pages: 12 };
/** Slices that end in a region before it is translated again; every time eight times as many. */
const HOT_THRESHOLD = 32;
const EAGER_HOT_THRESHOLD = 3;
const MORE = 8;
/** How large it may become then. */
export const HOT_LIMITS: RegionLimits = { instructions: 400, pages: 32 };

/** A region that can be entered, and where it was translated for. */
interface LiveRegion extends Omit<CodePlace, 'cr3'> {
  shape: string;
  blocks: readonly number[];
  samples: number;
  /** Samples at which it is translated again. */
  next: number;
}

interface Pending extends CodePlace {
  readonly isHot: boolean;
  /** The region to be replaced. */
  readonly replaces: { readonly index: number; readonly region: LiveRegion } | undefined;
}

/** A region that has come and is to be put in place. */
interface WantedRegion {
  readonly pending: Pending;
  readonly translated: TranslatedRegion;
}

export class Translator {
  readonly #options: TranslatorOptions;
  readonly #words: Int32Array;
  readonly #longs: BigUint64Array;
  readonly #bytes: Uint8Array;
  readonly #env: WebAssembly.ModuleImports;
  readonly #profile: Profile;
  /** By number. */
  readonly #live: (LiveRegion | undefined)[] = [];
  /** Logs that indirect jumps write, by the offset in linear memory of the instruction. */
  readonly #logs = new Map<number, number>();
  /** The compiler does not know yet that all code is gone. */
  #forgets = false;
  readonly #pending = new Map<number, Pending>();
  /** Numbers of regions that are hot, and the page tables that they were last met under. */
  readonly #hot = new Map<number, bigint>();
  /** Places that are being translated. */
  readonly #asked = new Set<number>();
  #free: number[] = [];
  #next = 0;
  #lastId = 0;
  readonly stats: TranslatorStats = {
    built: 0,
    rebuilt: 0,
    dropped: 0,
    stale: 0,
    bytes: 0,
    instructions: 0,
    milliseconds: 0,
    compileMilliseconds: 0,
  };

  constructor(options: TranslatorOptions) {
    this.#options = options;
    this.#profile = new Profile(options.eager);
    const { buffer } = options.memory;
    this.#words = new Int32Array(buffer, options.cpu);
    this.#longs = new BigUint64Array(buffer);
    this.#bytes = new Uint8Array(buffer);
    const { memory, handlers, regions } = options;
    this.#env = { memory, handlers, regions };
    for (const name of Object.keys(REGION_IMPORTS)) this.#env[name] = options.helpers[name] as WebAssembly.ImportValue;
  }

  /** A slice has ended at RIP. */
  sample(): void {
    if (this.#options.compiler === undefined) return;
    const host = this.#hostOfRip();
    const { blocks } = this.#options;
    const region = blocks.regionAt(host, blocks.mode);
    if (region >= 0) this.#sampleRegion(region, 1);
    if (this.#asked.has(host) || !blocks.canTranslate(host, blocks.mode)) return;
    this.#profile.met(host, () => this.#placeOfRip(host));
    this.#askNext();
  }

  /** Regions have often been left to the block at RIP. */
  noteExits(): void {
    if (this.#options.compiler === undefined) return;
    const host = this.#hostOfRip();
    const { blocks } = this.#options;
    if (this.#asked.has(host) || !blocks.canTranslate(host, blocks.mode)) return;
    this.#profile.leftTo(host, () => this.#placeOfRip(host));
    this.#askNext();
  }

  /** A slice has ended in a translated region; `times`: how often it would have, were it as short as most. */
  sampleRegion(times: number): void {
    const record = this.#words[REGION_RECORD >> 2] as number;
    this.#sampleRegion(this.#words[(record - this.#options.cpu + R_IMMEDIATE) >> 2] as number, times);
  }

  #sampleRegion(index: number, times: number): void {
    const region = this.#live[index];
    if (region === undefined) return;
    region.samples += times;
    if (region.samples < region.next) return;
    this.#hot.set(index, this.#longs[(this.#options.cpu + CR3) >> 3] as bigint);
    this.#askNext();
  }

  /** The block at RIP has a region, or cannot have one. */
  get isSettled(): boolean {
    const { blocks } = this.#options;
    return !blocks.canTranslate(this.#hostOfRip(), blocks.mode);
  }

  /**
   * Translates the block at RIP now, as code that is hot or not, whatever the profile says. False when it has a region or cannot be
   * translated.
   */
  translateHere(limits: RegionLimits = LIMITS, isHot = false): boolean {
    const host = this.#hostOfRip();
    if (!this.#options.blocks.canTranslate(host, this.#options.blocks.mode)) return false;
    const { built } = this.stats;
    this.#ask({ ...this.#placeOfRip(host), isHot, replaces: undefined }, limits);
    this.poll();
    return this.stats.built > built;
  }

  /** Puts regions in place that have been translated meanwhile. Not while guest code runs. */
  poll(): void {
    const { compiler } = this.#options;
    if (this.#pending.size === 0 || compiler === undefined) return;
    for (let found = compiler.poll(); found !== undefined; found = compiler.poll()) {
      this.#take(found);
    }
    this.#askNext();
  }

  /** All code is gone: so are the logs, and what is being translated is of no use. */
  flushed(): void {
    this.#logs.clear();
    this.#forgets = true;
    this.#pending.clear();
    this.#asked.clear();
    this.#hot.clear();
    this.#profile.flushed();
  }

  /** Offset in linear memory of the instruction at RIP in 64-bit code, as far as the TLB knows; else 0. */
  #hostOfRip(): number {
    const { blocks } = this.#options;
    if (this.#words[CODE_SIZE >> 2] !== 64 || (blocks.mode & MODE_SINGLE) !== 0) return 0;
    const low = this.#words[RIP >> 2] as number;
    const high = this.#words[(RIP >> 2) + 1] as number;
    // The jump cache runs code that the TLB has forgotten, because data lies in the same place.
    const page = this.#hostPage(low & ~0xfff, high) || this.#options.fetch(low & ~0xfff, high);
    if (page === 0) return 0;
    return page + (low & 0xfff);
  }

  /** Where a page of code lies in linear memory, as far as the TLB knows; else 0. */
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

  /** The block at RIP, which is at `host`. */
  #placeOfRip(host: number): CodePlace {
    const cr3 = this.#longs[(this.#options.cpu + CR3) >> 3] as bigint;
    return { host, mode: this.#options.blocks.mode, base: this.#pageOfRip(), cr3 };
  }

  /** Asks for what is wanted most, as long as the compiler has nothing to do. Code without a region comes first. */
  #askNext(): void {
    const { blocks } = this.#options;
    while (this.#pending.size < MAX_PENDING) {
      const place = this.#profile.next(({ host, mode }) => !this.#asked.has(host) && blocks.canTranslate(host, mode));
      if (place !== undefined) {
        this.#ask({ ...place, isHot: false, replaces: undefined }, LIMITS);
        continue;
      }
      if (this.#pending.size > 0 || !this.#askHottest()) return;
    }
  }

  /** Asks for the hottest region anew, with more code. False when none is hot. */
  #askHottest(): boolean {
    let hottest: { readonly index: number; readonly region: LiveRegion; readonly cr3: bigint } | undefined;
    for (const [index, cr3] of this.#hot) {
      const region = this.#live[index];
      if (region === undefined) this.#hot.delete(index);
      else if (hottest === undefined || region.samples > hottest.region.samples) hottest = { index, region, cr3 };
    }
    if (hottest === undefined) return false;
    const { index, region, cr3 } = hottest;
    this.#hot.delete(index);
    region.next *= MORE;
    const { host, mode, base } = region;
    this.#ask({ host, mode, base, cr3, isHot: true, replaces: { index, region } }, HOT_LIMITS);
    return true;
  }

  #ask(pending: Pending, limits: RegionLimits): void {
    const { host, mode, base, cr3, isHot } = pending;
    const id = ++this.#lastId;
    this.#pending.set(id, pending);
    this.#asked.add(host);
    this.#options.compiler?.request({
      id,
      base,
      page: host - (host & 0xfff),
      entry: host & 0xfff,
      mode,
      cr3,
      targets: this.#notedTargets(),
      forgets: this.#forgets,
      limits,
      isHot,
    });
    this.#forgets = false;
  }

  /** What indirect jumps have noted since the last request. */
  #notedTargets(): NotedTargets[] {
    const found: NotedTargets[] = [];
    for (const [at, log] of this.#logs) {
      const counter = (log - this.#options.cpu) >> 2;
      const noted = this.#words[counter] as number;
      if (noted === 0) continue;
      this.#words[counter] = 0;
      const first = (log >> 3) + 1;
      found.push({ at, rips: this.#longs.slice(first, first + Math.min(noted >>> 0, TARGET_LOG_ENTRIES + 1)) });
    }
    return found;
  }

  #take(batch: TranslatedBatch): void {
    const { stats } = this;
    const { module, regions, compileMilliseconds } = batch;
    const { blocks, trace } = this.#options;
    stats.milliseconds += compileMilliseconds;
    stats.compileMilliseconds += compileMilliseconds;
    const wanted: WantedRegion[] = [];
    for (const translated of regions) {
      stats.milliseconds += translated.milliseconds;
      const pending = this.#pending.get(translated.id);
      trace?.translated(translated, pending);
      if (pending !== undefined && this.#isWanted(pending, translated)) wanted.push({ pending, translated });
    }
    trace?.compiled(batch);
    if (wanted.length === 0 || module === undefined) return;
    const from = trace?.now() ?? 0;
    // What belongs to regions that are not wanted is never looked at.
    const env: WebAssembly.ModuleImports = { ...this.#env };
    for (const { handlers, logs } of regions) {
      for (const { handler, record } of handlers) env[handler] = env[record] = 0;
      for (const { name } of logs) env[name] = 0;
    }
    const placed: WantedRegion[] = [];
    for (const region of wanted) {
      if (!blocks.hasRoomForRegion) break;
      this.#bind(region.translated, env);
      placed.push(region);
    }
    const { exports } = new WebAssembly.Instance(module, { env });
    for (const { pending, translated } of placed) {
      this.#install(pending, translated, exports[translated.name as string] as unknown as RegionFunction);
      trace?.installed(translated, pending, from);
      stats.bytes += translated.bytes;
      stats.instructions += translated.instructions;
      if (pending.replaces === undefined) stats.built++;
      else stats.rebuilt++;
    }
  }

  /** A region has come that was asked for: whether it can be entered, and is better than what is there. */
  #isWanted(pending: Pending, translated: TranslatedRegion): boolean {
    const { blocks } = this.#options;
    this.#pending.delete(translated.id);
    this.#asked.delete(pending.host);
    const { host, mode, replaces } = pending;
    const isWanted =
      replaces === undefined ? blocks.canTranslate(host, mode) : this.#live[replaces.index] === replaces.region;
    if (!isWanted || !blocks.hasRoomForRegion) return false;
    if (translated.name === undefined) {
      if (replaces === undefined) blocks.refuseTranslation(host, mode);
      return false;
    }
    if (!this.#isCurrent(translated)) {
      this.stats.stale++;
      return false;
    }
    return replaces === undefined || replaces.region.shape !== translated.shape;
  }

  /** The guest's code is still what was translated. */
  #isCurrent({ extents, code }: TranslatedRegion): boolean {
    let at = 0;
    for (const { from, to } of extents) {
      for (let host = from; host < to; host++) if (this.#bytes[host] !== code[at++]) return false;
    }
    return true;
  }

  /** Gives a region's module what belongs to this vCPU. */
  #bind({ handlers, logs }: TranslatedRegion, env: WebAssembly.ModuleImports): void {
    for (const { at, handler, record } of handlers) {
      const found = this.#recordFor(at);
      env[handler] = found.index;
      env[record] = found.record;
    }
    for (const { at, name } of logs) env[name] = this.#logOf(at);
  }

  #install(pending: Pending, translated: TranslatedRegion, run: RegionFunction): void {
    const { blocks, regions, checker, eager } = this.#options;
    const { host, mode, base, replaces } = pending;
    const index = replaces?.index ?? this.#free.pop() ?? this.#next++;
    if (index >= regions.length) regions.grow(1024);
    regions.set(index, checker?.wrap(index, run, { ...translated, host }) ?? run);
    if (replaces !== undefined) {
      this.#profile.cover(replaces.region.blocks, -1);
      this.#profile.cover(translated.blocks, 1);
      replaces.region.shape = translated.shape;
      replaces.region.blocks = translated.blocks;
      blocks.extendRegion(host, mode, translated.extents);
      return;
    }
    blocks.installRegion(host, mode, index, translated.extents);
    const { shape, blocks: starts } = translated;
    this.#profile.cover(starts, 1);
    const next = eager ? EAGER_HOT_THRESHOLD : HOT_THRESHOLD;
    this.#live[index] = { host, mode, base, shape, blocks: starts, samples: 0, next };
    this.#words[LIVE_REGIONS >> 2] = this.live;
  }

  #recordFor(host: number): { readonly index: number; readonly record: number } {
    const { blocks, decoder } = this.#options;
    const decoded = decoder.decode(this.#bytes, host, host - (host & 0xfff) + 4096, 64);
    if (typeof decoded === 'string') throw new Error(`the instruction at ${host} does not decode: ${decoded}`);
    return blocks.recordFor(decoded, host & 0xfff);
  }

  #logOf(host: number): number {
    let log = this.#logs.get(host);
    if (log === undefined) {
      log = this.#options.blocks.reserve(TARGET_LOG_BYTES);
      this.#logs.set(host, log);
    }
    return log;
  }

  /** The number of a region is free again: its code will not be entered any more. */
  drop(index: number): void {
    const region = this.#live[index];
    this.#profile.cover(region?.blocks ?? [], -1);
    this.#live[index] = undefined;
    this.#free.push(index);
    this.stats.dropped++;
    this.#words[LIVE_REGIONS >> 2] = this.live;
    if (region !== undefined) this.#options.trace?.dropped(region);
  }

  /** Too many regions: the caller drops all code between two slices. */
  get isFull(): boolean {
    return this.live > MAX_REGIONS;
  }

  /** What `--stats` tells of regions, but for how often they were called. */
  totals(): Omit<RegionStats, 'calls'> {
    const { milliseconds, compileMilliseconds, ...counts } = this.stats;
    const { live } = this;
    return { live, ...counts, translationSeconds: milliseconds / 1000, compileSeconds: compileMilliseconds / 1000 };
  }

  get live(): number {
    return this.#next - this.#free.length;
  }
}
