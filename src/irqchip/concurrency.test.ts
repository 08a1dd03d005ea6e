import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { Bus } from '../bus/bus.ts';
import { ControlArea } from '../bus/control.ts';
import { allocateMachineMemory, type MachineMemoryMap, planMachineMemory } from '../memory/machine-memory.ts';
import { IrqChip } from './irqchip.ts';
import type { VcpuIrqchip } from './vcpu-irqchip.ts';

/** Interrupt controllers of a machine as one thread of it sees them, with real kicks and a real clock. */
interface Thread {
  readonly chip: IrqChip;
  readonly control: ControlArea;
}

interface WorkerData {
  readonly memory: WebAssembly.Memory;
  readonly map: MachineMemoryMap;
  readonly role: keyof typeof ROLES;
  readonly index: number;
}

function attach(memory: WebAssembly.Memory, map: MachineMemoryMap): Thread {
  const control = new ControlArea(memory.buffer, map);
  const vcpus = Array.from({ length: map.vcpuCount }, (_, index) => control.vcpu(index));
  const chip = new IrqChip({
    buffer: memory.buffer,
    map,
    clock: { nanoseconds: () => (performance.timeOrigin + performance.now()) * 1e6 },
    kick: (vcpu) => vcpus[vcpu]!.kick(),
    tscOffset: () => 0,
    physicalAddressBits: 40,
  });
  return { chip, control };
}

const ROUNDS = 2000;
const VECTOR = 0x61;

/** Sleeps as a halted vCPU does until an interrupt comes; -1 when it does not within ten seconds. */
function halt(thread: Thread, index: number, vcpu: VcpuIrqchip): number {
  const self = thread.control.vcpu(index);
  for (const end = performance.now() + 10_000; performance.now() < end; ) {
    self.clearKick();
    if (vcpu.pending()) {
      const vector = vcpu.acknowledge();
      if (vector >= 0) {
        vcpu.apicWrite(0xb0, 4, 0);
        return vector;
      }
    }
    self.waitForKick(10_000);
  }
  return -1;
}

const ROLES = {
  /** Answers each interrupt with one to the other vCPU; vCPU 0 begins. Tells how many it got. */
  pingPong(thread: Thread, index: number): number {
    const vcpu = thread.chip.vcpu(index);
    let got = 0;
    for (let round = 0; round < ROUNDS; round++) {
      if (index === 1 || round > 0) {
        if (halt(thread, index, vcpu) !== VECTOR) return got;
        got++;
      }
      vcpu.apicWrite(0x310, 4, (1 - index) << 24);
      vcpu.apicWrite(0x300, 4, 0x4000 | VECTOR);
    }
    return got;
  },
  /** Sends every vector above 30h to vCPU 0 once, as messages. Tells how many were taken in. */
  flood(thread: Thread, index: number): number {
    let taken = 0;
    for (let vector = 0x30 + index; vector < 0xf0; vector += 2) {
      if (thread.chip.msi(0xfee0_0000, vector)) taken++;
      for (let other = 0; other < 50; other++) thread.chip.vcpu(1 + index).writeCr8(other & 15);
    }
    return taken;
  },
  /** Drives one source of a shared line up and down and leaves it down. */
  toggle(thread: Thread): number {
    const line = thread.chip.line(10);
    for (let n = 0; n < 20_000; n++) line.set((n & 1) === 0);
    line.set(false);
    return 0;
  },
};

async function withWorkers<T>(
  vcpuCount: number,
  roles: readonly (keyof typeof ROLES)[],
  during: (thread: Thread) => void,
  check: (thread: Thread, results: readonly number[]) => T,
): Promise<T> {
  const map = planMachineMemory({ ramBytes: 65536, vcpuCount, vcpuBytes: 65536 });
  const memory = allocateMachineMemory(map);
  const thread = attach(memory, map);
  thread.control.initialize();
  thread.chip.initialize();
  for (let index = 0; index < vcpuCount; index++) thread.chip.vcpu(index).apicWrite(0xf0, 4, 0x1ff);
  during(thread);
  const results = await Promise.all(
    roles.map(
      (role, index) =>
        new Promise<number>((resolve, reject) => {
          const data: WorkerData = { memory, map, role, index };
          const worker = new Worker(new URL(import.meta.url), { workerData: data });
          worker.once('message', resolve);
          worker.once('error', reject);
        }),
    ),
  );
  return check(thread, results);
}

if (!isMainThread) {
  const { memory, map, role, index } = workerData as WorkerData;
  parentPort!.postMessage(ROLES[role](attach(memory, map), index));
} else {
  test('two vCPUs that answer each other by interrupt lose none, though each sleeps in between', async () => {
    await withWorkers(
      2,
      ['pingPong', 'pingPong'],
      () => {},
      (_, results) => assert.deepEqual(results, [ROUNDS - 1, ROUNDS]),
    );
  });

  test('messages from two threads to one vCPU all arrive', async () => {
    await withWorkers(
      3,
      ['flood', 'flood'],
      () => {},
      ({ chip }, results) => {
        assert.deepEqual(results, [96, 96]);
        const seen: number[] = [];
        const vcpu = chip.vcpu(0);
        for (let vector = vcpu.acknowledge(); vector >= 0; vector = vcpu.acknowledge()) {
          seen.push(vector);
          vcpu.apicWrite(0xb0, 4, 0);
        }
        assert.deepEqual(
          seen,
          Array.from({ length: 192 }, (_, n) => 0xef - n),
        );
      },
    );
  });

  test('two threads that drive one shared line leave it as they leave their sources', async () => {
    await withWorkers(
      1,
      ['toggle', 'toggle'],
      ({ chip }) => {
        const mmio = new Bus();
        chip.attach(new Bus(), mmio);
        mmio.write(0xfec0_0000, 4, 0x24);
        mmio.write(0xfec0_0010, 4, 0x8051);
      },
      ({ chip }) => {
        const vcpu = chip.vcpu(0);
        const takeAndEnd = (): number => {
          const vector = vcpu.acknowledge();
          vcpu.apicWrite(0xb0, 4, 0);
          return vector;
        };
        assert.equal(takeAndEnd(), 0x51);
        assert.equal(vcpu.pending(), false);
        chip.line(10).set(true);
        assert.equal(takeAndEnd(), 0x51);
        assert.equal(takeAndEnd(), 0x51);
      },
    );
  });
}
