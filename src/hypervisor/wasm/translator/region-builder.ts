/**
 * The builder that lifts write translated code against: operands are those of region-operands.ts, memory accesses those of
 * region-memory.ts, and flags are kept as what they are to be computed from until something needs them.
 *
 * A fault leaves with the registers as before the instruction.
 *
 * @module
 */
import { type Expr, type I32, i32, type I64, isConstant } from '../emit/expr.ts';
import { type Label, Local } from '../emit/function-builder.ts';
import { STATUS_FAULT, STATUS_LEAVE } from '../interpreter/record.ts';
import { FAULT_ERROR, FAULT_VECTOR } from '../state.ts';
import {
  CARRY,
  computeCarried,
  conditionOf,
  FLAGS_IN_LOCALS,
  type FlagState,
  type PendingFlags,
  sumOf,
  SUMS,
} from './region-flags.ts';
import type { RegionExits } from './region-exits.ts';
import type { RegionInsn } from './region-insn.ts';
import { RegionMemory } from './region-memory.ts';
import type { RegionContext } from './region-operands.ts';
import { statusAfter } from './region-status.ts';

/** Control transfers, which the region's structure decides. */
export interface RegionControl extends RegionContext {
  readonly exits: RegionExits;
  /** Goes from an instruction to the one at `delta`, within the region or out of it. */
  direct(b: RegionBuilder, delta: number): void;
  /** Goes to the RIP in a local. */
  dynamic(b: RegionBuilder, rip: Local<'i64'>): void;
}

export class RegionBuilder extends RegionMemory {
  /** The flags before the instruction, as far as it has been written, and after it. */
  flags: FlagState;
  /** Instructions of the block up to and with this one, and how many of them its edges take off the budget. */
  readonly executed: number;
  readonly owed: number;
  readonly #control: RegionControl;

  /** `block`, `executed`, `owed`: where the instruction is. `end`: behind it, for those that end in several places. */
  constructor(
    control: RegionControl,
    insn: RegionInsn,
    block: number,
    executed: number,
    owed: number,
    flags: FlagState,
    end: Label | undefined,
  ) {
    super(control, insn, block, end);
    this.#control = control;
    this.executed = executed;
    this.owed = owed;
    this.flags = flags;
  }

  /** The slow way leaves the region, so that what the fast way knows holds in all that follows. */
  override slowly(slow: () => void): void {
    const { flags } = this;
    const control = this.#control;
    const known = control.facts;
    control.facts = known.copy();
    slow();
    this.#leaveEarly(this.insn.delta + this.insn.decoded.length);
    this.flags = flags;
    control.facts = known;
  }

  // Flags.

  /** Computes pending flags into the flag locals. */
  materialise(): void {
    const { pending } = this.flags;
    if (pending === undefined) return;
    this.flags = FLAGS_IN_LOCALS;
    this.setFlagsOf(pending);
  }

  /** The same on a way out: the builder goes on as if nothing had been computed. */
  materialiseAside(): void {
    const kept = this.flags;
    this.materialise();
    this.flags = kept;
  }

  /** Leaves in the middle of a block, this instruction being done. */
  #leaveEarly(delta: number): void {
    this.#charge();
    this.leaveAt(delta);
  }

  #charge(): void {
    const { budget } = this.locals;
    this.f.set(budget, i32.sub(budget, i32.const(this.executed)));
  }

  /** Leaves to a place of the region's linear address space, with the flags as they are now. `status` (statusAfter) is set already. */
  leaveAt(delta: number): void {
    const { f } = this;
    const v = this.locals;
    f.set(v.delta, i32.const(delta));
    const { pending } = this.flags;
    const { exits } = this.#control;
    if (pending?.kind === 'carried') f.br(exits.leaveWithCarried);
    else {
      const sum = this.#handOver();
      if (sum < 0) this.materialiseAside();
      f.br(sum < 0 ? exits.leaveAt : exits.leaveWithFlags(sum));
    }
  }

  /** Puts what pending flags are a sum of where `computeFlags` finds it; the number of the sum, or -1 for other flags. */
  #handOver(): number {
    const { pending } = this.flags;
    if (pending?.kind !== 'add' && pending?.kind !== 'sub') return -1;
    if (pending.kept !== undefined) return -1;
    const [x, y, r] = this.#sumLocals(pending.size);
    if (pending.x !== x) this.f.set(x, pending.x);
    if (pending.y !== y) this.f.set(y, pending.y);
    if (pending.r !== r) this.f.set(r, pending.r);
    return sumOf(pending.kind, pending.size);
  }

  /** Where `computeFlags` finds x, y and r. */
  #sumLocals(size: number): readonly [Local, Local, Local] {
    return (size === 8 ? this.locals.wide : this.locals.narrow) as unknown as readonly [Local, Local, Local];
  }

  /**
   * Sums of registers and constants are made where ways out want them. What was there was of flags that end here, and nothing leaves before
   * these are pending: memory could.
   */
  override sum(kind: 'add' | 'sub', isCompared: boolean): void {
    if (this.isMemory(0) || this.isMemory(1) || !this.isUnconditional) {
      super.sum(kind, isCompared);
      return;
    }
    const { f, size, t } = this;
    const [x, yLocal, r] = this.#sumLocals(size);
    f.set(x, this.read(0));
    let y = this.read(1);
    if (!isConstant(y)) {
      f.set(yLocal, y);
      y = yLocal;
    }
    f.set(r, kind === 'add' ? t.add(x, y) : t.sub(x, y));
    if (kind === 'add') this.flagsAdd(x, y, r);
    else this.flagsSub(x, y, r);
    if (!isCompared) this.write(0, r);
  }

  /** Hands the flags to a block that is entered with carried flags. Returns the number of the sum, or -1. */
  carryFlags(): number {
    if (this.flags.pending?.kind === 'carried') return -1;
    const sum = this.#handOver();
    if (sum < 0) this.materialiseAside();
    this.f.set(this.locals.carried, i32.const(sum + 1));
    return sum;
  }

  flagResult(): Local<'i64'> {
    this.materialise();
    return this.locals.flagResult;
  }

  flagAux(): Local<'i32'> {
    this.materialise();
    return this.locals.flagAux;
  }

  setFlags(result: I64, aux: I32): void {
    this.f.set(this.locals.flagResult, result);
    this.f.set(this.locals.flagAux, aux);
    this.flags = FLAGS_IN_LOCALS;
  }

  /** Sets flags now: the size is that of the instruction which they are of. */
  setFlagsOf(pending: PendingFlags): void {
    const { size } = this;
    this.size = pending.size;
    if (pending.kind === 'add') super.flagsAdd(pending.x, pending.y, pending.r, false, pending.kept);
    else if (pending.kind === 'sub') super.flagsSub(pending.x, pending.y, pending.r, false, pending.kept);
    else if (pending.kind === 'logic') super.flagsLogic(pending.r);
    else if (pending.kind === 'deferred') pending.make();
    else computeCarried(this.f, this.locals, SUMS.keys());
    this.size = size;
  }

  #pend(pending: PendingFlags, locals: readonly Local[]): void {
    if (this.f.depth === this.depth) this.flags = { pending, locals };
    else this.setFlagsOf(pending);
  }

  override flagsAdd(x: Expr, y: Expr, r: Local, carried = false, kept?: I32): void {
    this.#pend({ kind: 'add', size: this.size, x, y, r, carried, kept }, localsOf(x, y, r, kept));
  }

  override flagsSub(x: Expr, y: Expr, r: Local, carried = false, kept?: I32): void {
    this.#pend({ kind: 'sub', size: this.size, x, y, r, carried, kept }, localsOf(x, y, r, kept));
  }

  override carry(): I32 {
    const { pending } = this.flags;
    return (pending === undefined ? undefined : conditionOf(CARRY, pending)) ?? super.carry();
  }

  override flagsLogic(r: Expr): void {
    this.#pend({ kind: 'logic', size: this.size, r }, r instanceof Local ? [r] : []);
  }

  override deferFlags(make: () => void): void {
    // What `make` reads is not known: every local of the instruction stays.
    this.#pend({ kind: 'deferred', size: this.size, make }, this.f.collected());
  }

  override condition(code: number): I32 {
    const { pending } = this.flags;
    const direct = pending === undefined ? undefined : conditionOf(code >> 1, pending);
    if (direct === undefined) return super.condition(code);
    return (code & 1) === 0 ? direct : i32.eqz(direct);
  }

  // Control.

  leaveWithFault(): void {
    this.f.set(this.locals.status, i32.const(statusAfter(STATUS_FAULT, this.executed - 1)));
    this.leaveAt(this.insn.delta);
  }

  raise(vector: number, error?: I32): void {
    this.f.store(4, this.cpu, i32.const(vector), FAULT_VECTOR);
    this.f.store(4, this.cpu, error ?? i32.const(-1), FAULT_ERROR);
    this.leaveWithFault();
  }

  next(): void {
    if (this.end === undefined) throw new Error(`${this.insn.decoded.row.name} ends early unannounced`);
    this.f.br(this.end);
  }

  jump(rip: Local<'i64'>): void {
    this.#control.dynamic(this, rip);
  }

  jumpDirect(): void {
    this.#control.direct(this, this.targetDelta());
  }

  again(): void {
    throw new Error('repeated instructions are called, not translated');
  }

  leaveAfter(): void {
    this.f.set(this.locals.status, i32.const(statusAfter(STATUS_LEAVE, this.executed)));
    this.leaveAt(this.insn.delta + this.insn.decoded.length);
  }
}

/** The locals among them: operands may be constants. */
function localsOf(x: Expr, y: Expr, r: Local, kept: I32 | undefined): Local[] {
  const locals = [r];
  if (x instanceof Local) locals.push(x);
  if (y instanceof Local) locals.push(y);
  if (kept !== undefined) locals.push(kept as Local<'i32'>);
  return locals;
}
