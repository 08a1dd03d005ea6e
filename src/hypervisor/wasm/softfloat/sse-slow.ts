/**
 * The exact path of every SSE, SSE2, SSE3 and SSE4.1 floating-point operation (SDM volume 1, chapters 10 to 12).
 *
 * The interpreter comes here when MXCSR is not at its usual setting or operands or results are unusual. Operands and
 * results are read and written as bytes in linear memory; the caller has done the guest's memory access before.
 * As on the processor, the flags of all lanes are combined, an unmasked exception writes nothing, and then flags of
 * exceptions found after computing (OE UE PE) are dropped when one found before (IE DE ZE) is unmasked.
 *
 * @module
 */
import { CR4, FAULT_ERROR, FAULT_VECTOR, MXCSR } from '../state.ts';
import { FloatEnvironment, PRE_COMPUTATION } from './environment.ts';
import { sseRows } from './sse-operations.ts';
import { FloatResult, FloatValue } from './value.ts';

const MXCSR_DAZ = 1 << 6,
  MXCSR_FTZ = 1 << 15;
const CR4_OSXMMEXCPT = 1 << 10;
const VECTOR_UD = 6,
  VECTOR_XM = 19;

/** Operation numbers by name: mnemonics, with a suffix `_32` or `_64` where the integer operand has two widths. */
export const SseOperation: Readonly<Record<string, number>> = Object.fromEntries(
  sseRows.map((row, i) => [row.name, i]),
);

/** Added to an operation number: on vectors of 32 bytes. */
export const SLOW_WIDE = 0x1000;
/** Operations on vectors of 32 bytes whose results are half as wide as their sources. */
const NARROWING = new Set(['cvtpd2ps', 'cvtpd2dq', 'cvttpd2dq', 'cvtps2ph']);

export class SseSlow {
  readonly environment = new FloatEnvironment();
  /** Scratch for one lane. */
  readonly a = new FloatValue();
  readonly b = new FloatValue();
  readonly c = new FloatValue();
  readonly out = new FloatResult();

  /** First source, second source and result, in every lane width. */
  readonly aWords = new Int32Array(4);
  readonly aSingles = new Float32Array(this.aWords.buffer);
  readonly aDoubles = new Float64Array(this.aWords.buffer);
  readonly bWords = new Int32Array(4);
  readonly bSingles = new Float32Array(this.bWords.buffer);
  readonly bDoubles = new Float64Array(this.bWords.buffer);
  /** The third source of fused operations. */
  readonly cWords = new Int32Array(4);
  readonly outWords = new Int32Array(4);
  readonly outSingles = new Float32Array(this.outWords.buffer);
  readonly outDoubles = new Float64Array(this.outWords.buffer);

  /** The result of the lower half while the upper one is worked out. */
  readonly #lower = new Int32Array(4);
  /** Flags of the finished steps of this operation. */
  #earlier = 0;
  readonly #view: DataView;
  readonly #state: number;

  /** `state`: where the CPU state record starts in `buffer`, in bytes. */
  constructor(buffer: ArrayBufferLike, state: number) {
    this.#view = new DataView(buffer);
    this.#state = state;
  }

  /**
   * Executes operation `SseOperation[...]`: `destination` := `first` op `second`, all byte offsets into the buffer, any
   * alignment. Legacy SSE passes the destination as the first source. `immediate` is the imm8 of those that have one.
   * MXCSR is updated. Returns 0, or 1 when the exception in FAULT_VECTOR is to be delivered and nothing was written.
   *
   * Conversions to integers and comparisons into EFLAGS write 8 bytes at `destination`: the zero-extended integer,
   * or ZF PF CF at their places in EFLAGS (the others are cleared by these instructions).
   *
   * Fused operations have the offset of their addend in `immediate`. With SLOW_WIDE the same is done on the upper 16 bytes of everything, or what gives and takes as much.
   */
  run(operation: number, destination: number, first: number, second: number, immediate: number): 0 | 1 {
    const row = sseRows[operation & ~SLOW_WIDE]!;
    const wide = (operation & SLOW_WIDE) !== 0;
    const view = this.#view;
    const mxcsr = view.getUint32(this.#state + MXCSR, true);
    const environment = this.environment;
    environment.rounding = (mxcsr >>> 13) & 3;
    environment.masks = (mxcsr >>> 7) & 0x3f;
    environment.flags = 0;
    this.#earlier = 0;
    environment.denormalsAreZero = (mxcsr & MXCSR_DAZ) !== 0;
    environment.flushToZero = (mxcsr & MXCSR_FTZ) !== 0;

    const { sourceBytes, resultBytes } = row;
    if (row.readsFirst) for (let i = 0; i < 4; i++) this.aWords[i] = view.getInt32(first + 4 * i, true);
    for (let i = 0; i < sourceBytes; i += 4) this.bWords[i >> 2] = view.getInt32(second + i, true);
    if (row.readsThird === true) this.#readThird(immediate);
    row.run(this, immediate);
    if (wide) {
      this.#lower.set(this.outWords);
      if (row.readsFirst) for (let i = 0; i < 4; i++) this.aWords[i] = view.getInt32(first + 16 + 4 * i, true);
      for (let i = 0; i < sourceBytes; i += 4) this.bWords[i >> 2] = view.getInt32(second + sourceBytes + i, true);
      if (row.readsThird === true) this.#readThird(immediate + 16);
      row.run(this, immediate);
    }

    if (environment.suppressed()) environment.flags &= PRE_COMPUTATION;
    const flags = environment.flags | this.#earlier;
    if (flags !== 0) {
      view.setUint32(this.#state + MXCSR, mxcsr | flags, true);
      if (flags & ~environment.masks) {
        const unmaskable = view.getUint32(this.#state + CR4, true) & CR4_OSXMMEXCPT;
        view.setInt32(this.#state + FAULT_VECTOR, unmaskable ? VECTOR_XM : VECTOR_UD, true);
        view.setInt32(this.#state + FAULT_ERROR, -1, true);
        return 1;
      }
    }
    let at = destination;
    if (wide) {
      at += NARROWING.has(row.name) ? 8 : 16;
      for (let i = 0; i < resultBytes; i += 4) view.setInt32(destination + i, this.#lower[i >> 2]!, true);
    }
    for (let i = 0; i < resultBytes; i += 4) view.setInt32(at + i, this.outWords[i >> 2]!, true);
    return 0;
  }

  #readThird(at: number): void {
    for (let i = 0; i < 4; i++) this.cWords[i] = this.#view.getInt32(at + 4 * i, true);
  }

  /** Ends one step of an operation of several (DPPS). True when its exceptions stop the operation here. */
  stepFaults(): boolean {
    const environment = this.environment;
    if (environment.suppressed()) environment.flags &= PRE_COMPUTATION;
    const unmasked = environment.flags & ~environment.masks;
    if (!unmasked) {
      this.#earlier |= environment.flags;
      environment.flags = 0;
    }
    return unmasked !== 0;
  }
}
