/**
 * The time-stamp counter: the host's nanoseconds plus an offset the guest can change (SDM 3B 17.17). RDTSC is lifted (insn/system.ts).
 *
 * TSC_OFFSET is a double for the fast paths. A guest may write any 64-bit value, so the exact offset is kept beside it.
 *
 * @module
 */
import { MSR_TSC_ADJUST, MSR_TSC_AUX, TSC_OFFSET } from '../state.ts';
import { raiseGp } from './cpu.ts';
import type { Cpu, SystemInsn } from './cpu.ts';
import { TSC_OFFSET_EXACT } from './private-state.ts';

const IA32_TSC_DEADLINE = 0x6e0;

const hostTicks = (cpu: Cpu): number => Math.floor(cpu.host.clock.nanoseconds());

/** The TSC as a 64-bit value. */
export const readTsc = (cpu: Cpu): bigint =>
  BigInt.asUintN(64, BigInt(hostTicks(cpu)) + cpu.state.view.getBigInt64(TSC_OFFSET_EXACT, true));

/** Moves the TSC by a signed 64-bit amount; an armed TSC deadline is measured against the new count. */
function shiftTsc(cpu: Cpu, delta: bigint): void {
  const { state, host } = cpu;
  const exact = BigInt.asIntN(64, state.view.getBigInt64(TSC_OFFSET_EXACT, true) + delta);
  state.view.setBigInt64(TSC_OFFSET_EXACT, exact, true);
  state.f64[TSC_OFFSET >> 3] = Number(exact);
  const deadline = host.interrupts.readMsr(IA32_TSC_DEADLINE);
  if (deadline !== undefined && deadline !== 0n) host.interrupts.writeMsr(IA32_TSC_DEADLINE, deadline);
}

/** WRMSR to IA32_TIME_STAMP_COUNTER: IA32_TSC_ADJUST moves by the same amount. */
export function writeTsc(cpu: Cpu, value: bigint): void {
  const delta = value - readTsc(cpu);
  cpu.state.setBig(MSR_TSC_ADJUST, BigInt.asUintN(64, cpu.state.big(MSR_TSC_ADJUST) + delta));
  shiftTsc(cpu, delta);
}

/** WRMSR to IA32_TSC_ADJUST: the TSC moves by the difference. */
export function writeTscAdjust(cpu: Cpu, value: bigint): void {
  const delta = BigInt.asIntN(64, value - cpu.state.big(MSR_TSC_ADJUST));
  cpu.state.setBig(MSR_TSC_ADJUST, value);
  shiftTsc(cpu, delta);
}

/** RDPID: IA32_TSC_AUX. */
export function rdpid(cpu: Cpu, insn: SystemInsn): void {
  cpu.state.setGprHalves(insn.rm, cpu.state.lo(MSR_TSC_AUX), 0);
}

/** RDPMC: there are no counters, so any index is #GP(0) whatever CR4.PCE says. */
export function rdpmc(cpu: Cpu): void {
  raiseGp(cpu, 0);
}
