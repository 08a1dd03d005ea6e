/**
 * The builder that lifts write interpreter handlers against: operands come from the decoded record.
 *
 * The same code makes inline handlers of the main loop (flags, TLB base and budget in locals) and cold handlers, functions
 * (cpu, record) -> STATUS_* of their own (the same things in the state record).
 *
 * @module
 */
import { type Expr, type I32, type I64, i32, i64, type V128 } from '../emit/expr.ts';
import { call, type FunctionBuilder, type Label, type Local } from '../emit/function-builder.ts';
import type { IntegerSize } from '../insn/flags.ts';
import { type Form, type HelperFunctions, LiftBuilder, STACK_ACCESS, UNALIGNED_ACCESS } from '../insn/lift-builder.ts';
import { RIP_BASE, TLB_ADDEND, TLB_READ, TLB_WRITE } from '../mmu/layout.ts';
import {
  BOUNCE,
  FAULT_ERROR,
  FAULT_VECTOR,
  FLAG_AUX,
  FLAG_RESULT,
  gprOffset,
  RIP,
  TLB_BASE,
  TLB_TAG,
  xmmOffset,
} from '../state.ts';
import {
  AUX_SCALE,
  R_AUX,
  R_BASE,
  R_DISPLACEMENT,
  R_IMMEDIATE,
  R_IMMEDIATE_REGISTER,
  R_LENGTH,
  R_OFFSET,
  R_OPERAND0,
  R_OPERAND1,
  R_SEGMENT_BASE,
  R_VVVV,
  STATUS_AGAIN,
  STATUS_FAULT,
  STATUS_JUMP,
  STATUS_LEAVE,
  STATUS_NEXT,
} from './record.ts';

/** Where the main loop keeps what cold handlers find in the state record. */
export interface InlineContext {
  readonly flagResult: Local<'i64'>;
  readonly flagAux: Local<'i32'>;
  readonly tlbBase: Local<'i32'>;
  readonly tlbTag: Local<'i64'>;
  readonly rip: Local<'i64'>;
  readonly next: Label;
  readonly fault: Label;
  /** Continue at `rip`. */
  readonly jump: Label;
  /** Continue at the record's static target. */
  readonly jumpDirect: Label;
}

const load16 = (address: I32, offset: number): I32 => i32.load16U(address, offset);
const v128Load = (address: I32, offset: 0 | 16 = 0): V128 => ({
  type: 'v128',
  write(out) {
    address.write(out);
    out.bytes([0xfd, 0, 0, offset]);
  },
});

export class InterpreterBuilder extends LiftBuilder {
  readonly #record: I32;
  readonly #inline: InlineContext | undefined;

  constructor(f: FunctionBuilder, form: Form, helpers: HelperFunctions, cpu: I32, record: I32, inline?: InlineContext) {
    super(f, form, helpers, cpu);
    this.#record = record;
    this.#inline = inline;
  }

  #pointer(index: number): I32 {
    const shape = this.form.shapes[index];
    if (shape === 'v') return i32.load(this.#record, R_VVVV);
    if (shape === 'l') return i32.load(this.#record, R_IMMEDIATE_REGISTER);
    return i32.load(this.#record, index === 0 ? R_OPERAND0 : R_OPERAND1);
  }

  readSegmentPointer(index: number): I32 {
    return this.#pointer(index);
  }

  readRegister(index: number, size: IntegerSize): Expr {
    return this.plainLoad(size, this.#pointer(index));
  }

  writeRegister(index: number, size: IntegerSize, value: Expr): void {
    this.#writeSlot(this.#pointer(index), 0, size, value);
  }

  #writeSlot(address: I32, offset: number, size: IntegerSize, value: Expr): void {
    if (size === 4) this.f.store(8, address, i64.extendI32U(value as I32), offset);
    else this.f.store(size, address, value, offset);
  }

  gpr(number: number, size: IntegerSize, high = false): Expr {
    const offset = gprOffset(number) + (high ? 1 : 0);
    switch (size) {
      case 1:
        return i32.load8U(this.cpu, offset);
      case 2:
        return i32.load16U(this.cpu, offset);
      case 4:
        return i32.load(this.cpu, offset);
      case 8:
        return i64.load(this.cpu, offset);
    }
  }

  setGpr(number: number, size: IntegerSize, value: Expr, high = false): void {
    this.#writeSlot(this.cpu, gprOffset(number) + (high ? 1 : 0), size, value);
  }

  immediate(): I64 {
    return i64.load(this.#record, R_IMMEDIATE);
  }

  immediate32(): I32 {
    return i32.load(this.#record, R_IMMEDIATE);
  }

  address(_index: number): I64 {
    const plain = i64.add(i64.load(i32.load(this.#record, R_BASE)), i64.load32S(this.#record, R_DISPLACEMENT));
    const index = this.form.shapes.indexOf('x');
    if (index < 0) return plain;
    // The memory operand's own slot points at the index register, or at a segment base with scale 0.
    const scale = i64.extendI32U(i32.and(load16(this.#record, R_AUX), i32.const(3)));
    return i64.add(plain, i64.shl(i64.load(this.#pointer(index)), scale));
  }

  gatherAddress(index: I64, bytes: number): I64 {
    const scale = i64.and(i64.shrU(i64.load16U(this.#record, R_AUX), i64.const(AUX_SCALE)), i64.const(3));
    const base = i64.add(i64.load(i32.load(this.#record, R_BASE)), i64.load32S(this.#record, R_DISPLACEMENT));
    let offset = i64.add(base, i64.shl(index, scale));
    if (this.form.addressSize === 4) offset = i64.and(offset, i64.const(0xffff_ffff));
    if (!this.form.legacy) return i64.add(offset, i64.load(i32.load(this.#record, R_SEGMENT_BASE)));
    return this.stringAddress(offset, 0, true, bytes, false);
  }

  secondImmediate(): I32 {
    return load16(this.#record, R_AUX);
  }

  stringAddress(offset: I64, segment: number, source: boolean, bytes: number, write: boolean): I64 {
    const { f } = this;
    if (!this.form.legacy) {
      // The assembler points the base field at the overriding segment's base, or at zero.
      return source ? i64.add(offset, i64.load(i32.load(this.#record, R_BASE))) : offset;
    }
    const index = source ? i32.and(load16(this.#record, R_AUX), i32.const(7)) : i32.const(segment);
    const linear = this.let(
      call('i64', this.helpers.legacyLinear, this.cpu, index, offset, i32.const(bytes), i32.const(write ? 1 : 0)),
    );
    f.if(i64.eq(linear, i64.const(-1)), () => this.leaveWithFault());
    return linear;
  }

  thisRip(): I64 {
    return this.#codeAddress(i64.add(i64.load(this.cpu, RIP_BASE), i64.load16U(this.#record, R_OFFSET)));
  }

  nextRip(): I64 {
    const offset = i32.add(load16(this.#record, R_OFFSET), i32.load8U(this.#record, R_LENGTH));
    return this.#codeAddress(i64.add(i64.load(this.cpu, RIP_BASE), i64.extendI32U(offset)));
  }

  directTarget(): I64 {
    const target = i64.add(i64.load(this.cpu, RIP_BASE), i64.load32S(this.#record, R_DISPLACEMENT));
    return this.form.legacy && this.size === 2 ? i64.and(target, i64.const(0xffff)) : this.#codeAddress(target);
  }

  #codeAddress(rip: I64): I64 {
    return this.form.legacy ? i64.and(rip, i64.const(0xffff_ffff)) : rip;
  }

  slot(index: number): I32 {
    return this.#pointer(index);
  }

  readXmm(index: number): V128 {
    return v128Load(this.#pointer(index));
  }

  writeXmm(index: number, value: V128): void {
    this.f.store(16, this.#pointer(index), value);
  }

  readXmmLow<T extends 'i32' | 'i64' | 'f32' | 'f64'>(index: number, type: T): Expr<T> {
    const pointer = this.#pointer(index);
    const opcode = type === 'i32' ? 0x28 : type === 'i64' ? 0x29 : type === 'f32' ? 0x2a : 0x2b;
    return {
      type,
      write(out) {
        pointer.write(out);
        out.bytes([opcode, 0, 0]);
      },
    };
  }

  writeXmmLow(index: number, value: Expr): void {
    this.f.store(value.type === 'i32' || value.type === 'f32' ? 4 : 8, this.#pointer(index), value);
  }

  xmm(number: number): V128 {
    return v128Load(i32.add(this.cpu, i32.const(xmmOffset(number))));
  }

  setXmm(number: number, value: V128): void {
    this.f.store(16, this.cpu, value, xmmOffset(number));
  }

  readYmmHigh(index: number): V128 {
    return v128Load(this.#pointer(index), 16);
  }

  writeYmmHigh(index: number, value: V128): void {
    this.f.store(16, this.#pointer(index), value, 16);
  }

  setYmmHigh(number: number, value: V128): void {
    this.f.store(16, this.cpu, value, xmmOffset(number) + 16);
  }

  readMmx(index: number): I64 {
    return i64.load(this.#pointer(index));
  }

  writeMmx(index: number, value: I64): void {
    const pointer = this.let(this.#pointer(index));
    this.f.store(8, pointer, value);
    // Sign and exponent of a register written by MMX are all ones (SDM volume 1, 9.2.3).
    this.f.store(2, pointer, i32.const(0xffff), 8);
  }

  flagResult(): Local<'i64'> {
    return this.#inline?.flagResult ?? this.let(i64.load(this.cpu, FLAG_RESULT));
  }

  flagAux(): Local<'i32'> {
    return this.#inline?.flagAux ?? this.let(i32.load(this.cpu, FLAG_AUX));
  }

  setFlags(result: I64, aux: I32): void {
    if (this.#inline !== undefined) {
      this.f.set(this.#inline.flagResult, result);
      this.f.set(this.#inline.flagAux, aux);
      return;
    }
    const value = this.let(aux);
    this.f.store(8, this.cpu, result, FLAG_RESULT);
    this.f.store(4, this.cpu, value, FLAG_AUX);
  }

  #tlbEntry(va: Local<'i64'>): Local<'i32'> {
    const base = this.#inline?.tlbBase ?? i32.load(this.cpu, TLB_BASE);
    return this.let(i32.add(base, i32.and(i32.wrap(i64.shrU(va, i64.const(7))), i32.const(0x7fe0))));
  }

  #tlbHit(va: Local<'i64'>, entry: I32, bytes: number, tagOffset: number): I32 {
    const last = bytes === 1 ? va : i64.add(va, i64.const(bytes - 1));
    const tag = this.#inline?.tlbTag ?? i64.load32U(this.cpu, TLB_TAG);
    return i64.eq(i64.load(entry, tagOffset), i64.or(i64.and(last, i64.const(-4096)), tag));
  }

  #accessBytes(bytes: number): I32 {
    return i32.const(bytes | (this.stack ? STACK_ACCESS : 0) | (this.unaligned ? UNALIGNED_ACCESS : 0));
  }

  hostRead(va: Local<'i64'>, bytes: number): Local<'i32'> {
    const { f } = this;
    const host = f.local('i32');
    const entry = this.#tlbEntry(va);
    f.if(
      this.#tlbHit(va, entry, bytes, TLB_READ),
      () => f.set(host, i32.add(i32.wrap(va), i32.load(entry, TLB_ADDEND))),
      () => {
        f.set(host, call('i32', this.helpers.slowRead, this.cpu, va, this.#accessBytes(bytes)));
        f.if(i32.eqz(host), () => this.leaveWithFault());
      },
    );
    return host;
  }

  hostWrite(va: Local<'i64'>, bytes: number, readFirst: boolean): Local<'i32'> {
    const { f } = this;
    const host = f.local('i32');
    const entry = this.#tlbEntry(va);
    f.if(
      this.#tlbHit(va, entry, bytes, TLB_WRITE),
      () => f.set(host, i32.add(i32.wrap(va), i32.load(entry, TLB_ADDEND))),
      () => {
        f.set(
          host,
          call('i32', this.helpers.slowWrite, this.cpu, va, this.#accessBytes(bytes), i32.const(readFirst ? 1 : 0)),
        );
        f.if(i32.eqz(host), () => this.leaveWithFault());
      },
    );
    return host;
  }

  finishWrite(host: Local<'i32'>): void {
    this.f.if(i32.eq(host, i32.add(this.cpu, i32.const(BOUNCE))), () => this.f.callVoid(this.helpers.commit, this.cpu));
  }

  isOrdinary(host: I32): I32 {
    return i32.ne(host, i32.add(this.cpu, i32.const(BOUNCE)));
  }

  checkCodeWrite(host: I32, bytes: I32): void {
    this.f.callVoid(this.helpers.codeWrite, this.cpu, host, bytes);
  }

  leaveWithFault(): void {
    if (this.#inline !== undefined) this.f.br(this.#inline.fault);
    else this.f.return(i32.const(STATUS_FAULT));
  }

  raise(vector: number, error?: I32): void {
    this.f.store(4, this.cpu, i32.const(vector), FAULT_VECTOR);
    this.f.store(4, this.cpu, error ?? i32.const(-1), FAULT_ERROR);
    this.leaveWithFault();
  }

  next(): void {
    if (this.#inline !== undefined) this.f.br(this.#inline.next);
    else this.f.return(i32.const(STATUS_NEXT));
  }

  jump(rip: Local<'i64'>): void {
    if (this.#inline !== undefined) {
      this.f.set(this.#inline.rip, rip);
      this.f.br(this.#inline.jump);
      return;
    }
    this.f.store(8, this.cpu, rip, RIP);
    this.f.return(i32.const(STATUS_JUMP));
  }

  jumpDirect(): void {
    if (this.#inline !== undefined) this.f.br(this.#inline.jumpDirect);
    else this.jump(this.let(this.directTarget()));
  }

  again(): void {
    if (this.#inline !== undefined) throw new Error('string instructions are cold');
    this.f.return(i32.const(STATUS_AGAIN));
  }

  leaveAfter(): void {
    if (this.#inline !== undefined) throw new Error('instructions that leave the loop are cold');
    this.f.store(8, this.cpu, this.nextRip(), RIP);
    this.f.return(i32.const(STATUS_LEAVE));
  }
}
