/**
 * The builder that lifts write translated code against: operands are constants, general and XMM registers are locals of the
 * region's function, flags are kept as what they are to be computed from until something needs them.
 *
 * A fault leaves with the registers as before the instruction; a store that took the slow path asks at the end of the
 * instruction whether translated code has been dropped, for it may have been this region.
 *
 * @module
 */
import { type Expr, type F32, type F64, type I32, i32, i64, type I64, type V128 } from '../emit/expr.ts';
import { call, type FunctionBuilder, type Label, type Local } from '../emit/function-builder.ts';
import { f32x4, f64x2, i32x4, i64x2, v128 } from '../emit/simd.ts';
import type { IntegerSize } from '../insn/flags.ts';
import { type HelperFunctions, LiftBuilder, STACK_ACCESS, UNALIGNED_ACCESS } from '../insn/lift-builder.ts';
import { STATUS_FAULT, STATUS_LEAVE } from '../interpreter/record.ts';
import { TLB_ADDEND, TLB_READ, TLB_WRITE } from '../mmu/layout.ts';
import {
  BOUNCE,
  CODE_GENERATION,
  FAULT_ERROR,
  FAULT_VECTOR,
  FPR,
  FS,
  GS,
  gprOffset,
  SEG_SELECTOR,
  segmentOffset,
  SS,
  xmmOffset,
} from '../state.ts';
import { bankOf, isHighByte, isRegisterShape, numberOf } from './operand-registers.ts';
import type { RegionInsn } from './region.ts';
import { statusAfter } from './region-status.ts';
import {
  CARRY,
  computeCarried,
  conditionOf,
  FLAGS_IN_LOCALS,
  type FlagState,
  type PendingFlags,
  type RegionLocals,
  sumOf,
  SUMS,
} from './region-flags.ts';

const RSP = 4;
const FORMS = ['ss', 'sd', 'ps', 'pd'];
const tameKey = (register: number, form: string): number => register * 4 + FORMS.indexOf(form);
/** That the upper half of a YMM register is zero in the state record. */
export const clearKey = (register: number): number => FIRST_CLEAR + register;
/** What no instruction of the region, and none that it calls, undoes. */
export const isLasting = (key: number): boolean => key >= FIRST_CLEAR;
const FIRST_CLEAR = 64;

/** The translation of the page that a base register was last used in; the page is no page's address while there is none. */
export interface PageCache {
  readonly page: Local<'i64'>;
  readonly addend: Local<'i32'>;
}

/** Control transfers, which the region's structure decides. */
export interface RegionControl {
  /** Goes to the instruction at `delta`, within the region or out of it. */
  direct(delta: number): void;
  /** Goes to the RIP in a local. */
  dynamic(rip: Local<'i64'>): void;
  /** Leaves with `delta` and `status` set: flags in the flag locals, or to be computed from x, y and r. */
  readonly leaveAt: Label;
  leaveWithFlags(sum: number): Label;
  readonly leaveWithCarried: () => Label;
  /** Leaves with `rip` set. */
  readonly leave: Label;
  /** Instructions of the block up to and with this one. */
  readonly executed: number;
  /** What is known of vector registers at this point: see `tameKey` and `clearKey`. */
  readonly known: Set<number>;
  /** Where accesses by a base register are worth a cache of their own. */
  cacheOf(base: number, index: number, displacement: number, write: boolean): PageCache | undefined;
}

export class RegionBuilder extends LiftBuilder {
  readonly #v: RegionLocals;
  readonly #insn: RegionInsn;
  readonly #control: RegionControl;
  /** Depth of control structures where the instruction starts. */
  readonly #depth: number;
  readonly #end: Label | undefined;
  #flags: FlagState;
  #stored = false;
  readonly #cleared: number[] = [];

  constructor(
    f: FunctionBuilder,
    insn: RegionInsn,
    helpers: HelperFunctions,
    locals: RegionLocals,
    control: RegionControl,
    flags: FlagState,
    end: Label | undefined,
  ) {
    super(f, insn.form, helpers, locals.cpu);
    this.#v = locals;
    this.#insn = insn;
    this.#control = control;
    this.#flags = flags;
    this.#depth = f.depth;
    this.#end = end;
  }

  /** The flags after the instruction. */
  get flags(): FlagState {
    return this.#flags;
  }

  /** Upper halves of YMM registers that are zero in the state record when the instruction is done. */
  get cleared(): readonly number[] {
    return this.#cleared;
  }

  // Registers.

  #number(index: number): number {
    return numberOf(this.#insn.decoded, index);
  }

  #isHigh(index: number, size: IntegerSize): boolean {
    return size === 1 && isHighByte(this.#insn.decoded, index);
  }

  readRegister(index: number, size: IntegerSize): Expr {
    const number = this.#number(index);
    return this.#isHigh(index, size) ? this.gpr(number - 4, 1, true) : this.gpr(number, size);
  }

  writeRegister(index: number, size: IntegerSize, value: Expr): void {
    const number = this.#number(index);
    if (this.#isHigh(index, size)) this.setGpr(number - 4, 1, value, true);
    else this.setGpr(number, size, value);
  }

  gpr(number: number, size: IntegerSize, high = false): Expr {
    const local = this.#gprLocal(number);
    switch (size) {
      case 1: {
        const low = i32.wrap(local);
        return i32.and(high ? i32.shrU(low, i32.const(8)) : low, i32.const(0xff));
      }
      case 2:
        return i32.and(i32.wrap(local), i32.const(0xffff));
      case 4:
        return i32.wrap(local);
      case 8:
        return local;
    }
  }

  setGpr(number: number, size: IntegerSize, value: Expr, high = false): void {
    const local = this.#gprLocal(number);
    if (size === 8) {
      this.f.set(local, value as I64);
      return;
    }
    const wide = i64.extendI32U(value as I32);
    if (size === 4) {
      this.f.set(local, wide);
      return;
    }
    const shift = high ? 8 : 0;
    const mask = size === 1 ? 0xff : 0xffff;
    const part = i64.and(wide, i64.const(mask));
    const moved = shift === 0 ? part : i64.shl(part, i64.const(shift));
    this.f.set(local, i64.or(i64.and(local, i64.const(~(mask << shift))), moved));
  }

  #gprLocal(number: number): Local<'i64'> {
    const local = this.#v.gpr[number];
    if (local === undefined) throw new Error(`${this.#insn.decoded.row.name} uses register ${number} unannounced`);
    return local;
  }

  #xmmLocal(number: number): Local<'v128'> {
    const local = this.#v.xmm[number];
    if (local === undefined) throw new Error(`${this.#insn.decoded.row.name} uses XMM${number} unannounced`);
    return local;
  }

  readSegmentPointer(_index: number): I32 {
    return i32.add(this.cpu, i32.const(segmentOffset(this.#insn.decoded.reg & 7) + SEG_SELECTOR));
  }

  slot(index: number): I32 {
    const number = this.#number(index);
    const bank = bankOf(this.#insn.decoded.operands[index]?.kind as string);
    const field = bank === 'vector' ? xmmOffset(number) : bank === 'mmx' ? FPR + (number & 7) * 16 : gprOffset(number);
    return i32.add(this.cpu, i32.const(field));
  }

  readXmm(index: number): V128 {
    return this.#xmmLocal(this.#number(index));
  }

  writeXmm(index: number, value: V128): void {
    this.#forgetTame(this.#number(index));
    this.f.set(this.#xmmLocal(this.#number(index)), value);
  }

  #forgetTame(register: number): void {
    for (const form of FORMS) this.#control.known.delete(tameKey(register, form));
  }

  override isTame(index: number, form: string): boolean {
    const shape = this.form.shapes[index];
    return (shape === 'r' || shape === 'v') && this.#control.known.has(tameKey(this.#number(index), form));
  }

  override setTame(index: number, form: string): void {
    this.#control.known.add(tameKey(this.#number(index), form));
  }

  override mxcsr(): I32 {
    return this.#v.mxcsr;
  }

  /** The slow way leaves the region, so that what the fast way knows holds in all that follows. */
  override slowly(slow: () => void): void {
    const flags = this.#flags;
    const known = [...this.#control.known];
    slow();
    this.#leaveEarly(this.#insn.delta + this.#insn.decoded.length);
    this.#flags = flags;
    this.#control.known.clear();
    for (const key of known) this.#control.known.add(key);
  }

  readXmmLow<T extends 'i32' | 'i64' | 'f32' | 'f64'>(index: number, type: T): Expr<T> {
    const x = this.#xmmLocal(this.#number(index));
    const lane: Record<string, Expr> = {
      i32: i32x4.extract(0, x),
      i64: i64x2.extract(0, x),
      f32: f32x4.extract(0, x),
      f64: f64x2.extract(0, x),
    };
    return lane[type] as Expr<T>;
  }

  writeXmmLow(index: number, value: Expr): void {
    this.#forgetTame(this.#number(index));
    const x = this.#xmmLocal(this.#number(index));
    switch (value.type) {
      case 'i32':
        this.f.set(x, i32x4.replace(0, x, value as I32));
        return;
      case 'i64':
        this.f.set(x, i64x2.replace(0, x, value as I64));
        return;
      case 'f32':
        this.f.set(x, f32x4.replace(0, x, value as F32));
        return;
      default:
        this.f.set(x, f64x2.replace(0, x, value as F64));
    }
  }

  xmm(number: number): V128 {
    return this.#xmmLocal(number);
  }

  setXmm(number: number, value: V128): void {
    this.#forgetTame(number);
    this.f.set(this.#xmmLocal(number), value);
  }

  readYmmHigh(index: number): V128 {
    const local = this.#v.ymmHigh[this.#number(index)];
    if (local === undefined)
      throw new Error(`${this.#insn.decoded.row.name} uses YMM${this.#number(index)} unannounced`);
    return local;
  }

  writeYmmHigh(index: number, value: V128): void {
    this.setYmmHigh(this.#number(index), value);
  }

  /** An upper half that no instruction of the region uses is only ever cleared, in the state record. */
  setYmmHigh(number: number, value: V128): void {
    const local = this.#v.ymmHigh[number];
    if (local !== undefined) {
      this.f.set(local, value);
      return;
    }
    if (this.#control.known.has(clearKey(number))) return;
    this.f.store(16, this.cpu, value, xmmOffset(number) + 16);
    // Not where it is only on one way through the instruction.
    if (this.#end === undefined && this.f.depth === this.#depth) this.#cleared.push(number);
  }

  gatherAddress(index: I64, _bytes: number): I64 {
    const { base, scale, displacement } = this.#insn.decoded;
    const scaled = scale === 0 ? index : i64.shl(index, i64.const(scale));
    const sum = i64.add(base < 0 ? scaled : i64.add(this.#gprLocal(base), scaled), i64.const(displacement));
    return this.#linear(sum);
  }

  readMmx(_index: number): I64 {
    throw new Error('MMX instructions are called, not translated');
  }

  writeMmx(_index: number, _value: I64): void {
    throw new Error('MMX instructions are called, not translated');
  }

  #eachOperand(visit: (isVector: boolean, number: number) => void): void {
    this.#insn.decoded.operands.forEach(({ kind }, index) => {
      if (isRegisterShape(this.form.shapes[index])) visit(bankOf(kind) === 'vector', this.#number(index));
    });
  }

  override spillOperands(): void {
    this.#eachOperand((isVector, number) => {
      if (!isVector) {
        this.spillGprs([number]);
        return;
      }
      const high = this.#v.ymmHigh[number];
      this.f.store(16, this.cpu, this.#xmmLocal(number), xmmOffset(number));
      if (high !== undefined) this.f.store(16, this.cpu, high, xmmOffset(number) + 16);
    });
  }

  override reloadOperands(): void {
    this.#eachOperand((isVector, number) => {
      if (!isVector) {
        this.reloadGprs([number]);
        return;
      }
      const high = this.#v.ymmHigh[number];
      this.f.set(this.#xmmLocal(number), v128.load(this.cpu, xmmOffset(number)));
      if (high !== undefined) this.f.set(high, v128.load(this.cpu, xmmOffset(number) + 16));
    });
  }

  override spillGprs(numbers: readonly number[]): void {
    for (const number of numbers) this.f.store(8, this.cpu, this.#gprLocal(number), gprOffset(number));
  }

  override reloadGprs(numbers: readonly number[]): void {
    for (const number of numbers) this.f.set(this.#gprLocal(number), i64.load(this.cpu, gprOffset(number)));
  }

  // Immediates and addresses.

  override read(index: number, size: IntegerSize = this.size): Expr {
    if (this.form.shapes[index] === 'i' && size < 8) {
      const mask = size === 1 ? 0xff : size === 2 ? 0xffff : -1;
      return i32.const(this.#immediateLow() & mask);
    }
    return super.read(index, size);
  }

  /** The operand 1 of shifts, which is not in their bytes. */
  #isImplicitOne(): boolean {
    return this.#insn.decoded.operands.some((o) => o.kind === 'implicit' && o.register < 0);
  }

  #immediateLow(): number {
    return this.#isImplicitOne() ? 1 : this.#insn.decoded.immediateLow;
  }

  immediate(): I64 {
    const { immediateHigh } = this.#insn.decoded;
    const low = this.#immediateLow();
    if (this.#isImplicitOne() || immediateHigh === low >> 31) return i64.const(low);
    return i64.const((BigInt(immediateHigh) << 32n) | BigInt(low >>> 0));
  }

  immediate32(): I32 {
    return i32.const(this.#immediateLow());
  }

  secondImmediate(): I32 {
    return i32.const(this.#insn.decoded.immediate2);
  }

  stringAddress(offset: I64, _segment: number, source: boolean): I64 {
    const { segmentOverride } = this.#insn.decoded;
    const based = source && (segmentOverride === FS || segmentOverride === GS);
    return based ? i64.add(offset, i64.load(this.cpu, segmentOffset(segmentOverride))) : offset;
  }

  address(_index: number): I64 {
    const d = this.#insn.decoded;
    const { base, index, displacement } = d;
    let sum: I64 | undefined;
    if (d.encoding.absolute) {
      sum = i64.const((BigInt(d.immediateHigh) << 32n) | BigInt(d.immediateLow >>> 0));
    } else if (d.ripRelative) {
      sum = i64.add(this.#v.ripBase, i64.const(this.#insn.delta + d.length + displacement));
    } else {
      if (base >= 0) sum = this.#gprLocal(base);
      if (index >= 0) {
        const local = this.#gprLocal(index);
        const scaled = d.scale === 0 ? local : i64.shl(local, i64.const(d.scale));
        sum = sum === undefined ? scaled : i64.add(sum, scaled);
      }
      if (sum === undefined) sum = i64.const(displacement);
      else if (displacement !== 0) sum = i64.add(sum, i64.const(displacement));
    }
    return this.#linear(sum);
  }

  /** An offset cut to the address size, with the segment's base. */
  #linear(offset: I64): I64 {
    const d = this.#insn.decoded;
    const cut = d.addressSize === 4 ? i64.and(offset, i64.const(0xffff_ffff)) : offset;
    const based = !d.encoding.isLea && (d.segment === FS || d.segment === GS);
    return based ? i64.add(cut, i64.load(this.cpu, segmentOffset(d.segment))) : cut;
  }

  #codeAddress(delta: number): I64 {
    return i64.add(this.#v.ripBase, i64.const(delta));
  }

  nextRip(): I64 {
    return this.#codeAddress(this.#insn.delta + this.#insn.decoded.length);
  }

  thisRip(): I64 {
    return this.#codeAddress(this.#insn.delta);
  }

  #targetDelta(): number {
    const { decoded, delta } = this.#insn;
    return delta + decoded.length + decoded.immediateLow;
  }

  directTarget(): I64 {
    return this.#codeAddress(this.#targetDelta());
  }

  // Flags.

  /** Computes pending flags into the flag locals. */
  materialise(): void {
    const { pending } = this.#flags;
    if (pending === undefined) return;
    this.#flags = FLAGS_IN_LOCALS;
    this.setFlagsOf(pending);
  }

  /** The same on a way out: the builder goes on as if nothing had been computed. */
  materialiseAside(): void {
    const kept = this.#flags;
    this.materialise();
    this.#flags = kept;
  }

  /** Leaves in the middle of a block, this instruction being done. */
  #leaveEarly(delta: number): void {
    this.#charge();
    this.leaveAt(delta);
  }

  #charge(): void {
    const { budget } = this.#v;
    this.f.set(budget, i32.sub(budget, i32.const(this.#control.executed)));
  }

  /** Leaves to a place of the region's linear address space, with the flags as they are now. `status` (statusAfter) is set already. */
  leaveAt(delta: number): void {
    const { f } = this;
    const v = this.#v;
    f.set(v.delta, i32.const(delta));
    const { pending } = this.#flags;
    if (pending?.kind === 'carried') f.br(this.#control.leaveWithCarried());
    else {
      const sum = this.#handOver();
      if (sum < 0) this.materialiseAside();
      f.br(sum < 0 ? this.#control.leaveAt : this.#control.leaveWithFlags(sum));
    }
  }

  /** Puts what pending flags are a sum of where `computeFlags` finds it; the number of the sum, or -1 for other flags. */
  #handOver(): number {
    const { pending } = this.#flags;
    if (pending?.kind !== 'add' && pending?.kind !== 'sub') return -1;
    if (pending.kept !== undefined) return -1;
    const into = pending.size === 8 ? this.#v.wide : this.#v.narrow;
    [pending.x, pending.y, pending.r].forEach((local, n) => this.f.set(into[n] as Local, local));
    return sumOf(pending.kind, pending.size);
  }

  /** Hands the flags to a block that is entered with carried flags. Returns the number of the sum, or -1. */
  carryFlags(): number {
    if (this.#flags.pending?.kind === 'carried') return -1;
    const sum = this.#handOver();
    if (sum < 0) this.materialiseAside();
    this.f.set(this.#v.carried, i32.const(sum + 1));
    return sum;
  }

  flagResult(): Local<'i64'> {
    this.materialise();
    return this.#v.flagResult;
  }

  flagAux(): Local<'i32'> {
    this.materialise();
    return this.#v.flagAux;
  }

  setFlags(result: I64, aux: I32): void {
    this.f.set(this.#v.flagResult, result);
    this.f.set(this.#v.flagAux, aux);
    this.#flags = FLAGS_IN_LOCALS;
  }

  /** Sets flags now: the size is that of the instruction which they are of. */
  setFlagsOf(pending: PendingFlags): void {
    const { size } = this;
    this.#sizeOverride = pending.size;
    if (pending.kind === 'add') super.flagsAdd(pending.x, pending.y, pending.r, false, pending.kept);
    else if (pending.kind === 'sub') super.flagsSub(pending.x, pending.y, pending.r, false, pending.kept);
    else if (pending.kind === 'logic') super.flagsLogic(pending.r);
    else if (pending.kind === 'deferred') pending.make();
    else if (pending.kind === 'carried') computeCarried(this.f, this.#v, SUMS.keys());
    this.#sizeOverride = size;
  }

  #sizeOverride: IntegerSize | undefined;

  override get size(): IntegerSize {
    return this.#sizeOverride ?? super.size;
  }

  #pend(pending: PendingFlags, locals: readonly Local[]): void {
    if (this.f.depth === this.#depth) this.#flags = { pending, locals };
    else this.setFlagsOf(pending);
  }

  override flagsAdd(x: Local, y: Local, r: Local, carried = false, kept?: I32): void {
    this.#pend({ kind: 'add', size: this.size, x, y, r, carried, kept }, localsOf(x, y, r, kept));
  }

  override flagsSub(x: Local, y: Local, r: Local, carried = false, kept?: I32): void {
    this.#pend({ kind: 'sub', size: this.size, x, y, r, carried, kept }, localsOf(x, y, r, kept));
  }

  override carry(): I32 {
    const { pending } = this.#flags;
    return (pending === undefined ? undefined : conditionOf(CARRY, pending)) ?? super.carry();
  }

  override flagsLogic(r: Expr): void {
    const local = this.let(r as Expr<'i32'>) as Local;
    this.#pend({ kind: 'logic', size: this.size, r: local }, [local]);
  }

  override deferFlags(make: () => void): void {
    // What `make` reads is not known: every local of the instruction stays.
    this.#pend({ kind: 'deferred', size: this.size, make }, this.f.collected());
  }

  override condition(code: number): I32 {
    const { pending } = this.#flags;
    const direct = pending === undefined ? undefined : conditionOf(code >> 1, pending);
    if (direct === undefined) return super.condition(code);
    return (code & 1) === 0 ? direct : i32.eqz(direct);
  }

  // Memory.

  #tlbEntry(va: Local<'i64'>): Local<'i32'> {
    return this.let(i32.add(this.#v.tlbBase, i32.and(i32.shrU(i32.wrap(va), i32.const(7)), i32.const(0x7fe0))));
  }

  #tlbMiss(va: Local<'i64'>, entry: I32, bytes: number, tagOffset: number): I32 {
    const last = bytes === 1 ? va : i64.add(va, i64.const(bytes - 1));
    return i64.ne(i64.load(entry, tagOffset), i64.or(i64.and(last, i64.const(-4096)), this.#v.tlbTag));
  }

  #accessBytes(bytes: number): I32 {
    const stack = this.stack || (this.#insn.decoded.hasMemory && this.#insn.decoded.segment === SS);
    return i32.const(bytes | (stack ? STACK_ACCESS : 0) | (this.unaligned ? UNALIGNED_ACCESS : 0));
  }

  hostRead(va: Local<'i64'>, bytes: number): Local<'i32'> {
    return this.#host(va, bytes, false, (host) => {
      this.f.set(host, call('i32', this.helpers.slowRead, this.cpu, va, this.#accessBytes(bytes)));
      this.f.unlikely(i32.eqz(host), () => this.leaveWithFault());
    });
  }

  hostWrite(va: Local<'i64'>, bytes: number, readFirst: boolean): Local<'i32'> {
    this.#stored = true;
    return this.#host(va, bytes, true, (host) => {
      const first = i32.const(readFirst ? 1 : 0);
      this.f.set(host, call('i32', this.helpers.slowWrite, this.cpu, va, this.#accessBytes(bytes), first));
      this.f.unlikely(i32.eqz(host), () => this.leaveWithFault());
      this.f.set(this.#v.slow, i32.const(1));
    });
  }

  /** Where `va` lies in linear memory: by the TLB, or as `slow` finds out. */
  #host(va: Local<'i64'>, bytes: number, write: boolean, slow: (host: Local<'i32'>) => void): Local<'i32'> {
    const { f } = this;
    const host = f.local('i32');
    const tagOffset = write ? TLB_WRITE : TLB_READ;
    const { base, index, displacement, hasMemory, segment, encoding } = this.#insn.decoded;
    const isBased = !this.stack && (!hasMemory || segment === FS || segment === GS || encoding.vsib);
    const cache = isBased
      ? undefined
      : this.stack
        ? this.#control.cacheOf(RSP, -1, 0, write)
        : this.#control.cacheOf(base, index, displacement, write);
    if (cache === undefined) {
      const entry = this.#tlbEntry(va);
      f.unlikely(
        this.#tlbMiss(va, entry, bytes, tagOffset),
        () => slow(host),
        () => f.set(host, i32.add(i32.wrap(va), i32.load(entry, TLB_ADDEND))),
      );
      return host;
    }
    const page = this.let(i64.and(va, i64.const(-4096)));
    const isOther = i64.ne(page, cache.page);
    // An access that begins in the page may end in the next.
    const crosses = i32.gtU(i32.and(i32.wrap(va), i32.const(4095)), i32.const(4096 - bytes));
    const byCache = (): void => f.set(host, i32.add(i32.wrap(va), cache.addend));
    f.unlikely(
      bytes === 1 ? isOther : i32.or(isOther, crosses),
      () => {
        const entry = this.#tlbEntry(va);
        f.unlikely(
          this.#tlbMiss(va, entry, bytes, tagOffset),
          () => slow(host),
          () => {
            f.set(cache.page, page);
            f.set(cache.addend, i32.load(entry, TLB_ADDEND));
            byCache();
          },
        );
      },
      byCache,
    );
    return host;
  }

  finishWrite(host: Local<'i32'>): void {
    const { f } = this;
    f.unlikely(this.#v.slow, () => {
      f.if(i32.eq(host, i32.add(this.cpu, i32.const(BOUNCE))), () => f.callVoid(this.helpers.commit, this.cpu));
    });
  }

  isOrdinary(host: I32): I32 {
    return i32.ne(host, i32.add(this.cpu, i32.const(BOUNCE)));
  }

  checkCodeWrite(host: I32, bytes: I32): void {
    this.f.callVoid(this.helpers.codeWrite, this.cpu, host, bytes);
    this.f.set(this.#v.slow, i32.const(1));
  }

  /** At the end of an instruction that stored: out, by `leave`, when translated code has been dropped meanwhile. */
  #checkDropped(leave: () => void): void {
    if (!this.#stored) return;
    const { f } = this;
    f.unlikely(this.#v.slow, () => {
      f.set(this.#v.slow, i32.const(0));
      f.if(i32.ne(i32.load(this.cpu, CODE_GENERATION), this.#v.generation), leave);
    });
  }

  // Control.

  leaveWithFault(): void {
    this.f.set(this.#v.status, i32.const(statusAfter(STATUS_FAULT, this.#control.executed - 1)));
    this.leaveAt(this.#insn.delta);
  }

  raise(vector: number, error?: I32): void {
    this.f.store(4, this.cpu, i32.const(vector), FAULT_VECTOR);
    this.f.store(4, this.cpu, error ?? i32.const(-1), FAULT_ERROR);
    this.leaveWithFault();
  }

  next(): void {
    if (this.#end === undefined) throw new Error(`${this.#insn.decoded.row.name} ends early unannounced`);
    this.finish();
    this.f.br(this.#end);
  }

  /** Falls through to the next instruction. */
  finish(): void {
    this.#checkDropped(() => this.#leaveEarly(this.#insn.delta + this.#insn.decoded.length));
  }

  jump(rip: Local<'i64'>): void {
    this.#checkDropped(() => {
      this.#charge();
      this.materialiseAside();
      this.f.set(this.#v.rip, rip);
      this.f.br(this.#control.leave);
    });
    this.#control.dynamic(rip);
  }

  jumpDirect(): void {
    this.#checkDropped(() => this.#leaveEarly(this.#targetDelta()));
    this.#control.direct(this.#targetDelta());
  }

  again(): void {
    throw new Error('repeated instructions are called, not translated');
  }

  leaveAfter(): void {
    this.f.set(this.#v.status, i32.const(statusAfter(STATUS_LEAVE, this.#control.executed)));
    this.leaveAt(this.#insn.delta + this.#insn.decoded.length);
  }
}

const localsOf = (x: Local, y: Local, r: Local, kept: I32 | undefined): Local[] =>
  kept === undefined ? [x, y, r] : [x, y, r, kept as Local<'i32'>];
