/**
 * VEX forms: those of SSE instructions, AVX and AVX2 (SDM vol. 2). The processor that records them says whether they are right.
 *
 * @module
 */
import { type Form, formTable, makeForm, Profile } from './form.ts';
import { doubleForms, fromIntegerForms, singleForms, xmmIntegerForms } from './vector.ts';

const aesForms: readonly Form[] = formTable(
  `
    66 0F 38 DB | aesimc          | Vo,Wo    | aligned
    66 0F 38 DC | aesenc          | Vo,Wo    | aligned
    66 0F 38 DD | aesenclast      | Vo,Wo    | aligned
    66 0F 38 DE | aesdec          | Vo,Wo    | aligned
    66 0F 38 DF | aesdeclast      | Vo,Wo    | aligned
    66 0F 3A DF | aeskeygenassist | Vo,Wo,Ib | aligned
    66 0F 3A 44 | pclmulqdq       | Vo,Wo,Ib | aligned x2
`,
  Profile.Random,
  ['vector'],
);

/** No VEX form, or one of its own below. */
const APART = new Set(
  'movss movsd blendvps blendvpd pblendvb movddup cvtpi2ps cvtpi2pd cvtps2pi cvttps2pi cvtpd2pi cvttpd2pi'.split(' '),
);
/** One source: no operand in VEX.vvvv. */
const ONE_SOURCE = new Set(
  (
    'movaps movapd movups movupd movdqa movdqu movq movd movntps movntpd movntdq movntdqa lddqu movsldup movshdup movmskps movmskpd ' +
    'pmovmskb maskmovdqu sqrtps sqrtpd rcpps rsqrtps comiss comisd ucomiss ucomisd roundps roundpd pabsb pabsw pabsd pshufd pshufhw ' +
    'pshuflw ptest phminposuw pcmpestrm pcmpestri pcmpistrm pcmpistri pextrb pextrw pextrd extractps aesimc aeskeygenassist ' +
    'cvtps2pd cvtpd2ps cvtps2dq cvttps2dq cvtpd2dq cvttpd2dq cvtdq2ps cvtdq2pd cvtss2si cvttss2si cvtsd2si cvttsd2si'
  ).split(' '),
);
/** Sixteen bytes only. */
const ONLY_128 = new Set(
  (
    'movd movq movlps movlpd movhps movhpd movhlps movlhps pinsrb pinsrw pinsrd pextrb pextrw pextrd insertps extractps phminposuw ' +
    'pcmpestrm pcmpestri pcmpistrm pcmpistri dppd maskmovdqu aesimc aesenc aesenclast aesdec aesdeclast aeskeygenassist pclmulqdq'
  ).split(' '),
);
const ALIGNED = /^(movap|movdqa|movnt)/;

const isScalar = (form: Form): boolean =>
  /^(V[dq],W[dq]|V[dq],Ey|Gy)/.test(form.ops) && !/^(cvtps2pd|cvtdq2pd|pmov|mov)/.test(form.name);
const isShift = (form: Form): boolean => form.words.has('vshift') && form.ops === 'Vo,Wo';
const BOTH: Record<string, string> = { o: 'x', q: 'xh', d: 'xq', w: 'xe' };

function vexForm(form: Form): Form[] {
  const encoding = /^(NP|66|F3|F2) 0F (?:(38|3A) )?(.*)$/.exec(form.enc);
  if (encoding === null || APART.has(form.name)) return [];
  const [, prefix, map = '', opcode] = encoding;
  const store = /^mov[lh]p/.test(form.name) && form.ops.startsWith('M');
  const one = ONE_SOURCE.has(form.name) || form.name.startsWith('pmov') || store;
  const only128 = ONLY_128.has(form.name);
  const scalar = isScalar(form);
  let ops = form.ops.split(',');
  if (!only128 && !scalar) {
    ops = ops.map((op) => (/^[VWUM]/.test(op) && !(isShift(form) && op === 'Wo') ? op[0] + BOTH[op.slice(1)] : op));
  }
  const wide = only128 || scalar ? ops[0].slice(1) : 'x';
  if (ops[0].startsWith('U')) ops = [`H${wide}`, ...ops];
  else if (!one) ops.splice(1, 0, `H${wide}`);
  const words = [...form.words].filter((word) => word !== 'aligned' && !/^x\d$/.test(word));
  if (ALIGNED.test(form.name)) words.push('aligned');
  const weight = form.words.has('fp') || form.words.has('strcmp') ? 2 : 1;
  return (only128 ? ['128'] : scalar ? ['LIG'] : ['128', '256']).map((length) => {
    const enc = `VEX.${length}.${prefix}.0F${map}.WIG ${opcode}`;
    return makeForm(enc, `v${form.name}`, ops.join(','), words, form.profile, weight);
  });
}

export const vexIntegerForms: readonly Form[] = [
  ...aesForms,
  ...[...xmmIntegerForms, ...aesForms].flatMap(vexForm),
  ...formTable(
    `
    VEX.X.66.0F3A.W0 4C    | vpblendvb      | Vx,Hx,Wx,Lx |
    VEX.X.66.0F38.W0 78    | vpbroadcastb   | Vx,Wb       |
    VEX.X.66.0F38.W0 79    | vpbroadcastw   | Vx,Ww       |
    VEX.X.66.0F38.W0 58    | vpbroadcastd   | Vx,Wd       |
    VEX.X.66.0F38.W0 59    | vpbroadcastq   | Vx,Wq       |
    VEX.256.66.0F38.W0 5A  | vbroadcasti128 | Vx,Mo       |
    VEX.256.66.0F3A.W0 38  | vinserti128    | Vx,Hx,Wo,Ib |
    VEX.256.66.0F3A.W0 39  | vextracti128   | Wo,Vx,Ib    |
    VEX.256.66.0F3A.W0 46  | vperm2i128     | Vx,Hx,Wx,Ib | x2
    VEX.256.66.0F38.W0 36  | vpermd         | Vx,Hx,Wx    |
    VEX.256.66.0F3A.W1 00  | vpermq         | Vx,Wx,Ib    |
    VEX.X.66.0F3A.W0 02    | vpblendd       | Vx,Hx,Wx,Ib |
    VEX.X.66.0F38.W0 47    | vpsllvd        | Vx,Hx,Wx    | counts
    VEX.X.66.0F38.W1 47    | vpsllvq        | Vx,Hx,Wx    | counts
    VEX.X.66.0F38.W0 45    | vpsrlvd        | Vx,Hx,Wx    | counts
    VEX.X.66.0F38.W1 45    | vpsrlvq        | Vx,Hx,Wx    | counts
    VEX.X.66.0F38.W0 46    | vpsravd        | Vx,Hx,Wx    | counts
    VEX.X.66.0F38.W0 8C    | vpmaskmovd     | Vx,Hx,Mx    | masked
    VEX.X.66.0F38.W1 8C    | vpmaskmovq     | Vx,Hx,Mx    | masked wide
    VEX.X.66.0F38.W0 8E    | vpmaskmovd     | Mx,Hx,Vx    | masked
    VEX.X.66.0F38.W1 8E    | vpmaskmovq     | Mx,Hx,Vx    | masked wide
    VEX.X.66.0F38.W0 90    | vpgatherdd     | Vx,Xd,Hx    | gather x2
    VEX.X.66.0F38.W1 90    | vpgatherdq     | Vx,Xq,Hx    | gather wide x2
    VEX.X.66.0F38.W0 91    | vpgatherqd     | Vx,Xd,Hx    | gather qwords x2
    VEX.X.66.0F38.W1 91    | vpgatherqq     | Vx,Xq,Hx    | gather qwords wide x2
    VEX.128.NP.0F.WIG 77   | vzeroupper     |             |
    VEX.256.NP.0F.WIG 77   | vzeroall       |             |
`,
    Profile.Integer,
    ['vector'],
  ),
];

export const vexFloatForms: readonly Form[] = [
  ...[...singleForms, ...doubleForms, ...fromIntegerForms].flatMap(vexForm),
  ...formTable(
    `
    VEX.LIG.F3.0F.WIG 10   | vmovss         | Vd,Hd,Ud    |
    VEX.LIG.F3.0F.WIG 10   | vmovss         | Vd,Md       |
    VEX.LIG.F3.0F.WIG 11   | vmovss         | Ud,Hd,Vd    |
    VEX.LIG.F3.0F.WIG 11   | vmovss         | Md,Vd       |
    VEX.X.66.0F3A.W0 4A    | vblendvps      | Vx,Hx,Wx,Lx |
    VEX.X.66.0F38.W0 18    | vbroadcastss   | Vx,Wd       |
    VEX.256.66.0F38.W0 1A  | vbroadcastf128 | Vx,Mo       |
    VEX.X.66.0F38.W0 0C    | vpermilps      | Vx,Hx,Wx    |
    VEX.X.66.0F3A.W0 04    | vpermilps      | Vx,Wx,Ib    |
    VEX.256.66.0F38.W0 16  | vpermps        | Vx,Hx,Wx    |
    VEX.X.66.0F38.W0 0E    | vtestps        | Vx,Wx       | x2
    VEX.X.66.0F38.W0 2C    | vmaskmovps     | Vx,Hx,Mx    | masked
    VEX.X.66.0F38.W0 2E    | vmaskmovps     | Mx,Hx,Vx    | masked
    VEX.X.66.0F38.W0 92    | vgatherdps     | Vx,Xd,Hx    | gather x2
    VEX.X.66.0F38.W0 93    | vgatherqps     | Vx,Xd,Hx    | gather qwords x2
    VEX.LZ.NP.0F.WIG AE /2 | vldmxcsr       | Md          |
    VEX.LZ.NP.0F.WIG AE /3 | vstmxcsr       | Md          |
`,
    Profile.F32,
    ['vector'],
  ),
  ...formTable(
    `
    VEX.LIG.F2.0F.WIG 10   | vmovsd         | Vq,Hq,Uq    |
    VEX.LIG.F2.0F.WIG 10   | vmovsd         | Vq,Mq       |
    VEX.LIG.F2.0F.WIG 11   | vmovsd         | Uq,Hq,Vq    |
    VEX.LIG.F2.0F.WIG 11   | vmovsd         | Mq,Vq       |
    VEX.128.F2.0F.WIG 12   | vmovddup       | Vo,Wq       |
    VEX.256.F2.0F.WIG 12   | vmovddup       | Vx,Wx       |
    VEX.X.66.0F3A.W0 4B    | vblendvpd      | Vx,Hx,Wx,Lx |
    VEX.256.66.0F38.W0 19  | vbroadcastsd   | Vx,Wq       |
    VEX.256.66.0F3A.W0 18  | vinsertf128    | Vx,Hx,Wo,Ib |
    VEX.256.66.0F3A.W0 19  | vextractf128   | Wo,Vx,Ib    |
    VEX.256.66.0F3A.W0 06  | vperm2f128     | Vx,Hx,Wx,Ib | x2
    VEX.X.66.0F38.W0 0D    | vpermilpd      | Vx,Hx,Wx    |
    VEX.X.66.0F3A.W0 05    | vpermilpd      | Vx,Wx,Ib    |
    VEX.256.66.0F3A.W1 01  | vpermpd        | Vx,Wx,Ib    |
    VEX.X.66.0F38.W0 0F    | vtestpd        | Vx,Wx       | x2
    VEX.X.66.0F38.W0 2D    | vmaskmovpd     | Vx,Hx,Mx    | masked wide
    VEX.X.66.0F38.W0 2F    | vmaskmovpd     | Mx,Hx,Vx    | masked wide
    VEX.X.66.0F38.W1 92    | vgatherdpd     | Vx,Xq,Hx    | gather wide x2
    VEX.X.66.0F38.W1 93    | vgatherqpd     | Vx,Xq,Hx    | gather qwords wide x2
`,
    Profile.F64,
    ['vector'],
  ),
];

const undefinedVex = (encodings: string, ops: string): string =>
  encodings
    .trim()
    .split(/\s*\n\s*/)
    .flatMap((line) => {
      const [lead, ...opcodes] = line.split(' ');
      return opcodes.map((opcode) => `${lead} ${opcode.replace('/', ' /')} | undefined | ${ops} |`);
    })
    .join('\n');

/** VEX encodings that nothing has: MMX forms, other lengths and sizes than those above, gaps in groups. */
export const vexUndefinedForms: readonly Form[] = formTable(
  `
    ${undefinedVex(
      `
      VEX.X.NP.0F.WIG 60 63 6F 70 7F D1 D4 DB EF F0 FE 2A 2C 7C D0 E6 6C D6
      VEX.X.F3.0F.WIG 54 14 28 60 C6 D4 E7 FE 7C D0 2F 2E
      VEX.X.F2.0F.WIG 54 14 28 60 6F 7F D4 5B 53 52 50 28
      VEX.X.66.0F.WIG 2A 2C 52 53 77
      VEX.256.66.0F.WIG 6E 7E D6 C4 C5 F7 12 13 16 17
      VEX.256.NP.0F.WIG 12 13 16 17
      VEX.256.F3.0F.WIG 7E
      VEX.X.NP.0F38.WIG 00 01 0B 1C 20 37 40 F0 F1 F6
      VEX.X.F3.0F38.WIG 00 F0 F2 F6
      VEX.X.F2.0F38.WIG 00 F0 F1 F2
      VEX.X.66.0F38.WIG 10 11 14 15 1B 1F 2F 42 43 44 80 82 F0 F1 F2 F5 F6
      VEX.256.66.0F38.WIG 41 DB
      VEX.128.66.0F38.W0 16 19 1A 36 5A
      VEX.X.66.0F38.W1 0C 0D 0E 0F 13 18 2C 2D 2E 2F 46 58 59 5A 78 79
      VEX.256.NP.0F38.WIG F2 F3/1 F3/2 F3/3 F5 F7
      VEX.256.66.0F38.WIG F7
      VEX.256.F2.0F38.WIG F5 F6 F7
      VEX.256.F3.0F38.WIG F5 F7
      VEX.128.NP.0F38.WIG F3/0 F3/4 F3/7
      `,
      'Ex',
    )}
    ${undefinedVex(
      `
      VEX.X.NP.0F3A.WIG 08 0F 40
      VEX.X.F2.0F3A.WIG 08 0F
      VEX.256.F2.0F3A.WIG F0
      VEX.X.66.0F3A.W0 00 01
      VEX.X.66.0F3A.W1 02 04 05 06 18 19 1D 38 39 46 4A 4B 4C
      VEX.128.66.0F3A.W0 06 18 19 38 39 46
      VEX.256.66.0F3A.WIG 14 15 16 17 20 21 22 41 60 61 62 63 DF
      VEX.X.66.0F.WIG 71/0 71/1 71/3 71/5 71/7 72/0 72/3 72/5 72/7 73/0 73/1 73/4 73/5
      `,
      'Ex,Ib',
    )}
    ${undefinedVex('VEX.128.NP.0F.WIG AE/0 AE/1 AE/4 AE/5 AE/6 AE/7', 'Mx')}
    ${undefinedVex('VEX.256.NP.0F.WIG AE/2 AE/3', 'Md')}
`,
  Profile.Integer,
  ['vector', 'plain', 'rare', 'undefined'],
);
