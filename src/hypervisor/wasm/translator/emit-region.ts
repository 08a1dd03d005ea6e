/**
 * Writes the function of a region: (cpu) -> STATUS_*.
 *
 *     prologue: is the region's other code mapped where it was? registers, flags and TLB base into locals
 *     body:     blocks and loops nested by the dominator tree
 *     epilogue: registers, flags and RIP back into the state record
 *
 * Every way out sets RIP and the status and goes to the one epilogue. Edges that structured code has no place for (those of
 * irreducible loops) are ways out too.
 *
 * @module
 */
import { type I32, i32, i64 } from '../emit/expr.ts';
import {
  call,
  callIndirect,
  type Callee,
  type FunctionBuilder,
  type Global,
  type Label,
  type Local,
} from '../emit/function-builder.ts';
import type { ModuleBuilder } from '../emit/module-builder.ts';
import type { HelperFunctions } from '../insn/lift-builder.ts';
import { jumpCacheSlot, noteCodePage } from '../interpreter/jump-cache.ts';
import {
  HANDLER_FORWARD,
  HANDLER_REGION,
  R_IMMEDIATE,
  R_LINK,
  R_OFFSET,
  STATUS_AGAIN,
  STATUS_BUDGET,
  STATUS_FAULT,
  STATUS_JUMP,
  STATUS_NEXT,
  STATUS_REFUSED,
  STRING_TURN_COST,
} from '../interpreter/record.ts';
import { FETCH_EPOCH, JUMP_CACHE, RIP_BASE } from '../mmu/layout.ts';
import { BUDGET, CODE_GENERATION, FAULT_RECORD, FETCH_TAG, REGION_RECORD, RIP } from '../state.ts';
import { analyse, type ControlFlow } from './control-flow.ts';
import { PageCaches } from './page-caches.ts';
import { forgetsAll, NearAccesses } from './near-accesses.ts';
import type { Region, RegionBlock, RegionInsn } from './region.ts';
import { changesMode, liveFlags, needsFlags, readsFlags } from './region-analysis.ts';
import { RegionBuilder } from './region-builder.ts';
import {
  computeCarried,
  computeFlags,
  FLAGS_CARRIED,
  FLAGS_IN_LOCALS,
  type FlagState,
  type RegionLocals,
  SUMS,
} from './region-flags.ts';
import { RegionFrame } from './region-frame.ts';
import { TARGET_LOG_ENTRIES } from './region-imports.ts';
import { clearKey, isLasting, type RegionControl } from './region-operands.ts';
import { STATUS_BITS, statusAfter } from './region-status.ts';
import { steadyAccess } from './steady.ts';
import { VectorConstants } from './vector-constants.ts';

/** Constants of a module by instruction. */
export interface RegionConstants {
  readonly handlers: ReadonlyMap<RegionInsn, { readonly index: I32; readonly record: I32 }>;
  readonly logs: ReadonlyMap<RegionInsn, I32>;
}

/** Most bytes of one region's function: far more than any code of compilers needs, and bearable for V8's. */
const MAX_CODE_BYTES = 200_000;

/** The function would be too large. */
export class TooLarge extends Error {
  override readonly name = 'TooLarge';
}

export class RegionEmitter {
  readonly #f: FunctionBuilder;
  readonly #region: Region;
  readonly #helpers: HelperFunctions;
  readonly #constants: RegionConstants;
  readonly #flow: ControlFlow;
  readonly #handlerType: number;
  readonly #regionType: number;
  readonly #frame: RegionFrame;
  readonly #v: RegionLocals;
  readonly #flagsLiveIn: ReadonlySet<number>;
  /** Blocks that read flags before they write them; the others in which they are live only may leave. */
  readonly #flagsRead: ReadonlySet<number>;
  readonly #labels = new Map<number, Label>();
  #leave: Label | undefined;
  /** With registers and flags in the state record, and RIP in its local. */
  #leaveSpilled: Label | undefined;
  #leaveAt: Label | undefined;
  #leaveWithCarried: Label | undefined;
  /** Sums that are carried into some block, by number. */
  readonly #sumsCarried = new Set<number>();
  /** By SUMS. */
  readonly #flagLabels: Label[] = [];
  readonly #flagsUsed = new Set<number>();
  /** What is known of vector registers where code is being written: see region-operands.ts. */
  #known = new Set<number>();
  /** An instruction that is carried out in the state record may write any register there. */
  readonly #hasSystem: boolean;
  /** Locals that flags are to be computed from on a path that is yet to be written. */
  readonly #pinned = new Map<Local, number>();
  readonly #pageCaches: PageCaches;
  readonly #vectors: VectorConstants | undefined;
  readonly #near: NearAccesses;
  /** For which mapping the pages of the region were last looked at. */
  readonly #seen: { readonly base: Global<'i64'>; readonly tag: Global<'i32'>; readonly epoch: Global<'i32'> };
  /** Locals whose instruction is over, which were pinned then. */
  #waiting: Local[] = [];

  constructor(
    module: ModuleBuilder,
    f: FunctionBuilder,
    region: Region,
    helpers: HelperFunctions,
    constants: RegionConstants,
    isHot: boolean,
  ) {
    this.#f = f;
    this.#region = region;
    this.#helpers = helpers;
    this.#constants = constants;
    this.#seen = { base: module.global('i64'), tag: module.global('i32'), epoch: module.global('i32') };
    this.#handlerType = module.type(['i32', 'i32'], 'i32');
    this.#regionType = module.type(['i32'], 'i32');
    this.#flow = analyse(region.entry, (id) => this.#block(id).successors);
    this.#hasSystem = [...region.blocks.values()].some(({ insns }) => insns.some(({ system }) => system === 'stays'));
    this.#flagsLiveIn = liveFlags(region, this.#flow, needsFlags);
    this.#flagsRead = liveFlags(region, this.#flow, readsFlags);
    // A change of mode within the region would have to empty caches that are not known yet.
    const steady = isHot && !changesMode(region) ? steadyAccess(region, this.#flow) : undefined;
    this.#pageCaches = new PageCaches(f, steady);
    this.#vectors = isHot ? new VectorConstants(f) : undefined;
    this.#near = new NearAccesses(f, region, this.#flow);
    this.#frame = new RegionFrame(f, region);
    this.#v = this.#frame.locals;
  }

  #block(id: number): RegionBlock {
    const block = this.#region.blocks.get(id);
    if (block === undefined) throw new Error(`no block ${id}`);
    return block;
  }

  run(): void {
    const f = this.#f;
    const v = this.#v;
    f.block((leaveSpilled) => {
      this.#leaveSpilled = leaveSpilled;
      f.block((leave) => {
        this.#leave = leave;
        f.block((leaveAt) => {
          this.#leaveAt = leaveAt;
          f.block((leaveWithCarried) => {
            this.#leaveWithCarried = leaveWithCarried;
            this.#withFlags(0);
          });
          computeCarried(f, v, this.#sumsCarried);
        });
        f.set(v.rip, i64.add(v.ripBase, i64.extendI32S(v.delta)));
        f.set(v.budget, i32.sub(v.budget, i32.shrU(v.status, i32.const(STATUS_BITS))));
        f.set(v.status, i32.and(v.status, i32.const((1 << STATUS_BITS) - 1)));
      });
      this.#frame.spill();
    });
    f.store(8, v.cpu, v.rip, RIP);
    f.store(4, v.cpu, v.budget, BUDGET);
    f.store(4, v.cpu, i32.const(0), FAULT_RECORD);
    this.#chain();
    f.return(v.status);
    f.unreachable();
    f.prologue(() => this.#enter());
  }

  /** The body, within blocks whose ends compute the flags of sums of each kind. */
  #withFlags(n: number): void {
    const sum = SUMS[n];
    if (sum === undefined) {
      this.#tree(this.#region.entry, FLAGS_IN_LOCALS);
      this.#f.unreachable();
      return;
    }
    this.#f.block((label) => {
      this.#flagLabels.push(label);
      this.#withFlags(n + 1);
    });
    if (!this.#flagsUsed.has(n)) return;
    this.#f.scope(() => computeFlags(this.#f, this.#v, sum.kind, sum.size));
    this.#f.br(this.#leaveAt as Label);
  }

  #leaveWithFlags(sum: number): Label {
    this.#flagsUsed.add(sum);
    return this.#flagLabels[sum] as Label;
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
    const isSeen = i32.and(i64.eq(base, v.ripBase), this.#isMapping(tag, epoch));
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

  /** Code is mapped as it was when these were FETCH_TAG and FETCH_EPOCH. */
  #isMapping(tag: I32, epoch: I32): I32 {
    const { cpu } = this.#v;
    return i32.and(i32.eq(tag, i32.load(cpu, FETCH_TAG)), i32.eq(epoch, i32.load(cpu, FETCH_EPOCH)));
  }

  // Structure.

  /** A node with everything that it dominates. */
  #tree(id: number, flags: FlagState): void {
    this.#near.aside(() => this.#dominated(id, flags));
  }

  #dominated(id: number, flags: FlagState): void {
    const { children, merges, loops, position } = this.#flow;
    const after = (children.get(id) ?? []).filter((child) => merges.has(child));
    // The last one in order gets the outermost block.
    after.sort((x, y) => (position.get(y) as number) - (position.get(x) as number));
    if (loops.has(id)) {
      this.#f.loop((label) => {
        this.#labels.set(id, label);
        this.#within(id, after, 0, this.#flagsInto(id));
        this.#labels.delete(id);
      });
    } else this.#within(id, after, 0, flags);
  }

  #within(id: number, after: readonly number[], index: number, flags: FlagState): void {
    const next = after[index];
    if (next === undefined) {
      this.#code(id, flags);
      return;
    }
    this.#f.block((label) => {
      this.#labels.set(next, label);
      this.#within(id, after, index + 1, flags);
      this.#labels.delete(next);
    });
    // What the next one learns holds in what it dominates, and not in what comes behind that.
    const known = this.#known;
    this.#tree(next, this.#flagsInto(next));
    this.#known = known;
  }

  /**
   * Where several ways lead to, and behind a called instruction. What the block that dominates it has cleared stays clear, but where
   * XRSTOR may be on one of the ways.
   */
  #forget(): void {
    this.#known = new Set(this.#hasSystem ? [] : [...this.#known].filter(isLasting));
  }

  /** Goes from a block to the instruction at `delta`, which may be outside; nothing that follows is reached. */
  #edgeTo(from: number, delta: number, count: number, flags: FlagState, b: RegionBuilder): void {
    const to = this.#block(from).successors.find((id) => this.#block(id).delta === delta);
    if (to !== undefined) {
      this.#edge(from, to, count, flags, b);
      return;
    }
    this.#charge(count);
    b.leaveAt(delta);
  }

  /** Goes from a block to one of its successors; nothing that follows is reached. */
  #edge(from: number, to: number, count: number, flags: FlagState, b: RegionBuilder): void {
    const f = this.#f;
    const { position, merges } = this.#flow;
    const { delta } = this.#block(to);
    const label = this.#labels.get(to);
    const isBack = (position.get(to) as number) <= (position.get(from) as number);
    if ((isBack || merges.has(to)) && label === undefined) {
      this.#charge(count);
      b.leaveAt(delta);
      return;
    }
    const live = this.#flagsLiveIn.has(to);
    const isJoined = label !== undefined || this.#flow.loops.has(to);
    const carries = isJoined && this.#carriesFlags(to);
    if (carries) {
      const sum = b.carryFlags();
      if (sum >= 0) this.#sumsCarried.add(sum);
    } else if (isJoined && live) b.materialiseAside();
    this.#charge(count);
    if (label === undefined) {
      const known = this.#known;
      this.#known = new Set(known);
      this.#pin(flags, 1);
      this.#tree(to, isJoined ? this.#flagsInto(to) : flags);
      this.#pin(flags, -1);
      this.#known = known;
      return;
    }
    if (isBack) {
      f.unlikely(i32.ltS(this.#v.budget, i32.const(0)), () => {
        f.set(this.#v.status, i32.const(STATUS_BUDGET));
        // What is live is in the flag locals; what is not is computed here.
        if (carries) this.#leaveTowards(delta, this.#leaveWithCarried);
        else if (live) this.#leaveTowards(delta);
        else b.leaveAt(delta);
      });
    }
    f.br(label);
  }

  #pin(flags: FlagState, by: 1 | -1): void {
    for (const local of flags.locals) this.#pinned.set(local, (this.#pinned.get(local) ?? 0) + by);
  }

  #releaseUnpinned(current: FlagState): void {
    const free: Local[] = [];
    this.#waiting = this.#waiting.filter((local) => {
      if ((this.#pinned.get(local) ?? 0) > 0 || current.locals.includes(local)) return true;
      free.push(local);
      return false;
    });
    this.#f.release(free);
  }

  #charge(count: number): void {
    if (count > 0) this.#f.set(this.#v.budget, i32.sub(this.#v.budget, i32.const(count)));
  }

  /**
   * A block with several edges into it, or a loop's head, gets carried flags where nothing reads them but a way out, a fault as a
   * rule: then they are computed there and not at every turn.
   */
  #carriesFlags(id: number): boolean {
    return this.#flagsLiveIn.has(id) && !this.#flagsRead.has(id);
  }

  #flagsInto(id: number): FlagState {
    return this.#carriesFlags(id) ? FLAGS_CARRIED : FLAGS_IN_LOCALS;
  }

  /** Leaves to `delta`; flags are in their locals, or carried where that is what `by` computes. */
  #leaveTowards(delta: number, by = this.#leaveAt): void {
    this.#f.set(this.#v.delta, i32.const(delta));
    this.#f.br(by as Label);
  }

  // Code.

  #code(id: number, flagsBefore: FlagState): void {
    const f = this.#f;
    const block = this.#block(id);
    if (f.code.length > MAX_CODE_BYTES) throw new TooLarge();
    if (this.#flow.loops.has(id) || this.#flow.merges.has(id)) {
      this.#forget();
      this.#near.merge(id);
    }
    let flags = flagsBefore;
    let count = 0;
    for (const insn of block.insns) {
      this.#near.at(id, count++);
      const executed = count;
      const isLast = count === block.insns.length && block.end.kind === 'transfer';
      let b: RegionBuilder | undefined;
      const start = flags;
      const made = f.collect(() => {
        const control: RegionControl = {
          ...this.#waysOut(),
          direct: (target) => this.#edgeTo(id, target, executed, (b as RegionBuilder).flags, b as RegionBuilder),
          dynamic: (rip) => this.#dynamic(id, rip, executed, b as RegionBuilder, insn),
          executed,
          known: this.#known,
          cacheOf: (base, index, displacement, bytes, write) =>
            this.#pageCaches.of(id, insn, base, index, displacement, bytes, write),
          constantOf: (name, value) => this.#vectors?.of(name, value) ?? value,
          near: this.#near,
        };
        if (insn.system !== undefined || insn.called) {
          b = new RegionBuilder(f, insn, this.#helpers, this.#v, control, start, undefined);
          b.materialise();
          if (insn.system === 'leaves') this.#leaveBy(insn, executed, b);
          else if (insn.system !== undefined) this.#system(insn, executed);
          else this.#call(insn, executed);
          // Of a region with system instructions nothing is known to last.
          this.#forget();
        } else if (insn.traits.endsEarly) {
          // Before the block, for both ways through it need them.
          const before = new RegionBuilder(f, insn, this.#helpers, this.#v, control, start, undefined);
          if (insn.traits.nestedFlags) before.materialise();
          f.block((end) => {
            b = new RegionBuilder(f, insn, this.#helpers, this.#v, control, before.flags, end);
            this.#lift(b, insn);
          });
        } else {
          b = new RegionBuilder(f, insn, this.#helpers, this.#v, control, start, undefined);
          if (insn.traits.nestedFlags) b.materialise();
          this.#lift(b, insn);
        }
        if (insn.traits.changesMode && insn.system === undefined) this.#frame.loadTlb();
        if (forgetsAll(insn)) this.#near.forget();
      });
      const done = b as unknown as RegionBuilder;
      flags = done.flags;
      for (const number of done.cleared) this.#known.add(clearKey(number));
      this.#waiting.push(...made);
      this.#releaseUnpinned(flags);
      if (isLast) {
        if (block.end.kind === 'transfer' && block.end.next !== undefined) {
          this.#edgeTo(id, block.end.next, count, flags, done);
        }
        return;
      }
    }
    if (block.end.kind === 'next') {
      const last = block.insns.at(-1) as RegionInsn;
      const control: RegionControl = {
        ...this.#waysOut(),
        direct() {},
        dynamic() {},
        executed: 0,
        known: this.#known,
        cacheOf: () => undefined,
        constantOf: (_name, value) => value,
        near: this.#near,
      };
      const b = new RegionBuilder(f, last, this.#helpers, this.#v, control, flags, undefined);
      this.#edgeTo(id, block.end.delta, count, flags, b);
    }
  }

  #waysOut(): Pick<RegionControl, 'leaveAt' | 'leaveWithFlags' | 'leaveWithCarried' | 'leave'> {
    return {
      leaveAt: this.#leaveAt as Label,
      leaveWithFlags: (sum) => this.#leaveWithFlags(sum),
      leaveWithCarried: () => this.#leaveWithCarried as Label,
      leave: this.#leave as Label,
    };
  }

  #lift(b: RegionBuilder, insn: RegionInsn): void {
    insn.decoded.row.lift?.(b);
  }

  /** RET and indirect jumps: to the places that are expected, or out. */
  #dynamic(from: number, rip: Local<'i64'>, count: number, b: RegionBuilder, insn: RegionInsn): void {
    const f = this.#f;
    const { successors } = this.#block(from);
    const isAt = (to: number): I32 => i64.eq(rip, i64.add(this.#v.ripBase, i64.const(this.#block(to).delta)));
    const last = successors.at(-1);
    for (const to of successors.slice(0, -1)) f.if(isAt(to), () => this.#edge(from, to, count, b.flags, b));
    if (last === undefined) {
      this.#leaveTo(rip, count, b, insn);
      return;
    }
    f.unlikely(i32.eqz(isAt(last)), () => this.#leaveTo(rip, count, b, insn));
    this.#edge(from, last, count, b.flags, b);
  }

  /** Leaves to the RIP in a local, which an indirect jump notes. */
  #leaveTo(rip: Local<'i64'>, count: number, b: RegionBuilder, insn: RegionInsn): void {
    const f = this.#f;
    b.materialiseAside();
    this.#charge(count);
    f.set(this.#v.rip, rip);
    const at = this.#constants.logs.get(insn);
    if (at !== undefined) {
      const noted = f.let(i32.load(at));
      const entry = i32.shl(i32.and(noted, i32.const(TARGET_LOG_ENTRIES)), i32.const(3));
      f.store(8, i32.add(at, entry), rip, 8);
      f.store(4, at, i32.add(noted, i32.const(1)));
    }
    f.br(this.#leave as Label);
  }

  /** Calls the interpreter's handler, with everything in the state record. */
  #call(insn: RegionInsn, executed: number): void {
    const f = this.#f;
    const v = this.#v;
    const handler = this.#constants.handlers.get(insn);
    if (handler === undefined) throw new Error(`${insn.decoded.row.name} has no handler`);
    const page = insn.delta & ~0xfff;
    f.loop((again) => {
      this.#frame.spill();
      f.store(8, v.cpu, i64.add(v.ripBase, i64.const(page)), RIP_BASE);
      f.set(v.status, callIndirect('i32', this.#handlerType, handler.index, v.cpu, handler.record));
      this.#frame.loadRegisters();
      f.if(i32.ne(v.status, i32.const(STATUS_NEXT)), () => {
        f.set(v.delta, i32.const(insn.delta));
        f.if(i32.eq(v.status, i32.const(STATUS_FAULT)), () => {
          f.set(v.status, i32.const(statusAfter(STATUS_FAULT, executed - 1)));
          f.br(this.#leaveAt as Label);
        });
        f.if(i32.eq(v.status, i32.const(STATUS_AGAIN)), () => {
          f.set(v.budget, i32.sub(v.budget, i32.const(STRING_TURN_COST)));
          f.brIf(again, this.#mayGoOn());
          f.set(v.status, i32.const(statusAfter(STATUS_BUDGET, executed - 1)));
          f.br(this.#leaveAt as Label);
        });
        f.unreachable();
      });
    });
    f.set(v.status, i32.const(STATUS_JUMP));
    // The handler may have written to translated code.
    f.if(i32.ne(i32.load(v.cpu, CODE_GENERATION), v.generation), () => {
      this.#charge(executed);
      this.#leaveTowards(insn.delta + insn.decoded.length);
    });
  }

  /** Leaves by the function of a system instruction, which does it in the state record. */
  #leaveBy(insn: RegionInsn, executed: number, b: RegionBuilder): void {
    const f = this.#f;
    const v = this.#v;
    const next = i64.add(v.ripBase, i64.const(insn.delta + insn.decoded.length));
    this.#frame.spill();
    this.#charge(executed - 1);
    f.set(v.status, call('i32', this.#helpers[insn.decoded.row.system as string] as Callee, v.cpu, next));
    f.unlikely(i32.eq(v.status, i32.const(STATUS_REFUSED)), () => {
      f.set(v.status, i32.const(STATUS_JUMP));
      b.leaveAt(insn.delta);
    });
    this.#charge(1);
    f.set(v.rip, i64.load(v.cpu, RIP));
    f.br(this.#leaveSpilled as Label);
  }

  /** Has a system instruction done; goes on behind it when everything that the region relies on is as it was. */
  #system(insn: RegionInsn, executed: number): void {
    const f = this.#f;
    const v = this.#v;
    const constants = this.#constants.handlers.get(insn);
    if (constants === undefined) throw new Error(`${insn.decoded.row.name} has no record`);
    const tag = f.let(i32.load(v.cpu, FETCH_TAG));
    const epoch = f.let(i32.load(v.cpu, FETCH_EPOCH));
    this.#frame.spill();
    f.store(8, v.cpu, i64.add(v.ripBase, i64.const(insn.delta & ~0xfff)), RIP_BASE);
    f.set(v.status, call('i32', this.#helpers['system'] as Callee, v.cpu, constants.index, constants.record));
    this.#frame.loadRegisters();
    this.#frame.loadTlb();
    f.unlikely(i32.eq(v.status, i32.const(STATUS_FAULT)), () => {
      f.set(v.status, i32.const(statusAfter(STATUS_FAULT, executed - 1)));
      this.#leaveTowards(insn.delta);
    });
    f.set(v.rip, i64.load(v.cpu, RIP));
    const next = i64.add(v.ripBase, i64.const(insn.delta + insn.decoded.length));
    const isNext = i32.and(i32.eq(v.status, i32.const(STATUS_JUMP)), i64.eq(v.rip, next));
    const isMapped = this.#isMapping(tag, epoch);
    const isSame = i32.and(isMapped, i32.eq(i32.load(v.cpu, CODE_GENERATION), v.generation));
    f.unlikely(i32.eqz(i32.and(isNext, isSame)), () => {
      this.#charge(executed);
      f.br(this.#leave as Label);
    });
  }

  #mayGoOn(): I32 {
    const v = this.#v;
    return i32.and(i32.geS(v.budget, i32.const(0)), i32.eq(i32.load(v.cpu, CODE_GENERATION), v.generation));
  }
}
