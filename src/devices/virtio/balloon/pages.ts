/**
 * Which memory a driver gives away: lists of page numbers (VIRTIO 1.2, section 5.5.6) and reported buffers become whole runs of
 * pages of RAM. What is not RAM is left out and counted; a page that is named twice is in one run.
 *
 * RAM is the first `ramBytes` of the machine's memory: persistent memory, which lies behind it, is a file's and never given away.
 *
 * @module
 */
import { type GuestMemory, gpa } from '../../../memory/guest-memory.ts';
import { BALLOON_PAGE_BYTES, PAGE_NUMBER_BYTES } from './defs.ts';

/** Pages that one list becomes runs of. */
export const MAX_LIST_PAGES = 1024;

export class PageList {
  /** For a chain to copy a part of its list into. */
  readonly bytes: Uint8Array<ArrayBuffer> = new Uint8Array(MAX_LIST_PAGES * PAGE_NUMBER_BYTES);
  readonly #view = new DataView(this.bytes.buffer);
  readonly #pages = new Uint32Array(MAX_LIST_PAGES);

  /** Gives each run of the first `count` page numbers in `bytes` to `run`, as a view of RAM; returns how many name no RAM. */
  runs(memory: GuestMemory, ramBytes: number, count: number, run: (part: Uint8Array) => void): number {
    let known = 0;
    for (let n = 0; n < count; n++) {
      const page = this.#view.getUint32(n * PAGE_NUMBER_BYTES, true);
      const address = page * BALLOON_PAGE_BYTES;
      const isRam =
        memory.contains(address, BALLOON_PAGE_BYTES) && memory.place(address) + BALLOON_PAGE_BYTES <= ramBytes;
      if (isRam) this.#pages[known++] = page;
    }
    // Drivers give pages in the order in which they found them, often downwards.
    const pages = this.#pages.subarray(0, known).sort();
    for (let start = 0; start < known; ) {
      const first = pages[start]!;
      let last = first;
      let end = start + 1;
      for (; end < known && pages[end]! - last <= 1; end++) last = pages[end]!;
      run(memory.slice(gpa(first * BALLOON_PAGE_BYTES), (last - first + 1) * BALLOON_PAGE_BYTES));
      start = end;
    }
    return count - known;
  }
}

/** The whole pages of a buffer, a view of RAM; undefined when it has none. */
export function wholePages(memory: GuestMemory, ramBytes: number, buffer: Uint8Array): Uint8Array | undefined {
  const { all } = memory;
  const start = buffer.byteOffset - all.byteOffset;
  const from = Math.ceil(start / BALLOON_PAGE_BYTES) * BALLOON_PAGE_BYTES;
  const end = Math.floor(Math.min(start + buffer.length, ramBytes) / BALLOON_PAGE_BYTES) * BALLOON_PAGE_BYTES;
  return from < end ? all.subarray(from, end) : undefined;
}
