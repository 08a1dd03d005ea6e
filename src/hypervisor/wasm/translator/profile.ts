/**
 * Which code is worth being translated, and which comes next.
 *
 * Compiling takes a while, and when a guest's code is new more blocks are hot than can be compiled: those that wait are counted on, and the
 * hottest is next. What has cooled down meanwhile, the long tail of a kernel's start, waits until nothing else is to do.
 *
 * @module
 */

/** A block of code as a request names it. */
export interface CodePlace {
  /** Offset in linear memory. */
  readonly host: number;
  /** The execution mode. */
  readonly mode: number;
  /** Linear address of its page. */
  readonly base: bigint;
  /** The page tables that other pages are found by. */
  readonly cr3: bigint;
}

/**
 * Slices that end at a block before it is translated. A kernel has a long tail of blocks that are met a few times each, whose translation
 * never pays; new programs are slow until theirs comes.
 */
const THRESHOLD = 4;
const EAGER_THRESHOLD = 1;
/**
 * The same for a block that a region holds already: slices end in the middle of regions, and the code soon comes by their entries again.
 * If it does not, the block is worth a region of its own.
 */
const COVERED_THRESHOLD = 40;
/**
 * Most blocks with a count: four times the slices of a whole Debian boot. A guest whose slices end in ever new places would fill the
 * host's memory; its profile starts anew.
 */
const MAX_SAMPLED = 0x4_0000;
/** Blocks that wait at once; others are only counted. */
const MAX_WAITING = 1024;

export class Profile {
  readonly #threshold: number;
  /** How often slices ended at a block, by its offset in linear memory. */
  readonly #samples = new Map<number, number>();
  /** How many regions hold the block at an offset in linear memory. */
  readonly #covered = new Map<number, number>();
  readonly #waiting = new Map<number, CodePlace>();

  constructor(eager: boolean) {
    this.#threshold = eager ? EAGER_THRESHOLD : THRESHOLD;
  }

  /** A slice has ended at a block without a region. */
  met(host: number, place: () => CodePlace): void {
    this.#count(host, 1, place);
  }

  /** Regions have often been left to a block without a region. */
  leftTo(host: number, place: () => CodePlace): void {
    this.#count(host, this.#threshold, place);
  }

  #count(host: number, by: number, place: () => CodePlace): void {
    if (this.#samples.size >= MAX_SAMPLED) {
      this.#samples.clear();
      this.#waiting.clear();
    }
    const count = (this.#samples.get(host) ?? 0) + by;
    this.#samples.set(host, count);
    if (count >= this.#needed(host) && this.#waiting.size < MAX_WAITING) this.#waiting.set(host, place());
  }

  #needed(host: number): number {
    return this.#covered.has(host) ? Math.max(COVERED_THRESHOLD, this.#threshold) : this.#threshold;
  }

  /** Takes the hottest block that waits. Those that `canTranslate` refuses are forgotten. */
  next(canTranslate: (place: CodePlace) => boolean): CodePlace | undefined {
    let hottest: CodePlace | undefined;
    let most = 0;
    for (const [host, place] of this.#waiting) {
      const count = this.#samples.get(host) ?? 0;
      if (!canTranslate(place)) this.#drop(host);
      // A region holds it by now.
      else if (count < this.#needed(host)) this.#waiting.delete(host);
      else if (count > most) [hottest, most] = [place, count];
    }
    if (hottest !== undefined) this.#drop(hottest.host);
    return hottest;
  }

  #drop(host: number): void {
    this.#waiting.delete(host);
    this.#samples.delete(host);
  }

  /** Blocks are part of one region more, or less. */
  cover(blocks: readonly number[], by: 1 | -1): void {
    for (const host of blocks) {
      const count = (this.#covered.get(host) ?? 0) + by;
      if (count === 0) this.#covered.delete(host);
      else this.#covered.set(host, count);
    }
  }

  /** All code is gone. */
  flushed(): void {
    this.#waiting.clear();
  }
}
