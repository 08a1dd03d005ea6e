/**
 * What src/boot leaves in memory, judged by real kernels on another machine: QEMU starts them in the state that prepareBoot
 * gave (qemu-machine.ts). Fails when a loader, a table, the page tables or the initial registers are wrong.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { type BootOptions, prepareBoot } from '../../src/boot/boot.ts';
import { fileFromBytes } from '../../src/boot/byte-file.ts';
import { GuestMemory } from '../../src/memory/guest-memory.ts';
import { busyboxInitrd, debianKernel, debianVmlinux, need, skipReason, skipWithout } from '../guest/debian.ts';
import { buildElf, MIB, multibootHeader } from './images.ts';
import { type QemuRun, runOnQemu } from './qemu-machine.ts';

const LIMIT_MS = 600_000;
const qemu = skipWithout('qemu-system-x86_64');
const cloud = qemu ? ({ ok: false, reason: qemu } as const) : debianKernel('cloud');
const vmlinux = qemu ? ({ ok: false, reason: qemu } as const) : debianVmlinux('cloud');
const full = qemu ? ({ ok: false, reason: qemu } as const) : debianKernel('full');

async function run(kernel: Uint8Array, more: Partial<BootOptions> = {}): Promise<QemuRun> {
  const ramBytes = 128 * MIB;
  const memory = new GuestMemory(new ArrayBuffer(ramBytes), 0, ramBytes);
  const vcpuCount = more.vcpuCount ?? 1;
  const state = prepareBoot({
    memory,
    ramBytes,
    vcpuCount,
    kernel: fileFromBytes('kernel', kernel),
    commandLine: 'console=ttyS0 quiet no_timer_check',
    random: (into) => void crypto.getRandomValues(into),
    ...more,
  });
  return await runOnQemu(memory, state, vcpuCount, LIMIT_MS);
}

/** An initrd whose init prints what `script` prints, then resets the machine the way ACPI says. */
const reporter = (script: string) => fileFromBytes('initrd', need(busyboxInitrd({ script: `${script}\nreboot -f` })));

test("Debian's bzImage takes firmware tables, memory map, seed and initrd from its 64-bit entry", {
  skip: skipReason(cloud),
}, async () => {
  const initrd = reporter('dmesg; ls /sys/bus/acpi/devices; cat /sys/class/dmi/id/product_uuid');
  const kernel = readFileSync(need(cloud).bzImage);
  const uuid = '00112233-4455-6677-8899-aabbccddeeff';
  const { serial, status } = await run(kernel, { initrd, vcpuCount: 2, smbios: { uuid } });
  assert.equal(status, 0, serial);
  assert.match(serial, /BOOT-OK/);
  assert.match(serial, /BIOS-e820: \[mem 0x0000000000000000-0x000000000009e7ff\] usable/);
  assert.match(serial, /BIOS-e820: \[mem 0x0000000000100000-0x0000000007ffffff\] usable/);
  assert.match(serial, /\[ +0\.000000\] random: crng init done/, 'the RNG seed was not taken');
  assert.match(serial, /DMI: typervisor typervisor, BIOS 0/);
  assert.match(serial, /ACPI: RSDP 0x00000000000E0000/);
  assert.match(serial, /ACPI: PM-Timer IO Port: 0x608/);
  assert.match(serial, /ACPI: INT_SRC_OVR \(bus 0 bus_irq 0 global_irq 2/);
  assert.match(serial, /Brought up 1 node, 2 CPUs/);
  assert.match(serial, /MMCONFIG at \[mem 0xf4000000-0xf40fffff\] reserved in E820/);
  assert.match(serial, /ACPI: PM: \(supports S0 S5\)/);
  assert.match(serial, /_OSC: OS now controls \[PCIeHotplug PME AER PCIeCapability\]/);
  assert.match(serial, /pci_bus 0000:00: root bus resource \[mem 0xd0000000-0xf3ffffff window\]/);
  assert.match(serial, /ttyS0 at I\/O 0x3f8 \(irq = 4/);
  assert.match(serial, /i8042: PNP: No PS\/2 controller found/);
  assert.match(serial, /rtc_cmos [0-9a-f:]+: registered as rtc0/);
  for (const device of ['ACPI0007:01', 'PNP0501:03', 'PNP0A08:00', 'QEMU0001:00', 'LNXPWRBN:00']) {
    assert.ok(serial.includes(device), `${device} is missing`);
  }
  assert.match(serial, new RegExp(uuid));
  assert.doesNotMatch(
    serial,
    /ACPI (BIOS )?(Error|Warning)|ACPI: .*(invalid|bad|checksum error)|Firmware (Bug|Warn)|Kernel panic/i,
  );
});

test("Debian's bzImage boots from its 32-bit entry", { skip: skipReason(cloud) }, async () => {
  const kernel = readFileSync(need(cloud).bzImage);
  kernel.writeUInt16LE(0, 0x236); // xloadflags: no 64-bit entry
  const { serial, status } = await run(kernel, { initrd: reporter('') });
  assert.equal(status, 0, serial);
  assert.match(serial, /BOOT-OK/);
});

for (const entry of ['linux', 'pvh'] as const) {
  test(`Debian's vmlinux boots from its ${entry} entry`, { skip: skipReason(vmlinux) }, async () => {
    const { serial, status } = await run(readFileSync(need(vmlinux)), { initrd: reporter('dmesg'), entry });
    assert.equal(status, 0, serial);
    assert.match(serial, /BOOT-OK/);
    assert.match(serial, /Command line: console=ttyS0 quiet/);
    assert.match(serial, /ACPI: RSDP 0x00000000000E0000/);
  });
}

test('a kernel without ACPI finds processors and interrupts in the MP table', { skip: skipReason(full) }, async () => {
  const kernel = readFileSync(need(full).bzImage);
  const { serial, status } = await run(kernel, {
    initrd: reporter('dmesg'),
    vcpuCount: 2,
    commandLine: 'console=ttyS0 quiet acpi=off no_timer_check',
  });
  assert.equal(status, 0, serial);
  assert.match(serial, /BOOT-OK/);
  assert.match(serial, /found SMP MP-table at \[mem 0x0009fff0-0x0009ffff\]/);
  assert.match(serial, /MPTABLE: OEM ID: TYPVISOR/);
  assert.match(serial, /Brought up 1 node, 2 CPUs/);
  assert.match(serial, /\.\.TIMER: vector=0x[0-9a-f]+ apic1=0 pin1=2/);
});

/** Prints the command line and the text of the first module to COM1 when EAX holds the magic, then resets the machine. */
const MULTIBOOT_CODE = Uint8Array.from(
  [
    [0x3d, 0x02, 0xb0, 0xad, 0x2b, 0x75, 0x17], // cmp eax, magic; jne reset
    [0xba, 0xf8, 0x03, 0x00, 0x00], // mov edx, 0x3f8
    [0x8b, 0x73, 0x10, 0xe8, 0x14, 0x00, 0x00, 0x00], // mov esi, [ebx + cmdline]; call print
    [0x8b, 0x73, 0x18, 0x8b, 0x36, 0xe8, 0x0a, 0x00, 0x00, 0x00], // esi = [[ebx + mods_addr]]; call print
    [0x66, 0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee, 0xf4, 0xeb, 0xfd], // reset: out 0xcf9, 6; hlt; jmp
    [0xac, 0x84, 0xc0, 0x74, 0x03, 0xee, 0xeb, 0xf8, 0xc3], // print: lodsb; test al, al; jz +3; out dx, al; jmp; ret
  ].flat(),
);

test('a Multiboot kernel finds magic, command line and module', { skip: qemu }, async () => {
  const prefix = multibootHeader(3);
  const kernel = buildElf({ bits: 32, entry: MIB, prefix, segments: [{ paddr: MIB, data: MULTIBOOT_CODE }] });
  const module = new TextEncoder().encode(' and the module\n\0');
  const { serial, status } = await run(kernel, {
    commandLine: 'command line',
    initrd: fileFromBytes('module', module),
  });
  assert.equal(status, 0);
  assert.equal(serial, 'command line and the module\n');
});
