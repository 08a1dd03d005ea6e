/**
 * What a vCPU counts, as plain data: what `--stats` prints and `runMachine` returns. Everything survives `structuredClone`.
 *
 * @module
 */

/** What a vCPU's thread may be doing, by the number that stands for it in shared memory. */
export const OCCUPATIONS = [
  /** The thread has not come to guest code yet, or has left it for good. */
  'other',
  'interpreted',
  'translated',
  /** What the inline TLB look-up does not do: page walks, accesses across pages. Device memory counts as devices. */
  'memory',
  'decoding',
  /** System instructions and the x87, in TypeScript. */
  'system',
  /** Floating point that WebAssembly's own arithmetic does not give exactly. */
  'float',
  /** Port and device memory accesses, above all waits for the VMM thread. */
  'devices',
  /** Checking translated regions and putting them in place. */
  'installing',
  /** Dropping code that was written to. */
  'dropping',
  /** Interrupts, exceptions, the clock and the profile, between two slices of guest code. */
  'events',
  'halted',
] as const;
export type Occupation = (typeof OCCUPATIONS)[number];

/** Why the main loop came out to the run loop. */
export type LoopExit =
  /** The budget of the slice ended in interpreted code, or in a region. */
  | 'budget'
  | 'regionBudget'
  /** Regions have left to the same code so often that it is to be translated. */
  | 'leftOften'
  /** A region leaves one instruction to the interpreter: it would store into translated code, or changes memory in two pages or of a device. */
  | 'step'
  /** An exception that has no fast path to its handler. */
  | 'fault'
  /** An instruction asked for it: HLT, what may let an interrupt in, what changes the mode. */
  | 'leave'
  /** The budget ended between the elements of a repeated string instruction. */
  | 'again';

/** How calls of regions out of the main loop ended. */
export interface RegionEnds {
  /** At an address that is no region's. */
  readonly jump: number;
  readonly fault: number;
  readonly budget: number;
  /** The region's pages were not mapped as it was translated for. */
  readonly refused: number;
  /** An instruction that is executed by its handler asked for it. */
  readonly leave: number;
}

export interface RegionStats {
  readonly live: number;
  readonly built: number;
  /** Translated again, with more code, because they are hot. */
  readonly rebuilt: number;
  readonly dropped: number;
  /** Whose code had changed when they came from the compiler. */
  readonly stale: number;
  /** How often the main loop called one; they also go from one to another without it. */
  readonly calls: number;
  /** Bytes of WebAssembly, and guest instructions, as often as they were translated. */
  readonly bytes: number;
  readonly instructions: number;
  /** Seconds of the compiler's thread: all, and WebAssembly's compiler alone. */
  readonly translationSeconds: number;
  readonly compileSeconds: number;
}

/** What is only counted when a machine is measured. */
export interface MeasuredStats {
  readonly tlbMisses: { readonly read: number; readonly write: number; readonly execute: number };
  readonly regionEnds: RegionEnds;
}

/** Where the time of a vCPU's thread went, from samples some milliseconds apart. */
export interface OccupationTimes {
  readonly samples: number;
  readonly seconds: Readonly<Record<Occupation, number>>;
}

/** Calls of regions where translated code is checked. */
export interface CheckerStats {
  readonly checked: number;
  /** Those that cannot be done again: they touched a device, read the clock or asked `system/`. */
  readonly outside: number;
  /** Those that came when there was no room for more decoded code. */
  readonly noRoom: number;
}

/** What every vCPU's thread counts. */
export interface DeviceStats {
  /** Accesses that waited for the VMM thread, and writes that did not. */
  readonly deviceCalls: number;
  readonly postedWrites: number;
}

export interface WasmVcpuStats extends DeviceStats {
  readonly hypervisor: 'wasm';
  /** Guest instructions executed. */
  readonly instructions: number;
  /** Those of them that translated regions executed. */
  readonly translated: number;
  /** Instructions decoded, how often a block was asked for, and forms that were compiled when first met. */
  readonly decoded: number;
  readonly lookups: number;
  readonly coldHandlers: number;
  /** How often all code was dropped. */
  readonly codeFlushes: number;
  readonly tlbClears: number;
  readonly interrupts: number;
  readonly exceptions: number;
  /** System instructions executed in TypeScript, by mnemonic. */
  readonly systemInstructions: Readonly<Record<string, number>>;
  readonly halts: number;
  readonly exits: Readonly<Record<LoopExit, number>>;
  readonly regions: RegionStats;
  readonly checked?: CheckerStats;
  readonly measured?: MeasuredStats;
  readonly times?: OccupationTimes;
}

/** Exit reasons that are counted apart. */
export type KvmExitName = 'io' | 'mmio' | 'hlt' | 'interrupted' | 'other';

export interface KvmVcpuStats extends DeviceStats {
  readonly hypervisor: 'kvm';
  /** How often the guest left for this process, by the reason. */
  readonly exits: Readonly<Record<KvmExitName, number>>;
}

/** A vCPU's counters; which there are depends on the hypervisor. */
export type VcpuStats = WasmVcpuStats | KvmVcpuStats;

/** What a vCPU counts itself; its thread adds what the bus counts (vm/vcpu-thread.ts), a host what it samples. */
export type OwnWasmVcpuStats = Omit<WasmVcpuStats, keyof DeviceStats | 'times'>;
export type OwnKvmVcpuStats = Omit<KvmVcpuStats, keyof DeviceStats>;
export type OwnVcpuStats = OwnWasmVcpuStats | OwnKvmVcpuStats;
