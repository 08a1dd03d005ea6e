/**
 * Writes the function of a region: (cpu) -> STATUS_*.
 *
 *     prologue: is the region's other code mapped where it was? registers, flags and TLB base into locals
 *     body:     region-body.ts
 *     epilogue: registers, flags and RIP back into the state record (region-exits.ts), and on to the next region
 *
 * @module
 */
import { type I32, i32, i64 } from '../emit/expr.ts';
import { call, type Callee, type FunctionBuilder, type Global } from '../emit/function-builder.ts';
import type { ModuleBuilder } from '../emit/module-builder.ts';
import type { HelperFunctions } from '../insn/lift-builder.ts';
import { jumpCacheSlot, noteCodePage } from '../interpreter/jump-cache.ts';
import {
  HANDLER_FORWARD,
  HANDLER_REGION,
  R_IMMEDIATE,
  R_LINK,
  R_OFFSET,
  STATUS_JUMP,
  STATUS_REFUSED,
} from '../interpreter/record.ts';
import { FETCH_EPOCH, JUMP_CACHE, RIP_BASE } from '../mmu/layout.ts';
import { BUDGET, CODE_GENERATION, FAULT_RECORD, FETCH_TAG, REGION_RECORD, RIP } from '../state.ts';
import { analyse } from './control-flow.ts';
import { PageCaches } from './page-caches.ts';
import type { Region } from './region.ts';
import { RegionBody } from './region-body.ts';
import { RegionExits } from './region-exits.ts';
import type { RegionLocals } from './region-flags.ts';
import { RegionFrame } from './region-frame.ts';
import type { RegionInsn } from './region-insn.ts';
import { steadyAccess } from './steady.ts';
import { type HandlerConstants, isMapping, UntranslatedInsns } from './untranslated-insns.ts';
import { VectorConstants } from './vector-constants.ts';

/** Constants of a module by instruction. */
export interface RegionConstants {
  readonly handlers: HandlerConstants;
  readonly logs: ReadonlyMap<RegionInsn, I32>;
}

export class RegionEmitter {
  readonly #f: FunctionBuilder;
  readonly #region: Region;
  readonly #helpers: HelperFunctions;
  readonly #regionType: number;
  readonly #frame: RegionFrame;
  readonly #v: RegionLocals;
  readonly #exits: RegionExits;
  readonly #body: RegionBody;
  readonly #pageCaches: PageCaches;
  readonly #vectors: VectorConstants | undefined;
  /** For which mapping the pages of the region were last looked at. */
  readonly #seen: { readonly base: Global<'i64'>; readonly tag: Global<'i32'>; readonly epoch: Global<'i32'> };

  constructor(
    module: ModuleBuilder,
    f: FunctionBuilder,
    region: Region,
    helpers: HelperFunctions,
    { handlers, logs }: RegionConstants,
    isHot: boolean,
  ) {
    this.#f = f;
    this.#region = region;
    this.#helpers = helpers;
    this.#seen = { base: module.global('i64'), tag: module.global('i32'), epoch: module.global('i32') };
    const handlerType = module.type(['i32', 'i32'], 'i32');
    this.#regionType = module.type(['i32'], 'i32');
    const flow = analyse(region.entry, (id) => region.blocks.get(id)?.successors ?? []);
    // A change of mode within the region would have to empty caches that are not known yet.
    const changesMode = region.insns.some(({ traits }) => traits.changesMode);
    const pageCaches = new PageCaches(f, isHot && !changesMode ? steadyAccess(region, flow) : undefined);
    const vectors = isHot ? new VectorConstants(f) : undefined;
    const frame = new RegionFrame(f, region);
    const exits = new RegionExits(f, frame);
    const untranslated = new UntranslatedInsns(f, frame, exits, helpers, handlers, handlerType);
    this.#frame = frame;
    this.#v = frame.locals;
    this.#exits = exits;
    this.#pageCaches = pageCaches;
    this.#vectors = vectors;
    this.#body = new RegionBody({
      f,
      region,
      flow,
      helpers,
      frame,
      exits,
      pageCaches,
      vectors,
      untranslated,
      logs,
    });
  }

  run(): void {
    const f = this.#f;
    const v = this.#v;
    this.#exits.around(() => this.#body.write());
    f.store(8, v.cpu, v.rip, RIP);
    f.store(4, v.cpu, v.budget, BUDGET);
    f.store(4, v.cpu, i32.const(0), FAULT_RECORD);
    this.#chain();
    f.return(v.status);
    f.unreachable();
    f.prologue(() => this.#enter());
  }

  /** Goes on in the region at RIP, if the jump cache knows one and the budget is not used up. */
  #chain(): void {
    const f = this.#f;
    const v = this.#v;
    const goesOn = i32.and(i32.eq(v.status, i32.const(STATUS_JUMP)), i32.geS(v.budget, i32.const(0)));
    f.if(goesOn, () => {
      const slot = f.let(jumpCacheSlot(v.cpu, v.rip));
      const hit = i32.and(
        i64.eq(i64.load(slot, JUMP_CACHE), v.rip),
        i32.eq(i32.load(slot, JUMP_CACHE + 8), i32.load(v.cpu, FETCH_TAG)),
      );
      f.if(hit, () => {
        const record = f.let(i32.load(slot, JUMP_CACHE + 12));
        f.if(i32.eq(i32.load16U(record), i32.const(HANDLER_FORWARD)), () => {
          f.set(record, i32.load(record, R_LINK));
          f.store(4, slot, record, JUMP_CACHE + 12);
        });
        f.if(i32.eq(i32.load16U(record), i32.const(HANDLER_REGION)), () => {
          f.store(8, v.cpu, i64.sub(v.rip, i64.load16U(record, R_OFFSET)), RIP_BASE);
          f.store(4, v.cpu, record, REGION_RECORD);
          f.returnCallTable(1, this.#regionType, i32.load(record, R_IMMEDIATE), v.cpu);
        });
      });
    });
  }

  #enter(): void {
    const f = this.#f;
    const v = this.#v;
    f.set(v.ripBase, i64.load(v.cpu, RIP_BASE));
    this.#frame.loadTlb();
    if (this.#region.pages.size > 1) this.#guard();
    this.#frame.loadRegisters();
    this.#pageCaches.clear();
    this.#vectors?.set();
    f.set(v.budget, i32.load(v.cpu, BUDGET));
    f.set(v.generation, i32.load(v.cpu, CODE_GENERATION));
    f.set(v.status, i32.const(STATUS_JUMP));
  }

  /**
   * Refuses where the region's other pages are not mapped as they were. What was found holds as long as entries of the jump cache do, whose
   * pages these become: whatever makes one of those invalid moves FETCH_TAG or FETCH_EPOCH.
   */
  #guard(): void {
    const f = this.#f;
    const v = this.#v;
    const { base, tag, epoch } = this.#seen;
    const isSeen = i32.and(i64.eq(base, v.ripBase), isMapping(v.cpu, tag, epoch));
    f.unlikely(i32.eqz(isSeen), () => {
      for (const [index, host] of this.#region.pages) {
        if (index === 0) continue;
        const page = f.let(i64.add(v.ripBase, i64.const(index * 4096)));
        const found = call('i32', this.#helpers['peek'] as Callee, v.cpu, page);
        f.if(i32.ne(found, i32.const(host)), () => f.return(i32.const(STATUS_REFUSED)));
        noteCodePage(f, v.cpu, page);
      }
      f.setGlobal(base, v.ripBase);
      f.setGlobal(tag, i32.load(v.cpu, FETCH_TAG));
      f.setGlobal(epoch, i32.load(v.cpu, FETCH_EPOCH));
    });
  }
}
