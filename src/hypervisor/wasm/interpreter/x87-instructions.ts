/**
 * x87 instructions as system functions: memory operands are brought to and from the CPU state record, x87/ computes.
 *
 * @module
 */
import { x87FunctionName } from '../insn/x87.ts';
import { BOUNCE, EA, FPU_IMAGE, TEMP0, TEMP1 } from '../state.ts';
import {
  checkAlignment,
  type Cpu,
  currentAccess,
  linearAddress,
  operandAddress,
  type SystemFunction,
  type SystemInsn,
} from '../system/cpu.ts';
import { guestFault } from '../system/mmu.ts';
import { type X87Encoding, x87Encodings } from '../x87/encodings.ts';
import { ENVIRONMENT_32, ENVIRONMENT_PROTECTED, environmentBytes, stateBytes } from '../x87/environment.ts';
import { X87Operation, x87Rows } from '../x87/operations.ts';
import { MEMORY_BYTES, type X87Memory } from '../x87/row.ts';
import { DONE, FAULT } from '../x87/status.ts';
import type { X87 } from '../x87/x87.ts';

/** OF, SF, ZF, AF, PF, CF. */
const ARITHMETIC_FLAGS = 0x8d5;

/** FCMOV conditions: the RFLAGS bits of which one must be set (b CF, e ZF, be CF or ZF, u PF). */
const CONDITION_FLAGS: Record<string, number> = { b: 0x01, e: 0x40, be: 0x41, u: 0x04 };

function conditionHolds(cpu: Cpu, condition: string): boolean {
  const negated = condition.startsWith('n');
  const flags = CONDITION_FLAGS[negated ? condition.slice(1) : condition] ?? 0;
  return ((cpu.state.rflags & flags) !== 0) !== negated;
}

/** Bytes of the memory operand: 0 for none; environment and state images depend on the operand size. */
function bytesOf(memory: X87Memory | undefined, wide: boolean): number {
  switch (memory) {
    case undefined:
      return 0;
    case 'environment':
      return environmentBytes(wide);
    case 'state':
      return stateBytes(wide);
    default:
      return MEMORY_BYTES[memory];
  }
}

/** Moves bytes `from` to `to` of the operand between guest memory and `at`. */
function transfer(
  cpu: Cpu,
  insn: SystemInsn,
  view: DataView,
  at: number,
  from: number,
  to: number,
  write: boolean,
): void {
  for (let done = from; done < to; ) {
    const step = to - done >= 4 ? 4 : 2;
    operandAddress(cpu, insn, done, step, write);
    if (write) {
      const value = step === 4 ? view.getUint32(at + done, true) : view.getUint16(at + done, true);
      cpu.mmu.write(cpu.lo, cpu.hi, step, currentAccess(cpu), value, 0);
    } else {
      const value = cpu.mmu.read(cpu.lo, cpu.hi, step, currentAccess(cpu));
      if (step === 4) view.setUint32(at + done, value, true);
      else view.setUint16(at + done, value, true);
    }
    done += step;
  }
}

/** What alignment checking asks of an operand: eight for ten bytes; two or four for whole environments. */
const alignmentOf = (bytes: number): number => (bytes === 10 ? 8 : bytes > 10 ? ((bytes & 3) === 0 ? 4 : 2) : bytes);

/** Writes the operand. Ten bytes are eight and two: a fault on the two leaves the eight written, as on a processor. */
function store(cpu: Cpu, insn: SystemInsn, view: DataView, at: number, bytes: number): void {
  linearAddress(cpu, insn.segment, insn.offsetLo, insn.offsetHi, bytes, true);
  checkAlignment(cpu, alignmentOf(bytes));
  for (let from = 0; from < bytes; ) {
    const to = bytes === 10 && from === 0 ? 8 : bytes;
    operandAddress(cpu, insn, from, 1, true);
    cpu.mmu.probe(cpu.lo, cpu.hi, to - from, currentAccess(cpu), true);
    transfer(cpu, insn, view, at, from, to, true);
    from = to;
  }
}

function build(x87: X87, view: DataView, area: number, e: X87Encoding): SystemFunction {
  const operation = X87Operation[e.operation] as number;
  const row = x87Rows[operation];
  if (row === undefined) throw new Error(`x87 operation ${e.operation}`);
  const isImage = row.memory === 'environment' || row.memory === 'state';
  const buffer = area + (isImage ? FPU_IMAGE : BOUNCE);
  return (cpu, insn) => {
    const { state } = cpu;
    const modrm = e.digit >= 0 ? e.digit << 3 : e.modrm === e.lastModrm ? e.modrm : (e.modrm & 0xf8) | (insn.rm & 7);
    const opcode = ((e.opcode & 7) << 8) | (modrm & 0xff);
    // An unavailable unit or a pending exception comes before the operand is looked at.
    if (x87.unavailable(row.waits, row.name === 'fwait')) throw guestFault;
    const wide = insn.opsize !== 2;
    const bytes = bytesOf(row.memory, wide);
    if (isImage) {
      const isProtected = state.protectedMode && !state.virtual8086;
      state.u32[TEMP1 >> 2] = (wide ? ENVIRONMENT_32 : 0) | (isProtected ? ENVIRONMENT_PROTECTED : 0);
    }
    if (bytes > 0) {
      state.set(EA, insn.offsetLo, insn.offsetHi);
      if (row.store === undefined) {
        linearAddress(cpu, insn.segment, insn.offsetLo, insn.offsetHi, bytes, false);
        checkAlignment(cpu, alignmentOf(bytes));
        transfer(cpu, insn, view, buffer, 0, bytes, false);
      }
    }
    const operand = e.condition === undefined ? buffer : conditionHolds(cpu, e.condition) ? 1 : 0;
    const { rip } = state;
    state.rip = BigInt.asUintN(64, rip - BigInt(insn.length));
    const outcome = x87.execute(operation, opcode, operand);
    state.rip = rip;
    if (outcome === FAULT) throw guestFault;
    if (row.setsFlags === true) state.rflags = (state.rflags & ~ARITHMETIC_FLAGS) | state.u32[TEMP0 >> 2]!;
    if (row.store === true && outcome === DONE) {
      try {
        store(cpu, insn, view, buffer, bytes);
      } catch (fault) {
        x87.undo();
        throw fault;
      }
    }
  };
}

/** The functions by the names that insn/x87.ts gives them. `area`: offset of the vCPU's private area. */
export function x87Instructions(x87: X87, buffer: ArrayBufferLike, area: number): Record<string, SystemFunction> {
  const view = new DataView(buffer);
  const functions: Record<string, SystemFunction> = {};
  x87Encodings.forEach((e, index) => {
    if (X87Operation[e.operation] !== undefined) functions[x87FunctionName(index)] = build(x87, view, area, e);
  });
  return functions;
}
