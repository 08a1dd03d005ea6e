/**
 * The VEX forms of SSE instructions (SDM volume 2, and volume 1, 14.1): encodings and operands derived from the SSE rows, whose
 * lifts serve them as they are (sse-operands.ts).
 *
 * @module
 */
import { aesRows } from './aes.ts';
import { type Row, rowOf } from './row.ts';
import { sseArithmeticRows } from './sse-arithmetic.ts';
import { sseConvertRows } from './sse-convert.ts';
import { sseIntegerRows } from './sse-integer.ts';
import { sseMoveRows } from './sse-move.ts';
import { sseShuffleRows } from './sse-shuffle.ts';
import { sseStringRows } from './sse-string.ts';

/** Forms of 16 bytes only, where VEX.L must be 0. */
const ONLY_128 =
  /^(movd$|movq$|movlp|movlh|movh|pinsr|pextr|insertps|extractps|pcmp[ei]str|phminposuw|dppd|maskmovdqu|aes|pclmul)/;
/** One source only: VEX.vvvv is not used. */
const ONE_SOURCE =
  /^(mov|lddqu|sqrtp|rcpp|rsqrtp|cvt(?!si2|ss2sd|sd2ss)|u?comis|roundp|pabs|pshuf[dhl]|ptest|pmov|pcmp[ei]str|phminposuw|maskmovdqu|extractps|pextr|aesimc|aeskeygen)/;
/** Those of them that merge: the half or lane that is not written comes from VEX.vvvv. */
const MERGING = /^(movlp[sd] V|movhp[sd] V|movhlps|movlhps|mov(ss Vd,Ud|sd Vq,Uq))/;
/** Memory operands that must be aligned with VEX too. */
const ALIGNED = /^(mova|movdqa|movnt)/;
/** Shifts by a register: the count has 16 bytes always. */
const COUNTED = /^ps(rl|ra|ll)[wdq]$/;
/** Encodings of their own (BLENDV*), or forms that cannot be derived. */
const APART = /^(p?blendv|movddup)/;

const MAPS: Record<string, string> = { '': '0F', '38': '0F38', '3A': '0F3A' };
/** Sizes of vector operands of both lengths. */
const SIZES: Record<string, string> = { o: 'x', q: 'xh', d: 'xq', w: 'xe' };

type Length = 'X' | '128' | 'LIG';

/** Packed forms have both lengths, scalar ones ignore VEX.L. */
function lengthOf({ name, ops }: Row): Length {
  if (ONLY_128.test(name)) return '128';
  return ops.includes('o') ? 'X' : 'LIG';
}

/** Operands of the VEX form; MOVSS and MOVSD to a register or memory are two. */
function operandsOf({ name, ops }: Row, length: Length): readonly string[] {
  const operands = ops.split(',').map((operand) => {
    const [kind, size] = [operand[0] as string, operand.slice(1)];
    const varies = length === 'X' && 'VWUM'.includes(kind) && !(COUNTED.test(name) && operand === 'Wo');
    return varies ? `${kind}${SIZES[size] ?? size}` : operand;
  });
  const [first, second] = operands as [string, string];
  const size = first.slice(1);
  if (/^movs[sd]$/.test(name) && first.startsWith('W')) return [`U${size},H${size},${second}`, `M${size},${second}`];
  // Shifts by an immediate have their destination in VEX.vvvv.
  if (first.startsWith('U')) operands.unshift(`H${size}`);
  else if (!ONE_SOURCE.test(name) || MERGING.test(`${name} ${ops}`)) operands.splice(1, 0, `H${size}`);
  return [operands.join()];
}

function derived(sse: Row): Row[] {
  const encoding = /^(NP|66|F3|F2) 0F (?:(38|3A) )?(..(?: \/.)?)$/.exec(sse.enc);
  if (encoding === null || APART.test(sse.name)) return [];
  const [, prefix, map = '', opcode] = encoding;
  const length = lengthOf(sse);
  const { names } = sse;
  return operandsOf(sse, length).map((ops) =>
    rowOf({
      ...sse,
      enc: `VEX.${length}.${prefix}.${MAPS[map]}.WIG ${opcode}`,
      name: `v${sse.name}`,
      ops,
      unit: 'avx',
      aligned: ALIGNED.test(sse.name) ? true : undefined,
      names: names?.map((name) => `v${name}`) as typeof names,
    }),
  );
}

export const avxFromSseRows: readonly Row[] = [
  ...sseMoveRows,
  ...sseArithmeticRows,
  ...sseConvertRows,
  ...sseIntegerRows,
  ...sseShuffleRows,
  ...sseStringRows,
  ...aesRows,
].flatMap(derived);
