/** The embedded guest on another machine, QEMU's TCG: what fails here is the guest's fault, not typervisor's. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { extractVmlinux } from '../../tools/extract-vmlinux.ts';
import { QemuGuest, type QemuOptions, skipWithoutQemu } from './qemu.ts';

const image = (name: string): string => fileURLToPath(new URL(`../../guest/images/${name}`, import.meta.url));
const skip = skipWithoutQemu();
const PROMPT = /typervisor:~# $/;

function boot(options: Partial<QemuOptions> = {}): QemuGuest {
  return new QemuGuest({
    kernel: image('vmlinuz'),
    initrd: image('initrd.img'),
    append: 'console=ttyS0 quiet',
    ...options,
  });
}

test('the guest greets, answers, and powers off, and prints nothing else', { skip }, async () => {
  await using guest = boot();
  await guest.see(PROMPT);
  guest.type('echo $((6 * 7)); whoami; tty; pwd\n');
  await guest.see(/42\nroot\n\/dev\/ttyS0\n\/root\ntypervisor:~# $/);
  guest.type('poweroff\n');
  assert.equal(await guest.end(), 0);
  const text = guest.transcript;
  assert.match(
    text,
    /^\nThis is the embedded guest of typervisor: Linux 6\.1\.\S+ with a busybox userland\non 1 CPU and 2\d\d MiB/,
  );
  assert.match(text, /\n {2}poweroff +the way out/);
  assert.match(text, /typervisor:~# poweroff\n(typervisor:~# )?\[ +[\d.]+\] reboot: Power down\n$/);
  // No escape sequences: output that goes to a file stays readable.
  assert.ok(!text.includes('\x1b'));
});

test('what is typed before the shell is up reaches it', { skip }, async () => {
  await using guest = boot();
  // The kernel empties the UART when it opens it; from the greeting on nothing may be lost.
  await guest.see(/This is/);
  guest.type('echo early-$((40 + 2)); poweroff -f\n');
  assert.equal(await guest.end(), 0);
  assert.match(guest.transcript, /\nearly-42\n/);
});

test('job control works on the console', { skip }, async () => {
  await using guest = boot();
  await guest.see(PROMPT);
  // A key is for whom the shell has put in the foreground: wait until that one speaks.
  guest.type("sh -c 'echo job $((40 + 2)); exec sleep 1000'\n");
  await guest.see(/\njob 42\n$/);
  guest.type('\x1a');
  await guest.see(/\[1\]\+ +Stopped .*\n.*# $/);
  guest.type('fg\n');
  await guest.see(/# fg\nsh -c .*\n$/);
  guest.type('\x03');
  await guest.see(/\^C\ntypervisor:~# $/);
});

test('the end of the shell powers off', { skip }, async () => {
  await using guest = boot();
  await guest.see(PROMPT);
  guest.type('exit\n');
  assert.equal(await guest.end(), 0);
  assert.match(guest.transcript, /reboot: Power down/);
});

test('a shell that is killed is started again', { skip }, async () => {
  await using guest = boot();
  await guest.see(PROMPT);
  guest.type('kill -9 $$\n');
  await guest.see(/kill -9 \$\$\n+typervisor:~# $/);
});

test('reboot restarts the machine', { skip }, async () => {
  await using guest = boot();
  await guest.see(PROMPT);
  guest.type('reboot\n');
  assert.equal(await guest.end(), 0);
  assert.match(guest.transcript, /reboot: Restarting system/);
});

test('typervisor.run= runs a command in place of the shell', { skip }, async () => {
  await using guest = boot({ append: 'console=ttyS0 quiet typervisor.run="echo one two; nproc; tty" panic=-1' });
  assert.equal(await guest.end(), 0);
  assert.match(guest.transcript, /^one two\n1\n\/dev\/ttyS0\n\[.*Power down\n$/);
});

test('64 MiB of memory are enough', { skip }, async () => {
  await using guest = boot({
    memoryMiB: 64,
    append: 'console=ttyS0 quiet typervisor.run="grep MemFree /proc/meminfo"',
  });
  assert.equal(await guest.end(), 0);
  const free = Number(/MemFree: +(\d+) kB/.exec(guest.transcript)?.[1]);
  assert.ok(free > 40_000, `${free} kB are free`);
});

test('the kernel starts as an ELF file through its PVH entry', { skip }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'typervisor-vmlinux-'));
  try {
    const kernel = join(folder, 'vmlinux');
    writeFileSync(kernel, extractVmlinux(readFileSync(image('vmlinuz'))));
    // It talks from the start: it once hung, on a busy machine, before it had said anything.
    await using guest = boot({ kernel, append: 'console=ttyS0 earlyprintk=ttyS0 typervisor.run="uname -s"' });
    assert.equal(await guest.end(), 0);
    assert.match(guest.transcript, /^Linux$/m);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('an oops ends in a panic that the pvpanic device reports', { skip }, async () => {
  await using guest = boot({ more: ['-device', 'pvpanic', '-action', 'panic=exit-failure'] });
  await guest.see(PROMPT);
  guest.type('echo c > /proc/sysrq-trigger\n');
  assert.equal(await guest.end(), 1);
  assert.match(guest.transcript, /Kernel panic - not syncing: sysrq triggered crash/);
});

test('busybox programs agree with this machine on a checksum', { skip }, async () => {
  await using guest = boot();
  await guest.see(PROMPT);
  guest.type('seq 100000 | md5sum\n');
  // The same by any other implementation.
  await guest.see(/dea9193b768319cbb4ff1a137ac03113 {2}-\n/);
});
