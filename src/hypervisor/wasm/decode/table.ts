/**
 * The decode tables, made from the instruction rows (SDM volume 2A, chapter 2 and appendix A).
 *
 * @module
 */
import type { Row } from '../insn/row.ts';

export type OperandKind =
  | 'E'
  | 'G'
  | 'R'
  | 'M'
  | 'I'
  | 'J'
  | 'Z'
  | 'O'
  | 'S'
  | 'C'
  | 'D'
  | 'V'
  | 'W'
  | 'U'
  | 'P'
  | 'Q'
  | 'N'
  | 'A'
  | 'T'
  | 'implicit';

/** Size letter of an operand: see insn/row.ts. '' where it has none. */
export interface OperandSpec {
  readonly kind: OperandKind;
  readonly size: string;
  /** For implicit operands, the register number (AL, CL, rAX, DX), or -1. */
  readonly register: number;
}

/** A row with its encoding taken apart. */
export interface Encoding {
  readonly row: Row;
  readonly operands: readonly OperandSpec[];
  /** Mandatory prefix: 0 any, 1 none of 66 F2 F3, 2 none of F2 F3, else the byte. */
  readonly prefix: 0 | 1 | 2 | 0x66 | 0xf2 | 0xf3;
  readonly map: 0 | 1 | 2 | 3;
  readonly opcode: number;
  readonly hasModrm: boolean;
  /** ModRM.reg digit, or -1. */
  readonly digit: number;
  /** Exact ModRM byte, or -1. */
  readonly exact: number;
  /** ModRM.mod must be 3 ('register'), must not be ('memory'), or either. */
  readonly form: 'any' | 'register' | 'memory';
  /** REX.W requirement: -1 none. */
  readonly w: -1 | 0 | 1;
  /** REX.B must be clear (90h is NOP only then). */
  readonly noRexB: boolean;
  /** ModRM.mod is ignored and ModRM.rm names a register (MOV to and from control and debug registers). */
  readonly ignoresMod: boolean;
  /** An operand is a moffs: the offset is the instruction's immediate. */
  readonly absolute: boolean;
  readonly isLea: boolean;
  /** ModRM.reg is a segment register: 6 and 7 are not there. */
  readonly hasSegment: boolean;
  /** Operands that are read from the instruction stream behind ModRM, in order. */
  readonly immediates: readonly OperandSpec[];
  /** Handler numbers by form, filled by the interpreter. */
  readonly handlers: Map<number, number>;
}

const IMPLICIT: Record<string, [number, string]> = {
  AL: [0, 'b'],
  CL: [1, 'b'],
  rAX: [0, 'v'],
  DX: [2, 'w'],
  AX: [0, 'w'],
  '1': [-1, ''],
  eAX: [0, 'z'],
};

function parseOperand(text: string): OperandSpec {
  const implicit = IMPLICIT[text];
  if (implicit !== undefined) return { kind: 'implicit', size: implicit[1], register: implicit[0] };
  if (text.startsWith('ST')) return { kind: 'T', size: text === 'STi' ? 'i' : '0', register: -1 };
  return { kind: text[0] as OperandKind, size: text.slice(1), register: -1 };
}

function parse(row: Row): Encoding[] {
  const tokens = row.enc.split(' ');
  let prefix: Encoding['prefix'] = 0;
  const first = tokens[0] as string;
  if (first === 'NP') {
    prefix = 1;
    tokens.shift();
  } else if (first === 'NFx') {
    prefix = 2;
    tokens.shift();
  } else if (tokens.length > 1 && (first === '66' || first === 'F2' || first === 'F3') && tokens[1]?.startsWith('0F')) {
    prefix = Number.parseInt(first, 16) as Encoding['prefix'];
    tokens.shift();
  } else if (first === 'F3' && tokens[1] === '90') {
    prefix = 0xf3;
    tokens.shift();
  }
  let map: Encoding['map'] = 0;
  const [lead] = tokens;
  if (lead === '0F') {
    tokens.shift();
    map = 1;
    const escape: string | undefined = tokens[0];
    if (escape === '38' || escape === '3A') {
      map = escape === '38' ? 2 : 3;
      tokens.shift();
    }
  }
  const opcodeText = tokens.shift() as string;
  const plusRegister = opcodeText.endsWith('+r');
  const opcode = Number.parseInt(opcodeText, 16);
  let digit = -1;
  let exact = -1;
  let w: Encoding['w'] = -1;
  let noRexB = false;
  for (const token of tokens) {
    if (token.startsWith('/')) digit = Number(token.slice(1));
    else if (token.startsWith('!')) exact = Number.parseInt(token.slice(1), 16);
    else if (token === 'W0') w = 0;
    else if (token === 'W1') w = 1;
    else if (token === 'B0') noRexB = true;
    else throw new Error(`row ${row.enc} ${row.name}: ${token}?`);
  }
  const operands = row.ops === '' ? [] : row.ops.split(',').map(parseOperand);
  const letters = operands.map((o) => o.kind).join('');
  const ignoresMod = /[CD]/.test(letters);
  const form = ignoresMod ? 'any' : letters.includes('M') ? 'memory' : /[RUNT]/.test(letters) ? 'register' : 'any';
  const hasModrm = digit >= 0 || exact >= 0 || /[EGRMSCDVWUPQNT]/.test(letters);
  const count = plusRegister ? 8 : 1;
  const made: Encoding[] = [];
  for (let i = 0; i < count; i++) {
    made.push({
      row,
      operands,
      prefix,
      map,
      opcode: opcode + i,
      hasModrm,
      digit,
      exact,
      form,
      w,
      noRexB,
      ignoresMod,
      absolute: letters.includes('O'),
      isLea: row.name === 'lea',
      hasSegment: letters.includes('S'),
      immediates: operands.filter((o) => 'IJOA'.includes(o.kind)),
      handlers: new Map(),
    });
  }
  return made;
}

/** How specific an encoding is; the more specific one is tried first. */
const rank = (e: Encoding): number =>
  (e.exact >= 0 ? 32 : 0) +
  (e.prefix > 2 ? (e.prefix === 0x66 ? 12 : 16) : e.prefix > 0 ? 8 : 0) +
  (e.w >= 0 || e.noRexB ? 4 : 0) +
  (e.digit >= 0 ? 2 : 0) +
  (e.form !== 'any' ? 1 : 0);

/** Candidates by map and opcode, most specific first. */
export class DecodeTable {
  readonly #maps: (readonly Encoding[])[][] = [[], [], [], []];
  readonly rows: readonly Row[];

  constructor(rows: readonly Row[]) {
    this.rows = rows;
    const building: Encoding[][][] = [[], [], [], []];
    for (const row of rows) {
      for (const encoding of parse(row)) {
        const map = building[encoding.map] as Encoding[][];
        (map[encoding.opcode] ??= []).push(encoding);
      }
    }
    building.forEach((map, index) => {
      map.forEach((list, opcode) => {
        (this.#maps[index] as (readonly Encoding[])[])[opcode] = list.sort((a, b) => rank(b) - rank(a));
      });
    });
  }

  /** Every encoding once. */
  *encodings(): Iterable<Encoding> {
    for (const map of this.#maps) for (const list of map) if (list !== undefined) yield* list;
  }

  candidates(map: number, opcode: number): readonly Encoding[] | undefined {
    return this.#maps[map]?.[opcode];
  }
}
