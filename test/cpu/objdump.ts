/**
 * Agreement of a decoder with `objdump -d -M intel` (GNU binutils): the instructions of a program as objdump sees them, and a
 * comparison of length and mnemonic.
 *
 * @module
 */
import { spawn, spawnSync } from 'node:child_process';

/** One instruction of a disassembly. */
export interface DisassembledInstruction {
  /** Hexadecimal. */
  readonly address: string;
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

const hexDigit = (code: number): number => (code <= 0x39 ? code - 0x30 : code - 0x57);

/** The bytes column: pairs of digits with single blanks between; undefined when it is anything else. */
function parseBytes(column: string): Uint8Array | undefined {
  const text = column.trimEnd();
  if (text.length % 3 !== 2) return undefined;
  const bytes = new Uint8Array((text.length + 1) / 3);
  for (let i = 0; i < bytes.length; i++) {
    bytes[i] = (hexDigit(text.charCodeAt(i * 3)) << 4) | hexDigit(text.charCodeAt(i * 3 + 1));
  }
  return bytes;
}

/** Parses a line of objdump's output; undefined for headings and blank lines. */
export function parseLine(line: string): DisassembledInstruction | undefined {
  const colon = line.indexOf(':\t');
  if (colon < 0) return undefined;
  const columnEnd = line.indexOf('\t', colon + 2);
  const bytes = parseBytes(columnEnd < 0 ? line.slice(colon + 2) : line.slice(colon + 2, columnEnd));
  if (bytes === undefined) return undefined;
  let text = columnEnd < 0 ? '' : line.slice(columnEnd + 1);
  const comment = text.indexOf(' #');
  if (comment >= 0) text = text.slice(0, comment);
  const symbol = text.indexOf(' <');
  if (symbol >= 0) text = text.slice(0, symbol);
  const words = text.trim().split(/\s+/);
  let first = 0;
  // A prefix on a line of its own ("rex.W", "data16") is the whole instruction to objdump.
  while (first < words.length - 1 && isPrefix(words[first])) first++;
  return {
    address: line.slice(0, colon).trimStart(),
    bytes,
    prefixes: words.slice(0, first),
    mnemonic: words[first].toLowerCase(),
    operands: words.slice(first + 1).join(' '),
  };
}

/**
 * The instructions of the executable sections of an ELF file, some thousand at a time. `section` limits it to one. Throws
 * when objdump fails.
 */
export async function* disassemble(path: string, section?: string): AsyncGenerator<DisassembledInstruction[]> {
  // -w and the width keep an instruction on one line.
  const args = ['-d', '-w', '-M', 'intel', '--insn-width=15', ...(section === undefined ? [] : ['-j', section]), path];
  const child = spawn('objdump', args, { stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  try {
    child.stdout.setEncoding('latin1');
    let rest = '';
    for await (const chunk of child.stdout as AsyncIterable<string>) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() as string;
      yield lines.map(parseLine).filter((i) => i !== undefined);
    }
    const status = await ended;
    if (status !== 0) throw new Error(`objdump ${path} ended with ${status}`);
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
  readonly address: string;
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
  const compare = /^(v?cmp)(?:n?(?:eq|lt|le|ge|gt)|unord|ord|false|true)(?:_?[ou]?[qs])?(ps|pd|ss|sd)$/.exec(name);
  if (compare !== null) return `${compare[1]}${compare[2]}`;
  const product = /^(v?pclmul)[lh]q[lh]qdq$/.exec(name);
  if (product !== null) return `${product[1]}qdq`;
  return SYNONYMS[name] ?? name.replace(/^retf[qw]$/, 'retf');
}

/** XCHG AX, AX is how objdump prints 66 90; it has no effect, and the manual calls 90 NOP whatever the operand size. */
function sameInstruction(i: DisassembledInstruction, mnemonic: string): boolean {
  if (mnemonic === 'nop' && i.mnemonic === 'xchg') return i.bytes.at(-1) === 0x90;
  return canonicalMnemonic(i.mnemonic) === canonicalMnemonic(mnemonic);
}

/** Extensions that an x86-64-v2 processor without virtualisation does not announce. */
// biome-ignore format: a list
const ABOVE_V2 = new Set([
  // ADX, AES, BMI1, PCLMULQDQ; BMI2 is all VEX.
  'adcx', 'adox', 'tzcnt', 'lzcnt',
  'aesenc', 'aesenclast', 'aesdec', 'aesdeclast', 'aesimc', 'aeskeygenassist', 'pclmulqdq', 'pclmullqlqdq', 'pclmulhqhqdq', 'pclmullqhqdq', 'pclmulhqlqdq',
]);
/** Those that x86-64-v3 does not either. */
// biome-ignore format: a list
const ABSENT = new Set([
  // SHA, TSX.
  'xbegin', 'xend', 'xabort', 'xtest',
  'sha1rnds4', 'sha1nexte', 'sha1msg1', 'sha1msg2', 'sha256rnds2', 'sha256msg1', 'sha256msg2',
  // CET, memory protection keys, waiting and cache control.
  'rdsspd', 'rdsspq', 'incsspd', 'incsspq', 'saveprevssp', 'rstorssp', 'wrssd', 'wrssq', 'setssbsy', 'clrssbsy', 'rdpkru', 'wrpkru',
  'serialize', 'tpause', 'umwait', 'umonitor', 'monitor', 'mwait', 'monitorx', 'mwaitx', 'clwb', 'cldemote', 'wbnoinvd', 'movdiri', 'movdir64b', 'enqcmd', 'enqcmds', 'ptwrite', 'pconfig',
  // VMX, SVM, SEV-SNP, SGX, SMX.
  'vmcall', 'vmlaunch', 'vmresume', 'vmxoff', 'vmxon', 'vmclear', 'vmptrld', 'vmptrst', 'vmread', 'vmwrite', 'vmfunc', 'invept', 'invvpid',
  'vmrun', 'vmmcall', 'vmload', 'vmsave', 'vmgexit', 'stgi', 'clgi', 'skinit', 'invlpga', 'invlpgb', 'tlbsync', 'pvalidate', 'rmpadjust', 'rmpupdate', 'psmash',
  'encls', 'enclu', 'enclv', 'getsec',
]);

/** Segment and address-size prefixes, the only ones VEX and EVEX allow. */
const BEFORE_VEX = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x67]);

/** True for 64-bit instructions of extensions that are not announced: the decoder refuses them or reads what they replaced. */
export function isAboveV2(i: DisassembledInstruction): boolean {
  const first = leadByte(i);
  return ABOVE_V2.has(i.mnemonic) || ABSENT.has(i.mnemonic) || first === 0xc4 || first === 0xc5 || first === 0x62;
}
const leadByte = (i: DisassembledInstruction): number | undefined => i.bytes.find((byte) => !BEFORE_VEX.has(byte));

/** The same for x86-64-v3: EVEX, the mask registers that come with it, and VEX forms of later extensions. */
export function isAboveV3(i: DisassembledInstruction): boolean {
  if (ABSENT.has(i.mnemonic) || leadByte(i) === 0x62) return true;
  if (/^v(aes|pclmul)/.test(i.mnemonic) && i.operands.includes('ymm')) return true;
  // Four-operand FMA is another maker's.
  if (/^vfn?m(add|sub|addsub|subadd)[ps][sd]$/.test(i.mnemonic)) return true;
  return /^k(mov|or|xor|xnor|and|andn|not|test|ortest|add|shift|unpck)/.test(i.mnemonic);
}

const FWAIT = 0x9b;

/**
 * Compares a decoder with objdump over a stream. `same` decides whether two mnemonics name one instruction; `skip` tells
 * extensions the CPU does not have.
 */
export async function compareDecoder(
  instructions: AsyncIterable<readonly DisassembledInstruction[]>,
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
  const same = options.same ?? sameInstruction;
  const check = (instruction: DisassembledInstruction): void => {
    result.instructions++;
    if (options.skip?.(instruction) === true) {
      result.skipped.set(instruction.mnemonic, (result.skipped.get(instruction.mnemonic) ?? 0) + 1);
      return;
    }
    let decoded = decode(instruction.bytes, 0, bits);
    // To the processor the FWAIT in front of FINIT, FSTCW and others is an instruction of its own.
    if (instruction.bytes[0] === FWAIT && instruction.bytes.length > 1 && decoded?.length === 1) {
      const rest = decode(instruction.bytes, 1, bits);
      decoded =
        rest === undefined ? undefined : { length: rest.length + 1, mnemonic: rest.mnemonic.replace(/^fn/, 'f') };
    }
    if (instruction.mnemonic === '(bad)' && decoded === undefined) return;
    if (decoded !== undefined && decoded.length === instruction.bytes.length && same(instruction, decoded.mnemonic))
      return;
    result.disagreementCount++;
    const kind = `${instruction.mnemonic} ${decoded?.mnemonic ?? 'refused'}`;
    const seen = kinds.get(kind) ?? 0;
    kinds.set(kind, seen + 1);
    if (seen >= (options.keep ?? 3)) return;
    result.disagreements.push({
      address: instruction.address,
      bytes: Buffer.from(instruction.bytes).toString('hex'),
      objdump: [...instruction.prefixes, instruction.mnemonic, instruction.operands].join(' ').trim(),
      decoder: decoded === undefined ? 'refused' : `${decoded.mnemonic} (${decoded.length} bytes)`,
    });
  };
  for await (const batch of instructions) batch.forEach(check);
  return result;
}
