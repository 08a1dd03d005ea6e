/**
 * Encodings that raise #UD on an Intel processor without AVX-only meaning for them, aliases that the opcode maps leave out, and
 * instructions of the greatest length.
 *
 * @module
 */
import { type Form, formTable, Profile } from './form.ts';

const hex = (value: number): string => value.toString(16).toUpperCase().padStart(2, '0');
const digits = (opcode: string, from: number, to: number, operand: string): string =>
  Array.from({ length: to - from + 1 }, (_, i) => `${opcode} /${from + i} | undefined | ${operand} |`).join('\n');
const plain = (opcodes: string, options: string): string =>
  opcodes
    .split(' ')
    .map((op) => `${op.replace('_', ' ')} | undefined | | ${options}`)
    .join('\n');
const withModrm = (opcodes: readonly string[]): string => opcodes.map((op) => `${op} | undefined | Ey |`).join('\n');
const exact = (opcode: string, from: number, to: number): string =>
  Array.from({ length: to - from + 1 }, (_, i) => `${opcode} !${hex(from + i)} | undefined | |`).join('\n');

export const undefinedForms: readonly Form[] = formTable(
  `
    ${plain('06 07 0E 16 17 1E 1F 27 2F 37 3F 60 61 CE D6', 'only64')}
    D4    | undefined | Ib    | only64
    D5    | undefined | Ib    | only64
    9A    | undefined | Ib    | only64
    EA    | undefined | Ib    | only64
    82 /0 | undefined | Eb,Ib | only64
    82 /7 | undefined | Eb,Ib | only64
    ${plain('0F_05 0F_07', 'no64')}
    ${plain('0F_04 0F_0A 0F_0C 0F_24 0F_25 0F_26 0F_27 0F_36 0F_39 0F_3B 0F_3C 0F_3D 0F_3E 0F_3F 0F_7A 0F_7B 0F_A6 0F_A7', '')}
    ${withModrm(['0F B8', 'F3 0F 54', 'F2 0F 54', 'F3 0F 14', 'F2 0F 14', 'F3 0F 28', 'F2 0F 28', 'F3 0F 50', 'F3 0F 60', 'F2 0F 60'])}
    ${withModrm(['F3 0F C6', 'F2 0F C6', 'F3 0F FE', 'F2 0F D4', 'F3 0F D4', 'NP 0F D6', 'NP 0F E6', 'NP 0F F0', 'F3 0F F0', 'NP 0F 7C', 'F3 0F 7C', 'NP 0F D0'])}
    ${withModrm(['NP 0F 6C', 'NP 0F 6D', 'F3 0F 2F', 'F2 0F 2E', 'F2 0F 53', 'F2 0F 52', '66 0F 52', '66 0F 53', 'F2 0F 5B', 'F3 0F E7', 'F2 0F 6F', 'F2 0F 7F'])}
    ${withModrm(['66 0F 38 0C', '66 0F 38 0F', '66 0F 38 13', '66 0F 38 16', '66 0F 38 2C', 'NP 0F 38 10', 'NP 0F 38 20', 'NP 0F 38 37', 'NP 0F 38 40', '66 0F 38 42'])}
    ${withModrm(['F3 0F 38 00', 'F2 0F 38 00', '66 0F 38 45', '66 0F 38 90', '66 0F 3A 00', 'NP 0F 3A 08', '66 0F 3A 18', 'NP 0F 3A 40', '66 0F 3A 4A', '66 0F 3A 64'])}
    ${digits('FE', 2, 7, 'Eb')}
    FF /7 | undefined | Ev |
    ${digits('C6', 1, 6, 'Eb,Ib')}
    ${digits('C7', 1, 6, 'Ev,Iz')}
    ${digits('8F', 1, 7, 'Rv')}
    ${digits('0F BA', 0, 3, 'Ev,Ib')}
    ${digits('0F 00', 6, 7, 'Ew')}
    0F 01 /5 | undefined | M |
    ${digits('0F C7', 2, 2, 'Ry')}
    0F C7 /0 | undefined | M |
    0F C7 /1 | undefined | Ry |
    ${digits('NP 0F 71', 0, 1, 'Nq,Ib')}
    ${digits('NP 0F 71', 7, 7, 'Nq,Ib')}
    ${digits('NP 0F 73', 3, 3, 'Nq,Ib')}
    ${digits('66 0F 72', 5, 5, 'Uo,Ib')}
    66 0F 71 /2 | undefined | M |
    8D    | undefined | Rv |
    C4    | undefined | Rv | no64 vex
    0F B2 | undefined | Rv |
    0F 38 F1 | undefined | Rv |
    NP 0F C3 | undefined | Ry |
    NP 0F E7 | undefined | Nq |
    F2 0F F0 | undefined | Uo |
    NP 0F 2B | undefined | Uo |
    NP 0F 13 | undefined | Uo |
    66 0F 12 | undefined | Uo |
    66 0F D7 | undefined | M |
    NP 0F 50 | undefined | M |
    NP 0F F7 | undefined | M |
    D9 /1 | undefined | M |
    DB /4 | undefined | M |
    DB /6 | undefined | M |
    DD /5 | undefined | M |
    ${exact('D9', 0xd1, 0xd7)}
    ${exact('D9', 0xe2, 0xe3)}
    ${exact('D9', 0xe6, 0xe7)}
    ${exact('D9', 0xef, 0xef)}
    ${exact('DA', 0xe0, 0xe8)}
    ${exact('DA', 0xea, 0xef)}
    ${exact('DA', 0xf0, 0xff)}
    ${exact('DB', 0xe5, 0xe7)}
    ${exact('DB', 0xf8, 0xff)}
    ${exact('DD', 0xf0, 0xff)}
    ${exact('DE', 0xd8, 0xd8)}
    ${exact('DE', 0xda, 0xdf)}
    ${exact('DF', 0xe1, 0xe7)}
    ${exact('DF', 0xf8, 0xff)}
    66 0F AE /5 | undefined | Ry |
    66 0F AE /7 | undefined | Ry |
    F2 0F AE /5 | undefined | Ry |
    F2 0F AE /7 | undefined | Ry |
    F3 0F AE /7 | undefined | Ry |
    F2 0F C7 /6 | undefined | Rv |
    F2 0F C7 /7 | undefined | Rv |
    F3 0F 38 F0 | undefined | Gv,Mv |
    F3 0F 38 F1 | undefined | Mv,Gv |
`,
  Profile.Integer,
  ['plain', 'norep', 'rare', 'undefined'],
);

/** Any number of prefixes is allowed while the instruction has at most 15 bytes; a longer one is #GP(0). */
export const longForms: readonly Form[] = formTable(
  `
    90       | nop   |       | long
    89       | mov   | Ev,Gv | long
    01       | add   | Ev,Gv | long
    81 /0    | add   | Ev,Iz | long
    FF /0    | inc   | Ev    | long
    0F AF    | imul  | Gv,Ev | long
    F7 /3    | neg   | Ev    | long
    98       | cwde  |       | long sized
`,
  Profile.Integer,
  ['plain', 'norep'],
);
