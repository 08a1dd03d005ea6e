/**
 * How the main loop finds the block at an address.
 *
 * @module
 */
import { type I32, i32, i64 } from '../emit/expr.ts';
import { call, type Callee, type FunctionBuilder, type Local } from '../emit/function-builder.ts';
import { BLOCK_CACHE, BLOCK_CACHE_ENTRIES, CODE_MODE, JUMP_CACHE } from '../mmu/layout.ts';
import { CODE_SIZE, FETCH_TAG, RIP } from '../state.ts';
import { jumpCacheSlot, noteCodePage } from './jump-cache.ts';

/** Sets `record` to the block at `rip`: from the jump cache, or from the host. */
export function findBlock(
  f: FunctionBuilder,
  cpu: I32,
  rip: Local<'i64'>,
  record: Local<'i32'>,
  fetch: Callee,
  lookup: Callee,
  failed: () => void,
): void {
  const slot = f.let(jumpCacheSlot(cpu, rip));
  f.set(record, i32.load(slot, JUMP_CACHE + 12));
  const hit = i32.and(
    i64.eq(i64.load(slot, JUMP_CACHE), rip),
    i32.eq(i32.load(slot, JUMP_CACHE + 8), i32.load(cpu, FETCH_TAG)),
  );
  f.if(i32.eqz(hit), () => {
    f.store(8, cpu, rip, RIP);
    f.set(record, i32.const(0));
    // In 64-bit code a known block at the same physical address and mode is found without asking the host.
    f.if(i32.eq(i32.load(cpu, CODE_SIZE), i32.const(64)), () => {
      const host = f.let(call('i32', fetch, cpu, rip));
      const mode = f.let(i32.load(cpu, CODE_MODE));
      const mixed = i32.xor(i32.xor(host, i32.shrU(host, i32.const(15))), mode);
      const entry = f.let(i32.add(cpu, i32.shl(i32.and(mixed, i32.const(BLOCK_CACHE_ENTRIES - 1)), i32.const(4))));
      const same = i32.and(i32.eq(i32.load(entry, BLOCK_CACHE), host), i32.eq(i32.load(entry, BLOCK_CACHE + 4), mode));
      f.if(i32.and(same, i32.gtU(host, i32.const(1))), () => f.set(record, i32.load(entry, BLOCK_CACHE + 8)));
    });
    f.if(i32.eqz(record), () => {
      f.set(record, call('i32', lookup, cpu));
      f.if(i32.eqz(record), failed);
    });
    noteCodePage(f, cpu, rip);
    f.store(8, slot, rip, JUMP_CACHE);
    f.store(4, slot, i32.load(cpu, FETCH_TAG), JUMP_CACHE + 8);
    f.store(4, slot, record, JUMP_CACHE + 12);
  });
}
