/** Exits that no guest of a test makes a real KVM take: the kernel's part of the run page is written by the test. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ControlArea } from '../../bus/control.ts';
import type { VcpuBus } from '../../bus/vcpu-bus.ts';
import { allocateMachineMemory, planMachineMemory } from '../../memory/machine-memory.ts';
import type { VcpuExit } from '../exit.ts';
import type { ExternalInterrupts } from '../hypervisor.ts';
import {
  KVM_EXIT_DEBUG,
  KVM_EXIT_FAIL_ENTRY,
  KVM_EXIT_INTERNAL_ERROR,
  KVM_EXIT_IOAPIC_EOI,
  KVM_EXIT_IRQ_WINDOW_OPEN,
  KVM_EXIT_SHUTDOWN,
  KVM_EXIT_SYSTEM_EVENT,
  KVM_EXIT_UNKNOWN,
  KVM_GET_REGS,
  KVM_INTERNAL_ERROR_EMULATION,
  KVM_INTERRUPT,
  KVM_RUN,
} from './defs.ts';
import * as R from './run-page.ts';
import type { SystemCalls } from './system-calls.ts';
import { Regs } from './vcpu-state.ts';
import { KvmVcpu } from './vcpu.ts';

const PAGE = 4096;
const RIP = 0x1234n;

interface Surroundings {
  readonly external?: ExternalInterrupts;
  /** Told of the guest's writes to memory. */
  readonly store?: (address: number, width: number, value: number) => void;
  /** Told of the vectors that the kernel is handed; gives the result. */
  readonly interrupt?: (vector: number) => number;
}

/** Runs a vCPU whose kernel does what `kernel` says: it may fill the page, and gives the result of KVM_RUN. */
function runWith(kernel: (page: DataView) => number, surroundings: Surroundings = {}): VcpuExit {
  const map = planMachineMemory({ ramBytes: 65536, vcpuCount: 1, vcpuBytes: 4096 });
  const area = new ControlArea(allocateMachineMemory(map).buffer, map);
  area.initialize();
  const page = new ArrayBuffer(PAGE);
  const calls: Partial<SystemCalls> = {
    gettid: () => 1,
    view: () => page,
    ioctl: (_, request) => (request === KVM_RUN ? kernel(new DataView(page)) : -22),
    ioctlStruct(_, request, into) {
      if (request === KVM_GET_REGS) {
        new DataView(into.buffer, into.byteOffset, into.length).setBigUint64(Regs.rip, RIP, true);
      }
      return request === KVM_INTERRUPT ? (surroundings.interrupt?.(into[0] ?? -1) ?? -22) : 0;
    },
  };
  const nobody = (): never => assert.fail('an access of the guest');
  const { external, store = nobody } = surroundings;
  const bus: VcpuBus = { portRead: nobody, portWrite: nobody, mmioRead: nobody, mmioWrite: store };
  const handle = { irqchip: 'none', fd: 3, runAddress: 0x1000, runBytes: PAGE } as const;
  return new KvmVcpu({ calls: calls as SystemCalls, handle, bus, control: area.vcpu(0), external }).run();
}

/** The exit for a reason whose 64-bit detail is `detail`. */
const exitOf = (reason: number, detail = 0n): VcpuExit =>
  runWith((page) => {
    page.setUint32(R.RUN_EXIT_REASON, reason, true);
    page.setBigUint64(R.RUN_ENTRY_FAILURE, detail, true);
    return 0;
  });

/** Its one line, and where the guest was. */
function errorOf(exit: VcpuExit): string {
  assert.equal(exit.kind, 'error');
  const { reason, detail } = exit as VcpuExit & { kind: 'error' };
  assert.match(detail, /^rip {4}0000000000001234 /m);
  return reason;
}

for (const [failure, words] of [
  [0x8000_0021n, "0x80000021: the guest's registers are inconsistent"],
  [0x8000_0022n, '0x80000022: a model-specific register could not be loaded'],
  [7n, '0x7: the VMCS has invalid control fields'],
  [0xffff_ffffn, "0xffffffff: the guest's registers or its VMCB are inconsistent"],
  [0xffff_ffff_ffff_ffffn, "0xffffffffffffffff: the guest's registers or its VMCB are inconsistent"],
  [0x8000_0063n, '0x80000063'],
  [0x1_0000n, '0x10000'],
] as const) {
  test(`a failed entry is an error with its reason: ${words}`, () => {
    const prefix = 'the processor does not enter the guest: hardware entry failure reason';
    assert.equal(errorOf(exitOf(KVM_EXIT_FAIL_ENTRY, failure)), `${prefix} ${words}`);
  });
}

for (const [type, event] of [
  [1n, 'power-off'],
  [2n, 'reset'],
  [3n, 'crash'],
] as const) {
  test(`system event ${type} is ${event} of the machine`, () => {
    assert.deepEqual(exitOf(KVM_EXIT_SYSTEM_EVENT, type), { kind: 'system-event', event });
  });
}

test('a system event that is not known is an error with its number', () => {
  assert.equal(errorOf(exitOf(KVM_EXIT_SYSTEM_EVENT, 9n)), 'system event 9, which is not handled');
});

test('an unknown hardware exit is an error with its reason', () => {
  assert.equal(errorOf(exitOf(KVM_EXIT_UNKNOWN, 0x4dn)), 'unknown hardware exit reason 0x4d');
});

test('an exit reason that nobody asked for, or that is newer than this program, is an error', () => {
  assert.equal(errorOf(exitOf(KVM_EXIT_DEBUG)), 'a debug exit that nobody asked for');
  assert.equal(errorOf(exitOf(4711)), 'exit reason 4711, which is not handled');
});

test('KVM_RUN that fails is an error with the name of the error', () => {
  assert.equal(errorOf(runWith(() => -14)), 'KVM_RUN: EFAULT');
});

/** An internal error of the emulator with these words: their number, flags, and the instruction behind its length. */
const emulationError = (words: number, flags: bigint, instruction: readonly number[]): VcpuExit =>
  runWith((page) => {
    page.setUint32(R.RUN_EXIT_REASON, KVM_EXIT_INTERNAL_ERROR, true);
    page.setUint32(R.RUN_SUBERROR, KVM_INTERNAL_ERROR_EMULATION, true);
    page.setUint32(R.RUN_ERROR_WORDS, words, true);
    page.setBigUint64(R.RUN_ERROR_DATA, flags, true);
    for (const [at, byte] of instruction.entries()) page.setUint8(R.RUN_ERROR_INSTRUCTION_LENGTH + at, byte);
    return 0;
  });

test('an instruction that KVM cannot emulate is shown where the kernel gives it', () => {
  const instruction = [3, 0x0f, 0x01, 0xd0, 0xcc];
  assert.equal(errorOf(emulationError(4, 1n, instruction)), 'KVM cannot emulate the instruction 0f 01 d0');
  assert.equal(errorOf(emulationError(4, 0n, instruction)), 'KVM cannot emulate the instruction unknown');
  assert.equal(errorOf(emulationError(0, 1n, instruction)), 'KVM cannot emulate the instruction unknown');
});

test('a length of an instruction that makes no sense is cut to what fits', () => {
  const instruction = [200, ...Array.from({ length: 20 }, () => 0x66)];
  assert.equal(
    errorOf(emulationError(4, 1n, instruction)),
    `KVM cannot emulate the instruction ${Array.from({ length: 15 }, () => '66').join(' ')}`,
  );
});

test("the end of a vector that the kernel's local APICs have from outside goes to the IO-APIC's EOI register", () => {
  const stores: number[][] = [];
  let entries = 0;
  const kernel = (page: DataView): number => {
    page.setUint32(R.RUN_EXIT_REASON, entries++ === 0 ? KVM_EXIT_IOAPIC_EOI : KVM_EXIT_SHUTDOWN, true);
    page.setUint8(R.RUN_EOI_VECTOR, 0x51);
    return 0;
  };
  assert.deepEqual(runWith(kernel, { store: (...access) => void stores.push(access) }), { kind: 'shutdown' });
  assert.deepEqual(stores, [[0xfec0_0040, 4, 0x51]]);
});

/** An 8259 pair that asks with these vectors, one after the other. */
function pic(...vectors: number[]): ExternalInterrupts {
  return {
    get asserted() {
      return vectors.length > 0;
    },
    acknowledge: () => vectors.shift() ?? -1,
  };
}

test('a vector of the 8259 pair waits for the window that the guest opens, and the next one for another', () => {
  const log: string[] = [];
  const kernel = (page: DataView): number => {
    const wants = page.getUint8(R.RUN_REQUEST_INTERRUPT_WINDOW) === 1;
    log.push(wants ? 'enters for a window' : 'enters');
    page.setUint8(R.RUN_READY_FOR_INTERRUPT, wants ? 1 : 0);
    page.setUint32(R.RUN_EXIT_REASON, wants ? KVM_EXIT_IRQ_WINDOW_OPEN : KVM_EXIT_SHUTDOWN, true);
    return 0;
  };
  const interrupt = (vector: number): number => {
    log.push(`vector ${vector}`);
    return 0;
  };
  assert.deepEqual(runWith(kernel, { external: pic(0x31, 0x34), interrupt }), { kind: 'shutdown' });
  assert.deepEqual(log, ['enters for a window', 'vector 49', 'enters for a window', 'vector 52', 'enters']);
});

test('a vector that the kernel refuses is an error', () => {
  const kernel = (page: DataView): number => {
    page.setUint8(R.RUN_READY_FOR_INTERRUPT, 1);
    page.setUint32(R.RUN_EXIT_REASON, KVM_EXIT_IRQ_WINDOW_OPEN, true);
    return 0;
  };
  assert.equal(errorOf(runWith(kernel, { external: pic(0x31), interrupt: () => -17 })), 'KVM_INTERRUPT: EEXIST');
});
