/**
 * How long a guest takes to its init on KVM, under typervisor and under QEMU, on the same host with the same kernel and initrd:
 * `node bench/nested.ts [ROUNDS]`. The host is the nest of test/guest/nest.ts, so any machine with QEMU will do.
 *
 * Everything is emulated there, Node and QEMU with it, so that only ratios say something. A round is one boot under each; the first, in
 * which Node compiles, is not counted.
 *
 * @module
 */
import { Nest, skipWithoutNest } from '../test/guest/nest.ts';
import { median } from './statistics.ts';

const MEMORY_MIB = 256;
const PARAMETERS = 'panic=-1 quiet poweroff_now';
const BOOT_LIMIT_MS = 600_000;

const SYSTEMS = {
  typervisor: `typervisor run --hypervisor kvm -m ${MEMORY_MIB} -p "${PARAMETERS}" /vmlinuz -i /initrd`,
  QEMU:
    `qemu -L /usr/share/qemu -accel kvm -cpu host -m ${MEMORY_MIB} -nodefaults -vga none -display none -serial stdio ` +
    `-no-reboot -kernel /vmlinuz -initrd /initrd -append "console=ttyS0 ${PARAMETERS}"`,
} as const;

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
  await nest.ended();
  return { seconds, guestSeconds: Number(uptime) };
}

const obstacle = skipWithoutNest();
if (obstacle !== false) {
  console.error(`nothing measured: ${obstacle}`);
  process.exit(1);
}
const rounds = Number(process.argv[2] ?? 3);
await using nest = await Nest.boot(2);
const boots: Record<keyof typeof SYSTEMS, Boot[]> = { typervisor: [], QEMU: [] };
for (let round = 0; round <= rounds; round++) {
  for (const name of ['typervisor', 'QEMU'] as const) {
    const measured = await boot(nest, SYSTEMS[name]);
    console.log(
      `${name}: init after ${measured.seconds.toFixed(1)} s, ${measured.guestSeconds.toFixed(2)} s of the guest`,
    );
    if (round > 0) boots[name].push(measured);
  }
}
for (const what of ['seconds', 'guestSeconds'] as const) {
  const of = (name: keyof typeof SYSTEMS): number => median(boots[name].map((one) => one[what])) ?? Number.NaN;
  const [ours, theirs] = [of('typervisor'), of('QEMU')];
  console.log(`${what}: ${ours.toFixed(2)} / ${theirs.toFixed(2)} = ${(ours / theirs).toFixed(2)}`);
}
