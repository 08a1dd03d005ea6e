/**
 * The jump cache's index, for the main loop and for translated regions.
 *
 * @module
 */
import { type I32, i32, i64, type I64 } from '../emit/expr.ts';
import { JUMP_CACHE_ENTRIES } from '../mmu/layout.ts';

/** Where RIP's entry of the jump cache is. */
export function jumpCacheSlot(cpu: I32, rip: I64): I32 {
  const mixed = i32.xor(i32.wrap(rip), i32.wrap(i64.shrU(rip, i64.const(13))));
  return i32.add(cpu, i32.shl(i32.and(mixed, i32.const(JUMP_CACHE_ENTRIES - 1)), i32.const(4)));
}
