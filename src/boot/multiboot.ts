/**
 * Multiboot 1 (Multiboot Specification 0.6.96): kernels as ELF files, or flat images whose header gives the addresses (the
 * "a.out kludge"). The initrd becomes the one module, right behind the kernel.
 *
 * Video modes (header bit 2) are not set up, as crosvm does not: a kernel that asks finds no video information.
 *
 * @module
 */
import { type GuestMemory, gpa } from '../memory/guest-memory.ts';
import { type ByteFile, copyToRam, readRange, requireInFile } from './byte-file.ts';
import { cString, writeCommandLine } from './command-line.ts';
import { E820Type } from './e820.ts';
import { isElf, type LoadedRange, loadSegments, parseElf, physicalEntry, requireLoadable } from './elf-image.ts';
import { protectedModeState } from './entry-state.ts';
import { loadInitrdLow } from './initrd.ts';
import { KernelFormatError } from './kernel-format-error.ts';
import { BOOT_INFO_ADDRESS, BOOT_INFO_BYTES, HIGH_MEMORY_START } from './layout.ts';
import type { LoadedKernel, LoadRequest } from './load-request.ts';

const HEADER_MAGIC = 0x1bad_b002;
/** What the kernel finds in EAX. */
export const MULTIBOOT_BOOTLOADER_MAGIC = 0x2bad_b002;
/** The header lies in the first 8192 bytes, 32-bit aligned (3.1). */
const SEARCH_BYTES = 8192;
const HEADER_BYTES = 12;
const HEADER_WITH_ADDRESSES_BYTES = 32;

const HEADER_PAGE_ALIGN = 1 << 0;
const HEADER_MEMORY_INFO = 1 << 1;
const HEADER_VIDEO_MODE = 1 << 2;
const HEADER_ADDRESSES = 1 << 16;
/** Of bits 0..15 a loader must refuse those it does not know; 16..31 it may ignore (3.1.2). */
const HEADER_MANDATORY = 0xffff;
const HEADER_KNOWN = HEADER_PAGE_ALIGN | HEADER_MEMORY_INFO | HEADER_VIDEO_MODE;

const INFO_MEMORY = 1 << 0;
const INFO_CMDLINE = 1 << 2;
const INFO_MODULES = 1 << 3;
const INFO_MMAP = 1 << 6;
const INFO_LOADER_NAME = 1 << 9;

/** Offsets into the information structure (3.3), which is cleared up to INFO_BYTES. */
const INFO = {
  flags: 0,
  mem_lower: 4,
  mem_upper: 8,
  cmdline: 16,
  mods_count: 20,
  mods_addr: 24,
  mmap_length: 44,
  mmap_addr: 48,
  boot_loader_name: 64,
} as const;
const INFO_BYTES = 128;
const MODULE_BYTES = 16;
const MMAP_ENTRY_BYTES = 24;

const LOADER_NAME = 'typervisor';
const MODULE_NAME = 'initrd';

export interface MultibootHeader {
  /** Offset of the header in the file. */
  readonly offset: number;
  readonly flags: number;
  /** Load addresses of a flat image. */
  readonly addresses?: FlatAddresses;
}

interface FlatAddresses {
  readonly headerAddr: number;
  readonly loadAddr: number;
  readonly loadEndAddr: number;
  readonly bssEndAddr: number;
  readonly entryAddr: number;
}

/** Looks for a header: magic, flags and checksum that add up to zero. */
export function findMultibootHeader(file: ByteFile): MultibootHeader | undefined {
  const view = readRange(file, 'Multiboot header', 0, Math.min(file.bytes, SEARCH_BYTES));
  for (let offset = 0; offset + HEADER_BYTES <= view.byteLength; offset += 4) {
    if (view.getUint32(offset, true) !== HEADER_MAGIC) continue;
    const flags = view.getUint32(offset + 4, true);
    if ((HEADER_MAGIC + flags + view.getUint32(offset + 8, true)) >>> 0 !== 0) continue;
    if (!(flags & HEADER_ADDRESSES)) return { offset, flags };
    requireInFile(file, 'Multiboot header', offset, HEADER_WITH_ADDRESSES_BYTES);
    const fields = readRange(
      file,
      'Multiboot header',
      offset + HEADER_BYTES,
      HEADER_WITH_ADDRESSES_BYTES - HEADER_BYTES,
    );
    const field = (index: number): number => fields.getUint32(index * 4, true);
    return {
      offset,
      flags,
      addresses: {
        headerAddr: field(0),
        loadAddr: field(1),
        loadEndAddr: field(2),
        bssEndAddr: field(3),
        entryAddr: field(4),
      },
    };
  }
  return undefined;
}

interface LoadedImage extends LoadedRange {
  readonly entry: number;
}

/** The a.out kludge (3.1.3): load_addr..load_end_addr from the file, zeroes up to bss_end_addr. */
function loadFlat(request: LoadRequest, header: MultibootHeader, addresses: FlatAddresses): LoadedImage {
  const { kernel, memory, progress } = request;
  const { headerAddr, loadAddr, loadEndAddr, bssEndAddr, entryAddr } = addresses;
  const refuse = (field: string, value: number, reason: string): never => {
    throw new KernelFormatError(kernel.name, `Multiboot ${field}`, value, reason);
  };
  if (headerAddr < loadAddr) refuse('header_addr', headerAddr, `lies below load_addr 0x${loadAddr.toString(16)}`);
  const fileOffset = header.offset - (headerAddr - loadAddr);
  if (fileOffset < 0) refuse('load_addr', loadAddr, 'lies before the start of the file');
  if (loadEndAddr !== 0 && loadEndAddr < loadAddr) refuse('load_end_addr', loadEndAddr, 'lies below load_addr');
  const fileBytes = loadEndAddr === 0 ? kernel.bytes - fileOffset : loadEndAddr - loadAddr;
  requireInFile(kernel, 'Multiboot load_end_addr', fileOffset, fileBytes);
  const dataEnd = loadAddr + fileBytes;
  if (bssEndAddr !== 0 && bssEndAddr < dataEnd) refuse('bss_end_addr', bssEndAddr, 'lies in the loaded image');
  const end = bssEndAddr === 0 ? dataEnd : bssEndAddr;
  requireLoadable(kernel, memory, 'Multiboot load_addr', loadAddr, end - loadAddr);
  if (entryAddr < loadAddr || entryAddr >= dataEnd) refuse('entry_addr', entryAddr, 'lies outside the loaded image');
  copyToRam(kernel, fileOffset, fileBytes, memory, loadAddr, progress);
  memory.fill(gpa(dataEnd), end - dataEnd, 0);
  return { start: loadAddr, end, entry: entryAddr };
}

function loadElf({ kernel, memory, progress }: LoadRequest, header: MultibootHeader): LoadedImage {
  if (!isElf(kernel)) {
    throw new KernelFormatError(
      kernel.name,
      'Multiboot flags',
      header.flags,
      'give no addresses (bit 16), and the file is not ELF',
    );
  }
  const image = parseElf(kernel);
  const entry = physicalEntry(kernel, image);
  return { ...loadSegments(kernel, image, memory, progress), entry };
}

/** Loads a Multiboot kernel and its module, and writes the information structure. */
export function loadMultiboot(request: LoadRequest, header: MultibootHeader): LoadedKernel {
  const { memory, kernel, progress } = request;
  const unknown = header.flags & HEADER_MANDATORY & ~HEADER_KNOWN;
  if (unknown)
    throw new KernelFormatError(
      kernel.name,
      'Multiboot flags',
      header.flags >>> 0,
      'ask for what Multiboot 0.6.96 does not define',
    );
  const image = header.addresses ? loadFlat(request, header, header.addresses) : loadElf(request, header);
  const initrd = request.initrd && loadInitrdLow(memory, request.initrd, image.end, progress);
  writeInfo(memory, request, initrd);
  return {
    format: 'multiboot',
    entry: protectedModeState(memory, image.entry, { rax: MULTIBOOT_BOOTLOADER_MAGIC, rbx: BOOT_INFO_ADDRESS }),
  };
}

function writeInfo(
  memory: GuestMemory,
  request: LoadRequest,
  initrd: { address: number; bytes: number } | undefined,
): void {
  const { e820 } = request;
  memory.fill(gpa(BOOT_INFO_ADDRESS), BOOT_INFO_BYTES, 0);
  let free = BOOT_INFO_ADDRESS + INFO_BYTES;
  const append = (bytes: number): number => {
    const address = free;
    free = Math.ceil((free + bytes) / 16) * 16;
    if (free > BOOT_INFO_ADDRESS + BOOT_INFO_BYTES)
      throw new RangeError(`memory map of ${e820.length} entries is too long`);
    return address;
  };
  const appendText = (text: string): number => {
    const bytes = cString(text);
    const address = append(bytes.length);
    memory.write(gpa(address), bytes);
    return address;
  };
  const set = (offset: number, value: number): void => memory.writeU32(gpa(BOOT_INFO_ADDRESS + offset), value);

  const ramFrom = (start: number): number =>
    e820.find((entry) => entry.address === start && entry.type === E820Type.Ram)?.bytes ?? 0;
  set(INFO.mem_lower, Math.floor(ramFrom(0) / 1024));
  set(INFO.mem_upper, Math.floor(ramFrom(HIGH_MEMORY_START) / 1024));
  set(INFO.cmdline, writeCommandLine(memory, request.commandLine));
  set(INFO.boot_loader_name, appendText(LOADER_NAME));

  const mmap = append(e820.length * MMAP_ENTRY_BYTES);
  for (const [index, entry] of e820.entries()) {
    const at = mmap + index * MMAP_ENTRY_BYTES;
    // "size" does not count itself, and the next entry lies size + 4 bytes on.
    memory.writeU32(gpa(at), MMAP_ENTRY_BYTES - 4);
    memory.writeU64(gpa(at + 4), BigInt(entry.address));
    memory.writeU64(gpa(at + 12), BigInt(entry.bytes));
    memory.writeU32(gpa(at + 20), entry.type);
  }
  set(INFO.mmap_addr, mmap);
  set(INFO.mmap_length, e820.length * MMAP_ENTRY_BYTES);

  if (initrd) {
    const modules = append(MODULE_BYTES);
    memory.writeU32(gpa(modules), initrd.address);
    memory.writeU32(gpa(modules + 4), initrd.address + initrd.bytes);
    memory.writeU32(gpa(modules + 8), appendText(MODULE_NAME));
    set(INFO.mods_addr, modules);
    set(INFO.mods_count, 1);
  }
  set(INFO.flags, INFO_MEMORY | INFO_CMDLINE | INFO_MMAP | INFO_LOADER_NAME | (initrd ? INFO_MODULES : 0));
}
