/**
 * Operands of the instructions of a region: immediates and addresses are constants as far as they can be, general and vector registers
 * are locals of the region's function.
 *
 * @module
 */
import type { PageCaches } from './page-caches.ts';
import {
  type Expr,
  type F32,
  type F64,
  type I32,
  i32,
  i64,
  type I64,
  isConstant,
  type V128,
  constantOf,
} from '../emit/expr.ts';
import type { FunctionBuilder, Label, Local } from '../emit/function-builder.ts';
import { f32x4, f64x2, i32x4, i64x2, v128 } from '../emit/simd.ts';
import type { IntegerSize } from '../insn/flags.ts';
import { type HelperFunctions, LiftBuilder } from '../insn/lift-builder.ts';
import { FPR, FS, GS, gprOffset, SEG_SELECTOR, segmentOffset, xmmOffset } from '../state.ts';
import { bankOf } from './operand-registers.ts';
import { type AddressParts, GuestAddress, PARTS_OF_REGISTER } from './guest-address.ts';
import type { NearAccesses } from './near-accesses.ts';
import type { RegionInsn } from './region-insn.ts';
import type { RegionLocals } from './region-flags.ts';
import type { VectorFacts } from './vector-facts.ts';

const LOW_LANE = { i32: i32x4.extract, i64: i64x2.extract, f32: f32x4.extract, f64: f64x2.extract };

/** The translation of the page that a base register was last used in. */
export interface PageCache {
  readonly page: Local<'i64'>;
  /** How many bytes of the page accesses may begin at: `placesOfPage`, or 0 while no page is known. */
  readonly places: Local<'i64'>;
  readonly placesOfPage: number;
  readonly addend: Local<'i32'>;
}

/** What the instructions of a region have in common. */
export interface RegionContext {
  readonly f: FunctionBuilder;
  readonly helpers: HelperFunctions;
  readonly locals: RegionLocals;
  readonly near: NearAccesses;
  /** What is known of vector registers at this point. */
  facts: VectorFacts;
  /** Where accesses by a base register are worth a cache of their own. */
  readonly pageCaches: PageCaches;
  /** A constant, or a local that holds it; equal names are equal values. */
  constantOf(name: string, value: V128): V128;
}

export abstract class RegionOperands extends LiftBuilder {
  protected readonly locals: RegionLocals;
  readonly insn: RegionInsn;
  readonly #context: RegionContext;
  /** Depth of control structures where the instruction starts. */
  protected readonly depth: number;
  /** Behind the instruction, for those that end in several places. */
  protected readonly end: Label | undefined;
  /** Upper halves of YMM registers that are zero in the state record when the instruction is done, by bit. */
  cleared = 0;
  /** General registers that the instruction has written so far, by bit. */
  #gprsWritten = 0;

  protected constructor(context: RegionContext, insn: RegionInsn, end: Label | undefined) {
    const { f, locals } = context;
    super(f, insn.form, context.helpers, locals.cpu);
    this.locals = locals;
    this.insn = insn;
    this.#context = context;
    this.depth = f.depth;
    this.end = end;
  }

  /** Constants stay what they are. */
  override operand(value: Expr): Expr {
    return isConstant(value) ? value : this.let(value as Expr<'i32'>);
  }

  override isSame(index: number, other: number): boolean {
    const { shapes } = this.form;
    if (shapes[index] !== 'r' || shapes[other] !== 'r') return false;
    return this.#number(index) === this.#number(other) && this.insn.isHighByte(index) === this.insn.isHighByte(other);
  }

  // Registers.

  #number(index: number): number {
    return this.insn.numberOf(index);
  }

  #isHigh(index: number, size: IntegerSize): boolean {
    return size === 1 && this.insn.isHighByte(index);
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
    this.#setGpr(number, size, value, high);
    this.#wrote(number);
  }

  #wrote(number: number): void {
    this.#gprsWritten |= 1 << number;
    this.#context.near.wrote(number, this.isUnconditional ? this.insn : undefined);
  }

  /** What is written here is executed whenever the instruction completes. */
  protected get isUnconditional(): boolean {
    return this.f.depth === this.depth && this.end === undefined;
  }

  #setGpr(number: number, size: IntegerSize, value: Expr, high: boolean): void {
    const local = this.#gprLocal(number);
    if (size === 8) {
      this.f.set(local, value as I64);
      return;
    }
    const known = constantOf(value);
    const wide = known !== undefined && known >= 0 ? i64.const(known) : i64.extendI32U(value as I32);
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
    const local = this.locals.gpr[number];
    if (local === undefined) throw new Error(`${this.insn.decoded.row.name} uses register ${number} unannounced`);
    return local;
  }

  #xmmLocal(number: number): Local<'v128'> {
    const local = this.locals.xmm[number];
    if (local === undefined) throw new Error(`${this.insn.decoded.row.name} uses XMM${number} unannounced`);
    return local;
  }

  readSegmentPointer(_index: number): I32 {
    return i32.add(this.cpu, i32.const(segmentOffset(this.insn.decoded.reg & 7) + SEG_SELECTOR));
  }

  slot(index: number): I32 {
    const number = this.#number(index);
    const bank = bankOf(this.insn.decoded.operands[index]?.kind as string);
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
    this.#context.facts.wrote(register);
  }

  override isTame(index: number, form: string): boolean {
    const shape = this.form.shapes[index];
    return (shape === 'r' || shape === 'v') && this.#context.facts.isTame(this.#number(index), form);
  }

  override setTame(index: number, form: string): void {
    this.#context.facts.setTame(this.#number(index), form);
  }

  override constant(name: string, value: V128): V128 {
    return this.#context.constantOf(name, value);
  }

  override mxcsr(): I32 {
    return this.locals.mxcsr;
  }

  readXmmLow<T extends 'i32' | 'i64' | 'f32' | 'f64'>(index: number, type: T): Expr<T> {
    const x = this.#xmmLocal(this.#number(index));
    return LOW_LANE[type](0, x) as Expr as Expr<T>;
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
    const local = this.locals.ymmHigh[this.#number(index)];
    if (local === undefined)
      throw new Error(`${this.insn.decoded.row.name} uses YMM${this.#number(index)} unannounced`);
    return local;
  }

  writeYmmHigh(index: number, value: V128): void {
    this.setYmmHigh(this.#number(index), value);
  }

  /** An upper half that no instruction of the region uses is only ever cleared, in the state record. */
  setYmmHigh(number: number, value: V128): void {
    const local = this.locals.ymmHigh[number];
    if (local !== undefined) {
      this.f.set(local, value);
      return;
    }
    if (this.#context.facts.isClear(number)) return;
    this.f.store(16, this.cpu, value, xmmOffset(number) + 16);
    // Not where it is only on one way through the instruction.
    if (this.isUnconditional) this.cleared |= 1 << number;
  }

  gatherAddress(index: I64, _bytes: number): I64 {
    const { base, scale, displacement } = this.insn.decoded;
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
    for (const { index, bank } of this.insn.insnForm.registers) visit(bank === 'vector', this.#number(index));
  }

  override spillOperands(): void {
    this.#eachOperand((isVector, number) => {
      if (!isVector) {
        this.spillGprs([number]);
        return;
      }
      const high = this.locals.ymmHigh[number];
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
      const high = this.locals.ymmHigh[number];
      this.f.set(this.#xmmLocal(number), v128.load(this.cpu, xmmOffset(number)));
      if (high !== undefined) this.f.set(high, v128.load(this.cpu, xmmOffset(number) + 16));
    });
  }

  override spillGprs(numbers: readonly number[]): void {
    for (const number of numbers) this.f.store(8, this.cpu, this.#gprLocal(number), gprOffset(number));
  }

  override reloadGprs(numbers: readonly number[]): void {
    for (const number of numbers) {
      this.f.set(this.#gprLocal(number), i64.load(this.cpu, gprOffset(number)));
      this.#wrote(number);
    }
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
    return this.insn.decoded.operands.some((o) => o.kind === 'implicit' && o.register < 0);
  }

  #immediateLow(): number {
    return this.#isImplicitOne() ? 1 : this.insn.decoded.immediateLow;
  }

  immediate(): I64 {
    const { immediateHigh } = this.insn.decoded;
    const low = this.#immediateLow();
    if (this.#isImplicitOne() || immediateHigh === low >> 31) return i64.const(low);
    return i64.const((BigInt(immediateHigh) << 32n) | BigInt(low >>> 0));
  }

  immediate32(): I32 {
    return i32.const(this.#immediateLow());
  }

  secondImmediate(): I32 {
    return i32.const(this.insn.decoded.immediate2);
  }

  stringAddress(offset: I64, _segment: number, source: boolean): I64 {
    const { segmentOverride } = this.insn.decoded;
    const based = source && (segmentOverride === FS || segmentOverride === GS);
    return based ? i64.add(offset, i64.load(this.cpu, segmentOffset(segmentOverride))) : offset;
  }

  address(_index: number): I64 {
    const d = this.insn.decoded;
    if (d.encoding.absolute) {
      return this.#linear(i64.const((BigInt(d.immediateHigh) << 32n) | BigInt(d.immediateLow >>> 0)));
    }
    const { parts, displacement } = this.insn;
    if (parts !== undefined && (parts.registers & this.#gprsWritten) === 0) return this.addressBy(parts, displacement);
    return this.#linear(this.#offset(d, displacement));
  }

  override displaced(register: number, by: number): I64 {
    if ((this.#gprsWritten >> register) & 1) return super.displaced(register, by);
    return this.addressBy(PARTS_OF_REGISTER[register] as AddressParts, by);
  }

  /** The linear address with given parts, none of which the instruction has written, and a displacement. */
  protected addressBy(parts: AddressParts, displacement: number): GuestAddress {
    const offset = this.#offset(parts, displacement);
    const { segment } = parts;
    const value = segment < 0 ? offset : i64.add(offset, i64.load(this.cpu, segmentOffset(segment)));
    return new GuestAddress(parts, displacement, value);
  }

  #offset(
    { base, index, scale, ripRelative }: Pick<AddressParts, 'base' | 'index' | 'scale' | 'ripRelative'>,
    displacement: number,
  ): I64 {
    let sum: I64 | undefined = ripRelative ? this.locals.ripBase : undefined;
    if (base >= 0) {
      const local = this.#gprLocal(base);
      sum = sum === undefined ? local : i64.add(sum, local);
    }
    if (index >= 0) {
      const local = this.#gprLocal(index);
      const scaled = scale === 0 ? local : i64.shl(local, i64.const(scale));
      sum = sum === undefined ? scaled : i64.add(sum, scaled);
    }
    if (sum === undefined) return i64.const(displacement);
    return displacement === 0 ? sum : i64.add(sum, i64.const(displacement));
  }

  /** An offset cut to the address size, with the segment's base. */
  #linear(offset: I64): I64 {
    const d = this.insn.decoded;
    const cut = d.addressSize === 4 ? i64.and(offset, i64.const(0xffff_ffff)) : offset;
    const based = !d.encoding.isLea && (d.segment === FS || d.segment === GS);
    return based ? i64.add(cut, i64.load(this.cpu, segmentOffset(d.segment))) : cut;
  }

  #codeAddress(delta: number): I64 {
    return i64.add(this.locals.ripBase, i64.const(delta));
  }

  nextRip(): I64 {
    return this.#codeAddress(this.insn.delta + this.insn.decoded.length);
  }

  thisRip(): I64 {
    return this.#codeAddress(this.insn.delta);
  }

  protected targetDelta(): number {
    const { decoded, delta } = this.insn;
    return delta + decoded.length + decoded.immediateLow;
  }

  directTarget(): I64 {
    return this.#codeAddress(this.targetDelta());
  }
}
