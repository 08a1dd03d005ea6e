/**
 * Which register an operand of a decoded instruction is.
 *
 * @module
 */
import type { Decoded } from '../decode/decoder.ts';

export type RegisterBank = 'general' | 'vector' | 'mmx' | 'segment';

/** The bank that an operand of a kind is in when it is a register; memory by a vector of indices counts as that vector. */
export function bankOf(kind: string): RegisterBank {
  if ('VWUHLX'.includes(kind)) return 'vector';
  if ('PQN'.includes(kind)) return 'mmx';
  return kind === 'S' ? 'segment' : 'general';
}

/** The number of the register that operand `index` is, as the encoding has it: AH to BH are 4 to 7. */
export function numberOf(decoded: Decoded, index: number): number {
  const operand = decoded.operands[index];
  if (operand === undefined) throw new Error(`operand ${index}`);
  switch (operand.kind) {
    case 'G':
    case 'V':
    case 'P':
    case 'S':
      return decoded.reg;
    case 'B':
    case 'H':
      return decoded.vvvv;
    case 'L':
      return decoded.immediateRegister;
    case 'X':
      return decoded.index;
    case 'implicit':
      return operand.register;
    default:
      return decoded.rm;
  }
}

/** True for AH CH DH BH: a byte register 4..7 without REX. */
export function isHighByte(decoded: Decoded, index: number): boolean {
  const operand = decoded.operands[index];
  if (operand === undefined || operand.kind === 'implicit' || operand.size !== 'b' || decoded.rex !== 0) return false;
  const number = numberOf(decoded, index);
  return number >= 4 && number < 8;
}

/** True for the shapes of operands that are registers. */
export const isRegisterShape = (shape: string | undefined): boolean => shape !== undefined && 'rvlg'.includes(shape);
