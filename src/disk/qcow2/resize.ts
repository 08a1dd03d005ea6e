/**
 * What changing the capacity of an image means for its header and its L1 table. Each step leaves an image that is whole.
 *
 * @module
 */
import { DiskFormatError } from '../disk-format-error.ts';
import type { ImageFile } from '../image-file.ts';
import { ENTRY_BYTES, HeaderField, MAX_L1_BYTES } from './defs.ts';
import { l1EntriesFor } from './header.ts';
import type { Metadata } from './metadata.ts';
import { putOffset } from './refcounts.ts';

/** Makes the L1 table long enough for a disk of this size. Exclusive. */
export async function growL1(
  file: ImageFile,
  metadata: Metadata,
  clusterBits: number,
  diskBytes: number,
): Promise<void> {
  const { mapping, refcounts } = metadata;
  const { clusterBytes, l1Entries } = mapping;
  const needed = l1EntriesFor(diskBytes, clusterBits);
  if (needed <= l1Entries) return;
  if (needed * ENTRY_BYTES > MAX_L1_BYTES) {
    throw new DiskFormatError(file.name, 'size', diskBytes, `is too much for clusters of ${clusterBytes} bytes`);
  }
  const longer = new Uint8Array(needed * ENTRY_BYTES);
  const oldBytes = l1Entries * ENTRY_BYTES;
  const room = Math.ceil(oldBytes / clusterBytes) * clusterBytes;
  if (longer.length <= room) {
    await metadata.commit();
    await file.write(mapping.l1Offset + oldBytes, [longer.subarray(oldBytes)]);
    await file.flush();
    await pointToL1(file, needed, mapping.l1Offset);
    longer.set(mapping.l1Bytes());
    mapping.replaceL1(longer, mapping.l1Offset);
    return;
  }
  const run = await refcounts.allocateAtEnd(Math.ceil(longer.length / clusterBytes));
  // Behind this the file's L1 table is what is in memory, and the new one's clusters are counted.
  await metadata.commit();
  longer.set(mapping.l1Bytes());
  await file.write(run.first * clusterBytes, [longer]);
  await file.flush();
  await pointToL1(file, needed, run.first * clusterBytes);
  const old = { first: mapping.l1Offset / clusterBytes, count: room / clusterBytes };
  mapping.replaceL1(longer, run.first * clusterBytes);
  if (old.count > 0) metadata.free(old);
}

/** One write inside one sector, and durable: the header has the old table or the new. */
async function pointToL1(file: ImageFile, entries: number, offset: number): Promise<void> {
  const fields = new Uint8Array(12);
  const view = new DataView(fields.buffer);
  view.setUint32(0, entries);
  putOffset(view, 4, offset);
  await file.write(HeaderField.l1_size, [fields]);
  await file.flush();
}

/** Sets the capacity that the header has, durably. */
export async function writeDiskBytes(file: ImageFile, bytes: number): Promise<void> {
  const field = new Uint8Array(8);
  putOffset(new DataView(field.buffer), 0, bytes);
  await file.write(HeaderField.size, [field]);
  await file.flush();
}
