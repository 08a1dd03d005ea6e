/**
 * What a software CPU asks of the interrupt controllers, for one vCPU. Implemented by irqchip/ over shared memory.
 * Times are the machine clock's nanoseconds.
 *
 * @module
 */
import type { AccessWidth } from '../bus/bus-device.ts';

export interface VcpuInterrupts {
  /** Fires every timer that is due at `now` (local APIC timer of this vCPU; PIT when this is vCPU 0). Cheap when none is. */
  poll(now: number): void;
  /** When `poll` next has something to do; Infinity when nothing is armed. Another thread that moves it closer kicks this vCPU. */
  nextDeadline(): number;
  /** True when a maskable interrupt would be delivered if RFLAGS.IF were set (the task priority is accounted for). */
  pending(): boolean;
  /** Acknowledges the highest-priority interrupt and returns its vector; -1 when there is none any more. */
  acknowledge(): number;
  /**
   * Takes a pending NMI, INIT, or SIPI (its vector 0..255; -1: none). Taking INIT resets the local APIC; a SIPI counts
   * only after it, until one is taken. On a processor that is not the bootstrap one the first state waits for a SIPI.
   */
  takeNmi(): boolean;
  takeInit(): boolean;
  takeSipi(): number;

  /**
   * FERR#, the pin that reports an unmasked x87 error while CR0.NE is clear: raises IRQ 13. True: the instruction has to wait;
   * false: it ignores the error, for the guest has written port F0h (IGNNE#) since. `asserted` false ends that.
   */
  ferr(asserted: boolean): boolean;

  /** Memory-mapped registers of the local APIC; `offset` 0..0xfff. */
  apicRead(offset: number, width: AccessWidth): number;
  apicWrite(offset: number, width: AccessWidth, value: number): void;
  /** x2APIC registers, MSR 0x800..0x8ff, and IA32_APIC_BASE (0x1b), IA32_TSC_DEADLINE (0x6e0). False / undefined: #GP. */
  readMsr(msr: number): bigint | undefined;
  writeMsr(msr: number, value: bigint): boolean;
  /** CR8: task priority class 0..15. */
  readCr8(): number;
  writeCr8(value: number): void;
  /** Guest-physical base of the memory-mapped local APIC; -1 while disabled or in x2APIC mode. */
  apicBase(): number;
}
