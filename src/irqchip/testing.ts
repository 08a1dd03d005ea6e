/**
 * A machine of interrupt controllers for tests: a clock that stands until it is moved, the buses of one thread, and
 * a record of who was kicked.
 *
 * @module
 */
import { Bus } from '../bus/bus.ts';
import type { AccessWidth } from '../bus/bus-device.ts';
import { IrqChip } from './irqchip.ts';
import type { VcpuIrqchip } from './vcpu-irqchip.ts';

export interface TestMachine {
  readonly chip: IrqChip;
  readonly vcpus: readonly VcpuIrqchip[];
  /** vCPUs in the order in which they were kicked. */
  readonly kicks: number[];
  /** Nanoseconds on the machine clock; moving it back is not allowed. */
  now: number;
  /** Added to the clock to give each vCPU's TSC. */
  tscOffset: number;
  /** Moves the clock and polls every vCPU. */
  advance(nanoseconds: number): void;
  in(port: number, width?: AccessWidth): number;
  out(port: number, value: number, width?: AccessWidth): void;
  /** The IO-APIC's window. */
  readonly ports: Bus;
  readonly mmio: Bus;
  /** Registers of the IO-APIC behind its window. */
  ioapicRead(register: number): number;
  ioapicWrite(register: number, value: number): void;
  /** Programs a redirection table entry: low half and destination. */
  route(pin: number, low: number, destination?: number): void;
}

const IRQCHIP_BYTES = 131072;

export function testMachine(vcpuCount = 1): TestMachine {
  const buffer = new SharedArrayBuffer(IRQCHIP_BYTES);
  const kicks: number[] = [];
  const ports = new Bus();
  const mmio = new Bus();
  const chip = new IrqChip({
    buffer,
    map: { irqchip: 0, irqchipBytes: IRQCHIP_BYTES, vcpuCount },
    clock: { nanoseconds: () => machine.now },
    kick: (vcpu) => void kicks.push(vcpu),
    tscOffset: () => machine.tscOffset,
    physicalAddressBits: 40,
  });
  const machine: TestMachine = {
    chip,
    vcpus: Array.from({ length: vcpuCount }, (_, index) => chip.vcpu(index)),
    kicks,
    now: 1_000_000,
    tscOffset: 0,
    advance(nanoseconds) {
      machine.now += nanoseconds;
      for (const vcpu of machine.vcpus) vcpu.poll(machine.now);
    },
    in: (port, width = 1) => ports.read(port, width),
    out: (port, value, width = 1) => ports.write(port, width, value),
    ports,
    mmio,
    ioapicRead(register) {
      mmio.write(0xfec0_0000, 4, register);
      return mmio.read(0xfec0_0010, 4);
    },
    ioapicWrite(register, value) {
      mmio.write(0xfec0_0000, 4, register);
      mmio.write(0xfec0_0010, 4, value);
    },
    route(pin, low, destination = 0) {
      machine.ioapicWrite(0x11 + pin * 2, destination << 24);
      machine.ioapicWrite(0x10 + pin * 2, low);
    },
  };
  chip.initialize();
  chip.attach(ports, mmio);
  kicks.length = 0;
  return machine;
}

/** The 8259 pair as a PC's firmware and Linux set it up: vectors 30h and 38h, everything unmasked, cascade at 2. */
export function initializePics(machine: TestMachine, icw4 = 0x01): void {
  for (const [port, vectors, wiring] of [
    [0x20, 0x30, 0x04],
    [0xa0, 0x38, 0x02],
  ] as const) {
    machine.out(port, 0x11);
    machine.out(port + 1, vectors);
    machine.out(port + 1, wiring);
    machine.out(port + 1, icw4);
    machine.out(port + 1, 0x00);
  }
}

/** Software-enables a vCPU's local APIC with spurious vector FFh. */
export function enableApic(vcpu: VcpuIrqchip): void {
  vcpu.apicWrite(0xf0, 4, 0x1ff);
}
