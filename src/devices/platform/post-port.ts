/**
 * Port 80h, where firmware writes its progress codes. Kernels write it by the thousand to pass a microsecond, so it
 * stays unclaimed in the port table: a write costs nothing. This device answers on a bus that has no such table.
 *
 * @module
 */
import type { ByteRegisters } from '../../bus/bus.ts';

export const postPort: ByteRegisters = { readByte: () => 0xff, writeByte() {} };
