/**
 * What a region has in locals: registers, flags and what memory accesses need, loaded from the state record and put back there.
 *
 * @module
 */
import { i32, i64 } from '../emit/expr.ts';
import type { FunctionBuilder, Local } from '../emit/function-builder.ts';
import { v128 } from '../emit/simd.ts';
import { FLAG_AUX, FLAG_RESULT, gprOffset, MXCSR, TLB_BASE, TLB_TAG, xmmOffset } from '../state.ts';
import type { Region } from './region.ts';
import { type Registers, registersOf } from './region-analysis.ts';
import { type RegionLocals, storeFlags } from './region-flags.ts';

/** A local for each register of a mask, by number. */
function registers<T extends 'i64' | 'v128'>(f: FunctionBuilder, type: T, mask: number): Local<T>[] {
  const locals: (Local<T> | undefined)[] = [];
  for (let n = 0; n < 16; n++) locals.push((mask >> n) & 1 ? f.local(type) : undefined);
  return locals as Local<T>[];
}

export class RegionFrame {
  readonly locals: RegionLocals;
  readonly #f: FunctionBuilder;
  readonly #used: Registers;

  constructor(f: FunctionBuilder, region: Region) {
    this.#f = f;
    const used = registersOf(region);
    this.#used = used;
    this.locals = {
      cpu: f.param('i32', 0),
      gpr: registers(f, 'i64', used.gprs),
      xmm: registers(f, 'v128', used.xmms),
      ymmHigh: registers(f, 'v128', used.highs),
      flagResult: f.local('i64'),
      flagAux: f.local('i32'),
      tlbBase: f.local('i32'),
      tlbTag: f.local('i64'),
      ripBase: f.local('i64'),
      rip: f.local('i64'),
      delta: f.local('i32'),
      narrow: [f.local('i32'), f.local('i32'), f.local('i32')],
      wide: [f.local('i64'), f.local('i64'), f.local('i64')],
      carried: f.local('i32'),
      budget: f.local('i32'),
      status: f.local('i32'),
      generation: f.local('i32'),
      mxcsr: f.local('i32'),
    };
  }

  loadTlb(): void {
    this.#f.set(this.locals.tlbBase, i32.load(this.locals.cpu, TLB_BASE));
    this.#f.set(this.locals.tlbTag, i64.load32U(this.locals.cpu, TLB_TAG));
  }

  loadRegisters(): void {
    const f = this.#f;
    const used = this.#used;
    const v = this.locals;
    for (let n = 0; n < 16; n++) {
      if ((used.gprs >> n) & 1) f.set(v.gpr[n] as Local<'i64'>, i64.load(v.cpu, gprOffset(n)));
      if ((used.xmms >> n) & 1) f.set(v.xmm[n] as Local<'v128'>, v128.load(v.cpu, xmmOffset(n)));
      if ((used.highs >> n) & 1) f.set(v.ymmHigh[n] as Local<'v128'>, v128.load(v.cpu, xmmOffset(n) + 16));
    }
    if (used.xmms !== 0) f.set(v.mxcsr, i32.load(v.cpu, MXCSR));
    f.set(v.flagResult, i64.load(v.cpu, FLAG_RESULT));
    f.set(v.flagAux, i32.load(v.cpu, FLAG_AUX));
  }

  /** Registers and flags into the state record. */
  spill(): void {
    const f = this.#f;
    const used = this.#used;
    const v = this.locals;
    for (let n = 0; n < 16; n++) {
      if ((used.gprsWritten >> n) & 1) f.store(8, v.cpu, v.gpr[n] as Local<'i64'>, gprOffset(n));
      if ((used.xmmsWritten >> n) & 1) f.store(16, v.cpu, v.xmm[n] as Local<'v128'>, xmmOffset(n));
      if ((used.highsWritten >> n) & 1) f.store(16, v.cpu, v.ymmHigh[n] as Local<'v128'>, xmmOffset(n) + 16);
    }
    storeFlags(f, v);
  }
}
