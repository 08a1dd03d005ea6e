/** Huge pages for guest RAM: what Linux says of the machine's memory. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { mustAsk } from '../../src/host/node/huge-pages.ts';
import { VCPU_AREA_BYTES } from '../../src/hypervisor/wasm/mmu/layout.ts';
import { planMachineMemory } from '../../src/memory/machine-memory.ts';
import { linuxCalls } from '../../src/host/node/linux-calls.ts';
import { typervisor } from './console.ts';
import { haltKernel } from './kernels.ts';
import { temporaryFolder } from './programs.ts';

const folder = temporaryFolder();
const MEM_MIB = 200;
const MIB = 0x10_0000;

function hostSetting(): string {
  try {
    return readFileSync('/sys/kernel/mm/transparent_hugepage/enabled', 'latin1');
  } catch {
    return '';
  }
}
const skip =
  (linuxCalls() === undefined && 'koffi is not installed') ||
  (!mustAsk(hostSetting()) && 'this host gives no huge pages on request');

/** Mebibytes of a process's mappings that huge pages are wanted for. */
function advisedMib(pid: number): number {
  let kib = 0;
  let size = 0;
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'latin1').split('\n')) {
    const [, digits] = /^Size: +(\d+) kB/.exec(line) ?? [];
    if (digits !== undefined) size = Number(digits);
    else if (/^VmFlags:.* hg( |$)/.test(line)) kib += size;
  }
  return kib / 1024;
}

/** What a machine asks for before a time is over, or `wanted` as soon as it does. */
async function advisedOf(options: readonly string[], wanted: number, limitMs: number): Promise<number> {
  await using vm = typervisor(['run', '--hypervisor', 'wasm', '-m', `${MEM_MIB}`, ...options, haltKernel(folder)]);
  await vm.see('ready');
  const { pid } = vm.child;
  assert.ok(pid !== undefined);
  const until = Date.now() + limitMs;
  while (advisedMib(pid) < wanted && Date.now() < until) await sleep(20);
  return advisedMib(pid);
}

test("guest RAM and the vCPU's area, and nothing else, ask for huge pages once the guest runs", { skip }, async () => {
  const { vcpus, ram } = planMachineMemory({ ramBytes: MEM_MIB * MIB, vcpuCount: 1, vcpuBytes: VCPU_AREA_BYTES });
  const wanted = MEM_MIB + (ram - vcpus) / MIB;
  assert.equal(await advisedOf([], wanted, 20_000), wanted);
});

test('--no-hugepages leaves guest RAM in small pages', { skip }, async () => {
  assert.equal(await advisedOf(['--no-hugepages'], MEM_MIB, 500), 0);
});
