/**
 * A machine on KVM, as the VMM thread holds it: guest RAM, interrupt controllers and vCPUs in their power-on state.
 *
 * @module
 */
import type { InterruptLine } from '../../bus/bus-device.ts';
import { type ControlArea, REQUEST_STOP } from '../../bus/control.ts';
import { FOUR_GIB, splitRam } from '../../memory/machine-memory.ts';
import type { VirtualMachine, VirtualMachineParts } from '../virtual-machine.ts';
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
import { IOAPIC_PINS, KvmVm, type VcpuHandle } from './vm.ts';

/** A real-time signal that neither libc nor Node nor V8 uses: it gets a thread out of KVM_RUN. */
export const KICK_SIGNAL = 40;

export interface KvmMachineOptions extends VirtualMachineParts {
  readonly kvm: Kvm;
  /** Where the machine's memory map keeps room for what KVM on Intel needs. */
  readonly tssAddress: number;
  readonly identityMapAddress: number;
  readonly pmTimer: { readonly origin: number; reset(): void };
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
  readonly #pmTimer: KvmMachineOptions['pmTimer'];
  /** None any more once the machine is disposed of: their pages are unmapped then. */
  #processors: readonly KvmProcessor[];
  readonly #chips: readonly Uint8Array[];
  readonly #pit: Uint8Array;

  /** @throws SystemCallError */
  constructor(options: KvmMachineOptions) {
    const { kvm, memory, map, control, tssAddress, identityMapAddress, pmTimer } = options;
    this.#kvm = kvm;
    this.#control = control;
    this.#pmTimer = pmTimer;
    const { calls } = kvm;
    using undo = new DisposableStack();
    this.#vm = undo.use(new KvmVm(kvm));
    this.#ram = undo.use(mapGuestRam(calls, memory.buffer, map));
    this.#vm.setRealModePages(tssAddress, identityMapAddress);
    const { lowEnd, highEnd } = splitRam(map.ramBytes);
    const { address } = this.#ram;
    this.#vm.setMemory({ slot: 0, guestAddress: 0, bytes: lowEnd, hostAddress: address });
    if (highEnd > FOUR_GIB) {
      const high = { guestAddress: FOUR_GIB, bytes: highEnd - FOUR_GIB, hostAddress: address + lowEnd };
      this.#vm.setMemory({ slot: 1, ...high });
    }
    this.#vm.createIrqchip();
    this.#lines = new InterruptLines(IOAPIC_PINS, (gsi, level) => this.#vm.setLine(gsi, level));
    expectSuccess(calls.interruptOn(KICK_SIGNAL), 'sigaction');
    this.#processors = this.#createProcessors(map.vcpuCount);
    this.#chips = [KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE, KVM_IRQCHIP_IOAPIC].map((chip) =>
      this.#vm.saveIrqchip(chip),
    );
    this.#pit = this.#vm.savePit();
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

  line(gsi: number): InterruptLine {
    return this.#lines.line(gsi);
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
    for (const chip of this.#chips) this.#vm.restoreIrqchip(chip);
    this.#vm.restorePit(this.#pit);
    for (const { access, powerOn } of this.#processors) access.restore(powerOn, true);
    this.#pmTimer.reset();
  }

  /** The vCPUs' threads have ended. */
  [Symbol.dispose](): void {
    this.#processors = [];
    this.#vm[Symbol.dispose]();
    this.#ram[Symbol.dispose]();
  }
}
