/**
 * Which places of guest code have been executed as the start of a block: a filter in shared memory that may say yes too often (two
 * places with the same hash), but never no too often. Translators on any thread ask it which branches are worth following.
 *
 * @module
 */
import { KNOWN_BLOCKS, KNOWN_BLOCKS_BYTES } from '../mmu/layout.ts';

export class KnownBlocks {
  readonly #bytes: Uint8Array;

  /** `cpu`: offset of the vCPU's private area. */
  constructor(buffer: ArrayBufferLike, cpu: number) {
    this.#bytes = new Uint8Array(buffer, cpu + KNOWN_BLOCKS, KNOWN_BLOCKS_BYTES);
  }

  #bit(host: number, mode: number): number {
    return (Math.imul(host ^ (mode << 24), 0x9e37_79b1) >>> 7) & (KNOWN_BLOCKS_BYTES * 8 - 1);
  }

  add(host: number, mode: number): void {
    const bit = this.#bit(host, mode);
    this.#bytes[bit >> 3] = (this.#bytes[bit >> 3] as number) | (1 << (bit & 7));
  }

  has(host: number, mode: number): boolean {
    const bit = this.#bit(host, mode);
    return ((this.#bytes[bit >> 3] as number) & (1 << (bit & 7))) !== 0;
  }

  clear(): void {
    this.#bytes.fill(0);
  }
}
