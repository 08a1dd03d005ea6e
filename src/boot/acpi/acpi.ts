/**
 * All ACPI tables of the machine, laid out in the BIOS area: RSDP first, where scanning guests look too.
 *
 *     0xe0000  RSDP, FACS (64-byte aligned), DSDT, FADT, MADT, MCFG, RSDT, XSDT
 *
 * @module
 */
import { type GuestMemory, gpa } from '../../memory/guest-memory.ts';
import { ACPI_ADDRESS, ACPI_END, pciHighMmio } from '../layout.ts';
import { checksum, concat, littleEndian, TableWriter } from '../table-writer.ts';
import { buildDsdt, type VirtioMmioResource } from './dsdt.ts';
import { buildFacs, buildFadt } from './fadt.ts';
import { buildMadt, buildMcfg } from './madt.ts';
import { ACPI_OEM_ID, systemTable } from './sdt.ts';

const RSDP_BYTES = 36;
const RSDP_V1_BYTES = 20;
const RSDP_REVISION = 2;
const RSDT_REVISION = 1;
const XSDT_REVISION = 1;
const ALIGNMENT = 16;
const FACS_ALIGNMENT = 64;

export interface AcpiOptions {
  /** What the 64-bit PCI window lies behind, persistent memory counted as RAM. */
  readonly ramBytes: number;
  readonly vcpuCount: number;
  /** MAXPHYADDR of the processor: the 64-bit PCI window ends there. */
  readonly physicalAddressBits: number;
  readonly virtioMmio?: readonly VirtioMmioResource[] | undefined;
}

export interface AcpiTable {
  readonly address: number;
  readonly bytes: Uint8Array;
}

/** RSDP (5.2.5.3): the old checksum over the first 20 bytes, the extended one over all. */
function buildRsdp(rsdt: number, xsdt: number): Uint8Array {
  const rsdp = new TableWriter(RSDP_BYTES)
    .ascii(0, 'RSD PTR ')
    .ascii(9, ACPI_OEM_ID)
    .u8(15, RSDP_REVISION)
    .u32(16, rsdt)
    .u32(20, RSDP_BYTES)
    .u64(24, xsdt);
  rsdp.u8(8, checksum(rsdp.bytes.subarray(0, RSDP_V1_BYTES)));
  return rsdp.u8(32, checksum(rsdp.bytes)).bytes;
}

/** Builds all tables, RSDP first, with their guest-physical addresses. Throws RangeError when they exceed their 64 KiB. */
export function buildAcpiTables({ ramBytes, vcpuCount, physicalAddressBits, virtioMmio }: AcpiOptions): AcpiTable[] {
  let free = ACPI_ADDRESS;
  const reserve = (bytes: number, alignment: number = ALIGNMENT): number => {
    const address = Math.ceil(free / alignment) * alignment;
    free = address + bytes;
    if (free > ACPI_END) throw new RangeError(`ACPI tables for ${vcpuCount} processors exceed 64 KiB`);
    return address;
  };
  const place = (bytes: Uint8Array, alignment?: number): AcpiTable => ({
    address: reserve(bytes.length, alignment),
    bytes,
  });

  const rsdpAddress = reserve(RSDP_BYTES);
  const facs = place(buildFacs(), FACS_ALIGNMENT);
  const dsdt = place(buildDsdt({ vcpuCount, virtioMmio, highMmio: pciHighMmio(ramBytes, physicalAddressBits) }));
  const tables = [
    place(buildFadt({ facs: facs.address, dsdt: dsdt.address })),
    place(buildMadt(vcpuCount)),
    place(buildMcfg()),
  ];
  const pointers = (bytes: number): Uint8Array => concat(...tables.map(({ address }) => littleEndian(address, bytes)));
  const rsdt = place(systemTable('RSDT', RSDT_REVISION, pointers(4)));
  const xsdt = place(systemTable('XSDT', XSDT_REVISION, pointers(8)));
  const rsdp = { address: rsdpAddress, bytes: buildRsdp(rsdt.address, xsdt.address) };
  return [rsdp, facs, dsdt, ...tables, rsdt, xsdt];
}

/** Writes all tables into guest memory and returns the address of the RSDP. */
export function writeAcpiTables(memory: GuestMemory, options: AcpiOptions): number {
  const tables = buildAcpiTables(options);
  memory.fill(gpa(ACPI_ADDRESS), ACPI_END - ACPI_ADDRESS, 0);
  for (const { address, bytes } of tables) memory.write(gpa(address), bytes);
  return ACPI_ADDRESS;
}
