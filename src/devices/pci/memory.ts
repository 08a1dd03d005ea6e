/**
 * PCI's memory space: which base address register answers where, right now.
 *
 * Functions come and go as guests size and move their registers. A mapping answers while it lies whole in one of the bridge's
 * windows and on no other mapping: so no guest can put a function over RAM, the interrupt controllers, the configuration
 * space or another function. Of mappings that overlap, the first to come answers; the others follow, in order, when it leaves.
 *
 * @module
 */
import { Bus } from '../../bus/bus.ts';
import type { BusDevice } from '../../bus/bus-device.ts';

/** A range of addresses; `end` is the first behind it. */
export interface AddressRange {
  readonly start: number;
  readonly end: number;
}

/** One base address register as it stands: asked for at an address, answering or not. */
export interface PciMapping {
  readonly name: string;
  readonly address: number;
  readonly bytes: number;
  readonly device: BusDevice;
  /** Told when the mapping begins and ends to answer. */
  readonly onAnswering?: ((answers: boolean) => void) | undefined;
}

export class PciMemory {
  readonly #windows: readonly AddressRange[];
  readonly #bus = new Bus();
  /** What asks for an address, in the order in which it came. */
  readonly #mappings = new Map<PciMapping, { answers: boolean }>();

  constructor(windows: readonly AddressRange[]) {
    this.#windows = windows;
  }

  /** What a bridge puts on the machine's MMIO bus at the start of one of its windows. */
  window(range: AddressRange): BusDevice {
    return {
      read: (offset, width) => this.#bus.read(range.start + offset, width),
      write: (offset, width, value) => this.#bus.write(range.start + offset, width, value),
    };
  }

  add(mapping: PciMapping): void {
    this.#mappings.set(mapping, { answers: false });
    this.#settle();
  }

  remove(mapping: PciMapping): void {
    const state = this.#mappings.get(mapping);
    if (state === undefined) return;
    this.#mappings.delete(mapping);
    if (!state.answers) return;
    this.#bus.remove(mapping.address);
    mapping.onAnswering?.(false);
    this.#settle();
  }

  /** Lets every mapping answer that has come to be free of others. */
  #settle(): void {
    for (const [mapping, state] of this.#mappings) {
      const { name, address, bytes, device } = mapping;
      if (state.answers || !this.#inWindow(address, bytes) || this.#bus.overlapping(address, bytes)) continue;
      this.#bus.add(name, address, bytes, device);
      state.answers = true;
      mapping.onAnswering?.(true);
    }
  }

  #inWindow(address: number, bytes: number): boolean {
    return this.#windows.some(({ start, end }) => address >= start && address + bytes <= end);
  }
}
