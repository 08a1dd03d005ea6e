/**
 * A vCPU with page tables, for tests of what needs more than one instruction: a few megabytes of RAM in which a test puts code and
 * maps pages as it likes.
 *
 *     0x10_0000..  the test's own pages      0x20_0000.. page tables      0x30_0000 descriptor tables      0x40_0000.. free
 *
 * @module
 */
import { ControlArea } from '../../src/bus/control.ts';
import type { VcpuBus } from '../../src/bus/vcpu-bus.ts';
import type { OwnWasmVcpuStats } from '../../src/hypervisor/stats.ts';
import type { VcpuInterrupts } from '../../src/hypervisor/interrupts.ts';
import { CR3, CS, DS, ES, FS, GDTR, GS, IDTR, SS, TR, xmmOffset } from '../../src/hypervisor/wasm/state.ts';
import type { CpuState } from '../../src/hypervisor/wasm/system/cpu-state.ts';
import { Access } from '../../src/hypervisor/wasm/system/mmu.ts';
import type { CheckTranslation } from '../../src/hypervisor/check-translation.ts';
import type { RegionLimits } from '../../src/hypervisor/wasm/translator/region.ts';
import type { RegionCompiler, RegionTranslatorOptions } from '../../src/hypervisor/wasm/translator/compile-region.ts';
import { type CompiledInterpreter, compileInterpreter } from '../../src/hypervisor/wasm/compiled-interpreter.ts';
import { VCPU_AREA_BYTES } from '../../src/hypervisor/wasm/mmu/layout.ts';
import { WasmVcpu } from '../../src/hypervisor/wasm/vcpu.ts';
import type { VcpuTrace } from '../../src/util/trace.ts';
import {
  allocateMachineMemory,
  type MachineMemoryMap,
  planMachineMemory,
  vcpuArea,
} from '../../src/memory/machine-memory.ts';

const PAGE_TABLES = 0x20_0000;
const SYSTEM = 0x30_0000;
/** Where descriptor tables and the stack of interrupts are in linear memory, in every address space: for the supervisor only. */
export const SYSTEM_LINEAR = 0xffff_8000_0000_0000n;
/** Offsets from SYSTEM: interrupt descriptors, task-state segment, top of the stack for interrupts from user code. */
const IDT_AT = 0x400,
  TSS_AT = 0x1800,
  STACK_AT = 0x1ff0;
/** Top of that stack in physical memory. */
export const INTERRUPT_STACK = SYSTEM + STACK_AT;
export const KERNEL_CODE = 0x10,
  USER_CODE = 0x2b;

/** Flags of page-table entries. */
export const P = 1n,
  W = 2n,
  U = 4n,
  ACCESSED = 0x20n,
  DIRTY = 0x40n,
  GLOBAL = 0x100n,
  NX = 1n << 63n;

/** Bits of CR4. */
export const CR4_PGE = 1 << 7,
  CR4_PCIDE = 1 << 17,
  CR4_SMAP = 1 << 21;
/** OSXSAVE, FSGSBASE, OSXMMEXCPT, OSFXSR, PAE. */
const CR4_BASE = 0x0005_0620;

const quietBus: VcpuBus = {
  portRead: (_port, width) => 2 ** (8 * width) - 1,
  portWrite() {},
  mmioRead: () => 0xffff_ffff,
  mmioWrite() {},
};

export const noInterrupts: VcpuInterrupts = {
  poll() {},
  nextDeadline: () => Number.POSITIVE_INFINITY,
  pending: () => false,
  acknowledge: () => -1,
  takeNmi: () => false,
  takeInit: () => false,
  takeSipi: () => -1,
  ferr: (asserted) => asserted,
  apicRead: () => 0,
  apicWrite() {},
  readMsr: () => undefined,
  writeMsr: () => false,
  readCr8: () => 0,
  writeCr8() {},
  apicBase: () => -1,
};

/** Four-level tables of one address space, built as pages are mapped. */
export class PageTables {
  readonly root: number;
  readonly #view: DataView;
  readonly #take: () => number;

  /** `take`: the physical address of one more page that is full of zeros. */
  constructor(view: DataView, take: () => number) {
    this.#view = view;
    this.#take = take;
    this.root = take();
  }

  /** Where the entry of a page lies in physical memory. */
  entryAt(linear: bigint): number {
    let table = this.root;
    for (const shift of [39n, 30n, 21n]) {
      const at = table + Number((linear >> shift) & 511n) * 8;
      let entry = this.#view.getBigUint64(at, true);
      if (entry === 0n) {
        entry = BigInt(this.#take()) | P | W | U;
        this.#view.setBigUint64(at, entry, true);
      }
      table = Number(entry & 0xf_ffff_f000n);
    }
    return table + Number((linear >> 12n) & 511n) * 8;
  }

  map(linear: bigint, physical: number, flags: bigint): void {
    this.#view.setBigUint64(this.entryAt(linear), BigInt(physical) | flags, true);
  }

  entry(linear: bigint): bigint {
    return this.#view.getBigUint64(this.entryAt(linear), true);
  }
}

export interface TestVcpuOptions {
  readonly ramBytes: number;
  readonly interrupts?: VcpuInterrupts;
  readonly regionCompiler?: (options: Omit<RegionTranslatorOptions, 'compile'>) => RegionCompiler;
  readonly nanoseconds?: () => number;
  /** One that all machines of a test file have, when left out. */
  readonly interpreter?: CompiledInterpreter;
  readonly checkTranslation?: CheckTranslation;
  /** Of the machine; the first is made. */
  readonly vcpuCount?: number;
  readonly bus?: VcpuBus;
  readonly trace?: VcpuTrace;
}

/** A vCPU with no devices. */
export function testVcpu(options: TestVcpuOptions): {
  readonly vcpu: WasmVcpu;
  readonly ram: Uint8Array;
  readonly map: MachineMemoryMap;
  readonly memory: WebAssembly.Memory;
  readonly control: ControlArea;
} {
  const { ramBytes, interrupts = noInterrupts, nanoseconds = () => 0, regionCompiler, bus = quietBus, trace } = options;
  const { checkTranslation, vcpuCount = 1 } = options;
  const interpreter = options.interpreter ?? sharedInterpreter(checkTranslation !== undefined);
  const map = planMachineMemory({ ramBytes, vcpuCount, vcpuBytes: VCPU_AREA_BYTES });
  const memory = allocateMachineMemory(map);
  const control = new ControlArea(memory.buffer, map);
  control.initialize();
  const vcpu = new WasmVcpu({
    memory,
    map,
    index: 0,
    clock: { nanoseconds },
    interrupts,
    bus,
    trace,
    control: control.vcpu(0),
    random32: () => 0x12345678,
    interpreter,
    ...(checkTranslation !== undefined && { checkTranslation }),
    ...(regionCompiler === undefined
      ? {}
      : { regionCompiler: regionCompiler({ memory, cpu: vcpuArea(map, 0), table: interpreter.table, now: () => 0 }) }),
  });
  return { vcpu, ram: new Uint8Array(memory.buffer, map.ram, map.ramBytes), map, memory, control };
}

const shared: CompiledInterpreter[] = [];
const sharedInterpreter = (notesWrites: boolean): CompiledInterpreter =>
  (shared[notesWrites ? 1 : 0] ??= compileInterpreter(undefined, undefined, { notesWrites }));

/** Bytes written as hexadecimal digits; blanks are for the reader. */
export const hex = (text: string): Uint8Array => Uint8Array.fromHex(text.replace(/\s/g, ''));

/** More than any program of a test takes. */
export const PLENTY = 1_000_000;

export class PagedMachine {
  readonly vcpu: WasmVcpu;
  readonly ram: Uint8Array;
  readonly view: DataView;
  readonly control: ControlArea;
  readonly space: PageTables;
  #nextTable = PAGE_TABLES;

  constructor(options: Partial<TestVcpuOptions> = {}) {
    const { vcpu, ram, control } = testVcpu({ ramBytes: 16 << 20, ...options });
    this.vcpu = vcpu;
    this.ram = ram;
    this.view = new DataView(ram.buffer, ram.byteOffset, ram.length);
    this.control = control;
    this.space = this.addressSpace();
    this.view.setBigUint64(SYSTEM + KERNEL_CODE, 0x0020_9b00_0000_0000n, true);
    this.view.setBigUint64(SYSTEM + 0x18, 0x0000_9300_0000_0000n, true);
    this.view.setBigUint64(SYSTEM + 0x20, 0x0000_f300_0000_0000n, true);
    this.view.setBigUint64(SYSTEM + 0x28, 0x0020_fb00_0000_0000n, true);
    this.view.setBigUint64(SYSTEM + TSS_AT + 4, SYSTEM_LINEAR + BigInt(STACK_AT), true);
    const { state } = vcpu;
    state.cr0 = 0x8005_0033;
    state.cr4 = CR4_BASE;
    state.efer = 0xd01;
    state.setBig(CR3, BigInt(this.space.root));
    const high = Number(SYSTEM_LINEAR >> 32n);
    state.setTable(GDTR, 0, high, 0xff);
    state.setTable(IDTR, IDT_AT, high, 0xfff);
    state.setSegment(TR, 0x50, TSS_AT, high, 0x67, 0x8b);
    this.kernel();
  }

  get state(): CpuState {
    return this.vcpu.state;
  }

  addressSpace(): PageTables {
    const space = new PageTables(this.view, () => {
      const page = this.#nextTable;
      this.#nextTable += 0x1000;
      return page;
    });
    for (let at = 0; at < 0x2000; at += 0x1000) space.map(SYSTEM_LINEAR + BigInt(at), SYSTEM + at, P | W | GLOBAL);
    return space;
  }

  /** To CPL 0 in 64-bit code. */
  kernel(): void {
    this.#segments(KERNEL_CODE, 0xa09b, 0x18, 0xc093, 0, 64);
  }

  /** To CPL 3 in 64-bit code. */
  user(): void {
    this.#segments(USER_CODE, 0xa0fb, 0x23, 0xc0f3, 3, 64);
  }

  /** To CPL 3 in 32-bit code: compatibility mode. */
  user32(): void {
    this.#segments(0x33, 0xc0fb, 0x23, 0xc0f3, 3, 32);
  }

  #segments(
    code: number,
    codeAttributes: number,
    data: number,
    dataAttributes: number,
    cpl: number,
    bits: number,
  ): void {
    const { state } = this;
    state.setSegment(CS, code, 0, 0, 0xffff_ffff, codeAttributes);
    for (const register of [DS, ES, SS]) state.setSegment(register, data, 0, 0, 0xffff_ffff, dataAttributes);
    for (const register of [FS, GS]) state.setSegment(register, 0, 0, 0, 0, 0x1_0000);
    state.codeSize = bits;
    state.cpl = cpl;
    this.vcpu.cpu.mmu.modeChanged();
  }

  /** An interrupt gate to privilege level 0, which level 3 may use. */
  gate(vector: number, offset: bigint): void {
    const at = SYSTEM + IDT_AT + vector * 16;
    const low =
      (offset & 0xffffn) | (BigInt(KERNEL_CODE) << 16n) | (0xeen << 40n) | (((offset >> 16n) & 0xffffn) << 48n);
    this.view.setBigUint64(at, low, true);
    this.view.setBigUint64(at + 8, offset >> 32n, true);
  }

  /** Bytes at a physical address, behind the CPU's back: before the code there is run. */
  put(physical: number, ...code: readonly string[]): void {
    let at = physical;
    for (const line of code) {
      const bytes = hex(line);
      this.ram.set(bytes, at);
      at += bytes.length;
    }
  }

  u64(physical: number): bigint {
    return this.view.getBigUint64(physical, true);
  }

  /** RIP, general registers by number, arithmetic flags and what else is in RFLAGS. No fault is pending then. */
  start(rip: bigint, registers: Readonly<Record<number, bigint>> = {}, rflags = 0x2): void {
    const { state } = this;
    for (let n = 0; n < 16; n++) state.setGpr(n, registers[n] ?? 0n);
    state.rip = rip;
    state.rflags = rflags;
    state.faultVector = -1;
    this.vcpu.cpu.mmu.modeChanged();
  }

  /** Runs until a fault, or at most PLENTY instructions. */
  run(): void {
    this.vcpu.execute(PLENTY);
  }

  /** Runs once as it is met; then, from the same start, with the region at the start translated. True when there is one. */
  runTwice(start: () => void, isHot: boolean, limits?: RegionLimits): boolean {
    start();
    this.run();
    start();
    const isTranslated = this.vcpu.translateHere(limits, isHot);
    this.run();
    return isTranslated;
  }

  /** How often the main loop has called a region. */
  get regionCalls(): number {
    return this.stats.regions.calls;
  }

  /** The vCPU's statistics. */
  get stats(): OwnWasmVcpuStats {
    return this.vcpu.stats();
  }

  /** A byte written by the CPU, so that code there is dropped. */
  store(linear: bigint, byte: number): void {
    const low = Number(linear & 0xffff_ffffn);
    this.vcpu.cpu.mmu.write(low, Number(linear >> 32n), 1, Access.Supervisor, byte, 0);
  }

  /** What a fault left: vector, error code (-1: none), RIP. */
  get fault(): { readonly vector: number; readonly error: number; readonly rip: bigint } {
    const { faultVector, faultError, rip } = this.state;
    return { vector: faultVector, error: faultError, rip };
  }

  gprs(...numbers: readonly number[]): readonly bigint[] {
    return numbers.map((n) => this.state.gpr(n));
  }

  /** XMM register as two halves. */
  xmm(number: number): readonly [bigint, bigint] {
    return [this.state.big(xmmOffset(number)), this.state.big(xmmOffset(number) + 8)];
  }
}

/** Where `userMachine` has its pages, in linear and in physical memory. They share no entry of the TLB. */
export const CODE = 0x40_0000n,
  CODE_AT = 0x10_0000,
  DATA = 0x80_8000n,
  DATA_AT = 0x11_0000;
export const UD2 = '0f 0b';
/** Vectors. */
export const DE = 0,
  UD = 6,
  NM = 7,
  SS_FAULT = 12,
  GP = 13,
  PF = 14;

/** A machine at CPL 3 with four pages of code and four of data; what is given is at the start of the code. */
export const userMachine = (...code: readonly string[]): PagedMachine => userMachineWith({}, ...code);

export function userMachineWith(options: Partial<TestVcpuOptions>, ...code: readonly string[]): PagedMachine {
  const m = new PagedMachine(options);
  for (let at = 0; at < 0x4000; at += 0x1000) {
    m.space.map(CODE + BigInt(at), CODE_AT + at, P | U);
    m.space.map(DATA + BigInt(at), DATA_AT + at, P | W | U | NX);
  }
  m.user();
  m.put(CODE_AT, ...code);
  return m;
}

/** `code` and a conditional jump (7x) back to its start. */
export function loop(opcode: string, ...code: readonly string[]): string {
  const body = hex(code.join(''));
  const displacement = (254 - body.length).toString(16).padStart(2, '0');
  return `${body.toHex()} ${opcode} ${displacement}`;
}
