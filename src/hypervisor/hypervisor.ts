/**
 * What a hypervisor is to the machine around it. There is one implementation on WebAssembly (wasm/); one on KVM is to
 * come.
 *
 * @module
 */
import type { VcpuControl } from '../bus/control.ts';
import type { VcpuBus } from '../bus/vcpu-bus.ts';
import type { MachineMemoryMap } from '../memory/machine-memory.ts';
import type { Clock } from '../util/clock.ts';
import type { VcpuTrace } from '../util/trace.ts';
import type { VcpuExit } from './exit.ts';
import type { InitialCpuState } from './initial-state.ts';
import type { VcpuInterrupts } from './interrupts.ts';
import type { VcpuStats } from './stats.ts';

/** What a vCPU is made of; all of it belongs to the thread that runs it. */
export interface VcpuOptions {
  readonly memory: WebAssembly.Memory;
  readonly map: MachineMemoryMap;
  readonly index: number;
  readonly clock: Clock;
  readonly interrupts: VcpuInterrupts;
  readonly bus: VcpuBus;
  readonly control: VcpuControl;
  /** 32 random bits of cryptographic quality, unsigned; undefined when there are none to be had right now. */
  readonly random32: () => number | undefined;
  /** Told what happens, where that is wanted. */
  readonly trace?: VcpuTrace | undefined;
}

/** What a vCPU counts itself; its thread adds what the bus counts (vm/vcpu-thread.ts), a host what it samples. */
export type OwnVcpuStats = Omit<VcpuStats, 'deviceCalls' | 'postedWrites' | 'times'>;

export interface Vcpu {
  /** Puts the processor where a loader wants it. */
  load(initial: InitialCpuState): void;
  /** Power-on state: the first processor at the reset vector, the others waiting for a start-up interrupt. */
  reset(): void;
  /** Runs guest code until another thread asks the vCPU out, or it cannot go on. */
  run(): VcpuExit;
  /**
   * Forgets what it made of these pages of RAM, or of all: somebody else has written there. Between two runs. A processor that
   * keeps nothing needs none.
   */
  forgetCode?(pages: readonly number[] | 'all'): void;
  /** Nanoseconds to add to the machine clock to get this processor's TSC. */
  tscOffset(): number;
  stats(): OwnVcpuStats;
}

/** Bytes of private area that each vCPU needs in the shared memory, and how to make one on the current thread. */
export interface Hypervisor {
  readonly name: string;
  readonly vcpuAreaBytes: number;
  createVcpu(options: VcpuOptions): Vcpu;
}
