/**
 * Linux as an ELF file: vmlinux at its 64-bit entry point, or a 32-bit one at its 32-bit entry point (Linux
 * Documentation/arch/x86/boot.rst, "64-bit boot protocol" and "32-bit boot protocol"). RSI holds the zero page.
 *
 * @module
 */
import { writeCommandLine } from './command-line.ts';
import { type ElfImage, isLoaded, loadSegments, physicalEntry } from './elf-image.ts';
import { longModeState, protectedModeState } from './entry-state.ts';
import { loadInitrdHigh } from './initrd.ts';
import { KernelFormatError } from './kernel-format-error.ts';
import { INITRD_ADDR_MAX_32, INITRD_ADDR_MAX_64 } from './layout.ts';
import type { LoadedKernel, LoadRequest } from './load-request.ts';
import { SetupDataType, writeSetupData } from './setup-data.ts';
import { writeZeroPage } from './zero-page.ts';

/** Loads a Linux ELF kernel and writes everything it wants to find. */
export function loadLinuxElf(request: LoadRequest, image: ElfImage): LoadedKernel {
  const { memory, kernel, progress } = request;
  // In long mode e_entry is used as it is: it must be physical, the identity map is all there is.
  if (image.bits === 64 && !isLoaded(image, image.entry)) {
    throw new KernelFormatError(kernel.name, 'e_entry', image.entry ?? 'above 2^53', 'lies in no PT_LOAD segment');
  }
  const entry = physicalEntry(kernel, image);
  const { end } = loadSegments(kernel, image, memory, progress);
  const addrMax = image.bits === 64 ? INITRD_ADDR_MAX_64 : INITRD_ADDR_MAX_32;
  const initrd = request.initrd && loadInitrdHigh(memory, request.initrd, { lowest: end, addrMax }, progress);
  const rsi = writeZeroPage(memory, {
    commandLine: writeCommandLine(memory, request.commandLine),
    initrd,
    e820: request.e820,
    setupData: writeSetupData(memory, [{ type: SetupDataType.RngSeed, data: request.rngSeed }]),
    rsdp: request.rsdp,
  });
  return image.bits === 64
    ? { format: 'elf64', entry: longModeState(memory, entry, { rsi }) }
    : { format: 'elf32', entry: protectedModeState(memory, entry, { rsi }) };
}
