/** The way of a console byte through three threads' worth of parts: vCPU thread, rings and mailboxes, UART, interrupt. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { Bus } from '../../bus/bus.ts';
import { ControlArea, REQUEST_STOP } from '../../bus/control.ts';
import { MailboxClient } from '../../bus/mailbox-client.ts';
import { MailboxServer } from '../../bus/mailbox-server.ts';
import { PortTable } from '../../bus/port-table.ts';
import { IrqChip } from '../../irqchip/irqchip.ts';
import { allocateMachineMemory, type MachineMemoryMap, planMachineMemory } from '../../memory/machine-memory.ts';
import type { TimerHandle, Timers } from '../../util/timers.ts';
import { MemorySource } from '../testing.ts';
import { createPlatform } from './platform.ts';

interface WorkerData {
  readonly memory: WebAssembly.Memory;
  readonly map: MachineMemoryMap;
  readonly role: 'write' | 'read';
  readonly bytes: number;
}

const clock = { nanoseconds: (): number => (performance.timeOrigin + performance.now()) * 1e6 };
const COM1 = 0x3f8;
const VECTOR = 0x34;

function irqchip(memory: WebAssembly.Memory, map: MachineMemoryMap, control: ControlArea): IrqChip {
  const kick = (vcpu: number): void => control.vcpu(vcpu).kick();
  return new IrqChip({ buffer: memory.buffer, map, clock, kick, tscOffset: () => 0, physicalAddressBits: 40 });
}

/** A driver on the vCPU's side: writes a pattern and polls for the transmitter, or reads by interrupt. */
function driver({ memory, map, role, bytes }: WorkerData): number[] {
  const control = new ControlArea(memory.buffer, map);
  const chip = irqchip(memory, map, control);
  const localPorts = new Bus();
  const localMmio = new Bus();
  chip.attach(localPorts, localMmio);
  const ports = new PortTable(memory.buffer, map);
  const bus = new MailboxClient({ control, vcpu: 0, ports, localPorts, localMmio });
  if (role === 'write') {
    for (let n = 0; n < bytes; n++) {
      while ((bus.portRead(COM1 + 5, 1) & 0x20) === 0);
      bus.portWrite(COM1, 1, n & 0xff);
    }
    bus.portRead(COM1 + 7, 1);
    return [bus.calls];
  }
  const vcpu = chip.vcpu(0);
  vcpu.apicWrite(0xf0, 4, 0x1ff);
  bus.mmioWrite(0xfec0_0000, 4, 0x18);
  bus.mmioWrite(0xfec0_0010, 4, VECTOR);
  bus.portWrite(COM1 + 2, 1, 0x81);
  bus.portWrite(COM1 + 1, 1, 0x01);
  const self = control.vcpu(0);
  const got: number[] = [];
  for (const end = performance.now() + 20_000; got.length < bytes && performance.now() < end; ) {
    self.clearKick();
    if (vcpu.acknowledge() !== VECTOR) {
      self.waitForKick(1000);
      continue;
    }
    // As Linux: read IIR, drain the FIFO, read IIR again; then the end of the interrupt.
    while ((bus.portRead(COM1 + 2, 1) & 1) === 0) {
      while ((bus.portRead(COM1 + 5, 1) & 1) !== 0) got.push(bus.portRead(COM1, 1));
    }
    vcpu.apicWrite(0xb0, 4, 0);
  }
  return got;
}

/** Timers on the host's own. */
const hostTimers = (): Timers => {
  const set = new Map<number, NodeJS.Timeout>();
  let last = 0;
  return {
    set(deadlineNs, callback) {
      const handle = ++last;
      const run = (): void => void (set.delete(handle), callback());
      set.set(handle, setTimeout(run, Math.max(0, (deadlineNs - clock.nanoseconds()) / 1e6)));
      return handle as TimerHandle;
    },
    clear: (handle) => clearTimeout(set.get(handle)),
  };
};

async function withDriver(
  role: 'write' | 'read',
  bytes: number,
  input: MemorySource,
  write: (bytes: Uint8Array) => void,
  stream: { congested: boolean; drained: () => void },
): Promise<number[]> {
  const map = planMachineMemory({ ramBytes: 65536, vcpuCount: 1, vcpuBytes: 65536 });
  const memory = allocateMachineMemory(map);
  const control = new ControlArea(memory.buffer, map);
  control.initialize();
  const ports = new PortTable(memory.buffer, map);
  ports.initialize();
  const chip = irqchip(memory, map, control);
  chip.initialize();
  const output = {
    write,
    get congested() {
      return stream.congested;
    },
    onDrain: (listener: () => void) => {
      stream.drained = listener;
    },
  };
  const platform = createPlatform({
    ports,
    clock,
    wallClock: { milliseconds: () => Date.now() },
    timers: hostTimers(),
    line: (gsi) => chip.line(gsi),
    events: { powerOff() {}, reset() {}, panic() {}, debugExit() {} },
    pmTimerOrigin: () => chip.timeOrigin,
    ramBelow4GiB: 65536,
    vcpuCount: 1,
    serial: [{ input, output }],
  });
  const server = new MailboxServer({
    control,
    ports: platform.portBus,
    mmio: platform.mmioBus,
    yieldTurn: (resume) => void setImmediate(resume),
    onFault: (error) => assert.fail(String(error)),
  });
  const running = server.run();
  const data: WorkerData = { memory, map, role, bytes };
  const worker = new Worker(new URL(import.meta.url), { workerData: data });
  try {
    return await new Promise<number[]>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
  } finally {
    control.vcpu(0).request(REQUEST_STOP);
    await worker.terminate();
    server.stop();
    await running;
  }
}

if (!isMainThread) parentPort!.postMessage(driver(workerData as WorkerData));
else {
  test('200 KB of console output reach a sink that congests, in order, with one call', async () => {
    const written: number[] = [];
    const stream = { congested: false, drained: () => {} };
    const write = (bytes: Uint8Array): void => {
      written.push(...bytes);
      if (stream.congested || written.length % 8192 !== 0) return;
      stream.congested = true;
      setTimeout(() => {
        stream.congested = false;
        stream.drained();
      }, 1);
    };
    const [calls] = await withDriver('write', 200_000, new MemorySource(), write, stream);
    assert.equal(calls, 1);
    assert.equal(written.length, 200_000);
    assert.ok(written.every((byte, n) => byte === (n & 0xff)));
  });

  test('8 KiB of pasted input reach a driver that sleeps between interrupts, in order', async () => {
    const input = new MemorySource();
    const sent = Array.from({ length: 8192 }, (_, n) => (n * 31) & 0xff);
    input.feed(sent);
    const stream = { congested: false, drained: () => {} };
    assert.deepEqual(await withDriver('read', sent.length, input, () => {}, stream), sent);
  });
}
