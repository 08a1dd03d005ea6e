/**
 * How long a guest takes to its init on KVM, under typervisor and under QEMU, on the same host with the same kernel and initrd:
 * `node bench/nested.ts [--rounds N] [--out PATH]` writes docs/kvm-performance.md. The host is the nest of test/guest/nest.ts, so any machine
 * with QEMU will do.
 *
 * Everything is emulated there, Node and QEMU with it, so that only ratios say something. A round is one boot under each, in turns; the
 * first, in which Node compiles, is not counted.
 *
 * @module
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { debianKernel, need } from '../test/guest/debian.ts';
import { Nest, skipWithoutNest } from '../test/guest/nest.ts';
import { describeEnvironment } from './environment.ts';
import { median } from './statistics.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    out: { type: 'string', default: fileURLToPath(new URL('../docs/kvm-performance.md', import.meta.url)) },
  },
});
const rounds = Number(values.rounds);

const MEMORY_MIB = 256;
const PARAMETERS = 'panic=-1 quiet poweroff_now';
/** On a machine whose cores are taken a boot takes minutes. */
const BOOT_LIMIT_MS = 600_000;
/** The goal of the boot's time beside QEMU's. */
const GOAL = 1.1;

/** Neither has devices beside what a PC has and a serial port. */
const MACHINE = `-m ${MEMORY_MIB} --no-rng --no-balloon -p "${PARAMETERS}" /vmlinuz -i /initrd`;
const SYSTEMS = {
  typervisor: `typervisor run --hypervisor kvm ${MACHINE}`,
  'typervisor, split irqchip': `typervisor run --hypervisor kvm --irqchip split ${MACHINE}`,
  QEMU:
    `qemu -L /usr/share/qemu -accel kvm -cpu host -m ${MEMORY_MIB} -nodefaults -vga none -display none -serial stdio ` +
    `-no-reboot -kernel /vmlinuz -initrd /initrd -append "console=ttyS0 ${PARAMETERS}"`,
} as const;
type SystemName = keyof typeof SYSTEMS;
const NAMES = Object.keys(SYSTEMS) as SystemName[];

interface Boot {
  /** From the command to what init prints first. */
  readonly seconds: number;
  /** The guest's own clock there: without the start of the monitor and the load of the kernel. */
  readonly guestSeconds: number;
}

async function boot(nest: Nest, command: string): Promise<Boot> {
  const started = performance.now();
  nest.start(command);
  const [, uptime] = await nest.see(/^BOOT-OK (\S+)\n/m, BOOT_LIMIT_MS);
  const seconds = (performance.now() - started) / 1000;
  await nest.ended(BOOT_LIMIT_MS);
  return { seconds, guestSeconds: Number(uptime) };
}

/** What a boot asks of typervisor: lines of `--stats`. */
async function counts(nest: Nest): Promise<[name: string, count: string][]> {
  nest.start(`${SYSTEMS.typervisor} --stats`);
  const found: [string, string][] = [];
  for (const name of ['port access', 'device memory access', 'device calls', 'posted writes']) {
    const [, count = ''] = await nest.see(new RegExp(`^ +${name} +([\\d,]+)\\b.*\\n`, 'm'), BOOT_LIMIT_MS);
    found.push([name, count]);
  }
  await nest.ended(BOOT_LIMIT_MS);
  return found;
}

const obstacle = skipWithoutNest();
if (obstacle !== false) {
  console.error(`nothing measured: ${obstacle}`);
  process.exit(1);
}
const environment = describeEnvironment(`Linux ${need(debianKernel('cloud')).release}`, MEMORY_MIB);
await using nest = await Nest.boot(2);
const boots: Record<SystemName, Boot[]> = { typervisor: [], 'typervisor, split irqchip': [], QEMU: [] };
for (let round = 0; round <= rounds; round++) {
  for (const name of round % 2 === 0 ? NAMES : NAMES.toReversed()) {
    const { seconds, guestSeconds } = await boot(nest, SYSTEMS[name]);
    console.log(`${name}: init after ${seconds.toFixed(1)} s, ${guestSeconds.toFixed(2)} s of the guest`);
    if (round > 0) boots[name].push({ seconds, guestSeconds });
  }
}
const counted = await counts(nest);

/** Seconds, and the median of the quotients within a round. */
function cells(name: SystemName, what: keyof Boot): [seconds: string, quotient: string] {
  const quotients = boots[name].map((one, round) => one[what] / (boots.QEMU[round]?.[what] ?? Number.NaN));
  const seconds = median(boots[name].map((one) => one[what])) ?? Number.NaN;
  return [seconds.toFixed(2), (median(quotients) ?? Number.NaN).toFixed(2)];
}
const row = (...columns: readonly string[]): string => `| ${columns.join(' | ')} |`;
const page = [
  '# Boots on KVM',
  '',
  `Written by \`node bench/nested.ts\`; do not edit. Debian's cloud kernel to its init on KVM, on a host with two processors that QEMU emulates: only quotients say something. Neither machine has virtio devices. ` +
    `Seconds are medians over ${rounds} rounds, quotients medians of those within a round.`,
  '',
  row('', ''),
  '|--|--|',
  ...environment.filter(([name]) => name !== 'compiler').map(([name, value]) => row(name, value)),
  '',
  row('system', 'to init, s', '÷ QEMU', "by the guest's clock, s", '÷ QEMU'),
  '|--|--:|--:|--:|--:|',
  ...NAMES.map((name) => row(name, ...cells(name, 'seconds'), ...cells(name, 'guestSeconds'))),
  '',
  `The goal is ${GOAL.toFixed(1)} times QEMU's time to init: ${Number(cells('typervisor', 'seconds')[1]) <= GOAL ? 'met' : '**not met**'} here.`,
  '',
  row('what a boot asks of typervisor', ''),
  '|--|--:|',
  ...counted.map(([name, count]) => row(name, count)),
  '',
].join('\n');
if (values.out === '-') console.log(page);
else writeFileSync(values.out, page);
