/**
 * Runs a probe on this CPU and on QEMU's TCG and lists where they differ:
 * `node test/system/compare.ts system|legacy [--record]`.
 *
 * Builds the probe first (gcc). With `--record` the image and what this CPU answered become what the tests expect; look
 * at every new difference before. README.md says which differences are QEMU's.
 *
 * @module
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { LEGACY_PROBE, runProbe, SYSTEM_PROBE } from './probe.ts';

const QEMU_CPU = 'max,vendor=GenuineIntel,family=6,model=54,stepping=1,-la57';
const EXAMPLES = 3;

const probe = [SYSTEM_PROBE, LEGACY_PROBE].find(({ name }) => name === process.argv[2]);
if (probe === undefined) throw new Error('usage: node test/system/compare.ts system|legacy [--record]');
const { name, image: recordedImage, expected } = probe;

function build(image: string, flags: string): void {
  const { status } = spawnSync(fileURLToPath(new URL('build.sh', import.meta.url)), [name, image], {
    stdio: 'inherit',
    env: { ...process.env, PROBE_FLAGS: flags },
  });
  if (status !== 0) throw new Error('the probe cannot be built');
}

const work = mkdtempSync(join(tmpdir(), 'typervisor-probe-'));
try {
  const image = join(work, 'probe.elf');
  build(image, '-DWORDS');
  const ours = runProbe(image);
  const log = join(work, 'qemu.log');
  const qemu = spawnSync(
    'qemu-system-x86_64',
    [
      '-accel',
      'tcg',
      '-cpu',
      QEMU_CPU,
      '-m',
      '128',
      '-display',
      'none',
      '-serial',
      `file:${log}`,
      '-no-reboot',
      '-net',
      'none',
      '-device',
      'isa-debug-exit,iobase=0xf4',
      '-kernel',
      image,
    ],
    { timeout: 120_000 },
  );
  if (qemu.error !== undefined) throw qemu.error;
  const theirs = readFileSync(log, 'latin1').trimEnd().split('\n');
  console.log(`${ours.length} lines here, ${theirs.length} on QEMU`);
  const groups = new Map<string, string[]>();
  for (const [index, line] of ours.entries()) {
    const left = line.split(' ');
    const right = (theirs[index] ?? '').split(' ');
    for (const [column, word] of left.entries()) {
      const other = right[column] ?? 'nothing';
      if (word === other) continue;
      const group = `${left[0]} column ${column}: ${word.replace(/=.*/, '')} here, ${other.replace(/=.*/, '')} on QEMU`;
      groups.set(group, [...(groups.get(group) ?? []), line.slice(0, 30)]);
    }
  }
  for (const [group, lines] of [...groups].sort((a, b) => b[1].length - a[1].length)) {
    console.log(`${String(lines.length).padStart(5)}  ${group}   ${lines.slice(0, EXAMPLES).join(' | ')}`);
  }
  if (process.argv.includes('--record')) {
    build(recordedImage, '');
    writeFileSync(expected, gzipSync(`${runProbe(recordedImage).join('\n')}\n`, { level: 9 }));
    console.log('recorded');
  }
} finally {
  rmSync(work, { recursive: true });
}
