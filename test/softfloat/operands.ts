/**
 * Operands for recording: seeded, and biased towards the places where floating point goes wrong.
 *
 * @module
 */

/** xorshift128+ over BigInt would be slow; this is sfc32, seeded. */
export class Random {
  #a: number;
  #b = 0x9e3779b9;
  #c = 0x243f6a88;
  #counter = 1;

  constructor(seed: number) {
    this.#a = seed | 0;
    for (let i = 0; i < 20; i++) this.u32();
  }

  u32(): number {
    const t = (this.#a + this.#b + this.#counter++) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + t) | 0;
    return t >>> 0;
  }

  below(n: number): number {
    return this.u32() % n;
  }

  chance(oneIn: number): boolean {
    return this.below(oneIn) === 0;
  }

  bits(n: number): bigint {
    let value = 0n;
    for (let have = 0; have < n; have += 32) value = (value << 32n) | BigInt(this.u32());
    return BigInt.asUintN(n, value);
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }
}

/** An interesting fraction of `n` bits: random, sparse, all ones above or below some bit, a few units from an end. */
function fraction(random: Random, n: number): bigint {
  const all = (1n << BigInt(n)) - 1n;
  const at = BigInt(random.below(n));
  switch (random.below(10)) {
    case 0:
      return 0n;
    case 1:
      return all;
    case 2:
      return 1n << at;
    case 3:
      return all ^ ((1n << at) - 1n);
    case 4:
      return (1n << at) - 1n;
    case 5:
      return BigInt(random.below(4));
    case 6:
      return all - BigInt(random.below(4));
    case 7:
      return (random.bits(n) >> at) << at;
    default:
      return random.bits(n);
  }
}

/** A binary32 or binary64 as bits. */
export function ieee(random: Random, exponentBits: 8 | 11, fractionBits: 23 | 52): bigint {
  const top = (1 << exponentBits) - 1;
  const middle = top >> 1;
  let exponent: number;
  switch (random.below(14)) {
    case 0:
      exponent = 0;
      break;
    case 1:
      exponent = top;
      break;
    case 2:
      exponent = 1 + random.below(3);
      break;
    case 3:
      exponent = top - 1 - random.below(3);
      break;
    case 4:
      exponent = random.below(top + 1);
      break;
    case 5:
      exponent = middle + random.pick([30, 31, 32, 62, 63, 64]) - random.below(2);
      break;
    case 6:
      exponent = 1 + random.below(fractionBits + 4);
      break;
    case 7:
      exponent = exponentBits === 11 ? middle + random.pick([-127, 127]) + random.below(3) - random.below(30) : middle;
      break;
    default:
      exponent = middle + random.below(8) - 4;
  }
  exponent = Math.max(0, Math.min(top, exponent));
  const f = exponent === top && random.chance(3) ? 0n : fraction(random, fractionBits);
  return (
    (BigInt(random.below(2)) << BigInt(exponentBits + fractionBits)) | (BigInt(exponent) << BigInt(fractionBits)) | f
  );
}

/** A second operand: unrelated, or a few places away from `a`. */
export function ieeePair(random: Random, exponentBits: 8 | 11, fractionBits: 23 | 52): [bigint, bigint] {
  const a = ieee(random, exponentBits, fractionBits);
  const width = 1 + exponentBits + fractionBits;
  const unit = 1n << BigInt(fractionBits);
  switch (random.below(6)) {
    case 0:
      return [a, BigInt.asUintN(width, a + BigInt(random.below(5) - 2))];
    case 1:
      return [a, BigInt.asUintN(width, (a ^ (unit << BigInt(exponentBits))) + BigInt(random.below(5) - 2))];
    case 2:
      return [a, BigInt.asUintN(width, a + unit * BigInt(random.below(130) - 65))];
    default:
      return [a, ieee(random, exponentBits, fractionBits)];
  }
}

/** An x87 double extended as 80 bits. Now and then an encoding that has no meaning. */
export function extended(random: Random): bigint {
  let exponent: number;
  let integer = 1n;
  switch (random.below(16)) {
    case 0:
      exponent = 0;
      integer = BigInt(random.chance(4));
      break;
    case 1:
      exponent = 0x7fff;
      break;
    case 2:
      exponent = 1 + random.below(3);
      break;
    case 3:
      exponent = 0x7ffe - random.below(3);
      break;
    case 4:
      exponent = random.below(0x8000);
      break;
    case 5:
      exponent = 0x3fff + random.pick([15, 16, 31, 32, 62, 63, 64]) - random.below(2);
      break;
    case 6:
      exponent = 1 + random.below(68);
      break;
    case 7:
      exponent = 0x3fff + random.pick([-127, 127, -1023, 1023]) + random.below(3) - random.below(60);
      break;
    case 8:
      exponent = random.below(0x8000);
      integer = BigInt(random.chance(2));
      break;
    default:
      exponent = 0x3fff + random.below(10) - 5;
  }
  exponent = Math.max(0, Math.min(0x7fff, exponent));
  let f = exponent === 0x7fff && random.chance(3) ? 0n : fraction(random, 63);
  // Values with room below, as programs have them, and ties at the precisions of precision control and stores.
  switch (random.below(12)) {
    case 0:
    case 1:
    case 2:
      f = (f >> 11n) << 11n;
      break;
    case 3:
      f = ((f >> 11n) << 11n) | 0x400n;
      break;
    case 4:
      f = ((f >> 40n) << 40n) | 0x80_0000_0000n;
      break;
    default:
  }
  return (BigInt(random.below(2)) << 79n) | (BigInt(exponent) << 64n) | (integer << 63n) | f;
}

export function extendedPair(random: Random): [bigint, bigint] {
  const a = extended(random);
  switch (random.below(6)) {
    case 0:
      return [a, BigInt.asUintN(80, a + BigInt(random.below(5) - 2))];
    case 1:
      return [a, BigInt.asUintN(80, (a ^ (1n << 79n)) + BigInt(random.below(5) - 2))];
    case 2:
      return [a, BigInt.asUintN(80, a + BigInt(random.below(150) - 75) * (1n << 64n))];
    default:
      return [a, extended(random)];
  }
}

/** Little-endian bytes. */
export function toBytes(value: bigint, bytes: number): Uint8Array {
  const out = new Uint8Array(bytes);
  for (let i = 0; i < bytes; i++) out[i] = Number((value >> BigInt(8 * i)) & 255n);
  return out;
}

export function fromBytes(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
  return value;
}
