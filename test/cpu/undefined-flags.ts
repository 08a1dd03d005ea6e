/**
 * Which results the manual leaves undefined (Intel SDM, volume 2, "Flags Affected" of each instruction). Cases record
 * what this processor did with them; replay does not compare them.
 *
 * @module
 */
import { Flag, STATUS_FLAGS } from './machine-state.ts';

const { CF, PF, AF, ZF, SF, OF } = Flag;

/**
 * Undefined RFLAGS bits of one execution. `bits` is the operand size; `count` the raw shift count, for shifts.
 */
export function undefinedFlags(name: string, bits: number, count = 0): number {
  const masked = count & (bits === 64 ? 63 : 31);
  switch (name) {
    // AND, OR, XOR, TEST: "The state of the AF flag is undefined."
    case 'and':
    case 'or':
    case 'xor':
    case 'test':
      return AF;
    // SAL/SAR/SHL/SHR: CF is undefined for SHL and SHR by at least the operand's size; OF but for 1-bit shifts; AF when the count is not 0.
    case 'shl':
    case 'shr':
      return masked === 0 ? 0 : AF | (masked === 1 ? 0 : OF) | (masked >= bits ? CF : 0);
    case 'sar':
      return masked === 0 ? 0 : AF | (masked === 1 ? 0 : OF);
    // RCL/RCR/ROL/ROR: OF is defined for 1-bit rotates only; SF, ZF, AF and PF are not affected.
    case 'rol':
    case 'ror':
    case 'rcl':
    case 'rcr':
      return masked <= 1 ? 0 : OF;
    // SHLD/SHRD: a count above the operand's size leaves everything undefined.
    case 'shld':
    case 'shrd':
      if (masked === 0) return 0;
      return masked > bits ? STATUS_FLAGS : AF | (masked === 1 ? 0 : OF);
    // MUL, IMUL: "The SF, ZF, AF, and PF flags are undefined."
    case 'mul':
    case 'imul':
      return SF | ZF | AF | PF;
    // DIV, IDIV: "The CF, OF, SF, ZF, AF, and PF flags are undefined."
    case 'div':
    case 'idiv':
      return STATUS_FLAGS;
    // BSF, BSR: ZF is defined.
    case 'bsf':
    case 'bsr':
      return CF | OF | SF | AF | PF;
    // BT, BTS, BTR, BTC: CF is defined, ZF is not affected.
    case 'bt':
    case 'bts':
    case 'btr':
    case 'btc':
      return OF | SF | AF | PF;
    // TZCNT, LZCNT: CF and ZF are defined; BEXTR: ZF, and CF and OF clear; the others: no AF and no PF.
    case 'tzcnt':
    case 'lzcnt':
      return OF | SF | AF | PF;
    case 'bextr':
      return SF | AF | PF;
    case 'andn':
    case 'blsi':
    case 'blsmsk':
    case 'blsr':
    case 'bzhi':
      return AF | PF;
    case 'aaa':
    case 'aas':
      return OF | SF | ZF | PF;
    case 'aam':
    case 'aad':
      return OF | AF | CF;
    case 'daa':
    case 'das':
      return OF;
    default:
      return 0;
  }
}

/** True when the destination itself is undefined: SHLD and SHRD of 16 bits by more than 16, BSWAP of 16 bits. */
export function undefinedDestination(name: string, bits: number, count = 0): boolean {
  if (name === 'shld' || name === 'shrd') return bits === 16 && (count & 31) > 16;
  return name === 'bswap' && bits === 16;
}

/** x87 condition codes C0 (8), C1 (9), C2 (10), C3 (14). */
export const C0 = 0x100,
  C1 = 0x200,
  C2 = 0x400,
  C3 = 0x4000;

/**
 * Undefined condition codes of an x87 instruction ("FPU Flags Affected"). C1 is defined almost everywhere: stack
 * overflow, or the direction of rounding.
 */
export function undefinedConditionCodes(name: string): number {
  if (/^f(u?com|tst|xam|ninit|nclex|nsave|rstor|ldenv|nstenv|nstsw)/.test(name)) {
    // FCOMI and FUCOMI report in RFLAGS: C1 is cleared, the rest not affected.
    return 0;
  }
  if (/^f(prem1?)$/.test(name)) return 0;
  if (/^f(sin|cos|sincos|ptan)$/.test(name)) return C0 | C3;
  if (/^f(free|nop|incstp|decstp|ldcw|nstcw|wait)/.test(name))
    return /incstp|decstp/.test(name) ? 0 : C0 | C1 | C2 | C3;
  return C0 | C2 | C3;
}
