/**
 * The TLB and jump cache of a vCPU from the JavaScript side: tags, flushes, what changes with the execution mode.
 *
 * A flush of an address space gives it a new tag number instead of clearing an array; all arrays are cleared once the 4095
 * numbers are used up.
 *
 * @module
 */
import { CR3, CR4, STATE_BYTES } from '../state.ts';
import {
  CODE_PAGES,
  CODE_PAGES_BYTES,
  FETCH_EPOCH,
  FETCH_GENERATION,
  JUMP_CACHE,
  JUMP_CACHE_ENTRIES,
  LARGE_REGIONS,
  MODE_FORCED,
  MODE_SINGLE,
  MODE_WATCHING,
  NOT_GLOBAL_CODE,
  NOT_GLOBAL_COUNT,
  NOT_GLOBAL_LIST,
  NOT_GLOBAL_MAX,
  PCID_TAGS,
  TAG_NEXT,
  TAG_SUPERVISOR,
  TAG_USER,
  TLB,
  TLB_ARRAY_BYTES,
  TLB_ENTRIES,
  TLB_ENTRY_BYTES,
  TLB_EXECUTE,
  TLB_WRITE,
  tlbArray,
} from './layout.ts';

const MAX_TAG = 4095;
const ARRAYS = 4;
const CR4_PCIDE = 1 << 17;
/** Jump-cache generations fit into the top 10 bits of FETCH_TAG. */
const MAX_GENERATION = 0x3ff;

export class Tlb {
  readonly #cpu: number;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  /** Tags of TLB entries, to compare with zero and to clear: as numbers, for a bigint costs an allocation. */
  readonly #tags: Float64Array;
  readonly #regions: Uint32Array;
  readonly #pcidTags: Uint16Array;
  readonly #entries: Uint32Array;
  #lastCr3Low = 0;
  #lastCr3High = 0;
  /** CODE_PAGES, and CODE_PAGES_ALL behind it. */
  readonly #codePages: Uint8Array;
  readonly #forced: Int32Array;
  readonly #epoch: Uint32Array;
  readonly #select: () => void;
  /** For statistics. */
  flushes = 0;

  /** `cpu`: offset of the vCPU's private area. `select`: the core module's selectMode (mode.ts). */
  constructor(buffer: ArrayBufferLike, cpu: number, select: () => void) {
    this.#cpu = cpu;
    this.#select = select;
    this.#codePages = new Uint8Array(buffer, cpu + CODE_PAGES, CODE_PAGES_BYTES + 1);
    this.#epoch = new Uint32Array(buffer, cpu + FETCH_EPOCH, 1);
    this.#forced = new Int32Array(buffer, cpu + MODE_FORCED, 1);
    this.#bytes = new Uint8Array(buffer);
    this.#words = new Int32Array(buffer, cpu, STATE_BYTES / 4);
    this.#tags = new Float64Array(buffer);
    this.#regions = new Uint32Array(buffer, cpu + LARGE_REGIONS, 8);
    this.#entries = new Uint32Array(buffer, cpu + NOT_GLOBAL_LIST, NOT_GLOBAL_MAX);
    this.#pcidTags = new Uint16Array(buffer, cpu + PCID_TAGS, 4096);
  }

  /** True while single instructions are run: blocks of their own. */
  set single(single: boolean) {
    this.#force(MODE_SINGLE, single);
  }

  /** True while every data access must be seen (data breakpoints). */
  get watching(): boolean {
    return ((this.#forced[0] as number) & MODE_WATCHING) !== 0;
  }
  set watching(watching: boolean) {
    this.#force(MODE_WATCHING, watching);
  }

  #force(bit: number, set: boolean): void {
    this.#forced[0] = set ? (this.#forced[0] as number) | bit : (this.#forced[0] as number) & ~bit;
  }

  /** Empties everything and gives out first tags. */
  reset(): void {
    const at = this.#cpu + TLB;
    this.#bytes.fill(0, at, at + ARRAYS * TLB_ARRAY_BYTES);
    this.#clearJumps();
    this.#bytes.fill(0, this.#cpu + LARGE_REGIONS, this.#cpu + LARGE_REGIONS + 32);
    this.#pcidTags.fill(0);
    this.#set(TAG_NEXT, 2);
    this.#set(TAG_SUPERVISOR, 1);
    this.#set(TAG_USER, 0);
    this.#set(NOT_GLOBAL_COUNT, 0);
    this.#set(FETCH_GENERATION, 0);
    this.flushes++;
  }

  #get(field: number): number {
    return this.#words[field >> 2] as number;
  }

  #set(field: number, value: number): void {
    this.#words[field >> 2] = value;
  }

  /** A number that no valid entry carries. */
  #newTag(): number {
    const next = this.#get(TAG_NEXT);
    // Zero: the state record has just been cleared.
    if (next === 0 || next > MAX_TAG) this.reset();
    const tag = this.#get(TAG_NEXT);
    this.#set(TAG_NEXT, tag + 1);
    return tag;
  }

  #currentPcid(): number {
    return (this.#get(CR4) & CR4_PCIDE) !== 0 ? this.#get(CR3) & 0xfff : 0;
  }

  /** Every translation of every address space, global ones too. */
  flushAll(): void {
    this.#pcidTags.fill(0);
    this.#set(TAG_SUPERVISOR, this.#newTag());
    this.#set(NOT_GLOBAL_COUNT, 0);
    this.#clearLargeRegions();
    this.modeChanged();
  }

  #clearLargeRegions(): void {
    this.#bytes.fill(0, this.#cpu + LARGE_REGIONS, this.#cpu + LARGE_REGIONS + 32);
  }

  /** One address space; global translations may stay. */
  flushAddressSpace(pcid: number): void {
    this.#pcidTags[pcid] = 0;
    this.#dropNotGlobal();
    this.modeChanged();
  }

  /**
   * Takes the pages that are not global out of the supervisor array. There are few: Linux maps its own memory globally.
   */
  #dropNotGlobal(): void {
    if (this.#get(NOT_GLOBAL_CODE) !== 0) {
      this.#set(NOT_GLOBAL_CODE, 0);
      this.#nextGeneration();
    }
    const count = this.#get(NOT_GLOBAL_COUNT);
    if (count === 0) return;
    this.#set(NOT_GLOBAL_COUNT, 0);
    if (count > NOT_GLOBAL_MAX) {
      this.#set(TAG_SUPERVISOR, this.#newTag());
      return;
    }
    for (let i = 0; i < count; i++) {
      const entry = (this.#entries[i] as number) >> 3;
      this.#tags[entry] = 0;
      this.#tags[entry + TLB_WRITE / 8] = 0;
      this.#tags[entry + TLB_EXECUTE / 8] = 0;
    }
  }

  flushNonGlobal(): void {
    this.#pcidTags.fill(0);
    this.flushAddressSpace(0);
  }

  #isInLargeRegion(low: number, high: number): boolean {
    const regions = this.#regions;
    const at = high < 0 || high > 0x7fff_ffff ? 4 : 0;
    const maskLow = regions[at + 2] as number;
    const maskHigh = regions[at + 3] as number;
    if ((maskLow | maskHigh) === 0) return false;
    return (low & maskLow) >>> 0 === regions[at] && (high & maskHigh) >>> 0 === regions[at + 1];
  }

  /** One page in the current address space, and its global translation. */
  invalidatePage(low: number, high: number): void {
    if (this.#isInLargeRegion(low, high)) {
      this.flushAll();
      return;
    }
    const slot = ((low >>> 12) & (TLB_ENTRIES - 1)) * TLB_ENTRY_BYTES;
    for (let index = 0; index < 3; index++) {
      const entry = (this.#cpu + tlbArray(index) + slot) >> 3;
      this.#tags[entry] = 0;
      this.#tags[entry + 1] = 0;
      this.#tags[entry + 2] = 0;
    }
    const page = (low >>> 12) | (high << 20);
    const hash = (page ^ (page >>> 12)) & (CODE_PAGES_BYTES - 1);
    if ((this.#codePages[hash] as number) + (this.#codePages[CODE_PAGES_BYTES] as number) > 0) this.invalidateJumps();
  }

  invalidatePageIn(pcid: number, low: number, high: number): void {
    if (pcid === this.#currentPcid()) this.invalidatePage(low, high);
    else this.#pcidTags[pcid] = 0;
  }

  /** Makes every jump-cache entry invalid. */
  invalidateJumps(): void {
    this.#nextGeneration();
    this.modeChanged();
  }

  /** Before numbers that FETCH_TAG is made of are used again. */
  #clearJumps(): void {
    this.#bytes.fill(0, this.#cpu + JUMP_CACHE, this.#cpu + JUMP_CACHE + JUMP_CACHE_ENTRIES * 16);
    this.#epoch[0] = (this.#epoch[0] as number) + 1;
  }

  #nextGeneration(): void {
    this.#codePages.fill(0);
    const generation = this.#get(FETCH_GENERATION);
    if (generation === MAX_GENERATION) {
      this.#clearJumps();
      this.#set(FETCH_GENERATION, 0);
    } else this.#set(FETCH_GENERATION, generation + 1);
  }

  /** After a change of CPL, RFLAGS, CR0, CR3, CR4 or the code size: the current tags, and what mode.ts makes of them. */
  modeChanged(): void {
    const cr3Low = this.#get(CR3);
    const cr3High = this.#get(CR3 + 4);
    if (cr3Low !== this.#lastCr3Low || cr3High !== this.#lastCr3High) {
      this.#lastCr3Low = cr3Low;
      this.#lastCr3High = cr3High;
      this.#dropNotGlobal();
    }
    const pcid = this.#currentPcid();
    let userTag = this.#pcidTags[pcid] as number;
    if (userTag === 0) {
      userTag = this.#newTag();
      this.#pcidTags[pcid] = userTag;
    }
    this.#set(TAG_USER, userTag);
    this.#select();
  }
}
