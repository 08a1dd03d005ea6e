/**
 * AVX and AVX2 instructions without an SSE counterpart (SDM volume 2: VBROADCAST* VEXTRACT* VGATHER* VINSERT* VMASKMOV* VPBLENDD
 * VPBROADCAST* VPERM* VPGATHER* VPMASKMOV* VPS{L,R}LV* VPSRAV* VTEST* VZERO*), and those whose VEX form has an encoding of
 * its own (VBLENDV*, VPBLENDVB, VMOVDDUP).
 *
 * @module
 */
import { i32, type I32, i64, type I64, select, type V128 } from '../emit/expr.ts';
import type { Local } from '../emit/function-builder.ts';
import { i16x8, i32x4, i64x2, i8x16, v128 } from '../emit/simd.ts';
import type { LiftBuilder } from './lift-builder.ts';
import { type Lift, type Row, row, systemRow } from './row.ts';
import { movddup } from './sse-move.ts';
import {
  high64,
  imm8,
  low64,
  rawAddress,
  readVector,
  vectorBytes,
  vectorLift,
  type VectorLocal,
  type VectorOperation,
  vectorSource,
  writeVector,
  xmmSource,
} from './sse-operands.ts';
import { blendvpd, blendvps, maskDwords, maskQwords, pblendvb, pshufd } from './sse-shuffle.ts';

const writeAll = (b: LiftBuilder, value: V128): void => {
  const local = b.let(value);
  writeVector(b, 0, b.form.vector === 32 ? [local, local] : [local]);
};

/** The low element of a register, or one in memory, everywhere. */
const broadcast =
  (bytes: 1 | 2 | 4 | 8): Lift =>
  (b) => {
    if (b.isMemory(1)) {
      const value = b.load(bytes, b.address(1));
      writeAll(b, splat(bytes, value as I32));
      return;
    }
    const x = b.let(b.readXmm(1));
    writeAll(b, bytes === 8 ? i64x2.splat(low64(x)) : splat(bytes, lowElement(bytes, x)));
  };
const splat = (bytes: number, value: I32): V128 =>
  bytes === 8 ? i64x2.splat(value as never) : (bytes === 4 ? i32x4 : bytes === 2 ? i16x8 : i8x16).splat(value);
const lowElement = (bytes: 1 | 2 | 4, x: V128): I32 =>
  bytes === 4 ? i32x4.extract(0, x) : bytes === 2 ? i16x8.extractU(0, x) : i8x16.extractU(0, x);
const broadcast128: Lift = (b) => writeAll(b, b.loadXmm(b.address(1)));

const bitOf = (value: I32, bit: number): I32 => i32.and(value, i32.const(1 << bit));

const insert128: Lift = (b) => {
  const y = xmmSource(b, 2);
  const [low, high] = readVector(b, 1) as readonly VectorLocal[] as readonly [VectorLocal, VectorLocal];
  const upper = b.let(bitOf(b.immediate32(), 0));
  writeVector(b, 0, [select(upper, low, y), select(upper, y, high)]);
};
const extract128: Lift = (b) => {
  const [low, high] = readVector(b, 1) as readonly VectorLocal[] as readonly [VectorLocal, VectorLocal];
  const half = b.let(select(bitOf(b.immediate32(), 0), high, low));
  if (b.isMemory(0)) b.storeXmm(b.address(0), half);
  else writeVector(b, 0, [half]);
};
/** Bits 1:0 choose the lower half from the four of both sources, or bit 3 zero; bits 5:4 and 7 the upper one. */
const permute128: Lift = (b) => {
  const y = vectorSource(b, 2);
  const x = readVector(b, 1);
  const control = imm8(b);
  const chosen = (at: number): V128 => {
    const of = ([low, high]: readonly V128[]): V128 => select(bitOf(control, at), high as V128, low as V128);
    const half = select(bitOf(control, at + 1), of(y), of(x));
    return select(bitOf(control, at + 3), v128.zero(), half);
  };
  writeVector(b, 0, [chosen(0), chosen(4)]);
};

/** Numbers of dwords (below 8) in the lanes of `index` to numbers of their bytes. */
const dwordBytes = (index: V128): V128 =>
  i32x4.add(i32x4.mul(index, i32x4.const(Array(4).fill(0x0404_0404))), i32x4.const(Array(4).fill(0x0302_0100)));
const permilps: VectorOperation = (x, y) => i8x16.swizzle(x, dwordBytes(v128.and(y, i32x4.const([3, 3, 3, 3]))));
const lowTwice = (x: V128): V128 => i8x16.shuffle(x, x, [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7]);
const highTwice = (x: V128): V128 => i8x16.shuffle(x, x, [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15]);
const permilpd: VectorOperation = (x, y) => {
  const mask = i64x2.shrS(i64x2.shl(y, i32.const(62)), i32.const(63));
  return v128.bitselect(highTwice(x), lowTwice(x), mask);
};
const permilpdImmediate: VectorOperation = (_x, y, b, half) =>
  v128.bitselect(highTwice(y), lowTwice(y), maskQwords(i32.shrU(imm8(b), i32.const(half * 2))));

/** VPERMD and VPERMPS: dwords of the last operand by the numbers in the one before. */
const permuteDwords: Lift = (b) => {
  const [low, high] = vectorSource(b, 2) as readonly VectorLocal[] as readonly [VectorLocal, VectorLocal];
  const results = readVector(b, 1).map((index) => {
    const bytes = b.let(dwordBytes(v128.and(index, i32x4.const([7, 7, 7, 7]))));
    const above = i8x16.sub(bytes, i8x16.const(Array(16).fill(16)));
    return v128.or(i8x16.swizzle(low, bytes), i8x16.swizzle(high, above));
  });
  writeVector(b, 0, results);
};
/** VPERMQ and VPERMPD: two bits of the immediate choose each qword. */
const permuteQwords: Lift = (b) => {
  const halves = vectorSource(b, 1);
  const qwords = halves.flatMap((half) => [b.let(low64(half)), b.let(high64(half))]) as readonly I64[] as readonly [
    I64,
    I64,
    I64,
    I64,
  ];
  const control = imm8(b);
  const chosen = (at: number): I64 => {
    const odd = bitOf(control, at);
    return select(bitOf(control, at + 1), select(odd, qwords[3], qwords[2]), select(odd, qwords[1], qwords[0]));
  };
  const pair = (at: number): V128 => i64x2.replace(1, i64x2.splat(chosen(at)), chosen(at + 2));
  writeVector(b, 0, [pair(0), pair(4)]);
};

const blendDwords: VectorOperation = (x, y, b, half) =>
  v128.bitselect(y, x, maskDwords(i32.shrU(imm8(b), i32.const(half * 4))));

/** Every lane shifted by its own count; counts beyond the width give zeros, or copies of the sign. */
const shiftEach = (bytes: 4 | 8, direction: 'shl' | 'shrU' | 'shrS'): VectorOperation => {
  const bits = bytes * 8;
  if (bytes === 8) {
    return (x, y, b) => {
      const lane = (n: 0 | 1): I64 => {
        const count = b.let(i64x2.extract(n, y));
        return select(i64.gtU(count, i64.const(63)), i64.const(0), i64[direction](i64x2.extract(n, x), count));
      };
      return i64x2.replace(1, i64x2.splat(lane(0)), lane(1));
    };
  }
  return (x, y, b) => {
    let result: V128 = x;
    for (let n = 0; n < 4; n++) {
      const count = b.let(i32x4.extract(n, y));
      const lane = i32x4.extract(n, x);
      const beyond = i32.gtU(count, i32.const(bits - 1));
      const shifted =
        direction === 'shrS'
          ? i32.shrS(lane, select(beyond, i32.const(31), count))
          : select(beyond, i32.const(0), i32[direction](lane, count));
      result = i32x4.replace(n, result, shifted);
    }
    return result;
  };
};

const signs = (bytes: 4 | 8, x: V128): I32 => (bytes === 8 ? i64x2.bitmask(x) : i32x4.bitmask(x));

/** ZF: no sign bit in common; CF: no sign bit of the source outside the destination. */
const test =
  (bytes: 4 | 8): Lift =>
  (b) => {
    const y = vectorSource(b, 1);
    const x = readVector(b, 0);
    const none = i32.const(0);
    const union = (operation: (p: V128, q: V128) => V128): I32 =>
      signs(bytes, x.map((half, i) => operation(half, y[i] as V128)).reduce(v128.or));
    const zf = i32.eqz(union(v128.and));
    const cf = i32.eqz(union((p, q) => v128.andnot(q, p)));
    b.setFlagBits({ zf, cf, pf: none, af: none, sf: none, of: none });
  };

/** A bit per element: the signs of a mask operand. */
function maskBits(b: LiftBuilder, bytes: 4 | 8, halves: readonly V128[]): Local<'i32'> {
  return b.let(
    halves
      .map((half, i) => i32.shl(signs(bytes, half), i32.const((i * 16) / bytes)))
      .reduce((low, high) => i32.or(low, high)),
  );
}
/** Element `n` of a vector in two locals. */
function setElement(b: LiftBuilder, bytes: 4 | 8, halves: readonly VectorLocal[], n: number, host: I32): void {
  const perHalf = 16 / bytes;
  const half = halves[(n / perHalf) | 0] as VectorLocal;
  const lane = n % perHalf;
  b.f.set(half, bytes === 8 ? i64x2.replace(lane, half, i64.load(host)) : i32x4.replace(lane, half, i32.load(host)));
}

/** Elements whose mask has its sign set; the others are zero and their memory is not touched. */
const maskedLoad =
  (bytes: 4 | 8): Lift =>
  (b) => {
    const address = rawAddress(b, 2, false);
    const mask = readVector(b, 1);
    const bits = maskBits(b, bytes, mask);
    const result = mask.map(() => b.let(v128.zero()));
    for (let n = 0; n < vectorBytes(b) / bytes; n++) {
      b.f.if(bitOf(bits, n), () => {
        const host = b.atAnyAlignment(() => b.hostRead(address(n * bytes, bytes), bytes));
        setElement(b, bytes, result, n, host);
      });
    }
    writeVector(b, 0, result);
  };
const maskedStore =
  (bytes: 4 | 8): Lift =>
  (b) => {
    const address = rawAddress(b, 0, true);
    const bits = maskBits(b, bytes, readVector(b, 1));
    const values = readVector(b, 2);
    const perHalf = 16 / bytes;
    const over = (body: (n: number, host: Local<'i32'>) => void): void => {
      for (let n = 0; n < vectorBytes(b) / bytes; n++) {
        b.f.if(bitOf(bits, n), () => {
          body(
            n,
            b.atAnyAlignment(() => b.hostWrite(address(n * bytes, bytes), bytes, false)),
          );
        });
      }
    };
    // Every element must be writable before one is written.
    over(() => undefined);
    over((n, host) => {
      const half = values[(n / perHalf) | 0] as V128;
      b.f.store(bytes, host, bytes === 8 ? i64x2.extract(n % perHalf, half) : i32x4.extract(n % perHalf, half));
      b.finishWrite(host);
    });
  };

/**
 * Gathers elements of `bytes` by indices of `indexBytes`. All masks become all ones or zero; then elements are loaded one after
 * another and their masks cleared, so that a fault in the middle finds done what is done and the instruction can start again.
 * What is not gathered is cleared in the end. That is what processors do; the manual leaves the order open.
 */
const gather =
  (indexBytes: 4 | 8, bytes: 4 | 8): Lift =>
  (b) => {
    const count = vectorBytes(b) / Math.max(indexBytes, bytes);
    const indices = readVector(b, 1);
    const spread = (half: V128): V128 =>
      bytes === 8 ? i64x2.shrS(half, i32.const(63)) : i32x4.shrS(half, i32.const(31));
    const mask = readVector(b, 2).map((half) => b.let(spread(half)));
    writeVector(b, 2, mask);
    const result = readVector(b, 0);
    const bits = maskBits(b, bytes, mask);
    const perHalf = 16 / bytes;
    const perIndexHalf = 16 / indexBytes;
    for (let n = 0; n < count; n++) {
      b.f.if(bitOf(bits, n), () => {
        const source = indices[(n / perIndexHalf) | 0] as V128;
        const lane = n % perIndexHalf;
        const index = indexBytes === 8 ? i64x2.extract(lane, source) : i64.extendI32S(i32x4.extract(lane, source));
        const address = b.let(b.gatherAddress(index, bytes));
        const host = b.atAnyAlignment(() => b.hostRead(address, bytes));
        setElement(b, bytes, result, n, host);
        const old = mask[(n / perHalf) | 0] as VectorLocal;
        const at = n % perHalf;
        b.f.set(old, bytes === 8 ? i64x2.replace(at, old, i64.const(0)) : i32x4.replace(at, old, i32.const(0)));
        writeVector(b, 0, result);
        writeVector(b, 2, mask);
      });
    }
    const low = result[0] as V128;
    if (count * bytes === 8) writeVector(b, 0, [i64x2.replace(1, low, i64.const(0))]);
    else writeVector(b, 0, result.slice(0, (count * bytes) / 16));
    writeVector(b, 2, [v128.zero()]);
  };

/** VZEROUPPER and VZEROALL: eight registers outside 64-bit mode. */
const zero: Lift = (b) => {
  for (let n = 0; n < (b.form.legacy ? 8 : 16); n++) {
    if (b.form.vector === 32) b.setXmm(n, v128.zero());
    b.setYmmHigh(n, v128.zero());
  }
};

const avx = { unit: 'avx' } as const;
const modal = { unit: 'avx', modal: true } as const;
/** Segments are applied to elements. */
const masked = { unit: 'avx', modal: true, rawOffset: true } as const;
const vector = (enc: string, name: string, operation: VectorOperation, ops = 'Vx,Hx,Wx'): Row =>
  row(enc, name, ops, vectorLift(operation), avx);

// biome-ignore format: one encoding a line
export const avxRows: readonly Row[] = [
  vector('VEX.X.66.0F3A.W0 4A', 'vblendvps', blendvps, 'Vx,Hx,Wx,Lx'),
  vector('VEX.X.66.0F3A.W0 4B', 'vblendvpd', blendvpd, 'Vx,Hx,Wx,Lx'),
  vector('VEX.X.66.0F3A.W0 4C', 'vpblendvb', pblendvb, 'Vx,Hx,Wx,Lx'),
  row('VEX.128.F2.0F.WIG 12', 'vmovddup', 'Vo,Wq', movddup, avx),
  row('VEX.256.F2.0F.WIG 12', 'vmovddup', 'Vx,Wx', movddup, avx),
  row('VEX.X.66.0F38.W0 18', 'vbroadcastss', 'Vx,Wd', broadcast(4), avx),
  row('VEX.256.66.0F38.W0 19', 'vbroadcastsd', 'Vx,Wq', broadcast(8), avx),
  row('VEX.256.66.0F38.W0 1A', 'vbroadcastf128', 'Vx,Mo', broadcast128, avx),
  row('VEX.256.66.0F38.W0 5A', 'vbroadcasti128', 'Vx,Mo', broadcast128, avx),
  row('VEX.X.66.0F38.W0 78', 'vpbroadcastb', 'Vx,Wb', broadcast(1), avx),
  row('VEX.X.66.0F38.W0 79', 'vpbroadcastw', 'Vx,Ww', broadcast(2), avx),
  row('VEX.X.66.0F38.W0 58', 'vpbroadcastd', 'Vx,Wd', broadcast(4), avx),
  row('VEX.X.66.0F38.W0 59', 'vpbroadcastq', 'Vx,Wq', broadcast(8), avx),
  row('VEX.256.66.0F3A.W0 18', 'vinsertf128', 'Vx,Hx,Wo,Ib', insert128, avx),
  row('VEX.256.66.0F3A.W0 38', 'vinserti128', 'Vx,Hx,Wo,Ib', insert128, avx),
  row('VEX.256.66.0F3A.W0 19', 'vextractf128', 'Wo,Vx,Ib', extract128, avx),
  row('VEX.256.66.0F3A.W0 39', 'vextracti128', 'Wo,Vx,Ib', extract128, avx),
  row('VEX.256.66.0F3A.W0 06', 'vperm2f128', 'Vx,Hx,Wx,Ib', permute128, avx),
  row('VEX.256.66.0F3A.W0 46', 'vperm2i128', 'Vx,Hx,Wx,Ib', permute128, avx),
  vector('VEX.X.66.0F38.W0 0C', 'vpermilps', permilps),
  vector('VEX.X.66.0F38.W0 0D', 'vpermilpd', permilpd),
  vector('VEX.X.66.0F3A.W0 04', 'vpermilps', pshufd, 'Vx,Wx,Ib'),
  vector('VEX.X.66.0F3A.W0 05', 'vpermilpd', permilpdImmediate, 'Vx,Wx,Ib'),
  row('VEX.256.66.0F38.W0 36', 'vpermd', 'Vx,Hx,Wx', permuteDwords, avx),
  row('VEX.256.66.0F38.W0 16', 'vpermps', 'Vx,Hx,Wx', permuteDwords, avx),
  row('VEX.256.66.0F3A.W1 00', 'vpermq', 'Vx,Wx,Ib', permuteQwords, avx),
  row('VEX.256.66.0F3A.W1 01', 'vpermpd', 'Vx,Wx,Ib', permuteQwords, avx),
  vector('VEX.X.66.0F3A.W0 02', 'vpblendd', blendDwords, 'Vx,Hx,Wx,Ib'),
  vector('VEX.X.66.0F38.W0 47', 'vpsllvd', shiftEach(4, 'shl')),
  vector('VEX.X.66.0F38.W1 47', 'vpsllvq', shiftEach(8, 'shl')),
  vector('VEX.X.66.0F38.W0 45', 'vpsrlvd', shiftEach(4, 'shrU')),
  vector('VEX.X.66.0F38.W1 45', 'vpsrlvq', shiftEach(8, 'shrU')),
  vector('VEX.X.66.0F38.W0 46', 'vpsravd', shiftEach(4, 'shrS')),
  row('VEX.X.66.0F38.W0 0E', 'vtestps', 'Vx,Wx', test(4), avx),
  row('VEX.X.66.0F38.W0 0F', 'vtestpd', 'Vx,Wx', test(8), avx),
  row('VEX.X.66.0F38.W0 2C', 'vmaskmovps', 'Vx,Hx,Mx', maskedLoad(4), masked),
  row('VEX.X.66.0F38.W0 2D', 'vmaskmovpd', 'Vx,Hx,Mx', maskedLoad(8), masked),
  row('VEX.X.66.0F38.W0 2E', 'vmaskmovps', 'Mx,Hx,Vx', maskedStore(4), masked),
  row('VEX.X.66.0F38.W0 2F', 'vmaskmovpd', 'Mx,Hx,Vx', maskedStore(8), masked),
  row('VEX.X.66.0F38.W0 8C', 'vpmaskmovd', 'Vx,Hx,Mx', maskedLoad(4), masked),
  row('VEX.X.66.0F38.W1 8C', 'vpmaskmovq', 'Vx,Hx,Mx', maskedLoad(8), masked),
  row('VEX.X.66.0F38.W0 8E', 'vpmaskmovd', 'Mx,Hx,Vx', maskedStore(4), masked),
  row('VEX.X.66.0F38.W1 8E', 'vpmaskmovq', 'Mx,Hx,Vx', maskedStore(8), masked),
  row('VEX.X.66.0F38.W0 90', 'vpgatherdd', 'Vx,Xd,Hx', gather(4, 4), modal),
  row('VEX.X.66.0F38.W1 90', 'vpgatherdq', 'Vx,Xq,Hx', gather(4, 8), modal),
  row('VEX.X.66.0F38.W0 91', 'vpgatherqd', 'Vx,Xd,Hx', gather(8, 4), modal),
  row('VEX.X.66.0F38.W1 91', 'vpgatherqq', 'Vx,Xq,Hx', gather(8, 8), modal),
  row('VEX.X.66.0F38.W0 92', 'vgatherdps', 'Vx,Xd,Hx', gather(4, 4), modal),
  row('VEX.X.66.0F38.W1 92', 'vgatherdpd', 'Vx,Xq,Hx', gather(4, 8), modal),
  row('VEX.X.66.0F38.W0 93', 'vgatherqps', 'Vx,Xd,Hx', gather(8, 4), modal),
  row('VEX.X.66.0F38.W1 93', 'vgatherqpd', 'Vx,Xq,Hx', gather(8, 8), modal),
  row('VEX.128.NP.0F.WIG 77', 'vzeroupper', '', zero, modal),
  row('VEX.256.NP.0F.WIG 77', 'vzeroall', '', zero, modal),
  systemRow('VEX.LZ.NP.0F.WIG AE /2', 'vldmxcsr', 'Md', 'vldmxcsr', avx),
  systemRow('VEX.LZ.NP.0F.WIG AE /3', 'vstmxcsr', 'Md', 'vstmxcsr', avx),
];
