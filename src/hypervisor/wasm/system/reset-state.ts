/**
 * The processor at power-on, after INIT and SIPI (SDM 3A 9.1, table 9-1; 8.4), and as a loader wants to find it.
 *
 * @module
 */
import type { InitialCpuState, InitialSegment } from '../../initial-state.ts';
import {
  ACTIVITY_RUNNING,
  ACTIVITY_WAIT_SIPI,
  CR3,
  CS,
  DS,
  ES,
  FS,
  GDTR,
  GS,
  IDTR,
  LDTR,
  MSR_MISC_ENABLE,
  MSR_PAT,
  MTRR,
  RAX,
  RBP,
  RBX,
  RCX,
  RDI,
  RDX,
  RSI,
  RSP,
  SS,
  STATE_BYTES,
  TR,
  VCPU_INDEX,
} from '../state.ts';
import type { Cpu } from './cpu.ts';
import { CR0_CD, CR0_ET, CR0_NW, CR0_PE, highHalf, lowHalf } from './cpu-state.ts';
import { SIGNATURE } from './cpuid.ts';
import { DR6_RESET, DR7_RESET } from './debug.ts';
import { codeSizeOf } from './descriptor.ts';
import { initX87, MXCSR_RESET } from './fpu-image.ts';
import { MISC_ENABLE_RESET } from './msr.ts';

const PAT_RESET = 0x0007_0406_0007_0406n;
/** Default type write-back, MTRRs on: what firmware sets up; without it Linux turns the PAT off. */
const MTRR_DEF_TYPE_FIRMWARE = 0x806n;

const REAL_DATA = 0x93,
  RESET_LDTR = 0x82,
  RESET_TR = 0x8b;

/** Registers that power-on and INIT set alike. */
function setReset(cpu: Cpu): void {
  const { state } = cpu;
  for (let index = 0; index < 16; index++) state.setGprHalves(index, 0, 0);
  state.setGprHalves(RDX, SIGNATURE, 0);
  state.setRip(0xfff0, 0);
  state.rflags = 2;
  for (const register of [ES, SS, DS, FS, GS]) state.setSegment(register, 0, 0, 0, 0xffff, REAL_DATA);
  state.setSegment(CS, 0xf000, 0xffff_0000, 0, 0xffff, REAL_DATA);
  state.setSegment(LDTR, 0, 0, 0, 0xffff, RESET_LDTR);
  state.setSegment(TR, 0, 0, 0, 0xffff, RESET_TR);
  state.setTable(GDTR, 0, 0, 0xffff);
  state.setTable(IDTR, 0, 0, 0xffff);
  state.cr2 = 0n;
  state.cr3 = 0n;
  state.cr4 = 0;
  state.efer = 0;
  for (let index = 0; index < 4; index++) state.setDr(index, 0n);
  state.dr6 = DR6_RESET;
  state.dr7 = DR7_RESET;
  state.cpl = 0;
  state.codeSize = 16;
  state.faultVector = -1;
  state.interruptShadow = 0;
  state.pendingDebug = 0;
  state.nmiBlocked = false;
}

/** Power-on of the processor with this index. The first one runs at the reset vector, the others wait for a SIPI. */
export function powerOn(cpu: Cpu): void {
  const { state } = cpu;
  const index = state.vcpuIndex;
  state.bytes.fill(0, 0, STATE_BYTES);
  state.i32[VCPU_INDEX >> 2] = index;
  setReset(cpu);
  state.cr0 = (CR0_CD | CR0_NW | CR0_ET) >>> 0;
  state.xcr0 = 1;
  initX87(state);
  state.mxcsr = MXCSR_RESET;
  state.setBig(MSR_PAT, PAT_RESET);
  state.setBig(MSR_MISC_ENABLE, MISC_ENABLE_RESET);
  state.activity = index === 0 ? ACTIVITY_RUNNING : ACTIVITY_WAIT_SIPI;
  cpu.mmu.flushAll();
  cpu.mmu.modeChanged();
}

/** INIT: like power-on, but x87, SSE, XCR0, the TSC and the MSRs (not EFER) stay, and CR0.CD and NW. */
export function init(cpu: Cpu): void {
  const { state } = cpu;
  const caching = state.cr0 & (CR0_CD | CR0_NW);
  setReset(cpu);
  state.cr0 = (caching | CR0_ET) >>> 0;
  state.activity = state.vcpuIndex === 0 ? ACTIVITY_RUNNING : ACTIVITY_WAIT_SIPI;
  cpu.mmu.flushAll();
  cpu.mmu.modeChanged();
}

/** Start-up IPI: a processor that waits for one starts at vector * 4096 in real mode. Ignored otherwise. */
export function startUp(cpu: Cpu, vector: number): void {
  const { state } = cpu;
  if (state.activity !== ACTIVITY_WAIT_SIPI) return;
  state.setSelector(CS, vector << 8);
  state.setBase(CS, vector << 12, 0);
  state.setRip(0, 0);
  state.activity = ACTIVITY_RUNNING;
  cpu.mmu.modeChanged();
}

function loadSegment(cpu: Cpu, register: number, segment: InitialSegment): void {
  const base = BigInt(segment.base);
  cpu.state.setSegment(
    register,
    segment.selector,
    lowHalf(base),
    highHalf(base),
    segment.limit >>> 0,
    segment.attributes,
  );
}

/** Powers on and takes the state a loader asks for, with the memory types that firmware would have set up. */
export function loadInitialState(cpu: Cpu, initial: InitialCpuState): void {
  const { state } = cpu;
  powerOn(cpu);
  const registers: readonly (readonly [number, number])[] = [
    [RAX, initial.rax],
    [RBX, initial.rbx],
    [RCX, initial.rcx],
    [RDX, initial.rdx],
    [RSI, initial.rsi],
    [RDI, initial.rdi],
    [RBP, initial.rbp],
    [RSP, initial.rsp],
  ];
  for (const [index, value] of registers) state.setGpr(index, BigInt(value));
  state.rip = BigInt(initial.rip);
  state.rflags = initial.rflags;
  loadSegment(cpu, CS, initial.cs);
  loadSegment(cpu, DS, initial.ds);
  loadSegment(cpu, ES, initial.es);
  loadSegment(cpu, FS, initial.fs);
  loadSegment(cpu, GS, initial.gs);
  loadSegment(cpu, SS, initial.ss);
  loadSegment(cpu, TR, initial.tr);
  loadSegment(cpu, LDTR, initial.ldtr);
  for (const [table, from] of [
    [GDTR, initial.gdtr],
    [IDTR, initial.idtr],
  ] as const) {
    const base = BigInt(from.base);
    state.setTable(table, lowHalf(base), highHalf(base), from.limit);
  }
  state.cr0 = (initial.cr0 | CR0_ET) >>> 0;
  state.setBig(CR3, BigInt(initial.cr3));
  state.cr4 = initial.cr4;
  state.efer = initial.efer;
  state.setBig(MTRR, MTRR_DEF_TYPE_FIRMWARE);
  state.cpl = (initial.cr0 & CR0_PE) !== 0 ? (initial.ss.attributes >> 5) & 3 : 0;
  state.codeSize = codeSizeOf(cpu, initial.cs.attributes);
  cpu.mmu.flushAll();
  cpu.mmu.modeChanged();
}
