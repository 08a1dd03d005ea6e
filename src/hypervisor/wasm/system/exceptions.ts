/**
 * Delivery of exceptions and interrupts: the entry points, the combination into double and triple faults (SDM 3A 6.15,
 * "Interrupt 8", table 6-5), and the 64-bit gates (3A 6.14; pseudo-code of INT n in 2A). The other modes are in
 * legacy-interrupts.ts.
 *
 * @module
 */
import { ACTIVITY_RUNNING, ACTIVITY_SHUTDOWN, ACTIVITY, CS, IDTR, RSP, SS, TR, segmentOffset } from '../state.ts';
import {
  raise,
  raiseGp,
  readSystem,
  isCanonical,
  VECTOR_DB,
  VECTOR_DE,
  VECTOR_DF,
  VECTOR_GP,
  VECTOR_NMI,
  VECTOR_NP,
  VECTOR_PF,
  VECTOR_SS,
  VECTOR_TS,
} from './cpu.ts';
import type { Cpu, EventKind } from './cpu.ts';
import { FLAG_IF, FLAG_NT, FLAG_RF, FLAG_TF, FLAG_VM } from './cpu-state.ts';
import { Descriptor, fetchDescriptor, isNull, loadFromDescriptor, markAccessed } from './descriptor.ts';
import { deliverProtected, deliverReal } from './legacy-interrupts.ts';
import { Access, guestFault } from './mmu.ts';
import { loadNull } from './segments.ts';

/** The saved RFLAGS image (SDM 3B 17.3.1.1). Without enabled breakpoints RF outside faults has no effect and is not kept exact. */
export function savedFlags(cpu: Cpu, vector: number, kind: EventKind): number {
  const flags = cpu.state.rflags;
  if (kind === 'fault' && vector !== VECTOR_DB) return flags | FLAG_RF;
  if (kind === 'software' || (cpu.state.dr7 & 0xff) === 0) return flags & ~FLAG_RF;
  return flags;
}

const code = new Descriptor();

/** Writes slot `index` (8 bytes each) of a frame that starts at sp. */
function writeSlot(cpu: Cpu, sp: number, spHi: number, index: number, access: Access, lo: number, hi: number): void {
  const at = sp + index * 8;
  cpu.mmu.write(at >>> 0, at > 0xffff_ffff ? spHi + 1 : spHi, 8, access, lo, hi);
}

/** Delivers through a 64-bit gate. Raises (with nothing changed but memory below the stack pointer) when a check fails. */
function deliverLong(cpu: Cpu, vector: number, error: number, kind: EventKind): void {
  const { state, mmu } = cpu;
  const ext = kind === 'software' ? 0 : 1;
  const gateError = (vector << 3) | 2 | ext;
  if (vector * 16 + 15 > state.tableLimit(IDTR)) raiseGp(cpu, gateError);
  const gateLo = readSystem(cpu, IDTR, vector * 16, 8);
  const gateHi = mmu.high;
  const targetHi = readSystem(cpu, IDTR, vector * 16 + 8, 4);
  const type = (gateHi >>> 8) & 0x1f;
  if (type !== 14 && type !== 15) raiseGp(cpu, gateError);
  if (kind === 'software' && ((gateHi >>> 13) & 3) < state.cpl) raiseGp(cpu, gateError);
  if ((gateHi & 0x8000) === 0) raise(cpu, VECTOR_NP, gateError);

  const selector = gateLo >>> 16;
  if (isNull(selector)) raiseGp(cpu, ext);
  fetchDescriptor(cpu, selector, code, VECTOR_GP, ext);
  const selectorError = (selector & 0xfffc) | ext;
  if (!code.isCode || code.dpl > state.cpl || !code.long || code.big) raiseGp(cpu, selectorError);
  if (!code.present) raise(cpu, VECTOR_NP, selectorError);
  const cpl = code.isConforming ? state.cpl : code.dpl;

  // The new stack: an IST entry, the inner level's RSP from the TSS, or the present one. SDM 3A 6.14.2, 6.14.5.
  const ist = gateHi & 7;
  let sp = state.gprLo(RSP);
  let spHi = state.gprHi(RSP);
  if (ist !== 0 || cpl !== state.cpl) {
    const at = ist !== 0 ? 28 + ist * 8 : 4 + cpl * 8;
    if (at + 7 > state.limit(TR)) raise(cpu, VECTOR_TS, (state.selector(TR) & 0xfffc) | ext);
    sp = readSystem(cpu, segmentOffset(TR), at, 8);
    spHi = mmu.high;
  }
  const bytes = error === -1 ? 40 : 48;
  sp = (sp & ~15) >>> 0;
  if (sp < bytes) spHi = (spHi - 1) >>> 0;
  sp = (sp - bytes) >>> 0;
  if (!isCanonical(spHi)) raise(cpu, VECTOR_SS, ext);
  const target = ((gateLo & 0xffff) | (gateHi & 0xffff_0000)) >>> 0;
  if (!isCanonical(targetHi)) raiseGp(cpu, ext);

  const access = cpl === 3 ? Access.User : Access.Supervisor;
  const slot = bytes >> 3;
  const flags = savedFlags(cpu, vector, kind);
  writeSlot(cpu, sp, spHi, slot - 1, access, state.selector(SS), 0);
  writeSlot(cpu, sp, spHi, slot - 2, access, state.gprLo(RSP), state.gprHi(RSP));
  writeSlot(cpu, sp, spHi, slot - 3, access, flags, 0);
  writeSlot(cpu, sp, spHi, slot - 4, access, state.selector(CS), 0);
  writeSlot(cpu, sp, spHi, slot - 5, access, state.ripLo, state.ripHi);
  if (error !== -1) writeSlot(cpu, sp, spHi, 0, access, error, 0);
  markAccessed(cpu, code);

  // Nothing raises from here on.
  if (cpl !== state.cpl) loadNull(cpu, SS, cpl, cpl);
  state.setGprHalves(RSP, sp, spHi);
  loadFromDescriptor(cpu, CS, (selector & 0xfffc) | cpl, code);
  state.setRip(target, targetHi);
  state.cpl = cpl;
  state.codeSize = 64;
  state.systemFlags = state.systemFlags & ~(FLAG_TF | FLAG_VM | FLAG_RF | FLAG_NT | (type === 14 ? FLAG_IF : 0));
}

/** Delivers once; raises on a nested exception. INT n and the like call this from an instruction. */
export function deliverEvent(cpu: Cpu, vector: number, error: number, kind: EventKind): void {
  const { state } = cpu;
  if (state.longMode) deliverLong(cpu, vector, error, kind);
  else if (state.protectedMode) deliverProtected(cpu, vector, error, kind, savedFlags(cpu, vector, kind));
  else deliverReal(cpu, vector, savedFlags(cpu, vector, kind));
  // SDM 3B 17.2.4: GD is cleared on entry to the debug exception handler.
  if (vector === VECTOR_DB && kind !== 'software') state.dr7 = state.dr7 & ~0x2000;
  state.interruptShadow = 0;
  cpu.stepped = true;
  state.i32[ACTIVITY >> 2] = ACTIVITY_RUNNING;
  cpu.mmu.modeChanged();
}

/** Classes of table 6-4: 0 benign, 1 contributory, 2 page fault. */
function faultClass(vector: number): 0 | 1 | 2 {
  if (vector === VECTOR_PF) return 2;
  return vector === VECTOR_DE || (vector >= VECTOR_TS && vector <= VECTOR_GP) ? 1 : 0;
}

/**
 * Delivers an exception or interrupt, and whatever goes wrong on the way: a second exception, a double fault, shutdown.
 * For a fault RIP is that of the instruction, else that of the next one.
 */
export function deliver(cpu: Cpu, vector: number, error: number, kind: EventKind): 'delivered' | 'shutdown' {
  let current = vector;
  let currentError = error;
  let currentKind = kind;
  // A chain of benign second exceptions ends: each is a fault by the gates, and those are contributory from then on.
  for (;;) {
    try {
      deliverEvent(cpu, current, currentError, currentKind);
      return 'delivered';
    } catch (fault) {
      if (fault !== guestFault) throw fault;
    }
    const second = cpu.state.faultVector;
    const secondError = cpu.state.faultError;
    cpu.state.faultVector = -1;
    const isException = currentKind === 'fault' || currentKind === 'trap' || currentKind === 'icebp';
    if (isException && current === VECTOR_DF) {
      // Any exception while calling the double-fault handler, page faults and contributory ones alike: shutdown.
      cpu.state.activity = ACTIVITY_SHUTDOWN;
      return 'shutdown';
    }
    const first = isException ? faultClass(current) : 0;
    const then = faultClass(second);
    const double = (first === 1 && then === 1) || (first === 2 && then !== 0);
    current = double ? VECTOR_DF : second;
    currentError = double ? 0 : secondError;
    currentKind = 'fault';
  }
}

/** Delivers the exception that FAULT_VECTOR and FAULT_ERROR describe (all are faults but traps named by `kind`). */
export function deliverPendingFault(cpu: Cpu): 'delivered' | 'shutdown' {
  const { state } = cpu;
  const vector = state.faultVector;
  state.faultVector = -1;
  return deliver(cpu, vector, state.faultError, 'fault');
}

/** Delivers an external interrupt by its vector. */
export const deliverInterrupt = (cpu: Cpu, vector: number): 'delivered' | 'shutdown' =>
  deliver(cpu, vector, -1, 'interrupt');

/** Delivers an NMI and blocks further ones until IRET. */
export function deliverNmi(cpu: Cpu): 'delivered' | 'shutdown' {
  const outcome = deliver(cpu, VECTOR_NMI, -1, 'interrupt');
  cpu.state.nmiBlocked = true;
  return outcome;
}
