/**
 * The jump cache's index, for the main loop and for translated regions, and the pages that it has entries of.
 *
 * @module
 */
import { type I32, i32, i64, type I64 } from '../emit/expr.ts';
import type { FunctionBuilder } from '../emit/function-builder.ts';
import { CODE_PAGES, CODE_PAGES_ALL, CODE_PAGES_BYTES, JUMP_CACHE_ENTRIES } from '../mmu/layout.ts';
import { CODE_SIZE } from '../state.ts';

/** Where RIP's entry of the jump cache is. */
export function jumpCacheSlot(cpu: I32, rip: I64): I32 {
  const mixed = i32.xor(i32.wrap(rip), i32.wrap(i64.shrU(rip, i64.const(13))));
  return i32.add(cpu, i32.shl(i32.and(mixed, i32.const(JUMP_CACHE_ENTRIES - 1)), i32.const(4)));
}

/** Longest instruction in bytes, less one. */
const MORE_BYTES = 14;

/** Notes that the jump cache gets an entry for RIP: of the page that its first instruction starts in, and the one that it ends in. */
export function noteCodePage(f: FunctionBuilder, cpu: I32, rip: I64): void {
  const note = (address: I64): void => {
    const page = f.let(i32.wrap(i64.shrU(address, i64.const(12))));
    const slot = i32.and(i32.xor(page, i32.shrU(page, i32.const(12))), i32.const(CODE_PAGES_BYTES - 1));
    f.store(1, i32.add(cpu, slot), i32.const(1), CODE_PAGES);
  };
  note(rip);
  note(i64.add(rip, i64.const(MORE_BYTES)));
  f.if(i32.ne(i32.load(cpu, CODE_SIZE), i32.const(64)), () => f.store(1, cpu, i32.const(1), CODE_PAGES_ALL));
}
