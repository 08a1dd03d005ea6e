/**
 * Which pages of RAM guest code writes, and what was in them before: for an interpreter that notes writes (mmu/slow.ts).
 *
 * No TLB entry allows writes when recording begins, so that the first store into each page is seen. An entry that is made for a read
 * may allow them as well: a page in the log need not have been written.
 *
 * @module
 */
import { RAM_OFFSET, TLB_ARRAY_BYTES, TLB_ENTRY_BYTES, TLB_NEVER, TLB_WRITE, tlbArray } from '../mmu/layout.ts';

const PAGE_BYTES = 4096;
const PAGE_WORDS = PAGE_BYTES / 4;
/** Entries to be emptied one by one; more are emptied with all the others. */
const MAX_ENTRIES = 1024;

/** Contents of a page. */
export type PageCopy = Int32Array<ArrayBuffer>;

/** A page-table entry in which the page walk has set flags. */
interface Mark {
  /** Index of the word in linear memory. */
  readonly word: number;
  readonly bits: number;
}

export class WriteLog {
  readonly #cpu: number;
  readonly #words: Int32Array;
  readonly #ram: number;
  /** Tags of TLB entries. */
  readonly #tags: Float64Array;
  readonly #entries = new Uint32Array(MAX_ENTRIES);
  #entryCount = 0;
  readonly #pages = new Map<number, PageCopy>();
  #marks: Mark[] = [];
  #free: PageCopy[] = [];
  #isRecording = false;

  constructor(buffer: ArrayBufferLike, cpu: number) {
    this.#cpu = cpu;
    this.#words = new Int32Array(buffer);
    this.#tags = new Float64Array(buffer);
    this.#ram = (this.#words[(cpu + RAM_OFFSET) >> 2] as number) >>> 0;
  }

  /** The interpreter tells of a page that is written, or may be from now on by the TLB entry. */
  wrote(page: number, entry: number): void {
    if (entry !== 0) {
      if (this.#entryCount < MAX_ENTRIES) this.#entries[this.#entryCount] = entry;
      this.#entryCount++;
    }
    if (this.#isRecording && !this.#pages.has(page)) this.#pages.set(page, this.copy(page));
  }

  /** The page walk has set flags in the entry at an offset in linear memory. */
  marked(host: number, bits: number): void {
    if (this.#isRecording) this.#marks.push({ word: host >>> 2, bits });
  }

  /** Records from here on, with what has been recorded before. */
  record(): void {
    this.#emptyEntries();
    this.#isRecording = true;
  }

  /** Pages that were written, by number, with what was in them. */
  get pages(): ReadonlyMap<number, PageCopy> {
    return this.#pages;
  }

  /** A copy of a page as it is, which `release` takes back. */
  copy(page: number): PageCopy {
    const copy = this.#free.pop() ?? new Int32Array(PAGE_WORDS);
    const from = (this.#ram + page * PAGE_BYTES) >>> 2;
    copy.set(this.#words.subarray(from, from + PAGE_WORDS));
    return copy;
  }

  release(copy: PageCopy): void {
    this.#free.push(copy);
  }

  /** Writes a page back. */
  restore(page: number, copy: PageCopy): void {
    this.#words.set(copy, (this.#ram + page * PAGE_BYTES) >>> 2);
  }

  /** First word in which a page differs from a copy, or -1. Flags that the page walk has set while it was recorded are no difference. */
  difference(page: number, copy: PageCopy): number {
    const from = (this.#ram + page * PAGE_BYTES) >>> 2;
    for (let i = 0; i < PAGE_WORDS; i++) {
      if (this.#words[from + i] !== copy[i] && !this.#isMark(from + i, copy[i] as number)) return i;
    }
    return -1;
  }

  #isMark(word: number, other: number): boolean {
    const bits = this.#marks.reduce((sum, mark) => (mark.word === word ? sum | mark.bits : sum), 0);
    return (((this.#words[word] as number) ^ other) & ~bits) === 0;
  }

  /** Sets the flags that the page walk has set, where they have been undone: the TLB counts on them. */
  setMarks(): void {
    for (const { word, bits } of this.#marks) {
      const page = Math.floor((word * 4 - this.#ram) / PAGE_BYTES);
      if (this.#pages.has(page)) this.#words[word] = (this.#words[word] as number) | bits;
    }
  }

  /** A word of RAM. */
  word(page: number, index: number): number {
    return this.#words[((this.#ram + page * PAGE_BYTES) >>> 2) + index] as number;
  }

  /** Ends the recording and forgets it. */
  end(): void {
    this.#isRecording = false;
    for (const copy of this.#pages.values()) this.release(copy);
    this.#pages.clear();
    if (this.#marks.length > 0) this.#marks = [];
  }

  #emptyEntries(): void {
    const count = this.#entryCount;
    this.#entryCount = 0;
    if (count <= MAX_ENTRIES) {
      for (let i = 0; i < count; i++) this.#tags[((this.#entries[i] as number) + TLB_WRITE) >>> 3] = 0;
      return;
    }
    const end = this.#cpu + tlbArray(TLB_NEVER);
    for (let at = end - TLB_NEVER * TLB_ARRAY_BYTES; at < end; at += TLB_ENTRY_BYTES)
      this.#tags[(at + TLB_WRITE) >>> 3] = 0;
  }
}
