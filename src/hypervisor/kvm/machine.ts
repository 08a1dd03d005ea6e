/**
 * A machine on KVM, as the VMM thread holds it: guest RAM, interrupt controllers and vCPUs in their power-on state.
 *
 * @module
 */
import type { InterruptLine } from '../../bus/bus-device.ts';
import { type ControlArea, REQUEST_STOP } from '../../bus/control.ts';
import { FOUR_GIB, type RamBacking, splitRam } from '../../memory/machine-memory.ts';
import type { VirtualMachine, VirtualMachineParts, VmmBuses } from '../virtual-machine.ts';
import { vcpuCpuid } from './cpuid.ts';
import {
  KVM_CAP_TSC_DEADLINE_TIMER,
  KVM_IRQCHIP_IOAPIC,
  KVM_IRQCHIP_PIC_MASTER,
  KVM_IRQCHIP_PIC_SLAVE,
} from './defs.ts';
import { type GuestRam, mapGuestRam } from './guest-ram.ts';
import { InterruptLines } from './interrupt-lines.ts';
import type { Kvm } from './kvm.ts';
import { RUN_IMMEDIATE_EXIT } from './run-page.ts';
import { expectSuccess } from './system-calls.ts';
import { VcpuAccess, type VcpuState } from './vcpu-state.ts';
import { type InterruptRoute, IOAPIC_PINS, KvmVm, type VcpuHandle } from './vm.ts';

/** A real-time signal that neither libc nor Node nor V8 uses: it gets a thread out of KVM_RUN. */
export const KICK_SIGNAL = 40;

/** What interrupt controllers outside the kernel need of the local APICs, which are in it. */
export interface KernelApics {
  /** False when no local APIC took the message. */
  send(address: number, data: number): boolean;
  /** GSIs whose vectors, once ended, come to the IO-APIC's EOI register. */
  setLevelRoutes(routes: readonly InterruptRoute[]): void;
  /** Gets the first processor out of guest code, to take an interrupt of the 8259 pair. */
  interruptFirst(): void;
}

/** IO-APIC, 8259 pair and 8254 outside the kernel. */
export interface OuterIrqchip extends Disposable {
  line(gsi: number): InterruptLine;
  attach(buses: VmmBuses): void;
  reset(): void;
}

export interface KvmMachineOptions extends Omit<VirtualMachineParts, 'timers'> {
  readonly kvm: Kvm;
  readonly backing: RamBacking;
  /** Where the machine's memory map keeps room for what KVM on Intel needs. */
  readonly tssAddress: number;
  readonly identityMapAddress: number;
  readonly pmTimer: { readonly origin: number; reset(): void };
  /** Makes the interrupt controllers that are not local APICs; absent: they are the kernel's too. */
  readonly outer?: ((apics: KernelApics) => OuterIrqchip) | undefined;
}

interface KvmProcessor {
  readonly handle: VcpuHandle;
  readonly access: VcpuAccess;
  readonly powerOn: VcpuState;
  readonly page: Uint8Array;
}

export class KvmMachine implements VirtualMachine {
  readonly #kvm: Kvm;
  readonly #vm: KvmVm;
  readonly #ram: GuestRam;
  readonly #control: ControlArea;
  readonly #lines: InterruptLines;
  readonly #outer: OuterIrqchip | undefined;
  readonly #pmTimer: KvmMachineOptions['pmTimer'];
  /** None any more once the machine is disposed of: their pages are unmapped then. */
  #processors: readonly KvmProcessor[];
  readonly #chips: readonly Uint8Array[];
  readonly #pit: Uint8Array | undefined;

  /** @throws SystemCallError */
  constructor(options: KvmMachineOptions) {
    const { kvm, backing, memory, map, control, tssAddress, identityMapAddress, pmTimer, outer } = options;
    this.#kvm = kvm;
    this.#control = control;
    this.#pmTimer = pmTimer;
    const { calls } = kvm;
    using undo = new DisposableStack();
    this.#vm = undo.use(new KvmVm(kvm));
    this.#ram = undo.use(mapGuestRam(calls, memory.buffer, map, backing));
    this.#vm.setRealModePages(tssAddress, identityMapAddress);
    const { lowEnd, highEnd } = splitRam(map.ramBytes);
    const { address } = this.#ram;
    this.#vm.setMemory({ slot: 0, guestAddress: 0, bytes: lowEnd, hostAddress: address });
    if (highEnd > FOUR_GIB) {
      const high = { guestAddress: FOUR_GIB, bytes: highEnd - FOUR_GIB, hostAddress: address + lowEnd };
      this.#vm.setMemory({ slot: 1, ...high });
    }
    if (outer === undefined) this.#vm.createIrqchip();
    else this.#vm.createSplitIrqchip();
    this.#lines = new InterruptLines(IOAPIC_PINS, (gsi, level) => this.#vm.setLine(gsi, level));
    expectSuccess(calls.interruptOn(KICK_SIGNAL), 'sigaction');
    this.#processors = this.#createProcessors(map.vcpuCount);
    const chips = [KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE, KVM_IRQCHIP_IOAPIC];
    this.#chips = outer === undefined ? chips.map((chip) => this.#vm.saveIrqchip(chip)) : [];
    this.#pit = outer === undefined ? this.#vm.savePit() : undefined;
    this.#outer = outer === undefined ? undefined : undo.use(outer(this.#kernelApics()));
    pmTimer.reset();
    undo.move();
  }

  #createProcessors(count: number): KvmProcessor[] {
    const { calls } = this.#kvm;
    const supported = this.#kvm.supportedCpuid();
    const msrs = this.#kvm.msrIndices();
    const tscDeadline = this.#kvm.capability(KVM_CAP_TSC_DEADLINE_TIMER) > 0;
    return Array.from({ length: count }, (_, index) => {
      const handle = this.#vm.createVcpu(index);
      const access = new VcpuAccess(calls, handle.fd);
      access.setCpuid(vcpuCpuid(supported, { index, count, tscDeadline }));
      access.setUpAsFirmware(true);
      const page = new Uint8Array(calls.view(handle.runAddress, handle.runBytes));
      return { handle, access, powerOn: access.save(msrs, true), page };
    });
  }

  /** What the thread of a vCPU needs to run it. */
  vcpu(index: number): VcpuHandle {
    const processor = this.#processors[index];
    if (processor === undefined) throw new RangeError(`vCPU ${index} of ${this.#processors.length}`);
    return processor.handle;
  }

  #kernelApics(): KernelApics {
    return {
      send: (address, data) => this.#vm.signalMsi(address, data),
      setLevelRoutes: (routes) => this.#vm.setRoutes(routes),
      interruptFirst: () => this.interrupt(0),
    };
  }

  attach(buses: VmmBuses): void {
    this.#outer?.attach(buses);
  }

  line(gsi: number): InterruptLine {
    return (this.#outer ?? this.#lines).line(gsi);
  }

  msi(address: number, data: number): boolean {
    return this.#vm.signalMsi(address, data);
  }

  get timeOrigin(): number {
    return this.#pmTimer.origin;
  }

  interrupt(vcpu: number): void {
    const processor = this.#processors[vcpu];
    if (processor === undefined) return;
    processor.page[RUN_IMMEDIATE_EXIT] = 1;
    const { thread } = this.#control.vcpu(vcpu);
    // A thread that has ended meanwhile is no error.
    if (thread !== 0) this.#kvm.calls.signalThread(thread, KICK_SIGNAL);
  }

  /** Ends all vCPUs, for a process that is about to end: it would wait for a thread that is in the guest. */
  stop(): void {
    for (let vcpu = 0; vcpu < this.#processors.length; vcpu++) {
      this.#control.vcpu(vcpu).request(REQUEST_STOP);
      this.interrupt(vcpu);
    }
  }

  reset(): void {
    this.#lines.reset();
    this.#outer?.reset();
    for (const chip of this.#chips) this.#vm.restoreIrqchip(chip);
    if (this.#pit !== undefined) this.#vm.restorePit(this.#pit);
    for (const { access, powerOn } of this.#processors) access.restore(powerOn, true);
    this.#pmTimer.reset();
  }

  /** The vCPUs' threads have ended. */
  [Symbol.dispose](): void {
    this.#processors = [];
    this.#outer?.[Symbol.dispose]();
    this.#vm[Symbol.dispose]();
    this.#ram[Symbol.dispose]();
  }
}
