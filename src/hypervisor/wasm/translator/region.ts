/**
 * Finds the instructions and basic blocks of a region: what can be reached from its entry through code that has been executed
 * before, up to a limit.
 *
 * Places are deltas: bytes from the start of the entry's page in linear address space. A region may hold code of several
 * pages; it is valid wherever these are mapped next to each other in the same way.
 *
 * @module
 */
import type { Decoded, Decoder } from '../decode/decoder.ts';
import { formKey, formOf } from '../interpreter/forms.ts';
import type { Form } from '../insn/lift-builder.ts';
import { FS, GS, SS } from '../state.ts';
import { type Traits, traitsOf } from './traits.ts';

export interface RegionLimits {
  readonly instructions: number;
  readonly pages: number;
}

export interface RegionInsn {
  readonly delta: number;
  readonly decoded: Decoded;
  readonly form: Form;
  readonly traits: Traits;
  /** Executed by the interpreter's handler rather than translated. */
  readonly called: boolean;
}

/** How a block ends. */
export type BlockEnd =
  /** Goes on at the next instruction, which another block starts with or which is outside. */
  | { readonly kind: 'next'; readonly delta: number }
  /** The last instruction transfers control itself; `next` where it may also fall through. */
  | { readonly kind: 'transfer'; readonly next: number | undefined };

export interface RegionBlock {
  readonly delta: number;
  readonly insns: readonly RegionInsn[];
  readonly end: BlockEnd;
  /** Edges: blocks that control may go to, by delta; twice the same where a jump leads to the next instruction. */
  readonly successors: readonly number[];
}

export interface Region {
  readonly entry: number;
  readonly blocks: ReadonlyMap<number, RegionBlock>;
  /** Return addresses of calls within the region. */
  readonly returnSites: readonly number[];
  /** Pages by delta >> 12, with where they lie in linear memory. */
  readonly pages: ReadonlyMap<number, number>;
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

const CONDITIONAL = /^(j(?!mp)|loop)/;
/** Most return sites that a RET is compared with. */
const MAX_RETURN_SITES = 6;

/** Rows whose handlers in the interpreter are called: large, rare, or on registers that are not in locals. */
function isCalled(decoded: Decoded, traits: Traits): boolean {
  const { row } = decoded;
  return row.rep !== undefined || row.unit === 'mmx' || traits.mmx || /^v?pcmp[ei]str/.test(row.name);
}

/** A memory operand that a record holds by itself: base and displacement, by DS, ES or CS. */
const isPlainOperand = (d: Decoded): boolean =>
  !d.hasMemory || (d.index < 0 && d.addressSize === 8 && d.segment !== FS && d.segment !== GS && d.segment !== SS);

const traitsByForm = new Map<string, Traits>();

/** True for a shift by a constant, whose effect on flags depends on it. */
const hasCount = (decoded: Decoded): boolean => /^(sh|sa|ro|rc)[lr]/.test(decoded.row.name);

function traits(decoded: Decoded, form: Form): Traits {
  const { lift } = decoded.row;
  if (lift === undefined) throw new Error(`${decoded.row.name} has no lift`);
  const implicitOne = decoded.operands.some((o) => o.kind === 'implicit' && o.register < 0);
  const immediate = hasCount(decoded) ? (implicitOne ? 1 : decoded.immediateLow & (form.size === 8 ? 63 : 31)) : 1;
  const key = `${formKey(lift, form)}/${immediate === 0 ? 0 : 1}`;
  let known = traitsByForm.get(key);
  if (known === undefined) {
    known = traitsOf(lift, form, immediate === 0 ? 0 : 1);
    traitsByForm.set(key, known);
  }
  return known;
}

/** Finds the region that starts at `entry` (0..4095). Returns undefined when not even one instruction can be translated. */
export function discoverRegion(source: CodeSource, entry: number, limits: RegionLimits): Region | undefined {
  const { decoder } = source;
  const insns = new Map<number, RegionInsn>();
  const leaders = new Set<number>([entry]);
  const pages = new Map<number, number>();
  /** Calls within the region: their return addresses. */
  const calls = new Map<number, number>();
  /** Targets within the region of indirect jumps and calls. */
  const targets = new Map<number, readonly number[]>();
  const work = [entry];
  /** Bytes of an instruction that lies in two pages. */
  const crossing = new Uint8Array(32);

  const hostOf = (delta: number): number => {
    const index = delta >> 12;
    let page = pages.get(index);
    if (page === undefined) {
      if (pages.size >= limits.pages) return 0;
      page = source.hostPage(index);
      if (page === 0) return 0;
      pages.set(index, page);
    }
    return page + (delta & 0xfff);
  };
  const follow = (delta: number): boolean => {
    if (leaders.has(delta)) return true;
    const pagesBefore = pages.size;
    const host = hostOf(delta);
    if (host === 0 || !source.isKnown(host)) {
      // A page that was only looked at does not belong to the region.
      if (pages.size > pagesBefore) pages.delete(delta >> 12);
      return false;
    }
    leaders.add(delta);
    work.push(delta);
    return true;
  };

  for (let delta = work.shift(); delta !== undefined; delta = work.shift()) {
    let at = delta;
    while (!insns.has(at) && insns.size < limits.instructions) {
      const host = hostOf(at);
      if (host === 0) break;
      const offset = at & 0xfff;
      const bytes = source.page(host - offset);
      let decoded = decoder.decode(bytes, offset, 4096, 64);
      if (decoded === 'truncated') {
        const pagesBefore = pages.size;
        const next = hostOf((at | 0xfff) + 1);
        if (next === 0) break;
        crossing.set(bytes.subarray(offset));
        crossing.set(source.page(next).subarray(0, 15), 4096 - offset);
        decoded = decoder.decode(crossing, 0, crossing.length, 64);
        if (typeof decoded === 'string' && pages.size > pagesBefore) pages.delete((at >> 12) + 1);
      }
      if (typeof decoded === 'string') break;
      const { row } = decoded;
      if (row.lift === undefined || source.isUnavailable(decoded)) break;
      // YMM registers are not kept in locals yet.
      if (row.unit === 'avx') break;
      const form = formOf(decoded.encoding, {
        operandSize: decoded.operandSize,
        memory: decoded.hasMemory,
        indexed: false,
        lock: decoded.lock,
        legacy: false,
        addressSize: decoded.addressSize,
        rep: row.rep === undefined ? 0 : decoded.rep,
      });
      const found = traits(decoded, form);
      const called = isCalled(decoded, found);
      if (found.repeats && !called) break;
      // A record is made of an instruction in one page, with an operand that a record holds.
      if (called && (!isPlainOperand(decoded) || (at & 0xfff) + decoded.length > 4096)) break;
      const insn: RegionInsn = { delta: at, decoded: decoded.clone(), form, traits: found, called };
      insns.set(at, insn);
      at += decoded.length;
      if (row.ends !== true) continue;
      if (decoded.operands[0]?.kind === 'J') {
        if (follow(at + decoded.immediateLow) && row.name === 'call') calls.set(insn.delta, at);
      } else if (row.name !== 'ret') {
        const known = source.learned(host).filter(follow);
        targets.set(insn.delta, known);
        if (row.name === 'call' && known.length > 0) calls.set(insn.delta, at);
      }
      if (CONDITIONAL.test(row.name) || calls.has(insn.delta)) follow(at);
      break;
    }
  }
  if (!insns.has(entry)) return undefined;
  return assemble(entry, insns, leaders, pages, [...calls.values()], targets);
}

function assemble(
  entry: number,
  insns: ReadonlyMap<number, RegionInsn>,
  leaders: ReadonlySet<number>,
  pages: ReadonlyMap<number, number>,
  backs: readonly number[],
  targets: ReadonlyMap<number, readonly number[]>,
): Region {
  const blocks = new Map<number, RegionBlock>();
  const isBlock = (delta: number): boolean => leaders.has(delta) && insns.has(delta);
  const returnSites = [...new Set(backs)].filter(isBlock).slice(0, MAX_RETURN_SITES);
  for (const delta of leaders) {
    if (!insns.has(delta)) continue;
    const list: RegionInsn[] = [];
    let at = delta;
    let end: BlockEnd | undefined;
    const successors: number[] = [];
    while (end === undefined) {
      const insn = insns.get(at);
      if (insn === undefined) {
        end = { kind: 'next', delta: at };
        break;
      }
      list.push(insn);
      at += insn.decoded.length;
      const { row } = insn.decoded;
      if (row.ends === true) {
        const conditional = CONDITIONAL.test(row.name);
        end = { kind: 'transfer', next: conditional ? at : undefined };
        if (insn.decoded.operands[0]?.kind === 'J') successors.push(at + insn.decoded.immediateLow);
        else if (row.name === 'ret') successors.push(...returnSites);
        else successors.push(...(targets.get(insn.delta) ?? []));
        if (conditional) successors.push(at);
      } else if (isBlock(at)) {
        end = { kind: 'next', delta: at };
        successors.push(at);
      }
    }
    blocks.set(delta, { delta, insns: list, end, successors: successors.filter(isBlock) });
  }
  return { entry, blocks, returnSites, pages, instructions: insns.size };
}
