/**
 * Memory operands of x87 instructions as values.
 *
 * @module
 */
import type { FloatValue } from '../softfloat/value.ts';
import type { X87Memory } from './row.ts';
import type { X87 } from './x87.ts';

function signed(value: FloatValue, integer: number): void {
  value.fromInteger(integer < 0 ? 1 : 0, 0, Math.abs(integer) | 0);
}

/** Takes the number at `at` in linear memory apart. Not for BCD. */
export function loadMemory(fpu: X87, kind: X87Memory, at: number, value: FloatValue): void {
  const { memory } = fpu;
  switch (kind) {
    case 'm32fp':
      return value.fromBinary32(memory.getInt32(at, true), fpu.environment);
    case 'm64fp':
      return value.fromBinary64(memory.getInt32(at + 4, true), memory.getInt32(at, true), fpu.environment);
    case 'm80fp':
      return value.fromExtended(
        memory.getUint16(at + 8, true),
        memory.getInt32(at + 4, true),
        memory.getInt32(at, true),
      );
    case 'm16int':
      return signed(value, memory.getInt16(at, true));
    case 'm32int':
      return signed(value, memory.getInt32(at, true));
    case 'm64int': {
      const low = memory.getInt32(at, true),
        high = memory.getInt32(at + 4, true);
      if (high >= 0) value.fromInteger(0, high, low);
      else value.fromInteger(1, (~high + (low === 0 ? 1 : 0)) | 0, -low | 0);
      return;
    }
    default:
      throw new Error(`${kind} is no number`);
  }
}
