/**
 * MMX and SSE to SSE4.2 forms (SDM vol. 2, appendix A, two- and three-byte maps).
 *
 * @module
 */
import { type Form, formTable, Profile } from './form.ts';

const hex = (value: number): string => value.toString(16).toUpperCase().padStart(2, '0');

/** Integer operations that exist on MMX (no prefix) and XMM (66) registers under one opcode. */
const PAIRED: readonly (readonly [number, string])[] = [
  [0x60, 'punpcklbw'],
  [0x61, 'punpcklwd'],
  [0x62, 'punpckldq'],
  [0x63, 'packsswb'],
  [0x64, 'pcmpgtb'],
  [0x65, 'pcmpgtw'],
  [0x66, 'pcmpgtd'],
  [0x67, 'packuswb'],
  [0x68, 'punpckhbw'],
  [0x69, 'punpckhwd'],
  [0x6a, 'punpckhdq'],
  [0x6b, 'packssdw'],
  [0x74, 'pcmpeqb'],
  [0x75, 'pcmpeqw'],
  [0x76, 'pcmpeqd'],
  [0xd1, 'psrlw'],
  [0xd2, 'psrld'],
  [0xd3, 'psrlq'],
  [0xd4, 'paddq'],
  [0xd5, 'pmullw'],
  [0xd8, 'psubusb'],
  [0xd9, 'psubusw'],
  [0xda, 'pminub'],
  [0xdb, 'pand'],
  [0xdc, 'paddusb'],
  [0xdd, 'paddusw'],
  [0xde, 'pmaxub'],
  [0xdf, 'pandn'],
  [0xe0, 'pavgb'],
  [0xe1, 'psraw'],
  [0xe2, 'psrad'],
  [0xe3, 'pavgw'],
  [0xe4, 'pmulhuw'],
  [0xe5, 'pmulhw'],
  [0xe8, 'psubsb'],
  [0xe9, 'psubsw'],
  [0xea, 'pminsw'],
  [0xeb, 'por'],
  [0xec, 'paddsb'],
  [0xed, 'paddsw'],
  [0xee, 'pmaxsw'],
  [0xef, 'pxor'],
  [0xf1, 'psllw'],
  [0xf2, 'pslld'],
  [0xf3, 'psllq'],
  [0xf4, 'pmuludq'],
  [0xf5, 'pmaddwd'],
  [0xf6, 'psadbw'],
  [0xf8, 'psubb'],
  [0xf9, 'psubw'],
  [0xfa, 'psubd'],
  [0xfb, 'psubq'],
  [0xfc, 'paddb'],
  [0xfd, 'paddw'],
  [0xfe, 'paddd'],
];

/** The same in map 0F 38 (SSSE3). */
const PAIRED_38: readonly (readonly [number, string])[] = [
  [0x00, 'pshufb'],
  [0x01, 'phaddw'],
  [0x02, 'phaddd'],
  [0x03, 'phaddsw'],
  [0x04, 'pmaddubsw'],
  [0x05, 'phsubw'],
  [0x06, 'phsubd'],
  [0x07, 'phsubsw'],
  [0x08, 'psignb'],
  [0x09, 'psignw'],
  [0x0a, 'psignd'],
  [0x0b, 'pmulhrsw'],
  [0x1c, 'pabsb'],
  [0x1d, 'pabsw'],
  [0x1e, 'pabsd'],
];

const isShift = (name: string): boolean => /^ps(ll|rl|ra)[wdq]$/.test(name);
const mmxSource = (name: string): string => (name.startsWith('punpckl') ? 'Qd' : 'Qq');

const shiftImmediates = (prefix: string, kind: string): string =>
  [
    [0x71, 2, 'psrlw'],
    [0x71, 4, 'psraw'],
    [0x71, 6, 'psllw'],
    [0x72, 2, 'psrld'],
    [0x72, 4, 'psrad'],
    [0x72, 6, 'pslld'],
    [0x73, 2, 'psrlq'],
    [0x73, 6, 'psllq'],
  ]
    .map(([op, digit, name]) => `${prefix} 0F ${hex(op as number)} /${digit} | ${name} | ${kind},Ib | vshift`)
    .join('\n');

export const mmxForms: readonly Form[] = formTable(
  `
    ${PAIRED.map(([op, name]) => `NP 0F ${hex(op)} | ${name} | Pq,${mmxSource(name)} | ${isShift(name) ? 'vshift' : ''}`).join('\n')}
    ${PAIRED_38.map(([op, name]) => `NP 0F 38 ${hex(op)} | ${name} | Pq,Qq |`).join('\n')}
    ${shiftImmediates('NP', 'Nq')}
    NP 0F 6E    | movd      | Pd,Ey    | movd
    NP 0F 7E    | movd      | Ey,Pd    | movd
    NP 0F 6F    | movq      | Pq,Qq    |
    NP 0F 7F    | movq      | Qq,Pq    |
    NP 0F 70    | pshufw    | Pq,Qq,Ib |
    NP 0F C4    | pinsrw    | Pq,Rd,Ib |
    NP 0F C4    | pinsrw    | Pq,Mw,Ib |
    NP 0F C5    | pextrw    | Gd,Nq,Ib |
    NP 0F D7    | pmovmskb  | Gd,Nq    |
    NP 0F E7    | movntq    | Mq,Pq    |
    NP 0F F7    | maskmovq  | Pq,Nq    | memory maskmov
    NP 0F 3A 0F | palignr   | Pq,Qq,Ib | align
    NP 0F 77    | emms      |          |
    F3 0F D6    | movq2dq   | Vo,Nq    |
    F2 0F D6    | movdq2q   | Pq,Uq    |
`,
  Profile.Mmx,
  ['vector', 'mmx'],
);

const EXTEND = ['bw', 'bd', 'bq', 'wd', 'wq', 'dq'];
const EXTEND_SOURCE = ['Wq', 'Wd', 'Ww', 'Wq', 'Wd', 'Wq'];
const extensions = ['s', 'z']
  .flatMap((kind, k) =>
    EXTEND.map(
      (name, n) => `66 0F 38 ${hex((k === 0 ? 0x20 : 0x30) + n)} | pmov${kind}x${name} | Vo,${EXTEND_SOURCE[n]} |`,
    ),
  )
  .join('\n');

export const xmmIntegerForms: readonly Form[] = formTable(
  `
    ${PAIRED.map(([op, name]) => `66 0F ${hex(op)} | ${name} | Vo,Wo | aligned ${isShift(name) ? 'vshift' : ''}`).join('\n')}
    ${PAIRED_38.map(([op, name]) => `66 0F 38 ${hex(op)} | ${name} | Vo,Wo | aligned`).join('\n')}
    ${shiftImmediates('66', 'Uo')}
    ${extensions}
    66 0F 73 /3 | psrldq    | Uo,Ib    | vshift
    66 0F 73 /7 | pslldq    | Uo,Ib    | vshift
    66 0F 6C    | punpcklqdq | Vo,Wo   | aligned
    66 0F 6D    | punpckhqdq | Vo,Wo   | aligned
    66 0F 6E    | movd      | Vd,Ey    | movd
    66 0F 7E    | movd      | Ey,Vd    | movd
    F3 0F 7E    | movq      | Vq,Wq    |
    66 0F D6    | movq      | Wq,Vq    |
    66 0F 6F    | movdqa    | Vo,Wo    | aligned
    66 0F 7F    | movdqa    | Wo,Vo    | aligned
    F3 0F 6F    | movdqu    | Vo,Wo    |
    F3 0F 7F    | movdqu    | Wo,Vo    |
    F2 0F F0    | lddqu     | Vo,Mo    |
    66 0F E7    | movntdq   | Mo,Vo    | aligned
    66 0F 38 2A | movntdqa  | Vo,Mo    | aligned
    66 0F F7    | maskmovdqu | Vo,Uo   | memory maskmov
    66 0F 70    | pshufd    | Vo,Wo,Ib | aligned
    F3 0F 70    | pshufhw   | Vo,Wo,Ib | aligned
    F2 0F 70    | pshuflw   | Vo,Wo,Ib | aligned
    66 0F C4    | pinsrw    | Vo,Rd,Ib |
    66 0F C4    | pinsrw    | Vo,Mw,Ib |
    66 0F C5    | pextrw    | Gd,Uo,Ib |
    66 0F D7    | pmovmskb  | Gd,Uo    |
    66 0F 3A 0F | palignr   | Vo,Wo,Ib | aligned align
    66 0F 3A 14 | pextrb    | Rd,Vo,Ib |
    66 0F 3A 14 | pextrb    | Mb,Vo,Ib |
    66 0F 3A 15 | pextrw    | Rd,Vo,Ib |
    66 0F 3A 15 | pextrw    | Mw,Vo,Ib |
    66 0F 3A 16 | pextrd    | Ey,Vo,Ib |
    66 0F 3A 20 | pinsrb    | Vo,Rd,Ib |
    66 0F 3A 20 | pinsrb    | Vo,Mb,Ib |
    66 0F 3A 22 | pinsrd    | Vo,Ey,Ib |
    66 0F 38 10 | pblendvb  | Vo,Wo    | aligned
    66 0F 3A 0E | pblendw   | Vo,Wo,Ib | aligned
    66 0F 38 17 | ptest     | Vo,Wo    | aligned x2
    66 0F 38 28 | pmuldq    | Vo,Wo    | aligned
    66 0F 38 29 | pcmpeqq   | Vo,Wo    | aligned
    66 0F 38 2B | packusdw  | Vo,Wo    | aligned
    66 0F 38 37 | pcmpgtq   | Vo,Wo    | aligned
    66 0F 38 38 | pminsb    | Vo,Wo    | aligned
    66 0F 38 39 | pminsd    | Vo,Wo    | aligned
    66 0F 38 3A | pminuw    | Vo,Wo    | aligned
    66 0F 38 3B | pminud    | Vo,Wo    | aligned
    66 0F 38 3C | pmaxsb    | Vo,Wo    | aligned
    66 0F 38 3D | pmaxsd    | Vo,Wo    | aligned
    66 0F 38 3E | pmaxuw    | Vo,Wo    | aligned
    66 0F 38 3F | pmaxud    | Vo,Wo    | aligned
    66 0F 38 40 | pmulld    | Vo,Wo    | aligned
    66 0F 38 41 | phminposuw | Vo,Wo   | aligned
    66 0F 3A 42 | mpsadbw   | Vo,Wo,Ib | aligned x2
    66 0F 3A 60 | pcmpestrm | Vo,Wo,Ib | strcmp x6
    66 0F 3A 61 | pcmpestri | Vo,Wo,Ib | strcmp x6
    66 0F 3A 62 | pcmpistrm | Vo,Wo,Ib | strcmp x6
    66 0F 3A 63 | pcmpistri | Vo,Wo,Ib | strcmp x6
`,
  Profile.Integer,
  ['vector'],
);

/** Floating point in its four element forms: packed single and double, scalar single and double. */
const ARITHMETIC: readonly (readonly [number, string])[] = [
  [0x58, 'add'],
  [0x59, 'mul'],
  [0x5c, 'sub'],
  [0x5d, 'min'],
  [0x5e, 'div'],
  [0x5f, 'max'],
  [0x51, 'sqrt'],
];

const single = ARITHMETIC.map(
  ([op, name]) => `
    NP 0F ${hex(op)} | ${name}ps | Vo,Wo | aligned fp x3
    F3 0F ${hex(op)} | ${name}ss | Vd,Wd | fp x4`,
).join('\n');
const double = ARITHMETIC.map(
  ([op, name]) => `
    66 0F ${hex(op)} | ${name}pd | Vo,Wo | aligned fp x3
    F2 0F ${hex(op)} | ${name}sd | Vq,Wq | fp x4`,
).join('\n');

export const singleForms: readonly Form[] = formTable(
  `
    ${single}
    NP 0F C2    | cmpps     | Vo,Wo,Ib | aligned fp x2
    F3 0F C2    | cmpss     | Vd,Wd,Ib | fp x2
    NP 0F 2E    | ucomiss   | Vd,Wd    | fp x2
    NP 0F 2F    | comiss    | Vd,Wd    | fp x2
    NP 0F 52    | rsqrtps   | Vo,Wo    | aligned approximate
    F3 0F 52    | rsqrtss   | Vd,Wd    | approximate
    NP 0F 53    | rcpps     | Vo,Wo    | aligned approximate
    F3 0F 53    | rcpss     | Vd,Wd    | approximate
    NP 0F 54    | andps     | Vo,Wo    | aligned
    NP 0F 55    | andnps    | Vo,Wo    | aligned
    NP 0F 56    | orps      | Vo,Wo    | aligned
    NP 0F 57    | xorps     | Vo,Wo    | aligned
    NP 0F 10    | movups    | Vo,Wo    |
    NP 0F 11    | movups    | Wo,Vo    |
    F3 0F 10    | movss     | Vd,Ud    |
    F3 0F 10    | movss     | Vd,Md    |
    F3 0F 11    | movss     | Wd,Vd    |
    NP 0F 12    | movlps    | Vq,Mq    |
    NP 0F 12    | movhlps   | Vq,Uo    |
    NP 0F 13    | movlps    | Mq,Vq    |
    NP 0F 14    | unpcklps  | Vo,Wo    | aligned
    NP 0F 15    | unpckhps  | Vo,Wo    | aligned
    NP 0F 16    | movhps    | Vo,Mq    |
    NP 0F 16    | movlhps   | Vo,Uq    |
    NP 0F 17    | movhps    | Mq,Vo    |
    F3 0F 12    | movsldup  | Vo,Wo    | aligned
    F3 0F 16    | movshdup  | Vo,Wo    | aligned
    NP 0F 28    | movaps    | Vo,Wo    | aligned
    NP 0F 29    | movaps    | Wo,Vo    | aligned
    NP 0F 2B    | movntps   | Mo,Vo    | aligned
    NP 0F 50    | movmskps  | Gd,Uo    |
    NP 0F C6    | shufps    | Vo,Wo,Ib | aligned
    F3 0F 2C    | cvttss2si | Gy,Wd    | fp x3
    F3 0F 2D    | cvtss2si  | Gy,Wd    | fp x3
    NP 0F 2C    | cvttps2pi | Pq,Wq    | fp mmx
    NP 0F 2D    | cvtps2pi  | Pq,Wq    | fp mmx
    NP 0F 5A    | cvtps2pd  | Vo,Wq    | fp x2
    F3 0F 5A    | cvtss2sd  | Vq,Wd    | fp x2
    66 0F 5B    | cvtps2dq  | Vo,Wo    | aligned fp x2
    F3 0F 5B    | cvttps2dq | Vo,Wo    | aligned fp x2
    F2 0F 7C    | haddps    | Vo,Wo    | aligned fp x2
    F2 0F 7D    | hsubps    | Vo,Wo    | aligned fp x2
    F2 0F D0    | addsubps  | Vo,Wo    | aligned fp x2
    66 0F 3A 08 | roundps   | Vo,Wo,Ib | aligned fp x2
    66 0F 3A 0A | roundss   | Vd,Wd,Ib | fp x2
    66 0F 3A 0C | blendps   | Vo,Wo,Ib | aligned
    66 0F 38 14 | blendvps  | Vo,Wo    | aligned
    66 0F 3A 17 | extractps | Ed,Vo,Ib |
    66 0F 3A 21 | insertps  | Vo,Uo,Ib |
    66 0F 3A 21 | insertps  | Vo,Md,Ib |
    66 0F 3A 40 | dpps      | Vo,Wo,Ib | aligned fp x4
`,
  Profile.F32,
  ['vector'],
);

export const doubleForms: readonly Form[] = formTable(
  `
    ${double}
    66 0F C2    | cmppd     | Vo,Wo,Ib | aligned fp x2
    F2 0F C2    | cmpsd     | Vq,Wq,Ib | fp x2
    66 0F 2E    | ucomisd   | Vq,Wq    | fp x2
    66 0F 2F    | comisd    | Vq,Wq    | fp x2
    66 0F 54    | andpd     | Vo,Wo    | aligned
    66 0F 55    | andnpd    | Vo,Wo    | aligned
    66 0F 56    | orpd      | Vo,Wo    | aligned
    66 0F 57    | xorpd     | Vo,Wo    | aligned
    66 0F 10    | movupd    | Vo,Wo    |
    66 0F 11    | movupd    | Wo,Vo    |
    F2 0F 10    | movsd     | Vq,Uq    |
    F2 0F 10    | movsd     | Vq,Mq    |
    F2 0F 11    | movsd     | Wq,Vq    |
    66 0F 12    | movlpd    | Vq,Mq    |
    66 0F 13    | movlpd    | Mq,Vq    |
    66 0F 14    | unpcklpd  | Vo,Wo    | aligned
    66 0F 15    | unpckhpd  | Vo,Wo    | aligned
    66 0F 16    | movhpd    | Vo,Mq    |
    66 0F 17    | movhpd    | Mq,Vo    |
    F2 0F 12    | movddup   | Vo,Wq    |
    66 0F 28    | movapd    | Vo,Wo    | aligned
    66 0F 29    | movapd    | Wo,Vo    | aligned
    66 0F 2B    | movntpd   | Mo,Vo    | aligned
    66 0F 50    | movmskpd  | Gd,Uo    |
    66 0F C6    | shufpd    | Vo,Wo,Ib | aligned
    F2 0F 2C    | cvttsd2si | Gy,Wq    | fp x3
    F2 0F 2D    | cvtsd2si  | Gy,Wq    | fp x3
    66 0F 2C    | cvttpd2pi | Pq,Wo    | aligned fp mmx
    66 0F 2D    | cvtpd2pi  | Pq,Wo    | aligned fp mmx
    66 0F 5A    | cvtpd2ps  | Vo,Wo    | aligned fp x3
    F2 0F 5A    | cvtsd2ss  | Vd,Wq    | fp x3
    66 0F E6    | cvttpd2dq | Vo,Wo    | aligned fp x2
    F2 0F E6    | cvtpd2dq  | Vo,Wo    | aligned fp x2
    66 0F 7C    | haddpd    | Vo,Wo    | aligned fp x2
    66 0F 7D    | hsubpd    | Vo,Wo    | aligned fp x2
    66 0F D0    | addsubpd  | Vo,Wo    | aligned fp x2
    66 0F 3A 09 | roundpd   | Vo,Wo,Ib | aligned fp x2
    66 0F 3A 0B | roundsd   | Vq,Wq,Ib | fp x2
    66 0F 3A 0D | blendpd   | Vo,Wo,Ib | aligned
    66 0F 38 15 | blendvpd  | Vo,Wo    | aligned
    66 0F 3A 41 | dppd      | Vo,Wo,Ib | aligned fp x3
`,
  Profile.F64,
  ['vector'],
);

/** From integers: the sources are edge integers, the results floating point. */
export const fromIntegerForms: readonly Form[] = formTable(
  `
    F3 0F 2A    | cvtsi2ss  | Vd,Ey    | fp x3
    F2 0F 2A    | cvtsi2sd  | Vq,Ey    | fp x3
    NP 0F 2A    | cvtpi2ps  | Vq,Qq    | fp mmx x2
    66 0F 2A    | cvtpi2pd  | Vo,Qq    | fp mmx x2
    NP 0F 5B    | cvtdq2ps  | Vo,Wo    | aligned fp x3
    F3 0F E6    | cvtdq2pd  | Vo,Wq    | fp x2
`,
  Profile.Integer,
  ['vector'],
);
