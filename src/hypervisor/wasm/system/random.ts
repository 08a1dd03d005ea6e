/**
 * RDRAND and RDSEED (SDM 2B): CF says whether the destination holds random bits; it is zero otherwise.
 *
 * @module
 */
import type { Cpu, SystemInsn } from './cpu.ts';
import { FLAG_CF, FLAGS_ARITHMETIC } from './cpu-state.ts';

/** RDRAND, RDSEED: `rm` is the destination. */
export function randomToRegister(cpu: Cpu, insn: SystemInsn): void {
  const { state, host } = cpu;
  const lo = host.random32();
  const hi = insn.opsize === 8 ? host.random32() : 0;
  const available = lo !== undefined && hi !== undefined;
  state.setGprSized(insn.rm, insn.opsize, available ? lo : 0, available ? hi : 0);
  state.rflags = (state.rflags & ~FLAGS_ARITHMETIC) | (available ? FLAG_CF : 0);
}
