/**
 * Makes an empty qcow2 image: header, refcounts, L1 table. The header is written last, so a file that a crash left is no image.
 *
 * @module
 */
import { DiskFormatError } from '../disk-format-error.ts';
import type { ImageFile } from '../image-file.ts';
import { zeroBuffers } from '../buffers.ts';
import * as defs from './defs.ts';
import { type BackingReference, encodeHeader, l1EntriesFor } from './header.ts';
import { putOffset } from './refcounts.ts';

export interface Qcow2Options {
  /** Capacity. */
  readonly bytes: number;
  readonly version?: 2 | 3;
  readonly clusterBytes?: number;
  readonly refcountBits?: number;
  readonly backing?: BackingReference;
  /** How compressed clusters would be packed. */
  readonly compression?: 'zlib' | 'zstd';
}

/** Where everything is, in clusters: header, refcount table, refcount blocks, L1 table. */
interface Layout {
  readonly tableClusters: number;
  readonly blocks: number;
  readonly l1Clusters: number;
}

function layOut(clusterBytes: number, blockEntries: number, l1Bytes: number): Layout {
  const l1Clusters = Math.ceil(l1Bytes / clusterBytes);
  let blocks = 1;
  let tableClusters = 1;
  // Blocks count themselves and the table that lists them.
  for (;;) {
    const neededBlocks = Math.ceil((1 + tableClusters + blocks + l1Clusters) / blockEntries);
    const neededTable = Math.ceil((neededBlocks * defs.ENTRY_BYTES) / clusterBytes);
    if (neededBlocks === blocks && neededTable === tableClusters) return { tableClusters, blocks, l1Clusters };
    blocks = neededBlocks;
    tableClusters = neededTable;
  }
}

/** The log of a power of two; undefined for other numbers. */
function exactLog2(value: number): number | undefined {
  const log = Math.log2(value);
  return Number.isInteger(log) ? log : undefined;
}

/** Writes an empty image into an empty file. Throws DiskFormatError for options that the format does not have. */
export async function createQcow2(file: ImageFile, options: Qcow2Options): Promise<void> {
  const { bytes, version = 3, compression = 'zlib' } = options;
  const refuse = (field: string, value: number, reason: string): never => {
    throw new DiskFormatError(file.name, field, value, reason);
  };
  const { clusterBytes = 2 ** defs.DEFAULT_CLUSTER_BITS, refcountBits = 2 ** defs.DEFAULT_REFCOUNT_ORDER } = options;
  const clusterBits = exactLog2(clusterBytes) ?? 0;
  if (clusterBits < defs.MIN_CLUSTER_BITS || clusterBits > defs.MAX_CLUSTER_BITS)
    refuse('cluster size', clusterBytes, 'is not a power of two from 512 bytes to 2 MiB');
  const refcountOrder = exactLog2(refcountBits) ?? Infinity;
  if (refcountOrder > defs.MAX_REFCOUNT_ORDER)
    refuse('refcount bits', refcountBits, 'is not a power of two from 1 to 64');
  if (version === 2 && (refcountOrder !== defs.DEFAULT_REFCOUNT_ORDER || compression !== 'zlib'))
    refuse('version', version, 'has refcounts of 16 bits, and zlib, only');
  if (!Number.isSafeInteger(bytes) || bytes < 0) refuse('size', bytes, 'is no number of bytes');
  const l1Entries = l1EntriesFor(bytes, clusterBits);
  const l1Bytes = l1Entries * defs.ENTRY_BYTES;
  if (l1Bytes > defs.MAX_L1_BYTES) refuse('size', bytes, `is too much for clusters of ${clusterBytes} bytes`);

  const blockEntries = 2 ** (clusterBits + 3 - refcountOrder);
  const { tableClusters, blocks, l1Clusters } = layOut(clusterBytes, blockEntries, l1Bytes);
  const firstBlock = 1 + tableClusters;
  const firstL1 = firstBlock + blocks;
  const used = firstL1 + l1Clusters;
  const header = encodeHeader(
    {
      version,
      clusterBits,
      diskBytes: bytes,
      l1Entries,
      l1Offset: l1Clusters === 0 ? 0 : firstL1 * clusterBytes,
      refcountTableOffset: clusterBytes,
      refcountTableClusters: tableClusters,
      refcountOrder,
      compression,
      ...(options.backing !== undefined && { backing: options.backing }),
    },
    file.name,
  );
  const table = new Uint8Array(tableClusters * clusterBytes);
  const view = new DataView(table.buffer);
  for (let block = 0; block < blocks; block++) {
    putOffset(view, block * defs.ENTRY_BYTES, (firstBlock + block) * clusterBytes);
    const counts = new Uint8Array(clusterBytes);
    countOnes(counts, refcountOrder, Math.min(blockEntries, used - block * blockEntries));
    await file.write((firstBlock + block) * clusterBytes, [counts]);
  }
  await file.write(clusterBytes, [table]);
  if (l1Clusters > 0) await file.write(firstL1 * clusterBytes, zeroBuffers(l1Clusters * clusterBytes));
  await file.flush();
  await file.write(0, [header]);
  await file.flush();
}

/** Sets the first counts of a block to one. */
function countOnes(block: Uint8Array, refcountOrder: number, entries: number): void {
  const width = 2 ** refcountOrder;
  for (let index = 0; index < entries; index++) {
    // Counts of whole bytes are big-endian: the one is in the last. Smaller ones begin at the lowest bit.
    const at = width < 8 ? (index * width) >> 3 : (index + 1) * (width / 8) - 1;
    block[at] = (block[at] ?? 0) | (1 << (width < 8 ? (index * width) & 7 : 0));
  }
}
