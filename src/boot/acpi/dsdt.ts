/**
 * The DSDT: what the machine's devices are and where, in AML. The PCI host bridge with its windows and interrupt routing,
 * the fixed ISA devices, the processors, and the way to soft off.
 *
 * PCI devices are not here, they are found by configuration cycles; virtio devices on MMIO are.
 *
 * @module
 */
import {
  GPE0_BYTES,
  GPE0_PORT,
  PCI_CONFIG_PORT,
  PCI_CONFIG_PORT_BYTES,
  PCI_BUSES,
  PCI_ECAM_BYTES,
  PCI_ECAM_START,
  PCI_LOW_MMIO_END,
  PCI_LOW_MMIO_START,
  PM1_SLP_TYP_S5,
  PM1A_EVENT_PORT,
  PM_TIMER_BYTES,
  PM_TIMER_PORT,
  pciIntxGsi,
  PVPANIC_PORT,
  RTC_IRQ,
  RTC_PORT,
  SERIAL_PORT_BYTES,
  SERIAL_PORTS,
  VIRTIO_MMIO_BYTES,
} from '../layout.ts';
import { concat } from '../table-writer.ts';
import {
  and,
  arg,
  createDWordField,
  type Data,
  device,
  eisaId,
  equal,
  ifThen,
  integer,
  local,
  method,
  name,
  notEqual,
  or,
  otherwise,
  packageOf,
  reference,
  returnValue,
  scope,
  store,
  string,
  type Term,
  uuid,
} from './aml.ts';
import {
  busNumbers,
  io,
  ioWindow,
  irq,
  levelInterrupt,
  memory32Fixed,
  memoryWindow32,
  memoryWindow64,
  resourceTemplate,
} from './resources.ts';
import { systemTable } from './sdt.ts';

/** 64-bit integers from revision 2 on. */
const DSDT_REVISION = 2;

const PCI_DEVICES = 32;
const PCI_PINS = 4;

/** A virtio device on MMIO. */
export interface VirtioMmioResource {
  /** Tells it from others; stays what it is when others come and go. */
  readonly slot: number;
  readonly address: number;
  readonly gsi: number;
}

export interface DsdtOptions {
  readonly vcpuCount: number;
  readonly virtioMmio?: readonly VirtioMmioResource[] | undefined;
  /** The 64-bit PCI window; `end` is the first byte behind it. Empty: no window. */
  readonly highMmio: { readonly start: number; readonly end: number };
}

/** _PRT (6.2.13): function 0xffff means all functions; source 0 means that the last element is a GSI. */
function pciRoutingTable(): Data {
  const routes: Data[] = [];
  for (let slot = 0; slot < PCI_DEVICES; slot++) {
    for (let pin = 0; pin < PCI_PINS; pin++) {
      const address = slot * 0x1_0000 + 0xffff;
      routes.push(packageOf(integer(address), integer(pin), integer(0), integer(pciIntxGsi(slot, pin))));
    }
  }
  return packageOf(...routes);
}

const PCI_OSC_UUID = '33DB4D5B-1FF7-401C-9657-7441C03DD766';
const OSC_UNRECOGNIZED_UUID = 1 << 2;
const OSC_UNRECOGNIZED_REVISION = 1 << 3;
const OSC_CAPABILITIES_MASKED = 1 << 4;
/** Native hot-plug, SHPC, PME, AER, capability structure: the guest may have them all (PCI Firmware 3.2, 4.5.1). */
const OSC_PCI_CONTROL_ALL = 0x1f;

/** _OSC (6.2.11; PCI Firmware 3.2, 4.5): grants the control that the guest asks for, as far as it exists. */
function pciOsc(): Term {
  const status = reference('CDW1');
  const control = reference('CDW3');
  return method(
    '_OSC',
    4,
    createDWordField(arg(3), 0, 'CDW1'),
    ifThen(
      equal(arg(0), uuid(PCI_OSC_UUID)),
      createDWordField(arg(3), 8, 'CDW3'),
      and(control, integer(OSC_PCI_CONTROL_ALL), local(0)),
      ifThen(notEqual(arg(1), integer(1)), or(status, integer(OSC_UNRECOGNIZED_REVISION), status)),
      ifThen(notEqual(control, local(0)), or(status, integer(OSC_CAPABILITIES_MASKED), status)),
      store(local(0), control),
    ),
    otherwise(or(status, integer(OSC_UNRECOGNIZED_UUID), status)),
    returnValue(arg(3)),
  );
}

function pciHostBridge({ highMmio }: DsdtOptions): Term {
  const configEnd = PCI_CONFIG_PORT + PCI_CONFIG_PORT_BYTES;
  const high = highMmio.end > highMmio.start ? [memoryWindow64(highMmio.start, highMmio.end - 1)] : [];
  const resources = resourceTemplate(
    busNumbers(0, PCI_BUSES - 1),
    io(PCI_CONFIG_PORT, PCI_CONFIG_PORT_BYTES),
    ioWindow(0, PCI_CONFIG_PORT - 1),
    ioWindow(configEnd, 0xffff),
    memoryWindow32(PCI_LOW_MMIO_START, PCI_LOW_MMIO_END - 1),
    ...high,
  );
  return device(
    'PCI0',
    name('_HID', eisaId('PNP0A08')),
    name('_CID', eisaId('PNP0A03')),
    name('_UID', integer(0)),
    name('_SEG', integer(0)),
    name('_BBN', integer(0)),
    name('_CRS', resources),
    name('_PRT', pciRoutingTable()),
    pciOsc(),
  );
}

/** What no driver claims but nothing else may use: ECAM, which MCFG describes, and the fixed ACPI ports. */
function motherboardResources(): Term {
  const pm1Bytes = PM_TIMER_PORT + PM_TIMER_BYTES - PM1A_EVENT_PORT;
  return device(
    'MBRD',
    name('_HID', eisaId('PNP0C02')),
    name('_UID', integer(0)),
    name(
      '_CRS',
      resourceTemplate(
        memory32Fixed(PCI_ECAM_START, PCI_ECAM_BYTES),
        io(PM1A_EVENT_PORT, pm1Bytes),
        io(GPE0_PORT, GPE0_BYTES),
      ),
    ),
  );
}

const serialPorts = (): Term[] =>
  SERIAL_PORTS.map(({ port, irq: line }, index) =>
    device(
      `COM${index + 1}`,
      name('_HID', eisaId('PNP0501')),
      name('_UID', integer(index + 1)),
      name('_DDN', string(`COM${index + 1}`)),
      name('_CRS', resourceTemplate(io(port, SERIAL_PORT_BYTES), irq(line))),
    ),
  );

const realTimeClock = (): Term =>
  device('RTC', name('_HID', eisaId('PNP0B00')), name('_CRS', resourceTemplate(io(RTC_PORT, 2), irq(RTC_IRQ))));

const PRESENT_ENABLED_FUNCTIONING = 0x0b;

/** QEMU's docs/specs/pvpanic: Linux finds the port by this identifier. */
const pvpanic = (): Term =>
  device(
    'PEVT',
    name('_HID', string('QEMU0001')),
    name('_STA', integer(PRESENT_ENABLED_FUNCTIONING)),
    name('_CRS', resourceTemplate(io(PVPANIC_PORT, 1))),
  );

/** Linux's virtio_mmio finds its devices by this identifier. */
const virtioMmio = (devices: readonly VirtioMmioResource[]): Term[] =>
  devices.map(({ slot, address, gsi }) =>
    device(
      `V${slot.toString(16).toUpperCase().padStart(3, '0')}`,
      name('_HID', string('LNRO0005')),
      name('_UID', integer(slot)),
      name('_CRS', resourceTemplate(memory32Fixed(address, VIRTIO_MMIO_BYTES), levelInterrupt(gsi))),
    ),
  );

/** One device per processor; _UID is the one of the MADT. */
const processors = (count: number): Term[] =>
  Array.from({ length: count }, (_, index) =>
    device(
      `C${index.toString(16).toUpperCase().padStart(3, '0')}`,
      name('_HID', string('ACPI0007')),
      name('_UID', integer(index)),
    ),
  );

/** \_S5 (7.4.2.6): the SLP_TYP values that switch the machine off. */
const softOff = (): Term =>
  name('\\_S5', packageOf(integer(PM1_SLP_TYP_S5), integer(PM1_SLP_TYP_S5), integer(0), integer(0)));

export function buildDsdt(options: DsdtOptions): Uint8Array {
  return systemTable(
    'DSDT',
    DSDT_REVISION,
    concat(
      softOff(),
      scope(
        '\\_SB',
        pciHostBridge(options),
        motherboardResources(),
        ...serialPorts(),
        realTimeClock(),
        pvpanic(),
        ...virtioMmio(options.virtioMmio ?? []),
        ...processors(options.vcpuCount),
      ),
    ),
  );
}
