/**
 * What every loader is given, and what it gives back.
 *
 * @module
 */
import type { GuestMemory } from '../memory/guest-memory.ts';
import type { ByteFile, LoadProgress } from './byte-file.ts';
import type { CpuBootState } from './cpu-boot-state.ts';
import type { E820Entry } from './e820.ts';

/** Which entry of an ELF kernel to take: 'auto' is the Linux one of ELF64, and PVH where there is nothing better. */
export type KernelEntry = 'auto' | 'linux' | 'pvh';

export interface LoadRequest {
  readonly memory: GuestMemory;
  readonly kernel: ByteFile;
  readonly initrd?: ByteFile | undefined;
  readonly commandLine: string;
  readonly e820: readonly E820Entry[];
  /** Guest-physical address of the ACPI root pointer. */
  readonly rsdp: number;
  /** Entropy for the guest's random number generator; Linux takes it from setup_data. */
  readonly rngSeed: Uint8Array;
  readonly entry: KernelEntry;
  readonly progress?: LoadProgress | undefined;
}

export type KernelFormat = 'multiboot' | 'elf64' | 'elf32' | 'pvh' | 'bzimage';

export interface LoadedKernel {
  readonly format: KernelFormat;
  readonly entry: CpuBootState;
}
