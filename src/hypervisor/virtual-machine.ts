/**
 * What a hypervisor is to the VMM thread: one machine's interrupt controllers, and what it takes to get its vCPUs out of guest code.
 *
 * @module
 */
import type { Bus } from '../bus/bus.ts';
import type { InterruptLine } from '../bus/bus-device.ts';
import type { ControlArea } from '../bus/control.ts';
import type { MachineMemoryMap } from '../memory/machine-memory.ts';
import type { Clock } from '../util/clock.ts';
import type { Timers } from '../util/timers.ts';

/** Buses of the VMM thread, to attach devices to. */
export interface VmmBuses {
  readonly ports: Bus;
  readonly mmio: Bus;
  /** Says that ports belong to a device on the bus. */
  claim(port: number, count: number): void;
}

export interface VirtualMachine extends Disposable {
  /** Attaches what of its interrupt controllers and timers the VMM thread runs. */
  attach?(buses: VmmBuses): void;
  /** A new source on a global system interrupt, released. Sources on one GSI are ORed. @throws RangeError for a GSI that is none. */
  line(gsi: number): InterruptLine;
  /** A message-signalled interrupt. False when no local APIC took it. */
  msi(address: number, data: number): boolean;
  /** Machine time, in nanoseconds, at which the ACPI PM timer stood at zero. */
  readonly timeOrigin: number;
  /** Gets a vCPU out of guest code, if it is in it. What it is to do has been requested before. */
  interrupt(vcpu: number): void;
  /** Power-on state of everything that is not a vCPU thread's own. The vCPUs are paused. */
  reset(): void;
}

/** What the machine has made when it asks for its virtual machine. */
export interface VirtualMachineParts {
  readonly memory: WebAssembly.Memory;
  readonly map: MachineMemoryMap;
  readonly control: ControlArea;
  readonly clock: Clock;
  readonly timers: Timers;
}

/** The VMM thread's side of a hypervisor. */
export interface VirtualMachineFactory {
  /** Bytes of private area that each vCPU needs in the shared memory. */
  readonly vcpuAreaBytes: number;
  /** The most guest RAM that a machine can have. */
  readonly maxRamBytes: number;
  /** MAXPHYADDR of the vCPUs, as CPUID announces it. */
  readonly physicalAddressBits: number;
  /** The vCPUs keep what they made of the guest's code, and have to be told when somebody else writes over it. */
  readonly keepsCode: boolean;
  create(parts: VirtualMachineParts): VirtualMachine;
}
