/**
 * Runs one x87 case on our implementation.
 *
 * @module
 */
import {
  CR0,
  EA,
  FAULT_VECTOR,
  FPR,
  FPU_CONTROL,
  FPU_DP,
  FPU_IP,
  FPU_OPCODE,
  FPU_STATUS,
  FPU_TAGS,
  RIP,
  STATE_BYTES,
  TEMP0,
  TEMP1,
} from '../../src/hypervisor/wasm/state.ts';
import { ENVIRONMENT_32, ENVIRONMENT_PROTECTED } from '../../src/hypervisor/wasm/x87/environment.ts';
import { X87Operation } from '../../src/hypervisor/wasm/x87/operations.ts';
import { FAULT } from '../../src/hypervisor/wasm/x87/status.ts';
import { X87 } from '../../src/hypervisor/wasm/x87/x87.ts';
import { hex, sameBytes } from './vectors.ts';
import { MEMORY_BYTES, OLD_OPCODE } from './x87-cases.ts';
import type { X87Case, X87Result } from './x87-cases.ts';

const CR0_PE_MP_NE = 0x23;
const OLD_POINTER = 0x123456,
  CODE = 0x40_0000,
  OPERAND_ADDRESS = 0x50_0000;
const OPERAND = STATE_BYTES;

/** FCMOV conditions, by the arithmetic flags. */
const CONDITIONS: Readonly<Record<string, number>> = { b: 1, e: 0x40, be: 0x41, u: 4 };

export class X87Runner {
  readonly #bytes = new Uint8Array(STATE_BYTES + 256);
  readonly #view = new DataView(this.#bytes.buffer);
  readonly #fpu = new X87(this.#bytes.buffer, 0);

  run(c: X87Case): X87Result {
    const { encoding } = c;
    const view = this.#view,
      bytes = this.#bytes;
    bytes.fill(0);
    view.setUint32(CR0, CR0_PE_MP_NE, true);
    view.setUint32(RIP, CODE, true);
    view.setUint32(EA, OPERAND_ADDRESS, true);
    view.setUint32(FPU_IP, OLD_POINTER, true);
    view.setUint32(FPU_DP, OLD_POINTER, true);
    view.setUint32(FPU_OPCODE, OLD_OPCODE, true);
    view.setUint32(FPU_CONTROL, c.fcw, true);
    view.setUint32(FPU_STATUS, c.fsw, true);
    view.setUint32(FPU_TAGS, c.ftw, true);
    view.setUint32(TEMP1, c.narrow ? ENVIRONMENT_PROTECTED : ENVIRONMENT_32 | ENVIRONMENT_PROTECTED, true);
    c.registers.forEach((register, p) => bytes.set(register, FPR + 16 * p));
    bytes.set(c.memory, OPERAND);

    let operand = OPERAND;
    if (encoding.condition !== undefined) {
      const negated = encoding.condition.startsWith('n');
      const bits = CONDITIONS[negated ? encoding.condition.slice(1) : encoding.condition]!;
      operand = Number(((c.rflags & bits) !== 0) !== negated);
    }
    const opcode = ((encoding.opcode & 7) << 8) | c.modrm;
    const outcome = this.#fpu.execute(X87Operation[encoding.operation]!, opcode, operand);
    const toFlags = /^fu?comip?$/.test(encoding.mnemonic) && outcome === 0;
    const pointer = (offset: number, now: number): number => {
      const value = view.getUint32(offset, true);
      return value === now ? 1 : value === OLD_POINTER ? 2 : value;
    };
    return {
      fault: outcome === FAULT ? view.getInt32(FAULT_VECTOR, true) : 0,
      fcw: view.getUint32(FPU_CONTROL, true),
      fsw: view.getUint32(FPU_STATUS, true),
      ftw: view.getUint32(FPU_TAGS, true),
      registers: Array.from({ length: 8 }, (_, p) => bytes.slice(FPR + 16 * p, FPR + 16 * p + 10)),
      memory: bytes.slice(OPERAND, OPERAND + MEMORY_BYTES),
      ax: view.getUint16(0, true),
      rflags: toFlags ? view.getUint32(TEMP0, true) : c.rflags,
      fip: pointer(FPU_IP, CODE),
      fdp: pointer(FPU_DP, OPERAND_ADDRESS),
      fop: view.getUint32(FPU_OPCODE, true),
    };
  }
}

const C1 = 0x200;

function ordinal(register: Uint8Array): bigint {
  const view = new DataView(register.buffer, register.byteOffset);
  const magnitude =
    (BigInt(view.getUint16(8, true) & 0x7fff) << 63n) + (view.getBigUint64(0, true) & ((1n << 63n) - 1n));
  return view.getUint16(8, true) & 0x8000 ? -magnitude : magnitude;
}

/** What differs, in words; '' when nothing does. With `approximate`, registers may be one unit off, and C1 may differ. */
export function difference(theirs: X87Result, ours: X87Result, approximate: boolean): string {
  const problems: string[] = [];
  const number = (
    name: 'fault' | 'fcw' | 'fsw' | 'ftw' | 'ax' | 'rflags' | 'fip' | 'fdp' | 'fop',
    mask = 0xffff_ffff,
  ): void => {
    if ((theirs[name] & mask) !== (ours[name] & mask))
      problems.push(`${name} ${ours[name].toString(16)} instead of ${theirs[name].toString(16)}`);
  };
  number('fault');
  number('fcw');
  number('fsw', approximate ? 0xffff & ~C1 : 0xffff);
  for (const name of ['ftw', 'ax', 'rflags', 'fip', 'fdp', 'fop'] as const) number(name);
  theirs.registers.forEach((register, p) => {
    const other = ours.registers[p]!;
    if (sameBytes(register, other)) return;
    const distance = ordinal(register) - ordinal(other);
    if (approximate && distance >= -1n && distance <= 1n) return;
    problems.push(`R${p} ${hex(other)} instead of ${hex(register)}`);
  });
  if (!sameBytes(theirs.memory, ours.memory))
    problems.push(`memory ${hex(ours.memory).slice(-56)} instead of ${hex(theirs.memory).slice(-56)}`);
  return problems.join('; ');
}
