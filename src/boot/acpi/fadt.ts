/**
 * FADT and FACS (ACPI 6.3, 5.2.9 and 5.2.10): where the fixed hardware is and what it can do.
 *
 * @module
 */
import {
  ACPI_SCI_IRQ,
  GPE0_BYTES,
  GPE0_PORT,
  PM1A_CONTROL_BYTES,
  PM1A_CONTROL_PORT,
  PM1A_EVENT_BYTES,
  PM1A_EVENT_PORT,
  PM_TIMER_BYTES,
  PM_TIMER_PORT,
  RESET_PORT,
  RESET_VALUE,
  RTC_CENTURY_INDEX,
} from '../layout.ts';
import { TableWriter } from '../table-writer.ts';
import { systemTable } from './sdt.ts';

const FADT_REVISION = 6;
const FADT_MINOR_REVISION = 3;
const FADT_BYTES = 276;
const HEADER_BYTES = 36;

/** Preferred_PM_Profile: enterprise server, for which no battery or lid is expected. */
const PROFILE_ENTERPRISE_SERVER = 4;

/** IAPC_BOOT_ARCH (5.2.9.3). No 8042 bit: as crosvm, so that no guest spends its time probing for a keyboard. */
const VGA_NOT_PRESENT = 1 << 2;

/** Fixed feature flags (table 5-35). The power button is a fixed one: its bit 4 stays clear. */
const WBINVD = 1 << 0;
const PROC_C1 = 1 << 2;
const SLP_BUTTON_ABSENT = 1 << 5;
const FIX_RTC_ABSENT = 1 << 6;
const TMR_VAL_EXT = 1 << 8;
const RESET_REG_SUP = 1 << 10;

/** Latencies that say "no C2, no C3". */
const NO_C2_LATENCY = 101;
const NO_C3_LATENCY = 1001;

/** Generic Address Structure (5.2.3.2) in system I/O space, accessed in units of `accessBytes`. */
function ioRegister(table: TableWriter, offset: number, port: number, bytes: number, accessBytes: 1 | 2 | 4): void {
  const SYSTEM_IO = 1;
  const accessSize = { 1: 1, 2: 2, 4: 3 }[accessBytes];
  table
    .u8(offset, SYSTEM_IO)
    .u8(offset + 1, bytes * 8)
    .u8(offset + 2, 0)
    .u8(offset + 3, accessSize);
  table.u64(offset + 4, port);
}

/** `facs` and `dsdt` are guest-physical addresses below 4 GiB. */
export function buildFadt({ facs, dsdt }: { readonly facs: number; readonly dsdt: number }): Uint8Array {
  const fadt = new TableWriter(FADT_BYTES)
    .u32(36, facs) // FIRMWARE_CTRL
    .u32(40, dsdt) // DSDT
    .u8(45, PROFILE_ENTERPRISE_SERVER)
    .u16(46, ACPI_SCI_IRQ) // SCI_INT
    // No SMI_CMD at 48: the machine is in ACPI mode from the start.
    .u32(56, PM1A_EVENT_PORT)
    .u32(64, PM1A_CONTROL_PORT)
    .u32(76, PM_TIMER_PORT)
    .u32(80, GPE0_PORT)
    .u8(88, PM1A_EVENT_BYTES)
    .u8(89, PM1A_CONTROL_BYTES)
    .u8(91, PM_TIMER_BYTES)
    .u8(92, GPE0_BYTES)
    .u16(96, NO_C2_LATENCY) // P_LVL2_LAT
    .u16(98, NO_C3_LATENCY) // P_LVL3_LAT
    .u8(108, RTC_CENTURY_INDEX)
    .u16(109, VGA_NOT_PRESENT) // IAPC_BOOT_ARCH
    .u32(112, WBINVD | PROC_C1 | SLP_BUTTON_ABSENT | FIX_RTC_ABSENT | TMR_VAL_EXT | RESET_REG_SUP)
    .u8(128, RESET_VALUE)
    .u8(131, FADT_MINOR_REVISION)
    .u64(140, dsdt) // X_DSDT; X_FIRMWARE_CTRL stays 0, for FIRMWARE_CTRL says it
    .ascii(268, 'TYPVISOR'); // Hypervisor Vendor Identity
  ioRegister(fadt, 116, RESET_PORT, 1, 1);
  ioRegister(fadt, 148, PM1A_EVENT_PORT, PM1A_EVENT_BYTES, 2);
  ioRegister(fadt, 172, PM1A_CONTROL_PORT, PM1A_CONTROL_BYTES, 2);
  ioRegister(fadt, 208, PM_TIMER_PORT, PM_TIMER_BYTES, 4);
  ioRegister(fadt, 220, GPE0_PORT, GPE0_BYTES, 1);
  return systemTable('FACP', FADT_REVISION, fadt.bytes.subarray(HEADER_BYTES));
}

const FACS_BYTES = 64;
const FACS_VERSION = 2;

/** FACS: no checksum, no standard header, 64-byte aligned. The guest writes into it (global lock, waking vector). */
export function buildFacs(): Uint8Array {
  return new TableWriter(FACS_BYTES).ascii(0, 'FACS').u32(4, FACS_BYTES).u8(32, FACS_VERSION).bytes;
}
