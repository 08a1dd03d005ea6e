/** Released pages of both kinds of guest RAM: what the kernel says of the process, and what is in them. */
import assert from 'node:assert/strict';
import { fstatSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { mapGuestRam } from '../../hypervisor/kvm/guest-ram.ts';
import { allocateMachineMemory, planMachineMemory, type RamBacking } from '../../memory/machine-memory.ts';
import { silentLogger } from '../../util/log.ts';
import { koffiCalls } from './kvm/koffi-calls.ts';
import { linuxCalls } from './linux-calls.ts';
import { memoryReleaser } from './release-memory.ts';

const MIB = 0x10_0000;
const RAM_MIB = 96;
const skip = linuxCalls() === undefined && 'koffi is not installed';

/** Mebibytes of this process's memory, of one kind. */
function resident(kind: 'RssAnon' | 'RssShmem'): number {
  const [, kib] = new RegExp(`${kind}:\\s+(\\d+) kB`).exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return Number(kib) / 1024;
}

function guestRam() {
  const map = planMachineMemory({ ramBytes: RAM_MIB * MIB, vcpuCount: 1, vcpuBytes: 0 });
  const { buffer } = allocateMachineMemory(map);
  return { map, buffer, ram: new Uint8Array(buffer, map.ram, map.ramBytes) };
}

/** Releases the middle 64 MiB of RAM that is full, and checks its contents; gives the loss of resident memory. */
function releaseMiddle(ram: Uint8Array, backing: RamBacking, kind: 'RssAnon' | 'RssShmem'): number {
  ram.fill(0x55);
  const before = resident(kind);
  const [from, end] = [16 * MIB, 80 * MIB];
  assert.equal(memoryReleaser(backing, silentLogger)(ram.subarray(from, end)), true);
  const lost = before - resident(kind);
  assert.deepEqual([ram[from - 1], ram[from], ram[end - 1], ram[end]], [0x55, 0, 0, 0x55]);
  ram[from] = 1;
  assert.equal(ram[from], 1);
  return lost;
}

test('memory of the process is no longer resident, and reads as zeros', { skip }, () => {
  const lost = releaseMiddle(guestRam().ram, 'anonymous', 'RssAnon');
  assert.ok(lost > 60, `${lost} MiB`);
});

test('memory of a memfd is no longer in the file, and reads as zeros', { skip }, async () => {
  const { map, buffer, ram } = guestRam();
  using mapped = mapGuestRam(koffiCalls(), buffer, map, 'memfd');
  const lost = releaseMiddle(ram, 'memfd', 'RssShmem');
  assert.ok(lost > 60, `${lost} MiB`);
  // Two pages have been looked at since, which gives a file memory again.
  assert.equal((fstatSync(mapped.fd as number).blocks * 512) / 4096, (32 * MIB) / 4096 + 2);
});

test('what the kernel refuses is said once, and nothing has changed', { skip }, () => {
  const lines: string[] = [];
  const release = memoryReleaser('memfd', { log: (...line) => void lines.push(line.join(' ')) });
  const { ram } = guestRam();
  ram[0] = 7;
  // A hole can only be punched into a file.
  assert.deepEqual([release(ram.subarray(0, 4096)), release(ram.subarray(0, 4096)), ram[0]], [false, false, 7]);
  assert.deepEqual(lines, ['warn balloon the host cannot take memory back: madvise failed with error 22']);
});
