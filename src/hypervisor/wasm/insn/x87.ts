/**
 * x87 rows, made from the encoding table of x87/. Their semantics are TypeScript (x87/), reached like system instructions.
 *
 * @module
 */
import { type X87Encoding, x87Encodings } from '../x87/encodings.ts';
import { type Row, systemRow } from './row.ts';

const hex = (value: number): string => value.toString(16).toUpperCase().padStart(2, '0');

/** The name of an encoding's function: its place in the table. */
export const x87FunctionName = (index: number): string => `x87.${index}`;

function rowOf(e: X87Encoding, index: number): Row {
  const system = x87FunctionName(index);
  const unit = e.opcode === 0x9b ? 'fwait' : 'x87';
  const options = { unit } as const;
  const opcode = hex(e.opcode);
  if (e.opcode === 0x9b) return systemRow(opcode, e.mnemonic, '', system, options);
  if (e.digit >= 0) return systemRow(`${opcode} /${e.digit}`, e.mnemonic, 'M', system, options);
  if (e.modrm === e.lastModrm) return systemRow(`${opcode} !${hex(e.modrm)}`, e.mnemonic, 'ST0', system, options);
  return systemRow(`${opcode} /${(e.modrm >> 3) & 7}`, e.mnemonic, 'STi', system, options);
}

export const x87InstructionRows: readonly Row[] = x87Encodings.map(rowOf);
