/**
 * MADT and MCFG (ACPI 6.3, 5.2.12; PCI Firmware 3.2, 4.1.2): the interrupt controllers and PCI's configuration space.
 *
 * @module
 */
import {
  ACPI_SCI_IRQ,
  IOAPIC_ADDRESS,
  IOAPIC_ID,
  LOCAL_APIC_ADDRESS,
  PCI_BUSES,
  PCI_ECAM_START,
  PIT_GSI,
  PIT_IRQ,
} from '../layout.ts';
import { concat, TableWriter } from '../table-writer.ts';
import { systemTable } from './sdt.ts';

const MADT_REVISION = 5;
/** The machine also has the 8259 pair. */
const PCAT_COMPAT = 1;

/** Interrupt controller structure types (table 5-45). */
const LOCAL_APIC = 0;
const IO_APIC = 1;
const INTERRUPT_SOURCE_OVERRIDE = 2;
const LOCAL_APIC_NMI = 4;
const LOCAL_X2APIC = 9;
const LOCAL_X2APIC_NMI = 10;

const ENABLED = 1;
/** APIC ID 255 is the broadcast address of xAPIC: from there on only x2APIC reaches a processor. */
const FIRST_X2APIC_ID = 255;
/** MPS INTI flags: as the bus has it, or level-triggered and active low. */
const INTI_CONFORMS = 0x0;
const INTI_LEVEL_ACTIVE_LOW = 0xf;
const ISA_BUS = 0;
const LINT1 = 1;

const structure = (type: number, length: number): TableWriter => new TableWriter(length).u8(0, type).u8(1, length);

const localApic = (id: number): Uint8Array => structure(LOCAL_APIC, 8).u8(2, id).u8(3, id).u32(4, ENABLED).bytes;

const localX2apic = (id: number): Uint8Array =>
  structure(LOCAL_X2APIC, 16).u32(4, id).u32(8, ENABLED).u32(12, id).bytes;

const sourceOverride = (irq: number, gsi: number, flags: number): Uint8Array =>
  structure(INTERRUPT_SOURCE_OVERRIDE, 10).u8(2, ISA_BUS).u8(3, irq).u32(4, gsi).u16(8, flags).bytes;

/** APIC ID and ACPI processor UID of each processor are its index. */
export function buildMadt(vcpuCount: number): Uint8Array {
  const head = new TableWriter(8).u32(0, LOCAL_APIC_ADDRESS).u32(4, PCAT_COMPAT).bytes;
  const cpus = Array.from({ length: vcpuCount }, (_, id) => (id < FIRST_X2APIC_ID ? localApic(id) : localX2apic(id)));
  const body = [
    structure(IO_APIC, 12).u8(2, IOAPIC_ID).u32(4, IOAPIC_ADDRESS).u32(8, 0).bytes,
    sourceOverride(PIT_IRQ, PIT_GSI, INTI_CONFORMS),
    sourceOverride(ACPI_SCI_IRQ, ACPI_SCI_IRQ, INTI_LEVEL_ACTIVE_LOW),
    structure(LOCAL_APIC_NMI, 6).u8(2, 0xff).u16(3, INTI_CONFORMS).u8(5, LINT1).bytes,
  ];
  if (vcpuCount > FIRST_X2APIC_ID) {
    body.push(structure(LOCAL_X2APIC_NMI, 12).u16(2, INTI_CONFORMS).u32(4, 0xffff_ffff).u8(8, LINT1).bytes);
  }
  return systemTable('APIC', MADT_REVISION, concat(head, ...cpus, ...body));
}

const MCFG_REVISION = 1;

export function buildMcfg(): Uint8Array {
  // Eight reserved bytes, then one allocation: base, segment group, first and last bus, four reserved.
  const body = new TableWriter(24)
    .u64(8, PCI_ECAM_START)
    .u16(16, 0)
    .u8(18, 0)
    .u8(19, PCI_BUSES - 1);
  return systemTable('MCFG', MCFG_REVISION, body.bytes);
}
