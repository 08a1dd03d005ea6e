/**
 * The software TLB: where the entry of an address is, what its tags are, and how a translation is put into it.
 *
 * @module
 */
import { type I32, i32, i64, type I64, select } from '../emit/expr.ts';
import type { Callee, FunctionBuilder } from '../emit/function-builder.ts';
import {
  LARGE_REGIONS,
  PHYSICAL,
  NOT_GLOBAL_CODE,
  NOT_GLOBAL_COUNT,
  NOT_GLOBAL_LIST,
  NOT_GLOBAL_MAX,
  RAM_OFFSET,
  TAG_SUPERVISOR,
  TAG_USER,
  TLB,
  TLB_ADDEND,
  TLB_ARRAY_BYTES,
  TLB_EXECUTE,
  TLB_NEVER,
  TLB_PAGE,
  TLB_READ,
  TLB_SUPERVISOR,
  TLB_USER,
  TLB_WRITE,
} from './layout.ts';
import { WALK_EXECUTABLE, WALK_GLOBAL, WALK_HUGE, WALK_LARGE, WALK_READABLE, WALK_WRITABLE } from './walk.ts';

/** Index bits 21:12 of the address choose the entry. */
export function entryIn(array: I32, va: I64): I32 {
  return i32.add(array, i32.and(i32.wrap(i64.shrU(va, i64.const(7))), i32.const(0x7fe0)));
}

export const arrayAt = (cpu: I32, index: I32): I32 =>
  i32.add(i32.add(cpu, i32.const(TLB)), i32.mul(index, i32.const(TLB_ARRAY_BYTES)));

/** The tag of a valid entry of an array. */
export const tagIn = (cpu: I32, index: I32, va: I64): I64 => {
  const isSupervisor = i32.eq(index, i32.const(TLB_SUPERVISOR));
  const number = select(isSupervisor, i64.load32U(cpu, TAG_SUPERVISOR), i64.load32U(cpu, TAG_USER));
  return i64.or(i64.and(va, i64.const(-4096)), number);
};

/** fill(cpu, va, WALK_*, TLB_*): caches the translation in PHYSICAL, which is in RAM, in one of the arrays. */
export function buildFill(f: FunctionBuilder, codeMap: number, wrote: Callee | undefined): void {
  const cpu = f.param('i32', 0);
  const va = f.param('i64', 1);
  const result = f.param('i32', 2);
  const index = f.param('i32', 3);
  const notGlobal = i32.eqz(i32.and(result, i32.const(WALK_GLOBAL)));
  // Whatever array it is in, or none: the jump cache has one tag for a supervisor's code.
  const isCode = i32.ne(i32.and(result, i32.const(WALK_EXECUTABLE)), i32.const(0));
  f.if(i32.and(i32.and(isCode, notGlobal), i32.ne(index, i32.const(TLB_USER))), () =>
    f.store(4, cpu, i32.const(1), NOT_GLOBAL_CODE),
  );
  f.if(i32.eq(index, i32.const(TLB_NEVER)), () => f.return());
  const physical = f.let(i32.wrap(i64.load(cpu, PHYSICAL)));
  const entry = f.let(entryIn(arrayAt(cpu, index), va));
  const isSupervisor = i32.eq(index, i32.const(TLB_SUPERVISOR));
  const tag = f.let(tagIn(cpu, index, va));
  const none = i64.const(0);
  const page = f.let(i32.shrU(physical, i32.const(12)));
  const clean = i32.eqz(i32.load(i32.shl(page, i32.const(2)), codeMap));
  const writable = i32.and(i32.shrU(result, i32.const(Math.log2(WALK_WRITABLE))), clean);
  if (wrote !== undefined) f.if(writable, () => f.callVoid(wrote, page, entry));
  f.store(8, entry, select(i32.and(result, i32.const(WALK_READABLE)), tag, none), TLB_READ);
  f.store(8, entry, select(writable, tag, none), TLB_WRITE);
  f.store(8, entry, select(i32.and(result, i32.const(WALK_EXECUTABLE)), tag, none), TLB_EXECUTE);
  const host = i32.add(i32.and(physical, i32.const(-4096)), i32.load(cpu, RAM_OFFSET));
  f.store(4, entry, i32.sub(host, i32.and(i32.wrap(va), i32.const(-4096))), TLB_ADDEND);
  f.store(4, entry, page, TLB_PAGE);
  f.if(i32.and(isSupervisor, notGlobal), () => {
    const count = f.let(i32.load(cpu, NOT_GLOBAL_COUNT));
    f.store(4, cpu, i32.add(count, i32.const(1)), NOT_GLOBAL_COUNT);
    f.if(i32.ltU(count, i32.const(NOT_GLOBAL_MAX)), () => {
      f.store(4, i32.add(cpu, i32.shl(count, i32.const(2))), entry, NOT_GLOBAL_LIST);
    });
  });
  f.if(i32.and(result, i32.const(WALK_LARGE | WALK_HUGE)), () => {
    // Widen the region of this half until it holds the large page.
    const huge = i32.and(result, i32.const(WALK_HUGE));
    const pageMask = f.let(select(huge, i64.const(-0x4000_0000), i64.const(-0x40_0000)));
    const region = f.let(
      i32.add(cpu, i32.wrap(i64.shrU(i64.and(va, i64.const(-0x8000_0000_0000_0000n)), i64.const(59)))),
    );
    const mask = f.let(i64.load(region, LARGE_REGIONS + 8));
    const base = f.let(i64.load(region, LARGE_REGIONS));
    f.if(
      i64.eqz(mask),
      () => {
        f.set(mask, pageMask);
        f.set(base, i64.and(va, pageMask));
      },
      () => {
        f.set(mask, i64.and(mask, pageMask));
        f.block((done) => {
          f.loop((again) => {
            f.brIf(done, i64.eqz(i64.and(i64.xor(base, va), mask)));
            f.set(mask, i64.shl(mask, i64.const(1)));
            f.br(again);
          });
        });
        f.set(base, i64.and(base, mask));
      },
    );
    f.store(8, region, mask, LARGE_REGIONS + 8);
    f.store(8, region, base, LARGE_REGIONS);
  });
}
