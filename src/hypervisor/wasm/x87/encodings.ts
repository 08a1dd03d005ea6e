/**
 * x87 encodings: opcodes D8 to DF with ModRM (SDM volume 2, tables ), undocumented aliases included.
 *
 * Mnemonics and operands are those of objdump in Intel syntax, for the comparison of the decoder with it.
 *
 * @module
 */

export interface X87Encoding {
  /** First opcode byte, D8 to DF; 9B for FWAIT. */
  readonly opcode: number;
  /** ModRM.reg for a memory operand; -1 for a register form. */
  readonly digit: number;
  /** First and last ModRM byte of a register form (C0 to FF); -1 for a memory operand. */
  readonly modrm: number;
  readonly lastModrm: number;
  /** Name in `X87Operation`. */
  readonly operation: string;
  readonly mnemonic: string;
  /** Operands as objdump prints them; `st(i)` stands for the register, memory operands for themselves. '' for none. */
  readonly operands: string;
  /** Condition of FCMOV: b, e, be or u, and 'n' before it for the negation. */
  readonly condition?: string;
}

function memory(
  opcode: number,
  digit: number,
  operation: string,
  mnemonic: string = operation.split(' ')[0]!,
): X87Encoding {
  return { opcode, digit, modrm: -1, lastModrm: -1, operation, mnemonic, operands: 'm' };
}

/** Eight register forms from `modrm` on. */
function registers(opcode: number, modrm: number, operation: string, options: Partial<X87Encoding> = {}): X87Encoding {
  const [mnemonic, operands] = operation.split(' ') as [string, string];
  return { opcode, digit: -1, modrm, lastModrm: modrm + 7, operation, mnemonic, operands, ...options };
}

/** A single ModRM byte without operands. */
function single(opcode: number, modrm: number, operation: string, operands = ''): X87Encoding {
  return { opcode, digit: -1, modrm, lastModrm: modrm, operation, mnemonic: operation.split(' ')[0]!, operands };
}

const move = (opcode: number, modrm: number, condition: string): X87Encoding =>
  registers(opcode, modrm, 'fcmov st,st(i)', { mnemonic: `fcmov${condition}`, condition });

const alias = (mnemonic: string): Partial<X87Encoding> => ({ mnemonic });

// biome-ignore format: a table
export const x87Encodings: readonly X87Encoding[] = [
  { opcode: 0x9b, digit: -1, modrm: -1, lastModrm: -1, operation: 'fwait', mnemonic: 'fwait', operands: '' },

  memory(0xd8, 0, 'fadd m32fp'), memory(0xd8, 1, 'fmul m32fp'), memory(0xd8, 2, 'fcom m32fp'), memory(0xd8, 3, 'fcomp m32fp'),
  memory(0xd8, 4, 'fsub m32fp'), memory(0xd8, 5, 'fsubr m32fp'), memory(0xd8, 6, 'fdiv m32fp'), memory(0xd8, 7, 'fdivr m32fp'),
  registers(0xd8, 0xc0, 'fadd st,st(i)'), registers(0xd8, 0xc8, 'fmul st,st(i)'), registers(0xd8, 0xd0, 'fcom st(i)'), registers(0xd8, 0xd8, 'fcomp st(i)'),
  registers(0xd8, 0xe0, 'fsub st,st(i)'), registers(0xd8, 0xe8, 'fsubr st,st(i)'), registers(0xd8, 0xf0, 'fdiv st,st(i)'), registers(0xd8, 0xf8, 'fdivr st,st(i)'),

  memory(0xd9, 0, 'fld m32fp'), memory(0xd9, 2, 'fst m32fp'), memory(0xd9, 3, 'fstp m32fp'), memory(0xd9, 4, 'fldenv'),
  memory(0xd9, 5, 'fldcw'), memory(0xd9, 6, 'fnstenv'), memory(0xd9, 7, 'fnstcw'),
  registers(0xd9, 0xc0, 'fld st(i)'), registers(0xd9, 0xc8, 'fxch st(i)'), single(0xd9, 0xd0, 'fnop'), registers(0xd9, 0xd8, 'fstp1 st(i)', alias('fstp')),
  single(0xd9, 0xe0, 'fchs'), single(0xd9, 0xe1, 'fabs'), single(0xd9, 0xe4, 'ftst'), single(0xd9, 0xe5, 'fxam'),
  single(0xd9, 0xe8, 'fld1'), single(0xd9, 0xe9, 'fldl2t'), single(0xd9, 0xea, 'fldl2e'), single(0xd9, 0xeb, 'fldpi'),
  single(0xd9, 0xec, 'fldlg2'), single(0xd9, 0xed, 'fldln2'), single(0xd9, 0xee, 'fldz'),
  single(0xd9, 0xf0, 'f2xm1'), single(0xd9, 0xf1, 'fyl2x'), single(0xd9, 0xf2, 'fptan'), single(0xd9, 0xf3, 'fpatan'),
  single(0xd9, 0xf4, 'fxtract'), single(0xd9, 0xf5, 'fprem1'), single(0xd9, 0xf6, 'fdecstp'), single(0xd9, 0xf7, 'fincstp'),
  single(0xd9, 0xf8, 'fprem'), single(0xd9, 0xf9, 'fyl2xp1'), single(0xd9, 0xfa, 'fsqrt'), single(0xd9, 0xfb, 'fsincos'),
  single(0xd9, 0xfc, 'frndint'), single(0xd9, 0xfd, 'fscale'), single(0xd9, 0xfe, 'fsin'), single(0xd9, 0xff, 'fcos'),

  memory(0xda, 0, 'fiadd m32int'), memory(0xda, 1, 'fimul m32int'), memory(0xda, 2, 'ficom m32int'), memory(0xda, 3, 'ficomp m32int'),
  memory(0xda, 4, 'fisub m32int'), memory(0xda, 5, 'fisubr m32int'), memory(0xda, 6, 'fidiv m32int'), memory(0xda, 7, 'fidivr m32int'),
  move(0xda, 0xc0, 'b'), move(0xda, 0xc8, 'e'), move(0xda, 0xd0, 'be'), move(0xda, 0xd8, 'u'), single(0xda, 0xe9, 'fucompp'),

  memory(0xdb, 0, 'fild m32int'), memory(0xdb, 1, 'fisttp m32int'), memory(0xdb, 2, 'fist m32int'), memory(0xdb, 3, 'fistp m32int'),
  memory(0xdb, 5, 'fld m80fp'), memory(0xdb, 7, 'fstp m80fp'),
  move(0xdb, 0xc0, 'nb'), move(0xdb, 0xc8, 'ne'), move(0xdb, 0xd0, 'nbe'), move(0xdb, 0xd8, 'nu'),
  single(0xdb, 0xe0, 'fneni'), single(0xdb, 0xe1, 'fndisi'), single(0xdb, 0xe2, 'fnclex'), single(0xdb, 0xe3, 'fninit'), single(0xdb, 0xe4, 'fnsetpm'),
  registers(0xdb, 0xe8, 'fucomi st,st(i)'), registers(0xdb, 0xf0, 'fcomi st,st(i)'),

  memory(0xdc, 0, 'fadd m64fp'), memory(0xdc, 1, 'fmul m64fp'), memory(0xdc, 2, 'fcom m64fp'), memory(0xdc, 3, 'fcomp m64fp'),
  memory(0xdc, 4, 'fsub m64fp'), memory(0xdc, 5, 'fsubr m64fp'), memory(0xdc, 6, 'fdiv m64fp'), memory(0xdc, 7, 'fdivr m64fp'),
  registers(0xdc, 0xc0, 'fadd st(i),st'), registers(0xdc, 0xc8, 'fmul st(i),st'), registers(0xdc, 0xd0, 'fcom st(i)'), registers(0xdc, 0xd8, 'fcomp st(i)'),
  registers(0xdc, 0xe0, 'fsubr st(i),st'), registers(0xdc, 0xe8, 'fsub st(i),st'), registers(0xdc, 0xf0, 'fdivr st(i),st'), registers(0xdc, 0xf8, 'fdiv st(i),st'),

  memory(0xdd, 0, 'fld m64fp'), memory(0xdd, 1, 'fisttp m64int'), memory(0xdd, 2, 'fst m64fp'), memory(0xdd, 3, 'fstp m64fp'),
  memory(0xdd, 4, 'frstor'), memory(0xdd, 6, 'fnsave'), memory(0xdd, 7, 'fnstsw'),
  registers(0xdd, 0xc0, 'ffree st(i)'), registers(0xdd, 0xc8, 'fxch st(i)'), registers(0xdd, 0xd0, 'fst st(i)'), registers(0xdd, 0xd8, 'fstp st(i)'),
  registers(0xdd, 0xe0, 'fucom st(i)'), registers(0xdd, 0xe8, 'fucomp st(i)'),

  memory(0xde, 0, 'fiadd m16int'), memory(0xde, 1, 'fimul m16int'), memory(0xde, 2, 'ficom m16int'), memory(0xde, 3, 'ficomp m16int'),
  memory(0xde, 4, 'fisub m16int'), memory(0xde, 5, 'fisubr m16int'), memory(0xde, 6, 'fidiv m16int'), memory(0xde, 7, 'fidivr m16int'),
  registers(0xde, 0xc0, 'faddp st(i),st'), registers(0xde, 0xc8, 'fmulp st(i),st'), registers(0xde, 0xd0, 'fcomp st(i)'), single(0xde, 0xd9, 'fcompp'),
  registers(0xde, 0xe0, 'fsubrp st(i),st'), registers(0xde, 0xe8, 'fsubp st(i),st'), registers(0xde, 0xf0, 'fdivrp st(i),st'), registers(0xde, 0xf8, 'fdivp st(i),st'),

  memory(0xdf, 0, 'fild m16int'), memory(0xdf, 1, 'fisttp m16int'), memory(0xdf, 2, 'fist m16int'), memory(0xdf, 3, 'fistp m16int'),
  memory(0xdf, 4, 'fbld m80bcd'), memory(0xdf, 5, 'fild m64int'), memory(0xdf, 6, 'fbstp m80bcd'), memory(0xdf, 7, 'fistp m64int'),
  registers(0xdf, 0xc0, 'ffreep st(i)'), registers(0xdf, 0xc8, 'fxch st(i)'), registers(0xdf, 0xd0, 'fstp st(i)'), registers(0xdf, 0xd8, 'fstp st(i)'),
  single(0xdf, 0xe0, 'fnstsw ax', 'ax'),
  registers(0xdf, 0xe8, 'fucomip st,st(i)'), registers(0xdf, 0xf0, 'fcomip st,st(i)'),
];
