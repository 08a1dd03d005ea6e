/**
 * MSI-X (PCI Local Bus 3.0, section 6.8.2): a table of messages, one per vector, that the guest fills and masks, and a bit per
 * vector that remembers an interrupt raised while it was masked.
 *
 * Table and pending bits are memory that the owner puts into one of its base address registers; enable and function mask are
 * in the capability. Vectors that are not there raise nothing.
 *
 * @module
 */
import type { AccessWidth, BusDevice } from '../../bus/bus-device.ts';

/** Sends a message to the local APICs. */
export type SendMsi = (address: number, data: number) => void;

export const MSIX_ENTRY_BYTES = 16;
/** The capability's message control register has 11 bits for the number of vectors. */
export const MSIX_MAX_VECTORS = 2048;

/** Message control. */
export const MSIX_FUNCTION_MASK = 0x4000;
export const MSIX_ENABLE = 0x8000;

/** Words of an entry. */
const ADDRESS_LOW = 0;
const ADDRESS_HIGH = 1;
const DATA = 2;
const CONTROL = 3;
const ENTRY_WORDS = MSIX_ENTRY_BYTES / 4;
const VECTOR_MASKED = 1;

export class Msix {
  readonly vectors: number;
  readonly #send: SendMsi;
  readonly #table: Uint32Array;
  readonly #pending: Uint8Array;
  #control = 0;

  constructor(vectors: number, send: SendMsi) {
    if (!(vectors >= 1 && vectors <= MSIX_MAX_VECTORS)) throw new RangeError(`${vectors} MSI-X vectors`);
    this.vectors = vectors;
    this.#send = send;
    this.#table = new Uint32Array(vectors * ENTRY_WORDS);
    // Whole quadwords (6.8.2.9).
    this.#pending = new Uint8Array(Math.ceil(vectors / 64) * 8);
    this.reset();
  }

  reset(): void {
    this.#control = 0;
    this.#table.fill(0);
    this.#pending.fill(0);
    for (let vector = 0; vector < this.vectors; vector++) this.#table[vector * ENTRY_WORDS + CONTROL] = VECTOR_MASKED;
  }

  get enabled(): boolean {
    return (this.#control & MSIX_ENABLE) !== 0;
  }

  /** Message control as the guest has written it. */
  set control(value: number) {
    this.#control = value & (MSIX_ENABLE | MSIX_FUNCTION_MASK);
    for (let vector = 0; vector < this.vectors; vector++) this.#deliverPending(vector);
  }

  /** Raises a vector: sends its message, or remembers that it was asked to. */
  raise(vector: number): void {
    if (vector >= this.vectors || !this.enabled) return;
    if (this.#masked(vector)) this.#pending[vector >> 3] = this.#pending[vector >> 3]! | (1 << (vector & 7));
    else this.#sendMessage(vector);
  }

  #masked(vector: number): boolean {
    if ((this.#control & MSIX_FUNCTION_MASK) !== 0) return true;
    return (this.#table[vector * ENTRY_WORDS + CONTROL]! & VECTOR_MASKED) !== 0;
  }

  #deliverPending(vector: number): void {
    const bit = 1 << (vector & 7);
    if ((this.#pending[vector >> 3]! & bit) === 0 || !this.enabled || this.#masked(vector)) return;
    this.#pending[vector >> 3] = this.#pending[vector >> 3]! & ~bit;
    this.#sendMessage(vector);
  }

  #sendMessage(vector: number): void {
    const at = vector * ENTRY_WORDS;
    const address = this.#table[at + ADDRESS_LOW]! + this.#table[at + ADDRESS_HIGH]! * 0x1_0000_0000;
    this.#send(address, this.#table[at + DATA]!);
  }

  /** The table. Entries beyond the last vector read as zero and take no write. */
  get table(): BusDevice {
    return {
      read: (offset, width) => {
        let value = 0;
        for (let byte = 0; byte < width; byte++) {
          const at = offset + byte;
          value |= (((this.#table[at >> 2] ?? 0) >>> ((at & 3) * 8)) & 0xff) << (byte * 8);
        }
        return value >>> 0;
      },
      write: (offset, width, value) => this.#writeTable(offset, width, value),
    };
  }

  #writeTable(offset: number, width: AccessWidth, value: number): void {
    // Defined are aligned accesses of 4 and 8 bytes only; what is narrower changes its bytes, what straddles words is dropped.
    const word = offset >> 2;
    const shift = (offset & 3) * 8;
    if (word >= this.#table.length || (offset & (width - 1)) !== 0) return;
    const mask = (width === 4 ? 0xffff_ffff : ((1 << (width * 8)) - 1) << shift) >>> 0;
    this.#table[word] = (this.#table[word]! & ~mask) | ((value << shift) & mask);
    if (word % ENTRY_WORDS === CONTROL) this.#deliverPending(Math.floor(word / ENTRY_WORDS));
  }

  /** The pending bits, for reading. */
  get pendingBits(): BusDevice {
    return {
      read: (offset, width) => {
        let value = 0;
        for (let byte = 0; byte < width; byte++) value |= (this.#pending[offset + byte] ?? 0) << (byte * 8);
        return value >>> 0;
      },
      write: () => {},
    };
  }
}
