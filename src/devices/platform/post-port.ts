/**
 * Port 80h, where firmware writes its progress codes. Kernels write it by the thousand to pass a microsecond, so it
 * stays unclaimed in the port table, where a write costs nothing; this device answers whoever has no such table.
 *
 * @module
 */
import type { ByteRegisters } from '../../bus/bus.ts';

export const POST_PORT = 0x80;

export const postPort: ByteRegisters = { readByte: () => 0xff, writeByte() {} };
