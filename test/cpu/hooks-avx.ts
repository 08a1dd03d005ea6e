/**
 * What AVX2 and FMA instructions need beyond their operands: masks, counts in every lane, vectors of indices, sums that cancel.
 *
 * @module
 */
import type { Place } from './builder.ts';
import type { Drawing, Hook } from './draw.ts';
import { shiftCount } from './operand-values.ts';

/** A vector of elements that masked instructions look at the signs of: all, none or some. */
function drawMask(d: Drawing, bytes: number): bigint {
  const { prng } = d;
  const lane = d.form.words.has('wide') ? 8 : 4;
  const kind = prng.below(4);
  let value = 0n;
  for (let at = 0; at < bytes; at += lane) {
    const set = kind === 0 ? 0n : kind === 1 ? 1n : BigInt(prng.below(2));
    const rest = BigInt.asUintN(lane * 8 - 1, prng.u64());
    value |= ((set << BigInt(lane * 8 - 1)) | rest) << BigInt(at * 8);
  }
  return value;
}
export const masked: Hook = {
  values(d) {
    const { place } = d.operands[1];
    place?.set(drawMask(d, place.bytes));
    // Which element is reported is up to the processor.
    d.extra = { cr2PageOnly: true };
  },
};

/** Every lane of the last operand a count. */
export const counts: Hook = {
  values(d) {
    const place = d.operands.at(-1)?.place;
    if (place === undefined) return;
    const lane = d.form.name.endsWith('q') ? 8 : 4;
    let value = 0n;
    for (let at = 0; at < place.bytes; at += lane) {
      const count = BigInt(shiftCount(d.prng)) | (d.prng.chance(10) ? 1n << BigInt(d.prng.below(lane * 8)) : 0n);
      value |= count << BigInt(at * 8);
    }
    place.set(value);
  },
};

/** Elements here and there in the data pages, some of them not there. */
export const gather: Hook = {
  values(d) {
    const { prng, builder, form } = d;
    const { xmm, ymmHigh } = builder.state;
    if (builder.addressBytes === 2) {
      d.rejected = true;
      return;
    }
    const indexBytes = form.words.has('qwords') ? 8 : 4;
    const index = prng.chance(90) ? unusedRegister(d) : prng.below(builder.registers);
    const target = builder.chooseTarget(8, { faults: prng.chance(25) });
    const scale = prng.below(4);
    const mask = d.operands[2].place;
    mask?.set(drawMask(d, mask.bytes));
    const first = builder.offsetOf(builder.addressWithVector(target, index, scale));
    for (let lane = 0; lane < 32 / indexBytes; lane++) {
      const wanted = prng.chance(90) ? prng.below(0x2000) : prng.below(0x4000) - 0x1000;
      const value = BigInt.asUintN(indexBytes * 8, BigInt(wanted - first) >> BigInt(scale));
      const halves = lane * indexBytes < 16 ? xmm : ymmHigh;
      const byte = (lane * indexBytes) % 16;
      const word = index * 2 + (byte >> 3);
      const shift = BigInt((byte & 7) * 8);
      const kept = ~(BigInt.asUintN(indexBytes * 8, -1n) << shift);
      halves[word] = (halves[word] & kept) | (value << shift);
    }
  },
};
/** A register that is neither destination nor mask. */
function unusedRegister(d: Drawing): number {
  for (;;) {
    const n = d.prng.below(d.builder.registers);
    if (d.operands.every((o) => o.register !== n)) return n;
  }
}

/** Sources of fused operations: sums that nearly cancel, and everything else. */
export function drawFused(d: Drawing): void {
  const { prng } = d;
  const [destination, second, third] = d.operands.map((o) => o.place as Place);
  if (prng.chance(60)) return;
  const bytes = d.flavour === 'f32' ? 4 : 8;
  const order = /(\d)(\d)(\d)/.exec(d.form.name) as RegExpExecArray;
  const by = (digit: string): Place => ({ 1: destination, 2: second, 3: third })[digit] as Place;
  const [x, y, z] = [by(order[1]), by(order[2]), by(order[3])];
  const [a, b, c] = [
    new DataView(new ArrayBuffer(32)),
    new DataView(new ArrayBuffer(32)),
    new DataView(new ArrayBuffer(32)),
  ];
  for (let at = 0; at < destination.bytes; at += bytes) {
    const exponent = prng.below(40) - 20;
    const factor = (): number =>
      (1 + prng.u32() / 2 ** 32 + (bytes === 8 ? prng.u32() / 2 ** 52 : 0)) * (prng.chance(50) ? -1 : 1);
    const p = factor() * 2 ** exponent,
      q = factor();
    // The addend is the rounded product, one of its neighbours, or a number of another magnitude.
    const sum =
      -p *
      q *
      (1 + (prng.below(5) - 2) * 2 ** (bytes === 8 ? -52 : -23)) *
      (prng.chance(30) ? 2 ** (prng.below(120) - 60) : 1);
    const put = bytes === 8 ? 'setFloat64' : 'setFloat32';
    a[put](at, p, true);
    b[put](at, q, true);
    c[put](at, sum, true);
  }
  const value = (view: DataView, place: Place): bigint => {
    let bits = 0n;
    for (let at = 0; at < place.bytes; at += 4) bits |= BigInt(view.getUint32(at, true)) << BigInt(at * 8);
    return bits;
  };
  x.set(value(a, x));
  y.set(value(b, y));
  z.set(value(c, z));
}
