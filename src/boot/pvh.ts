/**
 * The PVH entry of an ELF kernel (Xen docs/misc/pvh.pandoc; xen/include/public/arch-x86/hvm/start_info.h): 32-bit
 * protected mode at the address that the note XEN_ELFNOTE_PHYS32_ENTRY gives, EBX pointing to struct hvm_start_info.
 *
 * @module
 */
import { type GuestMemory, gpa } from '../memory/guest-memory.ts';
import type { ByteFile } from './byte-file.ts';
import { writeCommandLine } from './command-line.ts';
import { type ElfImage, isLoaded, loadSegments, readNotes } from './elf-image.ts';
import { protectedModeState } from './entry-state.ts';
import { loadInitrdHigh } from './initrd.ts';
import { KernelFormatError } from './kernel-format-error.ts';
import { BOOT_INFO_ADDRESS, BOOT_INFO_BYTES, INITRD_ADDR_MAX_32, INITRD_ADDR_MAX_64 } from './layout.ts';
import type { LoadedKernel, LoadRequest } from './load-request.ts';

const XEN_NOTE_NAME = 'Xen';
const XEN_ELFNOTE_PHYS32_ENTRY = 18;

const START_INFO_MAGIC = 0x336e_c578;
const START_INFO_VERSION = 1;
const START_INFO_BYTES = 56;
const MODULE_BYTES = 32;
const MEMMAP_ENTRY_BYTES = 24;

/** The PVH entry point of an ELF kernel; undefined when it has none. */
export function findPvhEntry(file: ByteFile, image: ElfImage): number | undefined {
  for (const note of readNotes(file, image)) {
    if (note.name !== XEN_NOTE_NAME || note.type !== XEN_ELFNOTE_PHYS32_ENTRY) continue;
    const bytes = note.descriptor.byteLength;
    if (bytes !== 4 && bytes !== 8) {
      throw new KernelFormatError(file.name, 'XEN_ELFNOTE_PHYS32_ENTRY size', `${bytes}`, 'is neither 4 nor 8 bytes');
    }
    const entry = note.descriptor.getUint32(0, true);
    const high = bytes === 8 ? note.descriptor.getUint32(4, true) : 0;
    if (high !== 0 || !isLoaded(image, entry)) {
      throw new KernelFormatError(
        file.name,
        'XEN_ELFNOTE_PHYS32_ENTRY',
        high * 2 ** 32 + entry,
        'lies in no PT_LOAD segment',
      );
    }
    return entry;
  }
  return undefined;
}

/** Loads a kernel and writes the start info; `entry` is what findPvhEntry gave. */
export function loadPvh(request: LoadRequest, image: ElfImage, entry: number): LoadedKernel {
  const { memory, kernel, progress } = request;
  const { end } = loadSegments(kernel, image, memory, progress);
  const addrMax = image.bits === 64 ? INITRD_ADDR_MAX_64 : INITRD_ADDR_MAX_32;
  const initrd = request.initrd && loadInitrdHigh(memory, request.initrd, { lowest: end, addrMax }, progress);

  memory.fill(gpa(BOOT_INFO_ADDRESS), BOOT_INFO_BYTES, 0);
  const modules = BOOT_INFO_ADDRESS + START_INFO_BYTES;
  const memmap = modules + MODULE_BYTES;
  const field32 = (offset: number, value: number): void => memory.writeU32(gpa(BOOT_INFO_ADDRESS + offset), value);
  const field64 = (offset: number, value: number): void =>
    memory.writeU64(gpa(BOOT_INFO_ADDRESS + offset), BigInt(value));
  field32(0, START_INFO_MAGIC);
  field32(4, START_INFO_VERSION);
  field32(8, 0); // flags: neither privileged nor the initial domain
  field32(12, initrd ? 1 : 0);
  field64(16, initrd ? modules : 0);
  field64(24, writeCommandLine(memory, request.commandLine));
  field64(32, request.rsdp);
  field64(40, memmap);
  field32(48, request.e820.length);
  if (initrd) {
    memory.writeU64(gpa(modules), BigInt(initrd.address));
    memory.writeU64(gpa(modules + 8), BigInt(initrd.bytes));
  }
  writeMemmap(memory, memmap, request);
  return { format: 'pvh', entry: protectedModeState(memory, entry, { rbx: BOOT_INFO_ADDRESS }) };
}

/** struct hvm_memmap_table_entry has the types of E820. */
function writeMemmap(memory: GuestMemory, address: number, { e820 }: LoadRequest): void {
  for (const [index, { address: start, bytes, type }] of e820.entries()) {
    const at = address + index * MEMMAP_ENTRY_BYTES;
    memory.writeU64(gpa(at), BigInt(start));
    memory.writeU64(gpa(at + 8), BigInt(bytes));
    memory.writeU32(gpa(at + 16), type);
  }
}
