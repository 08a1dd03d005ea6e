/**
 * Where a program of 16-bit real mode starts, for small guests without a boot protocol.
 *
 * @module
 */
import type { InitialCpuState, InitialSegment } from './initial-state.ts';

const REAL_MODE_LIMIT = 0xffff;
/** Present, a segment, writable or readable, accessed. */
const DATA = 0x93;
const CODE = 0x9b;
const BUSY_TSS = 0x8b;
const LDT = 0x82;
/** Extension type: the x87 of every processor since the 486. */
const CR0_ET = 1 << 4;
/** Bit 1 of RFLAGS is always set. */
const RFLAGS_RESET = 2;

type RealModeRegister = 'rax' | 'rbx' | 'rcx' | 'rdx' | 'rsi' | 'rdi' | 'rbp' | 'rsp';

const at0 = (attributes: number): InitialSegment => ({ selector: 0, base: 0, limit: REAL_MODE_LIMIT, attributes });
const NO_TABLE = { base: 0, limit: REAL_MODE_LIMIT };

/** Code at `ip` with all segments at 0 and interrupts off; registers that are not named are 0. */
export function realModeState(ip: number, registers: Partial<Record<RealModeRegister, number>> = {}): InitialCpuState {
  const data = at0(DATA);
  return {
    rip: ip,
    rflags: RFLAGS_RESET,
    rax: 0,
    rbx: 0,
    rcx: 0,
    rdx: 0,
    rsi: 0,
    rdi: 0,
    rbp: 0,
    rsp: 0,
    ...registers,
    cr0: CR0_ET,
    cr3: 0,
    cr4: 0,
    efer: 0,
    cs: at0(CODE),
    ds: data,
    es: data,
    fs: data,
    gs: data,
    ss: data,
    tr: at0(BUSY_TSS),
    ldtr: at0(LDT),
    gdtr: NO_TABLE,
    idtr: NO_TABLE,
  };
}
