/**
 * Translations of the pages that steady accesses were last in (steady.ts), in locals, by base register and kind of access.
 *
 * @module
 */
import { i64 } from '../emit/expr.ts';
import type { FunctionBuilder } from '../emit/function-builder.ts';
import type { RegionInsn } from './region-insn.ts';
import type { PageCache } from './region-operands.ts';
import type { SteadyAccess } from './steady.ts';

/**
 * Most bytes of an access through a cache of either kind. All accesses of a kind have the same limit, so that one comparison tells whether an
 * address lies in the page with the bytes behind it; the last few accesses in a page go to the TLB instead.
 */
const FEW_BYTES = 16,
  MANY_BYTES = 256;

export class PageCaches {
  readonly #f: FunctionBuilder;
  readonly #steady: SteadyAccess | undefined;
  readonly #caches = new Map<number, PageCache>();

  /** Without `steady` there are none. */
  constructor(f: FunctionBuilder, steady: SteadyAccess | undefined) {
    this.#f = f;
    this.#steady = steady;
  }

  /** The cache for an access from a block, when it is steady there. */
  of(
    block: number,
    insn: RegionInsn,
    base: number,
    index: number,
    displacement: number,
    bytes: number,
    write: boolean,
  ): PageCache | undefined {
    const steady = this.#steady;
    if (steady === undefined || !steady.inLoop(block)) return undefined;
    if (base >= 0 && ((steady.bases(block) >> base) & 1) === 0) return undefined;
    if (index >= 0 && !steady.isSmall(block, insn, index)) return undefined;
    // Without a base register, the page that the displacement is in.
    const most = bytes <= FEW_BYTES ? FEW_BYTES : MANY_BYTES;
    if (bytes > most) return undefined;
    const place = base >= 0 ? base : 16 + ((displacement >>> 12) & 0xfff);
    const key = (place * 2 + (write ? 1 : 0)) * 2 + (most === FEW_BYTES ? 0 : 1);
    let cache = this.#caches.get(key);
    if (cache === undefined) {
      const f = this.#f;
      const places = 4096 - most + 1;
      cache = { page: f.ownLocal('i64'), places: f.ownLocal('i64'), addend: f.ownLocal('i32'), placesOfPage: places };
      this.#caches.set(key, cache);
    }
    return cache;
  }

  /** No page is known: at the entry, in the prologue. */
  clear(): void {
    for (const { places } of this.#caches.values()) this.#f.set(places, i64.const(0));
  }
}
