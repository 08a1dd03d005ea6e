/**
 * KVM for one machine on Node: a worker thread for every vCPU, and care that none of them is in the guest when the process ends.
 *
 * @module
 */
import type { Worker } from 'node:worker_threads';
import type { Kvm } from '../../../hypervisor/kvm/kvm.ts';
import type { RunConfig } from '../../../vm/config.ts';
import { kvmMachine } from '../../../vm/kvm-machine.ts';
import type { VcpuThread } from '../../../vm/machine.ts';
import type { VcpuThreadConfig, VcpuThreadEnd } from '../../../vm/vcpu-thread.ts';
import type { NodeHypervisor } from '../hypervisor.ts';
import type { TraceWire } from '../trace-file.ts';
import type { KvmVcpuTask } from './kvm-vcpu-worker.ts';
import { takeKvmWorker } from './kvm-workers.ts';

/** Takes over the open KVM. The workers start to load at once, beside what else there is to do before a machine runs. */
export function kvmOnNode(kvm: Kvm, { cpus, irqchip, memfd }: RunConfig): NodeHypervisor {
  const ramBacking = memfd ? 'memfd' : 'anonymous';
  const factory = kvmMachine(kvm, irqchip, ramBacking);
  const workers = Array.from({ length: cpus }, (_, index) => takeKvmWorker(index));
  const stop = (): void => factory.stop();
  process.once('exit', stop);

  const startVcpu = (config: VcpuThreadConfig, trace: TraceWire | undefined): VcpuThread => {
    const worker = workers[config.index] as Worker;
    const ended = new Promise<VcpuThreadEnd>((resolve, reject) => {
      worker.once('message', (end: VcpuThreadEnd) => {
        resolve(end);
        void worker.terminate();
      });
      worker.once('error', reject);
      worker.once('exit', (code) => reject(new Error(`the thread ended with status ${code}`)));
    });
    const task: KvmVcpuTask = { config, handle: factory.vcpu(config.index), ...(trace !== undefined && { trace }) };
    worker.postMessage(task);
    return { ended, sendInitialState: (initial) => worker.postMessage(initial) };
  };

  return {
    name: 'kvm',
    ramBacking,
    factory,
    startVcpu,
    async [Symbol.asyncDispose]() {
      process.off('exit', stop);
      await Promise.all(workers.map((worker) => worker.terminate()));
      kvm[Symbol.dispose]();
    },
  };
}
