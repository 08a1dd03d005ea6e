/**
 * What a hypervisor is to the thread of a vCPU. There is one on WebAssembly (wasm/), whose interrupt controllers and timers are
 * irqchip/ in shared memory, and one on Linux KVM (kvm/), which brings its own. virtual-machine.ts is the side of the VMM thread.
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
import type { OwnVcpuStats } from './stats.ts';

/** What a vCPU is made of; all of it belongs to the thread that runs it. */
export interface VcpuOptions {
  readonly memory: WebAssembly.Memory;
  readonly map: MachineMemoryMap;
  readonly index: number;
  readonly clock: Clock;
  readonly bus: VcpuBus;
  readonly control: VcpuControl;
  /** 32 random bits of cryptographic quality, unsigned; undefined when there are none to be had right now. */
  readonly random32: () => number | undefined;
  /** Told what happens, where that is wanted. */
  readonly trace?: VcpuTrace | undefined;
}

export interface SoftwareVcpuOptions extends VcpuOptions {
  readonly interrupts: VcpuInterrupts;
}

export interface Vcpu {
  /** Puts the processor where a loader wants it. */
  load(initial: InitialCpuState): void;
  /** Power-on state: the first processor at the reset vector, the others waiting for a start-up interrupt. */
  reset(): void;
  /** Runs guest code until another thread asks the vCPU out, or it cannot go on. No access of the guest is then half done. */
  run(): VcpuExit;
  /**
   * Forgets what it made of these pages of RAM, or of all: somebody else has written there. Between two runs. A processor that
   * keeps nothing needs none.
   */
  forgetCode?(pages: readonly number[] | 'all'): void;
  stats(): OwnVcpuStats;
}

export interface SoftwareVcpu extends Vcpu {
  /** Nanoseconds to add to the machine clock to get this processor's TSC. */
  tscOffset(): number;
}

/** Makes vCPUs that find their interrupt controllers in shared memory. */
export interface SoftwareHypervisor {
  readonly interruptControllers: 'shared-memory';
  createVcpu(options: SoftwareVcpuOptions): SoftwareVcpu;
}

/** The 8259 pair, as the processor sees it that its INTR goes to. */
export interface ExternalInterrupts {
  /** It asks for an interrupt. Whoever makes it ask gets the processor out of guest code. */
  readonly asserted: boolean;
  /** The vector; -1 when it no longer asks. */
  acknowledge(): number;
}

/** Makes vCPUs whose local APICs, IO-APIC, 8259 pair and 8254 are its own, or only the local APICs. */
export interface HardwareHypervisor {
  readonly interruptControllers: 'own' | 'own-local-apics';
  /** `external`: for the first vCPU of a hypervisor that has only the local APICs. */
  createVcpu(options: VcpuOptions, external?: ExternalInterrupts): Vcpu;
}

/** How to make a vCPU on the current thread. */
export type Hypervisor = SoftwareHypervisor | HardwareHypervisor;
