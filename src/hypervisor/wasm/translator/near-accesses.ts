/**
 * Memory accesses near one that has been translated: fields of a structure, slots of a stack frame. One look-up in the TLB serves all of
 * them, when the bytes from the first to the last lie in one page; a local holds where these are in linear memory, or 0 when the accesses have
 * to be translated one by one.
 *
 * What is known holds along the code that a block dominates, while the registers of the address stay as they are or move by constants. Nothing
 * that changes a translation happens in between: system instructions and changes of mode make all of it forgotten.
 *
 * @module
 */
import type { FunctionBuilder, Local } from '../emit/function-builder.ts';
import { RSP } from '../state.ts';
import type { ControlFlow } from './control-flow.ts';
import type { AddressParts } from './guest-address.ts';
import type { Access } from './insn-accesses.ts';
import type { Region, RegionBlock } from './region.ts';
import type { RegionInsn } from './region-insn.ts';
import { stepOf } from './register-writes.ts';

/** Most bytes that one look-up is for: the farther they reach, the more often they lie in two pages. */
const SPAN = 128,
  STACK_SPAN = 256;
/** How many instructions ahead accesses are looked for. */
const LOOK_AHEAD = 40;

/** Bytes in one page, by an address with given parts. */
export interface NearBytes {
  /** Where they are in linear memory, or 0. */
  readonly host: Local<'i32'>;
  readonly parts: AddressParts;
  /** They may be written. */
  readonly write: boolean;
  /** The displacement of the first one, and how many. */
  readonly from: number;
  readonly bytes: number;
}

/** What is known at a place; one entry for equal parts, and whether they may be written. Never changed, for other places keep it. */
type Known = readonly NearBytes[];
const NOTHING: Known = [];

export class NearAccesses {
  readonly #f: FunctionBuilder;
  readonly #region: Region;
  readonly #flow: ControlFlow;
  readonly #hosts: Local<'i32'>[] = [];
  readonly #saved: Known[] = [];
  #known: Known = NOTHING;
  #block = 0;
  #index = 0;

  constructor(f: FunctionBuilder, region: Region, flow: ControlFlow) {
    this.#f = f;
    this.#region = region;
    this.#flow = flow;
  }

  /** The instruction that is written next. */
  at(block: number, index: number): void {
    this.#block = block;
    this.#index = index;
  }

  /** Bytes of an access that are known to be in one page with others. What may be written may be read. */
  find(parts: AddressParts, displacement: number, bytes: number, write: boolean): NearBytes | undefined {
    let found: NearBytes | undefined;
    for (const known of this.#known) {
      if (known.parts.key !== parts.key || displacement < known.from) continue;
      if (displacement + bytes > known.from + known.bytes) continue;
      if (known.write) return known;
      if (!write) found = known;
    }
    return found;
  }

  /** What an access is to be translated with: undefined where no other is near. From here on it is known; its local is for the caller to set. */
  create(parts: AddressParts, displacement: number, bytes: number, write: boolean): NearBytes | undefined {
    const reach = new Reach(this.#region, this.#flow, parts, displacement, bytes, write);
    reach.look(this.#block, this.#index, 0);
    const { from, to } = reach;
    if (from === displacement && to === displacement + bytes) return undefined;
    const near: NearBytes = { host: this.#local(), parts, write, from, bytes: to - from };
    const others = this.#known.filter((known) => known.parts.key !== parts.key || known.write !== write);
    others.push(near);
    this.#known = others;
    return near;
  }

  /** A local that nothing holds: neither what is known here nor what will be known again. */
  #local(): Local<'i32'> {
    for (const host of this.#hosts) if (!this.#isUsed(host)) return host;
    const host = this.#f.ownLocal('i32');
    this.#hosts.push(host);
    return host;
  }

  #isUsed(host: Local): boolean {
    let before = this.#known;
    for (const near of before) if (near.host === host) return true;
    for (const saved of this.#saved) {
      // Most places know what the one before them does.
      if (saved === before) continue;
      before = saved;
      for (const near of saved) if (near.host === host) return true;
    }
    return false;
  }

  /** A general register has been written: as the instruction moves it, or anyhow. */
  wrote(register: number, insn: RegionInsn | undefined): void {
    const bit = 1 << register;
    if (!this.#known.some(({ parts }) => (parts.registers & bit) !== 0)) return;
    const step = insn === undefined ? undefined : stepOf(insn, register);
    const changed: NearBytes[] = [];
    for (const near of this.#known) {
      const { host, parts, write, from, bytes } = near;
      if ((parts.registers & bit) === 0) changed.push(near);
      else if (step !== undefined && parts.index !== register) {
        changed.push({ host, parts, write, from: from - step, bytes });
      }
    }
    this.#known = changed;
  }

  /** Translations, or the bases of segments, may be others from here on. */
  forget(): void {
    this.#known = NOTHING;
  }

  /** Runs `body`, which writes code that branches off here; afterwards what is known here is known again. */
  aside(body: () => void): void {
    const known = this.#known;
    this.#saved.push(known);
    body();
    this.#saved.pop();
    this.#known = known;
  }

  /** Several ways lead to a block: what its dominator knew stays known where no way writes the registers. */
  merge(block: number): void {
    if (this.#known.length === 0) return;
    const written = this.#writtenOnTheWayTo(block);
    this.#known =
      written === undefined ? NOTHING : this.#known.filter(({ parts }) => (parts.registers & written) === 0);
  }

  /** Registers that are written between a block's dominator and the block, by bit; undefined where all must be forgotten. */
  #writtenOnTheWayTo(block: number): number | undefined {
    const { predecessors, dominator } = this.#flow;
    const stop = dominator(block);
    const seen = new Set<number>();
    const work = [...predecessors(block)];
    let written = 0;
    for (let node = work.pop(); node !== undefined; node = work.pop()) {
      if (node === stop || seen.has(node)) continue;
      seen.add(node);
      const { gprsWritten, forgets } = this.#region.blocks.get(node) as RegionBlock;
      if (forgets) return undefined;
      written |= gprsWritten;
      work.push(...predecessors(node));
    }
    return written;
  }
}

/** The search for accesses ahead that are near one. */
class Reach {
  readonly #region: Region;
  readonly #flow: ControlFlow;
  readonly #parts: AddressParts;
  readonly #write: boolean;
  readonly #most: number;
  #left = LOOK_AHEAD;
  #isPast = false;
  /** The bytes, from and to, that they reach, as displacements where the search begins. */
  from: number;
  to: number;

  constructor(
    region: Region,
    flow: ControlFlow,
    parts: AddressParts,
    displacement: number,
    bytes: number,
    write: boolean,
  ) {
    this.#region = region;
    this.#flow = flow;
    this.#parts = parts;
    this.#write = write;
    this.#most = parts.base === RSP ? STACK_SPAN : SPAN;
    this.from = displacement;
    this.to = displacement + bytes;
  }

  /** Looks from an instruction on, before which registers have moved the address by `moved`. The first one of all is the access itself. */
  look(id: number, start: number, moved: number): void {
    const { base, index, registers } = this.#parts;
    const { insns, successors } = this.#region.blocks.get(id) as RegionBlock;
    let by = moved;
    for (let at = start; at < insns.length; at++) {
      const insn = insns[at] as RegionInsn;
      if (insn.forgets || --this.#left < 0) return;
      if (this.#isPast) for (const access of insn.accesses) this.#take(access, by);
      this.#isPast = true;
      if ((insn.gprsWritten & registers) === 0) continue;
      if (index >= 0 && (insn.gprsWritten >> index) & 1) return;
      const step = stepOf(insn, base);
      if (step === undefined) return;
      by += step;
    }
    for (const next of successors) {
      if (!this.#flow.merges.has(next) && !this.#flow.loops.has(next)) this.look(next, 0, by);
    }
  }

  #take({ parts, displacement, bytes, write }: Access, by: number): void {
    // What is only read is of no use to what is to be written, but for being near.
    if (parts.key !== this.#parts.key || (write && !this.#write)) return;
    const first = displacement + by;
    const low = Math.min(this.from, first);
    const high = Math.max(this.to, first + bytes);
    if (high - low > this.#most) return;
    this.from = low;
    this.to = high;
  }
}
