/**
 * The VMM thread's side of KVM: joins hypervisor/kvm with what the machine's layout and its PM timer say.
 *
 * @module
 */
import { KVM_IDENTITY_MAP_ADDRESS, KVM_TSS_ADDRESS } from '../boot/layout.ts';
import { physicalAddressBits } from '../hypervisor/kvm/cpuid.ts';
import type { Kvm } from '../hypervisor/kvm/kvm.ts';
import { KvmMachine } from '../hypervisor/kvm/machine.ts';
import type { VcpuHandle } from '../hypervisor/kvm/vm.ts';
import type { VirtualMachineFactory } from '../hypervisor/virtual-machine.ts';
import type { RamBacking } from '../memory/machine-memory.ts';
import { PmTimer } from '../irqchip/pm-timer.ts';
import { type IrqchipName, MAX_KVM_MEM_MIB, MIB } from './config.ts';
import { outerIrqchip } from './outer-irqchip.ts';

/** The kernel keeps what belongs to a vCPU; the shared memory needs no more than a page for each. */
const VCPU_AREA_BYTES = 4096;

/** A factory for one machine, and the handles of its vCPUs once it has been made. */
export interface KvmMachineFactory extends VirtualMachineFactory {
  /** What the thread of a vCPU needs to run it. */
  vcpu(index: number): VcpuHandle;
  /** Ends all vCPUs, for a process that is about to end. Does nothing before the machine has been made. */
  stop(): void;
}

/** `irqchip`: which interrupt controllers are the kernel's: all, or the local APICs only. `backing`: what guest RAM is. */
export function kvmMachine(
  kvm: Kvm,
  irqchip: IrqchipName = 'kernel',
  backing: RamBacking = 'anonymous',
): KvmMachineFactory {
  let machine: KvmMachine | undefined;
  return {
    vcpuAreaBytes: VCPU_AREA_BYTES,
    maxRamBytes: MAX_KVM_MEM_MIB * MIB,
    physicalAddressBits: physicalAddressBits(kvm.supportedCpuid()),
    keepsCode: false,
    create(parts) {
      machine = new KvmMachine({
        ...parts,
        kvm,
        backing,
        tssAddress: KVM_TSS_ADDRESS,
        identityMapAddress: KVM_IDENTITY_MAP_ADDRESS,
        pmTimer: new PmTimer(parts.memory.buffer, parts.map, parts.clock),
        outer: irqchip === 'split' ? (apics) => outerIrqchip(parts, apics) : undefined,
      });
      return machine;
    },
    vcpu(index) {
      if (machine === undefined) throw new Error('the machine has not been made yet');
      return machine.vcpu(index);
    },
    stop: () => machine?.stop(),
  };
}
