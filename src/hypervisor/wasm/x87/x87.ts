/**
 * The x87 register stack on the CPU state record: what all instructions share (SDM volume 1, chapter 8).
 *
 * An operation computes with `softfloat/` into `out`, raising exceptions in `environment`, and ends with one of the
 * `finish*` methods, which apply the rules for masked and unmasked responses: IE, DE and ZE unmasked suppress the result
 * and the pop; OE, UE and PE unmasked do not, but for stores to memory, where OE and UE do. An unmasked exception sets ES, and
 * the next waiting instruction delivers it as #MF. With CR0.NE clear that #MF stands for FERR#: vcpu.ts waits for IRQ 13 instead.
 *
 * As on processors that announce CPUID.7.EBX bits 6 and 13: FDP and FOP change only when an unmasked exception is raised,
 * FCS and FDS stay 0.
 *
 * @module
 */
import { FloatEnvironment, IE, OE, PE, PRE_COMPUTATION, UE } from '../softfloat/environment.ts';
import { type FloatFormat, PRECISION_CONTROL } from '../softfloat/format.ts';
import { FloatResult, FloatValue } from '../softfloat/value.ts';
import {
  CR0,
  EA,
  FAULT_ERROR,
  FAULT_VECTOR,
  FPR,
  FPU_CONTROL,
  FPU_DP,
  FPU_DS,
  FPU_IP,
  FPU_OPCODE,
  FPU_STATUS,
  FPU_TAGS,
  RIP,
  STATE_BYTES,
} from '../state.ts';
import { x87Rows } from './operations.ts';
import { BUSY, C1, DONE, ES, FAULT, type Outcome, SF, TOP_MASK, TOP_SHIFT } from './status.ts';

const CR0_MP = 2,
  CR0_EM = 4,
  CR0_TS = 8,
  CR0_NE = 0x20;
const VECTOR_NM = 7,
  VECTOR_MF = 16;

/** ModRM.mod = 3 in an opcode. */
const REGISTER_FORM = 0xc0;

const DEFAULT_NAN_SE = 0xffff;
const DEFAULT_NAN_HIGH = 0xc000_0000;

export class X87 {
  readonly environment = new FloatEnvironment();
  readonly a = new FloatValue();
  readonly b = new FloatValue();
  readonly out = new FloatResult();
  /** A second result (FXTRACT, FSINCOS). */
  readonly out2 = new FloatResult();
  /** What add, subtract, multiply, divide and square root round to: FCW.PC. */
  format: FloatFormat = PRECISION_CONTROL[3]!;
  /** Control and status word during an operation. */
  control = 0;
  status = 0;
  /** The 11 opcode bits of the instruction under way. */
  opcode = 0;
  /** Linear memory, for operands. */
  readonly memory: DataView;
  readonly memoryBytes: Uint8Array;

  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly u64: BigUint64Array;

  /** FPU_CONTROL to FPU_DS, and what they were before a store. */
  readonly #words: Uint32Array;
  readonly #ferr: (asserted: boolean) => boolean;
  readonly #before: Uint32Array = new Uint32Array((FPU_DS + 4 - FPU_CONTROL) / 4);

  /**
   * `state`: where the CPU state record starts in `buffer`, in bytes, a multiple of 8. `ferr`: told of the error pin when CR0.NE
   * is clear, says whether the instruction has to wait (VcpuInterrupts.ferr).
   */
  constructor(buffer: ArrayBufferLike, state: number, ferr: (asserted: boolean) => boolean = (asserted) => asserted) {
    this.#ferr = ferr;
    this.environment.x87 = true;
    this.memory = new DataView(buffer);
    this.memoryBytes = new Uint8Array(buffer);
    this.u16 = new Uint16Array(buffer, state, STATE_BYTES / 2);
    this.u32 = new Uint32Array(buffer, state, STATE_BYTES / 4);
    this.#words = this.u32.subarray(FPU_CONTROL >> 2, (FPU_DS + 4) >> 2);
    this.u64 = new BigUint64Array(buffer, state, STATE_BYTES / 8);
  }

  /**
   * Executes `x87Rows[operation]`. `opcode` holds the low three bits of the first opcode byte and the ModRM byte (for memory
   * operands mod and rm may be zero); `operand` is the offset in the buffer of the bytes of a memory operand, which the caller
   * reads from or writes to guest memory. State.RIP must be the instruction's address, state.EA the operand's.
   *
   * Returns DONE; FAULT when FAULT_VECTOR is to be delivered and nothing has changed; DONE_WITHOUT_WRITE when an
   * instruction that writes memory must not, as an unmasked exception is now pending: it then must not fault on memory
   * either. After a store that is DONE, `undo` takes it back should the write to guest memory fault.
   */
  execute(operation: number, opcode: number, operand: number): Outcome {
    const row = x87Rows[operation]!;
    if (this.unavailable(row.waits, row.name === 'fwait')) return FAULT;
    this.opcode = opcode & 0x7ff;
    if (row.store === true) this.#before.set(this.#words);
    this.#begin();
    const outcome = row.run(this, opcode & 7, operand);
    if (!row.control) {
      this.u32[FPU_IP >> 2] = this.u32[RIP >> 2]!;
      this.u32[(FPU_IP >> 2) + 1] = this.u32[(RIP >> 2) + 1]!;
    }
    return outcome;
  }

  /** Takes back the last instruction that stores: stores change no register. */
  undo(): void {
    this.#words.set(this.#before);
  }

  /**
   * Raises #NM (CR0.EM or TS; for FWAIT, TS with MP), then #MF when an exception is pending and the instruction waits.
   * To be asked before the memory operand is touched; `execute` asks too.
   */
  unavailable(waits: boolean, isWait: boolean): boolean {
    const cr0 = this.u32[CR0 >> 2]!;
    if (isWait ? (cr0 & (CR0_MP | CR0_TS)) === (CR0_MP | CR0_TS) : (cr0 & (CR0_EM | CR0_TS)) !== 0) {
      return this.#fault(VECTOR_NM);
    }
    if (!waits) return false;
    const pending = (this.u32[FPU_STATUS >> 2]! & ES) !== 0;
    return ((cr0 & CR0_NE) !== 0 ? pending : this.#ferr(pending)) && this.#fault(VECTOR_MF);
  }

  #fault(vector: number): true {
    this.u32[FAULT_VECTOR >> 2] = vector;
    this.u32[FAULT_ERROR >> 2] = 0xffff_ffff;
    return true;
  }

  #begin(): void {
    const { environment } = this;
    this.control = this.u32[FPU_CONTROL >> 2]!;
    this.status = this.u32[FPU_STATUS >> 2]!;
    environment.rounding = (this.control >> 10) & 3;
    environment.masks = this.control & 0x3f;
    environment.flags = 0;
    environment.roundedUp = false;
    this.format = PRECISION_CONTROL[(this.control >> 8) & 3]!;
  }

  // Registers.

  /** Physical register of ST(i). */
  physical(i: number): number {
    return ((this.status >> TOP_SHIFT) + i) & 7;
  }

  isEmpty(i: number): boolean {
    return ((this.u32[FPU_TAGS >> 2]! >> this.physical(i)) & 1) === 0;
  }

  free(i: number): void {
    this.u32[FPU_TAGS >> 2] = this.u32[FPU_TAGS >> 2]! & ~(1 << this.physical(i));
  }

  #fill(physical: number): void {
    this.u32[FPU_TAGS >> 2] = this.u32[FPU_TAGS >> 2]! | (1 << physical);
  }

  load(i: number, value: FloatValue): void {
    const at = FPR + 16 * this.physical(i);
    value.fromExtended(this.u16[(at + 8) >> 1]!, this.u32[(at + 4) >> 2]!, this.u32[at >> 2]!);
  }

  store(i: number, result: FloatResult): void {
    const physical = this.physical(i);
    const at = FPR + 16 * physical;
    this.u64[at >> 3] = result.significand;
    this.u16[(at + 8) >> 1] = result.signExponent();
    this.#fill(physical);
  }

  storeParts(i: number, signExponent: number, high: number, low: number): void {
    const physical = this.physical(i);
    const at = FPR + 16 * physical;
    this.u32[at >> 2] = low;
    this.u32[(at + 4) >> 2] = high;
    this.u16[(at + 8) >> 1] = signExponent;
    this.#fill(physical);
  }

  storeDefaultNan(i: number): void {
    this.storeParts(i, DEFAULT_NAN_SE, DEFAULT_NAN_HIGH, 0);
  }

  signExponent(i: number): number {
    return this.u16[(FPR + 16 * this.physical(i) + 8) >> 1]!;
  }

  significandHigh(i: number): number {
    return this.u32[(FPR + 16 * this.physical(i) + 4) >> 2]!;
  }

  significandLow(i: number): number {
    return this.u32[(FPR + 16 * this.physical(i)) >> 2]!;
  }

  /** Copies ST(from) to ST(to), whatever it holds. */
  copy(from: number, to: number): void {
    this.storeParts(to, this.signExponent(from), this.significandHigh(from), this.significandLow(from));
  }

  /** Moves TOP by `by` without touching tags. */
  rotate(by: number): void {
    this.status = (this.status & ~TOP_MASK) | ((this.status + (by << TOP_SHIFT)) & TOP_MASK);
  }

  pop(times: number): void {
    for (let i = 0; i < times; i++) {
      this.free(0);
      this.rotate(1);
    }
  }

  // Ends of operations. Each writes the status word; `finish` forms return what `execute` does.

  /** Stack underflow (`c1` 0) or overflow (C1): IE and SF. True when masked: the default NaN goes where a result would. */
  stackFault(c1: number): boolean {
    this.environment.flags = IE;
    this.environment.roundedUp = c1 !== 0;
    this.status |= SF;
    return (this.environment.masks & IE) !== 0;
  }

  /** Merges exceptions and C1 into the status word and stores it. */
  commit(): void {
    const { environment } = this;
    if (environment.suppressed()) environment.flags &= PRE_COMPUTATION;
    this.status = (this.status & ~C1) | environment.flags | (environment.roundedUp ? C1 : 0);
    if (environment.flags & ~environment.masks) this.#pending();
    this.commitStatus();
  }

  /** Stores the status word as it is. */
  commitStatus(): void {
    this.u32[FPU_STATUS >> 2] = this.status & 0xffff;
  }

  #pending(): void {
    this.status |= ES | BUSY;
    this.u32[FPU_OPCODE >> 2] = this.opcode;
    if ((this.opcode & REGISTER_FORM) !== REGISTER_FORM) {
      this.u32[FPU_DP >> 2] = this.u32[EA >> 2]!;
      this.u32[(FPU_DP >> 2) + 1] = this.u32[(EA >> 2) + 1]!;
    }
  }

  /** Writes `out` to ST(i) and pops, unless suppressed. */
  finish(i: number, pops: number): Outcome {
    if (!this.environment.suppressed()) {
      this.store(i, this.out);
      this.pop(pops);
    } else {
      this.environment.roundedUp = false;
    }
    this.commit();
    return DONE;
  }

  /** Ends a masked or unmasked stack underflow of an operation whose result goes to ST(i). */
  finishUnderflow(i: number, pops: number): Outcome {
    if (this.stackFault(0)) {
      this.storeDefaultNan(i);
      this.pop(pops);
    }
    this.commit();
    return DONE;
  }

  /**
   * Ends a store of a number to memory. Call before writing: true when the bytes are to be written. `wrong` exceptions leave
   * memory and stack alone.
   */
  finishStore(pops: number): boolean {
    const { environment } = this;
    const unmasked = environment.flags & ~environment.masks;
    let writes = true;
    if (unmasked & PRE_COMPUTATION) {
      writes = false;
    } else if (unmasked & (OE | UE)) {
      environment.flags &= ~PE;
      writes = false;
    }
    if (writes) this.pop(pops);
    else environment.roundedUp = false;
    this.commit();
    return writes;
  }
}
