/**
 * What an instruction definition says its semantics against.
 *
 * A lift reads its operands, computes with expressions, writes operands and flags. Where a value lives (a decoded
 * record, a local of a translated region) is the subclass's business, so the same lift makes an interpreter handler
 * and a piece of a region.
 *
 * Order matters for precise faults: read and translate every memory operand first, commit registers and flags last.
 * Values of 1, 2 and 4 bytes are i32, of 8 bytes i64. What `read` returns is zero-extended; what `write` takes may have
 * rubbish above the operand size.
 *
 * @module
 */
import { atomic, type Expr, type I32, type I64, type V128, i32, i64 } from '../emit/expr.ts';
import type { Callee, FunctionBuilder, Local } from '../emit/function-builder.ts';
import { v128 } from '../emit/simd.ts';
import { EFLAGS_SYSTEM, MXCSR } from '../state.ts';
import {
  addCarries,
  adjustFlag,
  carryFlag,
  condition,
  type IntegerOps,
  type IntegerSize,
  integerOps,
  overflowFlag,
  packCarries,
  parityFlag,
  signExtended,
  signFlag,
  subCarries,
  withCarry,
  zeroFlag,
} from './flags.ts';

/**
 * Shape of an operand: register, register in VEX.vvvv, register in the immediate, memory (base + displacement), memory with
 * an index or segment base, memory with a vector of indices, immediate, none that is read through the builder.
 */
export type OperandShape = 'r' | 'v' | 'l' | 'm' | 'x' | 'g' | 'i' | '-';

/** Added to the number of bytes of a slow access: it is one to the stack; it needs no alignment where alignment is checked. */
export const STACK_ACCESS = 0x100,
  UNALIGNED_ACCESS = 0x200;

/** What distinguishes one handler of a lift from another. */
export interface Form {
  /** Operand size in bytes. */
  readonly size: number;
  readonly shapes: readonly OperandShape[];
  readonly lock: boolean;
  /** 16- or 32-bit code: stack and string operations go through segments. */
  readonly legacy: boolean;
  readonly addressSize: 2 | 4 | 8;
  /** 0, 0xf2 or 0xf3 for rows with `rep`. */
  readonly rep: number;
  readonly arg: number;
  /** Operand size by prefixes, where `size` is that of operand 0. */
  readonly operandSize: number;
  /** Bytes of the vectors of a VEX encoding; 0 without VEX, where results leave the upper half of a YMM register alone. */
  readonly vector: 0 | 16 | 32;
}

/** Functions of the module that lifts call; built by mmu/ and the softfloat glue. */
export interface HelperFunctions {
  /** (cpu, va i64, bytes) -> offset in linear memory, 0 on a fault. */
  readonly slowRead: Callee;
  /** (cpu, va i64, bytes, readFirst) -> offset in linear memory (maybe the bounce buffer), 0 on a fault. */
  readonly slowWrite: Callee;
  /** (cpu): completes a write that went to the bounce buffer. */
  readonly commit: Callee;
  /** (cpu, segment, offset i64, bytes, write) -> linear address i64, or -1 on a fault. For 16- and 32-bit code. */
  readonly legacyLinear: Callee;
  /** (cpu, offset in linear memory, bytes): drops code in the written bytes' chunks. */
  readonly codeWrite: Callee;
  readonly [name: string]: Callee;
}

// biome-ignore format: a table
export const DE = 0, DB = 1, BP = 3, OF = 4, BR = 5, UD = 6, NM = 7, DF = 8, TS = 10, NP = 11, SS_FAULT = 12, GP = 13, PF = 14;
// biome-ignore format: a table
export const MF = 16, AC = 17, XM = 19;

/** A destination that has been read and will be written: the two halves of a read-modify-write. */
export interface Place {
  readonly value: Expr;
  store(value: Expr): void;
}

export abstract class LiftBuilder {
  readonly f: FunctionBuilder;
  readonly form: Form;
  readonly helpers: HelperFunctions;
  /** Offset of the CPU state record. */
  readonly cpu: I32;
  /** Operand size in bytes, 1..8. */
  size: IntegerSize;

  constructor(f: FunctionBuilder, form: Form, helpers: HelperFunctions, cpu: I32) {
    this.f = f;
    this.form = form;
    this.helpers = helpers;
    this.cpu = cpu;
    this.size = form.size as IntegerSize;
  }

  /** Operations on values of the operand size. */
  get t(): IntegerOps {
    return integerOps(this.size);
  }

  /** True while accesses are stack accesses: a non-canonical address then raises #SS. */
  protected stack = false;

  /** True while accesses are parts of one that needs no alignment: RFLAGS.AC does not make them #AC. */
  protected unaligned = false;

  /** Runs `access`, which loads from or stores to memory at any alignment. */
  atAnyAlignment<T>(access: () => T): T {
    this.unaligned = true;
    const result = access();
    this.unaligned = false;
    return result;
  }

  /** Runs `access`, which loads from or stores to the stack. */
  onStack<T>(access: () => T): T {
    this.stack = true;
    const result = access();
    this.stack = false;
    return result;
  }

  get arg(): number {
    return this.form.arg;
  }

  isMemory(index: number): boolean {
    const shape = this.form.shapes[index];
    return shape === 'm' || shape === 'x';
  }

  /** True when two operands are known to be the same register. */
  isSame(_index: number, _other: number): boolean {
    return false;
  }

  let<T extends 'i32' | 'i64' | 'f32' | 'f64' | 'v128'>(value: Expr<T>): Local<T> {
    return this.f.let(value);
  }

  /** A value that may be read several times, and by what computes flags later. */
  operand(value: Expr): Expr {
    return this.f.let(value);
  }

  // Where operands live: the subclass's part.

  /** What general register `register` holds, moved by a constant. */
  displaced(register: number, by: number): I64 {
    const value = this.gpr(register, 8) as I64;
    return by === 0 ? value : i64.add(value, i64.const(by));
  }

  /** A register operand, zero-extended. */
  abstract readRegister(index: number, size: IntegerSize): Expr;
  /** Writes a register operand; 4 bytes clear the upper half, 1 and 2 keep it. */
  abstract writeRegister(index: number, size: IntegerSize, value: Expr): void;
  /** Where the selector of a segment register operand lies. */
  abstract readSegmentPointer(index: number): I32;
  /** A general register by number; `high` selects AH CH DH BH. */
  abstract gpr(number: number, size: IntegerSize, high?: boolean): Expr;
  abstract setGpr(number: number, size: IntegerSize, value: Expr, high?: boolean): void;
  /** The immediate, sign-extended to 64 bits as the encoding says. */
  abstract immediate(): I64;
  /** The immediate's low 32 bits. */
  abstract immediate32(): I32;
  /** ENTER's nesting level. */
  abstract secondImmediate(): I32;
  /**
   * Linear address of a string operand at `offset` (of the address size). `source` operands take the override, else
   * `segment`. Leaves on a segment violation in 16- and 32-bit code.
   */
  abstract stringAddress(offset: I64, segment: number, source: boolean, bytes: number, write: boolean): I64;
  /** Linear address of memory operand `index` (64-bit, segment base applied). */
  abstract address(index: number): I64;
  /**
   * Linear address of the element of a gather whose index, sign-extended, is `index`. The vector of indices is read with
   * `readXmm` of the memory operand. Leaves on a segment violation in 16- and 32-bit code.
   */
  abstract gatherAddress(index: I64, bytes: number): I64;
  /** RIP of the instruction after this one. */
  abstract nextRip(): I64;
  /** RIP of this instruction. */
  abstract thisRip(): I64;

  /** Where a register operand lies in linear memory, for slow paths outside the builder's reach. */
  abstract slot(index: number): I32;
  /** The XMM register operand as a whole. */
  abstract readXmm(index: number): V128;
  abstract writeXmm(index: number, value: V128): void;
  /** Low lane of an XMM register operand. */
  abstract readXmmLow<T extends 'i32' | 'i64' | 'f32' | 'f64'>(index: number, type: T): Expr<T>;
  /** Writes the low 4 or 8 bytes (by the value's type) and keeps the rest. */
  abstract writeXmmLow(index: number, value: Expr): void;
  /** XMM register by number (the implicit XMM0). */
  abstract xmm(number: number): V128;
  abstract setXmm(number: number, value: V128): void;
  /** The upper half of the YMM register operand. */
  abstract readYmmHigh(index: number): V128;
  abstract writeYmmHigh(index: number, value: V128): void;
  /** Writes the upper half of a YMM register by number. */
  abstract setYmmHigh(number: number, value: V128): void;
  /** MMX register operand. */
  abstract readMmx(index: number): I64;
  abstract writeMmx(index: number, value: I64): void;

  abstract flagResult(): Local<'i64'>;
  abstract flagAux(): Local<'i32'>;
  abstract setFlags(result: I64, aux: I32): void;

  /** Offset in linear memory where `bytes` bytes at `va` can be read; leaves on a fault. */
  abstract hostRead(va: Local<'i64'>, bytes: number): Local<'i32'>;
  /** Where `bytes` bytes at `va` can be written; `finishWrite` must follow the store. */
  abstract hostWrite(va: Local<'i64'>, bytes: number, readFirst: boolean): Local<'i32'>;
  abstract finishWrite(host: Local<'i32'>): void;
  /** 1 when `host` is guest RAM in place, not the bounce buffer. */
  abstract isOrdinary(host: I32): I32;
  /** Before a bulk write within one page: drops translated code that it overwrites. */
  abstract checkCodeWrite(host: I32, bytes: I32): void;
  /** Leaves the instruction with FAULT_VECTOR and FAULT_ERROR set. */
  abstract leaveWithFault(): void;
  /** Raises an exception without an error code, or with one. */
  abstract raise(vector: number, error?: I32): void;
  /** Ends the instruction normally; statements after it are not reached. */
  abstract next(): void;
  /** Transfers control to `rip` (already truncated to the code size). */
  abstract jump(rip: Local<'i64'>): void;
  /** Transfers control to the record's static target. */
  abstract jumpDirect(): void;
  /** The static target as a RIP. */
  abstract directTarget(): I64;
  /** Starts the same instruction again (an iteration of a string instruction was done). */
  abstract again(): void;
  /** Leaves to the run loop after this instruction; RIP is the next instruction. */
  abstract leaveAfter(): void;

  // Floating point. A lane is tame when it is known to be zero or an ordinary number: not denormal, infinite or a NaN.

  /** True when the lanes of a register operand are known to be tame; `form` is ss, sd, ps or pd. */
  isTame(_index: number, _form: string): boolean {
    return false;
  }
  /** The lanes of a register operand are tame from here on. */
  setTame(_index: number, _form: string): void {}
  /** A vector constant that loops need again and again; equal names are equal values. */
  constant(_name: string, value: V128): V128 {
    return value;
  }
  /** MXCSR. */
  mxcsr(): I32 {
    return i32.load(this.cpu, MXCSR);
  }
  /** Writes the exact way of doing what `fast` does, behind it. */
  slowly(slow: () => void): void {
    slow();
  }

  // Before and after calls that find registers in the state record: of the operands in registers, and of general registers by number.

  spillOperands(): void {}
  reloadOperands(): void {}
  spillGprs(_numbers: readonly number[]): void {}
  reloadGprs(_numbers: readonly number[]): void {}

  // Operands by shape.

  /** The operand, zero-extended to i32 or i64 by `size`; memory is loaded. */
  read(index: number, size: IntegerSize = this.size): Expr {
    switch (this.form.shapes[index]) {
      case 'r':
      case 'v':
        return this.readRegister(index, size);
      case 'm':
      case 'x':
        return this.load(size, this.address(index));
      case 'i':
        return size === 8 ? this.immediate() : this.truncated(size, this.immediate32());
      default:
        throw new Error(`operand ${index} cannot be read`);
    }
  }

  /** The operand sign-extended from `size` to the type of `to`. */
  readSigned(index: number, size: IntegerSize, to: IntegerSize): Expr {
    const value = this.read(index, size);
    if (size === 8) return value;
    return to === 8 ? signExtended(size, value) : this.signed32(size, value as I32);
  }

  write(index: number, value: Expr, size: IntegerSize = this.size): void {
    if (this.form.shapes[index] === 'r' || this.form.shapes[index] === 'v') this.writeRegister(index, size, value);
    else this.store(size, this.address(index), value);
  }

  /** Clears what lies above `size` in an i32. */
  truncated(size: IntegerSize, value: I32): I32 {
    return size === 1 ? i32.and(value, i32.const(0xff)) : size === 2 ? i32.and(value, i32.const(0xffff)) : value;
  }

  signed32(size: IntegerSize, value: I32): I32 {
    return size === 1 ? i32.extend8S(value) : size === 2 ? i32.extend16S(value) : value;
  }

  /** Loads `size` bytes, zero-extended, and evaluates now. */
  load(size: IntegerSize, va: I64): Expr {
    const host = this.hostRead(this.let(va), size);
    return this.let(this.plainLoad(size, host) as Expr<'i32'>);
  }

  plainLoad(size: IntegerSize, host: I32, offset = 0): Expr {
    return size === 8
      ? i64.load(host, offset)
      : size === 4
        ? i32.load(host, offset)
        : size === 2
          ? i32.load16U(host, offset)
          : i32.load8U(host, offset);
  }

  store(size: IntegerSize, va: I64, value: Expr): void {
    this.storeAll(va, size, [value]);
  }

  loadXmm(va: I64): V128 {
    return this.let(v128.load(this.hostRead(this.let(va), 16)));
  }

  storeXmm(va: I64, value: V128): void {
    this.storeAll(va, 16, [value]);
  }

  /** Stores values of `width` bytes one behind the other, as one access. */
  storeAll(va: I64, width: 1 | 2 | 4 | 8 | 16, values: readonly Expr[]): void {
    const host = this.hostWrite(this.let(va), width * values.length, false);
    values.forEach((value, n) => this.f.store(width, host, value, n * width));
    this.finishWrite(host);
  }

  /**
   * Read-modify-write of operand `index`: `change` gets the old value (a local) and returns the new one. With LOCK on
   * memory the change is atomic; `change` may then run several times and must only compute.
   */
  update(index: number, change: (old: Local) => Expr, size: IntegerSize = this.size): void {
    const { f } = this;
    if (this.form.shapes[index] === 'r') {
      const old = this.let(this.readRegister(index, size) as Expr<'i32'>);
      this.writeRegister(index, size, change(old));
      return;
    }
    const host = this.hostWrite(this.let(this.address(index)), size, true);
    if (!this.form.lock) {
      const old = this.let(this.plainLoad(size, host) as Expr<'i32'>);
      f.store(size, host, change(old));
    } else {
      this.atomicUpdate(host, size, change);
    }
    this.finishWrite(host);
  }

  /** Compare-and-swap loop; a misaligned operand, which WebAssembly cannot do atomically, is done plainly. */
  atomicUpdate(host: I32, size: IntegerSize, change: (old: Local) => Expr): void {
    const { f } = this;
    const value = f.local(size === 8 ? 'i64' : 'i32') as Local;
    f.block((done) => {
      if (size > 1) {
        f.if(i32.and(host, i32.const(size - 1)), () => {
          f.set(value, this.plainLoad(size, host));
          f.store(size, host, change(value));
          f.br(done);
        });
      }
      f.loop((retry) => {
        f.set(value, atomicLoad(size, host));
        const wanted = this.let(change(value) as Expr<'i32'>);
        const t = integerOps(size);
        const clean = size >= 4 ? wanted : i32.and(wanted, i32.const(size === 1 ? 0xff : 0xffff));
        f.brIf(retry, t.ne(atomicCompareExchange(size, host, value, clean), value));
      });
    });
  }

  /** Adds operand 1 to operand 0, or subtracts it, and sets the flags of that; with `isCompared` nothing else. */
  sum(kind: 'add' | 'sub', isCompared: boolean): void {
    if (isCompared) {
      const x = this.let(this.read(0));
      const y = this.operand(this.read(1));
      this.#sumOf(kind, x, y);
      return;
    }
    const y = this.operand(this.read(1));
    this.update(0, (x) => this.#sumOf(kind, x, y));
  }

  #sumOf(kind: 'add' | 'sub', x: Local, y: Expr): Local {
    const r = this.let(kind === 'add' ? this.t.add(x, y) : this.t.sub(x, y));
    if (kind === 'add') this.flagsAdd(x, y, r);
    else this.flagsSub(x, y, r);
    return r;
  }

  // Flags.

  /** CF as 0 or 1. */
  carry(): I32 {
    return carryFlag(this.flagAux());
  }

  /**
   * Flags of `r = x + y`, or of `x + y + carry` when `carried`: all six. The operands are what `operand` has made. With `kept`, a local, CF
   * is that instead (INC).
   */
  flagsAdd(x: Expr, y: Expr, r: Local, _carried = false, kept?: I32): void {
    const carries = this.let(addCarries(this.size, x, y, r) as Expr<'i32'>);
    this.#setCarries(r, carries, kept);
  }

  /** Flags of `r = x - y`, or of `x - y - borrow` when `carried`: all six; CF is `kept` where that is given (DEC). */
  flagsSub(x: Expr, y: Expr, r: Local, _carried = false, kept?: I32): void {
    const carries = this.let(subCarries(this.size, x, y, r) as Expr<'i32'>);
    this.#setCarries(r, carries, kept);
  }

  #setCarries(r: Local, carries: Expr, kept: I32 | undefined): void {
    const aux = packCarries(this.size, carries);
    this.setFlags(signExtended(this.size, r), kept === undefined ? aux : withCarry(this.let(aux), kept));
  }

  /**
   * Sets flags in a way that costs something: `make` calls `setFlags`, reads nothing but locals of this instruction, and may be run
   * later, several times or never.
   */
  deferFlags(make: () => void): void {
    make();
  }

  /** SF ZF PF of `r`, which is zero-extended and what `operand` has made; CF, OF and AF clear. */
  flagsLogic(r: Expr): void {
    this.setFlags(signExtended(this.size, r), i32.const(0));
  }

  /** Loads all six flags; each is 0 or 1. */
  setFlagBits(bits: { cf: I32; pf: I32; af: I32; zf: I32; sf: I32; of: I32 }): void {
    const zf = this.let(bits.zf);
    const cf = this.let(bits.cf);
    let aux = i32.or(i32.shl(cf, i32.const(31)), i32.shl(i32.xor(cf, bits.of), i32.const(30)));
    aux = i32.or(aux, i32.shl(i32.xor(bits.pf, zf), i32.const(8)));
    aux = i32.or(aux, i32.or(i32.shl(bits.af, i32.const(3)), bits.sf));
    this.setFlags(i64.extendI32U(i32.eqz(zf)), aux);
  }

  /** RFLAGS as an image: system bits and the six arithmetic flags. */
  rflags(): I32 {
    const aux = this.flagAux();
    const result = this.flagResult();
    const at = (flag: I32, position: number): I32 => i32.shl(flag, i32.const(position));
    let image = i32.or(i32.load(this.cpu, EFLAGS_SYSTEM), carryFlag(aux));
    image = i32.or(image, at(parityFlag(result, aux), 2));
    image = i32.or(image, at(adjustFlag(aux), 4));
    image = i32.or(image, at(zeroFlag(result), 6));
    image = i32.or(image, at(signFlag(result, aux), 7));
    return i32.or(i32.or(image, at(overflowFlag(aux), 11)), i32.const(2));
  }

  /** Condition code 0..15 now, as 0 or 1. */
  condition(code: number): I32 {
    return condition(code, this.flagResult(), this.flagAux());
  }
}

function atomicLoad(size: IntegerSize, host: I32): Expr {
  return atomicOperation(size, [0x12, 0x13, 0x10, 0x11], host, []);
}

/** Returns the old value, zero-extended. */
export function atomicCompareExchange(size: IntegerSize, host: I32, expected: Expr, wanted: Expr): Expr {
  return atomicOperation(size, [0x4a, 0x4b, 0x48, 0x49], host, [expected, wanted]);
}

/** Opcodes after the 0xfe prefix for i32 8-bit, i32 16-bit, i32, i64. */
function atomicOperation(size: IntegerSize, opcodes: readonly number[], host: I32, operands: readonly Expr[]): Expr {
  const align = size === 1 ? 0 : size === 2 ? 1 : size === 4 ? 2 : 3;
  return atomic(size === 8 ? 'i64' : 'i32', 0xfe00 | (opcodes[align] as number), align, 0, host, ...operands);
}
