/**
 * Interrupt lines of devices into the kernel's controllers: several sources on one GSI are ORed here, for the kernel knows one level each.
 *
 * @module
 */
import type { InterruptLine } from '../../bus/bus-device.ts';

/** Bits of a word. */
const SOURCES_PER_GSI = 31;

export class InterruptLines {
  readonly #drive: (gsi: number, level: boolean) => void;
  readonly #asserted: Int32Array;
  readonly #sources: Uint8Array;

  /** `drive` sets the level of one of `count` GSIs. */
  constructor(count: number, drive: (gsi: number, level: boolean) => void) {
    this.#drive = drive;
    this.#asserted = new Int32Array(count);
    this.#sources = new Uint8Array(count);
  }

  /** A new source, released. @throws RangeError for a GSI that is none, or that has too many sources. */
  line(gsi: number): InterruptLine {
    const count = this.#sources[gsi];
    if (count === undefined) {
      throw new RangeError(`interrupt line ${gsi}: GSIs are 0 to ${this.#sources.length - 1}`);
    }
    if (count === SOURCES_PER_GSI) throw new RangeError(`interrupt line ${gsi}: more than ${SOURCES_PER_GSI} sources`);
    this.#sources[gsi] = count + 1;
    const bit = 1 << count;
    return {
      set: (level) => {
        const before = this.#asserted[gsi]!;
        const after = level ? before | bit : before & ~bit;
        if (after === before) return;
        this.#asserted[gsi] = after;
        if ((before !== 0) !== (after !== 0)) this.#drive(gsi, after !== 0);
      },
    };
  }

  /** Lines that are still asserted are released. */
  reset(): void {
    for (const [gsi, asserted] of this.#asserted.entries()) {
      if (asserted === 0) continue;
      this.#asserted[gsi] = 0;
      this.#drive(gsi, false);
    }
  }
}
