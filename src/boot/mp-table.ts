/**
 * The MP configuration table (Intel MultiProcessor Specification 1.4, chapter 4), for guests that do not read ACPI.
 *
 * Lists what fits between 0x9e800 and the floating pointer: all processors that an 8-bit APIC ID can name, then PCI interrupt
 * routes while there is room (guests with more than some 240 processors use ACPI).
 *
 * @module
 */
import { type GuestMemory, gpa } from '../memory/guest-memory.ts';
import {
  ACPI_SCI_IRQ,
  IOAPIC_ADDRESS,
  IOAPIC_ID,
  LOCAL_APIC_ADDRESS,
  MP_POINTER_ADDRESS,
  MP_POINTER_BYTES,
  MP_TABLE_ADDRESS,
  PIT_GSI,
  PIT_IRQ,
  pciIntxGsi,
} from './layout.ts';
import { checksum, concat, TableWriter } from './table-writer.ts';

const SPEC_REVISION = 4;
const HEADER_BYTES = 44;
const APIC_VERSION = 0x14;
const IOAPIC_VERSION = 0x11;

const ENTRY_PROCESSOR = 0;
const ENTRY_BUS = 1;
const ENTRY_IOAPIC = 2;
const ENTRY_IO_INTERRUPT = 3;
const ENTRY_LOCAL_INTERRUPT = 4;

const ENABLED = 1;
const BOOT_PROCESSOR = 2;
const INTERRUPT_INT = 0;
const INTERRUPT_NMI = 1;
const INTERRUPT_EXTINT = 3;
/** Trigger mode and polarity: as the bus has it, or level and active low. */
const CONFORMS = 0x0;
const LEVEL_ACTIVE_LOW = 0xf;
const ALL_LOCAL_APICS = 0xff;

/** PCI buses carry their own number as their ID, so ISA comes behind the only one. */
const PCI_BUS = 0;
const ISA_BUS = 1;
const ISA_IRQS = 16;
/** IRQ 2 is the cascade of the 8259 pair: no line of its own. */
const CASCADE_IRQ = 2;
const PCI_DEVICES = 32;
const PCI_PINS = 4;
/** 255 is the broadcast address. */
const MAX_PROCESSORS = 255;

/** CPUID leaf 1 of a processor that has an APIC and an FPU: old guests look here for them. */
const CPU_SIGNATURE = 0x600;
const FEATURE_FPU_APIC = (1 << 0) | (1 << 9);

function processor(id: number): Uint8Array {
  return new TableWriter(20)
    .u8(0, ENTRY_PROCESSOR)
    .u8(1, id)
    .u8(2, APIC_VERSION)
    .u8(3, id === 0 ? ENABLED | BOOT_PROCESSOR : ENABLED)
    .u32(4, CPU_SIGNATURE)
    .u32(8, FEATURE_FPU_APIC).bytes;
}

const bus = (id: number, type: string): Uint8Array =>
  new TableWriter(8).u8(0, ENTRY_BUS).u8(1, id).ascii(2, type.padEnd(6)).bytes;

const ioApic = (): Uint8Array =>
  new TableWriter(8).u8(0, ENTRY_IOAPIC).u8(1, IOAPIC_ID).u8(2, IOAPIC_VERSION).u8(3, ENABLED).u32(4, IOAPIC_ADDRESS)
    .bytes;

/** I/O and local interrupt entries have one layout: type, flags, source bus and IRQ, destination APIC and pin. */
function interrupt(
  entry: number,
  type: number,
  flags: number,
  sourceBus: number,
  irq: number,
  apic: number,
  pin: number,
): Uint8Array {
  return new TableWriter(8).u8(0, entry).u8(1, type).u16(2, flags).u8(4, sourceBus).u8(5, irq).u8(6, apic).u8(7, pin)
    .bytes;
}

const isaInterrupt = (irq: number): Uint8Array =>
  interrupt(
    ENTRY_IO_INTERRUPT,
    INTERRUPT_INT,
    irq === ACPI_SCI_IRQ ? LEVEL_ACTIVE_LOW : CONFORMS,
    ISA_BUS,
    irq,
    IOAPIC_ID,
    irq === PIT_IRQ ? PIT_GSI : irq,
  );

const pciInterrupt = (device: number, pin: number): Uint8Array =>
  interrupt(
    ENTRY_IO_INTERRUPT,
    INTERRUPT_INT,
    LEVEL_ACTIVE_LOW,
    PCI_BUS,
    (device << 2) | pin,
    IOAPIC_ID,
    pciIntxGsi(device, pin),
  );

const localInterrupt = (type: number, pin: number): Uint8Array =>
  interrupt(ENTRY_LOCAL_INTERRUPT, type, CONFORMS, ISA_BUS, 0, ALL_LOCAL_APICS, pin);

/** The entries in the order of their types, as the specification demands. */
function mpEntries(vcpuCount: number): Uint8Array[] {
  const isaIrqs = Array.from({ length: ISA_IRQS }, (_, irq) => irq).filter((irq) => irq !== CASCADE_IRQ);
  const before = [
    ...Array.from({ length: Math.min(vcpuCount, MAX_PROCESSORS) }, (_, id) => processor(id)),
    bus(PCI_BUS, 'PCI'),
    bus(ISA_BUS, 'ISA'),
    ioApic(),
    ...isaIrqs.map(isaInterrupt),
  ];
  const after = [localInterrupt(INTERRUPT_EXTINT, 0), localInterrupt(INTERRUPT_NMI, 1)];
  const used = HEADER_BYTES + [...before, ...after].reduce((sum, entry) => sum + entry.length, 0);
  const room = Math.floor((MP_POINTER_ADDRESS - MP_TABLE_ADDRESS - used) / 8);
  const routes = Array.from({ length: PCI_DEVICES * PCI_PINS }, (_, i) => pciInterrupt(i >> 2, i & 3)).slice(0, room);
  return [...before, ...routes, ...after];
}

/** Writes the table and its floating pointer structure (4.1), which the guest finds below 640 KiB. */
export function writeMpTable(memory: GuestMemory, vcpuCount: number): void {
  const entries = mpEntries(vcpuCount);
  const body = concat(...entries);
  const table = new TableWriter(HEADER_BYTES + body.length)
    .ascii(0, 'PCMP')
    .u16(4, HEADER_BYTES + body.length)
    .u8(6, SPEC_REVISION)
    .ascii(8, 'TYPVISOR')
    .ascii(16, 'TYPERVISOR'.padEnd(12))
    .u16(34, entries.length)
    .u32(36, LOCAL_APIC_ADDRESS)
    .copy(HEADER_BYTES, body);
  table.u8(7, checksum(table.bytes));
  const pointer = new TableWriter(MP_POINTER_BYTES)
    .ascii(0, '_MP_')
    .u32(4, MP_TABLE_ADDRESS)
    .u8(8, 1) // length in paragraphs
    .u8(9, SPEC_REVISION);
  pointer.u8(10, checksum(pointer.bytes));
  memory.fill(gpa(MP_TABLE_ADDRESS), MP_POINTER_ADDRESS - MP_TABLE_ADDRESS, 0);
  memory.write(gpa(MP_TABLE_ADDRESS), table.bytes);
  memory.write(gpa(MP_POINTER_ADDRESS), pointer.bytes);
}
