/**
 * The body of a region: blocks and loops nested by the dominator tree, and the edges between them.
 *
 * Every way out sets RIP and the status and goes to the one epilogue. Edges that structured code has no place for (those of
 * irreducible loops) are ways out too.
 *
 * @module
 */
import { type I32, i32, i64, type V128 } from '../emit/expr.ts';
import type { FunctionBuilder, Label, Local } from '../emit/function-builder.ts';
import type { HelperFunctions } from '../insn/lift-builder.ts';
import { STATUS_BUDGET } from '../interpreter/record.ts';
import type { ControlFlow } from './control-flow.ts';
import { NearAccesses } from './near-accesses.ts';
import type { PageCaches } from './page-caches.ts';
import type { Region, RegionBlock } from './region.ts';
import { liveFlags, needOfFlags, readOfFlags } from './region-analysis.ts';
import { RegionBuilder, type RegionControl } from './region-builder.ts';
import type { RegionExits } from './region-exits.ts';
import { FLAGS_CARRIED, FLAGS_IN_LOCALS, type FlagState, type RegionLocals } from './region-flags.ts';
import type { RegionFrame } from './region-frame.ts';
import { TARGET_LOG_ENTRIES } from './region-imports.ts';
import type { RegionInsn } from './region-insn.ts';
import type { UntranslatedInsns } from './untranslated-insns.ts';
import { VectorFacts } from './vector-facts.ts';
import type { VectorConstants } from './vector-constants.ts';

/** Most bytes of one region's function: far more than any code of compilers needs, and bearable for V8's. */
const MAX_CODE_BYTES = 200_000;

/** The function would be too large. */
export class TooLarge extends Error {
  override readonly name = 'TooLarge';
}

/** What the body is written with. */
export interface RegionParts {
  readonly f: FunctionBuilder;
  readonly region: Region;
  readonly flow: ControlFlow;
  readonly helpers: HelperFunctions;
  readonly frame: RegionFrame;
  readonly exits: RegionExits;
  readonly pageCaches: PageCaches;
  readonly vectors: VectorConstants | undefined;
  readonly untranslated: UntranslatedInsns;
  /** Logs of indirect jumps. */
  readonly logs: ReadonlyMap<RegionInsn, I32>;
}

export class RegionBody implements RegionControl {
  readonly f: FunctionBuilder;
  readonly helpers: HelperFunctions;
  readonly locals: RegionLocals;
  readonly near: NearAccesses;
  readonly exits: RegionExits;
  facts = new VectorFacts();
  readonly #parts: RegionParts;
  readonly #flow: ControlFlow;
  readonly #flagsLiveIn: ReadonlySet<number>;
  /** Blocks that read flags before they write them; the others in which they are live only may leave. */
  readonly #flagsRead: ReadonlySet<number>;
  readonly #labels = new Map<number, Label>();
  /** An instruction that is carried out in the state record may write any register there. */
  readonly #hasSystem: boolean;
  /** How many paths that are yet to be written compute flags from a local, by its index. */
  readonly #pinned: number[] = [];
  /** Locals whose instruction is over, which were pinned then. */
  readonly #waiting: Local[] = [];

  constructor(parts: RegionParts) {
    const { f, region, flow, helpers, frame, exits } = parts;
    this.f = f;
    this.helpers = helpers;
    this.locals = frame.locals;
    this.near = new NearAccesses(f, region, flow);
    this.exits = exits;
    this.#parts = parts;
    this.#flow = flow;
    this.#flagsLiveIn = liveFlags(region, flow, needOfFlags);
    this.#flagsRead = liveFlags(region, flow, readOfFlags);
    this.#hasSystem = region.insns.some(({ system }) => system === 'stays');
  }

  /** Writes it. */
  write(): void {
    this.#tree(this.#parts.region.entry, FLAGS_IN_LOCALS);
  }

  #block(id: number): RegionBlock {
    const block = this.#parts.region.blocks.get(id);
    if (block === undefined) throw new Error(`no block ${id}`);
    return block;
  }

  // What instructions ask for.

  direct(b: RegionBuilder, delta: number): void {
    this.#edgeTo(b, delta, b.owed);
  }

  /** RET and indirect jumps: to the places that are expected, or out. */
  dynamic(b: RegionBuilder, rip: Local<'i64'>): void {
    const { f } = this;
    const { successors } = this.#block(b.block);
    const isAt = (to: number): I32 => i64.eq(rip, i64.add(this.locals.ripBase, i64.const(this.#block(to).delta)));
    const last = successors.at(-1);
    for (const to of successors.slice(0, -1)) f.if(isAt(to), () => this.#edge(b, to, b.owed));
    if (last === undefined) {
      this.#leaveTo(b, rip);
      return;
    }
    f.unlikely(i32.eqz(isAt(last)), () => this.#leaveTo(b, rip));
    this.#edge(b, last, b.owed);
  }

  /** Leaves to the RIP in a local, which an indirect jump notes. */
  #leaveTo(b: RegionBuilder, rip: Local<'i64'>): void {
    const { f } = this;
    b.materialiseAside();
    this.exits.charge(b.owed);
    f.set(this.locals.rip, rip);
    const at = this.#parts.logs.get(b.insn);
    if (at !== undefined) {
      const noted = f.let(i32.load(at));
      const entry = i32.shl(i32.and(noted, i32.const(TARGET_LOG_ENTRIES)), i32.const(3));
      f.store(8, i32.add(at, entry), rip, 8);
      f.store(4, at, i32.add(noted, i32.const(1)));
    }
    f.br(this.exits.leave);
  }

  get pageCaches(): PageCaches {
    return this.#parts.pageCaches;
  }

  constantOf(name: string, value: V128): V128 {
    return this.#parts.vectors?.of(name, value) ?? value;
  }

  // Structure.

  /** A node with everything that it dominates. */
  #tree(id: number, flags: FlagState): void {
    this.near.aside(() => this.#dominated(id, flags));
  }

  #dominated(id: number, flags: FlagState): void {
    const { children, merges, loops, position } = this.#flow;
    const after = (children.get(id) ?? []).filter((child) => merges.has(child));
    // The last one in order gets the outermost block.
    after.sort((x, y) => (position.get(y) as number) - (position.get(x) as number));
    if (loops.has(id)) {
      this.f.loop((label) => {
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
    this.f.block((label) => {
      this.#labels.set(next, label);
      this.#within(id, after, index + 1, flags);
      this.#labels.delete(next);
    });
    // What the next one learns holds in what it dominates, and not in what comes behind that.
    const known = this.facts;
    this.facts = known.copy();
    this.#tree(next, this.#flagsInto(next));
    this.facts = known;
  }

  /** Goes from an instruction's block to the instruction at `delta`, which may be outside; nothing that follows is reached. */
  #edgeTo(b: RegionBuilder, delta: number, count: number): void {
    for (const to of this.#block(b.block).successors) {
      if (this.#block(to).delta !== delta) continue;
      this.#edge(b, to, count);
      return;
    }
    this.exits.charge(count);
    b.leaveAt(delta);
  }

  /** Goes from an instruction's block to one of its successors; nothing that follows is reached. */
  #edge(b: RegionBuilder, to: number, count: number): void {
    const { position, merges } = this.#flow;
    const { delta } = this.#block(to);
    const label = this.#labels.get(to);
    const isBack = (position.get(to) as number) <= (position.get(b.block) as number);
    if ((isBack || merges.has(to)) && label === undefined) {
      this.exits.charge(count);
      b.leaveAt(delta);
      return;
    }
    const live = this.#flagsLiveIn.has(to);
    const isJoined = label !== undefined || this.#flow.loops.has(to);
    const carries = isJoined && this.#carriesFlags(to);
    if (carries) {
      const sum = b.carryFlags();
      if (sum >= 0) this.exits.carries(sum);
    } else if (isJoined && live) b.materialiseAside();
    this.exits.charge(count);
    if (label === undefined) {
      const known = this.facts;
      const { flags } = b;
      this.facts = known.copy();
      this.#pin(flags, 1);
      this.#tree(to, isJoined ? this.#flagsInto(to) : flags);
      this.#pin(flags, -1);
      this.facts = known;
      return;
    }
    if (isBack) {
      const { f, exits } = this;
      f.unlikely(i32.ltS(this.locals.budget, i32.const(0)), () => {
        f.set(this.locals.status, i32.const(STATUS_BUDGET));
        // What is live is in the flag locals; what is not is computed here.
        if (carries) exits.towards(delta, exits.leaveWithCarried);
        else if (live) exits.towards(delta);
        else b.leaveAt(delta);
      });
    }
    this.f.br(label);
  }

  #pin({ locals }: FlagState, by: 1 | -1): void {
    for (const { index } of locals) this.#pinned[index] = (this.#pinned[index] ?? 0) + by;
  }

  #releaseUnpinned(current: FlagState): void {
    const waiting = this.#waiting;
    let kept = 0;
    for (const local of waiting) {
      if ((this.#pinned[local.index] ?? 0) > 0 || current.locals.includes(local)) waiting[kept++] = local;
      else this.f.releaseOne(local);
    }
    waiting.length = kept;
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

  // Code.

  #code(id: number, flagsBefore: FlagState): void {
    const { f } = this;
    const { insns, end } = this.#block(id);
    if (f.code.length > MAX_CODE_BYTES) throw new TooLarge();
    if (this.#flow.loops.has(id) || this.#flow.merges.has(id)) {
      this.facts.forget(this.#hasSystem);
      this.near.merge(id);
    }
    let flags = flagsBefore;
    let b: RegionBuilder | undefined;
    let count = 0;
    for (const insn of insns) {
      this.near.at(id, count++);
      const isCharged = count === insns.length && isChargedBefore(insn);
      if (isCharged) this.exits.charge(count);
      const made: Local[] = [];
      const outer = f.collectInto(made);
      b = this.#insn(insn, id, count, isCharged ? 0 : count, flags);
      f.collectInto(outer);
      ({ flags } = b);
      if (b.cleared !== 0) this.facts.setClear(b.cleared);
      for (const local of made) this.#waiting.push(local);
      this.#releaseUnpinned(flags);
    }
    if (b === undefined) throw new Error(`block ${id} is empty`);
    const next = end.kind === 'next' ? end.delta : end.next;
    if (next !== undefined) this.#edgeTo(b, next, b.owed);
  }

  /** Writes an instruction; what it transfers control to as well. */
  #insn(insn: RegionInsn, block: number, executed: number, owed: number, flags: FlagState): RegionBuilder {
    const { traits } = insn;
    let b = new RegionBuilder(this, insn, block, executed, owed, flags, undefined);
    if (insn.system !== undefined || insn.called) {
      b.materialise();
      this.#parts.untranslated.write(insn, b);
      // Of a region with system instructions nothing is known to last.
      this.facts.forget(this.#hasSystem);
    } else {
      // Before the block of those that end in several places, for all ways through it need them.
      if (traits.nestedFlags) b.materialise();
      if (traits.endsEarly) {
        this.f.block((end) => {
          b = new RegionBuilder(this, insn, block, executed, owed, b.flags, end);
          insn.decoded.row.lift?.(b);
        });
      } else insn.decoded.row.lift?.(b);
    }
    if (traits.changesMode && insn.system === undefined) this.#parts.frame.loadTlb();
    if (insn.forgets) this.near.forget();
    return b;
  }
}

/** A conditional jump, both of whose edges take the same off the budget: that stands in front of it, once. */
const isChargedBefore = ({ insnForm, traits, called, system }: RegionInsn): boolean =>
  insnForm.conditional && !called && system === undefined && !traits.raises && !traits.leaves;
