/**
 * Where indirect jumps have gone, counted: what the translator makes regions of.
 *
 * @module
 */

/** Most targets of a jump that a region holds. */
const MAX_TARGETS = 24;
/** Most that are counted: a guest whose jump goes to ever new places starts anew. */
const MAX_COUNTED = 256;

export class JumpTargets {
  readonly #counts = new Map<number, Map<bigint, number>>();

  /** A jump at an offset in linear memory has gone to these RIPs. */
  note(at: number, rips: BigUint64Array): void {
    let counts = this.#counts.get(at);
    if (counts === undefined || counts.size > MAX_COUNTED) {
      counts = new Map();
      this.#counts.set(at, counts);
    }
    for (const rip of rips) counts.set(rip, (counts.get(rip) ?? 0) + 1);
  }

  /** Its targets as distances from `base` in bytes, the most frequent first. */
  of(at: number, base: bigint): number[] {
    const counts = this.#counts.get(at);
    if (counts === undefined) return [];
    return [...counts]
      .sort((x, y) => y[1] - x[1])
      .slice(0, MAX_TARGETS)
      .map(([rip]) => Number(BigInt.asIntN(64, rip - base)));
  }

  clear(): void {
    this.#counts.clear();
  }
}
