/**
 * What an instruction form does to registers and flags, found by running its lift against a builder that only takes notes.
 *
 * The translator asks before it emits: which registers a region touches, where flags are dead, which instructions it
 * leaves to the interpreter's handlers.
 *
 * @module
 */
import { ByteWriter } from '../emit/byte-writer.ts';
import { type Expr, type I32, i32, i64, type I64, type V128 } from '../emit/expr.ts';
import { type Callee, FunctionBuilder, type FunctionBuffers, type Local } from '../emit/function-builder.ts';
import { v128 } from '../emit/simd.ts';
import type { IntegerSize } from '../insn/flags.ts';
import { type Form, type HelperFunctions, LiftBuilder } from '../insn/lift-builder.ts';
import type { Lift } from '../insn/row.ts';

/** Bit n: general register n, or operand n. */
export interface Traits {
  /** General registers that the lift names itself (RAX of MUL), read or written. */
  readonly gprs: number;
  readonly gprsWritten: number;
  /** Operands in registers that are written. */
  readonly operandsWritten: number;
  /** XMM registers named by number (the implicit XMM0). */
  readonly xmms: number;
  /** YMM registers named by number whose upper halves are cleared. */
  readonly highsCleared: number;
  readonly readsFlags: boolean;
  /** All six flags are written whatever happens. */
  readonly writesFlags: boolean;
  /** Flags are read or written inside a conditional part. */
  readonly nestedFlags: boolean;
  /** `next` is called before the end. */
  readonly endsEarly: boolean;
  /** It may ask to come out of the loop when it is done. */
  readonly leaves: boolean;
  /** It asks to be started again. */
  readonly repeats: boolean;
  /** It may raise an exception, be it that of a memory access. */
  readonly raises: boolean;
  readonly changesMode: boolean;
  readonly mmx: boolean;
  /** Guest memory is written. */
  readonly stores: boolean;
}

const NO_FUNCTION: Callee = { index: 0, params: [], result: undefined };

/** What lifts write here nobody reads. */
const BUFFERS: FunctionBuffers = { code: new ByteWriter(0x1000), prologue: new ByteWriter(0) };

/** The function that a change of the mode calls has been asked for. */
let modeChanged = false;
const HELPERS = new Proxy({} as HelperFunctions, {
  get(_, name): Callee {
    if (name === 'modeChanged') modeChanged = true;
    return NO_FUNCTION;
  },
});

class NotingBuilder extends LiftBuilder {
  gprs = 0;
  gprsWritten = 0;
  operandsWritten = 0;
  xmms = 0;
  highsCleared = 0;
  readsFlags = false;
  writesFlags = false;
  nestedFlags = false;
  endsEarly = false;
  leaves = false;
  repeats = false;
  raises = false;
  mmx = false;
  stores = false;
  readonly #immediate: number;

  constructor(form: Form, immediate: number) {
    super(new FunctionBuilder(0, ['i32'], undefined, BUFFERS), form, HELPERS, i32.const(0));
    this.#immediate = immediate;
  }

  #note(write: boolean): void {
    if (this.f.depth > 0) this.nestedFlags = true;
    if (!write) {
      if (!this.writesFlags) this.readsFlags = true;
    } else if (this.f.depth === 0) this.writesFlags = true;
  }

  readRegister(_index: number, size: IntegerSize): Expr {
    // No constant: a lift may look whether it is one.
    return this.f.local(size === 8 ? 'i64' : 'i32');
  }
  writeRegister(index: number, _size: IntegerSize, value: Expr): void {
    this.operandsWritten |= 1 << index;
    this.f.run(value);
  }
  readSegmentPointer(): I32 {
    return i32.const(0);
  }
  gpr(number: number, size: IntegerSize): Expr {
    this.gprs |= 1 << number;
    return this.f.local(size === 8 ? 'i64' : 'i32');
  }
  setGpr(number: number, _size: IntegerSize, value: Expr): void {
    this.gprs |= 1 << number;
    this.gprsWritten |= 1 << number;
    this.f.run(value);
  }
  immediate(): I64 {
    return i64.const(this.#immediate);
  }
  immediate32(): I32 {
    return i32.const(this.#immediate);
  }
  override read(index: number, size: IntegerSize = this.size): Expr {
    return this.form.shapes[index] === 'i' && size < 8 ? i32.const(this.#immediate) : super.read(index, size);
  }
  secondImmediate(): I32 {
    return i32.const(0);
  }
  stringAddress(offset: I64): I64 {
    return offset;
  }
  address(): I64 {
    return i64.const(0);
  }
  nextRip(): I64 {
    return i64.const(0);
  }
  thisRip(): I64 {
    return i64.const(0);
  }
  slot(): I32 {
    return i32.const(0);
  }
  readXmm(): V128 {
    return v128.zero();
  }
  writeXmm(index: number, value: V128): void {
    this.operandsWritten |= 1 << index;
    this.f.run(value);
  }
  readXmmLow<T extends 'i32' | 'i64' | 'f32' | 'f64'>(_index: number, type: T): Expr<T> {
    return this.f.local(type);
  }
  writeXmmLow(index: number, value: Expr): void {
    this.operandsWritten |= 1 << index;
    this.f.run(value);
  }
  xmm(number: number): V128 {
    this.xmms |= 1 << number;
    return v128.zero();
  }
  setXmm(number: number, value: V128): void {
    this.xmms |= 1 << number;
    this.f.run(value);
  }
  readYmmHigh(): V128 {
    return v128.zero();
  }
  writeYmmHigh(index: number, value: V128): void {
    this.operandsWritten |= 1 << index;
    this.f.run(value);
  }
  setYmmHigh(number: number, value: V128): void {
    this.highsCleared |= 1 << number;
    this.f.run(value);
  }
  gatherAddress(index: I64): I64 {
    return index;
  }
  readMmx(): I64 {
    this.mmx = true;
    return i64.const(0);
  }
  writeMmx(_index: number, value: I64): void {
    this.mmx = true;
    this.f.run(value);
  }
  flagResult(): Local<'i64'> {
    this.#note(false);
    return this.f.local('i64');
  }
  flagAux(): Local<'i32'> {
    this.#note(false);
    return this.f.local('i32');
  }
  setFlags(result: I64, aux: I32): void {
    this.f.run(result);
    this.f.run(aux);
    this.#note(true);
  }
  override deferFlags(): void {
    this.#note(true);
  }
  override spillGprs(numbers: readonly number[]): void {
    for (const number of numbers) this.gprs |= 1 << number;
  }
  override reloadGprs(numbers: readonly number[]): void {
    for (const number of numbers) this.gprsWritten |= 1 << number;
  }
  override reloadOperands(): void {
    this.operandsWritten |= 1;
  }
  hostRead(): Local<'i32'> {
    this.raises = true;
    return this.f.local('i32');
  }
  hostWrite(): Local<'i32'> {
    this.stores = true;
    this.raises = true;
    return this.f.local('i32');
  }
  finishWrite(): void {}
  isOrdinary(host: I32): I32 {
    return host;
  }
  checkCodeWrite(): void {}
  leaveWithFault(): void {
    this.raises = true;
  }
  raise(): void {
    this.raises = true;
  }
  next(): void {
    this.endsEarly = true;
  }
  jump(): void {}
  jumpDirect(): void {}
  directTarget(): I64 {
    return i64.const(0);
  }
  again(): void {
    this.repeats = true;
  }
  leaveAfter(): void {
    this.leaves = true;
  }
}

/** Notes of one run of a lift. `immediate`: what a constant shift count depends on. */
export function traitsOf(lift: Lift, form: Form, immediate: number): Traits {
  const noting = new NotingBuilder(form, immediate);
  modeChanged = false;
  lift(noting);
  const { gprs, gprsWritten, operandsWritten, xmms, highsCleared, readsFlags, writesFlags, nestedFlags } = noting;
  const { endsEarly, leaves, repeats, raises, mmx, stores } = noting;
  return {
    gprs,
    gprsWritten,
    operandsWritten,
    xmms,
    highsCleared,
    readsFlags,
    writesFlags,
    nestedFlags,
    endsEarly,
    leaves,
    repeats,
    raises,
    changesMode: modeChanged,
    mmx,
    stores,
  };
}
