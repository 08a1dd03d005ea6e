/**
 * A worker whose vCPU spins in the guest, for tests that get it out: it says "out" to each request to pause, and ends with a request to
 * stop.
 *
 * @module
 */
import { parentPort, workerData } from 'node:worker_threads';
import { loadSystemCalls } from '../../host/node/kvm/load-system-calls.ts';
import { ControlArea, REQUEST_PAUSE, REQUEST_STOP, STATE_PAUSED, STATE_RUNNING } from '../../bus/control.ts';
import type { MachineMemoryMap } from '../../memory/machine-memory.ts';
import type { VcpuHandle } from './vm.ts';
import { KvmVcpu } from './vcpu.ts';

/** What the worker is started with. */
export interface SpinningWorkerData {
  readonly memory: WebAssembly.Memory;
  readonly map: MachineMemoryMap;
  readonly handle: VcpuHandle;
}

const { memory, map, handle } = workerData as SpinningWorkerData;
const control = new ControlArea(memory.buffer, map).vcpu(0);
const nothing = { portRead: () => 0, portWrite() {}, mmioRead: () => 0, mmioWrite() {} };
const vcpu = new KvmVcpu({ calls: await loadSystemCalls(), handle, bus: nothing, control });
control.state = STATE_RUNNING;
for (;;) {
  const exit = vcpu.run();
  if (exit.kind !== 'kicked' || (control.requests & REQUEST_STOP) !== 0) {
    parentPort?.postMessage(exit);
    break;
  }
  control.clearRequest(REQUEST_PAUSE);
  control.state = STATE_PAUSED;
}
