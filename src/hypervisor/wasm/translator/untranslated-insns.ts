/**
 * Instructions of a region that are carried out elsewhere, with everything in the state record: by handlers of the interpreter, by functions
 * of system instructions, by `system`.
 *
 * @module
 */
import { type I32, i32, i64 } from '../emit/expr.ts';
import { call, callIndirect, type Callee, type FunctionBuilder } from '../emit/function-builder.ts';
import type { HelperFunctions } from '../insn/lift-builder.ts';
import {
  STATUS_AGAIN,
  STATUS_BUDGET,
  STATUS_FAULT,
  STATUS_JUMP,
  STATUS_NEXT,
  STATUS_REFUSED,
  STRING_TURN_COST,
} from '../interpreter/record.ts';
import { FETCH_EPOCH, RIP_BASE } from '../mmu/layout.ts';
import { CODE_GENERATION, FETCH_TAG, RIP } from '../state.ts';
import type { RegionBuilder } from './region-builder.ts';
import type { RegionExits } from './region-exits.ts';
import type { RegionLocals } from './region-flags.ts';
import type { RegionFrame } from './region-frame.ts';
import type { RegionInsn } from './region-insn.ts';
import { statusAfter } from './region-status.ts';

/** Constants of a module by instruction: the index of a handler or of a system instruction, and a record. */
export type HandlerConstants = ReadonlyMap<RegionInsn, { readonly index: I32; readonly record: I32 }>;

/** Code is mapped as it was when these were FETCH_TAG and FETCH_EPOCH. */
export const isMapping = (cpu: I32, tag: I32, epoch: I32): I32 =>
  i32.and(i32.eq(tag, i32.load(cpu, FETCH_TAG)), i32.eq(epoch, i32.load(cpu, FETCH_EPOCH)));

export class UntranslatedInsns {
  readonly #f: FunctionBuilder;
  readonly #v: RegionLocals;
  readonly #frame: RegionFrame;
  readonly #exits: RegionExits;
  readonly #helpers: HelperFunctions;
  readonly #handlers: HandlerConstants;
  readonly #handlerType: number;

  constructor(
    f: FunctionBuilder,
    frame: RegionFrame,
    exits: RegionExits,
    helpers: HelperFunctions,
    handlers: HandlerConstants,
    handlerType: number,
  ) {
    this.#f = f;
    this.#v = frame.locals;
    this.#frame = frame;
    this.#exits = exits;
    this.#helpers = helpers;
    this.#handlers = handlers;
    this.#handlerType = handlerType;
  }

  /** Writes one; flags are in their locals. */
  write(insn: RegionInsn, b: RegionBuilder): void {
    if (insn.system === 'leaves') this.#leaveBy(insn, b);
    else if (insn.system !== undefined) this.#system(insn, b.executed);
    else this.#call(insn, b.executed);
  }

  /** Calls the interpreter's handler, with everything in the state record. */
  #call(insn: RegionInsn, executed: number): void {
    const f = this.#f;
    const v = this.#v;
    const handler = this.#handlers.get(insn);
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
          f.br(this.#exits.leaveAt);
        });
        f.if(i32.eq(v.status, i32.const(STATUS_AGAIN)), () => {
          f.set(v.budget, i32.sub(v.budget, i32.const(STRING_TURN_COST)));
          f.brIf(again, this.#mayGoOn());
          f.set(v.status, i32.const(statusAfter(STATUS_BUDGET, executed - 1)));
          f.br(this.#exits.leaveAt);
        });
        f.unreachable();
      });
    });
    f.set(v.status, i32.const(STATUS_JUMP));
    // The handler may have written to translated code.
    f.if(i32.ne(i32.load(v.cpu, CODE_GENERATION), v.generation), () => {
      this.#exits.charge(executed);
      this.#exits.towards(insn.delta + insn.decoded.length);
    });
  }

  /** Leaves by the function of a system instruction, which does it in the state record. */
  #leaveBy(insn: RegionInsn, b: RegionBuilder): void {
    const f = this.#f;
    const v = this.#v;
    const next = i64.add(v.ripBase, i64.const(insn.delta + insn.decoded.length));
    this.#frame.spill();
    this.#exits.charge(b.executed - 1);
    f.set(v.status, call('i32', this.#helpers[insn.decoded.row.system as string] as Callee, v.cpu, next));
    f.unlikely(i32.eq(v.status, i32.const(STATUS_REFUSED)), () => {
      f.set(v.status, i32.const(STATUS_JUMP));
      b.leaveAt(insn.delta);
    });
    this.#exits.charge(1);
    f.set(v.rip, i64.load(v.cpu, RIP));
    f.br(this.#exits.leaveSpilled);
  }

  /** Has a system instruction done; goes on behind it when everything that the region relies on is as it was. */
  #system(insn: RegionInsn, executed: number): void {
    const f = this.#f;
    const v = this.#v;
    const constants = this.#handlers.get(insn);
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
      this.#exits.towards(insn.delta);
    });
    f.set(v.rip, i64.load(v.cpu, RIP));
    const next = i64.add(v.ripBase, i64.const(insn.delta + insn.decoded.length));
    const isNext = i32.and(i32.eq(v.status, i32.const(STATUS_JUMP)), i64.eq(v.rip, next));
    const isMapped = isMapping(v.cpu, tag, epoch);
    const isSame = i32.and(isMapped, i32.eq(i32.load(v.cpu, CODE_GENERATION), v.generation));
    f.unlikely(i32.eqz(i32.and(isNext, isSame)), () => {
      this.#exits.charge(executed);
      f.br(this.#exits.leave);
    });
  }

  #mayGoOn(): I32 {
    const v = this.#v;
    return i32.and(i32.geS(v.budget, i32.const(0)), i32.eq(i32.load(v.cpu, CODE_GENERATION), v.generation));
  }
}
