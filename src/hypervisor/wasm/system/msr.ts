/**
 * RDMSR and WRMSR (SDM 2B, 2C; the registers: volume 4). Every register that is not named here raises #GP(0).
 *
 * @module
 */
import {
  FS,
  GS,
  MSR_CSTAR,
  MSR_FMASK,
  MSR_KERNEL_GS_BASE,
  MSR_LSTAR,
  MSR_MISC_ENABLE,
  MSR_STAR,
  MSR_SYSENTER_CS,
  MSR_SYSENTER_EIP,
  MSR_SYSENTER_ESP,
  MSR_TSC_ADJUST,
  MSR_TSC_AUX,
  MSR_XSS,
  RAX,
  RCX,
  RDX,
  segmentOffset,
} from '../state.ts';
import { isCanonical, raiseGp, raiseUd, requireCpl0 } from './cpu.ts';
import type { Cpu, SystemInsn } from './cpu.ts';
import {
  CR0_PG,
  CR4_FSGSBASE,
  EFER_LMA,
  EFER_LME,
  EFER_NXE,
  EFER_SCE,
  highHalf,
  joinHalves,
  lowHalf,
} from './cpu-state.ts';
import { readMtrr, writeMtrr } from './mtrr.ts';
import { DEBUGCTL_BTF, MSR_DEBUGCTL, MSR_MCG_STATUS } from './private-state.ts';
import { readTsc, writeTsc, writeTscAdjust } from './tsc.ts';

const IA32_TIME_STAMP_COUNTER = 0x10,
  IA32_PLATFORM_ID = 0x17,
  IA32_APIC_BASE = 0x1b,
  IA32_TSC_ADJUST = 0x3b;
const IA32_BIOS_SIGN_ID = 0x8b,
  IA32_ARCH_CAPABILITIES = 0x10a,
  IA32_SYSENTER_CS = 0x174,
  IA32_SYSENTER_ESP = 0x175;
const IA32_SYSENTER_EIP = 0x176,
  IA32_MCG_CAP = 0x179,
  IA32_MCG_STATUS = 0x17a,
  IA32_MISC_ENABLE = 0x1a0,
  IA32_DEBUGCTL = 0x1d9;
const IA32_TSC_DEADLINE = 0x6e0,
  X2APIC_FIRST = 0x800,
  X2APIC_LAST = 0x8ff,
  IA32_XSS = 0xda0;
export const IA32_EFER = 0xc000_0080,
  IA32_STAR = 0xc000_0081,
  IA32_LSTAR = 0xc000_0082,
  IA32_CSTAR = 0xc000_0083,
  IA32_FMASK = 0xc000_0084;
export const IA32_FS_BASE = 0xc000_0100,
  IA32_GS_BASE = 0xc000_0101,
  IA32_KERNEL_GS_BASE = 0xc000_0102,
  IA32_TSC_AUX = 0xc000_0103;

/**
 * IA32_ARCH_CAPABILITIES: what this processor does not suffer from. RDCL_NO, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO, PSCHANGE_MC_NO,
 * TAA_NO, SBDR_SSDP_NO, FBSDP_NO, PSDP_NO, BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO, ITS_NO.
 */
const ARCH_CAPABILITIES = [0, 3, 4, 5, 6, 8, 13, 14, 15, 20, 24, 26, 27, 62].reduce(
  (sum, bit) => sum | (1n << BigInt(bit)),
  0n,
);

/** Fast strings on; branch trace and PEBS unavailable. */
export const MISC_ENABLE_RESET = 0x1801n;
const MISC_ENABLE_WRITABLE = 1n;

const EFER_WRITABLE = EFER_SCE | EFER_LME | EFER_NXE;

/** Registers that are 64 plain bits holding a linear address: where they lie. */
const ADDRESS_REGISTERS: ReadonlyMap<number, number> = new Map([
  [IA32_SYSENTER_ESP, MSR_SYSENTER_ESP],
  [IA32_SYSENTER_EIP, MSR_SYSENTER_EIP],
  [IA32_LSTAR, MSR_LSTAR],
  [IA32_CSTAR, MSR_CSTAR],
  [IA32_FS_BASE, segmentOffset(FS)],
  [IA32_GS_BASE, segmentOffset(GS)],
  [IA32_KERNEL_GS_BASE, MSR_KERNEL_GS_BASE],
]);

const isIrqchipMsr = (index: number): boolean =>
  (index >= X2APIC_FIRST && index <= X2APIC_LAST) || index === IA32_APIC_BASE || index === IA32_TSC_DEADLINE;

/** Reads an MSR; undefined: there is none, #GP(0). */
export function readMsr(cpu: Cpu, index: number): bigint | undefined {
  const { state, host } = cpu;
  const address = ADDRESS_REGISTERS.get(index);
  if (address !== undefined) return state.big(address);
  if (isIrqchipMsr(index)) return host.interrupts.readMsr(index);
  switch (index) {
    case IA32_TIME_STAMP_COUNTER:
      return readTsc(cpu);
    case IA32_TSC_ADJUST:
      return state.big(MSR_TSC_ADJUST);
    case IA32_TSC_AUX:
      return state.big(MSR_TSC_AUX);
    case IA32_EFER:
      return BigInt(state.efer);
    case IA32_STAR:
      return state.big(MSR_STAR);
    case IA32_FMASK:
      return state.big(MSR_FMASK);
    case IA32_SYSENTER_CS:
      return state.big(MSR_SYSENTER_CS);
    case IA32_MISC_ENABLE:
      return state.big(MSR_MISC_ENABLE);
    case IA32_DEBUGCTL:
      return state.big(MSR_DEBUGCTL);
    case IA32_XSS:
      return state.big(MSR_XSS);
    case IA32_MCG_STATUS:
      return state.big(MSR_MCG_STATUS);
    // No banks, no control register, no extensions.
    case IA32_MCG_CAP:
      return 0n;
    case IA32_PLATFORM_ID:
      return 0n;
    // Microcode revision 1 in the upper half.
    case IA32_BIOS_SIGN_ID:
      return 1n << 32n;
    case IA32_ARCH_CAPABILITIES:
      return ARCH_CAPABILITIES;
    default:
      return readMtrr(cpu, index);
  }
}

function writeEfer(cpu: Cpu, value: bigint): boolean {
  const { state, mmu } = cpu;
  if ((value & ~BigInt(EFER_WRITABLE | EFER_LMA)) !== 0n) return false;
  const old = state.efer;
  // LMA is read-only and ignored; LME cannot change while paging is on (SDM 3A 2.2.1, 9.8.5).
  const next = (Number(value) & EFER_WRITABLE) | (old & EFER_LMA);
  if (((old ^ next) & EFER_LME) !== 0 && (state.cr0 & CR0_PG) !== 0) return false;
  state.efer = next;
  if (((old ^ next) & EFER_NXE) !== 0) mmu.flushAll();
  mmu.modeChanged();
  return true;
}

/** Writes an MSR; false: #GP(0). */
export function writeMsr(cpu: Cpu, index: number, value: bigint): boolean {
  const { state, host } = cpu;
  const address = ADDRESS_REGISTERS.get(index);
  if (address !== undefined) {
    if (!isCanonical(highHalf(value))) return false;
    state.setBig(address, value);
    return true;
  }
  if (isIrqchipMsr(index)) return host.interrupts.writeMsr(index, value);
  switch (index) {
    case IA32_TIME_STAMP_COUNTER:
      writeTsc(cpu, value);
      return true;
    case IA32_TSC_ADJUST:
      writeTscAdjust(cpu, value);
      return true;
    case IA32_TSC_AUX:
      if (value >> 32n !== 0n) return false;
      state.setBig(MSR_TSC_AUX, value);
      return true;
    case IA32_EFER:
      return writeEfer(cpu, value);
    case IA32_STAR:
      state.setBig(MSR_STAR, value);
      return true;
    case IA32_FMASK:
      if (value >> 32n !== 0n) return false;
      state.setBig(MSR_FMASK, value);
      return true;
    case IA32_SYSENTER_CS:
      // Only 16 bits mean anything; 32 are kept, as on the processors that have more.
      state.setBig(MSR_SYSENTER_CS, value & 0xffff_ffffn);
      return true;
    case IA32_MISC_ENABLE:
      state.setBig(
        MSR_MISC_ENABLE,
        (state.big(MSR_MISC_ENABLE) & ~MISC_ENABLE_WRITABLE) | (value & MISC_ENABLE_WRITABLE),
      );
      return true;
    case IA32_DEBUGCTL:
      if ((value & ~BigInt(DEBUGCTL_BTF)) !== 0n) return false;
      state.setBig(MSR_DEBUGCTL, value);
      return true;
    // No supervisor state components.
    case IA32_XSS:
      return value === 0n;
    case IA32_MCG_STATUS:
      if (value !== 0n) return false;
      state.setBig(MSR_MCG_STATUS, value);
      return true;
    // Writing zero before CPUID is how the revision is read; nothing else happens.
    case IA32_BIOS_SIGN_ID:
      return true;
    default:
      return writeMtrr(cpu, index, value);
  }
}

/** RDMSR. */
export function rdmsr(cpu: Cpu): void {
  const { state } = cpu;
  requireCpl0(cpu);
  const value = readMsr(cpu, state.gprLo(RCX));
  if (value === undefined) raiseGp(cpu, 0);
  state.setGprHalves(RAX, lowHalf(value!), 0);
  state.setGprHalves(RDX, highHalf(value!), 0);
}

/** WRMSR. */
export function wrmsr(cpu: Cpu): void {
  const { state } = cpu;
  requireCpl0(cpu);
  if (!writeMsr(cpu, state.gprLo(RCX), joinHalves(state.gprLo(RAX), state.gprLo(RDX)))) raiseGp(cpu, 0);
}

/** SWAPGS: 64-bit mode, CPL 0. */
export function swapgs(cpu: Cpu): void {
  const { state } = cpu;
  if (state.codeSize !== 64) raiseUd(cpu);
  requireCpl0(cpu);
  const gs = segmentOffset(GS);
  const lo = state.lo(gs);
  const hi = state.hi(gs);
  state.copy(MSR_KERNEL_GS_BASE, gs);
  state.set(MSR_KERNEL_GS_BASE, lo, hi);
}

function requireFsgsbase(cpu: Cpu): void {
  if (cpu.state.codeSize !== 64 || (cpu.state.cr4 & CR4_FSGSBASE) === 0) raiseUd(cpu);
}

function readBase(cpu: Cpu, insn: SystemInsn, segment: number): void {
  requireFsgsbase(cpu);
  cpu.state.setGprSized(insn.rm, insn.opsize, cpu.state.baseLo(segment), cpu.state.baseHi(segment));
}
function writeBase(cpu: Cpu, insn: SystemInsn, segment: number): void {
  const { state } = cpu;
  requireFsgsbase(cpu);
  const hi = insn.opsize === 8 ? state.gprHi(insn.rm) : 0;
  if (!isCanonical(hi)) raiseGp(cpu, 0);
  state.setBase(segment, state.gprLo(insn.rm), hi);
}
export const rdfsbase = (cpu: Cpu, insn: SystemInsn): void => readBase(cpu, insn, FS);
export const rdgsbase = (cpu: Cpu, insn: SystemInsn): void => readBase(cpu, insn, GS);
export const wrfsbase = (cpu: Cpu, insn: SystemInsn): void => writeBase(cpu, insn, FS);
export const wrgsbase = (cpu: Cpu, insn: SystemInsn): void => writeBase(cpu, insn, GS);
