/**
 * Loading segment registers: MOV Sreg, POP Sreg, LDS LES LFS LGS LSS, with the checks of SDM 2B MOV and 3A 5.6, and the
 * effects of a mode or privilege change on segment registers.
 *
 * Intel's rule for a null selector into FS or GS holds: the base becomes zero (AMD keeps it).
 *
 * @module
 */
import { ATTR_UNUSABLE, CS, DS, ES, FS, GS, RSP, SS } from '../state.ts';
import {
  checkAlignment,
  currentAccess,
  linearAddress,
  raise,
  raiseGp,
  raiseUd,
  readOperand,
  readRm16,
  VECTOR_NP,
  VECTOR_SS,
} from './cpu.ts';
import type { Cpu, SystemInsn } from './cpu.ts';
import {
  Descriptor,
  fetchDescriptor,
  isNull,
  loadFromDescriptor,
  markAccessed,
  NULL_ATTRIBUTES,
} from './descriptor.ts';
import { SHADOW_MOV_SS } from './debug.ts';
import type { AccessBytes } from './mmu.ts';

/** Attributes of every segment in virtual-8086 mode: present, DPL 3, read-write, accessed (SDM 3B 20.1). */
const VIRTUAL_8086_ATTRIBUTES = 0xf3;

const scratch = new Descriptor();

/** Loads a segment register in real or virtual-8086 mode. In real mode limit and attributes stay ("unreal" mode works). */
export function loadRealSegment(cpu: Cpu, register: number, selector: number): void {
  const { state } = cpu;
  if (state.virtual8086)
    state.setSegment(register, selector, (selector << 4) >>> 0, 0, 0xffff, VIRTUAL_8086_ATTRIBUTES);
  else {
    state.setSelector(register, selector);
    state.setBase(register, (selector & 0xffff) << 4, 0);
  }
}

/** Loads all six segment registers for virtual-8086 mode. `selectors` in the order ES CS SS DS FS GS. */
export function loadVirtual8086Segments(cpu: Cpu, selectors: readonly number[]): void {
  for (let register = ES; register <= GS; register++) {
    const selector = selectors[register]! & 0xffff;
    cpu.state.setSegment(register, selector, selector << 4, 0, 0xffff, VIRTUAL_8086_ATTRIBUTES);
  }
}

/** Puts a null selector into a register: unusable, base and limit zero. `dpl` matters for SS only. */
export function loadNull(cpu: Cpu, register: number, selector: number, dpl: number): void {
  cpu.state.setSegment(register, selector, 0, 0, 0, NULL_ATTRIBUTES | (dpl << 5));
}

/** Loads SS in protected mode for the privilege level `cpl`: MOV, POP, LSS. */
function loadStackSegment(cpu: Cpu, selector: number): void {
  const { state } = cpu;
  const { cpl } = state;
  if (isNull(selector)) {
    if (state.codeSize !== 64 || cpl === 3 || (selector & 3) !== cpl) raiseGp(cpu, 0);
    loadNull(cpu, SS, selector, cpl);
    return;
  }
  const descriptor = scratch;
  fetchDescriptor(cpu, selector, descriptor);
  if ((selector & 3) !== cpl || !descriptor.isWritable || descriptor.dpl !== cpl) raiseGp(cpu, selector & 0xfffc);
  if (!descriptor.present) raise(cpu, VECTOR_SS, selector & 0xfffc);
  markAccessed(cpu, descriptor);
  loadFromDescriptor(cpu, SS, selector, descriptor);
}

function loadDataSegment(cpu: Cpu, register: number, selector: number): void {
  if (isNull(selector)) {
    loadNull(cpu, register, selector, 0);
    return;
  }
  const descriptor = scratch;
  fetchDescriptor(cpu, selector, descriptor);
  if (!descriptor.isSegment || !descriptor.isReadable) raiseGp(cpu, selector & 0xfffc);
  if (!descriptor.isConforming && ((selector & 3) > descriptor.dpl || cpu.state.cpl > descriptor.dpl))
    raiseGp(cpu, selector & 0xfffc);
  if (!descriptor.present) raise(cpu, VECTOR_NP, selector & 0xfffc);
  markAccessed(cpu, descriptor);
  loadFromDescriptor(cpu, register, selector, descriptor);
}

/** Loads ES, SS, DS, FS or GS with a selector, in any mode. Nothing changes when it raises. */
export function loadSegment(cpu: Cpu, register: number, selector: number): void {
  const { state } = cpu;
  if (!state.protectedMode || state.virtual8086) loadRealSegment(cpu, register, selector);
  else if (register === SS) loadStackSegment(cpu, selector);
  else loadDataSegment(cpu, register, selector);
  if (state.codeSize !== 64) cpu.mmu.modeChanged();
}

/** After a return to an outer privilege level: data segment registers the new CPL may not use become null (SDM 2A IRET). */
export function dropPrivilegedSegments(cpu: Cpu, cpl: number): void {
  const { state } = cpu;
  for (let register = ES; register <= GS; register++) {
    if (register === CS || register === SS) continue;
    const attributes = state.attributes(register);
    const conformingCode = (attributes & 0x1c) === 0x1c;
    // A register that is null already keeps its base: user space's FS base under a null selector survives IRET.
    if ((attributes & ATTR_UNUSABLE) !== 0 || conformingCode) continue;
    if (((attributes >> 5) & 3) < cpl) loadNull(cpu, register, 0, 0);
  }
}

/** MOV Sreg, r/m16 (8E). The decoder refuses CS and the reserved numbers; so does this. */
export function movToSegment(cpu: Cpu, insn: SystemInsn): void {
  const register = insn.reg & 7;
  if (register === CS || register > GS) raiseUd(cpu);
  loadSegment(cpu, register, readRm16(cpu, insn));
  if (register === SS) cpu.state.interruptShadow = SHADOW_MOV_SS;
}

/** Bytes of the stack pointer in use: 8 in 64-bit mode, else by SS.B. */
export const stackAddressBytes = (cpu: Cpu): number =>
  cpu.state.codeSize === 64 ? 8 : (cpu.state.attributes(SS) & 0x4000) !== 0 ? 4 : 2;

/** Sets `cpu.lo/hi` to the linear address of `bytes` at `displacement` above the stack pointer; #SS(0). The offset wraps at the stack size. */
export function stackAddress(cpu: Cpu, displacement: number, bytes: number, write: boolean): void {
  const { state } = cpu;
  const size = stackAddressBytes(cpu);
  const sum = state.gprLo(RSP) + displacement;
  if (size === 8)
    linearAddress(cpu, SS, sum >>> 0, (state.gprHi(RSP) + Math.floor(sum / 0x1_0000_0000)) >>> 0, bytes, write);
  else linearAddress(cpu, SS, (size === 4 ? sum : sum & 0xffff) >>> 0, 0, bytes, write);
}

/** Adds to the stack pointer within its size. */
export function adjustStackPointer(cpu: Cpu, delta: number): void {
  const { state } = cpu;
  const size = stackAddressBytes(cpu);
  const sum = state.gprLo(RSP) + delta;
  if (size === 8) state.setGprHalves(RSP, sum, state.gprHi(RSP) + Math.floor(sum / 0x1_0000_0000));
  else if (size === 4) state.setGprHalves(RSP, sum, 0);
  else state.setGpr16(RSP, sum);
}

/** POP ES/SS/DS/FS/GS; `reg` is the register. With a 16-bit operand 2 bytes are popped, else `opsize`. */
export function popSegment(cpu: Cpu, insn: SystemInsn): void {
  const { state } = cpu;
  // Only the selector's two bytes are read, whatever the size of the slot.
  stackAddress(cpu, 0, 2, false);
  checkAlignment(cpu, 2);
  const selector = cpu.mmu.read(cpu.lo, cpu.hi, 2, currentAccess(cpu));
  const size = stackAddressBytes(cpu);
  loadSegment(cpu, insn.reg, selector);
  // The pointer moves by the stack size from before the load: POP SS may change it.
  const sum = state.gprLo(RSP) + insn.opsize;
  if (size === 8) state.setGprHalves(RSP, sum, state.gprHi(RSP) + (sum > 0xffff_ffff ? 1 : 0));
  else if (size === 4) state.setGprHalves(RSP, sum, 0);
  else state.setGpr16(RSP, sum);
  if (insn.reg === SS) state.interruptShadow = SHADOW_MOV_SS;
}

/** LDS LES LFS LGS LSS: `reg` is the general register; `selector` of the instruction record names the segment register. */
export function loadFarPointer(cpu: Cpu, insn: SystemInsn): void {
  if (insn.rm >= 0) raiseUd(cpu);
  const offset = readOperand(cpu, insn, 0, insn.opsize as AccessBytes);
  const high = insn.opsize === 8 ? cpu.mmu.high : 0;
  const selector = readOperand(cpu, insn, insn.opsize, 2);
  loadSegment(cpu, insn.selector, selector);
  cpu.state.setGprSized(insn.reg, insn.opsize, offset, high);
}

export const loadDs = (cpu: Cpu, insn: SystemInsn): void => loadFarPointer(cpu, { ...insn, selector: DS });
export const loadEs = (cpu: Cpu, insn: SystemInsn): void => loadFarPointer(cpu, { ...insn, selector: ES });
export const loadFs = (cpu: Cpu, insn: SystemInsn): void => loadFarPointer(cpu, { ...insn, selector: FS });
export const loadGs = (cpu: Cpu, insn: SystemInsn): void => loadFarPointer(cpu, { ...insn, selector: GS });
export const loadSs = (cpu: Cpu, insn: SystemInsn): void => loadFarPointer(cpu, { ...insn, selector: SS });
