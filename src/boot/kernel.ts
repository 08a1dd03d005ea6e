/**
 * Telling kernel images apart by their headers, in crosvm's order: Multiboot, ELF, bzImage.
 *
 * @module
 */
import { isBzImage, loadBzImage } from './bzimage.ts';
import { loadLinuxElf } from './elf.ts';
import { isElf, isLoaded, parseElf } from './elf-image.ts';
import { KernelFormatError } from './kernel-format-error.ts';
import type { LoadedKernel, LoadRequest } from './load-request.ts';
import { findMultibootHeader, loadMultiboot } from './multiboot.ts';
import { findPvhEntry, loadPvh } from './pvh.ts';

/** Loads a kernel of any format that is known here. Throws KernelFormatError for all others. */
export function loadKernel(request: LoadRequest): LoadedKernel {
  const { kernel } = request;
  const multiboot = findMultibootHeader(kernel);
  if (multiboot) return loadMultiboot(request, multiboot);
  if (isElf(kernel)) return loadElfKernel(request);
  if (isBzImage(kernel)) return loadBzImage(request);
  throw new KernelFormatError(kernel.name, 'format', 'unknown', 'has no Multiboot, ELF or bzImage header');
}

/**
 * ELF64 goes in at its 64-bit entry unless that cannot work (no physical e_entry) or PVH was asked for; ELF32, whose e_entry
 * may follow any protocol, says by the note that it knows PVH.
 */
function loadElfKernel(request: LoadRequest): LoadedKernel {
  const { kernel, entry } = request;
  const image = parseElf(kernel);
  if (entry === 'linux' || (entry === 'auto' && image.bits === 64 && isLoaded(image, image.entry))) {
    return loadLinuxElf(request, image);
  }
  const pvhEntry = findPvhEntry(kernel, image);
  if (pvhEntry !== undefined) return loadPvh(request, image, pvhEntry);
  if (entry === 'pvh') {
    throw new KernelFormatError(
      kernel.name,
      'XEN_ELFNOTE_PHYS32_ENTRY',
      'missing',
      'means that the kernel has no PVH entry',
    );
  }
  return loadLinuxElf(request, image);
}
