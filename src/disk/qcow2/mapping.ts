/**
 * Where the clusters of the disk are (QEMU, docs/interop/qcow2, "Cluster mapping"): the L1 table in memory, L2 tables in a
 * cache, and their entries decoded and checked. Changes are made in memory; `metadata.ts` writes them.
 *
 * @module
 */
import { DiskFormatError } from '../disk-format-error.ts';
import type { ImageFile } from '../image-file.ts';
import * as defs from './defs.ts';
import type { Qcow2Header } from './header.ts';
import { putOffset } from './refcounts.ts';
import { type Table, TableCache } from './table-cache.ts';

/** An image's tables contradict themselves: nothing may be written any more. */
export class CorruptImageError extends DiskFormatError {}

/**
 * - `unallocated`: as the backing file, or zeros.
 * - `zero`: zeros; `host` is a cluster kept for later, or 0.
 * - `data`: at `host`, in the clear.
 * - `compressed`: `compressedBytes` from `host` hold one cluster.
 */
export type ClusterKind = 'unallocated' | 'zero' | 'data' | 'compressed';

/** Clusters one after the other, on the disk and in the file, that are alike. */
export interface Extent {
  readonly kind: ClusterKind;
  readonly clusters: number;
  readonly host: number;
  /** Nobody else refers to `host`: it may be written to. */
  readonly copied: boolean;
  readonly compressedBytes: number;
}

export class Mapping {
  readonly l2: TableCache;
  readonly clusterBytes: number;
  /** Entries of an L2 table. */
  readonly l2Entries: number;
  /** L1 entries that differ from the file's. */
  readonly dirtyL1: Set<number> = new Set();
  /** L2 tables that the file's L1 table does not point to yet. */
  readonly newTables: Set<Table> = new Set();
  readonly #image: string;
  /** Where the file ends, with what is allocated and not written yet. */
  readonly #endBytes: () => number;
  readonly #version: number;
  readonly #clusterBits: number;
  #l1: DataView;
  #l1Offset: number;

  constructor(file: ImageFile, header: Qcow2Header, l1: Uint8Array, cacheTables: number, endBytes: () => number) {
    this.#image = file.name;
    this.#endBytes = endBytes;
    this.#version = header.version;
    this.#clusterBits = header.clusterBits;
    this.clusterBytes = 2 ** header.clusterBits;
    this.l2Entries = this.clusterBytes / defs.ENTRY_BYTES;
    this.l2 = new TableCache(file, this.clusterBytes, cacheTables);
    this.#l1 = new DataView(l1.buffer, l1.byteOffset, l1.byteLength);
    this.#l1Offset = header.l1Offset;
  }

  get l1Entries(): number {
    return this.#l1.byteLength / defs.ENTRY_BYTES;
  }

  get l1Offset(): number {
    return this.#l1Offset;
  }

  get changed(): boolean {
    return this.l2.dirty.size > 0 || this.dirtyL1.size > 0;
  }

  /** Puts a longer table, whose further entries are zero, in the place of this one. */
  replaceL1(l1: Uint8Array, offset: number): void {
    this.#l1 = new DataView(l1.buffer, l1.byteOffset, l1.byteLength);
    this.#l1Offset = offset;
  }

  /** The L1 table's bytes as they are in memory. */
  l1Bytes(): Uint8Array {
    return new Uint8Array(this.#l1.buffer, this.#l1.byteOffset, this.#l1.byteLength);
  }

  /** An L1 entry; `offset` is 0 when there is no L2 table. Throws CorruptImageError. */
  l1Entry(index: number): { readonly offset: number; readonly copied: boolean } {
    const at = index * defs.ENTRY_BYTES;
    const hi = this.#l1.getUint32(at);
    const offset = offsetOf(hi, this.#l1.getUint32(at + 4));
    if (offset !== 0) this.#requireCluster(`L1 entry ${index}`, offset);
    return { offset, copied: hi >= defs.ENTRY_COPIED_HI };
  }

  setL1Entry(index: number, offset: number, copied = true): void {
    const at = index * defs.ENTRY_BYTES;
    putOffset(this.#l1, at, offset);
    if (offset !== 0 && copied) this.#l1.setUint32(at, this.#l1.getUint32(at) + defs.ENTRY_COPIED_HI);
    this.dirtyL1.add(index);
  }

  /** The L2 table of a guest cluster when it is in memory; null when there is none in the image, undefined when it is to be loaded. */
  cachedTable(cluster: number): Table | null | undefined {
    const { offset } = this.l1Entry(Math.floor(cluster / this.l2Entries));
    return offset === 0 ? null : this.l2.get(offset);
  }

  /** The L2 table of a guest cluster; null when there is none. */
  async table(cluster: number): Promise<Table | null> {
    const { offset } = this.l1Entry(Math.floor(cluster / this.l2Entries));
    return offset === 0 ? null : (this.l2.get(offset) ?? this.l2.load(offset));
  }

  /** What is at a guest cluster, and how many of the `limit` clusters from there on are alike. Throws CorruptImageError. */
  extent(table: Table | null, cluster: number, limit: number): Extent {
    const first = cluster % this.l2Entries;
    const most = Math.min(limit, this.l2Entries - first);
    if (table === null) return { kind: 'unallocated', clusters: most, host: 0, copied: false, compressedBytes: 0 };
    const start = this.entry(table, first, cluster);
    if (start.kind === 'compressed') return start;
    let clusters = 1;
    const { view } = table;
    // Alike means: the same flags, and hosts one after the other. Compared as raw halves, as this is the hot loop.
    const hi = view.getUint32(first * defs.ENTRY_BYTES);
    const lo = view.getUint32(first * defs.ENTRY_BYTES + 4);
    const step = start.host === 0 ? 0 : this.clusterBytes;
    for (; clusters < most; clusters++) {
      const at = (first + clusters) * defs.ENTRY_BYTES;
      const expected = lo + clusters * step;
      if (expected >= 2 ** 32 || view.getUint32(at + 4) !== expected || view.getUint32(at) !== hi) break;
    }
    if (start.host !== 0) this.#requireCluster('L2 entry', start.host + (clusters - 1) * this.clusterBytes);
    return { ...start, clusters };
  }

  /** One L2 entry. Throws CorruptImageError. */
  entry(table: Table, index: number, cluster: number): Extent {
    const hi = table.view.getUint32(index * defs.ENTRY_BYTES);
    const lo = table.view.getUint32(index * defs.ENTRY_BYTES + 4);
    if (hi & defs.ENTRY_COMPRESSED_HI) return this.#compressed(hi, lo, cluster);
    const host = offsetOf(hi, lo);
    if (host !== 0) this.#requireCluster(`L2 entry of cluster ${cluster}`, host);
    const copied = hi >= defs.ENTRY_COPIED_HI && host !== 0;
    const isZero = (lo & defs.ENTRY_ZERO_LO) !== 0;
    if (isZero && this.#version === 2)
      throw new CorruptImageError(this.#image, `L2 entry of cluster ${cluster}`, lo, 'has the zero flag of version 3');
    return {
      kind: isZero ? 'zero' : host === 0 ? 'unallocated' : 'data',
      clusters: 1,
      host,
      copied,
      compressedBytes: 0,
    };
  }

  /** "Compressed Clusters Descriptor": the number of further sectors is above the offset, at a place that the cluster size moves. */
  #compressed(hi: number, lo: number, cluster: number): Extent {
    // 62 - (cluster_bits - 8), from 49 to 61: always in the high half.
    const offsetBits = 70 - this.#clusterBits - 32;
    const descriptor = hi & 0x3fff_ffff;
    const sectors = descriptor >>> offsetBits;
    const hostHi = descriptor & (2 ** offsetBits - 1);
    const host = hostHi * 2 ** 32 + lo;
    const compressedBytes = (sectors + 1) * 512 - (lo & 511);
    if (hostHi > defs.MAX_OFFSET_HI || host >= this.#endBytes() || host < this.clusterBytes)
      throw new CorruptImageError(this.#image, `compressed cluster ${cluster}`, host, 'is not in the file');
    return { kind: 'compressed', clusters: 1, host, copied: false, compressedBytes };
  }

  /** Sets the entry of a guest cluster; `host` 0 with `zero` reads as zeros, without it as the backing file. */
  setEntry(table: Table, cluster: number, host: number, zero: boolean, copied = true): void {
    const at = (cluster % this.l2Entries) * defs.ENTRY_BYTES;
    putOffset(table.view, at, host);
    if (host !== 0 && copied) table.view.setUint32(at, table.view.getUint32(at) + defs.ENTRY_COPIED_HI);
    if (zero) table.view.setUint32(at + 4, table.view.getUint32(at + 4) | defs.ENTRY_ZERO_LO);
    this.l2.markDirty(table, at, at + defs.ENTRY_BYTES);
  }

  /** A cluster is aligned, is not the header, and begins inside the file. The last may be shorter than a cluster. */
  #requireCluster(what: string, offset: number): void {
    if (offset % this.clusterBytes === 0 && offset < this.#endBytes() && offset !== 0) return;
    throw new CorruptImageError(this.#image, what, offset, 'is no cluster of the file');
  }
}

/** Bits 9 to 55; one that is no safe integer is beyond the end of every file. */
const offsetOf = (hi: number, lo: number): number =>
  (hi & defs.ENTRY_OFFSET_HI) * 2 ** 32 + ((lo & defs.ENTRY_OFFSET_LO) >>> 0);
