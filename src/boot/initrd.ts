/**
 * Placing the initial RAM disk.
 *
 * @module
 */
import type { GuestMemory } from '../memory/guest-memory.ts';
import { type ByteFile, copyToRam, type LoadProgress } from './byte-file.ts';
import { KernelFormatError } from './kernel-format-error.ts';
import { splitRam } from './layout.ts';

const PAGE = 0x1000;

export interface LoadedInitrd {
  readonly address: number;
  readonly bytes: number;
}

export interface InitrdLimits {
  /** First byte behind what the kernel occupies, or will occupy before it reads the memory map. */
  readonly lowest: number;
  /** Highest address that the last byte may have. */
  readonly addrMax: number;
}

const pageUp = (address: number): number => Math.ceil(address / PAGE) * PAGE;
const pageDown = (address: number): number => Math.floor(address / PAGE) * PAGE;

function load(memory: GuestMemory, file: ByteFile, address: number, progress?: LoadProgress): LoadedInitrd {
  copyToRam(file, 0, file.bytes, memory, address, progress);
  return { address, bytes: file.bytes };
}

function refuse(file: ByteFile, from: number, to: number): never {
  const room = Math.max(0, to - from);
  throw new KernelFormatError(
    file.name,
    'size',
    file.bytes,
    `does not fit into the 0x${room.toString(16)} bytes of RAM that the kernel leaves from 0x${from.toString(16)}; give the machine more memory`,
  );
}

function requireContents(file: ByteFile): void {
  if (file.bytes === 0)
    throw new KernelFormatError(file.name, 'size', '0', 'leaves nothing to unpack: the file is empty');
}

/** Copies the initrd as high as allowed, page-aligned: what Linux likes, for it unpacks and frees it early. */
export function loadInitrdHigh(
  memory: GuestMemory,
  file: ByteFile,
  limits: InitrdLimits,
  progress?: LoadProgress,
): LoadedInitrd {
  requireContents(file);
  const lowest = pageUp(limits.lowest);
  const top = Math.min(splitRam(memory.bytes).lowEnd, limits.addrMax + 1);
  const address = pageDown(top - file.bytes);
  if (address < lowest) refuse(file, lowest, top);
  return load(memory, file, address, progress);
}

/** Copies the initrd right behind the kernel, page-aligned: where boot loaders put modules, and small kernels map memory. */
export function loadInitrdLow(
  memory: GuestMemory,
  file: ByteFile,
  kernelEnd: number,
  progress?: LoadProgress,
): LoadedInitrd {
  requireContents(file);
  const address = pageUp(kernelEnd);
  const top = splitRam(memory.bytes).lowEnd;
  if (address + file.bytes > top) refuse(file, address, top);
  return load(memory, file, address, progress);
}
