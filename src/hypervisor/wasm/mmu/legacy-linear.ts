/**
 * Segmented addresses of 16- and 32-bit code (SDM volume 3A, 5.3 and 5.5).
 *
 * @module
 */
import { type I32, i32, i64, select } from '../emit/expr.ts';
import type { FunctionBuilder } from '../emit/function-builder.ts';
import {
  ATTR_DB,
  ATTR_S,
  ATTR_UNUSABLE,
  FAULT_ERROR,
  FAULT_VECTOR,
  SEG_ATTRIBUTES,
  SEG_BASE,
  SEG_LIMIT,
  SEGMENTS,
  SS,
} from '../state.ts';

/** legacyLinear(cpu, segment, offset i64, bytes, write) -> linear address i64 or -1 with #GP(0) or #SS(0). */
export function buildLegacyLinear(f: FunctionBuilder): void {
  const cpu = f.param('i32', 0);
  const index = f.param('i32', 1);
  const offset = f.param('i64', 2);
  const last = f.let(i64.add(offset, i64.extendI32U(i32.sub(f.param('i32', 3), i32.const(1)))));
  const write = f.param('i32', 4);
  const segment = f.let(i32.add(cpu, i32.add(i32.const(SEGMENTS), i32.shl(index, i32.const(5)))));
  const attributes = f.let(i32.load(segment, SEG_ATTRIBUTES));
  const limit = f.let(i64.load32U(segment, SEG_LIMIT));
  const type = f.let(i32.and(attributes, i32.const(15)));
  const bad = f.let(i32.and(attributes, i32.const(ATTR_UNUSABLE)));
  const isCode = f.let(i32.and(type, i32.const(8)));
  const check = (condition: I32): void => f.set(bad, i32.or(bad, condition));
  f.if(
    isCode,
    () => {
      check(write);
      check(i32.eqz(i32.and(type, i32.const(2))));
    },
    () => f.if(write, () => check(i32.eqz(i32.and(type, i32.const(2))))),
  );
  const expandDown = i32.and(i32.eqz(isCode), i32.ne(i32.and(type, i32.const(4)), i32.const(0)));
  f.if(
    i32.and(expandDown, i32.ne(i32.and(attributes, i32.const(ATTR_S)), i32.const(0))),
    () => {
      check(i64.leU(offset, limit));
      const top = select(i32.and(attributes, i32.const(ATTR_DB)), i64.const(0xffff_ffff), i64.const(0xffff));
      check(i64.gtU(last, top));
    },
    () => check(i64.gtU(last, limit)),
  );
  f.if(bad, () => {
    f.store(4, cpu, select(i32.eq(index, i32.const(SS)), i32.const(12), i32.const(13)), FAULT_VECTOR);
    f.store(4, cpu, i32.const(0), FAULT_ERROR);
    f.return(i64.const(-1));
  });
  f.return(i64.and(i64.add(i64.load(segment, SEG_BASE), offset), i64.const(0xffff_ffff)));
  f.unreachable();
}
