/**
 * Linux bzImage (Documentation/arch/x86/boot.rst): setup header into the zero page, protected-mode part into RAM, start at
 * the 64-bit entry where there is one (XLF_KERNEL_64), else at the 32-bit entry. The 16-bit setup code is never run.
 *
 * @module
 */
import { type ByteFile, copyToRam, readRange } from './byte-file.ts';
import { writeCommandLine } from './command-line.ts';
import { requireLoadable } from './elf-image.ts';
import { longModeState, protectedModeState } from './entry-state.ts';
import { loadInitrdHigh } from './initrd.ts';
import { KernelFormatError } from './kernel-format-error.ts';
import { HIGH_MEMORY_START, INITRD_ADDR_MAX_32, KERNEL_START, splitRam } from './layout.ts';
import type { LoadedKernel, LoadRequest } from './load-request.ts';
import { SetupDataType, writeSetupData } from './setup-data.ts';
import { BOOT_FLAG_MAGIC, BootParams, HEADER_MAGIC, writeZeroPage } from './zero-page.ts';

const SECTOR = 512;
/** setup_sects 0 means 4, for kernels from before the field. */
const DEFAULT_SETUP_SECTS = 4;
/** The 64-bit entry lies this far into the protected-mode part. */
const ENTRY_64_OFFSET = 0x200;
const LOADED_HIGH = 1 << 0;
const XLF_KERNEL_64 = 1 << 0;

/** Boot protocol versions in which fields appeared. */
const PROTOCOL_2_02 = 0x0202; // cmd_line_ptr
const PROTOCOL_2_03 = 0x0203; // initrd_addr_max
const PROTOCOL_2_04 = 0x0204; // syssize with 32 bits
const PROTOCOL_2_05 = 0x0205; // relocatable_kernel
const PROTOCOL_2_06 = 0x0206; // cmdline_size
const PROTOCOL_2_10 = 0x020a; // pref_address, init_size
const PROTOCOL_2_12 = 0x020c; // xloadflags
/** Longest command line before the kernel said so itself. */
const CMDLINE_SIZE_BEFORE_2_06 = 255;

interface BzImage {
  /** Bytes 0x1f1.. of the file, as they go into the zero page. */
  readonly setupHeader: Uint8Array;
  readonly payloadOffset: number;
  readonly payloadBytes: number;
  readonly loadAddress: number;
  readonly entry64: boolean;
  /** What the kernel occupies before it reads the memory map, from prefAddress or wherever it was loaded. */
  readonly runStart: number;
  readonly runBytes: number;
  readonly initrdAddrMax: number;
  readonly cmdlineSize: number;
}

/** True when the file carries the "HdrS" signature of a Linux setup header. */
export function isBzImage(file: ByteFile): boolean {
  const end = BootParams.header + 4;
  return file.bytes >= end && readRange(file, 'header', BootParams.header, 4).getUint32(0, true) === HEADER_MAGIC;
}

function parseBzImage(file: ByteFile): BzImage {
  const refuse = (field: string, value: number | string, reason: string): never => {
    throw new KernelFormatError(file.name, field, value, reason);
  };
  // The header as the file has it, at its own offsets; fields that the file does not reach read as zero.
  const header = new Uint8Array(BootParams.setup_header_limit);
  const inFile = Math.min(header.length, file.bytes);
  header.set(new Uint8Array(readRange(file, 'setup header', 0, inFile).buffer));
  const view = new DataView(header.buffer);

  const bootFlag = view.getUint16(BootParams.boot_flag, true);
  if (bootFlag !== BOOT_FLAG_MAGIC) refuse('boot_flag', bootFlag, 'is not 0xaa55');
  const version = view.getUint16(BootParams.version, true);
  if (version < PROTOCOL_2_02) refuse('version', version, 'is a boot protocol older than 2.02');
  // The byte behind the short jump at 0x200 gives the end of the header.
  const headerEnd = BootParams.header + view.getUint8(BootParams.jump + 1);
  if (headerEnd > BootParams.setup_header_limit)
    refuse('setup header end', headerEnd, 'lies beyond the room for it in the zero page (0x290)');
  header.fill(0, headerEnd);

  const loadflags = view.getUint8(BootParams.loadflags);
  if (!(loadflags & LOADED_HIGH))
    refuse('loadflags', loadflags, 'say zImage (LOADED_HIGH is clear): only bzImage is supported');
  const setupSects = view.getUint8(BootParams.setup_sects) || DEFAULT_SETUP_SECTS;
  const payloadOffset = (setupSects + 1) * SECTOR;
  const payloadBytes = file.bytes - payloadOffset;
  if (payloadBytes <= 0)
    refuse('setup_sects', setupSects, `leaves no kernel in the 0x${file.bytes.toString(16)} bytes of the file`);
  const syssizeBytes = view.getUint32(BootParams.syssize, true) * 16;
  if (version >= PROTOCOL_2_04 && syssizeBytes > payloadBytes) {
    refuse(
      'syssize',
      syssizeBytes / 16,
      `paragraphs are more than the 0x${payloadBytes.toString(16)} bytes that follow the setup: the file is cut short`,
    );
  }

  const relocatable = version >= PROTOCOL_2_05 && view.getUint8(BootParams.relocatable_kernel) !== 0;
  const entry64 = version >= PROTOCOL_2_12 && (view.getUint16(BootParams.xloadflags, true) & XLF_KERNEL_64) !== 0;
  const loadAddress = relocatable ? KERNEL_START : view.getUint32(BootParams.code32_start, true) || HIGH_MEMORY_START;
  const entryOffset = entry64 ? ENTRY_64_OFFSET : 0;
  if (payloadBytes <= entryOffset) refuse('setup_sects', setupSects, 'leaves no kernel behind the 64-bit entry');

  // A relocatable kernel unpacks itself at pref_address when it was loaded below it (boot.rst, init_size).
  let runStart = loadAddress;
  let runBytes = payloadBytes;
  if (version >= PROTOCOL_2_10) {
    const high = view.getUint32(BootParams.pref_address + 4, true);
    const prefAddress = high * 2 ** 32 + view.getUint32(BootParams.pref_address, true);
    const alignment = Math.max(1, view.getUint32(BootParams.kernel_alignment, true));
    runStart = Math.max(prefAddress, Math.ceil(loadAddress / alignment) * alignment);
    runBytes = view.getUint32(BootParams.init_size, true);
  }
  return {
    setupHeader: header.subarray(BootParams.setup_sects, headerEnd),
    payloadOffset,
    payloadBytes,
    loadAddress,
    entry64,
    runStart,
    runBytes,
    initrdAddrMax: version >= PROTOCOL_2_03 ? view.getUint32(BootParams.initrd_addr_max, true) : INITRD_ADDR_MAX_32,
    cmdlineSize: version >= PROTOCOL_2_06 ? view.getUint32(BootParams.cmdline_size, true) : CMDLINE_SIZE_BEFORE_2_06,
  };
}

/** Loads a bzImage and writes everything it wants to find. */
export function loadBzImage(request: LoadRequest): LoadedKernel {
  const { memory, kernel, progress } = request;
  const image = parseBzImage(kernel);
  const { loadAddress, payloadBytes, runStart, runBytes } = image;
  requireLoadable(kernel, memory, image.entry64 ? 'load address' : 'code32_start', loadAddress, payloadBytes);
  const { lowEnd } = splitRam(memory.bytes);
  // Before it can look at the memory map the kernel writes all of init_size: not having it ends in a silent hang.
  if (!(runStart + runBytes <= lowEnd)) {
    throw new KernelFormatError(
      kernel.name,
      'init_size',
      runBytes,
      `from 0x${runStart.toString(16)} needs more RAM than there is (it ends at 0x${lowEnd.toString(16)}); give the machine more memory`,
    );
  }
  copyToRam(kernel, image.payloadOffset, payloadBytes, memory, loadAddress, progress);
  const lowest = Math.max(loadAddress + payloadBytes, runStart + runBytes);
  const initrd =
    request.initrd && loadInitrdHigh(memory, request.initrd, { lowest, addrMax: image.initrdAddrMax }, progress);
  const rsi = writeZeroPage(memory, {
    setupHeader: image.setupHeader,
    commandLine: writeCommandLine(memory, request.commandLine, image.cmdlineSize),
    initrd,
    e820: request.e820,
    setupData: writeSetupData(memory, [{ type: SetupDataType.RngSeed, data: request.rngSeed }]),
    rsdp: request.rsdp,
  });
  const entry = image.entry64
    ? longModeState(memory, loadAddress + ENTRY_64_OFFSET, { rsi })
    : protectedModeState(memory, loadAddress, { rsi });
  return { format: 'bzimage', entry };
}
