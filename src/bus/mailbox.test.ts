import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'node:test';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { allocateMachineMemory, type MachineMemoryMap, planMachineMemory } from '../memory/machine-memory.ts';
import { Bus } from './bus.ts';
import type { AccessWidth } from './bus-device.ts';
import { ControlArea, REQUEST_STOP, RING_ENTRIES } from './control.ts';
import { MailboxClient } from './mailbox-client.ts';
import { MailboxServer } from './mailbox-server.ts';
import { PciConfigTable } from './pci-config.ts';
import { PostedMmio } from './posted-mmio.ts';
import { PortTable } from './port-table.ts';

/** What a vCPU thread of these tests is asked to do; the numbers it read come back as a message. */
type Step =
  | readonly ['in', port: number, width: AccessWidth]
  | readonly ['out', port: number, width: AccessWidth, value: number]
  | readonly ['load', address: number, width: AccessWidth]
  | readonly ['store', address: number, width: AccessWidth, value: number]
  /** Writes the next of the numbers that all vCPUs share, under a lock of the guest's. */
  | readonly ['count', port: number, width: AccessWidth];

interface WorkerData {
  readonly memory: WebAssembly.Memory;
  readonly map: MachineMemoryMap;
  readonly vcpu: number;
  readonly steps: readonly Step[];
  readonly times: number;
}

function workerMain({ memory, map, vcpu, steps, times }: WorkerData): void {
  const localPorts = new Bus();
  localPorts.add('local', 0x40, 4, { read: (offset) => 0x40 + offset, write() {} });
  const client = new MailboxClient({
    control: new ControlArea(memory.buffer, map),
    ports: new PortTable(memory.buffer, map),
    vcpu,
    localPorts,
    localMmio: new Bus(),
  });
  const ram = new Int32Array(memory.buffer, map.ram, 2);
  const results: number[] = [];
  for (let time = 0; time < times; time++) {
    for (const step of steps) {
      switch (step[0]) {
        case 'in':
          results.push(client.portRead(step[1], step[2]));
          break;
        case 'out':
          client.portWrite(step[1], step[2], step[3]);
          break;
        case 'load':
          results.push(client.mmioRead(step[1], step[2]));
          break;
        case 'store':
          client.mmioWrite(step[1], step[2], step[3]);
          break;
        case 'count':
          while (Atomics.compareExchange(ram, 0, 0, 1) !== 0);
          client.portWrite(step[1], step[2], (ram[1] = ram[1]! + 1));
          Atomics.store(ram, 0, 0);
      }
    }
    if (results.length > 10_000) results.length = 0;
  }
  parentPort!.postMessage({ results, calls: client.calls, posted: client.posted });
}

interface Answer {
  readonly results: number[];
  readonly calls: number;
  readonly posted: number;
}

interface Rig {
  readonly control: ControlArea;
  readonly table: PortTable;
  readonly ports: Bus;
  readonly mmio: Bus;
  readonly server: MailboxServer;
  readonly faults: unknown[];
  /** Runs the steps on a thread of its own. */
  vcpu(steps: readonly Step[], times?: number, index?: number): Promise<Answer>;
}

async function withRig(body: (rig: Rig) => Promise<void>, vcpuCount = 1, serve = true): Promise<void> {
  const map = planMachineMemory({ ramBytes: 65536, vcpuCount, vcpuBytes: 65536 });
  const memory = allocateMachineMemory(map);
  const control = new ControlArea(memory.buffer, map);
  control.initialize();
  const table = new PortTable(memory.buffer, map);
  table.initialize();
  const ports = new Bus();
  const mmio = new Bus();
  const faults: unknown[] = [];
  const server = new MailboxServer({
    control,
    ports,
    mmio,
    yieldTurn: (resume) => void setImmediate(resume),
    onFault: (error) => void faults.push(error),
  });
  const running = serve ? server.run() : Promise.resolve();
  const workers: Worker[] = [];
  const vcpu = (steps: readonly Step[], times = 1, index = 0): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const data: WorkerData = { memory, map, vcpu: index, steps, times };
      const worker = new Worker(new URL(import.meta.url), { workerData: data });
      workers.push(worker);
      worker.once('message', resolve);
      worker.once('error', reject);
    });
  try {
    await body({ control, table, ports, mmio, server, faults, vcpu });
  } finally {
    for (let index = 0; index < vcpuCount; index++) control.vcpu(index).request(REQUEST_STOP);
    await Promise.all(workers.map((worker) => worker.terminate()));
    server.stop();
    await running;
  }
}

if (!isMainThread) workerMain(workerData as WorkerData);
else {
  test('a port read is answered by the device on the VMM thread', () =>
    withRig(async ({ ports, table, vcpu }) => {
      ports.add('device', 0x70, 2, { read: (offset, width) => offset * 0x1000 + width, write() {} });
      table.claim(0x70, 2);
      assert.deepEqual(
        (
          await vcpu([
            ['in', 0x71, 1],
            ['in', 0x70, 2],
          ])
        ).results,
        [1, 2],
      );
    }));

  test('an MMIO address above 4 GiB arrives whole and a value keeps its top bit', () =>
    withRig(async ({ mmio, vcpu }) => {
      const seen: number[][] = [];
      mmio.add('device', 0xf_ffff_f000, 0x1000, {
        read: () => 0xdead_beef,
        write: (offset, width, value) => void seen.push([offset, width, value]),
      });
      const answer = await vcpu([
        ['store', 0xf_ffff_fffc, 4, 0xffff_fffe],
        ['load', 0xf_ffff_f000, 4],
      ]);
      assert.deepEqual(seen, [[0xffc, 4, 0xffff_fffe]]);
      assert.deepEqual(answer.results, [0xdead_beef]);
    }));

  test('ports of the thread itself and ports of nobody take no call', () =>
    withRig(async ({ vcpu }) => {
      const answer = await vcpu([
        ['in', 0x41, 1],
        ['in', 0x999, 4],
        ['out', 0x999, 1, 7],
        ['in', 0x3e, 4],
      ]);
      assert.deepEqual(answer.results, [0x41, 0xffff_ffff, 0x4140_ffff]);
      assert.equal(answer.calls, 0);
    }));

  test('a shadowed port is read without a call', () =>
    withRig(async ({ table, vcpu }) => {
      table.claim(0x3f8, 8);
      table.shadow(0x3fd, 0x60);
      const answer = await vcpu([['in', 0x3fd, 1]]);
      assert.deepEqual(answer.results, [0x60]);
      assert.equal(answer.calls, 0);
    }));

  test('posted writes are done in order and before the call that follows them', () =>
    withRig(async ({ ports, table, vcpu }) => {
      const written: number[] = [];
      ports.add('device', 0x3f8, 8, { read: () => written.length, write: (_, __, value) => void written.push(value) });
      table.claim(0x3f8, 8);
      table.post(0x3f8, true);
      const answer = await vcpu([
        ['out', 0x3f8, 1, 1],
        ['out', 0x3f8, 1, 2],
        ['out', 0x3f8, 1, 3],
        ['in', 0x3fa, 1],
      ]);
      assert.deepEqual(written, [1, 2, 3]);
      assert.deepEqual(answer.results, [3]);
      assert.equal(answer.posted, 3);
    }));

  test('what three vCPUs post one after the other under a lock is done in that order, and before a call that follows', () =>
    withRig(async ({ ports, table, vcpu }) => {
      const written: number[] = [];
      ports.add('device', 0x3f8, 8, {
        read: () => written.length,
        write: (_, __, value) => void written.push(value),
      });
      table.claim(0x3f8, 8);
      table.post(0x3f8, true);
      const times = RING_ENTRIES * 3;
      const answers = await Promise.all([0, 1, 2].map((index) => vcpu([['count', 0x3f8, 4]], times, index)));
      assert.deepEqual(
        answers.map(({ posted, calls }) => [posted, calls]),
        Array.from({ length: 3 }, () => [times, 0]),
      );
      assert.deepEqual((await vcpu([['in', 0x3fc, 4]])).results, [times * 3]);
      assert.deepEqual(
        written,
        Array.from({ length: times * 3 }, (_, n) => n + 1),
      );
    }, 3));

  test('what three vCPUs post at the same time all arrives', () =>
    withRig(async ({ ports, table, vcpu }) => {
      const counts = [0, 0, 0];
      ports.add('device', 0x402, 1, { read: () => 0, write: (_, __, value) => void counts[value]!++ });
      table.claim(0x402, 1);
      table.post(0x402, true);
      const times = RING_ENTRIES * 20;
      await Promise.all([0, 1, 2].map((index) => vcpu([['out', 0x402, 1, index]], times, index)));
      await vcpu([['in', 0x402, 1]]);
      assert.deepEqual(counts, [times, times, times]);
    }, 3));

  test('a write to a doorbell is posted, and done before the call that follows it', () =>
    withRig(async ({ control, mmio, vcpu }) => {
      const written: number[][] = [];
      mmio.add('device', 0xd000_0000, 0x2000, {
        read: () => written.length,
        write: (...access) => void written.push(access),
      });
      new PostedMmio(control).add(0xd000_1000, 0x1000);
      const answer = await vcpu([
        ['store', 0xd000_1004, 2, 7],
        ['store', 0xd000_1008, 4, 0xffff_fffe],
        ['load', 0xd000_0000, 4],
        ['store', 0xd000_0000, 4, 1],
      ]);
      assert.deepEqual(written, [
        [0x1004, 2, 7],
        [0x1008, 4, 0xffff_fffe],
        [0, 4, 1],
      ]);
      assert.deepEqual(answer.results, [2]);
      assert.deepEqual([answer.posted, answer.calls], [2, 2]);
    }));

  test('a write of several ports is posted when its first allows it', () =>
    withRig(async ({ ports, table, vcpu }) => {
      const written: number[][] = [];
      ports.add('device', 0xcf8, 8, { read: () => 0, write: (...access) => void written.push(access) });
      table.claim(0xcf8, 8);
      table.post(0xcf8, true);
      const answer = await vcpu([
        ['out', 0xcf8, 4, 0x8000_0000],
        ['out', 0xcfa, 4, 5],
        ['in', 0xcfc, 4],
      ]);
      assert.deepEqual(written, [
        [0, 4, 0x8000_0000],
        [2, 4, 5],
      ]);
      assert.deepEqual([answer.posted, answer.calls], [1, 2]);
    }));

  test('PCI functions that are not there cost no call, those that are there are asked at the address that was set', () =>
    withRig(async ({ control, ports, table, vcpu }) => {
      const config = new PciConfigTable(control);
      config.add(0x08);
      const asked: string[] = [];
      ports.add('data', 0xcfc, 4, {
        read: (offset, width) => {
          asked.push(`${config.address.toString(16)}+${offset}/${width}`);
          return 0x1234;
        },
        write: (offset, width, value) => void asked.push(`${config.address.toString(16)}+${offset}/${width} ${value}`),
      });
      ports.add('behind', 0xd00, 2, { read: () => 0x77, write() {} });
      table.claim(0xcf8, 8);
      table.claim(0xd00, 2);
      table.pci(0xcf8, 0xcfc);
      const answer = await vcpu([
        ['in', 0xcfc, 2],
        ['out', 0xcf8, 4, 0x8000_1003],
        ['in', 0xcf8, 4],
        ['in', 0xcfc, 4],
        ['in', 0xcfd, 1],
        ['out', 0xcfc, 2, 1],
        ['out', 0xcfc, 1, 1],
        ['out', 0xcf8, 4, 0x8001_0800],
        ['in', 0xcfc, 4],
        ['out', 0xcf8, 4, 0x0000_0800],
        ['in', 0xcfc, 4],
        ['out', 0xcf8, 4, 0x8000_0804],
        ['in', 0xcfe, 2],
        ['out', 0xcfc, 1, 5],
        ['out', 0xcf8, 4, 0x8000_1000],
        ['in', 0xcfe, 4],
      ]);
      assert.deepEqual(asked, ['80000804+2/2', '80000804+0/1 5', '80001000+2/1', '80001000+3/1']);
      const nobody = 0xffff_ffff;
      assert.deepEqual(answer.results, [0xffff, 0x8000_1000, nobody, 0xff, nobody, nobody, 0x1234, 0x7777_3434]);
      assert.deepEqual([answer.calls, answer.posted], [3, 0]);
    }));

  test('registers of a PCI function that are shared are read as they stand, but for those whose reads do something', () =>
    withRig(async ({ control, ports, table, vcpu }) => {
      let registers = new Uint8Array();
      const moveTo = (bytes: Uint8Array<ArrayBuffer>): void => {
        registers = bytes;
        registers.set(Array.from({ length: 256 }, (_, at) => at));
      };
      // Another function has a slot before it, and one behind it none.
      const config = new PciConfigTable(control);
      config.add(0x00, { moveTo() {} });
      config.add(0x08, { moveTo: moveTo as (bytes: Uint8Array) => void }, [0x48]);
      config.add(0x10);
      ports.add('data', 0xcfc, 4, {
        read: () => 0x7777_7777,
        write: (offset, _, value) => void (registers[(config.address & 0xfc) + offset] = value),
      });
      table.claim(0xcf8, 8);
      table.pci(0xcf8, 0xcfc);
      const at = (address: number): Step => ['out', 0xcf8, 4, 0x8000_0000 + address];
      const answer = await vcpu([
        ...[at(0x0844), ['in', 0xcfc, 4], ['in', 0xcfe, 2], ['in', 0xcff, 1]],
        ...[at(0x0848), ['in', 0xcfc, 4], ['in', 0xcfd, 1]],
        ...[at(0x084c), ['in', 0xcfc, 2], ['out', 0xcfd, 1, 0xaa], ['in', 0xcfc, 4]],
        ...[at(0x08fc), ['in', 0xcfc, 4]],
        ...[at(0x1044), ['in', 0xcfc, 4]],
      ] as Step[]);
      assert.deepEqual(
        answer.results.map((value) => value.toString(16)),
        ['47464544', '4746', '47', '77777777', '77', '4d4c', '4f4eaa4c', 'fffefdfc', '77777777'],
      );
      assert.equal(answer.calls, 4);
    }));

  test('functions on other buses are asked once there is one', () =>
    withRig(async ({ control, ports, table, vcpu }) => {
      new PciConfigTable(control).add(0x100);
      ports.add('data', 0xcfc, 4, { read: () => 0x1234, write() {} });
      table.claim(0xcf8, 8);
      table.pci(0xcf8, 0xcfc);
      const answer = await vcpu([
        ['out', 0xcf8, 4, 0x8001_0000],
        ['in', 0xcfc, 4],
        ['out', 0xcf8, 4, 0x8000_0000],
        ['in', 0xcfc, 4],
      ]);
      assert.deepEqual(answer.results, [0x1234, 0xffff_ffff]);
    }));

  test('an ordered shadow is not used while a posted write is under way', () =>
    withRig(async ({ ports, table, vcpu }) => {
      let value = 0;
      ports.add('device', 0x3f8, 8, {
        read: () => value,
        write: (_, __, written) => {
          value = written;
          table.shadow(0x3fa, value, true);
        },
      });
      table.claim(0x3f8, 8);
      table.post(0x3f8, true);
      table.shadow(0x3fa, 0, true);
      const steps: Step[] = [];
      for (let n = 1; n <= 200; n++) steps.push(['out', 0x3f8, 1, n], ['in', 0x3fa, 1]);
      assert.deepEqual(
        (await vcpu(steps)).results,
        Array.from({ length: 200 }, (_, n) => n + 1),
      );
    }));

  test('a full ring makes the vCPU wait and loses nothing', () =>
    withRig(async ({ ports, table, vcpu }) => {
      let count = 0;
      ports.add('device', 0x402, 1, { read: () => 0, write: () => void count++ });
      table.claim(0x402, 1);
      table.post(0x402, true);
      const times = RING_ENTRIES * 40;
      await vcpu([['out', 0x402, 1, 0x61]], times);
      for (let wait = 0; wait < 500 && count < times; wait++) await delay(10);
      assert.equal(count, times);
    }));

  test('a guest that floods a port does not hold up timers', () =>
    withRig(async ({ control, ports, table, vcpu }) => {
      ports.add('device', 0x402, 1, { read: () => 0, write() {} });
      table.claim(0x402, 1);
      table.post(0x402, true);
      const flood = vcpu([['out', 0x402, 1, 0x61]], 1e9);
      await delay(300);
      let longest = 0;
      for (let tick = 0; tick < 20; tick++) {
        const before = performance.now();
        await delay(5);
        longest = Math.max(longest, performance.now() - before);
      }
      control.vcpu(0).request(REQUEST_STOP);
      void flood;
      assert.ok(longest < 250, `a timer of 5 ms took ${longest} ms`);
    }));

  test('a vCPU that waits for a VMM thread that never answers leaves when it is told to stop', () =>
    withRig(
      async ({ control, table, vcpu }) => {
        table.claim(0x70, 1);
        const answer = vcpu([['in', 0x70, 1]]);
        await delay(200);
        control.vcpu(0).request(REQUEST_STOP);
        assert.deepEqual((await answer).results, [0xff]);
      },
      1,
      false,
    ));

  test('a vCPU that waits for room in its ring leaves when it is told to stop', () =>
    withRig(
      async ({ control, table, vcpu }) => {
        table.claim(0x402, 1);
        table.post(0x402, true);
        const answer = vcpu([['out', 0x402, 1, 1]], RING_ENTRIES + 1);
        await delay(200);
        control.vcpu(0).request(REQUEST_STOP);
        assert.equal((await answer).posted, RING_ENTRIES);
      },
      1,
      false,
    ));

  test('two vCPUs get the answers to their own calls', () =>
    withRig(async ({ ports, table, vcpu }) => {
      ports.add('device', 0x100, 8, { read: (offset) => offset * 3, write() {} });
      table.claim(0x100, 8);
      const [one, two] = await Promise.all([vcpu([['in', 0x101, 1]], 3000, 0), vcpu([['in', 0x105, 1]], 3000, 1)]);
      assert.ok(one.results.length === 3000 && one.results.every((value) => value === 3));
      assert.ok(two.results.length === 3000 && two.results.every((value) => value === 15));
    }, 2));

  test('an exception in a device is reported and the access still answered', () =>
    withRig(async ({ ports, table, faults, vcpu }) => {
      ports.add('broken', 0x100, 1, {
        read() {
          throw new Error('broken');
        },
        write() {},
      });
      table.claim(0x100, 1);
      assert.deepEqual((await vcpu([['in', 0x100, 1]])).results, [0xff]);
      assert.equal(faults.length, 1);
    }));
}
