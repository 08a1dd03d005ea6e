/**
 * What the host writes into guest RAM by itself, a disk's data, may lie where a software vCPU has decoded or translated code:
 * no store of the guest's tells it then. Before the guest may learn that such data is there, every vCPU drops what it made of
 * those pages.
 *
 * The VMM thread finds the pages in the code map, puts their numbers into a list in the control area and asks the vCPUs for
 * REQUEST_DROP_CODE; each acknowledges when it has dropped them. That is rare: mostly, data goes where no code was.
 *
 *     word 0     number of the batch
 *     word 1     pages in it, or ALL: drop everything
 *     word 16    one word per vCPU: the last batch that it has done
 *     word 80    the page numbers
 *
 * A vCPU that is paused or stopped is not waited for: it does what it was asked before it runs guest code again, and drops
 * everything when it has missed a batch.
 *
 * @module
 */
import { type ControlArea, MAX_VCPUS, REQUEST_DROP_CODE, STATE_HALTED, STATE_RUNNING } from './control.ts';

const BATCH = 0;
const COUNT = 1;
const DONE = 16;
const PAGES = DONE + MAX_VCPUS;
const ALL = -1;
/** How long to wait before looking whether a vCPU was paused meanwhile. */
const RECHECK_MS = 5;
const PAGE_SHIFT = 12;

/** The guest's RAM and the code map, one word per page. */
export interface CodeMapView {
  readonly ram: Uint8Array;
  readonly codeMap: Int32Array;
}

/** The VMM thread's side. */
export class CodeWrites {
  readonly #area: ControlArea;
  readonly #view: CodeMapView;
  readonly #capacity: number;
  readonly #pages = new Set<number>();
  /** The batch under way, and the one that takes what comes meanwhile. */
  #batch: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #isReleased = false;

  constructor(area: ControlArea, view: CodeMapView) {
    this.#area = area;
    this.#view = view;
    this.#capacity = area.codeWritesWords - PAGES;
  }

  /**
   * The host has written these parts of guest RAM. Undefined when no code was there; else resolves when no vCPU has what it
   * made of it any more.
   */
  hostWrote(parts: readonly Uint8Array[]): Promise<void> | undefined {
    const { ram, codeMap } = this.#view;
    let isCode = false;
    for (const { byteOffset, length } of parts) {
      if (length === 0) continue;
      const first = byteOffset - ram.byteOffset;
      const last = (first + length - 1) >>> PAGE_SHIFT;
      for (let page = first >>> PAGE_SHIFT; page <= last; page++) {
        if (Atomics.load(codeMap, page) === 0) continue;
        this.#pages.add(page);
        isCode = true;
      }
    }
    if (!isCode) return undefined;
    if (this.#batch === undefined) {
      this.#batch = this.#drop();
      return this.#batch;
    }
    this.#next ??= this.#batch.then(() => {
      this.#next = undefined;
      this.#batch = this.#drop();
      return this.#batch;
    });
    return this.#next;
  }

  /** The machine ends: nothing is waited for any more. */
  release(): void {
    this.#isReleased = true;
  }

  async #drop(): Promise<void> {
    const { words, codeWritesAt: at, vcpuCount } = this.#area;
    // Who reads the list meanwhile, because it was paused before, finds that it must drop everything.
    Atomics.store(words, at + COUNT, ALL);
    let count = 0;
    if (this.#pages.size <= this.#capacity) for (const page of this.#pages) words[at + PAGES + count++] = page;
    Atomics.store(words, at + COUNT, this.#pages.size <= this.#capacity ? count : ALL);
    this.#pages.clear();
    const batch = (Atomics.add(words, at + BATCH, 1) + 1) | 0;
    for (let vcpu = 0; vcpu < vcpuCount; vcpu++) this.#area.vcpu(vcpu).request(REQUEST_DROP_CODE);
    for (let vcpu = 0; vcpu < vcpuCount; vcpu++) await this.#done(vcpu, batch);
    this.#batch = undefined;
  }

  async #done(vcpu: number, batch: number): Promise<void> {
    const { words, codeWritesAt } = this.#area;
    const at = codeWritesAt + DONE + vcpu;
    for (;;) {
      const done = Atomics.load(words, at);
      const { state } = this.#area.vcpu(vcpu);
      if (done === batch || this.#isReleased || (state !== STATE_RUNNING && state !== STATE_HALTED)) return;
      const wait = Atomics.waitAsync(words, at, done, RECHECK_MS);
      if (wait.async) await wait.value;
    }
  }
}

/** A vCPU's side: what to drop, page numbers or everything. `acknowledge` when it is done. */
export function takeCodeWrites(
  area: ControlArea,
  vcpu: number,
): { readonly pages: readonly number[] | 'all'; acknowledge(): void } {
  const { words, codeWritesAt: at } = area;
  const done = at + DONE + vcpu;
  const batch = Atomics.load(words, at + BATCH);
  const count = Atomics.load(words, at + COUNT);
  const pages = count > 0 ? [...words.subarray(at + PAGES, at + PAGES + count)] : [];
  const isWhole = Atomics.load(words, at + COUNT) === count && Atomics.load(words, at + BATCH) === batch;
  const isNext = ((batch - Atomics.load(words, done)) | 0) === 1;
  return {
    pages: count >= 0 && isWhole && isNext ? pages : 'all',
    acknowledge() {
      Atomics.store(words, done, batch);
      Atomics.notify(words, done);
    },
  };
}
