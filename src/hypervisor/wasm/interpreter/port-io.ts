/**
 * IN, OUT, INS, OUTS (SDM volume 2A; volume 1, chapter 19).
 *
 * @module
 */
import type { VcpuBus } from '../../../bus/vcpu-bus.ts';
import { ES, RCX, RDI, RDX, RSI } from '../state.ts';
import { type Cpu, currentAccess, linearAddress, type SystemFunction, type SystemInsn } from '../system/cpu.ts';
import { FLAG_DF } from '../system/cpu-state.ts';
import { notePortAccess } from '../system/debug.ts';
import { checkPort } from '../system/io-permission.ts';

type Width = 1 | 2 | 4;

const widthOf = (insn: SystemInsn): Width => (insn.opsize === 1 ? 1 : insn.opsize === 2 ? 2 : 4);

/** DX, or the immediate. */
const portOf = (cpu: Cpu, insn: SystemInsn): number =>
  insn.portInDx ? cpu.state.gprLo(RDX) & 0xffff : insn.imm & 0xff;

function check(cpu: Cpu, port: number, width: Width): void {
  checkPort(cpu, port, width);
  notePortAccess(cpu, port, width);
}

/** A register truncated to the address size, as halves in `cpu.lo/hi`'s manner. */
const low = (cpu: Cpu, register: number, size: number): number =>
  size === 2 ? cpu.state.gprLo(register) & 0xffff : cpu.state.gprLo(register);
const high = (cpu: Cpu, register: number, size: number): number => (size === 8 ? cpu.state.gprHi(register) : 0);

function advance(cpu: Cpu, register: number, size: number, by: number): void {
  const { state } = cpu;
  if (size === 8) state.setGpr(register, BigInt.asUintN(64, state.gpr(register) + BigInt(by)));
  else state.setGprSized(register, size, (state.gprLo(register) + by) | 0, 0);
}

/** One element of a repeated instruction is one execution: RIP stays until the count is used up. */
function repeated(cpu: Cpu, insn: SystemInsn, element: () => void): void {
  const { state } = cpu;
  const size = insn.addrsize;
  if (insn.rep === 0) {
    element();
    return;
  }
  if (low(cpu, RCX, size) === 0 && high(cpu, RCX, size) === 0) return;
  element();
  advance(cpu, RCX, size, -1);
  if (low(cpu, RCX, size) === 0 && high(cpu, RCX, size) === 0) return;
  state.rip = BigInt.asUintN(64, state.rip - BigInt(insn.length));
}

/** The port instructions over a machine's bus, by the names the rows use. */
export function portInstructions(bus: VcpuBus): Record<'in' | 'out' | 'ins' | 'outs', SystemFunction> {
  return {
    in(cpu, insn) {
      const width = widthOf(insn);
      const port = portOf(cpu, insn);
      check(cpu, port, width);
      cpu.state.setGprSized(0, width, bus.portRead(port, width), 0);
    },
    out(cpu, insn) {
      const width = widthOf(insn);
      const port = portOf(cpu, insn);
      check(cpu, port, width);
      const mask = width === 4 ? 0xffff_ffff : width === 2 ? 0xffff : 0xff;
      bus.portWrite(port, width, (cpu.state.gprLo(0) & mask) >>> 0);
    },
    ins(cpu, insn) {
      repeated(cpu, insn, () => {
        const width = widthOf(insn);
        const port = cpu.state.gprLo(RDX) & 0xffff;
        const size = insn.addrsize;
        check(cpu, port, width);
        linearAddress(cpu, ES, low(cpu, RDI, size), high(cpu, RDI, size), width, true);
        const { lo, hi } = cpu;
        // The destination must be writable before the port is read.
        cpu.mmu.probe(lo, hi, width, currentAccess(cpu), true);
        cpu.mmu.write(lo, hi, width, currentAccess(cpu), bus.portRead(port, width), 0);
        advance(cpu, RDI, size, (cpu.state.systemFlags & FLAG_DF) !== 0 ? -width : width);
      });
    },
    outs(cpu, insn) {
      repeated(cpu, insn, () => {
        const width = widthOf(insn);
        const port = cpu.state.gprLo(RDX) & 0xffff;
        const size = insn.addrsize;
        check(cpu, port, width);
        linearAddress(cpu, insn.segment, low(cpu, RSI, size), high(cpu, RSI, size), width, false);
        const value = cpu.mmu.read(cpu.lo, cpu.hi, width, currentAccess(cpu));
        bus.portWrite(port, width, value);
        advance(cpu, RSI, size, (cpu.state.systemFlags & FLAG_DF) !== 0 ? -width : width);
      });
    },
  };
}
