/**
 * The header that all ACPI tables but RSDP and FACS share (ACPI 6.3, 5.2.6).
 *
 * @module
 */
import { checksum, TableWriter } from '../table-writer.ts';

const HEADER_BYTES = 36;
const CHECKSUM_OFFSET = 9;

/** Six characters. */
export const ACPI_OEM_ID = 'TYPVSR';
const OEM_TABLE_ID = 'TYPVISOR';
const OEM_REVISION = 1;
const CREATOR_ID = 'TYPV';
const CREATOR_REVISION = 1;

/** A table with its header; `body` starts at offset 36. The checksum is right as long as nobody changes the table. */
export function systemTable(signature: string, revision: number, body: Uint8Array): Uint8Array {
  const table = new TableWriter(HEADER_BYTES + body.length)
    .ascii(0, signature)
    .u32(4, HEADER_BYTES + body.length)
    .u8(8, revision)
    .ascii(10, ACPI_OEM_ID)
    .ascii(16, OEM_TABLE_ID)
    .u32(24, OEM_REVISION)
    .ascii(28, CREATOR_ID)
    .u32(32, CREATOR_REVISION)
    .copy(HEADER_BYTES, body);
  return table.u8(CHECKSUM_OFFSET, checksum(table.bytes)).bytes;
}
