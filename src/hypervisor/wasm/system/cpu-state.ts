/**
 * The CPU state record (state.ts) behind typed accessors.
 *
 * 64-bit fields can be had as two unsigned 32-bit halves (no allocation: for paths that run often) or as a bigint.
 * Views are made once; nothing here allocates except the bigint accessors.
 *
 * @module
 */
import * as S from '../state.ts';
import { NMI_BLOCKED, PDPTE, PENDING_DEBUG } from './private-state.ts';

/** RFLAGS bits (SDM 1 3.4.3). */
export const FLAG_CF = 1 << 0,
  FLAG_FIXED1 = 1 << 1,
  FLAG_PF = 1 << 2,
  FLAG_AF = 1 << 4,
  FLAG_ZF = 1 << 6,
  FLAG_SF = 1 << 7;
export const FLAG_TF = 1 << 8,
  FLAG_IF = 1 << 9,
  FLAG_DF = 1 << 10,
  FLAG_OF = 1 << 11,
  FLAG_IOPL = 3 << 12,
  FLAG_NT = 1 << 14;
export const FLAG_RF = 1 << 16,
  FLAG_VM = 1 << 17,
  FLAG_AC = 1 << 18,
  FLAG_VIF = 1 << 19,
  FLAG_VIP = 1 << 20,
  FLAG_ID = 1 << 21;
/** The flags held in the lazy pair. */
export const FLAGS_ARITHMETIC = FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF;
/** The flags held in EFLAGS_SYSTEM. */
export const FLAGS_SYSTEM =
  FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT | FLAG_RF | FLAG_VM | FLAG_AC | FLAG_VIF | FLAG_VIP | FLAG_ID;

/** Control register and EFER bits (SDM 3A 2.5, 2.2.1). */
export const CR0_PE = 1 << 0,
  CR0_MP = 1 << 1,
  CR0_EM = 1 << 2,
  CR0_TS = 1 << 3,
  CR0_ET = 1 << 4,
  CR0_NE = 1 << 5;
export const CR0_WP = 1 << 16,
  CR0_AM = 1 << 18,
  CR0_NW = 1 << 29,
  CR0_CD = 1 << 30,
  CR0_PG = 0x8000_0000;
export const CR4_VME = 1 << 0,
  CR4_PVI = 1 << 1,
  CR4_TSD = 1 << 2,
  CR4_DE = 1 << 3,
  CR4_PSE = 1 << 4,
  CR4_PAE = 1 << 5,
  CR4_MCE = 1 << 6;
export const CR4_PGE = 1 << 7,
  CR4_PCE = 1 << 8,
  CR4_OSFXSR = 1 << 9,
  CR4_OSXMMEXCPT = 1 << 10,
  CR4_UMIP = 1 << 11,
  CR4_FSGSBASE = 1 << 16;
export const CR4_PCIDE = 1 << 17,
  CR4_OSXSAVE = 1 << 18,
  CR4_SMEP = 1 << 20,
  CR4_SMAP = 1 << 21;
export const EFER_SCE = 1 << 0,
  EFER_LME = 1 << 8,
  EFER_LMA = 1 << 10,
  EFER_NXE = 1 << 11;

/**
 * Word indices. Constants of this module fold into the accessors; imported ones cost a load each, and delivering one fault uses
 * some hundred of them.
 */
const ACTIVITY_W = S.ACTIVITY >> 2,
  CODE_SIZE_W = S.CODE_SIZE >> 2,
  CPL_W = S.CPL >> 2,
  CR0_W = S.CR0 >> 2,
  CR4_W = S.CR4 >> 2,
  EFER_W = S.EFER >> 2,
  EFLAGS_SYSTEM_W = S.EFLAGS_SYSTEM >> 2,
  FAULT_ERROR_W = S.FAULT_ERROR >> 2,
  FAULT_VECTOR_W = S.FAULT_VECTOR >> 2,
  FLAG_AUX_W = S.FLAG_AUX >> 2,
  FLAG_RESULT_W = S.FLAG_RESULT >> 2,
  INTERRUPT_SHADOW_W = S.INTERRUPT_SHADOW >> 2,
  MXCSR_W = S.MXCSR >> 2,
  RIP_W = S.RIP >> 2,
  VCPU_INDEX_W = S.VCPU_INDEX >> 2,
  XCR0_W = S.XCR0 >> 2;
const SEGMENTS_W = S.SEGMENTS >> 2,
  DR6_W = (S.DR + 48) >> 2,
  DR7_W = (S.DR + 56) >> 2,
  NMI_BLOCKED_W = NMI_BLOCKED >> 2,
  PENDING_DEBUG_W = PENDING_DEBUG >> 2;

/** 1 where a byte has an even number of ones. */
const EVEN_PARITY = Uint8Array.from({ length: 256 }, (_, byte) => {
  let ones = 0;
  for (let bit = 0; bit < 8; bit++) ones += (byte >> bit) & 1;
  return (ones & 1) ^ 1;
});

const LOW32 = 0xffff_ffffn;

export class CpuState {
  /** Views over the whole record; indices are offsets of state.ts divided by the element size. */
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
  readonly u64: BigUint64Array;
  readonly f64: Float64Array;
  readonly bytes: Uint8Array;
  readonly view: DataView;

  constructor(buffer: ArrayBufferLike, offset: number) {
    this.i32 = new Int32Array(buffer, offset, S.STATE_BYTES / 4);
    this.u32 = new Uint32Array(buffer, offset, S.STATE_BYTES / 4);
    this.u64 = new BigUint64Array(buffer, offset, S.STATE_BYTES / 8);
    this.f64 = new Float64Array(buffer, offset, S.STATE_BYTES / 8);
    this.bytes = new Uint8Array(buffer, offset, S.STATE_BYTES);
    this.view = new DataView(buffer, offset, S.STATE_BYTES);
  }

  /** Low and high half of the 64-bit field at a byte offset, unsigned. */
  lo(field: number): number {
    return this.u32[field >> 2]!;
  }
  hi(field: number): number {
    return this.u32[(field >> 2) + 1]!;
  }
  set(field: number, lo: number, hi: number): void {
    this.u32[field >> 2] = lo;
    this.u32[(field >> 2) + 1] = hi;
  }
  copy(from: number, to: number): void {
    this.u32[to >> 2] = this.u32[from >> 2]!;
    this.u32[(to >> 2) + 1] = this.u32[(from >> 2) + 1]!;
  }
  /** The 64-bit field at a byte offset, unsigned. */
  big(field: number): bigint {
    return this.u64[field >> 3]!;
  }
  setBig(field: number, value: bigint): void {
    this.u64[field >> 3] = value;
  }

  // General registers; `index` 0..15.
  gprLo(index: number): number {
    return this.u32[index * 2]!;
  }
  gprHi(index: number): number {
    return this.u32[index * 2 + 1]!;
  }
  gpr(index: number): bigint {
    return this.u64[index]!;
  }
  setGpr(index: number, value: bigint): void {
    this.u64[index] = value;
  }
  setGprHalves(index: number, lo: number, hi: number): void {
    this.u32[index * 2] = lo;
    this.u32[index * 2 + 1] = hi;
  }
  /** Writes the low 16 bits and keeps the rest. */
  setGpr16(index: number, value: number): void {
    this.u32[index * 2] = (this.u32[index * 2]! & 0xffff_0000) | (value & 0xffff);
  }
  /** Writes a result of `bytes` width as the processor does: 2 keeps the upper bits, 4 clears them. */
  setGprSized(index: number, bytes: number, lo: number, hi: number): void {
    if (bytes === 2) this.setGpr16(index, lo);
    else this.setGprHalves(index, lo, bytes === 8 ? hi : 0);
  }

  get rip(): bigint {
    return this.u64[S.RIP >> 3]!;
  }
  set rip(value: bigint) {
    this.u64[S.RIP >> 3] = value;
  }
  get ripLo(): number {
    return this.u32[RIP_W]!;
  }
  get ripHi(): number {
    return this.u32[RIP_W + 1]!;
  }
  setRip(lo: number, hi: number): void {
    this.u32[RIP_W] = lo;
    this.u32[RIP_W + 1] = hi;
  }

  /** Flags held in EFLAGS_SYSTEM (and bit 1). */
  get systemFlags(): number {
    return this.i32[EFLAGS_SYSTEM_W]!;
  }
  set systemFlags(value: number) {
    this.i32[EFLAGS_SYSTEM_W] = (value & FLAGS_SYSTEM) | FLAG_FIXED1;
  }
  /** All of RFLAGS; bits 22 and up are always zero. Reading assembles the lazy pair, writing takes it apart. */
  get rflags(): number {
    const resultLo = this.u32[FLAG_RESULT_W]!;
    const resultHi = this.i32[FLAG_RESULT_W + 1]!;
    const aux = this.i32[FLAG_AUX_W]!;
    const carry = aux >>> 31;
    const overflow = carry ^ ((aux >>> 30) & 1);
    const parity = EVEN_PARITY[(resultLo ^ (aux >>> 8)) & 0xff]!;
    const sign = (resultHi >>> 31) ^ (aux & 1);
    const zero = (resultLo | resultHi) === 0 ? 1 : 0;
    return (
      (this.i32[EFLAGS_SYSTEM_W]! & FLAGS_SYSTEM) |
      FLAG_FIXED1 |
      carry |
      (parity << 2) |
      (((aux >>> 3) & 1) << 4) |
      (zero << 6) |
      (sign << 7) |
      (overflow << 11)
    );
  }
  set rflags(value: number) {
    this.systemFlags = value;
    const zero = (value >>> 6) & 1;
    const result = zero ^ 1;
    const carry = value & 1;
    const overflow = (value >>> 11) & 1;
    const parityDelta = ((value >>> 2) & 1) ^ EVEN_PARITY[result]!;
    this.u32[FLAG_RESULT_W] = result;
    this.u32[FLAG_RESULT_W + 1] = 0;
    this.i32[FLAG_AUX_W] =
      (carry << 31) |
      ((carry ^ overflow) << 30) |
      (parityDelta << 8) |
      (((value >>> 4) & 1) << 3) |
      ((value >>> 7) & 1);
  }
  /** Sets or clears ZF and keeps the other flags (VERR, LAR, ARPL). */
  setZf(set: boolean): void {
    this.rflags = set ? this.rflags | FLAG_ZF : this.rflags & ~FLAG_ZF;
  }
  get iopl(): number {
    return (this.i32[EFLAGS_SYSTEM_W]! >> 12) & 3;
  }

  get faultVector(): number {
    return this.i32[FAULT_VECTOR_W]!;
  }
  set faultVector(value: number) {
    this.i32[FAULT_VECTOR_W] = value;
  }
  get faultError(): number {
    return this.i32[FAULT_ERROR_W]!;
  }
  set faultError(value: number) {
    this.i32[FAULT_ERROR_W] = value;
  }

  get cpl(): number {
    return this.i32[CPL_W]!;
  }
  set cpl(value: number) {
    this.i32[CPL_W] = value;
  }
  /** 16, 32 or 64. */
  get codeSize(): number {
    return this.i32[CODE_SIZE_W]!;
  }
  set codeSize(value: number) {
    this.i32[CODE_SIZE_W] = value;
  }
  get interruptShadow(): number {
    return this.i32[INTERRUPT_SHADOW_W]!;
  }
  set interruptShadow(value: number) {
    this.i32[INTERRUPT_SHADOW_W] = value;
  }
  get activity(): number {
    return this.i32[ACTIVITY_W]!;
  }
  set activity(value: number) {
    this.i32[ACTIVITY_W] = value;
  }
  get vcpuIndex(): number {
    return this.i32[VCPU_INDEX_W]!;
  }
  get nmiBlocked(): boolean {
    return this.i32[NMI_BLOCKED_W] !== 0;
  }
  set nmiBlocked(value: boolean) {
    this.i32[NMI_BLOCKED_W] = value ? 1 : 0;
  }
  get pendingDebug(): number {
    return this.i32[PENDING_DEBUG_W]!;
  }
  set pendingDebug(value: number) {
    this.i32[PENDING_DEBUG_W] = value;
  }

  // Segment registers; `index` is ES..TR of state.ts.
  selector(index: number): number {
    return this.u32[SEGMENTS_W + index * 8 + 3]! & 0xffff;
  }
  setSelector(index: number, value: number): void {
    this.u32[SEGMENTS_W + index * 8 + 3] = value & 0xffff;
  }
  limit(index: number): number {
    return this.u32[SEGMENTS_W + index * 8 + 2]!;
  }
  attributes(index: number): number {
    return this.u32[SEGMENTS_W + index * 8 + 4]!;
  }
  setAttributes(index: number, value: number): void {
    this.u32[SEGMENTS_W + index * 8 + 4] = value;
  }
  baseLo(index: number): number {
    return this.u32[SEGMENTS_W + index * 8]!;
  }
  baseHi(index: number): number {
    return this.u32[SEGMENTS_W + index * 8 + 1]!;
  }
  setBase(index: number, lo: number, hi: number): void {
    this.u32[SEGMENTS_W + index * 8] = lo;
    this.u32[SEGMENTS_W + index * 8 + 1] = hi;
  }
  setSegment(index: number, selector: number, baseLo: number, baseHi: number, limit: number, attributes: number): void {
    const { u32 } = this;
    const at = SEGMENTS_W + index * 8;
    u32[at] = baseLo;
    u32[at + 1] = baseHi;
    u32[at + 2] = limit;
    u32[at + 3] = selector & 0xffff;
    u32[at + 4] = attributes;
  }

  /** Limit of GDTR or IDTR (their base is a 64-bit field at GDTR, IDTR). */
  tableLimit(table: number): number {
    return this.u32[(table + 8) >> 2]!;
  }
  setTable(table: number, baseLo: number, baseHi: number, limit: number): void {
    this.set(table, baseLo, baseHi);
    this.u32[(table + 8) >> 2] = limit & 0xffff;
  }

  // Control registers, low halves: all defined bits but those of CR2 and CR3 lie there. Signed where bit 31 (PG) matters.
  get cr0(): number {
    return this.u32[CR0_W]!;
  }
  set cr0(value: number) {
    this.u32[CR0_W] = value;
    this.u32[CR0_W + 1] = 0;
  }
  get cr4(): number {
    return this.u32[CR4_W]!;
  }
  set cr4(value: number) {
    this.u32[CR4_W] = value;
    this.u32[CR4_W + 1] = 0;
  }
  get efer(): number {
    return this.u32[EFER_W]!;
  }
  set efer(value: number) {
    this.u32[EFER_W] = value;
    this.u32[EFER_W + 1] = 0;
  }
  get cr2(): bigint {
    return this.u64[S.CR2 >> 3]!;
  }
  set cr2(value: bigint) {
    this.u64[S.CR2 >> 3] = value;
  }
  get cr3(): bigint {
    return this.u64[S.CR3 >> 3]!;
  }
  set cr3(value: bigint) {
    this.u64[S.CR3 >> 3] = value;
  }
  get xcr0(): number {
    return this.u32[XCR0_W]!;
  }
  set xcr0(value: number) {
    this.u32[XCR0_W] = value;
    this.u32[XCR0_W + 1] = 0;
  }
  /** DR0..DR3 (linear addresses). */
  dr(index: number): bigint {
    return this.u64[(S.DR >> 3) + index]!;
  }
  setDr(index: number, value: bigint): void {
    this.u64[(S.DR >> 3) + index] = value;
  }
  get dr6(): number {
    return this.u32[DR6_W]!;
  }
  set dr6(value: number) {
    this.u32[DR6_W] = value;
  }
  get dr7(): number {
    return this.u32[DR7_W]!;
  }
  set dr7(value: number) {
    this.u32[DR7_W] = value;
  }
  pdpte(index: number): bigint {
    return this.u64[(PDPTE >> 3) + index]!;
  }
  setPdpte(index: number, value: bigint): void {
    this.u64[(PDPTE >> 3) + index] = value;
  }

  get protectedMode(): boolean {
    return (this.u32[CR0_W]! & CR0_PE) !== 0;
  }
  /** IA-32e mode (64-bit or compatibility). */
  get longMode(): boolean {
    return (this.u32[EFER_W]! & EFER_LMA) !== 0;
  }
  get virtual8086(): boolean {
    return (this.i32[EFLAGS_SYSTEM_W]! & FLAG_VM) !== 0;
  }

  get mxcsr(): number {
    return this.u32[MXCSR_W]!;
  }
  set mxcsr(value: number) {
    this.u32[MXCSR_W] = value;
  }

  /** One line per group of registers, for error reports. */
  dump(): string {
    const hex = (value: bigint | number, digits: number): string => value.toString(16).padStart(digits, '0');
    const names = [
      'rax',
      'rcx',
      'rdx',
      'rbx',
      'rsp',
      'rbp',
      'rsi',
      'rdi',
      'r8',
      'r9',
      'r10',
      'r11',
      'r12',
      'r13',
      'r14',
      'r15',
    ];
    const lines: string[] = [
      `rip=${hex(this.rip, 16)} rflags=${hex(this.rflags, 8)} cpl=${this.cpl} code=${this.codeSize}`,
    ];
    for (let i = 0; i < 16; i += 4) {
      lines.push([0, 1, 2, 3].map((k) => `${names[i + k]}=${hex(this.gpr(i + k), 16)}`).join(' '));
    }
    for (const [i, name] of ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr'].entries()) {
      const base = this.big(S.segmentOffset(i));
      lines.push(
        `${name}=${hex(this.selector(i), 4)} base=${hex(base, 16)} limit=${hex(this.limit(i), 8)} attr=${hex(this.attributes(i), 5)}`,
      );
    }
    lines.push(
      `cr0=${hex(this.cr0, 8)} cr2=${hex(this.cr2, 16)} cr3=${hex(this.cr3, 16)} cr4=${hex(this.cr4, 8)} efer=${hex(this.efer, 4)}`,
    );
    lines.push(
      `gdt=${hex(this.big(S.GDTR), 16)}+${hex(this.tableLimit(S.GDTR), 4)} idt=${hex(this.big(S.IDTR), 16)}+${hex(this.tableLimit(S.IDTR), 4)}`,
    );
    return lines.join('\n');
  }
}

/** Splits an unsigned bigint into halves without sign surprises. */
export const lowHalf = (value: bigint): number => Number(value & LOW32);
export const highHalf = (value: bigint): number => Number((value >> 32n) & LOW32);
export const joinHalves = (lo: number, hi: number): bigint => (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
