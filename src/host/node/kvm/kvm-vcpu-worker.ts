/**
 * Entry of the worker thread of a vCPU on KVM.
 *
 * The main thread must not end the worker while the guest runs: a thread in a system call cannot be ended, and the process would wait for
 * it. It asks the vCPU out first (VirtualMachine.interrupt).
 *
 * @module
 */
import { type MessagePort, parentPort, receiveMessageOnPort } from 'node:worker_threads';
import type { InitialCpuState } from '../../../hypervisor/initial-state.ts';
import { kvmHypervisor } from '../../../hypervisor/kvm/hypervisor.ts';
import type { VcpuHandle } from '../../../hypervisor/kvm/vm.ts';
import { runVcpuThread, type VcpuThreadConfig, type VcpuThreadEnd } from '../../../vm/vcpu-thread.ts';
import { createClock } from '../clock.ts';
import { type TraceWire, vcpuTracks } from '../trace-file.ts';
import { loadSystemCalls } from './load-system-calls.ts';

/** What the VMM thread sends first; initial states follow. */
export interface KvmVcpuTask {
  readonly config: VcpuThreadConfig;
  readonly handle: VcpuHandle;
  readonly trace?: TraceWire;
}

const port = parentPort as MessagePort;
const calls = await loadSystemCalls();
const clock = createClock();
port.once('message', ({ config, handle, trace }: KvmVcpuTask) => {
  const tracks = trace === undefined ? undefined : vcpuTracks(trace, clock, config.index);
  let end: VcpuThreadEnd;
  try {
    end = runVcpuThread(config, {
      clock,
      hypervisor: kvmHypervisor(calls, handle),
      // RDRAND is the processor's.
      random32: () => undefined,
      takeInitialState: () => receiveMessageOnPort(port)?.message as InitialCpuState | undefined,
      trace: tracks,
    });
  } finally {
    tracks?.flush();
  }
  // Whoever gets this ends the thread.
  port.postMessage(end);
});
