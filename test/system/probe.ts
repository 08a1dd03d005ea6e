/**
 * The recorded probes, and how they run here.
 *
 * @module
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { NODE } from '../e2e/console.ts';

/** A Multiboot kernel that asks the processor questions, as it is recorded. */
export interface Probe {
  /** What build.sh calls it. */
  readonly name: 'system' | 'legacy';
  readonly image: string;
  /** Its answers, gzipped. */
  readonly expected: string;
}

const recorded = (name: Probe['name'], stem: string): Probe => ({
  name,
  image: fileURLToPath(new URL(`recorded/${stem}.elf`, import.meta.url)),
  expected: fileURLToPath(new URL(`recorded/${stem}.expected.gz`, import.meta.url)),
});

/** Long mode: the privileged architecture of 64-bit kernels. */
export const SYSTEM_PROBE: Probe = recorded('system', 'probe');
/** Everything below: 16- and 32-bit protected mode, virtual-8086 mode, real mode. */
export const LEGACY_PROBE: Probe = recorded('legacy', 'legacy-probe');

const LAUNCHER = fileURLToPath(new URL('../../bin/typervisor', import.meta.url));
const LIMIT_MS = 240_000;
/** The probe ends by writing 0 to the debug-exit port. */
const DONE = 1;

/** Runs a probe image on typervisor; returns the lines it prints. */
export function runProbe(image: string): string[] {
  const work = mkdtempSync(join(tmpdir(), 'typervisor-probe-'));
  try {
    const log = join(work, 'serial.log');
    const { status, stderr } = spawnSync(
      NODE,
      [
        LAUNCHER,
        'run',
        '-m',
        '128',
        '--no-reboot',
        '--debug-exit',
        'port=0xf4',
        '--serial',
        `type=file,num=1,path=${log}`,
        image,
      ],
      { timeout: LIMIT_MS, input: '' },
    );
    if (status !== DONE) throw new Error(`the probe ended with status ${status}: ${stderr.toString()}`);
    return readFileSync(log, 'latin1').trimEnd().split('\n');
  } finally {
    rmSync(work, { recursive: true });
  }
}

/** The recorded answers. */
export const expectedLines = (probe: Probe): string[] =>
  gunzipSync(readFileSync(probe.expected)).toString('latin1').trimEnd().split('\n');
