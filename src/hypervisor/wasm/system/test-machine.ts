/**
 * A CPU for tests of this folder: a state record over a megabyte of flat memory with settable page faults, and helpers that
 * lay out descriptor tables. Linear addresses map to memory by their low 20 bits, so any canonical address works.
 *
 *     0x1000 GDT   0x2000 IDT   0x3000 TSS   0x4000 LDT   0x10000.. code and stacks
 *
 * @module
 */
import type { VcpuInterrupts } from '../../interrupts.ts';
import { CS, DS, ES, FS, GDTR, GS, IDTR, LDTR, SS, STATE_BYTES, TR } from '../state.ts';
import type { CpuModel } from './cpu-model.ts';
import { createCpu, emptyInsn, executeSystem, VECTOR_PF } from './cpu.ts';
import type { Cpu, SystemFunction, SystemInsn } from './cpu.ts';
import { CpuState } from './cpu-state.ts';
import { Access, guestFault } from './mmu.ts';
import type { AccessBytes, Mmu } from './mmu.ts';
import { powerOn } from './reset-state.ts';

export const GDT = 0x1000,
  IDT = 0x2000,
  TSS = 0x3000,
  LDT = 0x4000;

/** Selectors of the GDT that `longMode` and `protectedMode` lay out. */
export const KERNEL_CODE = 0x08,
  KERNEL_DATA = 0x10,
  USER_CODE32 = 0x1b,
  USER_DATA = 0x23,
  USER_CODE64 = 0x2b,
  CODE16 = 0x30;
export const CONFORMING = 0x38,
  NOT_PRESENT = 0x40,
  READ_ONLY = 0x48,
  RING1_CODE = 0x51,
  RING1_DATA = 0x59,
  TSS_SELECTOR = 0x60;
export const LDT_SELECTOR = 0x70,
  EXECUTE_ONLY = 0x80,
  NOT_PRESENT_CODE = 0x88,
  KERNEL_CODE32 = 0x90,
  STACK16 = 0x98,
  EXPAND_DOWN = 0xa0;

/** Page flags of the fake. */
export type PageRule = 'absent' | 'read-only' | 'supervisor';

export class TestMmu implements Mmu {
  readonly memory = new Uint8Array(1 << 20);
  readonly view: DataView = new DataView(this.memory.buffer);
  readonly rules = new Map<number, PageRule>();
  readonly log: string[] = [];
  high = 0;
  modeChanges = 0;
  #state: CpuState;

  constructor(state: CpuState) {
    this.#state = state;
  }

  /** Makes the page of the low 20 bits of an address fault. */
  rule(address: number, rule: PageRule): void {
    this.rules.set((address & 0xf_ffff) >> 12, rule);
  }

  #check(lo: number, hi: number, bytes: number, access: Access, write: boolean): void {
    if (this.rules.size === 0) return;
    for (let at = 0; at < bytes; at++) {
      const rule = this.rules.get(((lo + at) & 0xf_ffff) >> 12);
      if (rule === undefined) continue;
      const user = access === Access.User;
      if (rule === 'read-only' && !write) continue;
      if (rule === 'supervisor' && !user) continue;
      const sum = (BigInt(hi >>> 0) << 32n) + BigInt(lo >>> 0) + BigInt(at);
      this.#state.cr2 = BigInt.asUintN(64, sum);
      this.#state.faultVector = VECTOR_PF;
      this.#state.faultError = (rule === 'absent' ? 0 : 1) | (write ? 2 : 0) | (user ? 4 : 0);
      throw guestFault;
    }
  }

  read(lo: number, hi: number, bytes: AccessBytes, access: Access): number {
    this.#check(lo, hi, bytes, access, false);
    const at = lo & 0xf_ffff;
    if (bytes === 1) return this.view.getUint8(at);
    if (bytes === 2) return this.view.getUint16(at, true);
    if (bytes === 8) this.high = this.view.getUint32(at + 4, true);
    return this.view.getUint32(at, true);
  }
  write(lo: number, hi: number, bytes: AccessBytes, access: Access, valueLo: number, valueHi: number): void {
    this.#check(lo, hi, bytes, access, true);
    const at = lo & 0xf_ffff;
    if (bytes === 1) this.view.setUint8(at, valueLo);
    else if (bytes === 2) this.view.setUint16(at, valueLo, true);
    else this.view.setUint32(at, valueLo, true);
    if (bytes === 8) this.view.setUint32(at + 4, valueHi, true);
  }
  probe(lo: number, hi: number, bytes: number, access: Access, write: boolean): void {
    this.#check(lo, hi, bytes, access, write);
  }
  /** Tests turn this off to go the long way. */
  windows = true;
  readonly words: Uint32Array = new Uint32Array(this.memory.buffer);
  window(lo: number, hi: number, bytes: number, access: Access, write: boolean): number {
    if (!this.windows || (lo & 0xfff) + bytes > 4096) return -1;
    this.#check(lo, hi, bytes, access, write);
    return (lo & 0xf_ffff) >> 2;
  }
  readPhysical(address: number): bigint {
    return address + 8 <= this.memory.length ? this.view.getBigUint64(address, true) : 0xffff_ffff_ffff_ffffn;
  }
  flushAll(): void {
    this.log.push('all');
  }
  flushAddressSpace(pcid: number): void {
    this.log.push(`pcid ${pcid}`);
  }
  flushNonGlobal(): void {
    this.log.push('non-global');
  }
  invalidatePage(lo: number, hi: number): void {
    this.log.push(`page ${(hi >>> 0).toString(16)}:${(lo >>> 0).toString(16)}`);
  }
  invalidatePageIn(pcid: number, lo: number, hi: number): void {
    this.log.push(`page ${pcid} ${(hi >>> 0).toString(16)}:${(lo >>> 0).toString(16)}`);
  }
  modeChanged(): void {
    this.modeChanges++;
  }
}

/** Interrupt controllers of which only the MSRs and CR8 do anything. */
export class TestInterrupts implements VcpuInterrupts {
  readonly msrs = new Map<number, bigint>([
    [0x1b, 0xfee0_0900n],
    [0x6e0, 0n],
  ]);
  readonly writes: [number, bigint][] = [];
  cr8 = 0;
  poll(): void {}
  nextDeadline(): number {
    return Infinity;
  }
  pending(): boolean {
    return false;
  }
  acknowledge(): number {
    return -1;
  }
  takeNmi(): boolean {
    return false;
  }
  takeInit(): boolean {
    return false;
  }
  takeSipi(): number {
    return -1;
  }
  ferr(asserted: boolean): boolean {
    return asserted;
  }
  apicRead(): number {
    return 0;
  }
  apicWrite(): void {}
  readMsr(msr: number): bigint | undefined {
    return this.msrs.get(msr);
  }
  writeMsr(msr: number, value: bigint): boolean {
    if (!this.msrs.has(msr)) return false;
    this.msrs.set(msr, value);
    this.writes.push([msr, value]);
    return true;
  }
  readCr8(): number {
    return this.cr8;
  }
  writeCr8(value: number): void {
    this.cr8 = value;
  }
  apicBase(): number {
    return 0xfee0_0000;
  }
}

export class TestMachine {
  readonly state: CpuState = new CpuState(new SharedArrayBuffer(STATE_BYTES), 0);
  readonly mmu: TestMmu = new TestMmu(this.state);
  readonly interrupts = new TestInterrupts();
  now = 1000;
  random: number | undefined = 0x1234_5678;
  readonly cpu: Cpu;

  constructor(processors = 1, model: CpuModel = 'v2') {
    this.cpu = createCpu(
      this.state,
      this.mmu,
      {
        clock: { nanoseconds: () => this.now },
        interrupts: this.interrupts,
        random32: () => this.random,
      },
      { processors, model },
    );
    powerOn(this.cpu);
    this.mmu.log.length = 0;
  }

  u16(address: number): number {
    return this.mmu.view.getUint16(address, true);
  }
  u32(address: number): number {
    return this.mmu.view.getUint32(address, true);
  }
  u64(address: number): bigint {
    return this.mmu.view.getBigUint64(address, true);
  }
  put16(address: number, ...values: number[]): void {
    for (const [i, value] of values.entries()) this.mmu.view.setUint16(address + i * 2, value, true);
  }
  put32(address: number, ...values: number[]): void {
    for (const [i, value] of values.entries()) this.mmu.view.setUint32(address + i * 4, value, true);
  }
  put64(address: number, ...values: (bigint | number)[]): void {
    for (const [i, value] of values.entries())
      this.mmu.view.setBigUint64(address + i * 8, BigInt.asUintN(64, BigInt(value)), true);
  }

  /** Writes a segment descriptor: base, limit as the raw 20 bits, attributes as in state.ts (bits 12..15: AVL L D G). */
  descriptor(selector: number, base: number, limit: number, attributes: number, table = GDT): void {
    const at = table + (selector & 0xfff8);
    this.put32(
      at,
      ((limit & 0xffff) | (base << 16)) >>> 0,
      (((base >>> 16) & 0xff) | ((attributes & 0xf0ff) << 8) | (limit & 0xf_0000) | (base & 0xff00_0000)) >>> 0,
    );
  }

  #tables(limit: number): void {
    this.descriptor(KERNEL_CODE, 0, 0xfffff, limit === 64 ? 0xa09a : 0xc09a);
    this.descriptor(KERNEL_DATA, 0, 0xfffff, 0xc092);
    this.descriptor(USER_CODE32, 0, 0xfffff, 0xc0fa);
    this.descriptor(USER_DATA, 0, 0xfffff, 0xc0f2);
    this.descriptor(USER_CODE64, 0, 0xfffff, 0xa0fa);
    this.descriptor(CODE16, 0, 0xffff, 0x009a);
    this.descriptor(CONFORMING, 0, 0xfffff, limit === 64 ? 0xa09e : 0xc09e);
    this.descriptor(NOT_PRESENT, 0, 0xfffff, 0xc012);
    this.descriptor(READ_ONLY, 0, 0xfffff, 0xc090);
    this.descriptor(RING1_CODE, 0, 0xfffff, 0xc0ba);
    this.descriptor(RING1_DATA, 0, 0xfffff, 0xc0b2);
    this.descriptor(TSS_SELECTOR, TSS, 0x67, 0x0089);
    this.descriptor(LDT_SELECTOR, LDT, 0xff, 0x0082);
    this.descriptor(EXECUTE_ONLY, 0, 0xfffff, 0xc098);
    this.descriptor(NOT_PRESENT_CODE, 0, 0xfffff, limit === 64 ? 0xa01a : 0xc01a);
    this.descriptor(KERNEL_CODE32, 0, 0xfffff, 0xc09a);
    this.descriptor(STACK16, 0, 0xffff, 0x0092);
    this.descriptor(EXPAND_DOWN, 0, 0xf, 0xc096);
    this.state.setTable(GDTR, GDT, 0, 0xff);
    this.state.setTable(IDTR, IDT, 0, 0xfff);
    this.state.setSegment(TR, TSS_SELECTOR, TSS, 0, 0x67, 0x8b);
    this.state.setSegment(LDTR, 0, 0, 0, 0, 0x1_0000);
  }

  /** 64-bit mode at CPL 0, RIP 0x10000, RSP 0x20000, flat segments, no paging faults unless ruled. */
  longMode(): this {
    const { state } = this;
    this.#tables(64);
    state.cr0 = 0x8005_0033;
    state.cr4 = 0x20;
    state.efer = 0xd01;
    this.segments(KERNEL_CODE, 0xa09b, KERNEL_DATA, 0xc093);
    state.codeSize = 64;
    state.rip = 0x10000n;
    state.setGpr(4, 0x20000n);
    return this;
  }

  /** 32-bit protected mode without paging at CPL 0, EIP 0x10000, ESP 0x20000, flat segments. */
  protectedMode(): this {
    const { state } = this;
    this.#tables(32);
    state.cr0 = 0x0000_0031;
    this.segments(KERNEL_CODE, 0xc09b, KERNEL_DATA, 0xc093);
    state.codeSize = 32;
    state.rip = 0x10000n;
    state.setGpr(4, 0x20000n);
    return this;
  }

  /** Real mode at 0x1000:0x0100 with the stack at 0x2000:0x1000 and the vector table at 0. */
  realMode(): this {
    const { state } = this;
    state.setSegment(CS, 0x1000, 0x10000, 0, 0xffff, 0x9b);
    state.setSegment(SS, 0x2000, 0x20000, 0, 0xffff, 0x93);
    state.rip = 0x100n;
    state.setGpr(4, 0x1000n);
    state.setTable(IDTR, 0, 0, 0x3ff);
    return this;
  }

  segments(code: number, codeAttributes: number, data: number, dataAttributes: number): void {
    this.state.setSegment(CS, code, 0, 0, 0xffff_ffff, codeAttributes);
    for (const register of [DS, ES, SS]) this.state.setSegment(register, data, 0, 0, 0xffff_ffff, dataAttributes);
    for (const register of [FS, GS]) this.state.setSegment(register, 0, 0, 0, 0, 0x1_0000);
    this.state.cpl = code & 3;
  }

  /** To CPL 3 in 64-bit code. */
  user64(): this {
    this.segments(USER_CODE64, 0xa0fb, USER_DATA, 0xc0f3);
    this.state.codeSize = 64;
    return this;
  }
  /** To CPL 3 in 32-bit code (compatibility mode in IA-32e mode). */
  user32(): this {
    this.segments(USER_CODE32, 0xc0fb, USER_DATA, 0xc0f3);
    this.state.codeSize = 32;
    return this;
  }

  /** A 64-bit gate; `type` is 0x8e (interrupt), 0x8f (trap), with DPL in bits 5-6. */
  gate64(vector: number, selector: number, offset: bigint, type = 0x8e, ist = 0): void {
    this.put64(
      IDT + vector * 16,
      (offset & 0xffffn) |
        (BigInt(selector) << 16n) |
        (BigInt(ist) << 32n) |
        (BigInt(type) << 40n) |
        (((offset >> 16n) & 0xffffn) << 48n),
      offset >> 32n,
    );
  }
  /** An 8-byte gate in the IDT (or at `table` + index): interrupt 0x8e or 0x86, trap 0x8f, task 0x85, call 0x8c. */
  gate32(index: number, selector: number, offset: number, type = 0x8e, table = IDT, parameters = 0): void {
    this.put32(
      table + index * 8,
      ((offset & 0xffff) | (selector << 16)) >>> 0,
      ((offset & 0xffff_0000) | (type << 8) | parameters) >>> 0,
    );
  }

  insn(fields: Partial<SystemInsn> = {}): SystemInsn {
    return { ...emptyInsn(), ...fields };
  }

  /** Executes an instruction: 'ok', or the exception it raises as `vector(error)`. */
  run(fn: SystemFunction, fields: Partial<SystemInsn> = {}): string {
    if (executeSystem(this.cpu, fn, this.insn(fields))) return 'ok';
    const { faultVector, faultError } = this.state;
    return faultError === -1 ? `#${faultVector}` : `#${faultVector}(0x${faultError.toString(16)})`;
  }
}
