/**
 * Small helper functions of the core module.
 *
 * @module
 */
import { i32, i64 } from '../emit/expr.ts';
import type { FunctionBuilder } from '../emit/function-builder.ts';

/** crc32c(seed, value i64, bytes) -> CRC-32C of the value's low bytes (SDM volume 2A, CRC32; polynomial 11EDC6F41h, reflected). */
export function buildCrc32c(f: FunctionBuilder): void {
  const crc = f.param('i32', 0);
  const value = f.param('i64', 1);
  const bytes = f.param('i32', 2);
  f.loop((nextByte) => {
    f.set(crc, i32.xor(crc, i32.and(i32.wrap(value), i32.const(0xff))));
    for (let bit = 0; bit < 8; bit++) {
      const mask = i32.sub(i32.const(0), i32.and(crc, i32.const(1)));
      f.set(crc, i32.xor(i32.shrU(crc, i32.const(1)), i32.and(mask, i32.const(0x82f63b78 | 0))));
    }
    f.set(value, i64.shrU(value, i64.const(8)));
    f.set(bytes, i32.sub(bytes, i32.const(1)));
    f.brIf(nextByte, bytes);
  });
  f.return(crc);
  f.unreachable();
}
