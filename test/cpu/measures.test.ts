/** An interpreter that measures: its counters, what its thread says it does, and what goes into a trace. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VcpuBus } from '../../src/bus/vcpu-bus.ts';
import { OCCUPATIONS } from '../../src/hypervisor/stats.ts';
import { OCCUPATION, VCPU_AREA_BYTES } from '../../src/hypervisor/wasm/mmu/layout.ts';
import { compileInterpreter } from '../../src/hypervisor/wasm/compiled-interpreter.ts';
import { planMachineMemory, vcpuArea } from '../../src/memory/machine-memory.ts';
import { CODE, CODE_AT, P, PagedMachine, type TestVcpuOptions, U, UD2, userMachineWith, W } from './paged-machine.ts';
import { RAX, RCX, RDX, RBX } from './registers.ts';

const interpreter = compileInterpreter(undefined, undefined, { measures: true });
const DATA = 0x60_0000n,
  DATA_AT = 0x18_0000;

/** A machine with four pages of data. */
function machineWith(options: Partial<TestVcpuOptions>, ...code: readonly string[]): PagedMachine {
  const m = userMachineWith(options, ...code);
  for (let page = 0; page < 4; page++) m.space.map(DATA + BigInt(page * 0x1000), DATA_AT + page * 0x1000, P | W | U);
  return m;
}

test('TLB misses are counted by kind', () => {
  // mov rax, [rbx]; mov rax, [rbx + 8]; mov rax, [rbx + 1000h]; mov [rcx], rax; mov [rcx + 8], rax
  const m = machineWith({ interpreter }, '488b03', '488b4308', '488b8300100000', '488901', '48894108', UD2);
  m.start(CODE, { [RBX]: DATA, [RCX]: DATA + 0x2000n });
  m.run();
  assert.deepEqual(m.stats.measured?.tlbMisses, { read: 2, write: 1, execute: 1 });
});

test('an interpreter that does not measure counts none, and says so', () => {
  const m = machineWith({}, '488b03', UD2);
  m.start(CODE, { [RBX]: DATA });
  m.run();
  assert.equal(m.stats.measured, undefined);
});

test('calls of regions are counted by how they end', () => {
  // add eax, 1; mov rax, [rbx]; fld1, which ends the region
  const m = machineWith({ interpreter }, '83 c0 01', '488b03', 'd9e8', UD2);
  const start = (rbx: bigint): void => m.start(CODE, { [RBX]: rbx });
  assert.ok(m.runTwice(() => start(DATA), false));
  start(0n);
  m.run();
  assert.deepEqual(m.stats.measured?.regionEnds, { jump: 1, fault: 1, budget: 0, refused: 0, leave: 0 });
  assert.equal(m.stats.regions.calls, 2);
});

test('a region whose page has gone elsewhere has refused', () => {
  // jmp to the next page, which a region of both pages needs.
  const m = machineWith({ interpreter }, 'e9 fb0f0000');
  m.space.map(CODE + 0x1000n, CODE_AT + 0x1000, P | U);
  m.space.map(CODE + 0x2000n, CODE_AT + 0x2000, P | U);
  m.put(CODE_AT + 0x1000, '83 c0 01', UD2);
  m.put(CODE_AT + 0x2000, '83 c0 02', UD2);
  assert.ok(m.runTwice(() => m.start(CODE), false));
  m.space.map(CODE + 0x1000n, CODE_AT + 0x2000, P | U);
  m.vcpu.cpu.mmu.invalidatePage(Number(CODE + 0x1000n), 0);
  m.start(CODE);
  m.run();
  assert.equal(m.stats.measured?.regionEnds.refused, 1);
});

test('the word says what the thread does while devices and system instructions are at work, and what it did before afterwards', () => {
  const seen: string[] = [];
  const at = vcpuArea(planMachineMemory({ ramBytes: 16 << 20, vcpuCount: 1, vcpuBytes: VCPU_AREA_BYTES }), 0);
  const look = (): void => {
    seen.push(OCCUPATIONS[new Int32Array(m.ram.buffer, at + OCCUPATION, 1)[0] as number] as string);
  };
  const bus: VcpuBus = {
    portRead: () => {
      look();
      return 0;
    },
    portWrite: () => look(),
    mmioRead: () => {
      look();
      return 0;
    },
    mmioWrite: () => look(),
  };
  const nanoseconds = (): number => {
    look();
    return 0;
  };
  const m: PagedMachine = new PagedMachine({ interpreter, bus, nanoseconds });
  m.space.map(CODE, CODE_AT, P | W);
  m.space.map(DATA, 0xf000_0000, P | W);
  // in al, dx; rdmsr of the TSC; mov [rbx], eax; mov eax, [rbx]; rdmsr
  m.put(CODE_AT, 'ec', '0f32', '8903', '8b03', '0f32', UD2);
  m.start(CODE, { [RCX]: 0x10n, [RDX]: 0x70n, [RBX]: DATA });
  seen.length = 0;
  m.run();
  assert.deepEqual(seen, ['devices', 'system', 'devices', 'devices', 'system']);
  look();
  assert.equal(seen.at(-1), 'other');
});

test('system instructions are counted by name', () => {
  const m = new PagedMachine();
  m.space.map(CODE, CODE_AT, P);
  // rdmsr of the TSC, twice; cpuid
  m.put(CODE_AT, '0f32', '0f32', '0fa2', UD2);
  m.start(CODE, { [RCX]: 0x10n });
  m.run();
  assert.deepEqual(m.stats.systemInstructions, { rdmsr: 2, cpuid: 1 });
});

test('a trace has the translation of a region, its installation and its end, each with its RIP', () => {
  const events: unknown[] = [];
  const track = (name: string): NonNullable<TestVcpuOptions['trace']>['vcpu'] => ({
    now: () => 7e6,
    slice: (what, from, to, values) => events.push([name, what, from, to, values?.['rip'], values?.['instructions']]),
    mark: (what, at, values) => events.push([name, what, at, values?.['rip']]),
    counters: () => assert.fail(),
  });
  const m = machineWith({ trace: { vcpu: track('vCPU'), compiler: track('compiler') } }, '90', '83 c0 01', '0f31');
  m.space.map(CODE, CODE_AT, P | W | U);
  assert.ok(m.runTwice(() => m.start(CODE + 1n), false, { instructions: 1, pages: 1 }));
  m.store(CODE + 1n, 0x90);
  const rip = `0x${(CODE + 1n).toString(16)}`;
  assert.deepEqual(events, [
    ['compiler', 'translate', 0, 0, rip, 1],
    ['compiler', 'compile', 0, 0, undefined, undefined],
    ['vCPU', 'install region', 7e6, 7e6, rip, 1],
    ['vCPU', 'drop region', 7e6, rip],
  ]);
});

test('measuring changes nothing that the guest can see', () => {
  const results = [interpreter, undefined].map((one) => {
    // mov ecx, 1000; loop: add rax, [rbx]; mov [rbx + 0ff8h], rax; imul rax, rax, 3; adc rax, rcx; dec ecx; jnz
    const code = ['b9 e8030000', '480303', '488983f80f0000', '486bc003', '4811c8', 'ffc9', '75 eb', UD2];
    const m = machineWith(one === undefined ? {} : { interpreter: one }, ...code);
    const start = (): void => m.start(CODE, { [RBX]: DATA + 5n });
    m.runTwice(start, false);
    return [m.state.gpr(RAX), m.state.gpr(RCX), m.state.rflags, m.state.rip, m.u64(DATA_AT + 0xffd)];
  });
  assert.deepEqual(results[0], results[1]);
  assert.equal(results[0]?.[1], 0n);
});
