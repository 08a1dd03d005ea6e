/** IO-APIC, 8259 pair and 8254 in front of local APICs that are the kernel's: what the guest programs on one side, what those get on the other. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bus } from '../bus/bus.ts';
import { ControlArea } from '../bus/control.ts';
import { FakeTime } from '../devices/testing.ts';
import type { InterruptRoute } from '../hypervisor/kvm/vm.ts';
import { IrqChip } from '../irqchip/irqchip.ts';
import { allocateMachineMemory, planMachineMemory } from '../memory/machine-memory.ts';
import { outerIrqchip } from './outer-irqchip.ts';

const IOAPIC = 0xfec0_0000;
const IOAPIC_EOI = 0xfec0_0040;
const LEVEL = 0x8000;
const MASKED = 0x1_0000;
const PIT_HZ = 1_193_182;

function rig() {
  const map = planMachineMemory({ ramBytes: 65536, vcpuCount: 2, vcpuBytes: 4096 });
  const memory = allocateMachineMemory(map);
  const control = new ControlArea(memory.buffer, map);
  control.initialize();
  const time = new FakeTime();
  /** What the local APICs were told, in order. */
  const log: string[] = [];
  let taken = true;
  const chip = outerIrqchip(
    { memory, map, control, clock: time, timers: time.timers },
    {
      send(address, data) {
        log.push(`msi ${address.toString(16)} ${data.toString(16)}`);
        return taken;
      },
      setLevelRoutes(routes: readonly InterruptRoute[]) {
        const shown = routes.map((route) => ('data' in route ? `${route.gsi}:${route.data.toString(16)}` : 'chip'));
        log.push(`routes ${shown.join(' ')}`);
      },
      interruptFirst: () => void log.push('interrupt first'),
    },
  );
  const ports = new Bus();
  const mmio = new Bus();
  const claimed: number[] = [];
  chip.attach({ ports, mmio, claim: (port) => void claimed.push(port) });
  const parts = { buffer: memory.buffer, map, clock: time, kick() {}, tscOffset: () => 0, physicalAddressBits: 36 };
  return {
    chip,
    ports,
    mmio,
    claimed,
    time,
    /** The log so far, which begins anew. */
    took: (): string[] => log.splice(0),
    refuse(refuses: boolean): void {
      taken = !refuses;
    },
    /** Writes a table entry of the IO-APIC. */
    route(pin: number, low: number, destination = 0): void {
      for (const [register, value] of [
        [0x11 + pin * 2, destination << 24],
        [0x10 + pin * 2, low],
      ] as const) {
        mmio.write(IOAPIC, 4, register);
        mmio.write(IOAPIC + 0x10, 4, value >>> 0);
      }
    },
    /** The 8259 pair as Linux sets it up. */
    initializePics(): void {
      for (const [port, vectors, wiring] of [
        [0x20, 0x30, 4],
        [0xa0, 0x38, 2],
      ] as const) {
        ports.write(port, 1, 0x11);
        for (const value of [vectors, wiring, 1, 0]) ports.write(port + 1, 1, value);
      }
    },
    /** The first processor's view, as its thread makes it. */
    processor: new IrqChip({
      ...parts,
      external: { send: () => false, levelRoutes() {}, intr() {}, timerMoved() {} },
    }),
  };
}

test('an edge at an input of the IO-APIC is one message with its vector, mode and destination', () => {
  const { chip, route, took } = rig();
  const line = chip.line(4);
  route(4, 0x31 | 0x100 | 0x800, 3);
  took();
  line.set(true);
  line.set(false);
  assert.deepEqual(took(), ['msi fee03004 131']);
});

test('a level-triggered input is routed before it sends, and sends again when its vector ends and it still asks', () => {
  const { chip, mmio, route, took } = rig();
  const line = chip.line(10);
  line.set(true);
  route(10, 0x51 | LEVEL, 1);
  assert.deepEqual(took(), ['routes 10:c051', 'msi fee01000 c051']);
  mmio.write(IOAPIC_EOI, 4, 0x50);
  assert.deepEqual(took(), []);
  mmio.write(IOAPIC_EOI, 4, 0x51);
  assert.deepEqual(took(), ['msi fee01000 c051']);
  line.set(false);
  mmio.write(IOAPIC_EOI, 4, 0x51);
  assert.deepEqual(took(), []);
});

test('masking an input changes no route, for its vector may be in service', () => {
  const { route, took } = rig();
  route(10, 0x51 | LEVEL, 1);
  took();
  route(10, 0x51 | LEVEL | MASKED, 1);
  assert.deepEqual(took(), []);
  route(10, 0x51 | MASKED, 1);
  assert.deepEqual(took(), ['routes ']);
});

test('a message that no local APIC took waits for no end', () => {
  const { chip, refuse, route, took } = rig();
  const line = chip.line(10);
  route(10, 0x51 | LEVEL);
  refuse(true);
  line.set(true);
  refuse(false);
  took();
  route(10, 0x51 | LEVEL);
  assert.deepEqual(took(), ['msi fee00000 c051']);
});

test('an interrupt of the 8259 pair gets the first processor out, which acknowledges one after the other', () => {
  const { chip, initializePics, ports, processor, took } = rig();
  initializePics();
  took();
  assert.equal(processor.intrAsserted, false);
  const lines = [chip.line(5), chip.line(3)];
  for (const line of lines) line.set(true);
  assert.equal(took()[0], 'interrupt first');
  assert.equal(processor.intrAsserted, true);
  assert.equal(processor.acknowledgePic(), 0x33);
  assert.equal(processor.intrAsserted, false);
  assert.equal(processor.acknowledgePic(), -1);
  took();
  // The end of that lets the other one through.
  ports.write(0x20, 1, 0x20);
  assert.deepEqual(took(), ['interrupt first']);
  assert.equal(processor.acknowledgePic(), 0x35);
});

test("the 8254's ticks arrive at the time they are due, at both controllers", () => {
  const { initializePics, ports, processor, route, time, took } = rig();
  initializePics();
  route(2, 0x30);
  took();
  const ticks = 1193;
  ports.write(0x43, 1, 0x34);
  ports.write(0x40, 1, ticks & 0xff);
  ports.write(0x40, 1, ticks >> 8);
  const period = (ticks / PIT_HZ) * 1e9;
  time.advance(period / 2);
  assert.deepEqual(took(), []);
  time.advance(period / 2 + 2000);
  assert.deepEqual(took(), ['msi fee00000 30', 'interrupt first']);
  assert.equal(processor.acknowledgePic(), 0x30);
  time.advance(period);
  assert.deepEqual(took().slice(0, 1), ['msi fee00000 30']);
});

test('a reset masks every input, ends the ticks, and nothing is asked for', () => {
  const { chip, initializePics, ports, processor, route, time, took } = rig();
  initializePics();
  const line = chip.line(10);
  line.set(true);
  route(10, 0x51 | LEVEL);
  ports.write(0x43, 1, 0x34);
  ports.write(0x40, 1, 0);
  ports.write(0x40, 1, 0x10);
  chip.reset();
  assert.deepEqual(took().at(-1), 'routes ');
  time.advance(1e9);
  line.set(true);
  assert.deepEqual(took(), []);
  assert.equal(processor.intrAsserted, false);
});

test('after its end no timer fires', () => {
  const { chip, ports, time, took, route } = rig();
  route(2, 0x30);
  for (const [port, value] of [
    [0x43, 0x34],
    [0x40, 0],
    [0x40, 0x10],
  ] as const)
    ports.write(port, 1, value);
  took();
  chip[Symbol.dispose]();
  time.advance(1e9);
  assert.deepEqual(took(), []);
});

test('the ports are claimed, all but those of the PM timer, which every vCPU has itself', () => {
  const { claimed } = rig();
  assert.deepEqual(
    claimed.toSorted((a, b) => a - b),
    [0x20, 0x40, 0x61, 0xa0, 0xf0, 0x4d0],
  );
});
