/** A vCPU that is in the guest comes out when it is asked to, every time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { ControlArea, REQUEST_PAUSE, REQUEST_STOP, STATE_PAUSED, STATE_RUNNING } from '../../bus/control.ts';
import { createClock } from '../../host/node/clock.ts';
import { allocateMachineMemory, planMachineMemory } from '../../memory/machine-memory.ts';
import type { VcpuExit } from '../exit.ts';
import { KvmMachine } from './machine.ts';
import type { SpinningWorkerData } from './test-spinning-worker.ts';
import { CODE, hostKvm, RAM_BYTES, realModeState } from './testing.ts';
import { VcpuAccess } from './vcpu-state.ts';

const { kvm, skip } = await hostKvm();
const ROUNDS = 1000;

test('a vCPU in an endless loop comes out a thousand times, and then for good', { skip }, async (t) => {
  const map = planMachineMemory({ ramBytes: RAM_BYTES, vcpuCount: 1, vcpuBytes: 4096 });
  const memory = allocateMachineMemory(map);
  const area = new ControlArea(memory.buffer, map);
  area.initialize();
  const clock = createClock();
  using machine = new KvmMachine({
    kvm,
    backing: 'anonymous',
    memory,
    map,
    control: area,
    clock,
    tssAddress: 0xfeff_d000,
    identityMapAddress: 0xfeff_c000,
    pmTimer: { origin: 0, reset() {} },
  });
  // jmp to itself
  new Uint8Array(memory.buffer).set([0xeb, 0xfe], map.ram + CODE);
  new VcpuAccess(kvm.calls, machine.vcpu(0).fd).load(realModeState(CODE));
  const workerData: SpinningWorkerData = { memory, map, handle: machine.vcpu(0) };
  const worker = new Worker(new URL('./test-spinning-worker.ts', import.meta.url), { workerData });
  const ended = new Promise<VcpuExit>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  const control = area.vcpu(0);
  await control.reaches(STATE_RUNNING);
  const microseconds: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    control.state = STATE_RUNNING;
    const asked = clock.nanoseconds();
    control.request(REQUEST_PAUSE);
    machine.interrupt(0);
    await control.reaches(STATE_PAUSED);
    microseconds.push((clock.nanoseconds() - asked) / 1000);
  }
  control.request(REQUEST_STOP);
  machine.interrupt(0);
  assert.deepEqual(await ended, { kind: 'kicked' });
  await worker.terminate();
  microseconds.sort((a, b) => a - b);
  const [median, late] = [microseconds[ROUNDS / 2], microseconds[ROUNDS * 0.99]] as [number, number];
  t.diagnostic(`from the request to the event loop: median ${median.toFixed(0)} µs, 99 % within ${late.toFixed(0)} µs`);
});
