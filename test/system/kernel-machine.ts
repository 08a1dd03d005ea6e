/**
 * A vCPU in the middle of a 64-bit kernel: descriptor tables, a TSS, code and stacks of both privilege levels, 4-level paging.
 *
 * Physical pages appear as supervisor pages at KERNEL + their address, the user's also at USER + theirs.
 *
 * @module
 */
import { createHash } from 'node:crypto';
import { MMU_STATE } from '../../src/hypervisor/wasm/mmu/layout.ts';
import * as S from '../../src/hypervisor/wasm/state.ts';
import type { CpuState } from '../../src/hypervisor/wasm/system/cpu-state.ts';
import type { WasmVcpu } from '../../src/hypervisor/wasm/vcpu.ts';
import { P, PageTables, testVcpu, U, W } from '../cpu/paged-machine.ts';

export const KERNEL = 0xffff_8000_0000_0000n,
  USER = 0x40_0000n;
/** Physical pages: tables of the processor, stacks, code, spare ones; then the page tables. */
export const GDT = 0x1000,
  IDT = 0x2000,
  TSS = 0x3000,
  STACK_TOP = 0x5000,
  IST_TOP = 0x7000,
  CODE = 0x8000,
  SPARE = 0x9000,
  USER_CODE = 0xa000,
  USER_STACK_TOP = 0xc000;
const PAGES = 0x10000,
  TABLES = 0x10000;

/** Selectors: 64-bit code and data of both levels, and some that are no good. */
export const KERNEL_CODE = 0x10,
  KERNEL_DATA = 0x18,
  USER_CODE32 = 0x23,
  USER_DATA = 0x2b,
  USER_CODE64 = 0x33,
  FRESH_CODE = 0x38,
  CONFORMING = 0x40,
  ABSENT_CODE = 0x48,
  READ_ONLY = 0x53;
const DESCRIPTORS: readonly (readonly [number, bigint])[] = [
  [KERNEL_CODE, 0x00af_9b00_0000_ffffn],
  [KERNEL_DATA, 0x00cf_9300_0000_ffffn],
  [USER_CODE32, 0x00cf_fb00_0000_ffffn],
  [USER_DATA, 0x00cf_f300_0000_ffffn],
  [USER_CODE64, 0x00af_fb00_0000_ffffn],
  [FRESH_CODE, 0x00af_9a00_0000_ffffn],
  [CONFORMING, 0x00af_9f00_0000_ffffn],
  [ABSENT_CODE, 0x00af_1b00_0000_ffffn],
  [READ_ONLY, 0x00cf_f100_0000_ffffn],
];

export class KernelMachine {
  readonly vcpu: WasmVcpu;
  readonly ram: Uint8Array;
  readonly view: DataView;
  readonly kick: () => void;
  readonly clearKick: () => void;
  /** Guest-visible memory and the state record as they were made. */
  readonly #fresh: { readonly ram: Uint8Array; readonly state: Uint8Array };
  readonly #space: PageTables;

  constructor() {
    const { vcpu, ram, control } = testVcpu({ ramBytes: 4 << 20 });
    this.vcpu = vcpu;
    this.ram = ram;
    this.view = new DataView(ram.buffer, ram.byteOffset, ram.length);
    const requests = control.vcpu(0);
    this.kick = () => requests.kick();
    this.clearKick = () => requests.clearKick();
    let nextTable = TABLES;
    this.#space = new PageTables(this.view, () => {
      const table = nextTable;
      nextTable += 0x1000;
      return table;
    });
    for (let page = 0x1000; page < PAGES; page += 0x1000) this.map(KERNEL + BigInt(page), page, P | W);
    for (const page of [USER_CODE, USER_STACK_TOP - 0x1000]) this.map(USER + BigInt(page), page, P | W | U);
    for (const [selector, descriptor] of DESCRIPTORS) this.view.setBigUint64(GDT + (selector & ~7), descriptor, true);
    for (let vector = 0; vector < 32; vector++) this.gate(vector, 0x8e, KERNEL_CODE, 0);
    this.view.setBigUint64(TSS + 4, KERNEL + BigInt(STACK_TOP), true);
    this.view.setBigUint64(TSS + 36, KERNEL + BigInt(IST_TOP), true);
    this.#enterLongMode(this.state);
    this.#fresh = { ram: this.ram.slice(0, PAGES), state: this.state.bytes.slice() };
  }

  get state(): CpuState {
    return this.vcpu.state;
  }

  map(linear: bigint, physical: number, flags: bigint): void {
    this.#space.map(linear, physical, flags);
  }

  /** A gate to 16 bytes of the code page for each vector. `type` is byte 5 of the descriptor. */
  gate(vector: number, type: number, selector: number, ist: number): void {
    const target = KERNEL + BigInt(CODE + 0x800 + vector * 16);
    this.view.setUint32(IDT + vector * 16, (selector << 16) | Number(target & 0xffffn), true);
    this.view.setUint32(IDT + vector * 16 + 4, Number(target & 0xffff_0000n) | (type << 8) | ist, true);
    this.view.setBigUint64(IDT + vector * 16 + 8, target >> 32n, true);
  }

  #enterLongMode(state: CpuState): void {
    state.cr0 = 0x8005_0033;
    // SMAP, SMEP, OSFXSR, PGE, PAE.
    state.cr4 = 0x30_02a0;
    state.efer = 0xd01;
    state.setBig(S.CR3, BigInt(TABLES));
    const high = Number(KERNEL >> 32n);
    state.setTable(S.GDTR, GDT, high, 0x5f);
    state.setTable(S.IDTR, IDT, high, 32 * 16 - 1);
    state.setSegment(S.TR, 0x58, TSS, high, 0x67, 0x8b);
    for (const index of [S.ES, S.DS, S.FS, S.GS]) state.setSegment(index, 0, 0, 0, 0, S.ATTR_UNUSABLE);
    state.setBig(S.MSR_STAR, 0x0023_0010_0000_0000n);
    state.setBig(S.MSR_LSTAR, KERNEL + BigInt(CODE + 0x400));
    state.setBig(S.MSR_FMASK, 0x25_7fd5n);
    this.supervisor();
  }

  /** Runs at privilege level 0 from the start of the code page. */
  supervisor(): void {
    const { state } = this;
    state.setSegment(S.CS, KERNEL_CODE, 0, 0, 0xffff_ffff, 0xa09b);
    state.setSegment(S.SS, KERNEL_DATA, 0, 0, 0xffff_ffff, 0xc093);
    state.cpl = 0;
    state.codeSize = 64;
    state.rip = KERNEL + BigInt(CODE);
    state.setGpr(S.RSP, KERNEL + BigInt(STACK_TOP - 0x100));
    state.rflags = 2;
    this.vcpu.cpu.mmu.modeChanged();
  }

  user(): void {
    const { state } = this;
    state.setSegment(S.CS, USER_CODE64, 0, 0, 0xffff_ffff, 0xa0fb);
    state.setSegment(S.SS, USER_DATA, 0, 0, 0xffff_ffff, 0xc0f3);
    state.cpl = 3;
    state.codeSize = 64;
    state.rip = USER + BigInt(USER_CODE);
    state.setGpr(S.RSP, USER + BigInt(USER_STACK_TOP - 0x100));
    state.rflags = 0x202;
    this.vcpu.cpu.mmu.modeChanged();
  }

  /** Puts code at a physical address. */
  code(at: number, ...bytes: readonly number[]): void {
    this.ram.set(bytes, at);
    this.vcpu.dropCode();
  }

  /** As the constructor left it. */
  reset(): void {
    this.ram.set(this.#fresh.ram, 0);
    // All but the tags and generations, which only ever go on.
    const { state } = this.#fresh;
    this.state.bytes.set(state.subarray(0, S.TLB_BASE));
    this.state.bytes.set(state.subarray(S.SEGMENTS, MMU_STATE), S.SEGMENTS);
    this.state.bytes.set(state.subarray(S.SYSTEM_PRIVATE), S.SYSTEM_PRIVATE);
    this.vcpu.cpu.mmu.flushAll();
    this.vcpu.dropCode();
    this.clearKick();
  }

  /** Everything that the guest can see of the processor, but for what only decoded code depends on; and its memory. */
  snapshot(): string {
    const { state } = this;
    const gprs = Array.from({ length: 16 }, (_, n) => state.gpr(n).toString(16));
    const segments = Array.from({ length: 8 }, (_, n) => [
      state.selector(n),
      state.baseLo(n),
      state.baseHi(n),
      state.limit(n),
      state.attributes(n),
    ]);
    return JSON.stringify({
      gprs,
      segments,
      rip: state.rip.toString(16),
      rflags: state.rflags.toString(16),
      cpl: state.cpl,
      codeSize: state.codeSize,
      cr2: state.cr2.toString(16),
      shadow: state.interruptShadow,
      activity: state.activity,
      nmiBlocked: state.nmiBlocked,
      vectors: Buffer.from(state.bytes.slice(S.XMM, S.FPU_DS + 4)).toString('hex'),
      ram: createHash('sha1').update(this.ram.slice(0, PAGES)).digest('hex'),
    });
  }
}
