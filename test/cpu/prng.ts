/**
 * The generator that default states of recorded cases come from. Frozen: vectors store only seeds, so changing
 * one constant here invalidates every vector file (raise `FORMAT_VERSION` in case-format.ts and record again).
 *
 * It is sfc32 (Chris Doty-Humphrey's "small fast counter" generator, 128 bits of state, 12 warm-up rounds).
 *
 * @module
 */

export class Prng {
  #a = 0;
  #b = 0;
  #c = 0;
  #counter = 1;

  constructor(seed = 0, stream = 0) {
    this.reseed(seed, stream);
  }

  /** Starts the sequence of (seed, stream), both unsigned 32-bit. */
  reseed(seed: number, stream: number): void {
    this.#a = seed | 0;
    this.#b = stream | 0;
    this.#c = 0x6a09e667;
    this.#counter = 1;
    for (let round = 0; round < 12; round++) this.u32();
  }

  /** The next unsigned 32-bit number. */
  u32(): number {
    const out = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + out) | 0;
    return out >>> 0;
  }

  u64(): bigint {
    const low = this.u32();
    return (BigInt(this.u32()) << 32n) | BigInt(low);
  }

  /** An integer in 0..bound-1; bound below 2^32. The bias of the modulus does not matter here. */
  below(bound: number): number {
    return this.u32() % bound;
  }

  /** True in `percent` of a hundred draws. */
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }
}

/** 32-bit FNV-1a of a string: seeds of the generator's streams by name. */
export function hashName(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
