/**
 * Where pages of 64-bit code lie, by the guest's page tables as they are in shared memory (SDM volume 3A, 4.5). For any thread: what it
 * finds may be wrong by the time it is used, so a region asks for its pages again whenever it is entered in another mapping.
 *
 * @module
 */
import { PHYSICAL_BITS, RAM_BYTES, RAM_OFFSET } from '../mmu/layout.ts';

const PRESENT = 1n,
  PAGE_SIZE = 1n << 7n;
const ADDRESS: bigint = ((1n << BigInt(PHYSICAL_BITS)) - 1n) & ~0xfffn;
/** Bits of a linear address that index each table, from the topmost down. */
const SHIFTS = [39, 30, 21, 12];

export class CodePages {
  readonly #longs: BigUint64Array;
  readonly #words: Uint32Array;

  /** `cpu`: offset of the vCPU's private area. */
  constructor(buffer: ArrayBufferLike, cpu: number) {
    this.#longs = new BigUint64Array(buffer);
    this.#words = new Uint32Array(buffer, cpu);
  }

  /** Offset in linear memory of the page at a linear address, by the tables that CR3 points to; 0 when it is not in RAM. */
  find(cr3: bigint, page: bigint): number {
    let entry = cr3;
    for (const shift of SHIFTS) {
      const host = this.#inRam(entry & ADDRESS);
      if (host === 0) return 0;
      const index = Number((page >> BigInt(shift)) & 0x1ffn);
      entry = this.#longs[(host >> 3) + index] as bigint;
      if ((entry & PRESENT) === 0n) return 0;
      if (shift === 12) return this.#inRam(entry & ADDRESS);
      if (shift <= 30 && (entry & PAGE_SIZE) !== 0n) {
        const inside = (1n << BigInt(shift)) - 1n;
        return this.#inRam((entry & ADDRESS & ~inside) | (page & inside & ~0xfffn));
      }
    }
    return 0;
  }

  #inRam(physical: bigint): number {
    const bytes = this.#words[RAM_BYTES >> 2] as number;
    return physical + 4096n > BigInt(bytes) ? 0 : Number(physical) + (this.#words[RAM_OFFSET >> 2] as number);
  }
}
