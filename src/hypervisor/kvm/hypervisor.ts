/**
 * The KVM hypervisor: both sides of it, as the machine knows them.
 *
 * @module
 */
import type { HardwareHypervisor } from '../hypervisor.ts';
import type { SystemCalls } from './system-calls.ts';
import { KvmVcpu } from './vcpu.ts';
import type { VcpuHandle } from './vm.ts';

/** For the thread of the vCPU whose handle it is. */
export function kvmHypervisor(calls: SystemCalls, handle: VcpuHandle): HardwareHypervisor {
  return {
    interruptControllers: handle.irqchip === 'split' ? 'own-local-apics' : 'own',
    createVcpu: ({ bus, control }, external) => new KvmVcpu({ calls, handle, bus, control, external }),
  };
}
