/**
 * struct boot_params, the "zero page" (Linux Documentation/arch/x86/zero-page.rst), filled the way a boot loader does.
 *
 * @module
 */
import { type Gpa, type GuestMemory, gpa } from '../memory/guest-memory.ts';
import type { E820Entry } from './e820.ts';
import type { LoadedInitrd } from './initrd.ts';
import { ZERO_PAGE_ADDRESS, ZERO_PAGE_BYTES } from './layout.ts';

/** Offsets into boot_params; those from 0x1f1 to 0x290 are the setup header and the same in a bzImage. */
export const BootParams = {
  acpi_rsdp_addr: 0x070,
  ext_ramdisk_image: 0x0c0,
  ext_ramdisk_size: 0x0c4,
  ext_cmd_line_ptr: 0x0c8,
  e820_entries: 0x1e8,
  setup_sects: 0x1f1,
  syssize: 0x1f4,
  boot_flag: 0x1fe,
  jump: 0x200,
  header: 0x202,
  version: 0x206,
  type_of_loader: 0x210,
  loadflags: 0x211,
  code32_start: 0x214,
  ramdisk_image: 0x218,
  ramdisk_size: 0x21c,
  cmd_line_ptr: 0x228,
  initrd_addr_max: 0x22c,
  kernel_alignment: 0x230,
  relocatable_kernel: 0x234,
  xloadflags: 0x236,
  cmdline_size: 0x238,
  setup_data: 0x250,
  pref_address: 0x258,
  init_size: 0x260,
  setup_header_limit: 0x290,
  e820_table: 0x2d0,
} as const;

export const BOOT_FLAG_MAGIC = 0xaa55;
/** "HdrS". */
export const HEADER_MAGIC = 0x5372_6448;
/** type_of_loader of a loader without a number of its own. */
const LOADER_UNDEFINED = 0xff;
const LOADED_HIGH = 1 << 0;
const E820_MAX_ENTRIES = 128;
const E820_ENTRY_BYTES = 20;
/** What an ELF kernel, which brings no header, is told: the protocol that this loader speaks. */
const PROTOCOL_VERSION = 0x020d;
const KERNEL_ALIGNMENT = 0x100_0000;

export interface ZeroPage {
  /** Setup header of a bzImage, from offset 0x1f1; without one the page describes an ELF kernel. */
  readonly setupHeader?: Uint8Array | undefined;
  readonly commandLine: number;
  readonly initrd?: LoadedInitrd | undefined;
  readonly e820: readonly E820Entry[];
  /** Head of the setup_data chain, or 0. */
  readonly setupData: number;
  readonly rsdp: number;
}

/** Writes the zero page and returns its address, which the kernel wants in RSI. */
export function writeZeroPage(memory: GuestMemory, page: ZeroPage): number {
  const at = (offset: number): Gpa => gpa(ZERO_PAGE_ADDRESS + offset);
  // All of it, also the sentinel at 0x1ef: a kernel that finds it set takes the loader for one that copies too much.
  memory.fill(at(0), ZERO_PAGE_BYTES, 0);
  if (page.setupHeader) {
    memory.write(at(BootParams.setup_sects), page.setupHeader);
  } else {
    memory.writeU16(at(BootParams.boot_flag), BOOT_FLAG_MAGIC);
    memory.writeU32(at(BootParams.header), HEADER_MAGIC);
    memory.writeU16(at(BootParams.version), PROTOCOL_VERSION);
    memory.writeU8(at(BootParams.loadflags), LOADED_HIGH);
    memory.writeU32(at(BootParams.kernel_alignment), KERNEL_ALIGNMENT);
  }
  memory.writeU8(at(BootParams.type_of_loader), LOADER_UNDEFINED);
  memory.writeU32(at(BootParams.cmd_line_ptr), page.commandLine);
  memory.writeU32(at(BootParams.ramdisk_image), page.initrd?.address ?? 0);
  memory.writeU32(at(BootParams.ramdisk_size), page.initrd?.bytes ?? 0);
  memory.writeU64(at(BootParams.setup_data), BigInt(page.setupData));
  memory.writeU64(at(BootParams.acpi_rsdp_addr), BigInt(page.rsdp));
  const entries = page.e820.slice(0, E820_MAX_ENTRIES);
  memory.writeU8(at(BootParams.e820_entries), entries.length);
  for (const [index, entry] of entries.entries()) {
    const offset = BootParams.e820_table + index * E820_ENTRY_BYTES;
    memory.writeU64(at(offset), BigInt(entry.address));
    memory.writeU64(at(offset + 8), BigInt(entry.bytes));
    memory.writeU32(at(offset + 16), entry.type);
  }
  return ZERO_PAGE_ADDRESS;
}
