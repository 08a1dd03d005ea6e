/**
 * Control registers: MOV CRn, CLTS, LMSW, SMSW, the mode switches they make, TLB invalidation, XSETBV and XGETBV, WBINVD.
 * SDM 2B MOV (control registers), 3A 2.5, 4.1, 4.4.1, 4.10.4, 9.8.5.
 *
 * The TLB caches permissions, so a change of WP, SMEP, SMAP or NXE flushes it, which is more than the manual asks for.
 *
 * @module
 */
import { CR2, CR3, RAX, RCX, RDX, TR, ATTR_L, CS, FS, GS, segmentOffset } from '../state.ts';
import { isCanonical, isCanonicalBig, raiseGp, raiseUd, readOperand, requireCpl0, writeOperand } from './cpu.ts';
import type { Cpu, SystemInsn } from './cpu.ts';
import {
  CR0_AM,
  CR0_CD,
  CR0_EM,
  CR0_ET,
  CR0_MP,
  CR0_NE,
  CR0_NW,
  CR0_PE,
  CR0_PG,
  CR0_TS,
  CR0_WP,
  CR4_DE,
  CR4_FSGSBASE,
  CR4_MCE,
  CR4_OSFXSR,
  CR4_OSXMMEXCPT,
  CR4_OSXSAVE,
  CR4_PAE,
  CR4_PCE,
  CR4_PCIDE,
  CR4_PGE,
  CR4_PSE,
  CR4_SMAP,
  CR4_SMEP,
  CR4_TSD,
  CR4_UMIP,
  EFER_LMA,
  EFER_LME,
  joinHalves,
} from './cpu-state.ts';
import { PHYSICAL_ADDRESS_BITS } from './cpuid.ts';
import { codeSizeOf } from './descriptor.ts';
import { supportedComponents, XSTATE_AVX, XSTATE_SSE, XSTATE_X87, xinuse } from './xsave-components.ts';

const CR0_DEFINED =
  (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG) >>> 0;

/** CR4 bits of what CPUID announces; every other one is reserved. */
export const CR4_DEFINED =
  CR4_TSD |
  CR4_DE |
  CR4_PSE |
  CR4_PAE |
  CR4_MCE |
  CR4_PGE |
  CR4_PCE |
  CR4_OSFXSR |
  CR4_OSXMMEXCPT |
  CR4_UMIP |
  CR4_FSGSBASE |
  CR4_PCIDE |
  CR4_OSXSAVE |
  CR4_SMEP |
  CR4_SMAP;

/** CR4 bits whose change flushes the TLB (SDM 3A 4.10.4.1) or changes cached permissions. */
const CR4_FLUSHING = CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP;
/** CR4 bits whose change reloads the PDPTEs under PAE paging (SDM 3A 4.4.1). */
const CR4_RELOADS_PDPTES = CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP;

const PHYSICAL_RESERVED = ~((1n << BigInt(PHYSICAL_ADDRESS_BITS)) - 1n) & 0xffff_ffff_ffff_ffffn;
const PDPTE_RESERVED = PHYSICAL_RESERVED | 0x1e6n;

/** Reads the four PDPTEs at a CR3 value and loads them; #GP(0), with none loaded, when a present one has a reserved bit set. */
export function loadPdptes(cpu: Cpu, cr3: bigint): void {
  const table = Number(cr3 & 0xffff_ffe0n);
  const entries = [0, 8, 16, 24].map((at) => cpu.mmu.readPhysical(table + at));
  for (const entry of entries) if ((entry & 1n) !== 0n && (entry & PDPTE_RESERVED) !== 0n) raiseGp(cpu, 0);
  for (const [index, entry] of entries.entries()) cpu.state.setPdpte(index, entry);
}

/** The current PCID: 0 unless CR4.PCIDE. */
export const currentPcid = (cpu: Cpu): number => ((cpu.state.cr4 & CR4_PCIDE) !== 0 ? cpu.state.lo(CR3) & 0xfff : 0);

/** Writes CR0 with every check and consequence. */
export function writeCr0(cpu: Cpu, lo: number, hi: number): void {
  const { state, mmu } = cpu;
  const old = state.cr0;
  if (hi !== 0) raiseGp(cpu, 0);
  const value = ((lo & CR0_DEFINED) | CR0_ET) >>> 0;
  const changed = old ^ value;
  const paging = (value & CR0_PG) !== 0;
  if (paging && (value & CR0_PE) === 0) raiseGp(cpu, 0);
  if ((value & CR0_NW) !== 0 && (value & CR0_CD) === 0) raiseGp(cpu, 0);
  let { efer } = state;
  if ((changed & CR0_PG) !== 0) {
    if (paging) {
      if ((efer & EFER_LME) !== 0) {
        if ((state.cr4 & CR4_PAE) === 0) raiseGp(cpu, 0);
        if ((state.attributes(CS) & ATTR_L) !== 0) raiseGp(cpu, 0);
        // Types 1 and 3: a 16-bit TSS.
        if ((state.attributes(TR) & 8) === 0) raiseGp(cpu, 0);
        efer |= EFER_LMA;
      }
    } else {
      if (state.codeSize === 64 || (state.cr4 & CR4_PCIDE) !== 0) raiseGp(cpu, 0);
      efer &= ~EFER_LMA;
    }
  }
  const paePaging = paging && (state.cr4 & CR4_PAE) !== 0 && (efer & EFER_LMA) === 0;
  if (paePaging && (changed & (CR0_PG | CR0_CD | CR0_NW)) !== 0) loadPdptes(cpu, state.cr3);
  state.cr0 = value;
  state.efer = efer;
  if ((changed & (CR0_PG | CR0_WP | CR0_PE)) !== 0) mmu.flushAll();
  state.codeSize = codeSizeOf(cpu, state.attributes(CS));
  mmu.modeChanged();
}

/** Writes CR3. Bit 63 with CR4.PCIDE asks to keep the translations of the new address space. */
export function writeCr3(cpu: Cpu, lo: number, hi: number): void {
  const { state, mmu } = cpu;
  const pcide = (state.cr4 & CR4_PCIDE) !== 0;
  const keep = pcide && hi >>> 31 !== 0;
  const top = keep ? hi & 0x7fff_ffff : hi >>> 0;
  if (state.longMode) {
    if (top >= 2 ** (PHYSICAL_ADDRESS_BITS - 32)) raiseGp(cpu, 0);
  } else if ((state.cr0 & CR0_PG) !== 0 && (state.cr4 & CR4_PAE) !== 0) {
    loadPdptes(cpu, BigInt(lo >>> 0));
  }
  state.set(CR3, lo, top);
  if (!keep) mmu.flushAddressSpace(pcide ? lo & 0xfff : 0);
  mmu.modeChanged();
}

/** Writes CR4 with every check and consequence. */
export function writeCr4(cpu: Cpu, lo: number, hi: number): void {
  const { state, mmu } = cpu;
  if (hi !== 0 || (lo & ~CR4_DEFINED) !== 0) raiseGp(cpu, 0);
  const changed = state.cr4 ^ lo;
  if (state.longMode && (lo & CR4_PAE) === 0) raiseGp(cpu, 0);
  if ((changed & lo & CR4_PCIDE) !== 0 && (!state.longMode || (state.lo(CR3) & 0xfff) !== 0)) raiseGp(cpu, 0);
  const paePaging = (state.cr0 & CR0_PG) !== 0 && (lo & CR4_PAE) !== 0 && !state.longMode;
  if (paePaging && (changed & CR4_RELOADS_PDPTES) !== 0) loadPdptes(cpu, state.cr3);
  state.cr4 = lo;
  if ((changed & CR4_FLUSHING) !== 0) mmu.flushAll();
  mmu.modeChanged();
}

/** MOV CRn, r. `reg` is the control register, `rm` the source; the width is that of the mode, whatever the operand size. */
export function movToControl(cpu: Cpu, insn: SystemInsn): void {
  const { state, host } = cpu;
  const register = insn.reg;
  if (register !== 0 && register !== 2 && register !== 3 && register !== 4 && register !== 8) raiseUd(cpu);
  requireCpl0(cpu);
  const lo = state.gprLo(insn.rm);
  const hi = state.codeSize === 64 ? state.gprHi(insn.rm) : 0;
  if (register === 0) writeCr0(cpu, lo, hi);
  else if (register === 2) state.set(CR2, lo, hi);
  else if (register === 3) writeCr3(cpu, lo, hi);
  else if (register === 4) writeCr4(cpu, lo, hi);
  else {
    if (hi !== 0 || lo > 15) raiseGp(cpu, 0);
    host.interrupts.writeCr8(lo);
  }
}

/** MOV r, CRn. */
export function movFromControl(cpu: Cpu, insn: SystemInsn): void {
  const { state, host } = cpu;
  const register = insn.reg;
  if (register !== 0 && register !== 2 && register !== 3 && register !== 4 && register !== 8) raiseUd(cpu);
  requireCpl0(cpu);
  let lo = 0;
  let hi = 0;
  if (register === 0) lo = state.cr0;
  else if (register === 4) lo = state.cr4;
  else if (register === 8) lo = host.interrupts.readCr8();
  else {
    const field = register === 2 ? CR2 : CR3;
    lo = state.lo(field);
    hi = state.hi(field);
  }
  state.setGprHalves(insn.rm, lo, state.codeSize === 64 ? hi : 0);
}

/** CLTS. */
export function clts(cpu: Cpu): void {
  requireCpl0(cpu);
  cpu.state.cr0 = (cpu.state.cr0 & ~CR0_TS) >>> 0;
  cpu.mmu.modeChanged();
}

/** LMSW: loads PE MP EM TS; PE can be set but not cleared. */
export function lmsw(cpu: Cpu, insn: SystemInsn): void {
  requireCpl0(cpu);
  const source = insn.rm >= 0 ? cpu.state.gprLo(insn.rm) : readOperand(cpu, insn, 0, 2);
  const keep = cpu.state.cr0 & ~(CR0_MP | CR0_EM | CR0_TS);
  writeCr0(cpu, (keep | (source & 15)) >>> 0, 0);
}

/** Raises #GP(0) for SGDT SIDT SLDT STR SMSW outside CPL 0 under CR4.UMIP. */
export function checkUmip(cpu: Cpu): void {
  if ((cpu.state.cr4 & CR4_UMIP) !== 0 && cpu.state.cpl > 0) raiseGp(cpu, 0);
}

/** SMSW: 16 bits to memory, the operand size to a register. */
export function smsw(cpu: Cpu, insn: SystemInsn): void {
  checkUmip(cpu);
  if (insn.rm >= 0) cpu.state.setGprSized(insn.rm, insn.opsize, cpu.state.cr0, 0);
  else writeOperand(cpu, insn, 0, 2, cpu.state.cr0, 0);
}

/** INVLPG: no limit check; a non-canonical address is ignored. */
export function invlpg(cpu: Cpu, insn: SystemInsn): void {
  const { state, mmu } = cpu;
  if (insn.rm >= 0) raiseUd(cpu);
  requireCpl0(cpu);
  const long = state.codeSize === 64;
  const base = segmentOffset(insn.segment);
  const withBase = !long || insn.segment === FS || insn.segment === GS;
  const sum = insn.offsetLo + (withBase ? state.lo(base) : 0);
  const hi = long ? (insn.offsetHi + (withBase ? state.hi(base) : 0) + (sum > 0xffff_ffff ? 1 : 0)) >>> 0 : 0;
  if (isCanonical(hi)) mmu.invalidatePage(sum >>> 0, hi);
}

/** INVPCID (SDM 2A): type in `reg`, a 128-bit descriptor in memory. */
export function invpcid(cpu: Cpu, insn: SystemInsn): void {
  const { state, mmu } = cpu;
  if (insn.rm >= 0) raiseUd(cpu);
  if (state.virtual8086) raiseGp(cpu, 0);
  requireCpl0(cpu);
  const typeHi = state.codeSize === 64 ? state.gprHi(insn.reg) : 0;
  const type = state.gprLo(insn.reg);
  const lo = readOperand(cpu, insn, 0, 8);
  const hi = mmu.high;
  const addressLo = readOperand(cpu, insn, 8, 8);
  const addressHi = mmu.high;
  if (typeHi !== 0 || type > 3) raiseGp(cpu, 0);
  if (hi !== 0 || lo > 0xfff) raiseGp(cpu, 0);
  if (type < 2 && (state.cr4 & CR4_PCIDE) === 0 && lo !== 0) raiseGp(cpu, 0);
  if (type === 0) {
    if (!isCanonicalBig(joinHalves(addressLo, addressHi))) raiseGp(cpu, 0);
    mmu.invalidatePageIn(lo, addressLo, addressHi);
  } else if (type === 1) mmu.flushAddressSpace(lo);
  else if (type === 2) mmu.flushAll();
  else mmu.flushNonGlobal();
}

/** WBINVD, INVD, WBNOINVD: caches are coherent here. */
export function writeBackInvalidate(cpu: Cpu): void {
  requireCpl0(cpu);
}

/** XSETBV: XCR0 only. */
export function xsetbv(cpu: Cpu): void {
  const { state } = cpu;
  if ((state.cr4 & CR4_OSXSAVE) === 0) raiseUd(cpu);
  requireCpl0(cpu);
  const value = state.gprLo(RAX);
  if (state.gprLo(RCX) !== 0 || state.gprLo(RDX) !== 0) raiseGp(cpu, 0);
  if ((value & ~supportedComponents(cpu)) !== 0 || (value & XSTATE_X87) === 0) raiseGp(cpu, 0);
  // The upper halves are not there without the lower ones (SDM 1 13.3).
  if ((value & (XSTATE_SSE | XSTATE_AVX)) === XSTATE_AVX) raiseGp(cpu, 0);
  state.xcr0 = value;
  cpu.mmu.modeChanged();
}

/** XGETBV: XCR0, or with ECX = 1 its components in use. */
export function xgetbv(cpu: Cpu): void {
  const { state } = cpu;
  if ((state.cr4 & CR4_OSXSAVE) === 0) raiseUd(cpu);
  const index = state.gprLo(RCX);
  if (index > 1) raiseGp(cpu, 0);
  const value = index === 0 ? state.xcr0 : state.xcr0 & xinuse(cpu);
  state.setGprHalves(RAX, value, 0);
  state.setGprHalves(RDX, 0, 0);
}
