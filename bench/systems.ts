/**
 * What runs the programs: this machine itself, a guest of QEMU, a guest of typervisor. A session of a guest is one boot,
 * after which it takes commands (programs/guest-init.c).
 *
 * @module
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { planMachineMemory, WASM_PAGE_BYTES } from '../src/memory/machine-memory.ts';
import { VCPU_AREA_BYTES } from '../src/hypervisor/wasm/mmu/layout.ts';
import { buildPackage } from '../tools/build-package.ts';
import type { Program } from './programs.ts';
import { GuestProcess } from './guest-process.ts';
import { type GuestRam, residentMemory } from './process-memory.ts';

export const SYSTEMS = ['native', 'qemu', 'typervisor'] as const;
export type SystemName = (typeof SYSTEMS)[number];
export type GuestSystem = Exclude<SystemName, 'native'>;

export const TITLES: Readonly<Record<SystemName, string>> = {
  native: 'native',
  qemu: 'QEMU TCG',
  typervisor: 'typervisor',
};

/** typervisor as it is installed from npm. */
const PACKAGE = fileURLToPath(new URL('../.cache/package/', import.meta.url));
const TYPERVISOR = join(PACKAGE, 'bin/typervisor');
const BOOT_LIMIT_MS = 180_000;

export interface Boot {
  readonly kernel: string;
  readonly initrd?: string;
  /** Added to the kernel's command line. */
  readonly params?: string;
  readonly memMib: number;
  /** The port of the debug-exit device, for kernels that end with it. */
  readonly debugExit?: number;
  /** typervisor counts instructions, and is slower by what that costs. */
  readonly counts?: boolean;
}

/** Builds what `bootCommand` starts as typervisor, from the sources as they are. */
export async function buildTypervisor(): Promise<void> {
  await buildPackage(PACKAGE);
}

/** What typervisor puts on a Linux kernel's command line itself; QEMU's guest is told the same. */
const LINUX_PARAMS = 'console=ttyS0 panic=-1';

/** The command that boots a guest, with its first serial port on standard input and output. */
export function bootCommand(system: GuestSystem, boot: Boot): string[] {
  const { kernel, initrd, params = '', memMib, debugExit, counts } = boot;
  const own = params === '' ? [] : [params];
  if (system === 'typervisor') {
    return [
      ...[process.execPath, TYPERVISOR, 'run', kernel, '-m', `${memMib}`, '--no-reboot'],
      ...(counts === true ? ['--stats'] : []),
      ...(initrd === undefined ? [] : ['-i', initrd]),
      ...own.flatMap((text) => ['-p', text]),
      ...(debugExit === undefined ? [] : ['--debug-exit', `port=${debugExit}`]),
    ];
  }
  // biome-ignore format: an option and its value in a row
  return [
    'qemu-system-x86_64', '-accel', 'tcg', '-cpu', 'max', '-m', `${memMib}`, '-nographic', '-no-reboot',
    '-net', 'none', '-kernel', kernel,
    ...(initrd === undefined ? [] : ['-initrd', initrd]),
    '-append', [LINUX_PARAMS, ...own].join(' '),
    ...(debugExit === undefined ? [] : ['-device', `isa-debug-exit,iobase=${debugExit}`]),
  ];
}

/** The instructions that a guest executed, as typervisor's `--stats` gives them. */
export function instructionsOf(stats: string): number | undefined {
  const [, digits] = /^guest instructions\n +executed +([\d,]+)$/m.exec(stats) ?? [];
  return digits === undefined ? undefined : Number(digits.replaceAll(',', ''));
}

/** A program that did not do its work; the system that ran it is none the worse. */
export class ProgramError extends Error {
  override readonly name = 'ProgramError';
}

/** The seconds in what a program printed: "NAME seconds checksum". Throws ProgramError when it is not there. */
export function secondsOf(name: string, output: string): number {
  const [, seconds] = new RegExp(`^${name} (\\d+\\.\\d+) [0-9a-f]{16}\\r?$`, 'm').exec(output) ?? [];
  if (seconds === undefined) {
    throw new ProgramError(output.replace(/^DONE \d+\r?\n/m, '').trim() || `${name} printed nothing`);
  }
  return Number(seconds);
}

/** A system that is ready to run programs. */
export interface Session {
  /** Runs a program; its seconds. Throws ProgramError, or GuestError when the guest does not answer. */
  run(program: Program, units: number, limitMs: number): Promise<number>;
}

/** This machine. */
export function nativeSession(binary: string, busybox: string): Session {
  return {
    run: async ({ name }, units, limitMs) => {
      const env = { ...process.env, BENCH_BUSYBOX: busybox };
      const done = spawnSync(binary, [name, `${units}`], { encoding: 'utf8', env, timeout: limitMs });
      return secondsOf(name, done.stdout + done.stderr + (done.error?.message ?? ''));
    },
  };
}

export interface SessionEnd {
  /** MiB resident in the guest's process before it powered off, and what of them is guest RAM. */
  readonly residentMib: number | undefined;
  readonly guestRamMib: number | undefined;
  /** Instructions that the guest executed, where they were counted. */
  readonly instructions: number | undefined;
  /** What the programs measured, divided by what passed here from command to answer: 1, or somewhat less. */
  readonly clockShare: number | undefined;
}

const MIB = 0x10_0000;

/** Where a system has the RAM of its guest. */
export function guestRam(system: GuestSystem, memMib: number): GuestRam {
  const bytes = memMib * MIB;
  if (system === 'qemu') return { mappingBytes: bytes, offset: 0, bytes };
  const { pages, ram } = planMachineMemory({ ramBytes: bytes, vcpuCount: 1, vcpuBytes: VCPU_AREA_BYTES });
  return { mappingBytes: pages * WASM_PAGE_BYTES, offset: ram, bytes };
}

export class GuestSession implements Session {
  readonly #process: GuestProcess;
  readonly #ram: GuestRam;
  #insideSeconds = 0;
  #outsideSeconds = 0;

  private constructor(process: GuestProcess, ram: GuestRam) {
    this.#process = process;
    this.#ram = ram;
  }

  /** Boots a guest and waits until it takes commands. */
  static async start(system: GuestSystem, boot: Boot): Promise<GuestSession> {
    const process = new GuestProcess(TITLES[system], bootCommand(system, boot));
    try {
      await process.waitFor(/READY\r?\n/, BOOT_LIMIT_MS);
    } catch (error) {
      process.kill();
      await process.end();
      throw error;
    }
    return new GuestSession(process, guestRam(system, boot.memMib));
  }

  async run(program: Program, units: number, limitMs: number): Promise<number> {
    const started = performance.now();
    this.#process.send(`${program.name} ${units}\n`);
    const { text } = await this.#process.waitFor(/^DONE \d+\r?\n/m, limitMs);
    const seconds = secondsOf(program.name, text);
    this.#insideSeconds += seconds;
    this.#outsideSeconds += (performance.now() - started) / 1000;
    return seconds;
  }

  /** Powers the guest off. */
  async end(): Promise<SessionEnd> {
    const { pid } = this.#process;
    const resident = pid === undefined ? undefined : residentMemory(pid, this.#ram);
    this.#process.send('poweroff\n');
    const { stderr } = await this.#process.end();
    return {
      residentMib: resident?.total,
      guestRamMib: resident?.guest,
      instructions: instructionsOf(stderr),
      clockShare: this.#outsideSeconds > 0 ? this.#insideSeconds / this.#outsideSeconds : undefined,
    };
  }

  /** Ends a guest that does not answer. */
  async kill(): Promise<void> {
    this.#process.kill();
    await this.#process.end();
  }
}
