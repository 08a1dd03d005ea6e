/**
 * From the interpreter to system/ and back: keeps decoded system instructions, works out their operands, runs them, and
 * says how to go on.
 *
 * @module
 */
import type { Decoded } from '../decode/decoder.ts';
import type { Row } from '../insn/row.ts';
import { RIP_BASE, SHADOW_RIP } from '../mmu/layout.ts';
import { ACTIVITY_RUNNING, STATE_BYTES } from '../state.ts';
import { type Cpu, emptyInsn, executeSystem, type SystemFunction, type SystemInsn } from '../system/cpu.ts';
import { FLAG_IF, FLAG_RF, FLAG_TF } from '../system/cpu-state.ts';
import { deliverPendingFault } from '../system/exceptions.ts';
import { R_OFFSET, STATUS_FAULT, STATUS_JUMP, STATUS_LEAVE } from './record.ts';

interface SystemCall {
  readonly fn: SystemFunction;
  readonly insn: SystemInsn;
  /** Registers of the memory operand, or -1; `ripRelative` counts from the next instruction. */
  readonly base: number;
  readonly index: number;
  readonly scale: bigint;
  readonly displacement: bigint;
  readonly ripRelative: boolean;
  readonly hasMemory: boolean;
}

const undefinedFunction: SystemFunction = (cpu) => {
  cpu.state.faultVector = 6;
  cpu.state.faultError = -1;
};

export class SystemCalls {
  readonly #cpu: Cpu;
  readonly #functions: Readonly<Record<string, SystemFunction>>;
  readonly #view: DataView;
  readonly #longs: BigUint64Array;
  #calls: SystemCall[] = [];
  /** Instructions run, for statistics. */
  count = 0;

  /** `area`: offset of the vCPU's private area. */
  constructor(cpu: Cpu, functions: Readonly<Record<string, SystemFunction>>, buffer: ArrayBufferLike, area: number) {
    this.#cpu = cpu;
    this.#functions = functions;
    this.#view = new DataView(buffer);
    this.#longs = new BigUint64Array(buffer, area, STATE_BYTES / 8);
  }

  /** Forgets all; the records that refer to them are gone. */
  clear(): void {
    this.#calls = [];
  }

  /** Keeps a decoded instruction; returns its index for the record. */
  add(row: Row, d: Decoded): number {
    const fn = this.#functions[row.system as string] ?? undefinedFunction;
    const insn = emptyInsn();
    insn.opsize =
      row.arg === 1 && (row.system === 'in' || row.system === 'out' || row.system === 'ins' || row.system === 'outs')
        ? 1
        : d.operandSize;
    insn.addrsize = d.addressSize;
    insn.length = d.length;
    insn.reg = row.ops === '' && row.arg !== undefined ? row.arg : d.reg;
    insn.rm = d.hasMemory ? -1 : d.rm;
    insn.segment = d.hasMemory ? d.segment : d.segmentOverride >= 0 ? d.segmentOverride : 3;
    insn.imm = d.immediateLow;
    insn.selector = d.immediate2;
    insn.rep = row.rep === undefined ? 0 : d.rep;
    insn.portInDx = row.ops.includes('DX');
    this.#calls.push({
      fn,
      insn,
      base: d.base,
      index: d.index,
      scale: BigInt(d.scale),
      displacement: BigInt(d.displacement),
      ripRelative: d.ripRelative,
      hasMemory: d.hasMemory,
    });
    return this.#calls.length - 1;
  }

  /** Runs the instruction of a record; returns STATUS_*. */
  run(index: number, record: number): number {
    this.count++;
    const cpu = this.#cpu;
    const { state } = cpu;
    const call = this.#calls[index] as SystemCall;
    const { insn } = call;
    const offset = BigInt(this.#view.getUint16(record + R_OFFSET, true));
    let rip = (this.#longs[RIP_BASE >> 3] as bigint) + offset;
    if (state.codeSize !== 64) rip &= 0xffff_ffffn;
    state.rip = rip;
    if (call.hasMemory) {
      let ea = call.displacement;
      if (call.ripRelative) ea += rip + BigInt(insn.length);
      if (call.base >= 0) ea += this.#longs[call.base] as bigint;
      if (call.index >= 0) ea += (this.#longs[call.index] as bigint) << call.scale;
      const bits = insn.addrsize * 8;
      ea = BigInt.asUintN(bits, ea);
      insn.offsetLo = Number(ea & 0xffff_ffffn);
      insn.offsetHi = Number(ea >> 32n);
    }
    if (call.fn === undefinedFunction) {
      undefinedFunction(cpu, insn);
      return STATUS_FAULT;
    }
    // A shadow covers one instruction, which is this one; what is there afterwards is new. (STI; HLT: the halt has none.)
    state.interruptShadow = 0;
    if (!executeSystem(cpu, call.fn, insn)) {
      if (!cpu.switched) return STATUS_FAULT;
      // The fault belongs to the task just switched to; a fault status would put RIP back to this instruction.
      deliverPendingFault(cpu);
      return STATUS_LEAVE;
    }
    if (state.interruptShadow !== 0) {
      this.#longs[SHADOW_RIP >> 3] = state.rip;
      return STATUS_LEAVE;
    }
    const flags = state.systemFlags;
    if (state.activity !== ACTIVITY_RUNNING || (flags & (FLAG_TF | FLAG_RF)) !== 0) return STATUS_LEAVE;
    // MOV DR7 has just enabled a breakpoint: from here on one instruction at a time.
    if ((state.dr7 & 0xff) !== 0) return STATUS_LEAVE;
    if ((flags & FLAG_IF) !== 0 && cpu.host.interrupts.pending()) return STATUS_LEAVE;
    return STATUS_JUMP;
  }
}
