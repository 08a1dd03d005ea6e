/**
 * Everything a machine finds in its memory when it starts: firmware tables, kernel, initrd, command line. One call per
 * (re)boot; afterwards the first processor starts in the state that comes back, the others wait for INIT and SIPI.
 *
 * @module
 */
import { type GuestMemory, gpa } from '../memory/guest-memory.ts';
import { writeAcpiTables } from './acpi/acpi.ts';
import type { VirtioMmioResource } from './acpi/dsdt.ts';
import type { ByteFile, LoadProgress } from './byte-file.ts';
import type { CpuBootState } from './cpu-boot-state.ts';
import { buildE820 } from './e820.ts';
import { loadKernel } from './kernel.ts';
import {
  BDA_COM_PORTS,
  BDA_EBDA_SEGMENT,
  BDA_MEMORY_KIB,
  HIGH_MEMORY_START,
  LOW_MEMORY_END,
  SERIAL_PORTS,
  splitRam,
} from './layout.ts';
import type { KernelEntry } from './load-request.ts';
import { writeMpTable } from './mp-table.ts';
import { type SmbiosOptions, writeSmbios } from './smbios.ts';

/** struct setup_data of type SETUP_RNG_SEED: as much as crosvm gives. */
const RNG_SEED_BYTES = 256;
const MAX_VCPUS = 1024;
const BDA_BYTES = 0x100;
/** 36 bits: every x86-64 processor has at least as many. */
const DEFAULT_PHYSICAL_ADDRESS_BITS = 36;

export interface BootOptions {
  /** RAM from guest-physical 0 up to what of `ramBytes` lies below the PCI hole. */
  readonly memory: GuestMemory;
  /** All RAM of the machine. */
  readonly ramBytes: number;
  /** RAM with the persistent memory behind it: the 64-bit PCI window is above. `ramBytes` by default. */
  readonly memoryBytes?: number | undefined;
  readonly vcpuCount: number;
  readonly kernel: ByteFile;
  readonly initrd?: ByteFile | undefined;
  readonly commandLine: string;
  /** Fills its argument with unpredictable bytes: they seed the guest's random number generator. */
  readonly random: (into: Uint8Array<ArrayBuffer>) => void;
  /** Which entry of an ELF kernel to take; 'auto' by default. */
  readonly entry?: KernelEntry | undefined;
  /** MAXPHYADDR that CPUID announces; 36 by default. */
  readonly physicalAddressBits?: number | undefined;
  readonly smbios?: SmbiosOptions | undefined;
  /** Virtio devices that are not on PCI. */
  readonly virtioMmio?: readonly VirtioMmioResource[] | undefined;
  readonly progress?: LoadProgress | undefined;
}

/** BIOS data area: enough for a guest that looks there for serial ports, base memory, and an EBDA that does not exist. */
function writeBiosDataArea(memory: GuestMemory): void {
  memory.fill(gpa(BDA_COM_PORTS), BDA_BYTES, 0);
  for (const [index, { port }] of SERIAL_PORTS.entries()) memory.writeU16(gpa(BDA_COM_PORTS + 2 * index), port);
  memory.writeU16(gpa(BDA_EBDA_SEGMENT), 0);
  memory.writeU16(gpa(BDA_MEMORY_KIB), LOW_MEMORY_END / 1024);
}

/**
 * Loads kernel and initrd, writes all tables, and gives the state in which the first processor starts.
 *
 * Throws KernelFormatError for a kernel, initrd or command line that cannot be booted, RangeError for a machine that makes
 * no sense, and whatever a file's `read` throws. Memory is then in part written; the machine must not be started.
 */
export function prepareBoot(options: BootOptions): CpuBootState {
  const { memory, ramBytes, vcpuCount } = options;
  if (!Number.isSafeInteger(ramBytes) || ramBytes <= HIGH_MEMORY_START) {
    throw new RangeError(`guest RAM of ${ramBytes} bytes is not more than 1 MiB`);
  }
  if (memory.bytes !== splitRam(ramBytes).lowEnd) {
    throw new RangeError(`guest memory of ${memory.bytes} bytes is not the low part of ${ramBytes} bytes of RAM`);
  }
  if (!Number.isInteger(vcpuCount) || vcpuCount < 1 || vcpuCount > MAX_VCPUS) {
    throw new RangeError(`${vcpuCount} processors are not 1 to ${MAX_VCPUS}`);
  }
  const rngSeed = new Uint8Array(RNG_SEED_BYTES);
  options.random(rngSeed);

  writeBiosDataArea(memory);
  const rsdp = writeAcpiTables(memory, {
    ramBytes: options.memoryBytes ?? ramBytes,
    vcpuCount,
    physicalAddressBits: options.physicalAddressBits ?? DEFAULT_PHYSICAL_ADDRESS_BITS,
    virtioMmio: options.virtioMmio,
  });
  writeMpTable(memory, vcpuCount);
  writeSmbios(memory, ramBytes, vcpuCount, options.smbios);
  return loadKernel({
    memory,
    kernel: options.kernel,
    initrd: options.initrd,
    commandLine: options.commandLine,
    e820: buildE820(ramBytes),
    rsdp,
    rngSeed,
    entry: options.entry ?? 'auto',
    progress: options.progress,
  }).entry;
}
