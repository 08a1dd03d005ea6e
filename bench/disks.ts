/**
 * Disks in a guest beside QEMU's TCG: 4-KiB reads and writes past the guest's page cache, one after the other and at random, 32 at once, and one
 * at a time; on a raw image and on a qcow2 image. `node bench/disks.ts [--rounds N] [--requests N] [--out PATH]` writes docs/disk-performance.md.
 *
 * Both guests are Debian's cloud kernel with its own virtio drivers and one processor; images lie in the host's page cache. The systems take
 * turns, in another order each round.
 *
 * @module
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { CpioEntry } from '../guest/cpio.ts';
import { busyboxInitrd, debianKernel, debianModules, need } from '../test/guest/debian.ts';
import { describeEnvironment } from './environment.ts';
import { GuestProcess } from './guest-process.ts';
import { median } from './statistics.ts';
import { bootCommand, buildTypervisor, type GuestSystem } from './systems.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    requests: { type: 'string', default: '40000' },
    out: { type: 'string', default: fileURLToPath(new URL('../docs/disk-performance.md', import.meta.url)) },
  },
});
const rounds = Number(values.rounds);
const requests = Number(values.requests);

const DISK_MIB = 256;
const MEM_MIB = 512;
const LIMIT_MS = 300_000;
const SYSTEMS = ['qemu', 'typervisor'] as const;
const FORMATS = ['raw', 'qcow2'] as const;
type Format = (typeof FORMATS)[number];

/** As they are loaded. */
const MODULES = [
  'virtio/virtio',
  'virtio/virtio_ring',
  'virtio/virtio_pci_legacy_dev',
  'virtio/virtio_pci_modern_dev',
  'virtio/virtio_pci',
  'block/virtio_blk',
];

await buildTypervisor();
const folder = mkdtempSync(join(tmpdir(), 'typervisor-bench-'));

interface Guest {
  readonly kernel: string;
  readonly initrd: string;
  readonly release: string;
}

function buildGuest(): Guest {
  const cloud = need(debianKernel('cloud'));
  const program = join(folder, 'disk');
  const source = fileURLToPath(new URL('disk/disk.c', import.meta.url));
  execFileSync('gcc', [
    '-O2',
    '-std=gnu17',
    '-D_GNU_SOURCE',
    '-Wall',
    '-Wextra',
    '-Werror',
    '-static',
    '-o',
    program,
    source,
  ]);
  const drivers = join(need(debianModules('cloud')), 'lib/modules', cloud.release, 'kernel/drivers');
  const names = MODULES.map((path) => `${path.split('/').at(-1)}.ko`);
  const entries: CpioEntry[] = [
    { kind: 'directory', path: 'lib' },
    { kind: 'file', path: 'lib/disk', data: readFileSync(program), mode: 0o755 },
    ...MODULES.map((path, n): CpioEntry => {
      return { kind: 'file', path: `lib/${names[n]}`, data: readFileSync(join(drivers, `${path}.ko`)) };
    }),
  ];
  const script = `${names.map((name) => `insmod /lib/${name}`).join('\n')}\n/lib/disk /dev/vda ${DISK_MIB} ${requests}\necho ENDED`;
  const initrd = join(folder, 'initrd.cpio');
  writeFileSync(initrd, need(busyboxInitrd({ script, entries })));
  return { kernel: cloud.bzImage, initrd, release: cloud.release };
}

/** An image without holes. */
function buildImage(format: Format): string {
  const raw = join(folder, 'disk.raw');
  if (format === 'raw') {
    writeFileSync(raw, Buffer.alloc(DISK_MIB * 2 ** 20, 0xa5));
    return raw;
  }
  const path = join(folder, 'disk.qcow2');
  execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, path]);
  return path;
}

function command(system: GuestSystem, format: Format, image: string, boot: Guest): string[] {
  const { kernel, initrd } = boot;
  const base = bootCommand(system, { kernel, initrd, params: 'quiet poweroff_now', memMib: MEM_MIB });
  if (system === 'qemu') return [...base, '-drive', `file=${image},format=${format},if=virtio,cache=writeback`];
  return [...base, '-b', `${image},format=${format}`];
}

/** Seconds of each test, by its name. */
async function measure(system: GuestSystem, format: Format, line: string[]): Promise<Map<string, number>> {
  const guest = new GuestProcess(`${system} on ${format}`, line);
  try {
    const { text } = await guest.waitFor(/ENDED\r?\n/, LIMIT_MS);
    const results = [...text.matchAll(/^RESULT (\S+) ([\d.]+)\r?$/gm)].map(([, name, s]) => [name, Number(s)] as const);
    if (results.length !== 6) throw new Error(`${system} on ${format}: ${text.slice(-400)}`);
    return new Map(results.filter(([name]) => name !== 'warm-up') as [string, number][]);
  } finally {
    guest.kill();
    await guest.end();
  }
}

try {
  const boot = buildGuest();
  const images = new Map(FORMATS.map((format) => [format, buildImage(format)]));
  const seconds = new Map<string, number[]>();
  const environment = describeEnvironment(`Linux ${boot.release}`, MEM_MIB);
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? SYSTEMS : SYSTEMS.toReversed();
    for (const format of FORMATS) {
      for (const system of order) {
        const found = await measure(system, format, command(system, format, images.get(format) as string, boot));
        for (const [name, value] of found) {
          const key = `${format} ${name} ${system}`;
          seconds.set(key, [...(seconds.get(key) ?? []), value]);
        }
      }
    }
    console.error(`round ${round + 1} of ${rounds}`);
  }
  const rate = (name: string, s = Number.NaN): string =>
    Math.round((name.startsWith('one') ? requests / 8 : requests) / s).toLocaleString('en');
  const names = ['sequential-read', 'random-read', 'sequential-write', 'random-write', 'one-at-a-time-read'];
  const rows = FORMATS.flatMap((format) =>
    names.map((name) => {
      const [qemu, own] = SYSTEMS.map((system) => seconds.get(`${format} ${name} ${system}`) as number[]) as [
        number[],
        number[],
      ];
      const ratio = median(own.map((s, n) => s / (qemu[n] as number)));
      const cells = [
        format,
        name.replaceAll('-', ' '),
        rate(name, median(qemu)),
        rate(name, median(own)),
        (ratio ?? Number.NaN).toFixed(2),
      ];
      return `| ${cells.join(' | ')} |`;
    }),
  );
  const page = [
    '# Disks',
    '',
    'Written by `node bench/disks.ts`; do not edit. Requests of 4 KiB a second in a guest, past its page cache, 32 at once but for the last row of each format; medians',
    `over ${rounds} rounds, quotients of time within a round. ${requests.toLocaleString('en')} requests a test, an image of ${DISK_MIB} MiB in the host's page cache, QEMU with \`if=virtio,cache=writeback\`.`,
    '',
    '|  |  |',
    '|--|--|',
    ...environment.map(([name, value]) => `| ${name} | ${value} |`),
    '',
    '| image | requests | QEMU TCG, a second | typervisor, a second | time, typervisor ÷ QEMU TCG |',
    '|--|--|--:|--:|--:|',
    ...rows,
    '',
  ].join('\n');
  if (values.out === '-') console.log(page);
  else writeFileSync(values.out, page);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
