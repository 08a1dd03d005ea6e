/**
 * A qcow2 image, version 2 or 3, as a disk (QEMU, docs/interop/qcow2). Requests run side by side: what is mapped is read and
 * written at once, what needs new clusters holds its range of the disk meanwhile, and metadata is changed by one at a time.
 *
 * Writes to the image are refused when its corrupt bit is set, or once its tables contradict themselves; then the bit is set.
 * Internal snapshots are kept, neither shown nor made. Encryption, external data files and subclusters: see `header.ts`.
 *
 * @module
 */
import {
  allSettled,
  ReadOnlyDiskError,
  requireOnDisk,
  sliceBuffers,
  totalBytes,
  zeroBuffers,
  type Buffers,
} from '../buffers.ts';
import type { Decompressors } from '../decompressors.ts';
import type { Disk } from '../disk.ts';
import { DiskFormatError } from '../disk-format-error.ts';
import type { ImageFile, SparseDisk } from '../image-file.ts';
import { RangeLock } from '../range-lock.ts';
import { ClusterChanges } from './cluster-changes.ts';
import { ClusterReader } from './cluster-reader.ts';
import { CompressedReader } from './compressed.ts';
import { ENTRY_BYTES, HeaderField, INCOMPAT_CORRUPT, V2_HEADER_BYTES } from './defs.ts';
import { headerBytes, parseHeader, type Qcow2Header } from './header.ts';
import { InFlight } from './in-flight.ts';
import { CorruptImageError, Mapping, type Extent } from './mapping.ts';
import { Metadata } from './metadata.ts';
import { Refcounts } from './refcounts.ts';
import { growL1, writeDiskBytes } from './resize.ts';
import type { Table } from './table-cache.ts';

/** Memory for L2 tables and for blocks of refcounts, each. */
const CACHE_BYTES = 8 * 1024 * 1024;
const MIN_CACHE_TABLES = 8;
/** Most clusters that one step of a write makes: what it holds up others for, and the memory that it takes, stay small. */
const MAX_STEP_BYTES = 4 * 1024 * 1024;

/** How a range of the disk is stored. */
export interface StoredRange {
  readonly bytes: number;
  /** In this image, as zeros by this image, or not in this image. */
  readonly kind: 'data' | 'zero' | 'unallocated';
}

export class Qcow2Image implements Disk, SparseDisk {
  readonly name: string;
  readonly readOnly: boolean;
  readonly header: Qcow2Header;
  readonly backing: Disk | undefined;
  readonly clusterBytes: number;
  readonly metadata: Metadata;
  readonly file: ImageFile;
  readonly #ranges = new RangeLock();
  readonly #inFlight: InFlight;
  readonly #reader: ClusterReader;
  readonly #changes: ClusterChanges;
  #bytes: number;
  /** The end of the last resize: they come one after the other. */
  #resizes: Promise<void> = Promise.resolve();
  /** Why nothing may be written. */
  #corrupt: string | undefined;
  /** Set when the first write began: what is to be done before it. */
  #prepared: Promise<void> | undefined;

  private constructor(file: ImageFile, header: Qcow2Header, backing: Disk | undefined, parts: Parts) {
    this.name = file.name;
    this.readOnly = file.readOnly;
    this.file = file;
    this.header = header;
    this.backing = backing;
    this.clusterBytes = 2 ** header.clusterBits;
    this.metadata = parts.metadata;
    this.#inFlight = parts.inFlight;
    this.#reader = parts.reader;
    this.#changes = new ClusterChanges(parts.metadata, this.#ranges, parts.reader, header.version);
    this.#bytes = header.diskBytes;
  }

  /** Reads an image's header, from which the caller learns what backing file to open. Throws DiskFormatError. */
  static async readHeader(file: ImageFile): Promise<Qcow2Header> {
    const start = new Uint8Array(Math.min(file.bytes, V2_HEADER_BYTES));
    await file.read(0, [start]);
    const cluster = new Uint8Array(Math.min(file.bytes, headerBytes(start, file.name)));
    await file.read(0, [cluster]);
    return parseHeader(cluster, file.bytes, file.name);
  }

  /**
   * Opens an image whose header is read already, over its backing file. Closing it closes both. A dirty image may be opened for
   * writing only to repair it (`check.ts`). Throws DiskFormatError.
   */
  static async open(
    file: ImageFile,
    header: Qcow2Header,
    backing: Disk | undefined,
    decompressors: Decompressors,
  ): Promise<Qcow2Image> {
    if (header.corrupt && !file.readOnly)
      throw new DiskFormatError(file.name, 'incompatible feature', 'corrupt bit', 'allows only reading');
    const l1 = new Uint8Array(header.l1Entries * ENTRY_BYTES);
    await file.read(header.l1Offset, [l1]);
    const clusterBytes = 2 ** header.clusterBits;
    const cacheTables = Math.max(MIN_CACHE_TABLES, CACHE_BYTES / clusterBytes);
    const refcounts = await Refcounts.open(file, {
      clusterBits: header.clusterBits,
      refcountOrder: header.refcountOrder,
      tableOffset: header.refcountTableOffset,
      tableClusters: header.refcountTableClusters,
      cacheTables,
    });
    const inFlight = new InFlight();
    const mapping = new Mapping(file, header, l1, cacheTables, () => refcounts.end * clusterBytes);
    const compressed = new CompressedReader(file, clusterBytes, header.compression, decompressors);
    return new Qcow2Image(file, header, backing, {
      metadata: new Metadata(file, mapping, refcounts, inFlight),
      inFlight,
      reader: new ClusterReader(file, clusterBytes, backing, compressed),
    });
  }

  get bytes(): number {
    return this.#bytes;
  }

  async read(offset: number, into: Buffers): Promise<void> {
    const bytes = totalBytes(into);
    requireOnDisk(this, offset, bytes);
    const leave = this.#inFlight.enter();
    const operations: Promise<void>[] = [];
    try {
      for (let done = 0; done < bytes; ) {
        const at = offset + done;
        const table = this.#cachedTable(at);
        const extent = this.#extent(table === undefined ? await this.#table(at) : table, at, bytes - done);
        const take = Math.min(bytes - done, extent.clusters * this.clusterBytes - (at % this.clusterBytes));
        const operation = this.#reader.read(extent, at, sliceBuffers(into, done, take));
        if (operation !== undefined) operations.push(operation);
        done += take;
      }
    } finally {
      await allSettled(operations).finally(leave);
    }
  }

  async write(offset: number, from: Buffers): Promise<void> {
    const bytes = totalBytes(from);
    requireOnDisk(this, offset, bytes);
    await this.#modify(async () => {
      for (let done = 0; done < bytes; ) {
        const at = offset + done;
        const table = this.#cachedTable(at);
        const extent = this.#extent(table === undefined ? await this.#table(at) : table, at, bytes - done);
        if (extent.kind === 'data' && extent.copied) {
          const skip = at % this.clusterBytes;
          const take = Math.min(bytes - done, extent.clusters * this.clusterBytes - skip);
          this.metadata.requireUnprotected('a cluster of the disk', extent.host, extent.clusters);
          await this.file.write(extent.host + skip, sliceBuffers(from, done, take));
          done += take;
        } else done += await this.#writeNew(at, from, done, bytes - done);
      }
    });
  }

  async flush(): Promise<void> {
    if (this.readOnly) return;
    if (!this.metadata.changed) return this.file.flush();
    this.#requireSound();
    await this.metadata.exclusive(() => this.metadata.commit());
  }

  async discard(offset: number, bytes: number): Promise<void> {
    requireOnDisk(this, offset, bytes);
    const [first, end] = this.#wholeClusters(offset, bytes);
    await this.#modify(() =>
      this.#changes.each(first, end, false, (table, each) => this.#changes.discard(table, each)),
    );
  }

  async writeZeroes(offset: number, bytes: number, unmap: boolean): Promise<void> {
    requireOnDisk(this, offset, bytes);
    const [firstWhole, endWhole] = this.#wholeClusters(offset, bytes);
    const end = offset + bytes;
    const first = Math.min(end, firstWhole * this.clusterBytes);
    const last = Math.max(first, Math.min(end, endWhole * this.clusterBytes));
    await this.#modify(async () => {
      await this.#writeExplicitZeroes(offset, first - offset);
      // Version 2 cannot say "zeros" where a backing file shows.
      if (this.header.version === 2 && this.backing !== undefined) await this.#writeExplicitZeroes(first, last - first);
      else
        await this.#changes.each(firstWhole, endWhole, true, (table, each) => this.#changes.zero(table, each, unmap));
      await this.#writeExplicitZeroes(last, end - last);
    });
  }

  readonly resize = async (bytes: number): Promise<void> => {
    if (!Number.isSafeInteger(bytes) || bytes < 0) throw new RangeError(`${this.name}: ${bytes} is no size`);
    if (this.header.snapshots > 0)
      throw new DiskFormatError(this.name, 'nb_snapshots', this.header.snapshots, 'must be 0 to change the size');
    const turn = this.#resizes.then(() => (bytes > this.#bytes ? this.#grow(bytes) : this.#shrink(bytes)));
    this.#resizes = turn.catch(() => undefined);
    await turn;
  };

  async #grow(bytes: number): Promise<void> {
    const { file, header, metadata } = this;
    const old = this.#bytes;
    await this.#modify(() => metadata.exclusive(() => growL1(file, metadata, header.clusterBits, bytes)));
    this.#bytes = bytes;
    try {
      // The last cluster may hold anything past the old end, and a backing file may be longer.
      await this.writeZeroes(old, bytes - old, true);
      await this.flush();
      await writeDiskBytes(file, bytes);
    } catch (error) {
      this.#bytes = old;
      throw error;
    }
  }

  /** First nobody may use what goes, then it goes, then the header says so. */
  async #shrink(bytes: number): Promise<void> {
    if (bytes === this.#bytes) return;
    await this.#modify(async () => {
      const release = await this.#ranges.acquire(0, Infinity);
      const end = Math.ceil(this.#bytes / this.clusterBytes);
      this.#bytes = bytes;
      release();
      await this.#changes.each(Math.ceil(bytes / this.clusterBytes), end, false, (table, cluster) =>
        this.#changes.replace(table, cluster, 0, false),
      );
      await this.flush();
      await writeDiskBytes(this.file, bytes);
    });
  }

  /** How the range from `offset` is stored: as much of `limit` as is alike. */
  async stored(offset: number, limit: number): Promise<StoredRange> {
    requireOnDisk(this, offset, limit);
    const { kind, clusters } = this.#extent(await this.#table(offset), offset, limit);
    const bytes = Math.min(limit, clusters * this.clusterBytes - (offset % this.clusterBytes));
    return { bytes, kind: kind === 'compressed' ? 'data' : kind };
  }

  async nextData(offset: number): Promise<number> {
    for (let at = offset; at < this.#bytes; ) {
      const extent = this.#extent(await this.#table(at), at, this.#bytes - at);
      if (!this.#reader.isZero(extent, at)) return at;
      at = (Math.floor(at / this.clusterBytes) + extent.clusters) * this.clusterBytes;
    }
    return this.#bytes;
  }

  /** Gives up what the image holds: all of the disk reads as the backing file. */
  async forgetAll(): Promise<void> {
    await this.#modify(async () => {
      await this.#changes.each(0, Math.ceil(this.#bytes / this.clusterBytes), false, (table, cluster) =>
        this.#changes.replace(table, cluster, 0, false),
      );
      await this.metadata.exclusive(() => this.metadata.commit());
    });
  }

  async close(): Promise<void> {
    try {
      if (!this.readOnly && this.#corrupt === undefined) {
        await this.flush();
        await this.metadata.released();
        if (this.metadata.changed) await this.flush();
      }
    } finally {
      await allSettled([this.file.close(), ...(this.backing === undefined ? [] : [this.backing.close()])]);
    }
  }

  /** Runs something that changes the image, with what is to be done before and when it fails. */
  async #modify(work: () => Promise<void>): Promise<void> {
    if (this.readOnly) throw new ReadOnlyDiskError(this.name);
    this.#requireSound();
    if (this.header.dirty)
      throw new DiskFormatError(
        this.name,
        'incompatible feature',
        'dirty bit',
        'wants a repair before anything is written',
      );
    this.#prepared ??= this.#clearAutoclear();
    const leave = this.#inFlight.enter();
    try {
      await this.#prepared;
      await work();
    } catch (error) {
      if (error instanceof CorruptImageError) await this.#markCorrupt(error);
      throw error;
    } finally {
      leave();
    }
  }

  /** Features that are only true as long as all writers know them end here ("autoclear_features"). */
  async #clearAutoclear(): Promise<void> {
    if (!this.header.autoclear) return;
    try {
      await this.file.write(HeaderField.autoclear_features, [new Uint8Array(8)]);
      await this.file.flush();
    } catch (error) {
      this.#prepared = undefined;
      throw error;
    }
  }

  #requireSound(): void {
    if (this.#corrupt !== undefined) throw new Error(`${this.name}: nothing is written any more: ${this.#corrupt}`);
  }

  async #markCorrupt(error: CorruptImageError): Promise<void> {
    if (this.#corrupt !== undefined) return;
    this.#corrupt = error.message;
    if (this.header.version === 2) return;
    // The lowest byte of the field. The error itself is what the caller hears of, whether this can be written or not.
    const lowest = Uint8Array.of(INCOMPAT_CORRUPT | (this.header.compression === 'zstd' ? 8 : 0));
    await this.file.write(HeaderField.incompatible_features + 7, [lowest]).catch(() => undefined);
  }

  #cachedTable(offset: number): Table | null | undefined {
    return this.metadata.mapping.cachedTable(Math.floor(offset / this.clusterBytes));
  }

  #table(offset: number): Promise<Table | null> {
    return this.metadata.mapping.table(Math.floor(offset / this.clusterBytes));
  }

  /** What is at an offset of the disk, for at most the clusters that `bytes` touch. */
  #extent(table: Table | null, offset: number, bytes: number): Extent {
    const cluster = Math.floor(offset / this.clusterBytes);
    const last = Math.floor((offset + bytes - 1) / this.clusterBytes);
    return this.metadata.mapping.extent(table, cluster, last - cluster + 1);
  }

  /** Writes the first clusters of what is left of a request to new clusters, or to ones kept for it. Returns how much it wrote. */
  async #writeNew(offset: number, from: Buffers, done: number, left: number): Promise<number> {
    const { clusterBytes, metadata } = this;
    const first = Math.floor(offset / clusterBytes);
    const skip = offset - first * clusterBytes;
    const limit = Math.min(left, Math.max(clusterBytes, MAX_STEP_BYTES) - skip);
    const release = await this.#ranges.acquire(first, Math.floor((offset + limit - 1) / clusterBytes));
    try {
      const extent = this.#extent(await this.#table(offset), offset, limit);
      // Somebody else has just mapped it.
      if (extent.kind === 'data' && extent.copied) return 0;
      const reuse = extent.kind === 'zero' && extent.copied;
      if (reuse) metadata.requireUnprotected('a cluster of the disk', extent.host, extent.clusters);
      const run = reuse
        ? { first: extent.host / clusterBytes, count: extent.clusters, fresh: false }
        : await metadata.exclusive(() => metadata.allocate(extent.clusters));
      const bytes = Math.min(limit, run.count * clusterBytes - skip);
      try {
        const head =
          run.fresh && this.#reader.isZero(extent, offset - skip)
            ? undefined
            : await this.#old(extent, offset - skip, skip);
        const end = offset + bytes;
        const rest = run.count * clusterBytes - skip - bytes;
        const lastCluster = Math.floor((end - 1) / clusterBytes) * clusterBytes;
        const tail = run.fresh && this.#reader.isZero(extent, lastCluster) ? [] : await this.#old(extent, end, rest);
        const data = sliceBuffers(from, done, bytes);
        const host = run.first * clusterBytes;
        if (head === undefined) await this.file.write(host + skip, [...data, ...tail]);
        else await this.file.write(host, [...head, ...data, ...tail]);
        await metadata.exclusive(async () => {
          const table = await metadata.writableTable(first);
          for (let index = 0; index < run.count; index++) {
            this.#changes.replace(table, first + index, (run.first + index) * clusterBytes, false);
          }
        });
      } catch (error) {
        if (!reuse) await metadata.exclusive(() => metadata.unallocate(run));
        throw error;
      }
      await metadata.exclusive(() => metadata.commitWhenCrowded());
      return bytes;
    } finally {
      release();
    }
  }

  /** What a range inside one cluster reads as, and zeros for what is past the end of the disk. */
  async #old(extent: Extent, offset: number, bytes: number): Promise<Buffers> {
    if (bytes === 0) return [];
    const there = Math.max(0, Math.min(bytes, this.#bytes - offset));
    if (there === 0 || this.#reader.isZero(extent, offset)) return zeroBuffers(bytes);
    const buffer = new Uint8Array(there);
    // Where an extent has several clusters, `offset` is in its first or in its last.
    const current = extent.clusters === 1 ? extent : this.#extent(await this.#table(offset), offset, there);
    await this.#reader.read(current, offset, [buffer]);
    return [buffer, ...zeroBuffers(bytes - there)];
  }

  async #writeExplicitZeroes(offset: number, bytes: number): Promise<void> {
    for (let done = 0; done < bytes; ) {
      const at = offset + done;
      const extent = this.#extent(await this.#table(at), at, bytes - done);
      const limit = extent.clusters * this.clusterBytes - (at % this.clusterBytes);
      const take = Math.min(bytes - done, limit, MAX_STEP_BYTES);
      if (!this.#reader.isZero(extent, at)) await this.write(at, zeroBuffers(take));
      done += take;
    }
  }

  /** The clusters that lie in a range as a whole; the last of the disk, which may be shorter, counts as whole. */
  #wholeClusters(offset: number, bytes: number): readonly [first: number, end: number] {
    const first = Math.ceil(offset / this.clusterBytes);
    const last = (offset + bytes) / this.clusterBytes;
    return [first, offset + bytes === this.#bytes ? Math.ceil(last) : Math.floor(last)];
  }
}

interface Parts {
  readonly metadata: Metadata;
  readonly inFlight: InFlight;
  readonly reader: ClusterReader;
}
