/**
 * Hardware task switches outside IA-32e mode (SDM 3A 7.2-7.4): by JMP, CALL, task gates, exceptions and IRET, with 16- and
 * 32-bit TSSs.
 *
 * Up to the commit point nothing but memory changes; a fault after it belongs to the new task and is raised with RIP there.
 *
 * @module
 */
import { CR3, CS, DS, ES, FS, GS, LDTR, RSP, SS, TR, ATTR_UNUSABLE } from '../state.ts';
import { loadPdptes } from './control-registers.ts';
import { raise, raiseGp, VECTOR_DB, VECTOR_GP, VECTOR_NP, VECTOR_SS, VECTOR_TS } from './cpu.ts';
import type { Cpu } from './cpu.ts';
import { CR0_PG, CR0_TS, CR4_PAE, FLAG_NT, FLAG_VM } from './cpu-state.ts';
import { DR6_BT, recordDebug } from './debug.ts';
import {
  codeSizeOf,
  Descriptor,
  fetchDescriptor,
  isNull,
  loadFromDescriptor,
  markAccessed,
  tryFetch,
  TYPE_LDT,
  writeTypeByte,
} from './descriptor.ts';
import { LegacyStack } from './legacy-stack.ts';
import { Access } from './mmu.ts';
import { loadNull, loadVirtual8086Segments } from './segments.ts';

export type TaskSwitchSource = 'jmp' | 'call' | 'interrupt' | 'iret';

/** Fields of a TSS: offsets, and the width of registers and flags (SDM 3A figures 7-2, 7-10). */
interface TssLayout {
  readonly bytes: number;
  readonly width: 2 | 4;
  readonly ip: number;
  readonly flags: number;
  readonly registers: number;
  readonly segments: number;
  readonly segmentRegisters: readonly number[];
  readonly ldt: number;
}
const TSS32: TssLayout = {
  bytes: 0x68,
  width: 4,
  ip: 0x20,
  flags: 0x24,
  registers: 0x28,
  segments: 0x48,
  segmentRegisters: [ES, CS, SS, DS, FS, GS],
  ldt: 0x60,
};
const TSS16: TssLayout = {
  bytes: 0x2c,
  width: 2,
  ip: 0x0e,
  flags: 0x10,
  registers: 0x12,
  segments: 0x22,
  segmentRegisters: [ES, CS, SS, DS],
  ldt: 0x2a,
};
const TSS32_CR3 = 0x1c,
  TSS32_TRAP = 0x64;

const layoutOf = (attributes: number): TssLayout => ((attributes & 8) !== 0 ? TSS32 : TSS16);

const next = new Descriptor();
const scratch = new Descriptor();

/** Checks the new TSS and leaves its descriptor in `next` (SDM 3A 7.3, steps 2-4). */
function checkNewTss(cpu: Cpu, selector: number, source: TaskSwitchSource, ext: number): void {
  const error = (selector & 0xfffc) | ext;
  // IRET reports a bad back link as #TS, the others as #GP.
  const vector = source === 'iret' ? VECTOR_TS : VECTOR_GP;
  if ((selector & 4) !== 0) raise(cpu, vector, error);
  fetchDescriptor(cpu, selector, next, vector, ext);
  const wanted = source === 'iret' ? 3 : 1;
  if (next.isSegment || (next.type & 7) !== wanted) raise(cpu, vector, error);
  if (!next.present) raise(cpu, VECTOR_NP, error);
  if (next.limit < layoutOf(next.attributes).bytes - 1) raise(cpu, VECTOR_TS, error);
}

/** Saves the old task's registers in its TSS. */
function saveTask(cpu: Cpu, layout: TssLayout, base: number, flags: number): void {
  const { state, mmu } = cpu;
  const write = (offset: number, value: number): void =>
    mmu.write((base + offset) >>> 0, 0, layout.width, Access.System, value, 0);
  write(layout.ip, state.ripLo);
  write(layout.flags, flags);
  for (let index = 0; index < 8; index++) write(layout.registers + index * layout.width, state.gprLo(index));
  for (const [index, register] of layout.segmentRegisters.entries()) {
    mmu.write((base + layout.segments + index * layout.width) >>> 0, 0, 2, Access.System, state.selector(register), 0);
  }
}

/** What is read from the new TSS. */
interface TaskImage {
  readonly ip: number;
  readonly flags: number;
  readonly registers: readonly number[];
  /** ES CS SS DS FS GS. */
  readonly selectors: readonly number[];
  readonly ldt: number;
  readonly cr3: number;
  readonly trap: boolean;
}

function readTask(cpu: Cpu, layout: TssLayout, base: number): TaskImage {
  const read = (offset: number, bytes: 2 | 4): number => cpu.mmu.read((base + offset) >>> 0, 0, bytes, Access.System);
  const { width } = layout;
  const selectors = [0, 1, 2, 3, 4, 5].map((i) =>
    i < layout.segmentRegisters.length ? read(layout.segments + i * width, 2) : 0,
  );
  return {
    ip: read(layout.ip, width),
    flags: read(layout.flags, width),
    // A 16-bit TSS leaves the upper halves of the registers undefined; they are ones, as on a 386.
    registers: [0, 1, 2, 3, 4, 5, 6, 7].map((i) =>
      width === 4 ? read(layout.registers + i * 4, 4) : (read(layout.registers + i * 2, 2) | 0xffff_0000) >>> 0,
    ),
    selectors,
    ldt: read(layout.ldt, 2),
    cr3: width === 4 ? read(TSS32_CR3, 4) : 0,
    trap: width === 4 && (read(TSS32_TRAP, 2) & 1) !== 0,
  };
}

/**
 * Switches to the task whose TSS `selector` names. `flags` is the RFLAGS image to save; `ext` the EXT bit for error codes;
 * `error` an error code to push in the new task, or -1. RIP is the address to save.
 */
export function switchTask(
  cpu: Cpu,
  selector: number,
  source: TaskSwitchSource,
  flags: number,
  ext: number,
  error: number,
): void {
  const { state, mmu } = cpu;
  checkNewTss(cpu, selector, source, ext);
  const newLayout = layoutOf(next.attributes);
  const newBase = next.base;
  const oldLayout = layoutOf(state.attributes(TR));
  const oldBase = state.baseLo(TR);
  const oldSelector = state.selector(TR);
  // Everything the switch touches must be accessible before anything changes.
  mmu.probe(oldBase, 0, oldLayout.bytes, Access.System, true);
  mmu.probe(newBase, 0, newLayout.bytes, Access.System, source === 'call' || source === 'interrupt');
  const image = readTask(cpu, newLayout, newBase);

  if (source === 'jmp' || source === 'iret') {
    if (tryFetch(cpu, oldSelector, scratch)) {
      scratch.hi &= ~0x200;
      writeTypeByte(cpu, scratch);
    }
  }
  saveTask(cpu, oldLayout, oldBase, flags);
  if (source === 'call' || source === 'interrupt') mmu.write(newBase, 0, 2, Access.System, oldSelector, 0);
  if (source !== 'iret') {
    next.hi |= 0x200;
    writeTypeByte(cpu, next);
  }

  // The commit point: from here on this is the new task.
  cpu.switched = true;
  state.setSegment(TR, selector, newBase, 0, next.limit, next.attributes | 2);
  state.cr0 = (state.cr0 | CR0_TS) >>> 0;
  state.dr7 = (state.dr7 & ~0x155) >>> 0;
  if (newLayout.width === 4 && (state.cr0 & CR0_PG) !== 0) {
    state.set(CR3, image.cr3, 0);
    mmu.flushAddressSpace(0);
    mmu.modeChanged();
    if ((state.cr4 & CR4_PAE) !== 0) loadPdptes(cpu, BigInt(image.cr3));
  }
  state.setRip(image.ip, 0);
  const nested = source === 'call' || source === 'interrupt' ? FLAG_NT : 0;
  state.rflags = newLayout.width === 4 ? image.flags | nested : (image.flags & 0xffff) | nested;
  for (const [index, value] of image.registers.entries()) state.setGprHalves(index, value, 0);
  loadSegments(cpu, image, ext);
  if (error !== -1) pushErrorCode(cpu, newLayout.width, error);
  mmu.modeChanged();
  if (image.trap) {
    recordDebug(cpu, DR6_BT);
    raise(cpu, VECTOR_DB, -1);
  }
}

/** Loads LDTR and the segment registers of the new task, with the checks of SDM 3A table 7-1. */
function loadSegments(cpu: Cpu, image: TaskImage, ext: number): void {
  const { state, mmu } = cpu;
  for (const [register, selector] of image.selectors.entries()) loadNull(cpu, register, selector, 0);
  state.setSegment(LDTR, image.ldt, 0, 0, 0, ATTR_UNUSABLE);
  if ((state.systemFlags & FLAG_VM) !== 0) {
    state.cpl = 3;
    state.codeSize = 16;
    loadVirtual8086Segments(cpu, image.selectors);
    loadLdt(cpu, image.ldt, ext);
    mmu.modeChanged();
    return;
  }
  const cpl = image.selectors[CS]! & 3;
  state.cpl = cpl;
  mmu.modeChanged();
  loadLdt(cpu, image.ldt, ext);
  loadCode(cpu, image.selectors[CS]!, ext);
  loadStack(cpu, image.selectors[SS]!, ext);
  for (const register of [DS, ES, FS, GS]) loadData(cpu, register, image.selectors[register]!, ext);
  if (image.ip > state.limit(CS)) raiseGp(cpu, ext);
}

function loadLdt(cpu: Cpu, selector: number, ext: number): void {
  if (isNull(selector)) return;
  const error = (selector & 0xfffc) | ext;
  if ((selector & 4) !== 0 || !tryFetch(cpu, selector, scratch)) raise(cpu, VECTOR_TS, error);
  if (scratch.isSegment || scratch.type !== TYPE_LDT || !scratch.present) raise(cpu, VECTOR_TS, error);
  loadFromDescriptor(cpu, LDTR, selector, scratch);
}

function loadCode(cpu: Cpu, selector: number, ext: number): void {
  const error = (selector & 0xfffc) | ext;
  if (isNull(selector) || !tryFetch(cpu, selector, scratch) || !scratch.isCode) raise(cpu, VECTOR_TS, error);
  const { cpl } = cpu.state;
  if (scratch.isConforming ? scratch.dpl > cpl : scratch.dpl !== cpl) raise(cpu, VECTOR_TS, error);
  if (!scratch.present) raise(cpu, VECTOR_NP, error);
  markAccessed(cpu, scratch);
  loadFromDescriptor(cpu, CS, selector, scratch);
  cpu.state.codeSize = codeSizeOf(cpu, scratch.attributes);
}

function loadStack(cpu: Cpu, selector: number, ext: number): void {
  const error = (selector & 0xfffc) | ext;
  const { cpl } = cpu.state;
  if (isNull(selector) || !tryFetch(cpu, selector, scratch) || !scratch.isWritable) raise(cpu, VECTOR_TS, error);
  if (scratch.dpl !== cpl || (selector & 3) !== cpl) raise(cpu, VECTOR_TS, error);
  if (!scratch.present) raise(cpu, VECTOR_SS, error);
  markAccessed(cpu, scratch);
  loadFromDescriptor(cpu, SS, selector, scratch);
}

function loadData(cpu: Cpu, register: number, selector: number, ext: number): void {
  if (isNull(selector)) return;
  const error = (selector & 0xfffc) | ext;
  if (!tryFetch(cpu, selector, scratch) || !scratch.isSegment || !scratch.isReadable) raise(cpu, VECTOR_TS, error);
  if (!scratch.isConforming && (scratch.dpl < cpu.state.cpl || scratch.dpl < (selector & 3)))
    raise(cpu, VECTOR_TS, error);
  if (!scratch.present) raise(cpu, VECTOR_NP, error);
  markAccessed(cpu, scratch);
  loadFromDescriptor(cpu, register, selector, scratch);
}

/** Pushes an exception's error code on the new task's stack. */
function pushErrorCode(cpu: Cpu, width: 2 | 4, error: number): void {
  const stack = LegacyStack.current(cpu, 1, cpu.state.cpl === 3 ? Access.User : Access.Supervisor);
  stack.push(width, error);
  stack.commit(RSP);
}
