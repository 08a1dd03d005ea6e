/**
 * Finds the instructions and basic blocks of a region: what can be reached from its entry through code that has been executed
 * before, up to a limit.
 *
 * Places are deltas: bytes from the start of the entry's page in linear address space. A region may hold code of several
 * pages; it is valid wherever these are mapped at the same distances from each other.
 *
 * What a call goes to gets a **frame** of its own: a copy of the callee's blocks for this call, whose RETs are expected to come back
 * behind it. Frames are guesses; a block means the same in any of them.
 *
 * @module
 */
import type { Decoded, Decoder } from '../decode/decoder.ts';
import { transferOf } from '../interpreter/fast-system.ts';
import { FS, GS, SS } from '../state.ts';
import { insnFormOf, systemFormOf } from './insn-forms.ts';
import { RegionInsn } from './region-insn.ts';
import type { Traits } from './traits.ts';

export interface RegionLimits {
  readonly instructions: number;
  readonly pages: number;
}

/** How a block ends. */
export type BlockEnd =
  /** Goes on at the next instruction, which another block starts with or which is outside. */
  | { readonly kind: 'next'; readonly delta: number }
  /** The last instruction transfers control itself; `next` where it may also fall through. */
  | { readonly kind: 'transfer'; readonly next: number | undefined };

export interface RegionBlock {
  readonly id: number;
  readonly delta: number;
  readonly insns: readonly RegionInsn[];
  readonly end: BlockEnd;
  /** Edges: blocks that control may go to, by id; twice the same where a jump leads to the next instruction. */
  readonly successors: readonly number[];
  /** What its instructions do together: general registers that are written, by bit, and `RegionInsn.forgets`. */
  readonly gprsWritten: number;
  readonly forgets: boolean;
}

export interface Region {
  /** The id of its first block. */
  readonly entry: number;
  /** By id. The same code may be in several: see the module's head. */
  readonly blocks: ReadonlyMap<number, RegionBlock>;
  /** Pages by delta >> 12, with where they lie in linear memory. */
  readonly pages: ReadonlyMap<number, number>;
  /** Its instructions, each once, in the order of blocks. */
  readonly insns: readonly RegionInsn[];
  /** How many there are, each as often as it is in a frame. */
  readonly instructions: number;
}

/** What discovery asks of the vCPU. */
export interface CodeSource {
  /** A copy of the page at an offset in linear memory, always the same one: the guest may be writing to it. */
  page(host: number): Uint8Array;
  readonly decoder: Decoder;
  /** Where the page at `delta >> 12` pages from the entry's lies in linear memory, or 0 when that is not known. */
  hostPage(index: number): number;
  /** The instruction at an offset in linear memory has been the start of an executed block. */
  isKnown(host: number): boolean;
  /** The instruction cannot be executed in the current mode (a unit that is switched off). */
  isUnavailable(decoded: Decoded): boolean;
  /** Where the indirect jump or call at an offset in linear memory has gone before, as deltas, the most frequent first. */
  learned(host: number): readonly number[];
}

/** Most return addresses that the RETs of a frame are compared with. */
const MAX_RETURNS = 6;
/** How often a function may be in its own frame's callers before its calls of itself go to the same frame. */
const MAX_RECURSION = 1;
/** Frames of one function; calls beyond go to the last one of them. */
const MAX_COPIES = 6;
const MAX_DEPTH = 16;
/** Farthest place from the entry's page, in bytes: deltas are signed 32-bit numbers. */
const MAX_DISTANCE = 0x7000_0000;

/** Those that a region asks system/ for, and goes on behind. */
const STAYING = new Set([
  ...['xsave', 'xsavec', 'xsaveopt', 'xsaves', 'xrstor', 'xrstors', 'fxsave', 'fxrstor', 'stmxcsr', 'ldmxcsr'],
  ...['mov_from_cr', 'mov_to_cr', 'mov_sreg', 'rdmsr', 'wrmsr', 'rdpid', 'invlpg', 'clts'],
]);
/** All flags may be read or written, and anything may be raised. */
const SYSTEM_TRAITS: Traits = {
  gprs: 0,
  gprsWritten: 0,
  operandsWritten: 0,
  xmms: 0,
  highsCleared: 0,
  readsFlags: true,
  writesFlags: false,
  nestedFlags: false,
  endsEarly: false,
  leaves: true,
  repeats: false,
  raises: true,
  changesMode: true,
  mmx: false,
  stores: true,
};

/** A memory operand that a record holds by itself: base and displacement, by DS, ES or CS. */
const isPlainOperand = (d: Decoded): boolean =>
  !d.hasMemory || (d.index < 0 && d.addressSize === 8 && d.segment !== FS && d.segment !== GS && d.segment !== SS);

/** A function as it is called from one place, or the code at the region's entry. */
interface Frame {
  /** The first of its instructions. */
  readonly start: number;
  readonly caller: Frame | undefined;
  readonly depth: number;
  /** Instructions and starts of blocks by delta, the latter with their ids. */
  readonly insns: Map<number, RegionInsn>;
  readonly leaders: Map<number, number>;
  /** Targets within the region of calls and of indirect jumps, by the delta of the instruction. */
  readonly targets: Map<number, Place[]>;
  /** Where its RETs may go. */
  readonly returns: Place[];
}

interface Place {
  readonly frame: Frame;
  readonly delta: number;
}

/** Finds the region that starts at `entry` (0..4095). Returns undefined when not even one instruction can be translated. */
export function discoverRegion(source: CodeSource, entry: number, limits: RegionLimits): Region | undefined {
  return new Discovery(source, limits).run(entry);
}

/** False when there are too many. Of two places with one address a RET would always take the first: the other only spoils the structure. */
function addReturn({ returns }: Frame, place: Place): boolean {
  if (returns.some(({ delta }) => delta === place.delta)) return true;
  if (returns.length >= MAX_RETURNS) return false;
  returns.push(place);
  return true;
}

class Discovery {
  readonly #source: CodeSource;
  readonly #limits: RegionLimits;
  readonly #pages = new Map<number, number>();
  /** What is at a delta; null when that cannot be part of a region. */
  readonly #decoded = new Map<number, RegionInsn | null>();
  readonly #frames: Frame[] = [];
  readonly #work: Place[] = [];
  /** Bytes of an instruction that lies in two pages. */
  readonly #crossing = new Uint8Array(32);
  #ids = 0;
  #count = 0;

  constructor(source: CodeSource, limits: RegionLimits) {
    this.#source = source;
    this.#limits = limits;
  }

  run(entry: number): Region | undefined {
    const root = this.#frame(entry, undefined);
    this.#lead({ frame: root, delta: entry });
    for (let place = this.#work.shift(); place !== undefined; place = this.#work.shift()) this.#straight(place);
    if (!root.insns.has(entry)) return undefined;
    this.#returnFrom(root);
    const blocks = new Map<number, RegionBlock>();
    for (const frame of this.#frames) assemble(frame, blocks);
    return { entry: 0, blocks, pages: this.#pages, insns: eachOnce(blocks), instructions: this.#count };
  }

  #frame(start: number, caller: Frame | undefined): Frame {
    const frame: Frame = {
      start,
      caller,
      depth: caller === undefined ? 0 : caller.depth + 1,
      insns: new Map(),
      leaders: new Map(),
      targets: new Map(),
      returns: [],
    };
    this.#frames.push(frame);
    return frame;
  }

  #lead({ frame, delta }: Place): void {
    if (frame.leaders.has(delta)) return;
    frame.leaders.set(delta, this.#ids++);
    this.#work.push({ frame, delta });
  }

  #hostOf(delta: number): number {
    // First of all: the number of a page that is farther away would be cut to that of another.
    if (Math.abs(delta) > MAX_DISTANCE) return 0;
    const index = delta >> 12;
    let page = this.#pages.get(index);
    if (page === undefined) {
      if (this.#pages.size >= this.#limits.pages) return 0;
      page = this.#source.hostPage(index);
      if (page === 0) return 0;
      this.#pages.set(index, page);
    }
    return page + (delta & 0xfff);
  }

  /** The code at a delta has been executed, and may be part of the region. */
  #isKnown(delta: number): boolean {
    const pagesBefore = this.#pages.size;
    const host = this.#hostOf(delta);
    if (host !== 0 && this.#source.isKnown(host)) return true;
    // A page that was only looked at does not belong to the region.
    if (this.#pages.size > pagesBefore) this.#pages.delete(delta >> 12);
    return false;
  }

  #follow(place: Place): boolean {
    if (!place.frame.leaders.has(place.delta) && !this.#isKnown(place.delta)) return false;
    this.#lead(place);
    return true;
  }

  /** Instructions from a place up to one that transfers control, or that cannot be part of a region. */
  #straight({ frame, delta }: Place): void {
    for (let at = delta; !frame.insns.has(at) && this.#count < this.#limits.instructions; ) {
      const insn = this.#insnAt(at);
      if (insn === undefined) return;
      frame.insns.set(at, insn);
      this.#count++;
      at += insn.decoded.length;
      if (insn.system === 'leaves') return;
      if (insn.system === 'stays' || insn.decoded.row.ends !== true) continue;
      this.#transfer(frame, insn, at);
      return;
    }
  }

  #transfer(frame: Frame, { delta, decoded, insnForm }: RegionInsn, next: number): void {
    const { row } = decoded;
    const isCall = row.name === 'call';
    const isDirect = decoded.operands[0]?.kind === 'J';
    if (isCall || !isDirect) {
      const known =
        row.name === 'ret' ? [] : isDirect ? [next + decoded.immediateLow] : this.#source.learned(this.#hostOf(delta));
      const targets: Place[] = [];
      for (const target of known) {
        const place = isCall ? this.#call(frame, target, next) : { frame, delta: target };
        if (place !== undefined && this.#follow(place)) targets.push(place);
      }
      frame.targets.set(delta, targets);
      if (isCall && targets.length > 0) this.#follow({ frame, delta: next });
    } else this.#follow({ frame, delta: next + decoded.immediateLow });
    if (insnForm.conditional) this.#follow({ frame, delta: next });
  }

  /** Where a call goes: the start of a frame of its own, or of one that is there; undefined when it leaves. */
  #call(caller: Frame, start: number, returnTo: number): Place | undefined {
    if (!this.#isKnown(start)) return undefined;
    const back: Place = { frame: caller, delta: returnTo };
    let same: Frame | undefined;
    let recursion = 0;
    for (let above: Frame | undefined = caller; above !== undefined; above = above.caller) {
      if (above.start !== start) continue;
      same = above;
      recursion++;
    }
    if (recursion <= MAX_RECURSION) {
      const copies = this.#frames.filter((frame) => frame.start === start);
      same = copies.length < MAX_COPIES && caller.depth < MAX_DEPTH ? undefined : copies.at(-1);
      if (same === undefined) {
        if (caller.depth >= MAX_DEPTH || this.#count >= this.#limits.instructions) return undefined;
        same = this.#frame(start, caller);
      }
    }
    const frame = same as Frame;
    return addReturn(frame, back) ? { frame, delta: start } : undefined;
  }

  /**
   * The code at the entry is often the middle of a function that calls itself. Its RETs may go where those of the function's other frames
   * go: without these every other return would leave the region.
   */
  #returnFrom(root: Frame): void {
    for (const { insns, returns } of this.#frames.slice(1)) {
      if (!insns.has(root.start)) continue;
      for (const place of returns) addReturn(root, place);
    }
  }

  #insnAt(delta: number): RegionInsn | undefined {
    let insn = this.#decoded.get(delta);
    if (insn === undefined) {
      insn = this.#decode(delta) ?? null;
      this.#decoded.set(delta, insn);
    }
    return insn ?? undefined;
  }

  #decode(delta: number): RegionInsn | undefined {
    const { decoder } = this.#source;
    const host = this.#hostOf(delta);
    if (host === 0) return undefined;
    const offset = delta & 0xfff;
    const bytes = this.#source.page(host - offset);
    let decoded = decoder.decode(bytes, offset, 4096, 64);
    if (decoded === 'truncated') {
      const pagesBefore = this.#pages.size;
      const next = this.#hostOf((delta | 0xfff) + 1);
      if (next === 0) return undefined;
      this.#crossing.set(bytes.subarray(offset));
      this.#crossing.set(this.#source.page(next).subarray(0, 15), 4096 - offset);
      decoded = decoder.decode(this.#crossing, 0, this.#crossing.length, 64);
      if (typeof decoded === 'string' && this.#pages.size > pagesBefore) this.#pages.delete((delta >> 12) + 1);
    }
    if (typeof decoded === 'string') return undefined;
    const { row } = decoded;
    if (this.#source.isUnavailable(decoded)) return undefined;
    if (row.lift === undefined) return this.#system(delta, decoded);
    const insnForm = insnFormOf(decoded);
    const { traits, called } = insnForm;
    if (traits.repeats && !called) return undefined;
    // A record is made of an instruction in one page, with an operand that a record holds.
    if (called && (!isPlainOperand(decoded) || offset + decoded.length > 4096)) return undefined;
    return new RegionInsn(delta, decoded.clone(), insnForm, undefined);
  }

  /** A system instruction. */
  #system(delta: number, decoded: Decoded): RegionInsn | undefined {
    const { system } = decoded.row;
    if (system === undefined) return undefined;
    const leaves = transferOf(decoded) !== undefined;
    // The first instruction must be one that the region does not refuse.
    if (leaves ? delta === this.#frames[0]?.start : !STAYING.has(system) || (delta & 0xfff) + decoded.length > 4096) {
      return undefined;
    }
    const insnForm = systemFormOf(decoded, SYSTEM_TRAITS);
    return new RegionInsn(delta, decoded.clone(), insnForm, leaves ? 'leaves' : 'stays');
  }
}

/** The instructions of all blocks, in their order. */
function eachOnce(blocks: ReadonlyMap<number, RegionBlock>): RegionInsn[] {
  const found = new Map<number, RegionInsn>();
  for (const { insns } of blocks.values()) for (const insn of insns) found.set(insn.delta, insn);
  return [...found.values()];
}

/** A place's block, or -1. */
function blockAt({ leaders, insns }: Frame, delta: number): number {
  const id = leaders.get(delta);
  return id !== undefined && insns.has(delta) ? id : -1;
}

const blockOf = ({ frame, delta }: Place): number => blockAt(frame, delta);

/** The blocks of a frame. */
function assemble(frame: Frame, blocks: Map<number, RegionBlock>): void {
  for (const [delta, id] of frame.leaders) {
    if (!frame.insns.has(delta)) continue;
    const insns: RegionInsn[] = [];
    let at = delta;
    let end: BlockEnd | undefined;
    let gprsWritten = 0;
    let forgets = false;
    const successors: number[] = [];
    while (end === undefined) {
      const insn = frame.insns.get(at);
      if (insn === undefined) {
        end = { kind: 'next', delta: at };
        break;
      }
      insns.push(insn);
      gprsWritten |= insn.gprsWritten;
      forgets ||= insn.forgets;
      at += insn.decoded.length;
      if (insn.system === 'leaves') end = { kind: 'transfer', next: undefined };
      else if (insn.system === undefined && insn.decoded.row.ends === true) {
        const { conditional } = insn.insnForm;
        end = { kind: 'transfer', next: conditional ? at : undefined };
        successors.push(...targetsOf(frame, insn, at).filter((successor) => successor >= 0));
        const next = conditional ? blockAt(frame, at) : -1;
        if (next >= 0) successors.push(next);
      } else {
        const next = blockAt(frame, at);
        if (next < 0) continue;
        end = { kind: 'next', delta: at };
        successors.push(next);
      }
    }
    blocks.set(id, { id, delta, insns, end, successors, gprsWritten, forgets });
  }
}

/** Where an instruction that transfers control goes, but behind itself: blocks, or -1 for what is outside. */
function targetsOf(frame: Frame, { delta, decoded }: RegionInsn, next: number): number[] {
  if (decoded.row.name === 'ret') return frame.returns.map(blockOf);
  const targets = frame.targets.get(delta);
  if (targets !== undefined) return targets.map(blockOf);
  return decoded.operands[0]?.kind === 'J' ? [blockAt(frame, next + decoded.immediateLow)] : [];
}
