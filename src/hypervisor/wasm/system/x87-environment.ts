/**
 * The x87 environment and state images: FNSTENV FLDENV FNSAVE FRSTOR (SDM 1 8.1.10, figures 8-9 to 8-12).
 *
 * The images differ by operand size (14 or 28 bytes) and by mode: instruction and data pointers are selector and offset in
 * protected mode, linear addresses in real and virtual-8086 mode. The selectors are always zero (CPUID.7.EBX[13]).
 *
 * @module
 */
import {
  FPR, FPU_CONTROL, FPU_DP, FPU_IP, FPU_OPCODE, FPU_STATUS, FPU_TAGS,
} from '../state.ts';
import { currentAccess, operandAddress, raise, raiseUd, readOperand, VECTOR_MF, VECTOR_NM, writeOperand } from './cpu.ts';
import type { Cpu, SystemInsn } from './cpu.ts';
import { CR0_EM, CR0_NE, CR0_TS } from './cpu-state.ts';
import type { CpuState } from './cpu-state.ts';
import { initX87, loadedControl, loadedStatus } from './fpu-image.ts';

const FSW_ES = 0x80, FSW_B = 0x8000, EXCEPTION_MASKS = 0x3f;
const TAG_VALID = 0, TAG_ZERO = 1, TAG_SPECIAL = 2, TAG_EMPTY = 3;
const REGISTER_BYTES = 10;

function checkX87(cpu: Cpu): void {
  if ((cpu.state.cr0 & (CR0_EM | CR0_TS)) !== 0) raise(cpu, VECTOR_NM, -1);
}
/** Waiting instructions report a pending exception first; with CR0.NE clear that is an external interrupt, which is not there. */
function checkPending(cpu: Cpu): void {
  if ((cpu.state.u32[FPU_STATUS >> 2]! & FSW_ES) !== 0 && (cpu.state.cr0 & CR0_NE) !== 0) raise(cpu, VECTOR_MF, -1);
}

/** The full tag of a physical register from its contents (SDM 1 8.1.7). */
function tagOf(state: CpuState, register: number): number {
  if (((state.u32[FPU_TAGS >> 2]! >> register) & 1) === 0) return TAG_EMPTY;
  const at = (FPR + register * 16) >> 2;
  const lo = state.u32[at]!;
  const hi = state.u32[at + 1]!;
  const exponent = state.u32[at + 2]! & 0x7fff;
  if (exponent === 0) return lo === 0 && hi === 0 ? TAG_ZERO : TAG_SPECIAL;
  return exponent === 0x7fff || hi >>> 31 === 0 ? TAG_SPECIAL : TAG_VALID;
}

/** The 16-bit tag word. */
export function tagWord(state: CpuState): number {
  let word = 0;
  for (let register = 0; register < 8; register++) word |= tagOf(state, register) << (register * 2);
  return word;
}

/** The abridged tag byte of a tag word. */
function abridged(word: number): number {
  let byte = 0;
  for (let register = 0; register < 8; register++) if (((word >> (register * 2)) & 3) !== TAG_EMPTY) byte |= 1 << register;
  return byte;
}

const linearPointers = (cpu: Cpu): boolean => !cpu.state.protectedMode || cpu.state.virtual8086;

/** Size of the environment image. */
const environmentBytes = (insn: SystemInsn): number => (insn.opsize === 2 ? 14 : 28);

/** Raises what a store to or load from the whole image would, so that nothing is half done. */
function probe(cpu: Cpu, insn: SystemInsn, bytes: number, write: boolean): void {
  if (insn.rm >= 0) raiseUd(cpu);
  operandAddress(cpu, insn, 0, bytes, write);
  cpu.mmu.probe(cpu.lo, cpu.hi, bytes, currentAccess(cpu), write);
}

function storeEnvironment(cpu: Cpu, insn: SystemInsn): void {
  const { u32 } = cpu.state;
  const [ip, dp, opcode] = [u32[FPU_IP >> 2]!, u32[FPU_DP >> 2]!, u32[FPU_OPCODE >> 2]! & 0x7ff];
  const words = [u32[FPU_CONTROL >> 2]! & 0xffff, u32[FPU_STATUS >> 2]! & 0xffff, tagWord(cpu.state)];
  if (insn.opsize === 2) {
    if (linearPointers(cpu)) words.push(ip & 0xffff, ((ip >>> 4) & 0xf000) | opcode, dp & 0xffff, (dp >>> 4) & 0xf000);
    else words.push(ip & 0xffff, 0, dp & 0xffff, 0);
    for (const [index, word] of words.entries()) writeOperand(cpu, insn, index * 2, 2, word, 0);
    return;
  }
  // Reserved upper halves are written as ones.
  const image = words.map((word) => (word | 0xffff_0000) >>> 0);
  if (linearPointers(cpu)) {
    image.push((ip & 0xffff) | 0xffff_0000, ((ip >>> 4) & 0x0fff_f000) | opcode, (dp & 0xffff) | 0xffff_0000, (dp >>> 4) & 0x0fff_f000);
  } else image.push(ip, opcode << 16, dp, 0xffff_0000);
  for (const [index, word] of image.entries()) writeOperand(cpu, insn, index * 4, 4, word >>> 0, 0);
}

/** Reads an environment image; nothing is loaded yet. */
interface Environment {
  readonly control: number;
  readonly status: number;
  readonly tags: number;
  readonly ip: number;
  readonly dp: number;
  readonly opcode: number;
}
function readEnvironment(cpu: Cpu, insn: SystemInsn): Environment {
  const narrow = insn.opsize === 2;
  const word = (index: number): number => readOperand(cpu, insn, index * (narrow ? 2 : 4), narrow ? 2 : 4);
  const control = word(0) & 0xffff;
  const status = word(1) & 0xffff;
  const tags = abridged(word(2) & 0xffff);
  const [a, b, c, d] = [word(3), word(4), word(5), word(6)];
  if (linearPointers(cpu)) {
    const ip = (a & 0xffff) | ((b << 4) & (narrow ? 0xf_0000 : 0xffff_0000));
    const dp = (c & 0xffff) | ((d << 4) & (narrow ? 0xf_0000 : 0xffff_0000));
    return { control, status, tags, ip: ip >>> 0, dp: dp >>> 0, opcode: b & 0x7ff };
  }
  return { control, status, tags, ip: a, dp: c, opcode: narrow ? 0 : (b >>> 16) & 0x7ff };
}
function loadEnvironment(state: CpuState, environment: Environment): void {
  const { u32 } = state;
  const control = loadedControl(environment.control);
  u32[FPU_CONTROL >> 2] = control;
  u32[FPU_STATUS >> 2] = loadedStatus(environment.status, control);
  u32[FPU_TAGS >> 2] = environment.tags;
  state.set(FPU_IP, environment.ip, 0);
  state.set(FPU_DP, environment.dp, 0);
  u32[FPU_OPCODE >> 2] = environment.opcode;
}

/** FNSTENV: stores the environment, then masks all exceptions. */
export function fnstenv(cpu: Cpu, insn: SystemInsn): void {
  const { u32 } = cpu.state;
  checkX87(cpu);
  probe(cpu, insn, environmentBytes(insn), true);
  storeEnvironment(cpu, insn);
  u32[FPU_CONTROL >> 2] = u32[FPU_CONTROL >> 2]! | EXCEPTION_MASKS;
  u32[FPU_STATUS >> 2] = u32[FPU_STATUS >> 2]! & ~(FSW_ES | FSW_B);
}

/** FLDENV. */
export function fldenv(cpu: Cpu, insn: SystemInsn): void {
  checkX87(cpu);
  checkPending(cpu);
  probe(cpu, insn, environmentBytes(insn), false);
  loadEnvironment(cpu.state, readEnvironment(cpu, insn));
}

/** FNSAVE: environment and ST0..ST7, then FNINIT. */
export function fnsave(cpu: Cpu, insn: SystemInsn): void {
  const { state } = cpu;
  checkX87(cpu);
  const start = environmentBytes(insn);
  probe(cpu, insn, start + 8 * REGISTER_BYTES, true);
  storeEnvironment(cpu, insn);
  const top = (state.u32[FPU_STATUS >> 2]! >> 11) & 7;
  for (let st = 0; st < 8; st++) {
    const at = (FPR + ((top + st) & 7) * 16) >> 2;
    writeOperand(cpu, insn, start + st * REGISTER_BYTES, 8, state.u32[at]!, state.u32[at + 1]!);
    writeOperand(cpu, insn, start + st * REGISTER_BYTES + 8, 2, state.u32[at + 2]! & 0xffff, 0);
  }
  fninitRegisters(state);
}

/** FRSTOR. */
export function frstor(cpu: Cpu, insn: SystemInsn): void {
  const { state } = cpu;
  checkX87(cpu);
  checkPending(cpu);
  const start = environmentBytes(insn);
  probe(cpu, insn, start + 8 * REGISTER_BYTES, false);
  loadEnvironment(state, readEnvironment(cpu, insn));
  const top = (state.u32[FPU_STATUS >> 2]! >> 11) & 7;
  for (let st = 0; st < 8; st++) {
    const at = (FPR + ((top + st) & 7) * 16) >> 2;
    state.u32[at] = readOperand(cpu, insn, start + st * REGISTER_BYTES, 8);
    state.u32[at + 1] = cpu.mmu.high;
    state.u32[at + 2] = readOperand(cpu, insn, start + st * REGISTER_BYTES + 8, 2);
    state.u32[at + 3] = 0;
  }
}

/** What FNINIT does: control, status, tags and pointers; the registers keep their contents, marked empty. */
export function fninitRegisters(state: CpuState): void {
  const { u32 } = state;
  const kept = u32.slice(FPR >> 2, (FPR >> 2) + 32);
  initX87(state);
  u32.set(kept, FPR >> 2);
}

/** FNINIT. */
export function fninit(cpu: Cpu): void {
  checkX87(cpu);
  fninitRegisters(cpu.state);
}
