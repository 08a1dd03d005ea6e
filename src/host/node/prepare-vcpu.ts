/**
 * Starts the thread of the first vCPU before anything else of a machine is loaded. It imports little, for it is what that waits for.
 *
 * @module
 */
import { prepareKvmWorker } from './kvm/kvm-workers.ts';
import { whyNotKvm } from './kvm/why-not-kvm.ts';
import { prepareVcpuWorker } from './vcpu-workers.ts';

/**
 * On WebAssembly compiling the interpreter takes longer than all else, on KVM the thread's own start, and either can go on beside it. A wrong
 * guess costs a thread that nobody uses, or some milliseconds. `measures`: for an interpreter that counts.
 */
export function prepareVcpu(hypervisor: 'auto' | 'kvm' | 'wasm', measures: boolean): void {
  const isKvm = hypervisor === 'auto' ? whyNotKvm() === undefined : hypervisor === 'kvm';
  if (isKvm) prepareKvmWorker();
  else prepareVcpuWorker(measures);
}
