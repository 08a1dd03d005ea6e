/**
 * The reset control register at port CF9h (Intel 82371SB PIIX3, "RC"): bit 1 chooses a hard reset, and bit 2 going
 * from 0 to 1 resets. It lies inside the PCI configuration address register, which only takes 32-bit accesses.
 *
 * @module
 */
import type { ByteRegisters } from '../../bus/bus.ts';
import type { MachineEvents } from './machine-events.ts';

const RESET_CPU = 0x04;
const WRITABLE = 0x06;

export class ResetPort implements ByteRegisters {
  readonly #events: Pick<MachineEvents, 'reset'>;
  #value = 0;

  constructor(events: Pick<MachineEvents, 'reset'>) {
    this.#events = events;
  }

  reset(): void {
    this.#value = 0;
  }

  readByte(): number {
    return this.#value;
  }

  writeByte(_offset: number, value: number): void {
    const rising = (value & ~this.#value & RESET_CPU) !== 0;
    this.#value = value & WRITABLE;
    if (rising) this.#events.reset();
  }

  save(): number {
    return this.#value;
  }

  restore(value: number): void {
    this.#value = value & WRITABLE;
  }
}
