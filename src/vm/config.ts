/**
 * What a machine is made of: the validated, plain description that the command line, the library and later the control
 * API produce, and that a machine is built from. It survives `structuredClone` and JSON.
 *
 * @module
 */

import type { DiskFormat } from '../disk/formats.ts';
import type { CheckTranslation } from '../hypervisor/check-translation.ts';
import type { LogLevel } from '../util/log.ts';
import type { VirtioTransport } from './virtio-bus.ts';

export const MIB = 0x10_0000;

/** Guest RAM: enough for Linux to boot at all, and below the PCI window of the memory layout. */
export const MIN_MEM_MIB = 64;
export const MAX_MEM_MIB = 3072;
/** On KVM RAM goes on above 4 GiB, up to the largest WebAssembly memory with room for the rest. */
export const MAX_KVM_MEM_MIB = 15_360;
export const DEFAULT_MEM_MIB = 256;

/** The WebAssembly CPU is one; KVM gives as many as the control area has room for. */
export const MAX_WASM_CPUS = 1;
export const MAX_CPUS = 64;

/** COM1..COM4. */
export type SerialNumber = 1 | 2 | 3 | 4;
export const SERIAL_NUMBERS: readonly SerialNumber[] = [1, 2, 3, 4];

/** Where a serial port's output goes: standard output, a file that is appended to, nowhere. */
export type SerialType = 'stdout' | 'file' | 'sink';

export interface SerialConfig {
  /** A 16550, ttyS0 and so on in Linux, when absent; virtio consoles are hvc0 and so on in the order of their numbers. */
  readonly hardware?: 'virtio-console';
  readonly num: SerialNumber;
  readonly type: SerialType;
  /** The file; present exactly when `type` is 'file'. */
  readonly path?: string;
  /** The kernel's console: its name goes on the kernel command line. At most one port. */
  readonly console: boolean;
  /** Takes standard input. At most one port. */
  readonly stdin: boolean;
}

/** 'auto' takes KVM where it will work, else the WebAssembly CPU. */
export type HypervisorName = 'kvm' | 'wasm' | 'auto';

/** Which interrupt controllers are KVM's: all of them, or the local APICs only. */
export type IrqchipName = 'kernel' | 'split';

/** What the WebAssembly CPU can do: the levels of the x86-64 psABI. */
export type ModelName = 'x86-64-v2' | 'x86-64-v3';

/** The port of a device for kernels under test: a 32-bit write ends the machine with status (value << 1) | 1. */
export interface DebugExitConfig {
  readonly port: number;
}

/** A file in Chrome's trace format. */
export interface TraceConfig {
  readonly path: string;
  /** What would make it longer is dropped. */
  readonly limitBytes: number;
}

export const DEFAULT_TRACE_MIB = 64;
export const MAX_TRACE_MIB = 1024;

/** A virtio disk. */
export interface BlockConfig {
  /** An image, or a block device of the host. */
  readonly path: string;
  readonly format: DiskFormat;
  /** Backing files and parts of composite disks that may be opened, by their paths or by the names in the image. */
  readonly backing: readonly string[];
  /** Changes stay in memory; the image is only read. */
  readonly snapshot: boolean;
  /** Two writers, or a writer and a reader, are kept apart. */
  readonly lock: boolean;
  readonly readOnly: boolean;
  /** The root file system: the kernel command line says so. At most one disk. */
  readonly root: boolean;
  /** Offers to take discards. */
  readonly sparse: boolean;
  /** A power of two. */
  readonly blockSize: number;
  /** What the guest reads as its serial number. */
  readonly id: string;
  /** Past the host's page cache. */
  readonly direct: boolean;
  readonly queues: number;
  /** Offers packed rings. */
  readonly packed: boolean;
}

export const DEFAULT_BLOCK: Omit<BlockConfig, 'path'> = {
  format: 'raw',
  backing: [],
  snapshot: false,
  lock: true,
  readOnly: false,
  root: false,
  sparse: true,
  blockSize: 512,
  id: '',
  direct: false,
  queues: 16,
  packed: false,
};
export const MIN_BLOCK_SIZE = 512;
export const MAX_BLOCK_SIZE = 4096;
export const MAX_BLOCK_ID_LENGTH = 20;
export const MAX_BLOCK_QUEUES = 64;

/** A disk of the SCSI host. */
export interface ScsiBlockConfig {
  /** An image, or a block device of the host. */
  readonly path: string;
  readonly format: DiskFormat;
  readonly readOnly: boolean;
  /** The root file system: the kernel command line says so. At most one of all disks and of persistent memory. */
  readonly root: boolean;
  /** A power of two. */
  readonly blockSize: number;
  /** Two writers, or a writer and a reader, are kept apart. */
  readonly lock: boolean;
}

export const DEFAULT_SCSI_BLOCK: Omit<ScsiBlockConfig, 'path'> = {
  format: 'raw',
  readOnly: false,
  root: false,
  blockSize: 512,
  lock: true,
};
export const MAX_SCSI_DISKS = 16;

/** A virtio balloon, by which the guest gives memory back to the host. */
export interface BalloonConfig {
  /** Guest memory outside the balloon at the start; absent: all of it. */
  readonly initMemBytes?: number;
  /** The guest may say which of its memory is free, and the host takes it. */
  readonly pageReporting: boolean;
}

/** A file as persistent memory. */
export interface PmemConfig {
  /** A file, or a block device of the host. */
  readonly path: string;
  /** What the guest writes is gone at the end. */
  readonly readOnly: boolean;
  /** The root file system: the kernel command line says so. At most one of this and of the disks. */
  readonly root: boolean;
  /** Two writers, or a writer and a reader, are kept apart. */
  readonly lock: boolean;
}

export const DEFAULT_PMEM: Omit<PmemConfig, 'path'> = { readOnly: false, root: false, lock: true };

export interface RunConfig {
  /** Path of the kernel image; absent: the embedded guest's kernel. */
  readonly kernel?: string;
  /** Path of the initial RAM disk; absent: none, or the embedded guest's when `kernel` is absent too. */
  readonly initrd?: string;
  /** Pieces of the kernel command line, appended in order, joined by spaces. */
  readonly params: readonly string[];
  /** Guest RAM in bytes. */
  readonly memBytes: number;
  /** Number of vCPUs. */
  readonly cpus: number;
  /** The ports that were configured, at most one a number and hardware; the other 16550s exist and forget what is written to them. */
  readonly serial: readonly SerialConfig[];
  readonly hypervisor: HypervisorName;
  /** On KVM; absent: 'kernel' there, and the machine may run on the WebAssembly CPU, which has its own. */
  readonly irqchip?: IrqchipName;
  /** On KVM guest RAM is a memfd, which other processes can be given; else memory of this process alone. */
  readonly memfd: boolean;
  /** The WebAssembly CPU translates hot code; else it interprets all. */
  readonly translate: boolean;
  /** Calls of translated code that the interpreter does too, for comparison; absent: none. */
  readonly checkTranslation?: CheckTranslation;
  /** What the WebAssembly CPU is and announces. */
  readonly model: ModelName;
  /** End the VMM when the guest resets, instead of rebooting it in place. */
  readonly noReboot: boolean;
  /** Names the VM in messages. */
  readonly name: string;
  /** The least important lines that go to standard error. */
  readonly logLevel: LogLevel;
  /** Measure: counters that cost time, and where time goes. The command line prints them at the end. */
  readonly stats: boolean;
  /** Write down what happens when. */
  readonly trace?: TraceConfig;
  readonly debugExit?: DebugExitConfig;
  /** Disks in the guest's order: vda, vdb, ... */
  readonly block: readonly BlockConfig[];
  /** Disks of the SCSI host in the order of their LUNs; without any there is no host. */
  readonly scsiBlock: readonly ScsiBlockConfig[];
  /** Persistent memory in the guest's order: pmem0, pmem1, ... */
  readonly pmem: readonly PmemConfig[];
  /** Ask the host for huge pages for guest RAM. */
  readonly hugePages: boolean;
  /** A virtio entropy device. */
  readonly rng: boolean;
  /** Absent: no balloon. */
  readonly balloon?: BalloonConfig;
  /** Where virtio devices are. */
  readonly virtioTransport: VirtioTransport;
}

/** COM1 on the terminal. */
export const CONSOLE_ON_STDOUT: SerialConfig = { num: 1, type: 'stdout', console: true, stdin: true };

/** What `typervisor run` without options builds: the embedded guest on the terminal. */
export const DEFAULT_CONFIG: RunConfig = {
  params: [],
  memBytes: DEFAULT_MEM_MIB * MIB,
  cpus: 1,
  serial: [CONSOLE_ON_STDOUT],
  hypervisor: 'auto',
  translate: true,
  memfd: false,
  model: 'x86-64-v3',
  noReboot: false,
  name: 'typervisor',
  logLevel: 'warn',
  stats: false,
  block: [],
  scsiBlock: [],
  pmem: [],
  hugePages: true,
  rng: true,
  balloon: { pageReporting: false },
  virtioTransport: 'pci',
};
