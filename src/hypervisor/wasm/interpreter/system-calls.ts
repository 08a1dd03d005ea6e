/**
 * From the interpreter to system/ and back: keeps decoded system instructions, works out their operands, runs them, and
 * says how to go on.
 *
 * @module
 */
import type { Decoded } from '../decode/decoder.ts';
import type { Row } from '../insn/row.ts';
import { RIP_BASE, SHADOW_RIP } from '../mmu/layout.ts';
import { ACTIVITY_RUNNING } from '../state.ts';
import { type Cpu, emptyInsn, executeSystem, type SystemFunction, type SystemInsn } from '../system/cpu.ts';
import { FLAG_IF, FLAG_RF, FLAG_TF } from '../system/cpu-state.ts';
import { deliverPendingFault } from '../system/exceptions.ts';
import { R_OFFSET, STATUS_FAULT, STATUS_JUMP, STATUS_LEAVE } from './record.ts';

/** How often the instructions of a name were run. */
interface Tally {
  count: number;
}

interface SystemCall {
  readonly tally: Tally;
  readonly fn: SystemFunction;
  readonly insn: SystemInsn;
  /** Registers of the memory operand, or -1; `ripRelative` counts from the next instruction. */
  readonly base: number;
  readonly index: number;
  readonly scale: number;
  readonly displacement: number;
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
  #calls: SystemCall[] = [];
  readonly #tallies = new Map<string, Tally>();

  constructor(cpu: Cpu, functions: Readonly<Record<string, SystemFunction>>, buffer: ArrayBufferLike) {
    this.#cpu = cpu;
    this.#functions = functions;
    this.#view = new DataView(buffer);
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
      tally: this.#tallyOf(row.name),
      fn,
      insn,
      base: d.base,
      index: d.index,
      scale: d.scale,
      displacement: d.displacement,
      ripRelative: d.ripRelative,
      hasMemory: d.hasMemory,
    });
    return this.#calls.length - 1;
  }

  #tallyOf(name: string): Tally {
    const tally = this.#tallies.get(name) ?? { count: 0 };
    this.#tallies.set(name, tally);
    return tally;
  }

  /** Instructions run. */
  get count(): number {
    let count = 0;
    for (const tally of this.#tallies.values()) count += tally.count;
    return count;
  }

  /** The same by mnemonic, for statistics. */
  counts(): Record<string, number> {
    return Object.fromEntries([...this.#tallies].map(([name, { count }]) => [name, count]));
  }

  /** Runs the instruction of a record; returns STATUS_*. */
  run(index: number, record: number): number {
    const cpu = this.#cpu;
    const { state } = cpu;
    const call = this.#calls[index] as SystemCall;
    call.tally.count++;
    const { insn } = call;
    const low = state.lo(RIP_BASE) + this.#view.getUint16(record + R_OFFSET, true);
    state.setRip(low, state.codeSize === 64 ? state.hi(RIP_BASE) + (low > 0xffff_ffff ? 1 : 0) : 0);
    if (call.hasMemory) this.#operandAddress(call);
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
      state.set(SHADOW_RIP, state.ripLo, state.ripHi);
      return STATUS_LEAVE;
    }
    const flags = state.systemFlags;
    if (state.activity !== ACTIVITY_RUNNING || (flags & (FLAG_TF | FLAG_RF)) !== 0) return STATUS_LEAVE;
    // MOV DR7 has just enabled a breakpoint: from here on one instruction at a time.
    if ((state.dr7 & 0xff) !== 0) return STATUS_LEAVE;
    if ((flags & FLAG_IF) !== 0 && cpu.host.interrupts.pending()) return STATUS_LEAVE;
    return STATUS_JUMP;
  }

  /** Offset of the memory operand in its segment. In halves: a bigint would cost as much as most of these instructions. */
  #operandAddress({ insn, base, index, scale, displacement, ripRelative }: SystemCall): void {
    const { state } = this.#cpu;
    let low = displacement >>> 0;
    let high = displacement >> 31;
    if (ripRelative) {
      low += state.ripLo + insn.length;
      high += state.ripHi;
    }
    if (base >= 0) {
      low += state.gprLo(base);
      high += state.gprHi(base);
    }
    if (index >= 0) {
      const part = state.gprLo(index);
      low += (part << scale) >>> 0;
      high += (state.gprHi(index) << scale) | (scale === 0 ? 0 : part >>> (32 - scale));
    }
    // Up to four halves were added: the carry is a small number.
    const carry = Math.floor(low / 0x1_0000_0000);
    insn.offsetLo = insn.addrsize === 2 ? low & 0xffff : low >>> 0;
    insn.offsetHi = insn.addrsize === 8 ? (high + carry) >>> 0 : 0;
  }
}
