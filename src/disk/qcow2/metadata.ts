/**
 * All metadata of an image, changed by one at a time and written in an order that a crash cannot break.
 *
 * A commit writes in three steps, with a flush of the host's file behind each:
 *
 * 1. counts of references, L2 tables that nothing points to yet; the data of new clusters was written before,
 * 2. the entries that make new blocks of counts reachable (seldom needed),
 * 3. L2 entries and L1 entries, which make everything reachable.
 *
 * So whatever is reachable is whole and counted, at every moment and whichever writes of an unfinished step reached the disk. A cluster
 * that step 3 gave up keeps its count until that step is durable, and until the requests that looked it up before have ended: then
 * its space goes back to the host and its count down. A crash before that leaks it, which is all that a crash can do.
 *
 * @module
 */
import type { ImageFile } from '../image-file.ts';
import { ENTRY_BYTES, HeaderField } from './defs.ts';
import type { InFlight } from './in-flight.ts';
import { CorruptImageError, type Mapping } from './mapping.ts';
import { type Allocation, type ClusterRun, putOffset, type Refcounts } from './refcounts.ts';
import { Table } from './table-cache.ts';

/** Runs of given-up clusters that are remembered before a commit is due: discards alone must not fill the memory. */
const MAX_PENDING_FREES = 4096;

export class Metadata {
  readonly mapping: Mapping;
  readonly refcounts: Refcounts;
  readonly #file: ImageFile;
  readonly #inFlight: InFlight;
  /** The end of the work that was queued last. */
  #queue: Promise<unknown> = Promise.resolve();
  /** Given up in memory; the file may still refer to them. */
  #frees: ClusterRun[] = [];
  /** The end of the last round of `#release`. */
  #releases: Promise<void> = Promise.resolve();

  constructor(file: ImageFile, mapping: Mapping, refcounts: Refcounts, inFlight: InFlight) {
    this.#file = file;
    this.mapping = mapping;
    this.refcounts = refcounts;
    this.#inFlight = inFlight;
  }

  /** Something is to be written. */
  get changed(): boolean {
    return this.mapping.changed || this.refcounts.changed || this.#frees.length > 0;
  }

  /** Runs `work` when all work before it is done. Whatever changes metadata runs in here. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }

  /** Takes 1 to `wanted` clusters in one run. Exclusive. */
  async allocate(wanted: number): Promise<Allocation> {
    const run = await this.refcounts.allocate(wanted);
    this.requireUnprotected('a free cluster', run.first * this.mapping.clusterBytes, run.count);
    return run;
  }

  /** Gives clusters up: after the next commit they are released. Exclusive. */
  free(run: ClusterRun): void {
    const last = this.#frees.at(-1);
    if (last !== undefined && last.first + last.count === run.first) {
      this.#frees[this.#frees.length - 1] = { first: last.first, count: last.count + run.count };
    } else this.#frees.push(run);
  }

  /** Takes back what `allocate` gave and nothing ever referred to. Exclusive. */
  async unallocate(run: ClusterRun): Promise<void> {
    for (let cluster = run.first; cluster < run.first + run.count; cluster++) await this.refcounts.set(cluster, 0);
  }

  /**
   * Throws CorruptImageError when clusters hold metadata: an image that maps its own tables into the disk would let a guest
   * rewrite them.
   */
  requireUnprotected(what: string, offset: number, clusters: number): void {
    const { clusterBytes, l1Offset, l1Entries, l2 } = this.mapping;
    const end = offset + clusters * clusterBytes;
    const { first, count } = this.refcounts.tableRun;
    let overlapped: string | undefined;
    if (offset < clusterBytes) overlapped = 'the header';
    else if (offset < l1Offset + l1Entries * ENTRY_BYTES && l1Offset < end) overlapped = 'the L1 table';
    else if (offset < (first + count) * clusterBytes && first * clusterBytes < end) overlapped = 'the refcount table';
    for (let at = offset; at < end && overlapped === undefined; at += clusterBytes) {
      if (l2.has(at)) overlapped = 'an L2 table';
      else if (this.refcounts.cache.has(at)) overlapped = 'a refcount block';
    }
    if (overlapped !== undefined) throw new CorruptImageError(this.#file.name, what, offset, `is ${overlapped}`);
  }

  /** The L2 table of a guest cluster, made when there is none, copied when a snapshot has it too. Exclusive. */
  async writableTable(cluster: number): Promise<Table> {
    const { mapping } = this;
    const index = Math.floor(cluster / mapping.l2Entries);
    const { offset, copied } = mapping.l1Entry(index);
    if (offset !== 0 && copied) return mapping.l2.load(offset);
    const old = offset === 0 ? undefined : await mapping.l2.load(offset);
    const run = await this.allocate(1);
    const table = new Table(
      run.first * mapping.clusterBytes,
      old?.bytes.slice() ?? new Uint8Array(mapping.clusterBytes),
    );
    mapping.l2.markDirty(table, 0, mapping.clusterBytes);
    mapping.newTables.add(table);
    mapping.setL1Entry(index, table.offset);
    if (offset !== 0) this.free({ first: offset / mapping.clusterBytes, count: 1 });
    return table;
  }

  /** Commits when so much has changed that memory calls for it. Exclusive. */
  async commitWhenCrowded(): Promise<void> {
    const { mapping, refcounts } = this;
    if (mapping.l2.crowded || refcounts.cache.crowded || this.#frees.length > MAX_PENDING_FREES) await this.commit();
  }

  /** Makes all changes durable, and all data that was written before. Exclusive. After a failure everything is still to be written. */
  async commit(): Promise<void> {
    const { mapping, refcounts } = this;
    if (refcounts.changed || mapping.changed) {
      await refcounts.writeBlocks();
      for (const table of mapping.newTables) await mapping.l2.write(table);
      await this.#file.flush();
      refcounts.blocksDurable();
      mapping.l2.markClean(mapping.newTables);
      mapping.newTables.clear();
    }
    if (refcounts.tableChanged) {
      await refcounts.writeTable();
      if (refcounts.movedTable !== undefined) await this.#pointToRefcountTable(refcounts.movedTable);
      await this.#file.flush();
      for (const run of refcounts.tableDurable()) this.free(run);
    }
    if (mapping.changed) {
      for (const table of mapping.l2.dirty) await mapping.l2.write(table);
      await this.#writeL1();
    }
    await this.#file.flush();
    mapping.l2.markClean(mapping.l2.dirty);
    mapping.dirtyL1.clear();
    this.#startRelease();
  }

  /** Waits until every cluster that a commit gave up is free. Not exclusive. */
  released(): Promise<void> {
    return this.#releases;
  }

  async #writeL1(): Promise<void> {
    const bytes = this.mapping.l1Bytes();
    for (const index of this.mapping.dirtyL1) {
      const at = index * ENTRY_BYTES;
      await this.#file.write(this.mapping.l1Offset + at, [bytes.subarray(at, at + ENTRY_BYTES)]);
    }
  }

  /** One write inside one sector: the header has the old place or the new. */
  async #pointToRefcountTable(moved: { readonly offset: number; readonly clusters: number }): Promise<void> {
    const fields = new Uint8Array(12);
    const view = new DataView(fields.buffer);
    putOffset(view, 0, moved.offset);
    view.setUint32(8, moved.clusters);
    await this.#file.write(HeaderField.refcount_table_offset, [fields]);
  }

  #startRelease(): void {
    const runs = this.#frees;
    if (runs.length === 0) return;
    this.#frees = [];
    const earlier = this.#releases.catch(() => undefined);
    this.#releases = earlier.then(async () => {
      await this.#inFlight.drained();
      for (const run of runs) await this.#release(run);
    });
    // Whoever closes the image waits for it and hears of a failure; until then the clusters are merely not free.
    this.#releases.catch(() => undefined);
  }

  /** Lowers the counts; clusters that nobody refers to any more become holes before they become free. */
  async #release(run: ClusterRun): Promise<void> {
    const { clusterBytes, l2 } = this.mapping;
    const unused = await this.exclusive(async () => {
      const last: number[] = [];
      for (let cluster = run.first; cluster < run.first + run.count; cluster++) {
        const count = await this.refcounts.count(cluster);
        if (count === 1) last.push(cluster);
        else if (count > 1) await this.refcounts.set(cluster, count - 1);
      }
      return last;
    });
    for (let index = 0; index < unused.length; ) {
      const first = unused[index] ?? 0;
      let count = 1;
      while (unused[index + count] === first + count) count++;
      // A host that refuses keeps the space; free the clusters are all the same.
      await this.#file.punchHole?.(first * clusterBytes, count * clusterBytes).catch(() => undefined);
      index += count;
    }
    await this.exclusive(async () => {
      for (const cluster of unused) {
        l2.drop(cluster * clusterBytes);
        await this.refcounts.set(cluster, 0);
      }
    });
  }
}
