/**
 * What every vCPU thread knows about each I/O port without asking: one u16 per port in shared memory.
 *
 *     bits 0-7   the value that an 8-bit read gives while READ_SHADOWED is set
 *     bit 8      READ_SHADOWED: an 8-bit read has no side effect and gives bits 0-7
 *     bit 9      WRITE_POSTED: a write that begins at this port may be queued
 *     bit 10     UNCLAIMED: reads give all ones, writes vanish
 *     bit 11     READ_ORDERED: the shadow holds only while no posted write is under way, which might change it
 *     bit 12     PCI_ADDRESS: 32-bit accesses are of the address register in pci-config.ts
 *     bit 13     PCI_DATA: the device is asked only for what pci-config.ts does not know
 *
 * The VMM thread writes it; vCPU threads read it.
 *
 * @module
 */
import type { MachineMemoryMap } from '../memory/machine-memory.ts';

export const READ_SHADOWED: number = 1 << 8;
export const WRITE_POSTED: number = 1 << 9;
export const UNCLAIMED: number = 1 << 10;
export const READ_ORDERED: number = 1 << 11;
export const PCI_ADDRESS: number = 1 << 12;
export const PCI_DATA: number = 1 << 13;

export const PORT_COUNT = 65536;

export class PortTable {
  readonly #entries: Uint16Array;

  constructor(buffer: ArrayBufferLike, map: Pick<MachineMemoryMap, 'ports'>) {
    this.#entries = new Uint16Array(buffer, map.ports, PORT_COUNT);
  }

  /** Marks every port unclaimed. */
  initialize(): void {
    this.#entries.fill(UNCLAIMED);
  }

  /** Marks ports as belonging to a device, with no attributes. */
  claim(port: number, count: number): void {
    this.#entries.fill(0, port, port + count);
  }

  /** The raw entry of a port below PORT_COUNT. */
  entry(port: number): number {
    return Atomics.load(this.#entries, port);
  }

  /** Lets vCPUs answer 8-bit reads of `port` with `value` themselves; `ordered`: only while no posted write is under way. */
  shadow(port: number, value: number, ordered = false): void {
    const posted = Atomics.load(this.#entries, port) & WRITE_POSTED;
    Atomics.store(this.#entries, port, posted | READ_SHADOWED | (ordered ? READ_ORDERED : 0) | (value & 0xff));
  }

  /** Makes reads of `port` come to the device again. */
  unshadow(port: number): void {
    Atomics.store(this.#entries, port, Atomics.load(this.#entries, port) & WRITE_POSTED);
  }

  /** Lets writes that begin at `port` be queued, or stops that. */
  post(port: number, allowed: boolean): void {
    if (allowed) Atomics.or(this.#entries, port, WRITE_POSTED);
    else Atomics.and(this.#entries, port, ~WRITE_POSTED);
  }

  /** Lets vCPUs do what they can of PCI configuration themselves, at the address register and at the four ports of the data. */
  pci(addressPort: number, dataPort: number): void {
    Atomics.or(this.#entries, addressPort, PCI_ADDRESS);
    for (let byte = 0; byte < 4; byte++) Atomics.or(this.#entries, dataPort + byte, PCI_DATA);
  }

  /** True when no device has any of the `width` ports from `port` on; ports past the last wrap to the first. */
  unclaimed(port: number, width: number): boolean {
    for (let at = port; at < port + width; at++) {
      if ((Atomics.load(this.#entries, at & 0xffff) & UNCLAIMED) === 0) return false;
    }
    return true;
  }
}
