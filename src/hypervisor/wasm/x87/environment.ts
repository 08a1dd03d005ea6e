/**
 * FLDENV, FNSTENV, FRSTOR, FNSAVE: the x87 environment and state in memory (SDM volume 1, 8.1.10, figures 8-9 to 8-12).
 *
 * Four images: 16- or 32-bit by operand size, each in a protected-mode and a real-mode (and virtual-8086) layout. 64-bit mode
 * uses the 32-bit protected-mode layout. Operand, as handed to the operations: the offset of the bytes in linear memory.
 * Which layout: TEMP1 of the CPU state record, ENVIRONMENT_* bits.
 *
 * @module
 */
import { FPR, FPU_CONTROL, FPU_CS, FPU_DP, FPU_DS, FPU_IP, FPU_OPCODE, FPU_TAGS, TEMP1 } from '../state.ts';
import { FINITE, ZERO } from '../softfloat/value.ts';
import type { X87Row } from './row.ts';
import { BUSY, DONE, ES, type Outcome } from './status.ts';
import type { X87 } from './x87.ts';

/** Bits of TEMP1: the operand size is 32 or 64; protected mode without VM86. */
export const ENVIRONMENT_32 = 1,
  ENVIRONMENT_PROTECTED = 2;

const REGISTER_BYTES = 10;

/** Bytes of the image of FNSTENV and FLDENV; `wide`: the operand size is 32 or 64 bits. */
export const environmentBytes = (wide: boolean): number => (wide ? 28 : 14);

/** Bytes of the image of FNSAVE and FRSTOR: the environment and eight registers. */
export const stateBytes = (wide: boolean): number => environmentBytes(wide) + 8 * REGISTER_BYTES;

/** What FLDCW keeps of the control word: the masks, PC, RC and the (meaningless) infinity control; bit 6 reads as set. */
export const CONTROL_WRITABLE = 0x1f3f,
  CONTROL_FIXED = 0x40;

/** The full tag word: two bits a physical register, 00 valid, 01 zero, 10 special, 11 empty. */
export function fullTags(fpu: X87): number {
  let tags = 0;
  const top = fpu.physical(0);
  for (let physical = 0; physical < 8; physical++) {
    const i = (physical - top) & 7;
    let tag = 3;
    if (!fpu.isEmpty(i)) {
      fpu.load(i, fpu.a);
      tag = fpu.a.kind === ZERO ? 1 : fpu.a.kind === FINITE && !fpu.a.denormal ? 0 : 2;
    }
    tags |= tag << (2 * physical);
  }
  return tags;
}

/** The abridged tags of a full tag word. */
export function abridgedTags(full: number): number {
  let tags = 0;
  for (let physical = 0; physical < 8; physical++) if (((full >> (2 * physical)) & 3) !== 3) tags |= 1 << physical;
  return tags;
}

/** Sets control word, and ES and B of the status word to agree with it. */
export function loadControl(fpu: X87, word: number): void {
  fpu.control = (word & CONTROL_WRITABLE) | CONTROL_FIXED;
  fpu.u32[FPU_CONTROL >> 2] = fpu.control;
  summarise(fpu);
}

function summarise(fpu: X87): void {
  fpu.status &= ~(ES | BUSY);
  if (fpu.status & ~fpu.control & 0x3f) fpu.status |= ES | BUSY;
  fpu.commitStatus();
}

function storeEnvironment(fpu: X87, at: number): number {
  const { memory, u32 } = fpu;
  const layout = u32[TEMP1 >> 2]!;
  const control = fpu.control,
    status = fpu.status & 0xffff,
    tags = fullTags(fpu);
  const ip = u32[FPU_IP >> 2]!,
    dp = u32[FPU_DP >> 2]!,
    opcode = u32[FPU_OPCODE >> 2]! & 0x7ff;
  const isProtected = (layout & ENVIRONMENT_PROTECTED) !== 0;
  if (layout & ENVIRONMENT_32) {
    const fields = isProtected
      ? [ip, (opcode << 16) | u32[FPU_CS >> 2]!, dp, 0xffff_0000 | u32[FPU_DS >> 2]!]
      : [0xffff_0000 | (ip & 0xffff), ((ip >>> 16) << 12) | opcode, 0xffff_0000 | (dp & 0xffff), (dp >>> 16) << 12];
    [control, status, tags].forEach((word, i) => memory.setUint32(at + 4 * i, 0xffff_0000 | word, true));
    fields.forEach((field, i) => memory.setUint32(at + 12 + 4 * i, field, true));
    return 28;
  }
  const fields = isProtected
    ? [ip, u32[FPU_CS >> 2]!, dp, u32[FPU_DS >> 2]!]
    : [ip, ((ip >>> 16) << 12) | opcode, dp, (dp >>> 16) << 12];
  [control, status, tags, ...fields].forEach((word, i) => memory.setUint16(at + 2 * i, word, true));
  return 14;
}

function loadEnvironment(fpu: X87, at: number): number {
  const { memory, u32 } = fpu;
  const layout = u32[TEMP1 >> 2]!;
  const isProtected = (layout & ENVIRONMENT_PROTECTED) !== 0;
  const wide = (layout & ENVIRONMENT_32) !== 0;
  const step = wide ? 4 : 2;
  const field = (i: number): number => (wide ? memory.getUint32(at + 4 * i, true) : memory.getUint16(at + 2 * i, true));
  const selector = field(4);
  u32[FPU_IP >> 2] = wide && !isProtected ? (field(3) & 0xffff) | ((selector >>> 12) << 16) : field(3);
  u32[FPU_DP >> 2] = wide && !isProtected ? (field(5) & 0xffff) | ((field(6) >>> 12) << 16) : field(5);
  if (!wide && !isProtected) {
    u32[FPU_IP >> 2] = field(3) | ((selector >>> 12) << 16);
    u32[FPU_DP >> 2] = field(5) | ((field(6) >>> 12) << 16);
  }
  u32[(FPU_IP >> 2) + 1] = 0;
  u32[(FPU_DP >> 2) + 1] = 0;
  // The 16-bit protected-mode image has no opcode.
  u32[FPU_OPCODE >> 2] = !isProtected ? selector & 0x7ff : wide ? (selector >>> 16) & 0x7ff : 0;
  u32[FPU_TAGS >> 2] = abridgedTags(field(2) & 0xffff);
  fpu.status = field(1) & 0xffff;
  loadControl(fpu, field(0));
  return 7 * step;
}

/** FNSTENV masks every exception after storing. */
function runStoreEnvironment(fpu: X87, _: number, operand: number): Outcome {
  storeEnvironment(fpu, operand);
  loadControl(fpu, fpu.control | 0x3f);
  return DONE;
}

function runSave(fpu: X87, _: number, operand: number): Outcome {
  const at = operand + storeEnvironment(fpu, operand);
  for (let i = 0; i < 8; i++) {
    const from = at + REGISTER_BYTES * i;
    fpu.memory.setUint32(from, fpu.significandLow(i), true);
    fpu.memory.setUint32(from + 4, fpu.significandHigh(i), true);
    fpu.memory.setUint16(from + 8, fpu.signExponent(i), true);
  }
  initialise(fpu);
  return DONE;
}

function runRestore(fpu: X87, _: number, operand: number): Outcome {
  const at = operand + loadEnvironment(fpu, operand);
  for (let i = 0; i < 8; i++) {
    const from = at + REGISTER_BYTES * i;
    const register = FPR + 16 * fpu.physical(i);
    fpu.u32[register >> 2] = fpu.memory.getUint32(from, true);
    fpu.u32[(register + 4) >> 2] = fpu.memory.getUint32(from + 4, true);
    fpu.u16[(register + 8) >> 1] = fpu.memory.getUint16(from + 8, true);
  }
  return DONE;
}

/** FNINIT: everything but the registers. */
export function initialise(fpu: X87): void {
  const { u32 } = fpu;
  fpu.status = 0;
  loadControl(fpu, 0x37f);
  u32[FPU_TAGS >> 2] = 0;
  u32[FPU_OPCODE >> 2] = 0;
  for (const pointer of [FPU_IP, FPU_DP]) {
    u32[pointer >> 2] = 0;
    u32[(pointer >> 2) + 1] = 0;
  }
  u32[FPU_CS >> 2] = 0;
  u32[FPU_DS >> 2] = 0;
}

export const environmentX87Rows: readonly X87Row[] = [
  {
    name: 'fldenv',
    memory: 'environment',
    waits: true,
    control: true,
    run: (fpu, _, operand) => {
      loadEnvironment(fpu, operand);
      return DONE;
    },
  },
  { name: 'fnstenv', memory: 'environment', store: true, waits: false, control: true, run: runStoreEnvironment },
  { name: 'frstor', memory: 'state', waits: true, control: true, run: runRestore },
  { name: 'fnsave', memory: 'state', store: true, waits: false, control: true, run: runSave },
];
