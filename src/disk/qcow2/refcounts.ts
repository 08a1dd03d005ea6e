/**
 * The reference counts of an image's clusters (QEMU, docs/interop/qcow2, "Host cluster management"): a table of blocks of
 * counts, the search for free clusters in them, and their growth at the end of the file.
 *
 * All changes are made in memory, by one caller at a time; `commit.ts` writes them in an order that survives a crash. The
 * work of one allocation is bounded, whatever an image claims.
 *
 * @module
 */
import { DiskFormatError } from '../disk-format-error.ts';
import type { ImageFile } from '../image-file.ts';
import { ENTRY_BYTES, ENTRY_OFFSET_LO, MAX_OFFSET_HI, MAX_REFCOUNT_TABLE_BYTES } from './defs.ts';
import { Table, TableCache } from './table-cache.ts';

/** Refcount blocks that one allocation looks through for a free cluster before it takes one at the end of the file. */
const SEARCH_BLOCKS = 8;
/** Used clusters past the end of the file that one allocation passes over. */
const SKIP_LIMIT = 1 << 16;

/** Clusters one after the other. */
export interface ClusterRun {
  readonly first: number;
  readonly count: number;
}

export interface Allocation extends ClusterRun {
  /** Nothing was ever written there: all of it reads as zeros. */
  readonly fresh: boolean;
}

export interface RefcountParameters {
  readonly clusterBits: number;
  readonly refcountOrder: number;
  readonly tableOffset: number;
  readonly tableClusters: number;
  /** Most blocks that are kept in memory. */
  readonly cacheTables: number;
}

export class Refcounts {
  readonly cache: TableCache;
  readonly blockEntries: number;
  readonly #file: ImageFile;
  readonly #image: string;
  readonly #order: number;
  readonly #clusterBytes: number;
  /** The offset of each block, 0 where there is none. */
  #table: Float64Array;
  #tableOffset: number;
  #tableClusters: number;
  /** Entries of the table that differ from the file's. */
  readonly #dirtyEntries = new Set<number>();
  /** The table moves: written to its new place or not yet, and the places it had, at one of which the header points. */
  #move: { readonly from: readonly ClusterRun[]; written: boolean } | undefined;
  /** No cluster below is known to be free. */
  #hint = 0;
  /** Every cluster from here on is free, and was never written. */
  #end: number;
  /** Up to here the counts past the end have been looked at. */
  #checkedTo = 0;

  private constructor(file: ImageFile, parameters: RefcountParameters, table: Float64Array) {
    this.#file = file;
    this.#image = file.name;
    this.#order = parameters.refcountOrder;
    this.#clusterBytes = 2 ** parameters.clusterBits;
    this.blockEntries = 2 ** (parameters.clusterBits + 3 - parameters.refcountOrder);
    this.cache = new TableCache(file, this.#clusterBytes, parameters.cacheTables);
    this.#table = table;
    this.#tableOffset = parameters.tableOffset;
    this.#tableClusters = parameters.tableClusters;
    this.#end = Math.ceil(file.bytes / this.#clusterBytes);
  }

  /** Reads the table. Throws DiskFormatError for a block that is not in the file. */
  static async open(file: ImageFile, parameters: RefcountParameters): Promise<Refcounts> {
    const clusterBytes = 2 ** parameters.clusterBits;
    const bytes = new Uint8Array(parameters.tableClusters * clusterBytes);
    await file.read(parameters.tableOffset, [bytes]);
    const view = new DataView(bytes.buffer);
    const table = new Float64Array(bytes.length / ENTRY_BYTES);
    for (let index = 0; index < table.length; index++) {
      const hi = view.getUint32(index * ENTRY_BYTES);
      const offset = hi * 2 ** 32 + ((view.getUint32(index * ENTRY_BYTES + 4) & ENTRY_OFFSET_LO) >>> 0);
      if (hi > MAX_OFFSET_HI || offset % clusterBytes !== 0 || offset >= Math.max(file.bytes, 1))
        throw new DiskFormatError(file.name, `refcount table entry ${index}`, offset, 'is no cluster of the file');
      table[index] = offset;
    }
    return new Refcounts(file, parameters, table);
  }

  /** The table's place, which only the metadata may be written to. */
  get tableRun(): ClusterRun {
    return { first: this.#tableOffset / this.#clusterBytes, count: this.#tableClusters };
  }

  /** The offset of each block, 0 where there is none. */
  get blocks(): Readonly<Float64Array> {
    return this.#table;
  }

  /** Every cluster from here on is free. */
  get end(): number {
    return this.#end;
  }

  async count(cluster: number): Promise<number> {
    const block = await this.#block(cluster);
    return block === undefined ? 0 : this.#get(block, cluster % this.blockEntries);
  }

  /** Reads the counts of a block by their index in it; undefined when the block does not exist. */
  async reader(blockIndex: number): Promise<((index: number) => number) | undefined> {
    const block = await this.#block(blockIndex * this.blockEntries);
    return block === undefined ? undefined : (index) => this.#get(block, index);
  }

  /** Sets the count of a cluster that has a block, or gets one. */
  async set(cluster: number, count: number): Promise<void> {
    const block = (await this.#block(cluster)) ?? (await this.#addBlock(cluster));
    this.#put(block, cluster % this.blockEntries, count);
    if (count === 0 && cluster < this.#hint) this.#hint = cluster;
  }

  /** Takes at least one and at most `wanted` free clusters in one run, and counts one reference to each. */
  async allocate(wanted: number): Promise<Allocation> {
    for (let blocks = 0; blocks < SEARCH_BLOCKS && this.#hint < this.#end; blocks++) {
      const run = await this.#takeFree(this.#hint, wanted);
      if (run !== undefined) return run;
    }
    return this.allocateAtEnd(wanted);
  }

  /** The first free run in the block of `from`; without one, moves the hint past the block. */
  async #takeFree(from: number, wanted: number): Promise<Allocation | undefined> {
    const block = await this.#block(from);
    const base = from - (from % this.blockEntries);
    const limit = Math.min(base + this.blockEntries, this.#end);
    let first = from;
    // Without a block all is free, but nobody knows why: the end of the file is as good.
    while (first < limit && (block === undefined || this.#get(block, first - base) !== 0)) first++;
    let next = first;
    while (block !== undefined && next < limit && next - first < wanted && this.#get(block, next - base) === 0) {
      this.#put(block, next - base, 1);
      next++;
    }
    this.#hint = next;
    return next === first ? undefined : { first, count: next - first, fresh: false };
  }

  /**
   * Takes clusters in one run past all others. When blocks are missing there, or the table is too short, they go behind the
   * run, and are counted too.
   */
  async allocateAtEnd(wanted: number): Promise<Allocation> {
    await this.#skipUsed(wanted);
    const first = this.#end;
    let blocks: number[] = [];
    let tableClusters = 0;
    // More clusters may need more blocks, which are clusters.
    for (;;) {
      const total = wanted + blocks.length + tableClusters;
      const missing: number[] = [];
      const lastBlock = Math.floor((first + total - 1) / this.blockEntries);
      for (let index = Math.floor(first / this.blockEntries); index <= lastBlock; index++) {
        if ((this.#table[index] ?? 0) === 0) missing.push(index);
      }
      const needed = lastBlock < this.#table.length ? 0 : this.#largerTable(lastBlock + 1);
      if (missing.length === blocks.length && needed === tableClusters) break;
      blocks = missing;
      tableClusters = needed;
    }
    if (tableClusters > 0) this.#moveTable(first + wanted + blocks.length, tableClusters);
    for (const [position, index] of blocks.entries()) this.#insertBlock(index, first + wanted + position);
    this.#end = first + wanted + blocks.length + tableClusters;
    for (let cluster = first; cluster < this.#end; cluster++) {
      const block = await this.#block(cluster);
      if (block === undefined) throw new Error('a refcount block is missing that was just made');
      this.#put(block, cluster % this.blockEntries, 1);
    }
    return { first, count: wanted, fresh: true };
  }

  /** Moves the end past clusters that are counted without being in the file: a crash may leave such. */
  async #skipUsed(wanted: number): Promise<void> {
    let skipped = 0;
    // What goes behind the run is not known yet; a block more than it takes is looked at.
    let cluster = Math.max(this.#end, this.#checkedTo);
    for (; cluster < this.#end + wanted + this.blockEntries; this.#checkedTo = cluster) {
      const block = await this.#block(cluster);
      const next = cluster - (cluster % this.blockEntries) + this.blockEntries;
      if (block !== undefined) {
        for (let index = cluster; index < next; index++) {
          if (this.#get(block, index % this.blockEntries) === 0) continue;
          skipped += index + 1 - this.#end;
          this.#end = index + 1;
        }
      }
      if (skipped > SKIP_LIMIT)
        throw new DiskFormatError(this.#image, 'refcounts', this.#end, 'count clusters beyond the end of the file');
      cluster = next;
    }
  }

  /** Clusters of a table with at least so many entries, with room to grow. */
  #largerTable(entries: number): number {
    const clusters = Math.ceil((Math.max(entries, this.#table.length * 1.5) * ENTRY_BYTES) / this.#clusterBytes);
    const limit = Math.max(1, MAX_REFCOUNT_TABLE_BYTES / this.#clusterBytes);
    if (Math.ceil((entries * ENTRY_BYTES) / this.#clusterBytes) > limit)
      throw new DiskFormatError(
        this.#image,
        'refcount table',
        entries,
        'entries are more than the 8 MiB that are supported',
      );
    return Math.min(clusters, limit);
  }

  #moveTable(firstCluster: number, clusters: number): void {
    const larger = new Float64Array((clusters * this.#clusterBytes) / ENTRY_BYTES);
    larger.set(this.#table);
    this.#move = { from: [...(this.#move?.from ?? []), this.tableRun], written: false };
    this.#table = larger;
    this.#tableOffset = firstCluster * this.#clusterBytes;
    this.#tableClusters = clusters;
  }

  #insertBlock(index: number, cluster: number): Table {
    const block = new Table(cluster * this.#clusterBytes, new Uint8Array(this.#clusterBytes));
    // The cluster may have held something else: all of it is written.
    this.cache.markDirty(block, 0, this.#clusterBytes);
    this.#table[index] = block.offset;
    this.#dirtyEntries.add(index);
    return block;
  }

  /** A block for a cluster inside the file that has none. */
  async #addBlock(cluster: number): Promise<Table> {
    const index = Math.floor(cluster / this.blockEntries);
    if (index >= this.#table.length)
      throw new DiskFormatError(this.#image, 'refcount table', index, 'is beyond its last entry');
    const { first } = await this.allocateAtEnd(1);
    // The allocation may have made the very block.
    return (await this.#block(cluster)) ?? this.#insertBlock(index, first);
  }

  /** The block of a cluster's count. */
  async #block(cluster: number): Promise<Table | undefined> {
    const offset = this.#table[Math.floor(cluster / this.blockEntries)] ?? 0;
    return offset === 0 ? undefined : (this.cache.get(offset) ?? this.cache.load(offset));
  }

  #get({ bytes, view }: Table, index: number): number {
    switch (this.#order) {
      case 3:
        return bytes[index] ?? 0;
      case 4:
        return view.getUint16(index * 2);
      case 5:
        return view.getUint32(index * 4);
      case 6:
        return view.getUint32(index * 8) * 2 ** 32 + view.getUint32(index * 8 + 4);
      default: {
        const width = 1 << this.#order;
        const bit = index * width;
        return ((bytes[bit >> 3] ?? 0) >> (bit & 7)) & ((1 << width) - 1);
      }
    }
  }

  #put(block: Table, index: number, count: number): void {
    const { bytes, view } = block;
    const width = 2 ** this.#order;
    if (count < 0 || count >= 2 ** Math.min(width, 53))
      throw new DiskFormatError(this.#image, 'refcount', count, `does not fit into ${width} bits`);
    const start = Math.floor((index * width) / 8);
    switch (this.#order) {
      case 3:
        bytes[index] = count;
        break;
      case 4:
        view.setUint16(start, count);
        break;
      case 5:
        view.setUint32(start, count);
        break;
      case 6:
        view.setUint32(start, Math.floor(count / 2 ** 32));
        view.setUint32(start + 4, count >>> 0);
        break;
      default: {
        const shift = (index * width) & 7;
        const mask = ((1 << width) - 1) << shift;
        bytes[start] = ((bytes[start] ?? 0) & ~mask) | (count << shift);
      }
    }
    this.cache.markDirty(block, start, start + Math.max(1, width / 8));
  }

  // What commit.ts writes, step by step.

  get changed(): boolean {
    return this.cache.dirty.size > 0 || this.tableChanged;
  }

  get tableChanged(): boolean {
    return this.#dirtyEntries.size > 0 || this.#move !== undefined;
  }

  /** Writes counts, and a table that moves. Nothing points to what is new in them yet. */
  async writeBlocks(): Promise<void> {
    for (const block of this.cache.dirty) await this.cache.write(block);
    if (this.#move?.written === false) {
      const bytes = new Uint8Array(this.#table.length * ENTRY_BYTES);
      const view = new DataView(bytes.buffer);
      for (const [index, offset] of this.#table.entries()) putOffset(view, index * ENTRY_BYTES, offset);
      await this.#file.write(this.#tableOffset, [bytes]);
    }
  }

  /** What `writeBlocks` wrote is durable. */
  blocksDurable(): void {
    this.cache.markClean(this.cache.dirty);
    if (this.#move?.written === false) {
      this.#move.written = true;
      this.#dirtyEntries.clear();
    }
  }

  /** Makes new blocks reachable. */
  async writeTable(): Promise<void> {
    const entry = new Uint8Array(ENTRY_BYTES);
    const view = new DataView(entry.buffer);
    for (const index of this.#dirtyEntries) {
      putOffset(view, 0, this.#table[index] ?? 0);
      await this.#file.write(this.#tableOffset + index * ENTRY_BYTES, [entry]);
    }
  }

  /** The table's new place for the header, or undefined when it did not move. */
  get movedTable(): { readonly offset: number; readonly clusters: number } | undefined {
    return this.#move && { offset: this.#tableOffset, clusters: this.#tableClusters };
  }

  /** What `writeTable` wrote, and the header, is durable. Returns the clusters that a table which moved no longer uses. */
  tableDurable(): readonly ClusterRun[] {
    this.#dirtyEntries.clear();
    const from = this.#move?.from ?? [];
    this.#move = undefined;
    return from;
  }
}

/** Puts an offset into a table. */
export function putOffset(view: DataView, at: number, offset: number): void {
  view.setUint32(at, Math.floor(offset / 2 ** 32));
  view.setUint32(at + 4, offset >>> 0);
}
