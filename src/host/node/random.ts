/**
 * Random bytes of the operating system's generator. Node's module for them is all of its cryptography, which takes 4 ms to load; Linux has a
 * file (random(4)), which is slower for many bytes: 109 us in place of 9 for 64 KiB, 4 in place of 1 for 64 bytes.
 *
 * @module
 */
import { closeSync, openSync, readSync } from 'node:fs';

const DEVICE = '/dev/urandom';
/** More at once are worth loading the module for: a guest may ask often. */
const MANY_BYTES = 4096;

/** Fills `into` with random bytes, fit for keys. @throws the system's error when the generator cannot be read. */
export function random(into: Uint8Array<ArrayBuffer>): void {
  if (into.length > MANY_BYTES || !readDevice(into)) process.getBuiltinModule('node:crypto').randomFillSync(into);
}

/** False where there is no such file. */
function readDevice(into: Uint8Array<ArrayBuffer>): boolean {
  let device: number;
  try {
    device = openSync(DEVICE, 'r');
  } catch {
    return false;
  }
  try {
    // Reads of up to 256 bytes are whole; longer ones end early when a signal comes.
    for (let at = 0; at < into.length; ) {
      const got = readSync(device, into, at, into.length - at, null);
      if (got === 0) return false;
      at += got;
    }
  } finally {
    closeSync(device);
  }
  return true;
}
