/**
 * Checks an image: counts every reference to every cluster, and compares with the counts that the image keeps. Repairs counts
 * and the COPIED flags that follow from them; tables that point to nonsense are reported, not repaired.
 *
 * An error can destroy data. A leak only takes space. The work is bounded by the length of the file: a table that is referred to
 * often is read once.
 *
 * @module
 */
import type { ImageFile } from '../image-file.ts';
import * as defs from './defs.ts';
import type { Qcow2Image } from './image.ts';
import { CorruptImageError } from './mapping.ts';
import { Table } from './table-cache.ts';

/** Problems that are described; further ones are counted. */
const MAX_DESCRIBED = 50;
/** Counts are kept in pieces, so that a file which is long and empty takes no memory. */
const PIECE_CLUSTERS = 4096;

export type Repair = 'none' | 'leaks' | 'all';

export interface CheckReport {
  readonly errors: number;
  readonly leaks: number;
  readonly repairedErrors: number;
  readonly repairedLeaks: number;
  /** One line each, the first fifty. */
  readonly problems: readonly string[];
  /** Guest clusters that the image holds, those among them that are compressed, and all there are. */
  readonly allocatedClusters: number;
  readonly compressedClusters: number;
  readonly totalClusters: number;
  /** The offset behind the last cluster in use. */
  readonly endBytes: number;
  /** Why leaks were not looked for, when they were not. */
  readonly leaksUnknown?: string;
}

/** References by cluster. */
class ReferenceCounts {
  readonly #pieces = new Map<number, Uint32Array>();
  end = 0;

  add(first: number, count: number, times: number): void {
    for (let cluster = first; cluster < first + count; cluster++) {
      const key = Math.floor(cluster / PIECE_CLUSTERS);
      let piece = this.#pieces.get(key);
      if (piece === undefined) this.#pieces.set(key, (piece = new Uint32Array(PIECE_CLUSTERS)));
      piece[cluster % PIECE_CLUSTERS] = (piece[cluster % PIECE_CLUSTERS] ?? 0) + times;
    }
    this.end = Math.max(this.end, first + count);
  }

  get(cluster: number): number {
    return this.#pieces.get(Math.floor(cluster / PIECE_CLUSTERS))?.[cluster % PIECE_CLUSTERS] ?? 0;
  }

  *used(): IterableIterator<number> {
    for (const [key, piece] of this.#pieces) {
      for (const [index, count] of piece.entries()) if (count > 0) yield key * PIECE_CLUSTERS + index;
    }
  }
}

class Checker {
  readonly #image: Qcow2Image;
  readonly #file: ImageFile;
  readonly #clusterBytes: number;
  readonly references = new ReferenceCounts();
  /** Indices of the blocks of refcounts, each once. */
  readonly blocks = new Set<number>();
  readonly problems: string[] = [];
  errors = 0;
  leaks = 0;
  repairedErrors = 0;
  repairedLeaks = 0;
  allocated = 0;
  compressed = 0;
  leaksUnknown: string | undefined;

  constructor(image: Qcow2Image) {
    this.#image = image;
    this.#file = image.file;
    this.#clusterBytes = image.clusterBytes;
  }

  error(text: string): void {
    this.errors++;
    this.#describe(text);
  }

  #describe(text: string): void {
    if (this.problems.length < MAX_DESCRIBED) this.problems.push(text);
  }

  /** Counts one reference to the clusters of a range, which must lie in the file. */
  #refer(what: string, offset: number, bytes: number, times = 1): boolean {
    const first = Math.floor(offset / this.#clusterBytes);
    const last = Math.floor((offset + Math.max(1, bytes) - 1) / this.#clusterBytes);
    if (last * this.#clusterBytes >= this.#file.bytes) {
      this.error(`${what} at ${offset} lies beyond the end of the file`);
      return false;
    }
    this.references.add(first, last - first + 1, times);
    return true;
  }

  async count(): Promise<void> {
    const { header, metadata } = this.#image;
    const { refcounts, mapping } = metadata;
    this.#refer('the header', 0, this.#clusterBytes);
    const { first, count } = refcounts.tableRun;
    this.#refer('the refcount table', first * this.#clusterBytes, count * this.#clusterBytes);
    const blockOffsets = new Set<number>();
    for (const [index, offset] of refcounts.blocks.entries()) {
      if (offset === 0) continue;
      this.#refer('a refcount block', offset, this.#clusterBytes);
      if (blockOffsets.has(offset))
        this.error(`refcount table entry ${index} shares its block at ${offset} with another`);
      else this.blocks.add(index);
      blockOffsets.add(offset);
    }
    const l1Bytes = mapping.l1Entries * defs.ENTRY_BYTES;
    if (l1Bytes > 0) this.#refer('the L1 table', mapping.l1Offset, l1Bytes);
    /** How often each L2 table is referred to, and whether from the active L1 table. */
    const tables = new Map<number, { times: number; index: number | undefined }>();
    for (let index = 0; index < mapping.l1Entries; index++) {
      const offset = this.#try(() => mapping.l1Entry(index).offset) ?? 0;
      if (offset === 0) continue;
      const known = tables.get(offset);
      if (known === undefined) tables.set(offset, { times: 1, index });
      else {
        known.times++;
        this.error(`L1 entries ${known.index} and ${index} share the L2 table at ${offset}`);
      }
    }
    if (header.snapshots > 0) await this.#countSnapshots(tables);
    if (header.bitmaps) this.leaksUnknown = 'the image has bitmaps, whose clusters are not known here';
    for (const [offset, { times, index }] of tables) await this.#countTable(offset, times, index);
  }

  /** "Snapshots": a table of entries of different lengths, each with an L1 table of its own. */
  async #countSnapshots(tables: Map<number, { times: number; index: number | undefined }>): Promise<void> {
    const { header } = this.#image;
    let at = header.snapshotsOffset;
    let end = at;
    for (let number = 0; number < header.snapshots; number++) {
      const entry = new DataView(await this.#bytes(at, 40));
      const l1Offset = entry.getUint32(0) * 2 ** 32 + entry.getUint32(4);
      const l1Bytes = entry.getUint32(8) * defs.ENTRY_BYTES;
      const variable = entry.getUint16(12) + entry.getUint16(14) + entry.getUint32(36);
      end = at + 40 + variable;
      at += Math.ceil((40 + variable) / 8) * 8;
      if (end > this.#file.bytes || l1Bytes > defs.MAX_L1_BYTES || l1Offset % this.#clusterBytes !== 0) {
        this.error(`snapshot ${number} is malformed`);
        this.leaksUnknown = 'a snapshot cannot be read';
        return;
      }
      if (l1Bytes === 0 || !this.#refer(`the L1 table of snapshot ${number}`, l1Offset, l1Bytes)) continue;
      const l1 = new DataView(await this.#bytes(l1Offset, l1Bytes));
      for (let index = 0; index < l1Bytes; index += defs.ENTRY_BYTES) {
        const hi = l1.getUint32(index) & defs.ENTRY_OFFSET_HI;
        const offset = hi * 2 ** 32 + ((l1.getUint32(index + 4) & defs.ENTRY_OFFSET_LO) >>> 0);
        if (offset === 0) continue;
        if (offset % this.#clusterBytes !== 0 || offset >= this.#file.bytes) {
          this.error(`snapshot ${number} has an L2 table at ${offset}, which is no cluster of the file`);
          continue;
        }
        const known = tables.get(offset);
        if (known === undefined) tables.set(offset, { times: 1, index: undefined });
        else known.times++;
      }
    }
    this.#refer('the snapshot table', header.snapshotsOffset, end - header.snapshotsOffset);
  }

  async #bytes(offset: number, bytes: number): Promise<ArrayBuffer> {
    const buffer = new Uint8Array(bytes);
    await this.#file.read(offset, [buffer]);
    return buffer.buffer;
  }

  async #countTable(offset: number, times: number, index: number | undefined): Promise<void> {
    if (!this.#refer('an L2 table', offset, this.#clusterBytes, times)) return;
    const { mapping } = this.#image.metadata;
    const table = new Table(offset, new Uint8Array(await this.#bytes(offset, this.#clusterBytes)));
    const firstCluster = (index ?? 0) * mapping.l2Entries;
    for (let entry = 0; entry < mapping.l2Entries; entry++) {
      const extent = this.#try(() => mapping.entry(table, entry, firstCluster + entry));
      if (extent === undefined || extent.kind === 'unallocated') continue;
      if (index !== undefined && extent.kind !== 'zero') {
        this.allocated++;
        if (extent.kind === 'compressed') this.compressed++;
      }
      if (extent.host === 0) continue;
      const what = `cluster ${firstCluster + entry}`;
      if (extent.kind === 'compressed') {
        // Whole sectors are counted, and the last may reach past the end of the file.
        const bytes = Math.min(extent.compressedBytes, this.#file.bytes - extent.host);
        this.#refer(what, extent.host, bytes, times);
      } else this.#refer(what, extent.host, this.#clusterBytes, times);
    }
  }

  /** Compares with the image's counts: where it has a block for them, and where there should be one. */
  async compare(repair: Repair): Promise<void> {
    const { refcounts } = this.#image.metadata;
    const { blockEntries } = refcounts;
    for (const index of this.blocks) {
      const read = await refcounts.reader(index);
      if (read === undefined) continue;
      for (let entry = 0; entry < blockEntries; entry++) {
        const cluster = index * blockEntries + entry;
        const actual = read(entry);
        if (actual !== this.references.get(cluster)) await this.#wrongCount(cluster, actual, repair);
      }
    }
    // A new block takes clusters of its own behind all others, which are counted as they are made.
    for (const cluster of this.references.used()) {
      if (!this.blocks.has(Math.floor(cluster / blockEntries))) await this.#wrongCount(cluster, 0, repair);
    }
  }

  async #wrongCount(cluster: number, actual: number, repair: Repair): Promise<void> {
    const expected = this.references.get(cluster);
    const isLeak = actual > expected;
    if (isLeak && this.leaksUnknown !== undefined) return;
    if (isLeak) this.leaks++;
    else this.errors++;
    this.#describe(
      `cluster ${cluster} has the refcount ${actual}, but ${expected} references${isLeak ? ' (leak)' : ''}`,
    );
    if (repair === 'none' || (repair === 'leaks' && !isLeak)) return;
    await this.#image.metadata.refcounts.set(cluster, expected);
    if (isLeak) this.repairedLeaks++;
    else this.repairedErrors++;
  }

  /** COPIED says "exactly one reference", in the active tables. */
  async compareFlags(repair: Repair): Promise<void> {
    const { metadata } = this.#image;
    const { mapping } = metadata;
    const isWrong = (offset: number, copied: boolean): boolean =>
      copied !== (this.references.get(offset / this.#clusterBytes) === 1);
    const seen = new Set<number>();
    for (let index = 0; index < mapping.l1Entries; index++) {
      const l1 = this.#try(() => mapping.l1Entry(index), false);
      if (l1 === undefined || l1.offset === 0 || seen.has(l1.offset)) continue;
      seen.add(l1.offset);
      if (isWrong(l1.offset, l1.copied)) {
        this.error(`L1 entry ${index} has the COPIED flag ${l1.copied ? 'set' : 'clear'} by mistake`);
        if (repair === 'all') {
          mapping.setL1Entry(index, l1.offset, !l1.copied);
          this.repairedErrors++;
        }
      }
      const table = await mapping.l2.load(l1.offset);
      for (let entry = 0; entry < mapping.l2Entries; entry++) {
        const cluster = index * mapping.l2Entries + entry;
        const extent = this.#try(() => mapping.entry(table, entry, cluster), false);
        if (extent === undefined || extent.kind === 'compressed' || extent.host === 0) continue;
        if (!isWrong(extent.host, extent.copied)) continue;
        this.error(`cluster ${cluster} has the COPIED flag ${extent.copied ? 'set' : 'clear'} by mistake`);
        if (repair === 'all') {
          mapping.setEntry(table, cluster, extent.host, extent.kind === 'zero', !extent.copied);
          this.repairedErrors++;
          await metadata.commitWhenCrowded();
        }
      }
    }
  }

  /** What a table says, or undefined when it is nonsense, which is an error of the image. */
  #try<T>(look: () => T, report = true): T | undefined {
    try {
      return look();
    } catch (error) {
      if (!(error instanceof CorruptImageError)) throw error;
      if (report) this.error(error.message);
      return undefined;
    }
  }
}

/**
 * Checks an image that nobody else uses meanwhile, and repairs what `repair` says; the image must be writable for that. An
 * image that is whole afterwards loses its dirty bit. Rejects with the host's error when it cannot be read.
 */
export async function checkQcow2(image: Qcow2Image, repair: Repair): Promise<CheckReport> {
  const { header, metadata, file } = image;
  const checker = new Checker(image);
  await metadata.exclusive(async () => {
    await checker.count();
    await checker.compare(repair);
    await checker.compareFlags(repair);
    if (repair === 'none') return;
    await metadata.commit();
    if (header.dirty && checker.errors === checker.repairedErrors) {
      const lowest = Uint8Array.of(header.compression === 'zstd' ? defs.INCOMPAT_COMPRESSION : 0);
      await file.write(defs.HeaderField.incompatible_features + 7, [lowest]);
      await file.flush();
    }
  });
  return {
    errors: checker.errors,
    leaks: checker.leaks,
    repairedErrors: checker.repairedErrors,
    repairedLeaks: checker.repairedLeaks,
    problems: checker.problems,
    allocatedClusters: checker.allocated,
    compressedClusters: checker.compressed,
    totalClusters: Math.ceil(image.bytes / image.clusterBytes),
    endBytes: checker.references.end * image.clusterBytes,
    ...(checker.leaksUnknown !== undefined && { leaksUnknown: checker.leaksUnknown }),
  };
}
