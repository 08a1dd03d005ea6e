/**
 * Memory type range registers and the page attribute table (SDM 3A 11.11, 11.12). Memory has one type here, so they only
 * hold values; what may be written is checked all the same.
 *
 * @module
 */
import { MSR_PAT, MTRR } from '../state.ts';
import type { Cpu } from './cpu.ts';
import { PHYSICAL_ADDRESS_BITS } from './cpuid.ts';

const IA32_MTRRCAP = 0xfe,
  IA32_MTRR_PHYSBASE0 = 0x200,
  IA32_PAT = 0x277,
  IA32_MTRR_DEF_TYPE = 0x2ff;
const VARIABLE_RANGES = 8;
/** Fixed-range registers in order: 64K at 0, 16K at 0x80000 and 0xa0000, 4K from 0xc0000. */
const FIXED = [0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f];

/** Offsets in the record: default type, 11 fixed, 8 pairs. */
const DEF_TYPE_FIELD = MTRR,
  FIXED_FIELD = MTRR + 8,
  VARIABLE_FIELD = MTRR + 8 + 11 * 8;

/** UC WC WT WP WB; the PAT has UC- (7) too. */
const isMtrrType = (type: number): boolean => type === 0 || type === 1 || type === 4 || type === 5 || type === 6;
const isPatType = (type: number): boolean => isMtrrType(type) || type === 7;

const ABOVE_PHYSICAL = (0xffff_ffff_ffff_ffffn << BigInt(PHYSICAL_ADDRESS_BITS)) & 0xffff_ffff_ffff_ffffn;

function everyByte(value: bigint, allowed: (type: number) => boolean): boolean {
  for (let shift = 0n; shift < 64n; shift += 8n) if (!allowed(Number((value >> shift) & 0xffn))) return false;
  return true;
}

/** Where an MTRR or the PAT lies in the state record; -1: not one of them. */
function field(index: number): number {
  if (index >= IA32_MTRR_PHYSBASE0 && index < IA32_MTRR_PHYSBASE0 + 2 * VARIABLE_RANGES) {
    return VARIABLE_FIELD + (index - IA32_MTRR_PHYSBASE0) * 8;
  }
  if (index === IA32_MTRR_DEF_TYPE) return DEF_TYPE_FIELD;
  if (index === IA32_PAT) return MSR_PAT;
  const fixed = FIXED.indexOf(index);
  return fixed < 0 ? -1 : FIXED_FIELD + fixed * 8;
}

function mayWrite(index: number, value: bigint): boolean {
  if (index === IA32_PAT) return everyByte(value, isPatType);
  if (index === IA32_MTRR_DEF_TYPE) return (value & ~0xcffn) === 0n && isMtrrType(Number(value & 0xffn));
  if (index >= 0x250) return everyByte(value, isMtrrType);
  // PHYSMASK: bit 11 valid, bits 10:0 reserved. PHYSBASE: type, bits 11:8 reserved.
  if ((index & 1) === 1) return (value & (ABOVE_PHYSICAL | 0x7ffn)) === 0n;
  return (value & (ABOVE_PHYSICAL | 0xf00n)) === 0n && isMtrrType(Number(value & 0xffn));
}

/** Reads a memory type register; undefined: not one, #GP. */
export function readMtrr(cpu: Cpu, index: number): bigint | undefined {
  // VCNT 8, fixed ranges, write combining; no SMRR.
  if (index === IA32_MTRRCAP) return BigInt(VARIABLE_RANGES | (1 << 8) | (1 << 10));
  const at = field(index);
  return at < 0 ? undefined : cpu.state.big(at);
}

/** Writes a memory type register; false: #GP. */
export function writeMtrr(cpu: Cpu, index: number, value: bigint): boolean {
  const at = field(index);
  if (at < 0 || !mayWrite(index, value)) return false;
  cpu.state.setBig(at, value);
  return true;
}
