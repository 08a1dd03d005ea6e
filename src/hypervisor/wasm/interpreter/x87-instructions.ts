/**
 * x87 instructions as system functions: memory operands are brought to and from the vCPU's bounce buffer, x87/ computes.
 *
 * @module
 */
import { x87FunctionName } from '../insn/x87.ts';
import { BOUNCE, EA } from '../state.ts';
import { type Cpu, currentAccess, linearAddress, operandAddress, type SystemFunction, type SystemInsn } from '../system/cpu.ts';
import { guestFault } from '../system/mmu.ts';
import { type X87Encoding, x87Encodings } from '../x87/encodings.ts';
import { X87Operation, x87Rows } from '../x87/operations.ts';
import { MEMORY_BYTES, type X87Memory } from '../x87/row.ts';
import { DONE, FAULT } from '../x87/status.ts';
import type { X87 } from '../x87/x87.ts';

/** FCMOV conditions: the RFLAGS bits of which one must be set (b CF, e ZF, be CF or ZF, u PF). */
const CONDITION_FLAGS: Record<string, number> = { b: 0x01, e: 0x40, be: 0x41, u: 0x04 };

function conditionHolds(cpu: Cpu, condition: string): boolean {
  const negated = condition.startsWith('n');
  const flags = CONDITION_FLAGS[negated ? condition.slice(1) : condition] ?? 0;
  return ((cpu.state.rflags & flags) !== 0) !== negated;
}

const bytesOf = (memory: X87Memory | undefined): number =>
  memory === undefined || memory === 'environment' || memory === 'state' ? 0 : MEMORY_BYTES[memory];

function transfer(cpu: Cpu, insn: SystemInsn, view: DataView, at: number, bytes: number, write: boolean): void {
  for (let done = 0; done < bytes; ) {
    const step = bytes - done >= 4 ? 4 : 2;
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

function build(x87: X87, view: DataView, area: number, e: X87Encoding): SystemFunction {
  const operation = X87Operation[e.operation] as number;
  const row = x87Rows[operation];
  if (row === undefined) throw new Error(`x87 operation ${e.operation}`);
  const bytes = bytesOf(row.memory);
  const buffer = area + BOUNCE;
  return (cpu, insn) => {
    const { state } = cpu;
    const modrm = e.digit >= 0 ? e.digit << 3 : e.modrm === e.lastModrm ? e.modrm : (e.modrm & 0xf8) | (insn.rm & 7);
    const opcode = ((e.opcode & 7) << 8) | (modrm & 0xff);
    // An unavailable unit or a pending exception comes before the operand is looked at.
    if (x87.unavailable(row.waits, row.name === 'fwait')) throw guestFault;
    if (bytes > 0) {
      linearAddress(cpu, insn.segment, insn.offsetLo, insn.offsetHi, bytes, row.store === true);
      state.set(EA, cpu.lo, cpu.hi);
      if (row.store === true) cpu.mmu.probe(cpu.lo, cpu.hi, bytes, currentAccess(cpu), true);
      else transfer(cpu, insn, view, buffer, bytes, false);
    }
    const operand = e.condition === undefined ? buffer : conditionHolds(cpu, e.condition) ? 1 : 0;
    const { rip } = state;
    state.rip = BigInt.asUintN(64, rip - BigInt(insn.length));
    const outcome = x87.execute(operation, opcode, operand);
    state.rip = rip;
    if (outcome === FAULT) throw guestFault;
    if (row.store === true && outcome === DONE) transfer(cpu, insn, view, buffer, bytes, true);
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
