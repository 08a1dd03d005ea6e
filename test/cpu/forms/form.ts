/**
 * Instruction forms for the generator: one per encoding, in the SDM's notation.
 *
 * The tables beside this file are written from the SDM alone, not from the implementation's rows, so that a form missing
 * there is found here and the other way round (coverage.test.ts compares the two).
 *
 * `enc`: optional mandatory prefix (`NP`, `66`, `F2`, `F3`), opcode bytes, `+r` when the low bits name a register, `/0`..`/7`
 * ModRM.reg digit, `!C1` an exact ModRM byte. `VEX.length.prefix.map.W opcode` as in the SDM: length 128, 256, X (both: two forms), LZ or LIG. `ops`: letters of SDM vol. 2, appendix A.2.1, sizes b w d q o (1 2 4 8 16
 * bytes), t (10), x (16/32 by VEX.L) and xh xq xe (a half, a quarter, an eighth of x), v (16/32/64 by operand size), y (32/64), z (16/32); `bs`, `zs`: sign-extended immediates.
 *
 * @module
 */
import { Profile } from '../default-state.ts';

/** How a form is drawn: by the common builder with a hook for its operands, or by a family of its own. */
export interface Form {
  readonly enc: string;
  readonly name: string;
  readonly ops: string;
  /** What registers and memory hold. */
  readonly profile: Profile;
  /** Draws are multiplied by this. */
  readonly weight: number;
  readonly words: ReadonlySet<string>;

  /** Mandatory prefix byte, 0 when none, -1 when none of 66 F2 F3 is allowed. */
  readonly mandatory: number;
  readonly opcode: readonly number[];
  readonly plusRegister: boolean;
  readonly digit: number;
  readonly exact: number;
  readonly operands: readonly OperandSpec[];
  /** Undefined without VEX. */
  readonly vex: VexSpec | undefined;
}

export interface VexSpec {
  /** 0, 1, or -1 when ignored. */
  readonly l: number;
  readonly pp: number;
  readonly map: number;
  /** 0, 1, or -1 when ignored (in 64-bit code an operand's size may depend on it). */
  readonly w: number;
}

export type OperandKind =
  | 'E'
  | 'G'
  | 'R'
  | 'M'
  | 'I'
  | 'J'
  | 'Z'
  | 'O'
  | 'V'
  | 'W'
  | 'U'
  | 'P'
  | 'Q'
  | 'N'
  | 'S'
  | 'A'
  | 'B'
  | 'H'
  | 'L'
  | 'X'
  | 'implicit';

export interface OperandSpec {
  readonly kind: OperandKind;
  readonly size: string;
  readonly text: string;
}

const KINDS = 'EGRMIJZOVWUPQNSABHLX';
const VECTOR_SIZES: Record<string, readonly [string, string]> = {
  x: ['o', 'qq'],
  xh: ['q', 'o'],
  xq: ['d', 'q'],
  xe: ['w', 'd'],
};

function parseOperand(text: string, wide: boolean): OperandSpec {
  const match = /^([A-Z])([a-z]*)$/.exec(text);
  if (match !== null && KINDS.includes(match[1])) {
    const size = VECTOR_SIZES[match[2]]?.[wide ? 1 : 0] ?? match[2];
    return { kind: match[1] as OperandKind, size, text };
  }
  return { kind: 'implicit', size: '', text };
}

/** One form from its columns. `words` are the options: see `formTable`. */
export function makeForm(
  enc: string,
  name: string,
  ops: string,
  words: readonly string[],
  profile: Profile,
  weight: number,
): Form {
  const tokens = enc.split(' ');
  let mandatory = 0;
  const vex = parseVex(tokens[0]);
  if (vex !== undefined) tokens.shift();
  if (tokens[0] === 'NP') {
    mandatory = -1;
    tokens.shift();
  } else if (tokens.length > 1 && /^(66|F2|F3)$/.test(tokens[0]) && /^(0F|90)$/.test(tokens[1])) {
    mandatory = Number.parseInt(tokens.shift() as string, 16);
  }
  const opcode: number[] = [];
  let plusRegister = false,
    digit = -1,
    exact = -1;
  for (const token of tokens) {
    if (token.startsWith('/')) digit = Number(token.slice(1));
    else if (token.startsWith('!')) exact = Number.parseInt(token.slice(1), 16);
    else {
      opcode.push(Number.parseInt(token, 16));
      plusRegister = token.endsWith('+r');
    }
  }
  if (opcode.some(Number.isNaN)) throw new Error(`form ${enc} ${name}: the opcode is not hexadecimal`);
  const operands = ops === '' ? [] : ops.split(',').map((o) => parseOperand(o, vex?.l === 1));
  return {
    enc,
    name,
    ops,
    profile,
    weight,
    words: new Set(words),
    mandatory,
    opcode,
    plusRegister,
    digit,
    exact,
    operands,
    vex,
  };
}

function parseVex(token: string): VexSpec | undefined {
  const match = /^VEX\.(128|256|LZ|LIG)\.(NP|66|F3|F2)\.(0F|0F38|0F3A)\.(W0|W1|WIG)$/.exec(token);
  if (match === null) return undefined;
  return {
    l: match[1] === '256' ? 1 : match[1] === 'LIG' ? -1 : 0,
    pp: ['NP', '66', 'F3', 'F2'].indexOf(match[2]),
    map: ['0F', '0F38', '0F3A'].indexOf(match[3]) + 1,
    w: match[4] === 'WIG' ? -1 : Number(match[4][1]),
  };
}

/**
 * A table of forms: lines of `enc | name | operands | options`, `#` comments. Options: `lock` (LOCK allowed with memory),
 * `no64`, `only64`, `d64` (64-bit by default), `f64` (always 64-bit in 64-bit mode), `aligned` (16-byte alignment
 * enforced), `xN` (N times as many draws); others are read by the family.
 */
export function formTable(text: string, profile: Profile, common: readonly string[] = []): Form[] {
  const forms: Form[] = [];
  for (const line of text.split('\n')) {
    const content = line.replace(/#.*/, '').trim();
    if (content === '') continue;
    const [enc, name, ops = '', options = ''] = content.split('|').map((c) => c.trim());
    const words = [...common, ...options.split(/\s+/).filter((w) => w !== '')];
    const weight = words.map((w) => /^x(\d)$/.exec(w)?.[1]).findLast((w) => w !== undefined);
    for (const one of enc.startsWith('VEX.X.') ? ['128', '256'] : ['X'])
      forms.push(makeForm(enc.replace('VEX.X.', `VEX.${one}.`), name, ops, words, profile, Number(weight ?? 1)));
  }
  return forms;
}

/** Text that names a form in reports and vector files. */
export const formName = (form: Form): string => `${form.name}${form.ops === '' ? '' : ` ${form.ops}`} [${form.enc}]`;

export { Profile };
