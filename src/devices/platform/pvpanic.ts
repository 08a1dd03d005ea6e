/**
 * pvpanic: how a guest's kernel says that it panicked (QEMU, docs/specs/pvpanic). One port; a read gives the events
 * that are understood, a write reports some.
 *
 * @module
 */
import type { ByteRegisters } from '../../bus/bus.ts';
import type { MachineEvents } from './machine-events.ts';

export const PVPANIC_PANICKED = 0x01;
export const PVPANIC_CRASH_LOADED = 0x02;

export class Pvpanic implements ByteRegisters {
  readonly #events: Pick<MachineEvents, 'panic'>;

  constructor(events: Pick<MachineEvents, 'panic'>) {
    this.#events = events;
  }

  readByte(): number {
    return PVPANIC_PANICKED | PVPANIC_CRASH_LOADED;
  }

  writeByte(_offset: number, value: number): void {
    if ((value & PVPANIC_PANICKED) !== 0) this.#events.panic('panicked');
    else if ((value & PVPANIC_CRASH_LOADED) !== 0) this.#events.panic('crash-loaded');
  }
}
