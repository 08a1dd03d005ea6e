/**
 * The ways out of a region: labels around its body, one for each state in which it may be left.
 *
 *     body
 *     sums:     flags of one kind and size from x, y and r
 *     carried:  flags as `carried` says
 *     at:       RIP from `delta`; what stands above the status off the budget
 *     leave:    registers and flags into the state record
 *     spilled:  RIP and budget too
 *
 * @module
 */
import { i32, i64 } from '../emit/expr.ts';
import type { FunctionBuilder, Label } from '../emit/function-builder.ts';
import { computeCarried, computeFlags, type RegionLocals, SUMS } from './region-flags.ts';
import type { RegionFrame } from './region-frame.ts';
import { STATUS_BITS } from './region-status.ts';

export class RegionExits {
  readonly #f: FunctionBuilder;
  readonly #frame: RegionFrame;
  readonly #v: RegionLocals;
  /** With registers and flags in the state record, and RIP in its local. */
  leaveSpilled!: Label;
  /** With `rip` set. */
  leave!: Label;
  /** With `delta` and `status` set, and flags in the flag locals. */
  leaveAt!: Label;
  /** The same with carried flags. */
  leaveWithCarried!: Label;
  /** By SUMS. */
  readonly #flagLabels: Label[] = [];
  /** Sums that some way out hands over, by bit. */
  #sumsUsed = 0;
  /** Sums that are carried into some block. */
  readonly #sumsCarried: number[] = [];

  constructor(f: FunctionBuilder, frame: RegionFrame) {
    this.#f = f;
    this.#frame = frame;
    this.#v = frame.locals;
  }

  /** The same with x, y and r of a sum set. */
  leaveWithFlags(sum: number): Label {
    this.#sumsUsed |= 1 << sum;
    return this.#flagLabels[sum] as Label;
  }

  /** A sum is carried from block to block. */
  carries(sum: number): void {
    if (!this.#sumsCarried.includes(sum)) this.#sumsCarried.push(sum);
  }

  /** Writes the body, which ends by none but these ways, and what they do. Behind it registers and flags are in the state record. */
  around(body: () => void): void {
    const f = this.#f;
    const v = this.#v;
    f.block((leaveSpilled) => {
      this.leaveSpilled = leaveSpilled;
      f.block((leave) => {
        this.leave = leave;
        f.block((leaveAt) => {
          this.leaveAt = leaveAt;
          f.block((leaveWithCarried) => {
            this.leaveWithCarried = leaveWithCarried;
            this.#withFlags(0, body);
          });
          computeCarried(f, v, this.#sumsCarried);
        });
        f.set(v.rip, i64.add(v.ripBase, i64.extendI32S(v.delta)));
        f.set(v.budget, i32.sub(v.budget, i32.shrU(v.status, i32.const(STATUS_BITS))));
        f.set(v.status, i32.and(v.status, i32.const((1 << STATUS_BITS) - 1)));
      });
      this.#frame.spill();
    });
  }

  /** The body, within blocks whose ends compute the flags of sums of each kind. */
  #withFlags(n: number, body: () => void): void {
    const f = this.#f;
    const sum = SUMS[n];
    if (sum === undefined) {
      body();
      f.unreachable();
      return;
    }
    f.block((label) => {
      this.#flagLabels.push(label);
      this.#withFlags(n + 1, body);
    });
    if (((this.#sumsUsed >> n) & 1) === 0) return;
    f.scope(() => computeFlags(f, this.#v, sum.kind, sum.size));
    f.br(this.leaveAt);
  }

  /** Leaves to `delta`; flags are in their locals, or carried where that is what `by` computes. */
  towards(delta: number, by: Label = this.leaveAt): void {
    this.#f.set(this.#v.delta, i32.const(delta));
    this.#f.br(by);
  }

  /** Takes executed instructions off the budget. */
  charge(count: number): void {
    const { budget } = this.#v;
    if (count > 0) this.#f.set(budget, i32.sub(budget, i32.const(count)));
  }
}
