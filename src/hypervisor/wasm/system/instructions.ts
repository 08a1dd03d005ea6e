/**
 * The system instructions by name: what the decoder's records refer to. Calling convention: cpu.ts.
 *
 * @module
 */
import type { SystemFunction } from './cpu.ts';
import {
  clts,
  invlpg,
  invpcid,
  lmsw,
  movFromControl,
  movToControl,
  smsw,
  writeBackInvalidate,
  xgetbv,
  xsetbv,
} from './control-registers.ts';
import { cpuid } from './cpuid.ts';
import { movFromDebug, movToDebug } from './debug.ts';
import { arpl, lar, lgdt, lidt, lldt, lsl, ltr, sgdt, sidt, sldt, str, verr, verw } from './descriptor-tables.ts';
import { callFar, callFarIndirect, jmpFar, jmpFarIndirect, retf } from './far-transfer.ts';
import { iret } from './iret.ts';
import { rdfsbase, rdgsbase, rdmsr, swapgs, wrfsbase, wrgsbase, wrmsr } from './msr.ts';
import { randomToRegister } from './random.ts';
import { loadDs, loadEs, loadFs, loadGs, loadSs, movToSegment, popSegment } from './segments.ts';
import { hlt, int1, int3, intN, into, undefinedInstruction } from './software-interrupts.ts';
import { syscall, sysenter, sysexit, sysret } from './syscall.ts';
import { rdpid, rdpmc } from './tsc.ts';
import {
  fxrstor,
  fxsave,
  ldmxcsr,
  stmxcsr,
  vldmxcsr,
  vstmxcsr,
  xrstor,
  xrstors,
  xsave,
  xsavec,
  xsaveopt,
  xsaves,
} from './xsave.ts';

export const systemInstructions = {
  // Segment registers
  mov_sreg: movToSegment,
  pop_sreg: popSegment,
  lds: loadDs,
  les: loadEs,
  lfs: loadFs,
  lgs: loadGs,
  lss: loadSs,

  // Interrupts and returns
  int: intN,
  int3,
  int1,
  into,
  iret,
  ud: undefinedInstruction,
  rsm: undefinedInstruction,
  hlt,

  // Fast system calls
  syscall,
  sysret,
  sysenter,
  sysexit,
  swapgs,

  // Far transfers: the pointer in memory, or (`_direct`) in the instruction
  jmp_far_direct: jmpFar,
  jmp_far: jmpFarIndirect,
  call_far_direct: callFar,
  call_far: callFarIndirect,
  retf,

  // Descriptor tables and queries
  lgdt,
  lidt,
  sgdt,
  sidt,
  lldt,
  ltr,
  sldt,
  str,
  lar,
  lsl,
  verr,
  verw,
  arpl,

  // Control and debug registers
  mov_to_cr: movToControl,
  mov_from_cr: movFromControl,
  mov_to_dr: movToDebug,
  mov_from_dr: movFromDebug,
  clts,
  lmsw,
  smsw,
  invlpg,
  invpcid,
  wbinvd: writeBackInvalidate,
  invd: writeBackInvalidate,
  xsetbv,
  xgetbv,

  // Model-specific registers, identification, time, randomness
  rdmsr,
  wrmsr,
  rdfsbase,
  rdgsbase,
  wrfsbase,
  wrgsbase,
  cpuid,
  rdpid,
  rdpmc,
  rdrand: randomToRegister,
  rdseed: randomToRegister,

  // Floating-point and SSE state images (FNSTENV, FNSAVE and their loads are in x87/)
  fxsave,
  fxrstor,
  xsave,
  xsaveopt,
  xsavec,
  xsaves,
  xrstor,
  xrstors,
  ldmxcsr,
  stmxcsr,
  vldmxcsr,
  vstmxcsr,
} satisfies Record<string, SystemFunction>;

export type SystemInstructionName = keyof typeof systemInstructions;
