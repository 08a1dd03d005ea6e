/**
 * What a device on a port or MMIO bus is: registers that are read and written by the guest.
 *
 * @module
 */

/** Width of a register access in bytes. The bus splits 8-byte MMIO accesses into two of 4. */
export type AccessWidth = 1 | 2 | 4;

/** A range of registers. Offsets are relative to the start of the range; values are unsigned. Must not throw. */
export interface BusDevice {
  read(offset: number, width: AccessWidth): number;
  write(offset: number, width: AccessWidth, value: number): void;
}

/** A level-triggered interrupt line into the interrupt controllers (a GSI). */
export interface InterruptLine {
  /** Drives the line: true asserts it, false releases it. */
  set(level: boolean): void;
}
