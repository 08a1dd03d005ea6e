/**
 * PCI configuration mechanism 1 (PCI Local Bus 3.0, section 3.2.2.3.2), as much of it as a vCPU answers without asking: the address register,
 * and which functions are there. In shared memory, in the control area; kernels scan thousands of functions that are not there.
 *
 *     word 0      the address register, port CF8h
 *     words 1-8   one bit for every function of bus 0
 *     word 9      not 0: there are functions on other buses
 *
 * vCPUs write the address, one at a time under a lock of the guest's as on a real machine; the VMM thread reads it when it is asked for data.
 *
 * @module
 */

export const PCI_CONFIG_WORDS = 16;

const ADDRESS = 0;
const PRESENT = 1;
const OTHER_BUSES = 9;

const ADDRESS_ENABLE = 0x8000_0000;
const ADDRESS_WRITABLE = 0x80ff_fffc;
const FUNCTIONS_PER_BUS = 256;

/** Where the table is: a `ControlArea`. */
export interface PciConfigArea {
  readonly words: Int32Array;
  readonly pciConfigAt: number;
}

export class PciConfigTable {
  readonly #words: Int32Array;
  readonly #at: number;

  /** By default one that no other thread sees. */
  constructor(area: PciConfigArea = { words: new Int32Array(PCI_CONFIG_WORDS), pciConfigAt: 0 }) {
    this.#words = area.words;
    this.#at = area.pciConfigAt;
  }

  /** The address register; unsigned. */
  get address(): number {
    return Atomics.load(this.#words, this.#at + ADDRESS) >>> 0;
  }

  /** Bits that are reserved stay 0. */
  set address(value: number) {
    Atomics.store(this.#words, this.#at + ADDRESS, value & ADDRESS_WRITABLE);
  }

  /** Bus << 8 | device << 3 | function of the address register; undefined while its enable bit is clear. */
  get routing(): number | undefined {
    const { address } = this;
    return address >= ADDRESS_ENABLE ? (address >>> 8) & 0xffff : undefined;
  }

  /** Notes that there is a function. */
  add(routing: number): void {
    if (routing >= FUNCTIONS_PER_BUS) Atomics.store(this.#words, this.#at + OTHER_BUSES, 1);
    else Atomics.or(this.#words, this.#at + PRESENT + (routing >> 5), 1 << (routing & 31));
  }

  /** False when nothing is at the address that is set: reads of the data give all ones then, and writes vanish. */
  get mayBeThere(): boolean {
    const { routing } = this;
    if (routing === undefined) return false;
    if (routing >= FUNCTIONS_PER_BUS) return Atomics.load(this.#words, this.#at + OTHER_BUSES) !== 0;
    return ((Atomics.load(this.#words, this.#at + PRESENT + (routing >> 5)) >>> (routing & 31)) & 1) !== 0;
  }
}
