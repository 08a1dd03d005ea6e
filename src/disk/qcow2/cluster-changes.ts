/**
 * Changes of whole clusters in the tables: to other places, to zeros, to nothing. What a cluster referred to before is given up.
 *
 * @module
 */
import type { ClusterReader } from './cluster-reader.ts';
import type { Metadata } from './metadata.ts';
import type { RangeLock } from '../range-lock.ts';
import type { Table } from './table-cache.ts';

export class ClusterChanges {
  readonly #metadata: Metadata;
  readonly #ranges: RangeLock;
  readonly #reader: ClusterReader;
  readonly #version: number;

  constructor(metadata: Metadata, ranges: RangeLock, reader: ClusterReader, version: number) {
    this.#metadata = metadata;
    this.#ranges = ranges;
    this.#reader = reader;
    this.#version = version;
  }

  /**
   * Calls `change` for each of the clusters, with its L2 table to be changed. Where there is no table, one is made when
   * `createTables` says so and a backing file shows there; otherwise the clusters are left out.
   */
  async each(
    first: number,
    end: number,
    createTables: boolean,
    change: (table: Table, cluster: number) => void,
  ): Promise<void> {
    const { mapping } = this.#metadata;
    for (let cluster = first; cluster < end; ) {
      const next = Math.min(end, cluster - (cluster % mapping.l2Entries) + mapping.l2Entries);
      const isNeeded = createTables && this.#reader.isBacked(cluster * mapping.clusterBytes);
      if (isNeeded || mapping.l1Entry(Math.floor(cluster / mapping.l2Entries)).offset !== 0) {
        const release = await this.#ranges.acquire(cluster, next - 1);
        try {
          await this.#metadata.exclusive(async () => {
            const table = await this.#metadata.writableTable(cluster);
            for (let each = cluster; each < next; each++) change(table, each);
            await this.#metadata.commitWhenCrowded();
          });
        } finally {
          release();
        }
      }
      cluster = next;
    }
  }

  /** The cluster's contents no longer matter. Exclusive. */
  discard(table: Table, cluster: number): void {
    const { mapping } = this.#metadata;
    const { kind } = mapping.entry(table, cluster % mapping.l2Entries, cluster);
    const isBacked = this.#reader.isBacked(cluster * mapping.clusterBytes);
    // What the image never held it need not give up; and version 2 cannot say "zeros" over a backing file.
    if (kind === 'unallocated' || (isBacked && this.#version === 2)) return;
    this.replace(table, cluster, 0, isBacked);
  }

  /** The cluster reads as zeros; without `unmap` it keeps its place, where the format can say so. Exclusive. */
  zero(table: Table, cluster: number, unmap: boolean): void {
    const { mapping } = this.#metadata;
    const extent = mapping.entry(table, cluster % mapping.l2Entries, cluster);
    if (this.#reader.isZero(extent, cluster * mapping.clusterBytes) && (!unmap || extent.host === 0)) return;
    if (!unmap && this.#version === 3 && extent.copied) mapping.setEntry(table, cluster, extent.host, true);
    // Without a backing file, what is not there reads as zeros in every version.
    else this.replace(table, cluster, 0, this.#reader.isBacked(cluster * mapping.clusterBytes));
  }

  /** Sets an entry and gives up what it referred to. Exclusive. */
  replace(table: Table, cluster: number, host: number, zero: boolean): void {
    const { mapping } = this.#metadata;
    const old = mapping.entry(table, cluster % mapping.l2Entries, cluster);
    mapping.setEntry(table, cluster, host, zero);
    if (old.host === 0 || old.host === host) return;
    const first = Math.floor(old.host / mapping.clusterBytes);
    if (old.kind === 'compressed') {
      this.#reader.forgetCompressed();
      const last = Math.floor((old.host + old.compressedBytes - 1) / mapping.clusterBytes);
      this.#metadata.free({ first, count: last - first + 1 });
    } else this.#metadata.free({ first, count: 1 });
  }
}
