/**
 * The platform devices of a PC at their usual places, put together for the VMM thread. The interrupt controllers and
 * timers run on the vCPU threads (irqchip/) and have their own ports.
 *
 *     ports                 interrupt   device
 *     60h, 64h              1           i8042
 *     70h-71h               8           CMOS clock and memory
 *     80h                               progress codes: unclaimed, so that writes cost nothing
 *     E9h, 402h                         debug consoles
 *     2E8h-2EFh             3           COM4
 *     2F8h-2FFh             3           COM2
 *     3E8h-3EFh             4           COM3
 *     3F8h-3FFh             4           COM1
 *     505h                              pvpanic
 *     600h-603h             5 (SCI)     ACPI PM1a event block
 *     604h-605h                         ACPI PM1a control block
 *     620h-623h             5 (SCI)     ACPI GPE0 block
 *     CF8h-CFFh                         PCI configuration; CF9h reset control
 *     F4h by choice                     debug exit, 4 ports
 *     F4000000h, 64 MiB                 PCI configuration, memory-mapped
 *
 * The numbers repeat boot/layout.ts, which tells the guest about them; platform.test.ts compares the two.
 *
 * @module
 */
import { Bus, byteDevice, type ByteRegisters } from '../../bus/bus.ts';
import type { BusDevice, InterruptLine } from '../../bus/bus-device.ts';
import { type ByteSink, type ByteSource, emptySource, nullSink } from '../../bus/byte-stream.ts';
import type { PciConfigTable } from '../../bus/pci-config.ts';
import type { PortTable } from '../../bus/port-table.ts';
import type { Clock, WallClock } from '../../util/clock.ts';
import type { Timers } from '../../util/timers.ts';
import { hostBridge } from '../pci/host-bridge.ts';
import { PciRoot } from '../pci/root.ts';
import { AcpiPm } from './acpi-pm.ts';
import { Cmos } from './cmos/device.ts';
import { DEBUG_EXIT_PORTS, debugExit } from './debug-exit.ts';
import { DebugPort } from './debug-port.ts';
import { I8042 } from './i8042.ts';
import type { MachineEvents } from './machine-events.ts';
import { POST_PORT, postPort } from './post-port.ts';
import { Pvpanic } from './pvpanic.ts';
import { ResetPort } from './reset-port.ts';
import { UART_PORTS } from './uart16550/defs.ts';
import { Uart16550 } from './uart16550/device.ts';

export const KEYBOARD_IRQ = 1;
export const RTC_IRQ = 8;
export const SCI_IRQ = 5;
export const SERIAL_PORTS: readonly { readonly port: number; readonly irq: number }[] = [
  { port: 0x3f8, irq: 4 },
  { port: 0x2f8, irq: 3 },
  { port: 0x3e8, irq: 4 },
  { port: 0x2e8, irq: 3 },
];
export const PVPANIC_PORT = 0x505;
export const PM1A_EVENT_PORT = 0x600;
export const PM1A_CONTROL_PORT = 0x604;
export const GPE0_PORT = 0x620;
export const SLEEP_TYPE_S5 = 5;
export const ECAM_ADDRESS = 0xf400_0000;
export const ECAM_BYTES = 0x400_0000;

/** The host's end of one serial port. */
export interface SerialBackend {
  readonly input?: ByteSource;
  readonly output?: ByteSink;
}

export interface PlatformOptions {
  readonly ports: PortTable;
  /** Where vCPUs look at PCI configuration. */
  readonly pciConfig?: PciConfigTable;
  readonly clock: Clock;
  readonly wallClock: WallClock;
  readonly timers: Timers;
  /** A new source on a global system interrupt: `IrqChip.line`. */
  readonly line: (gsi: number) => InterruptLine;
  readonly events: MachineEvents;
  /** Machine time at which the PM timer stood at zero: `IrqChip.timeOrigin`. */
  readonly pmTimerOrigin: () => number;
  readonly ramBelow4GiB: number;
  readonly ramAbove4GiB?: number;
  readonly vcpuCount: number;
  /** COM1..COM4; a port without an entry is there, and connected to nothing. */
  readonly serial?: readonly (SerialBackend | undefined)[];
  /** Where the debug consoles write to. */
  readonly debug?: ByteSink;
  /** First port of the debug exit device; none when left out. */
  readonly debugExitPort?: number;
}

/** The state of all platform devices, as plain data. */
export interface PlatformState {
  readonly version: 1;
  readonly serial: readonly ReturnType<Uart16550['save']>[];
  readonly cmos: ReturnType<Cmos['save']>;
  readonly i8042: ReturnType<I8042['save']>;
  readonly acpiPm: ReturnType<AcpiPm['save']>;
  readonly resetPort: number;
  readonly pciAddress: number;
  readonly hostBridge: readonly number[];
}

export interface Platform {
  readonly portBus: Bus;
  readonly mmioBus: Bus;
  readonly pci: PciRoot;
  readonly serial: readonly Uart16550[];
  /** The guest sees its power button pressed. */
  pressPowerButton(): void;
  /** Power-up state of every device, as a reset of the machine leaves it. */
  reset(): void;
  save(): PlatformState;
  /** @throws Error when the state is of another version. */
  restore(state: PlatformState): void;
}

/** @throws RangeError when the debug exit port lies on another device. */
export function createPlatform(options: PlatformOptions): Platform {
  const { ports, clock, timers, events, line } = options;
  const portBus = new Bus();
  const mmioBus = new Bus();
  const attach = (name: string, port: number, count: number, device: BusDevice): void => {
    portBus.add(name, port, count, device);
    ports.claim(port, count);
  };
  const attachBytes = (name: string, port: number, count: number, registers: ByteRegisters): void =>
    attach(name, port, count, byteDevice(registers));

  const serial = SERIAL_PORTS.map(({ port, irq }, index) => {
    ports.claim(port, UART_PORTS);
    const backend = options.serial?.[index];
    const uart = new Uart16550({
      input: backend?.input ?? emptySource,
      output: backend?.output ?? nullSink,
      line: line(irq),
      clock,
      timers,
      shortcuts: {
        shadow: (register, value, ordered) =>
          value === undefined ? ports.unshadow(port + register) : ports.shadow(port + register, value, ordered),
        post: (register, allowed) => ports.post(port + register, allowed),
      },
    });
    portBus.add(`COM${index + 1}`, port, UART_PORTS, byteDevice(uart));
    return uart;
  });

  const i8042 = new I8042(events, line(KEYBOARD_IRQ));
  attachBytes('i8042 data', 0x60, 1, i8042.data);
  attachBytes('i8042 command', 0x64, 1, i8042.command);

  const { wallClock, ramBelow4GiB, ramAbove4GiB = 0, vcpuCount } = options;
  const rtcLine = line(RTC_IRQ);
  const cmos = new Cmos({ wallClock, clock, timers, line: rtcLine, ramBelow4GiB, ramAbove4GiB, vcpuCount });
  attachBytes('CMOS', 0x70, 2, cmos);
  ports.post(0x70, true);

  const debug = new DebugPort(options.debug ?? nullSink);
  for (const port of [0xe9, 0x402]) {
    attachBytes(`debug console ${port.toString(16)}h`, port, 1, debug);
    ports.shadow(port, debug.readByte());
    ports.post(port, true);
  }

  // On the bus only: in the port table it stays unclaimed.
  portBus.add('progress codes', POST_PORT, 1, byteDevice(postPort));

  attachBytes('pvpanic', PVPANIC_PORT, 1, new Pvpanic(events));

  const { pmTimerOrigin } = options;
  const acpiPm = new AcpiPm({ sci: line(SCI_IRQ), events, sleepTypeS5: SLEEP_TYPE_S5, clock, timers, pmTimerOrigin });
  attachBytes('ACPI PM1a event', PM1A_EVENT_PORT, 4, acpiPm.events);
  attachBytes('ACPI PM1a control', PM1A_CONTROL_PORT, 2, acpiPm.control);
  attachBytes('ACPI GPE0', GPE0_PORT, 4, acpiPm.gpe0);

  const resetPort = new ResetPort(events);
  const pci = new PciRoot(options.pciConfig);
  const bridge = hostBridge();
  const bridgeAtPowerUp = bridge.save();
  pci.add(0, 0, 0, bridge);
  attach('PCI configuration address', 0xcf8, 4, pci.addressPorts(resetPort));
  attach('PCI configuration data', 0xcfc, 4, pci.dataPorts);
  if (options.pciConfig !== undefined) ports.pci(0xcf8, 0xcfc);
  mmioBus.add('PCI ECAM', ECAM_ADDRESS, ECAM_BYTES, pci.ecam);

  if (options.debugExitPort !== undefined) {
    attach('debug exit', options.debugExitPort, DEBUG_EXIT_PORTS, debugExit(events));
  }

  return {
    portBus,
    mmioBus,
    pci,
    serial,
    pressPowerButton: () => acpiPm.pressPowerButton(),
    reset() {
      for (const uart of serial) uart.reset();
      i8042.reset();
      cmos.reset();
      acpiPm.reset();
      resetPort.reset();
      pci.reset();
      bridge.restore(bridgeAtPowerUp);
    },
    save: () => ({
      version: 1,
      serial: serial.map((uart) => uart.save()),
      cmos: cmos.save(),
      i8042: i8042.save(),
      acpiPm: acpiPm.save(),
      resetPort: resetPort.save(),
      pciAddress: pci.save(),
      hostBridge: [...bridge.save()],
    }),
    restore(state) {
      if (state.version !== 1) throw new Error(`platform state has version ${String(state.version)}, not 1`);
      serial.forEach((uart, index) => {
        const saved = state.serial[index];
        if (saved !== undefined) uart.restore(saved);
      });
      cmos.restore(state.cmos);
      i8042.restore(state.i8042);
      acpiPm.restore(state.acpiPm);
      resetPort.restore(state.resetPort);
      pci.restore(state.pciAddress);
      bridge.restore(Uint8Array.from(state.hostBridge));
    },
  };
}
