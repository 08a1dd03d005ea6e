/**
 * x87 forms (SDM vol. 2, appendix A.5), and the instructions that move whole register files.
 *
 * @module
 */
import { type Form, formTable, Profile } from './form.ts';

const hex = (value: number): string => value.toString(16).toUpperCase().padStart(2, '0');
const BINARY = ['fadd', 'fmul', 'fcom', 'fcomp', 'fsub', 'fsubr', 'fdiv', 'fdivr'];

const arithmetic = BINARY.map((name, n) => {
  const store = name.startsWith('fcom')
    ? ''
    : `
    DC !${hex(0xc0 + ((n & 4) !== 0 ? n ^ 1 : n) * 8)} | ${name}  | STi,ST | sti x2
    DE !${hex(0xc0 + ((n & 4) !== 0 ? n ^ 1 : n) * 8)} | ${name}p | STi,ST | sti x2`;
  return `
    D8 /${n} | ${name} | Md | r32 x2
    DC /${n} | ${name} | Mq | r64 x2
    DA /${n} | fi${name.slice(1)} | Md | i32
    DE /${n} | fi${name.slice(1)} | Mw | i16
    D8 !${hex(0xc0 + n * 8)} | ${name} | ST,STi | sti x3 ${store}`;
}).join('\n');

const moves = ['b', 'e', 'be', 'u', 'nb', 'ne', 'nbe', 'nu']
  .map((name, n) => `${n < 4 ? 'DA' : 'DB'} !${hex(0xc0 + (n & 3) * 8)} | fcmov${name} | ST,STi | sti`)
  .join('\n');

export const x87Forms: readonly Form[] = formTable(
  `
    ${arithmetic}
    ${moves}
    D9 /0   | fld     | Md | r32 x2
    DD /0   | fld     | Mq | r64 x2
    DB /5   | fld     | Mt | r80 x2
    D9 !C0  | fld     | STi | sti
    DF /0   | fild    | Mw | i16
    DB /0   | fild    | Md | i32
    DF /5   | fild    | Mq | i64
    DF /4   | fbld    | Mt | bcd x3
    D9 /2   | fst     | Md | r32 x3
    DD /2   | fst     | Mq | r64 x3
    DD !D0  | fst     | STi | sti
    D9 /3   | fstp    | Md | r32 x2
    DD /3   | fstp    | Mq | r64 x2
    DB /7   | fstp    | Mt | r80
    DD !D8  | fstp    | STi | sti
    DF /2   | fist    | Mw | i16 x2
    DB /2   | fist    | Md | i32 x2
    DF /3   | fistp   | Mw | i16
    DB /3   | fistp   | Md | i32
    DF /7   | fistp   | Mq | i64 x2
    DF /1   | fisttp  | Mw | i16
    DB /1   | fisttp  | Md | i32
    DD /1   | fisttp  | Mq | i64
    DF /6   | fbstp   | Mt | bcd x3
    D9 !C8  | fxch    | STi | sti
    DD !E0  | fucom   | STi | sti x2
    DD !E8  | fucomp  | STi | sti
    DA !E9  | fucompp |    | x2
    DE !D9  | fcompp  |    | x2
    DB !E8  | fucomi  | ST,STi | sti x2
    DB !F0  | fcomi   | ST,STi | sti x2
    DF !E8  | fucomip | ST,STi | sti
    DF !F0  | fcomip  | ST,STi | sti
    D9 !E0  | fchs    |    |
    D9 !E1  | fabs    |    |
    D9 !E4  | ftst    |    | x2
    D9 !E5  | fxam    |    | x3
    D9 !E8  | fld1    |    |
    D9 !E9  | fldl2t  |    |
    D9 !EA  | fldl2e  |    |
    D9 !EB  | fldpi   |    |
    D9 !EC  | fldlg2  |    |
    D9 !ED  | fldln2  |    |
    D9 !EE  | fldz    |    |
    D9 !F0  | f2xm1   |    | inexact
    D9 !F1  | fyl2x   |    | inexact
    D9 !F2  | fptan   |    | inexact
    D9 !F3  | fpatan  |    | inexact
    D9 !F9  | fyl2xp1 |    | inexact
    D9 !FB  | fsincos |    | inexact
    D9 !FE  | fsin    |    | inexact
    D9 !FF  | fcos    |    | inexact
    D9 !F4  | fxtract |    | x3
    D9 !F5  | fprem1  |    | x4
    D9 !F8  | fprem   |    | x4
    D9 !FA  | fsqrt   |    | x4
    D9 !FC  | frndint |    | x3
    D9 !FD  | fscale  |    | x4
    D9 !D0  | fnop    |    |
    D9 !D8  | fstp    | STi | sti
    DC !D0  | fcom    | STi | sti
    DC !D8  | fcomp   | STi | sti
    DD !C8  | fxch    | STi | sti
    DE !D0  | fcomp   | STi | sti
    DF !C0  | ffreep  | STi | sti
    DF !C8  | fxch    | STi | sti
    DF !D0  | fstp    | STi | sti
    DF !D8  | fstp    | STi | sti
    DB !E0  | feni    |    |
    DB !E1  | fdisi   |    |
    DB !E4  | fsetpm  |    |
    D9 !F6  | fdecstp |    |
    D9 !F7  | fincstp |    |
    DD !C0  | ffree   | STi | sti
    DB !E2  | fnclex  |    |
    DB !E3  | fninit  |    |
    9B      | fwait   |    |
    D9 /5   | fldcw   | Mw | fcw
    D9 /7   | fnstcw  | Mw | i16
    DD /7   | fnstsw  | Mw | i16
    DF !E0  | fnstsw  | AX |
`,
  Profile.X87,
  ['x87', 'norep', 'vector'],
);

/** Register files in memory; the parts that are not architectural are masked. */
export const stateForms: readonly Form[] = formTable(
  `
    D9 /6       | fnstenv | M  | sized image x87 x2
    D9 /4       | fldenv  | M  | sized image x87 x2
    DD /6       | fnsave  | M  | sized image x87 x2
    DD /4       | frstor  | M  | sized image x87 x2
    NP 0F AE /0 | fxsave  | M  | image x2
    NP 0F AE /1 | fxrstor | M  | image x2
    NP 0F AE /2 | ldmxcsr | Md | mxcsr x2
    NP 0F AE /3 | stmxcsr | Md |
`,
  Profile.X87,
  ['norep', 'vector'],
);

/** The same with AVX state. */
export const avxStateForms: readonly Form[] = formTable(
  `
    NP 0F AE /4 | xsave   | M  | image avx x2
    NP 0F AE /5 | xrstor  | M  | image avx x5
    NP 0F AE /6 | xsaveopt | M | image avx x2
    NP 0F C7 /4 | xsavec  | M  | image avx x2
    NP 0F AE /0 | fxsave  | M  | image
    NP 0F AE /1 | fxrstor | M  | image
`,
  Profile.X87,
  ['norep', 'vector'],
);

/** XSAVE and XRSTOR of x87 and SSE state only: the rest of XCR0 differs between processors. */
export const extendedStateForms: readonly Form[] = formTable(
  `
    NP 0F AE /4 | xsave   | M  | image x2
    NP 0F AE /5 | xrstor  | M  | image x3
    NP 0F AE /6 | xsaveopt | M | image
    NP 0F C7 /4 | xsavec  | M  | image
`,
  Profile.X87,
  ['norep', 'vector'],
);
