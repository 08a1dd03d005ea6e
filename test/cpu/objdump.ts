/**
 * Agreement of a decoder with `objdump -d -M intel` (GNU binutils): the instructions of a program as objdump sees them, and a
 * comparison of length and mnemonic.
 *
 * @module
 */
import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';

/** One instruction of a disassembly. */
export interface DisassembledInstruction {
  readonly address: bigint;
  readonly bytes: Uint8Array;
  /** Prefix words objdump prints apart: rep, lock, data16, cs, notrack, bnd, rex.W, ... */
  readonly prefixes: readonly string[];
  /** Lower case; '(bad)' when objdump does not know the bytes. */
  readonly mnemonic: string;
  readonly operands: string;
}

/** objdump in a form this module can parse; undefined when it is not installed. */
export function objdumpUnavailable(): string | undefined {
  return spawnSync('objdump', ['--version']).status === 0 ? undefined : 'objdump (binutils) is not installed';
}

const PREFIX_WORDS = new Set([
  'lock',
  'rep',
  'repz',
  'repe',
  'repnz',
  'repne',
  'data16',
  'data32',
  'addr16',
  'addr32',
  'cs',
  'ds',
  'es',
  'ss',
  'fs',
  'gs',
  'bnd',
  'notrack',
  'xacquire',
  'xrelease',
]);
const isPrefix = (word: string): boolean => PREFIX_WORDS.has(word) || /^rex(\.[WRXB]+)?$/.test(word);

/** Parses a line of objdump's output; undefined for headings and blank lines. */
export function parseLine(line: string): DisassembledInstruction | undefined {
  const match = /^\s*([0-9a-f]+):\t([0-9a-f]{2}(?: [0-9a-f]{2})*)\s*(?:\t(.*))?$/.exec(line);
  if (match === null) return undefined;
  const bytes = Uint8Array.from(match[2].split(' '), (b) => Number.parseInt(b, 16));
  const text = (match[3] ?? '')
    .replace(/\s+#.*$/, '')
    .replace(/\s+<[^>]*>$/, '')
    .trim();
  const words = text.split(/\s+/);
  const prefixes: string[] = [];
  // A prefix on a line of its own ("rex.W", "data16") is the whole instruction to objdump.
  while (words.length > 1 && isPrefix(words[0])) prefixes.push(words.shift() as string);
  return {
    address: BigInt(`0x${match[1]}`),
    bytes,
    prefixes,
    mnemonic: (words.shift() ?? '').toLowerCase(),
    operands: words.join(' '),
  };
}

/** The instructions of the executable sections of an ELF file. `section` limits it to one. */
export async function* disassemble(path: string, section?: string): AsyncGenerator<DisassembledInstruction> {
  const args = [
    '-d',
    '-w',
    '-M',
    'intel',
    '--insn-width=15',
    '--no-show-raw-insn',
    ...(section === undefined ? [] : ['-j', section]),
    path,
  ];
  const child = spawn(
    'objdump',
    args.filter((a) => a !== '--no-show-raw-insn'),
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  try {
    for await (const line of createInterface({ input: child.stdout, crlfDelay: Number.POSITIVE_INFINITY })) {
      const parsed = parseLine(line);
      if (parsed !== undefined) yield parsed;
    }
  } finally {
    child.kill();
  }
}

/** The decoder under test: undefined when it refuses the bytes. */
export type Decode = (
  bytes: Uint8Array,
  offset: number,
  bits: 64 | 32 | 16,
) => { readonly length: number; readonly mnemonic: string } | undefined;

export interface Disagreement {
  readonly address: bigint;
  readonly bytes: string;
  readonly objdump: string;
  readonly decoder: string;
}

export interface Agreement {
  instructions: number;
  /** Instructions of extensions that are announced absent, by mnemonic. */
  readonly skipped: Map<string, number>;
  readonly disagreements: Disagreement[];
  /** All of them, though only the first of each kind are kept. */
  disagreementCount: number;
}

/**
 * Names objdump uses for what the manual (and so the decoder) calls something else. AT&T habits and pseudo-operations.
 */
const SYNONYMS: Record<string, string> = {
  movabs: 'mov',
  xchg: 'xchg',
  nop: 'nop',
  fwait: 'fwait',
  wait: 'fwait',
  ret: 'ret',
  retf: 'retf',
  sal: 'shl',
  cmovc: 'cmovb',
  cmovnae: 'cmovb',
  cmovnc: 'cmovae',
  cmovnb: 'cmovae',
  cmovz: 'cmove',
  cmovnz: 'cmovne',
  cmovna: 'cmovbe',
  cmovnbe: 'cmova',
  cmovpe: 'cmovp',
  cmovpo: 'cmovnp',
  cmovnge: 'cmovl',
  cmovnl: 'cmovge',
  cmovng: 'cmovle',
  cmovnle: 'cmovg',
  icebp: 'int1',
  int1: 'int1',
  repz: 'rep',
};

/** Mnemonic without what only notation adds: condition synonyms, string size letters, comparison predicates. */
export function canonicalMnemonic(mnemonic: string): string {
  const name = mnemonic.toLowerCase();
  const string = /^(movs|cmps|stos|lods|scas|ins|outs)[bwdq]?$/.exec(name);
  if (string !== null && name !== 'movsd' && name !== 'cmpsd') return string[1];
  const compare = /^cmp(eq|lt|le|unord|neq|nlt|nle|ord)(ps|pd|ss|sd)$/.exec(name);
  if (compare !== null) return `cmp${compare[2]}`;
  return SYNONYMS[name] ?? name;
}

/**
 * Compares a decoder with objdump over a stream. `same` decides whether two mnemonics name one instruction; `skip` tells
 * extensions the CPU does not have.
 */
export async function compareDecoder(
  instructions: AsyncIterable<DisassembledInstruction>,
  decode: Decode,
  bits: 64 | 32 | 16,
  options: {
    readonly skip?: (i: DisassembledInstruction) => boolean;
    readonly same?: (objdump: DisassembledInstruction, mnemonic: string) => boolean;
    readonly keep?: number;
  } = {},
): Promise<Agreement> {
  const result: Agreement = { instructions: 0, skipped: new Map(), disagreements: [], disagreementCount: 0 };
  const kinds = new Map<string, number>();
  const same = options.same ?? ((i, mnemonic) => canonicalMnemonic(i.mnemonic) === canonicalMnemonic(mnemonic));
  for await (const instruction of instructions) {
    result.instructions++;
    if (options.skip?.(instruction) === true) {
      result.skipped.set(instruction.mnemonic, (result.skipped.get(instruction.mnemonic) ?? 0) + 1);
      continue;
    }
    const decoded = decode(instruction.bytes, 0, bits);
    if (decoded !== undefined && decoded.length === instruction.bytes.length && same(instruction, decoded.mnemonic))
      continue;
    result.disagreementCount++;
    const kind = `${instruction.mnemonic} ${decoded?.mnemonic ?? 'refused'}`;
    const seen = kinds.get(kind) ?? 0;
    kinds.set(kind, seen + 1);
    if (seen >= (options.keep ?? 3)) continue;
    result.disagreements.push({
      address: instruction.address,
      bytes: Buffer.from(instruction.bytes).toString('hex'),
      objdump: [...instruction.prefixes, instruction.mnemonic, instruction.operands].join(' ').trim(),
      decoder: decoded === undefined ? 'refused' : `${decoded.mnemonic} (${decoded.length} bytes)`,
    });
  }
  return result;
}
