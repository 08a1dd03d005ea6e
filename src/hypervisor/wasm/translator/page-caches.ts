/**
 * Translations of the pages that steady accesses were last in (steady.ts), in locals, by base register and kind of access.
 *
 * @module
 */
import { i64 } from '../emit/expr.ts';
import type { FunctionBuilder } from '../emit/function-builder.ts';
import type { RegionInsn } from './region.ts';
import type { PageCache } from './region-operands.ts';
import type { SteadyAccess } from './steady.ts';

/** What is no page's address. */
const NO_PAGE = 1;

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
    write: boolean,
  ): PageCache | undefined {
    const steady = this.#steady;
    if (steady === undefined || !steady.inLoop(block)) return undefined;
    if (base >= 0 && ((steady.bases(block) >> base) & 1) === 0) return undefined;
    if (index >= 0 && !steady.isSmall(block, insn, index)) return undefined;
    // Without a base register, the page that the displacement is in.
    const key = (base >= 0 ? base : 16 + ((displacement >>> 12) & 0xfff)) * 2 + (write ? 1 : 0);
    let cache = this.#caches.get(key);
    if (cache === undefined) {
      cache = { page: this.#f.ownLocal('i64'), addend: this.#f.ownLocal('i32') };
      this.#caches.set(key, cache);
    }
    return cache;
  }

  /** No page is known: at the entry, in the prologue. */
  clear(): void {
    for (const { page } of this.#caches.values()) this.#f.set(page, i64.const(NO_PAGE));
  }
}
