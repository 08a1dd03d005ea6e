/**
 * What is measured from outside, from the start of a process to a sign of life on the serial port: whole boots, and the
 * first guest instruction.
 *
 * @module
 */
import { type Boot, bootCommand, type GuestSystem, TITLES } from './systems.ts';
import { GuestProcess } from './guest-process.ts';
import { SIGN_BYTE } from './programs.ts';

const LIMIT_MS = 180_000;

export interface BootTimes {
  /** Seconds from the start of the process to the pattern. */
  readonly signSeconds: number;
  /** Seconds from the start of the process to its end. */
  readonly endSeconds: number;
}

export interface BootKind {
  readonly name: string;
  /** What the seconds to the sign and to the end are, for the table; the end is measured for all, shown where it is named. */
  readonly sign: string;
  readonly end?: string;
  readonly boot: Boot;
  readonly pattern: RegExp;
  /** Sent after the sign, to make the guest end. */
  readonly send?: string;
  /** Wanted status of the process. */
  readonly status: number;
}

/** Boots once. Throws GuestError when the guest does not say or end as it should. */
export async function measureBoot(system: GuestSystem, kind: BootKind): Promise<BootTimes> {
  const guest = new GuestProcess(`${kind.name} under ${TITLES[system]}`, bootCommand(system, kind.boot));
  try {
    const { atMs } = await guest.waitFor(kind.pattern, LIMIT_MS);
    if (kind.send !== undefined) guest.send(kind.send);
    const end = await guest.end(LIMIT_MS);
    if (end.status !== kind.status)
      throw new Error(`${kind.name} under ${TITLES[system]} ended with status ${end.status}`);
    return { signSeconds: atMs / 1000, endSeconds: end.atMs / 1000 };
  } finally {
    guest.kill();
    await guest.end();
  }
}

export interface BootImages {
  readonly debianKernel: string | undefined;
  readonly embeddedKernel: string;
  readonly embeddedInitrd: string;
  readonly benchInitrd: string;
  readonly tinyKernel: string;
  readonly debugExitPort: number;
  readonly memMib: number;
}

/** What is booted. */
export function bootKinds(images: BootImages): BootKind[] {
  const { memMib } = images;
  const kinds: BootKind[] = [
    {
      name: 'start',
      sign: 'first guest instruction (a Multiboot kernel writes to the serial port)',
      boot: { kernel: images.tinyKernel, memMib, debugExit: images.debugExitPort },
      pattern: new RegExp(String.fromCharCode(SIGN_BYTE)),
      // The debug-exit device's (0 << 1) | 1.
      status: 1,
    },
    {
      name: 'embedded',
      sign: "embedded guest to its shell's prompt",
      boot: { kernel: images.embeddedKernel, initrd: images.embeddedInitrd, params: 'quiet', memMib },
      pattern: /typervisor:~# $/,
      send: 'poweroff -f\n',
      status: 0,
    },
  ];
  if (images.debianKernel !== undefined) {
    kinds.push({
      name: 'debian',
      sign: "Debian's cloud kernel to init, with its messages on the console",
      end: "Debian's cloud kernel to power-off",
      boot: { kernel: images.debianKernel, initrd: images.benchInitrd, params: 'BENCH_POWEROFF=1', memMib },
      pattern: /READY\r?\n/,
      status: 0,
    });
  }
  return kinds;
}
