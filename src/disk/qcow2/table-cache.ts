/**
 * Tables of one cluster each, L2 tables or refcount blocks, kept in memory by their offset in the file: read once, changed in
 * memory, written when `commit.ts` says so. The table that was used longest ago goes first; one that holds changes stays.
 *
 * @module
 */
import type { ImageFile } from '../image-file.ts';

/** Tables are written in units of a sector: the host's disk does not tear those. */
const SECTOR_BYTES = 512;

export class Table {
  /** In the image's file. */
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** The bytes that differ from the file's; empty when `dirtyStart` is not below `dirtyEnd`. */
  dirtyStart = 0;
  dirtyEnd = 0;

  constructor(offset: number, bytes: Uint8Array) {
    this.offset = offset;
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get dirty(): boolean {
    return this.dirtyStart < this.dirtyEnd;
  }
}

export class TableCache {
  readonly #file: ImageFile;
  readonly #tableBytes: number;
  readonly #capacity: number;
  /** In order of use, the latest last. */
  readonly #tables = new Map<number, Table>();
  readonly #loading = new Map<number, Promise<Table>>();
  readonly #dirty = new Set<Table>();
  #latest: Table | undefined;

  constructor(file: ImageFile, tableBytes: number, capacity: number) {
    this.#file = file;
    this.#tableBytes = tableBytes;
    this.#capacity = capacity;
  }

  get dirty(): ReadonlySet<Table> {
    return this.#dirty;
  }

  /** Half of the tables hold changes: time to write them, for they cannot be dropped. */
  get crowded(): boolean {
    return this.#dirty.size * 2 >= this.#capacity;
  }

  has(offset: number): boolean {
    return this.#tables.has(offset);
  }

  /** The table when it is in memory. */
  get(offset: number): Table | undefined {
    if (this.#latest?.offset === offset) return this.#latest;
    const table = this.#tables.get(offset);
    if (table === undefined) return undefined;
    this.#tables.delete(offset);
    this.#tables.set(offset, table);
    this.#latest = table;
    return table;
  }

  /** The table, read from the file when it is not in memory. */
  async load(offset: number): Promise<Table> {
    const found = this.get(offset);
    if (found !== undefined) return found;
    let loading = this.#loading.get(offset);
    if (loading === undefined) {
      loading = this.#read(offset).finally(() => this.#loading.delete(offset));
      this.#loading.set(offset, loading);
    }
    return loading;
  }

  async #read(offset: number): Promise<Table> {
    const bytes = new Uint8Array(this.#tableBytes);
    await this.#file.read(offset, [bytes]);
    const table = this.#tables.get(offset) ?? new Table(offset, bytes);
    this.insert(table);
    return table;
  }

  /** Takes a table in, in place of what was known at its offset. */
  insert(table: Table): void {
    this.#tables.delete(table.offset);
    this.#tables.set(table.offset, table);
    this.#latest = table;
    if (this.#tables.size <= this.#capacity) return;
    for (const candidate of this.#tables.values()) {
      if (candidate.dirty || candidate === table) continue;
      this.#tables.delete(candidate.offset);
      if (this.#tables.size <= this.#capacity) break;
    }
  }

  /** Notes that bytes of a table were changed. Nobody else's copy counts from here on. */
  markDirty(table: Table, start: number, end: number): void {
    if (table.dirty) {
      table.dirtyStart = Math.min(table.dirtyStart, start);
      table.dirtyEnd = Math.max(table.dirtyEnd, end);
      return;
    }
    table.dirtyStart = start;
    table.dirtyEnd = end;
    this.#dirty.add(table);
    if (this.#tables.get(table.offset) !== table) this.insert(table);
  }

  /** Writes a table's changes. They count as changes until `markClean`: a write that was not flushed may be lost. */
  write(table: Table): Promise<void> {
    const start = Math.floor(table.dirtyStart / SECTOR_BYTES) * SECTOR_BYTES;
    const end = Math.ceil(table.dirtyEnd / SECTOR_BYTES) * SECTOR_BYTES;
    return this.#file.write(table.offset + start, [table.bytes.subarray(start, end)]);
  }

  markClean(tables: Iterable<Table>): void {
    for (const table of tables) {
      table.dirtyStart = table.dirtyEnd = 0;
      this.#dirty.delete(table);
    }
  }

  /** Forgets a table whose cluster serves something else now. */
  drop(offset: number): void {
    const table = this.#tables.get(offset);
    if (table === undefined) return;
    this.#tables.delete(offset);
    this.#dirty.delete(table);
    if (this.#latest === table) this.#latest = undefined;
  }
}
