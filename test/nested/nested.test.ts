/**
 * Whole Linux guests on KVM: on a host in QEMU, whose TCG emulates a processor with SVM. Every check starts `typervisor run` there and
 * answers within its time.
 */
import assert from 'node:assert/strict';
import { GuestModules, PMEM_DRIVERS, waitForDevices } from '../guest/guest-modules.ts';
import type { Nest } from '../guest/nest.ts';
import { checksInNest } from './checks.ts';

const check = checksInNest();
/** Debian's userland and the embedded guest's. */
const GUEST_PROMPT = /(typervisor:[^\n]*|~|\/) ?# $/;
const GREETING = /This is the embedded guest of typervisor/;
const MIB_IN_KIB = 1024;

/** Boots Debian's kernel to its shell. */
async function debian(nest: Nest, options: string): Promise<void> {
  nest.start(`typervisor run --hypervisor kvm ${options} -p quiet /vmlinuz -i /initrd`);
  await nest.see(/^BOOT-OK/m);
  await nest.see(GUEST_PROMPT);
}

/** KiB of a line of /proc/meminfo. */
const memTotal = (meminfo: string): number => Number(/MemTotal: +(\d+) kB/.exec(meminfo)?.[1]);

check('the host has KVM on a processor with SVM, and auto takes it', async (nest) => {
  assert.match(await nest.output('ls -l /dev/kvm; grep -o -m1 svm /proc/cpuinfo'), /\/dev\/kvm\nsvm$/);
  nest.start('typervisor run --log-level info -p \'typervisor.run="uname -r"\'');
  await nest.see(/^typervisor: hypervisor: KVM \(system calls by koffi\)$/m);
  await nest.see(/^6\.[\d.]+-typervisor$/m);
  assert.equal(await nest.ended(), 0);
});

/** Tests that depend on the KVM under them: most test machines have one that does not run whole kernels. */
const TESTS = [
  ['vCPUs', 'src/hypervisor/kvm/vcpu.test.ts', ''],
  ['virtual machines', 'src/hypervisor/kvm/vm.test.ts', '--test-skip-pattern=thousand'],
  ['getting a vCPU out', 'src/hypervisor/kvm/kick.test.ts', ''],
] as const;

for (const [what, file, options] of TESTS) {
  check(`the tests of ${what} pass on this KVM`, async (nest) => {
    const { passed, failed } = await nest.tests(file, options);
    assert.equal(failed, 0, nest.tail);
    assert.ok(passed > 0, nest.tail);
  });
}

for (const count of [1, 2, 4]) {
  check(`Debian's kernel boots to a shell with ${count} vCPUs, takes input, and powers off`, async (nest) => {
    await debian(nest, `-m 512 -c num-cores=${count}`);
    assert.equal(await nest.output('grep -c ^processor /proc/cpuinfo'), `${count}`);
    assert.match(await nest.output('dmesg | grep Hypervisor'), /Hypervisor detected: KVM/);
    // Every processor takes its own timer interrupts.
    const timers = /LOC: ((?: *\d+){1,8}) /.exec(await nest.output('grep LOC: /proc/interrupts'))?.[1]?.trim() ?? '';
    const counts = timers.split(/ +/).map(Number);
    assert.equal(counts.length, count);
    assert.ok(
      counts.every((value) => value > 0),
      timers,
    );
    const total = memTotal(await nest.output('cat /proc/meminfo'));
    assert.ok(total > 420 * MIB_IN_KIB && total < 512 * MIB_IN_KIB, `${total} kB`);
    assert.equal(
      await nest.output('cat /sys/devices/system/clocksource/clocksource0/current_clocksource'),
      'kvm-clock',
    );
    nest.type('poweroff -f\n');
    assert.equal(await nest.ended(), 0);
  });
}

check(
  'with --irqchip split inputs of the IO-APIC interrupt on edges and, until their end is told, on levels',
  async (nest) => {
    await nest.output('truncate -s 16M /tmp/split');
    // Without messages the device has a level-triggered input, and each flush an interrupt.
    await debian(nest, '-m 256 -c num-cores=2 --irqchip split --pmem /tmp/split -p pci=nomsi');
    assert.match(await nest.output('grep ttyS0 /proc/interrupts'), /IO-APIC +4-edge +ttyS0$/);
    await nest.output(new GuestModules('pci', PMEM_DRIVERS).loadCommand);
    await nest.output(waitForDevices('/dev/pmem0'));
    const flushes = 'for n in 1 2 3 4 5; do dd if=/dev/zero of=/dev/pmem0 bs=4096 count=1 conv=fsync; done 2>/dev/null';
    await nest.output(flushes);
    const [, one, two] = /^ *\d+: +(\d+) +(\d+) +IO-APIC +\d+-fasteoi .*virtio/m.exec(
      await nest.output('cat /proc/interrupts'),
    ) as RegExpExecArray;
    assert.ok(Number(one) + Number(two) >= 5, `${one} and ${two} interrupts`);
    nest.type('reboot -f\n');
    await nest.see(/^BOOT-OK/m);
    await nest.see(GUEST_PROMPT);
    assert.equal(await nest.output('grep -c ^processor /proc/cpuinfo'), '2');
    nest.type('poweroff -f\n');
    assert.equal(await nest.ended(), 0);
  },
);

check('with --irqchip split a guest that has no IO-APIC takes its input by the 8259 pair', async (nest) => {
  await debian(nest, '-m 256 --irqchip split -p noapic');
  const count = async (): Promise<number> =>
    Number(/^ *4: +(\d+) +XT-PIC .*ttyS0$/m.exec(await nest.output('cat /proc/interrupts'))?.[1]);
  const before = await count();
  assert.ok(before > 0, `${before} interrupts`);
  assert.ok((await count()) > before);
  nest.type('poweroff -f\n');
  assert.equal(await nest.ended(), 0);
});

check('memory on both sides of the PCI hole is there', async (nest) => {
  await debian(nest, '-m 4608');
  const iomem = await nest.output('grep RAM /proc/iomem');
  assert.match(iomem, /^00100000-cfffffff : System RAM$/m);
  assert.match(iomem, /^100000000-14fffffff : System RAM$/m);
  const total = memTotal(await nest.output('cat /proc/meminfo'));
  assert.ok(total > 4300 * MIB_IN_KIB, `${total} kB`);
  nest.type('poweroff -f\n');
  assert.equal(await nest.ended(), 0);
});

for (const [where, memory, address] of [
  ['behind RAM', 256, '10000000-13ffffff'],
  ['at 4 GiB, where it would reach the PCI hole', 3300, '100000000-103ffffff'],
] as const) {
  check(`persistent memory ${where} is a file of the host`, async (nest) => {
    await nest.output('echo from the host > /tmp/pmem; truncate -s 64M /tmp/pmem');
    await debian(nest, `-m ${memory} --pmem /tmp/pmem`);
    await nest.output(new GuestModules('pci', PMEM_DRIVERS).loadCommand);
    await nest.output(waitForDevices('/dev/pmem0'));
    assert.match(await nest.output('cat /proc/iomem'), new RegExp(`^${address} : namespace0.0$`, 'm'));
    assert.equal(await nest.output('head -n 1 /dev/pmem0'), 'from the host');
    await nest.output('echo from the guest | dd of=/dev/pmem0 bs=4096 conv=sync,fsync');
    nest.type('poweroff -f\n');
    assert.equal(await nest.ended(), 0);
    assert.equal(await nest.output('head -n 1 /tmp/pmem; stat -c %s /tmp/pmem'), 'from the guest\n67108864');
  });
}

check('a long paste into the serial port arrives whole', async (nest) => {
  nest.start('typervisor run --hypervisor kvm');
  await nest.see(GUEST_PROMPT);
  const lines = Array.from({ length: 60 }, (_, index) => `echo line ${index} of the paste >> /tmp/paste`);
  nest.type(`${lines.join('\n')}\n`);
  assert.equal(await nest.output('sync; wc -l < /tmp/paste; tail -n 1 /tmp/paste'), '60\nline 59 of the paste');
  nest.type('poweroff -f\n');
  assert.equal(await nest.ended(), 0);
});

check('a reboot boots again in place, and the power button is not needed to end it', async (nest) => {
  nest.start('typervisor run --hypervisor kvm -c num-cores=2');
  await nest.see(GREETING);
  await nest.see(GUEST_PROMPT);
  await nest.output('echo before > /tmp/file');
  nest.type('reboot -f\n');
  await nest.see(GREETING);
  await nest.see(GUEST_PROMPT);
  assert.equal(await nest.output('cat /tmp/file 2>/dev/null || echo new'), 'new');
  nest.type('reboot -f\n');
  await nest.see(GREETING);
  await nest.see(GUEST_PROMPT);
  nest.type('poweroff\n');
  assert.equal(await nest.ended(), 0);
});

/** What the host's largest process has in memory when the guest is full, and when it has given back, in KiB: beside guest RAM what Node has. */
const RESIDENT = {
  anonymous: { field: 'RssAnon', option: 'kvm', full: 300_000, empty: 250_000 },
  memfd: { field: 'RssShmem', option: 'kvm,memfd', full: 250_000, empty: 150_000 },
} as const;

for (const [kind, { field, option, full, empty }] of Object.entries(RESIDENT)) {
  check(
    `${kind} memory: a guest gives up all but --init-mem at the start, and what it frees leaves the memory of the host`,
    async (nest) => {
      const rss = `$(grep -h ${field} /proc/[0-9]*/status 2>/dev/null | sed 's/[^0-9]//g' | sort -n | tail -n 1)`;
      const wait = (condition: string): string => `until [ ${condition} ]; do sleep 1; done`;
      const watch = `${wait(`${rss} -gt ${full}`)}; echo "fil"led; ${wait(`${rss} -lt ${empty}`)}; echo "given"' back'`;
      await nest.output(`(${watch}) & true`);
      nest.start(`typervisor run --hypervisor ${option} -m 512 --init-mem 384 --balloon-page-reporting`);
      await nest.see(GUEST_PROMPT);
      await nest.output(wait("$(sed -n 's/^MemFree: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo) -lt 372000"));
      nest.type('mkdir /m; mount -t tmpfs -o size=300m m /m; dd if=/dev/zero of=/m/file bs=1M count=250\n');
      await nest.see(/filled/);
      nest.type('rm /m/file\n');
      await nest.see(/given back/);
      nest.type('poweroff -f\n');
      assert.equal(await nest.ended(), 0);
    },
  );
}

check('a panic ends with status 34', async (nest) => {
  nest.start('typervisor run --hypervisor kvm');
  await nest.see(GUEST_PROMPT);
  nest.type('echo c > /proc/sysrq-trigger\n');
  assert.equal(await nest.ended(), 34);
});

check('Ctrl-A x ends a guest in the middle of its work', async (nest) => {
  nest.start('typervisor run --hypervisor kvm -c num-cores=2');
  await nest.see(GUEST_PROMPT);
  nest.type('while :; do :; done\n');
  nest.type('\x01x');
  assert.equal(await nest.ended(), 0);
});
