/**
 * Writes to a disk image until it is killed: `node kill-writer.ts PATH SEED`. Prints a line for every flush that ended, with how many
 * writes it made durable. `plannedWrite` says what write number n is.
 *
 * @module
 */
import { pattern, randomSource } from '../../src/disk/testing.ts';
import { openDiskImage } from '../../src/host/node/disk-image.ts';

export const DISK_BYTES = 2 << 20;
const UNIT = 512;

/** The same for the same seed and number in every process. */
export function plannedWrite(seed: number, number: number): { readonly offset: number; readonly data: Uint8Array } {
  const random = randomSource(seed * 100_000 + number + 1);
  random(2);
  const units = 1 + random(64);
  const offset = random(DISK_BYTES / UNIT - units) * UNIT;
  return { offset, data: pattern(units * UNIT, number) };
}

if (import.meta.main) {
  const [path = '', seed = '1'] = process.argv.slice(2);
  const disk = await openDiskImage({ path, format: 'qcow2' });
  for (let number = 0; ; ) {
    for (const end = number + 5; number < end; number++) {
      const { offset, data } = plannedWrite(Number(seed), number);
      await disk.write(offset, [data]);
      if (number % 7 === 0) await disk.discard(0, 65_536);
    }
    await disk.flush();
    process.stdout.write(`${number}\n`);
  }
}
