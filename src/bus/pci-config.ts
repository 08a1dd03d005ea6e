/**
 * PCI configuration mechanism 1 (PCI Local Bus 3.0, section 3.2.2.3.2), as much of it as a vCPU answers without asking: the address register,
 * which functions are there, and their registers. In shared memory, in the control area; kernels scan thousands of functions that are not
 * there, and read those that are there hundreds of times.
 *
 *     word 0       the address register, port CF8h
 *     word 1       not 0: there are functions on other buses
 *     word 16      one byte for every function of bus 0: 0 nothing, 255 always asked, else the number of its slot, from 1
 *     word 80      slots: 256 bytes of registers, which are the function's own; one bit for each 4 of them that must be asked for
 *
 * vCPUs write the address, one at a time under a lock of the guest's as on a real machine; the VMM thread reads it when it is asked for data,
 * and is the only one that writes registers.
 *
 * @module
 */
import type { AccessWidth } from './bus-device.ts';
import { allOnes } from './bus.ts';

const ADDRESS = 0;
const OTHER_BUSES = 1;
const INDEX = 16;
const SLOTS = 80;
/** Functions whose registers are here; those beyond are asked. */
const SLOT_COUNT = 48;
const REGISTER_BYTES = 256;
const SLOT_BYTES: number = REGISTER_BYTES + 16;
export const PCI_CONFIG_WORDS: number = SLOTS + (SLOT_COUNT * SLOT_BYTES) / 4;

const ADDRESS_ENABLE = 0x8000_0000;
const ADDRESS_WRITABLE = 0x80ff_fffc;
const FUNCTIONS_PER_BUS = 256;
const ASKED = 255;

/** Where the table is: a `ControlArea`. */
export interface PciConfigArea {
  readonly words: Int32Array;
  readonly pciConfigAt: number;
}

/** A function's registers, which may lie anywhere. */
export interface PciRegisters {
  /** Keeps them in these bytes from now on. */
  moveTo(bytes: Uint8Array): void;
}

export class PciConfigTable {
  readonly #words: Int32Array;
  readonly #at: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;

  /** By default one that no other thread sees. */
  constructor(area: PciConfigArea = { words: new Int32Array(PCI_CONFIG_WORDS), pciConfigAt: 0 }) {
    const { words, pciConfigAt } = area;
    this.#words = words;
    this.#at = pciConfigAt;
    this.#bytes = new Uint8Array(words.buffer, words.byteOffset + pciConfigAt * 4, PCI_CONFIG_WORDS * 4);
    this.#view = new DataView(words.buffer, words.byteOffset + pciConfigAt * 4, PCI_CONFIG_WORDS * 4);
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

  /**
   * Notes that there is a function. Its registers move here, where it lets them: vCPUs read them then, but for those 4 bytes at each of
   * the offsets `asks`, whose reads do something. Before any vCPU looks.
   */
  add(routing: number, registers?: PciRegisters, asks: readonly number[] = []): void {
    if (routing >= FUNCTIONS_PER_BUS) {
      Atomics.store(this.#words, this.#at + OTHER_BUSES, 1);
      return;
    }
    const index = this.#bytes.subarray(INDEX * 4, INDEX * 4 + FUNCTIONS_PER_BUS);
    const slot = index.reduce((most, entry) => (entry === ASKED ? most : Math.max(most, entry)), 0) + 1;
    if (registers === undefined || slot > SLOT_COUNT) {
      index[routing] = ASKED;
      return;
    }
    const at = this.#slotAt(slot);
    registers.moveTo(this.#bytes.subarray(at, at + REGISTER_BYTES));
    for (const offset of asks) this.#bytes[at + REGISTER_BYTES + (offset >> 5)]! |= 1 << ((offset >> 2) & 7);
    index[routing] = slot;
  }

  #slotAt(slot: number): number {
    return SLOTS * 4 + (slot - 1) * SLOT_BYTES;
  }

  /** The byte of the table for the function at the address that is set; 0: nothing is there. */
  #entry(): number {
    const { routing } = this;
    if (routing === undefined) return 0;
    if (routing >= FUNCTIONS_PER_BUS) return Atomics.load(this.#words, this.#at + OTHER_BUSES) === 0 ? 0 : ASKED;
    return this.#bytes[INDEX * 4 + routing]!;
  }

  /** False when nothing is at the address that is set: writes vanish. */
  get mayBeThere(): boolean {
    return this.#entry() !== 0;
  }

  /** What a read at the address that is set gives, `offset` 0 to 3 into the data; undefined: the VMM thread is to be asked. */
  read(offset: number, width: AccessWidth): number | undefined {
    const entry = this.#entry();
    if (entry === 0) return allOnes(width);
    if (entry === ASKED) return undefined;
    const register = this.address & 0xfc;
    const at = this.#slotAt(entry);
    if (((this.#bytes[at + REGISTER_BYTES + (register >> 5)]! >> ((register >> 2) & 7)) & 1) !== 0) return undefined;
    const from = at + register + offset;
    if (width === 4) return this.#view.getUint32(from, true);
    return width === 2 ? this.#view.getUint16(from, true) : this.#bytes[from]!;
  }
}
