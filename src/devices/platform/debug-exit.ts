/**
 * QEMU's isa-debug-exit: a write of any width ends the machine with status (value << 1) | 1. For kernels under test.
 *
 * @module
 */
import type { BusDevice } from '../../bus/bus-device.ts';
import type { MachineEvents } from './machine-events.ts';

export const DEBUG_EXIT_PORTS = 4;

/** The status is unsigned; a process keeps its low eight bits. */
export function debugExit(events: Pick<MachineEvents, 'debugExit'>): BusDevice {
  return {
    read: () => 0,
    write: (_offset, _width, value) => events.debugExit(((value << 1) | 1) >>> 0),
  };
}
