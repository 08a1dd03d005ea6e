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
  | 'B'
  | 'H'
  | 'L'
  | 'X'
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
  /** Opcode map: one-byte, 0F, 0F 38, 0F 3A, and `VEX_MAP` more for the last three behind VEX. */
  readonly map: number;
  readonly opcode: number;
  readonly hasModrm: boolean;
  /** ModRM.reg digit, or -1. */
  readonly digit: number;
  /** Exact ModRM byte, or -1. */
  readonly exact: number;
  /** ModRM.mod must be 3 ('register'), must not be ('memory'), or either. */
  readonly form: 'any' | 'register' | 'memory';
  /** REX.W or VEX.W requirement: -1 none. */
  readonly w: -1 | 0 | 1;
  readonly vex: boolean;
  /** VEX.L requirement: -1 none. */
  readonly l: -1 | 0 | 1;
  /** VEX.vvvv names an operand; else it must be all ones. */
  readonly usesVvvv: boolean;
  /** The memory operand has a vector of indices. */
  readonly vsib: boolean;
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

/** Added to the map number of VEX encodings. */
export const VEX_MAP = 3;
const VEX_MAPS: Record<string, number> = { '0F': 1, '0F38': 2, '0F3A': 3 };
const VEX_PREFIXES: Record<string, Encoding['prefix']> = { NP: 1, '66': 0x66, F3: 0xf3, F2: 0xf2 };

/** Sizes by VEX.L: those that depend on it, resolved. */
const VECTOR_SIZES: Record<string, readonly [string, string]> = {
  x: ['o', 'qq'],
  xh: ['q', 'o'],
  xq: ['d', 'q'],
  xe: ['w', 'd'],
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
  if (first.startsWith('VEX.')) return parseVex(row, tokens);
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
  let map = 0;
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
  return parseRest(row, tokens, { prefix, map, vex: false, w: -1, lengths: [-1] });
}

function parseVex(row: Row, tokens: string[]): Encoding[] {
  const [, length, prefix, map, w] = (tokens.shift() as string).split('.') as [string, string, string, string, string];
  const lengths: Record<string, readonly (-1 | 0 | 1)[]> = { 128: [0], LZ: [0], 256: [1], X: [0, 1], LIG: [-1] };
  return parseRest(row, tokens, {
    prefix: VEX_PREFIXES[prefix] as Encoding['prefix'],
    map: (VEX_MAPS[map] as number) + VEX_MAP,
    vex: true,
    w: w === 'W0' ? 0 : w === 'W1' ? 1 : -1,
    lengths: lengths[length] as readonly (-1 | 0 | 1)[],
  });
}

/** What stands before the opcode. */
interface Lead {
  readonly prefix: Encoding['prefix'];
  readonly map: number;
  readonly vex: boolean;
  readonly w: Encoding['w'];
  readonly lengths: readonly (-1 | 0 | 1)[];
}

function parseRest(row: Row, tokens: string[], lead: Lead): Encoding[] {
  const { prefix, map, vex } = lead;
  const opcodeText = tokens.shift() as string;
  const plusRegister = opcodeText.endsWith('+r');
  const opcode = Number.parseInt(opcodeText, 16);
  let digit = -1;
  let exact = -1;
  let { w } = lead;
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
  const form = ignoresMod ? 'any' : /[MX]/.test(letters) ? 'memory' : /[RUNT]/.test(letters) ? 'register' : 'any';
  const hasModrm = digit >= 0 || exact >= 0 || /[EGRMSCDVWUPQNTX]/.test(letters);
  const count = plusRegister ? 8 : 1;
  const made: Encoding[] = [];
  for (const l of lead.lengths) {
    const sized = vex
      ? operands.map(({ kind, size, register }) => ({
          kind,
          size: VECTOR_SIZES[size]?.[l === 1 ? 1 : 0] ?? size,
          register,
        }))
      : operands;
    for (let i = 0; i < count; i++) {
      made.push({
        row,
        operands: sized,
        prefix,
        map,
        opcode: opcode + i,
        hasModrm,
        digit,
        exact,
        form,
        w,
        vex,
        l,
        usesVvvv: /[BH]/.test(letters),
        vsib: letters.includes('X'),
        noRexB,
        ignoresMod,
        absolute: letters.includes('O'),
        isLea: row.name === 'lea',
        hasSegment: letters.includes('S'),
        immediates: operands.filter((o) => 'IJOAL'.includes(o.kind)),
      });
    }
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
  readonly #maps: (readonly Encoding[])[][] = [[], [], [], [], [], [], []];
  /** Some rows have VEX encodings: C4 and C5 begin them. */
  readonly hasVex: boolean;
  readonly rows: readonly Row[];

  constructor(rows: readonly Row[]) {
    this.rows = rows;
    this.hasVex = rows.some((row) => row.enc.startsWith('VEX.'));
    const building: Encoding[][][] = this.#maps.map(() => []);
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
