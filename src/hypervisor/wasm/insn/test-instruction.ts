/**
 * For tests of instruction definitions: executes the handler of one instruction on a bare state record, without page
 * tables and main loop. Memory operands are plain (a base register and a displacement) and lie in the page at DATA.
 *
 * @module
 */
import { type CodeSize, Decoder } from '../decode/decoder.ts';
import { DecodeTable } from '../decode/table.ts';
import { Assembler } from '../interpreter/assembler.ts';
import { buildColdModule } from '../interpreter/cold-module.ts';
import { formKey, formOf } from '../interpreter/forms.ts';
import { RECORD_BYTES, STATUS_FAULT, STATUS_NEXT } from '../interpreter/record.ts';
import { SseSlow } from '../softfloat/sse-slow.ts';
import {
  CPL,
  EFLAGS_SYSTEM,
  FAULT_VECTOR,
  FLAG_AUX,
  FLAG_RESULT,
  FPR,
  FPU_STATUS,
  FPU_TAGS,
  gprOffset,
  MXCSR,
  TLB_BASE,
  xmmOffset,
} from '../state.ts';
import { rowsOf } from './index.ts';
import type { Row } from './row.ts';

const CPU = 0x1_0000,
  NO_TLB = 0x3_0000,
  RECORD = 0x2_0000,
  PAGES = 5;
/** Where memory operands may lie: address and offset in linear memory at once. */
export const DATA = 0x4_0000;
const DATA_BYTES = 0x1000;

type Handler = (cpu: number, record: number) => number;

/** One processor's registers and a page of memory. */
export class InstructionBench {
  readonly view: DataView;
  readonly bytes: Uint8Array;
  /** Calls of the exact floating-point path so far. */
  slowCalls = 0;
  readonly slow: SseSlow;
  readonly #decoder: Decoder;
  readonly #handlers = new Map<string, Handler>();
  readonly #assembler: Assembler;
  readonly #imports: WebAssembly.ModuleImports;

  constructor(rows: readonly Row[] = rowsOf('v3')) {
    this.#decoder = new Decoder(new DecodeTable(rows));
    const memory = new WebAssembly.Memory({ initial: PAGES, maximum: 65536, shared: true });
    this.view = new DataView(memory.buffer);
    this.bytes = new Uint8Array(memory.buffer);
    this.slow = new SseSlow(memory.buffer, CPU);
    this.#assembler = new Assembler(memory.buffer, CPU);
    // The table of translations stays empty, so that every access comes to the functions below.
    this.view.setInt32(CPU + TLB_BASE, NO_TLB, true);
    this.bytes.fill(0xff, NO_TLB, NO_TLB + 0x8000);
    const unused = (): never => {
      throw new Error('not a part of this bench');
    };
    const access = (_cpu: number, va: bigint, bytes: number): number => {
      const at = Number(va);
      if (at >= DATA && at + bytes <= DATA + DATA_BYTES) return at;
      this.view.setInt32(CPU + FAULT_VECTOR, 14, true);
      return 0;
    };
    this.#imports = {
      memory,
      slowRead: access,
      slowWrite: access,
      commit: unused,
      codeWrite: unused,
      // Outside 64-bit mode segments begin at DATA.
      legacyLinear: (_cpu: number, _segment: number, offset: bigint) => BigInt(DATA) + offset,
      divideUnsigned128: unused,
      divideSigned128: unused,
      crc32c: unused,
      lockBus: unused,
      unlockBus: unused,
      modeChanged: unused,
      clock: unused,
      slowFloat: (operation: number, destination: number, first: number, second: number, immediate: number) => {
        this.slowCalls++;
        return this.slow.run(operation, destination, first, second, immediate);
      },
    };
  }

  get mxcsr(): number {
    return this.view.getUint32(CPU + MXCSR, true);
  }
  set mxcsr(value: number) {
    this.view.setUint32(CPU + MXCSR, value, true);
  }

  get fpuStatus(): number {
    return this.view.getInt32(CPU + FPU_STATUS, true);
  }
  set fpuStatus(value: number) {
    this.view.setInt32(CPU + FPU_STATUS, value, true);
  }
  get fpuTags(): number {
    return this.view.getInt32(CPU + FPU_TAGS, true);
  }
  set fpuTags(value: number) {
    this.view.setInt32(CPU + FPU_TAGS, value, true);
  }

  /** Offset in linear memory of XMM register `n`. */
  xmmAt(n: number): number {
    return CPU + xmmOffset(n);
  }
  xmm(n: number): bigint {
    const at = this.xmmAt(n);
    return this.view.getBigUint64(at, true) | (this.view.getBigUint64(at + 8, true) << 64n);
  }
  setXmm(n: number, value: bigint): void {
    const at = this.xmmAt(n);
    this.view.setBigUint64(at, BigInt.asUintN(64, value), true);
    this.view.setBigUint64(at + 8, value >> 64n, true);
  }

  mmx(n: number): bigint {
    return this.view.getBigUint64(CPU + FPR + n * 16, true);
  }
  setMmx(n: number, value: bigint): void {
    this.view.setBigUint64(CPU + FPR + n * 16, value, true);
  }
  /** Sign and exponent above MMX register `n`. */
  mmxExponent(n: number): number {
    return this.view.getUint16(CPU + FPR + n * 16 + 8, true);
  }

  gpr(n: number): bigint {
    return this.view.getBigUint64(CPU + gprOffset(n), true);
  }
  setGpr(n: number, value: bigint): void {
    this.view.setBigUint64(CPU + gprOffset(n), value, true);
  }

  /** EFLAGS but for the arithmetic flags. */
  get systemFlags(): number {
    return this.view.getUint32(CPU + EFLAGS_SYSTEM, true);
  }
  set systemFlags(value: number) {
    this.view.setUint32(CPU + EFLAGS_SYSTEM, value, true);
  }
  set cpl(value: number) {
    this.view.setInt32(CPU + CPL, value, true);
  }

  /** ZF and CF as the lazy flags have them. */
  get zero(): boolean {
    return this.view.getBigInt64(CPU + FLAG_RESULT, true) === 0n;
  }
  get carry(): boolean {
    return this.view.getInt32(CPU + FLAG_AUX, true) < 0;
  }

  /** Executes the instruction in 64-bit mode. Returns the vector of its fault, or -1. */
  run(...code: readonly number[]): number {
    return this.runIn(64, ...code);
  }

  /** The same in code of 16, 32 or 64 bits. */
  runIn(codeSize: CodeSize, ...code: readonly number[]): number {
    const d = this.#decoder.decode(Uint8Array.from(code), 0, code.length, codeSize);
    if (typeof d === 'string') throw new Error(`the instruction does not decode: ${d}`);
    const { lift } = d.row;
    if (lift === undefined) throw new Error(`${d.row.name} has no lift`);
    const form = formOf(d.encoding, {
      operandSize: d.operandSize,
      indexed: false,
      memory: d.hasMemory,
      lock: false,
      legacy: codeSize !== 64,
      addressSize: d.addressSize as 2 | 4 | 8,
      rep: 0,
    });
    const key = formKey(lift, form);
    let handler = this.#handlers.get(key);
    if (handler === undefined) {
      const module = new WebAssembly.Module(buildColdModule([{ lift, form }]));
      handler = new WebAssembly.Instance(module, { env: this.#imports }).exports['h0'] as unknown as Handler;
      this.#handlers.set(key, handler);
    }
    this.#assembler.at = RECORD;
    this.#assembler.instruction(d, 0, 0, 1, 16, false, false, false);
    if (this.#assembler.at !== RECORD + RECORD_BYTES) throw new Error('the memory operand is not plain');
    const status = handler(CPU, RECORD);
    if (status === STATUS_FAULT) return this.view.getInt32(CPU + FAULT_VECTOR, true);
    if (status !== STATUS_NEXT) throw new Error(`status ${status}`);
    return -1;
  }
}
