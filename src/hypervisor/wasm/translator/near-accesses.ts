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
import { memorySize } from '../interpreter/forms.ts';
import type { FunctionBuilder, Local } from '../emit/function-builder.ts';
import { FS, GS } from '../state.ts';
import type { ControlFlow } from './control-flow.ts';
import { type AddressParts, isMadeOf, partsKey } from './guest-address.ts';
import type { Region, RegionBlock, RegionInsn } from './region.ts';
import { gprsWrittenBy, RBP, RSP, stepOf } from './register-writes.ts';

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
  /** The displacement of the first one, and how many. */
  readonly from: number;
  readonly bytes: number;
}

interface Access {
  readonly parts: AddressParts;
  readonly displacement: number;
  readonly bytes: number;
  readonly write: boolean;
}

const NO_PARTS: AddressParts = { base: -1, index: -1, scale: 0, segment: -1, ripRelative: false };
const stackAt = (displacement: number, bytes: number, write: boolean): Access => ({
  parts: { ...NO_PARTS, base: RSP },
  displacement,
  bytes,
  write,
});

/** The parts of an instruction's memory operand; undefined where an address is made of something else as well. */
export function partsOf({ decoded: d }: RegionInsn): AddressParts | undefined {
  if (!d.hasMemory || d.addressSize !== 8 || d.encoding.absolute || d.encoding.vsib) return undefined;
  const segment = d.segment === FS || d.segment === GS ? d.segment : -1;
  // Only what can be shared counts.
  return { base: d.base, index: d.index, scale: d.index < 0 ? 0 : d.scale, segment, ripRelative: d.ripRelative };
}

/** Accesses of an instruction, as far as they can be seen from outside. */
function accessesOf(insn: RegionInsn): Access[] {
  const { decoded: d, form, traits, called, system } = insn;
  if (called || system !== undefined || !traits.raises) return [];
  const list: Access[] = [];
  const parts = d.encoding.isLea ? undefined : partsOf(insn);
  const operand = form.shapes.findIndex((shape) => shape === 'm');
  if (parts !== undefined && operand >= 0) {
    const bytes = form.vector !== 0 ? form.vector : memorySize(d.encoding, operand, d.operandSize);
    const stack = d.row.name === 'push' || d.row.name === 'call';
    list.push({ parts, displacement: displacementOf(insn), bytes, write: traits.stores && !stack });
  }
  switch (d.row.name) {
    case 'push':
    case 'call':
      list.push(stackAt(-form.size, form.size, true));
      break;
    case 'pop':
    case 'ret':
      list.push(stackAt(0, form.size, false));
      break;
    case 'leave':
      list.push({ parts: { ...NO_PARTS, base: RBP }, displacement: 0, bytes: form.size, write: false });
  }
  return list;
}

/** The displacement of a memory operand: from the page of the region's entry where it is relative to RIP. */
export const displacementOf = ({ decoded: d, delta }: RegionInsn): number =>
  d.ripRelative ? delta + d.length + d.displacement : d.displacement;

/** What the search for accesses ahead asks of an instruction. */
interface Effects {
  readonly accesses: readonly Access[];
  readonly written: number;
  readonly forgets: boolean;
}

type Known = ReadonlyMap<number, NearBytes>;

export class NearAccesses {
  readonly #f: FunctionBuilder;
  readonly #region: Region;
  readonly #flow: ControlFlow;
  readonly #hosts: Local<'i32'>[] = [];
  readonly #effects = new Map<RegionInsn, Effects>();
  readonly #saved: Known[] = [];
  /** By the key of the parts, and whether the bytes may be written. */
  #known: Known = new Map();
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
    const key = partsKey(parts) * 2;
    for (const known of write ? [this.#known.get(key + 1)] : [this.#known.get(key + 1), this.#known.get(key)]) {
      if (known === undefined) continue;
      if (displacement >= known.from && displacement + bytes <= known.from + known.bytes) return known;
    }
    return undefined;
  }

  /** What an access is to be translated with: undefined where no other is near. From here on it is known; its local is for the caller to set. */
  create(parts: AddressParts, displacement: number, bytes: number, write: boolean): NearBytes | undefined {
    const [from, to] = this.#reach(parts, displacement, bytes, write);
    if (from === displacement && to === displacement + bytes) return undefined;
    const near: NearBytes = { host: this.#local(), parts, from, bytes: to - from };
    this.#known = new Map(this.#known).set(partsKey(parts) * 2 + (write ? 1 : 0), near);
    return near;
  }

  /** A local that nothing holds: neither what is known here nor what will be known again. */
  #local(): Local<'i32'> {
    const used = new Set<Local>();
    for (const known of [this.#known, ...this.#saved]) for (const { host } of known.values()) used.add(host);
    const free = this.#hosts.find((host) => !used.has(host));
    if (free !== undefined) return free;
    const host = this.#f.ownLocal('i32');
    this.#hosts.push(host);
    return host;
  }

  /** A general register has been written: moved by `step`, or anyhow. */
  wrote(register: number, step: number | undefined): void {
    this.#each((near) => {
      const { parts, from } = near;
      if (!isMadeOf(parts, register)) return near;
      if (step === undefined || parts.index === register) return undefined;
      return { ...near, from: from - step };
    });
  }

  #each(change: (near: NearBytes) => NearBytes | undefined): void {
    const changed = new Map<number, NearBytes>();
    for (const [key, near] of this.#known) {
      const now = change(near);
      if (now !== undefined) changed.set(key, now);
    }
    this.#known = changed;
  }

  /** Translations, or the bases of segments, may be others from here on. */
  forget(): void {
    this.#known = new Map();
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
    const written = this.#writtenOnTheWayTo(block);
    if (written === undefined) this.forget();
    else this.#each((near) => ([...registersIn(near.parts)].some((r) => (written >> r) & 1) ? undefined : near));
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
      for (const insn of (this.#region.blocks.get(node) as RegionBlock).insns) {
        const effects = this.#effectsOf(insn);
        if (effects.forgets) return undefined;
        written |= effects.written;
      }
      work.push(...predecessors(node));
    }
    return written;
  }

  #effectsOf(insn: RegionInsn): Effects {
    let effects = this.#effects.get(insn);
    if (effects === undefined) {
      effects = { accesses: accessesOf(insn), written: gprsWrittenBy(insn), forgets: forgetsAll(insn) };
      this.#effects.set(insn, effects);
    }
    return effects;
  }

  /** The bytes, from and to, that accesses ahead by the same parts reach, as displacements here. */
  #reach(parts: AddressParts, displacement: number, bytes: number, write: boolean): [number, number] {
    const key = partsKey(parts);
    const most = parts.base === RSP ? STACK_SPAN : SPAN;
    const registers = registersIn(parts);
    let from = displacement;
    let to = displacement + bytes;
    let left = LOOK_AHEAD;
    const look = (id: number, start: number, moved: number): void => {
      const { insns, successors } = this.#region.blocks.get(id) as RegionBlock;
      let by = moved;
      for (let at = start; at < insns.length; at++) {
        const insn = insns[at] as RegionInsn;
        const { accesses, written, forgets } = this.#effectsOf(insn);
        if (forgets || --left < 0) return;
        if (id !== this.#block || at !== this.#index) {
          for (const access of accesses) {
            // What is only read is of no use to what is to be written, but for being near.
            if (partsKey(access.parts) !== key || (access.write && !write)) continue;
            const first = access.displacement + by;
            const low = Math.min(from, first);
            const high = Math.max(to, first + access.bytes);
            if (high - low <= most) [from, to] = [low, high];
          }
        }
        for (const register of registers) {
          if (((written >> register) & 1) === 0) continue;
          const step = stepOf(insn, register);
          if (step === undefined || parts.index === register) return;
          by += step;
        }
      }
      for (const next of successors) {
        if (!this.#flow.merges.has(next) && !this.#flow.loops.has(next)) look(next, 0, by);
      }
    };
    look(this.#block, this.#index, 0);
    return [from, to];
  }
}

function registersIn({ base, index }: AddressParts): Set<number> {
  return new Set([base, index].filter((register) => register >= 0));
}

const WRITES_BASES = new Set(['swapgs', 'wrfsbase', 'wrgsbase']);

/** After such an instruction translations, or the bases of segments, may be others. */
export const forgetsAll = ({ called, system, traits, decoded }: RegionInsn): boolean =>
  called || system !== undefined || traits.changesMode || WRITES_BASES.has(decoded.row.name);
