/**
 * The two states in which the boot protocols here start a kernel: flat 64-bit mode and flat 32-bit mode.
 *
 * @module
 */
import type { GuestMemory } from '../memory/guest-memory.ts';
import type { CpuBootState } from './cpu-boot-state.ts';
import { ATTRIBUTES_CODE32, ATTRIBUTES_CODE64, BOOT_CS, writeBootGdt } from './gdt.ts';
import { BOOT_PML4_ADDRESS, BOOT_STACK_POINTER } from './layout.ts';
import { writeIdentityPageTables } from './page-tables.ts';

const CR0_PE = 1 << 0;
const CR0_ET = 1 << 4;
const CR0_PG = 0x8000_0000;
const CR4_PAE = 1 << 5;
const EFER_LME = 1 << 8;
const EFER_LMA = 1 << 10;
/** Bit 1 of RFLAGS always reads as one; interrupts are off in every protocol here. */
const RFLAGS_RESET = 0x2;

const NO_REGISTERS = { rax: 0, rbx: 0, rcx: 0, rdx: 0, rsi: 0, rdi: 0, rbp: 0, rsp: BOOT_STACK_POINTER };

/** 64-bit mode, flat, the first 4 GiB identity-mapped: the Linux 64-bit boot protocol (boot.rst). Writes GDT and page tables. */
export function longModeState(memory: GuestMemory, rip: number, registers: { readonly rsi: number }): CpuBootState {
  writeIdentityPageTables(memory);
  return {
    ...NO_REGISTERS,
    ...writeBootGdt(memory, { selector: BOOT_CS, base: 0, limit: 0xffff_ffff, attributes: ATTRIBUTES_CODE64 }),
    ...registers,
    mode: 'long',
    rip,
    rflags: RFLAGS_RESET,
    cr0: CR0_PG + CR0_ET + CR0_PE,
    cr3: BOOT_PML4_ADDRESS,
    cr4: CR4_PAE,
    efer: EFER_LMA + EFER_LME,
  };
}

/** 32-bit protected mode, flat, paging off: Multiboot 0.6.96 section 3.2, PVH, and boot.rst's 32-bit protocol. Writes the GDT. */
export function protectedModeState(
  memory: GuestMemory,
  rip: number,
  registers: { readonly rax?: number; readonly rbx?: number; readonly rsi?: number },
): CpuBootState {
  return {
    ...NO_REGISTERS,
    ...writeBootGdt(memory, { selector: BOOT_CS, base: 0, limit: 0xffff_ffff, attributes: ATTRIBUTES_CODE32 }),
    ...registers,
    mode: 'protected32',
    rip,
    rflags: RFLAGS_RESET,
    cr0: CR0_ET + CR0_PE,
    cr3: 0,
    cr4: 0,
    efer: 0,
  };
}
