/**
 * Random bytes of the operating system's generator. Node's module for them is all of its cryptography, and takes as long to load as a
 * kernel to be read; Linux has a file (random(4)).
 *
 * @module
 */
import { closeSync, openSync, readSync } from 'node:fs';

const DEVICE = '/dev/urandom';

let fill: ((into: Uint8Array<ArrayBuffer>) => void) | undefined;

function choose(): (into: Uint8Array<ArrayBuffer>) => void {
  let fd: number;
  try {
    fd = openSync(DEVICE, 'r');
  } catch {
    const { randomFillSync } = process.getBuiltinModule('node:crypto');
    return (into) => void randomFillSync(into);
  }
  closeSync(fd);
  return (into) => {
    const device = openSync(DEVICE, 'r');
    try {
      // Reads of up to 256 bytes are whole; longer ones end early when a signal comes.
      for (let at = 0; at < into.length; ) at += readSync(device, into, at, into.length - at, null);
    } finally {
      closeSync(device);
    }
  };
}

/** Fills `into` with random bytes, fit for keys. @throws the system's error when the generator cannot be read. */
export function random(into: Uint8Array<ArrayBuffer>): void {
  fill ??= choose();
  fill(into);
}
