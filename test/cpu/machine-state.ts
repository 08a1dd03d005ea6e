/**
 * The user-visible state of a processor around one instruction, as one block of bytes with views into it.
 *
 * The block is what the native recorder reads and writes (`struct state` of recorder/recorder.c has the same
 * offsets), so records cross the pipe without conversion. Little-endian hosts only.
 *
 * @module
 */

export const STATE_BYTES = 832;
/** Without the upper halves of the YMM registers: what vector files of x86-64-v2 hold. */
export const BASE_STATE_BYTES = 576;

const XMM_OFFSET = 160;
const ST_OFFSET = 416;
const MXCSR_OFFSET = 544;
const FCW_OFFSET = 548;
const FSW_OFFSET = 550;
const FTW_OFFSET = 552;
const SELECTOR_OFFSET = 560;

export { RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP } from './registers.ts';

/** Segment register numbers in encoding order. */
export const ES = 0,
  CS = 1,
  SS = 2,
  DS = 3,
  FS = 4,
  GS = 5;

/** RFLAGS bits, SDM vol. 1, 3.4.3. */
export const Flag = {
  CF: 0x1,
  ONE: 0x2,
  PF: 0x4,
  AF: 0x10,
  ZF: 0x40,
  SF: 0x80,
  TF: 0x100,
  IF: 0x200,
  DF: 0x400,
  OF: 0x800,
  NT: 0x4000,
  RF: 0x1_0000,
  AC: 0x4_0000,
  ID: 0x20_0000,
} as const;
/** CF PF AF ZF SF OF. */
export const STATUS_FLAGS = 0x8d5;
/** Everything an instruction in user mode may change and a case compares: the status flags, DF, NT, AC, ID. */
export const COMPARED_FLAGS = STATUS_FLAGS | Flag.DF | Flag.NT | Flag.AC | Flag.ID;

export class MachineState {
  readonly bytes: Uint8Array;
  /** RAX RCX RDX RBX RSP RBP RSI RDI R8..R15. */
  readonly gpr: BigUint64Array;
  /** RIP, RFLAGS, FS base, GS base. */
  readonly #wide: BigUint64Array;
  /** XMM0..15, two quadwords each, low first. */
  readonly xmm: BigUint64Array;
  /** Upper halves of YMM0..15, likewise. */
  readonly ymmHigh: BigUint64Array;
  /** ST(0)..ST(7), relative to TOP as FXSAVE stores them: per register the significand, then sign and exponent. MMn is the significand of the physical register n. */
  readonly st: BigUint64Array;
  /** ES CS SS DS FS GS. */
  readonly selectors: Uint16Array;
  readonly #view: DataView;

  constructor(buffer: ArrayBuffer = new ArrayBuffer(STATE_BYTES), offset = 0) {
    this.bytes = new Uint8Array(buffer, offset, STATE_BYTES);
    this.gpr = new BigUint64Array(buffer, offset, 16);
    this.#wide = new BigUint64Array(buffer, offset + 128, 4);
    this.xmm = new BigUint64Array(buffer, offset + XMM_OFFSET, 32);
    this.ymmHigh = new BigUint64Array(buffer, offset + BASE_STATE_BYTES, 32);
    this.st = new BigUint64Array(buffer, offset + ST_OFFSET, 16);
    this.selectors = new Uint16Array(buffer, offset + SELECTOR_OFFSET, 6);
    this.#view = new DataView(buffer, offset, STATE_BYTES);
  }

  get rip(): bigint {
    return this.#wide[0] as bigint;
  }
  set rip(value: bigint) {
    this.#wide[0] = value;
  }
  get rflags(): number {
    return Number(this.#wide[1] as bigint);
  }
  set rflags(value: number) {
    this.#wide[1] = BigInt(value);
  }
  get fsBase(): bigint {
    return this.#wide[2] as bigint;
  }
  set fsBase(value: bigint) {
    this.#wide[2] = value;
  }
  get gsBase(): bigint {
    return this.#wide[3] as bigint;
  }
  set gsBase(value: bigint) {
    this.#wide[3] = value;
  }
  get mxcsr(): number {
    return this.#view.getUint32(MXCSR_OFFSET, true);
  }
  set mxcsr(value: number) {
    this.#view.setUint32(MXCSR_OFFSET, value, true);
  }
  /** x87 control word. */
  get fcw(): number {
    return this.#view.getUint16(FCW_OFFSET, true);
  }
  set fcw(value: number) {
    this.#view.setUint16(FCW_OFFSET, value, true);
  }
  /** x87 status word; TOP in bits 11-13. */
  get fsw(): number {
    return this.#view.getUint16(FSW_OFFSET, true);
  }
  set fsw(value: number) {
    this.#view.setUint16(FSW_OFFSET, value, true);
  }
  /** Abridged tags as in FXSAVE: bit n set means physical register n is not empty. */
  get ftw(): number {
    return this.#view.getUint8(FTW_OFFSET);
  }
  set ftw(value: number) {
    this.#view.setUint8(FTW_OFFSET, value);
  }

  copyFrom(other: MachineState): void {
    this.bytes.set(other.bytes);
  }

  clone(): MachineState {
    const copy = new MachineState();
    copy.copyFrom(this);
    return copy;
  }
}
