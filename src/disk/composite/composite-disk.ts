/**
 * A disk made of parts of others, one behind the other, as a composite description lists them. What lies past the end of a
 * component's disk, but before the next component, reads as zeros and takes no writes.
 *
 * @module
 */
import {
  allSettled,
  fillZero,
  ReadOnlyDiskError,
  requireOnDisk,
  sliceBuffers,
  totalBytes,
  type Buffers,
} from '../buffers.ts';
import type { Disk } from '../disk.ts';
import { pieceAt } from '../read-only.ts';

/** A component that is open. */
export interface Part {
  readonly disk: Disk;
  /** On the composite disk. */
  readonly offset: number;
  /** Where on its own disk it begins. */
  readonly start: number;
}

/** A stretch of a request that lies in one part. */
interface Stretch {
  readonly part: Part;
  /** On the part's disk. */
  readonly offset: number;
  /** In the request. */
  readonly at: number;
  readonly bytes: number;
}

export class CompositeDisk implements Disk {
  readonly name: string;
  readonly bytes: number;
  /** No part may be written to. */
  readonly readOnly: boolean;
  readonly resize = undefined;
  readonly #parts: readonly Part[];
  readonly #starts: Float64Array;

  /** The parts come in the order of their offsets, the first at 0. */
  constructor(name: string, bytes: number, parts: readonly Part[]) {
    this.name = name;
    this.bytes = bytes;
    this.readOnly = parts.every(({ disk }) => disk.readOnly);
    this.#parts = parts;
    this.#starts = Float64Array.from([...parts.map(({ offset }) => offset), bytes]);
  }

  async read(offset: number, into: Buffers): Promise<void> {
    const operations = this.#stretches(offset, totalBytes(into)).map(async ({ part, offset: start, at, bytes }) => {
      const there = Math.max(0, Math.min(bytes, part.disk.bytes - start));
      fillZero(sliceBuffers(into, at + there, bytes - there));
      if (there > 0) await part.disk.read(start, sliceBuffers(into, at, there));
    });
    await allSettled(operations);
  }

  async write(offset: number, from: Buffers): Promise<void> {
    await this.#change(offset, totalBytes(from), ({ part, offset: start, at, bytes }) =>
      part.disk.write(start, sliceBuffers(from, at, bytes)),
    );
  }

  async flush(): Promise<void> {
    await allSettled(this.#parts.map(async ({ disk }) => (disk.readOnly ? undefined : disk.flush())));
  }

  async discard(offset: number, bytes: number): Promise<void> {
    await this.#change(offset, bytes, ({ part, offset: start, bytes: length }) => part.disk.discard(start, length));
  }

  async writeZeroes(offset: number, bytes: number, unmap: boolean): Promise<void> {
    await this.#change(offset, bytes, ({ part, offset: start, bytes: length }) =>
      part.disk.writeZeroes(start, length, unmap),
    );
  }

  async close(): Promise<void> {
    await allSettled(this.#parts.map(({ disk }) => disk.close()));
  }

  /** Nothing of a request is done when one of its stretches may not be written to. */
  async #change(offset: number, bytes: number, change: (stretch: Stretch) => Promise<void>): Promise<void> {
    const stretches = this.#stretches(offset, bytes);
    for (const { part, offset: start, bytes: length } of stretches) {
      if (part.disk.readOnly || start + length > part.disk.bytes) throw new ReadOnlyDiskError(part.disk.name);
    }
    await allSettled(stretches.map(change));
  }

  #stretches(offset: number, bytes: number): Stretch[] {
    requireOnDisk(this, offset, bytes);
    const stretches: Stretch[] = [];
    for (let at = 0, index = pieceAt(this.#starts, offset); at < bytes; index++) {
      const part = this.#parts[index];
      const end = this.#starts[index + 1] ?? 0;
      if (part === undefined) break;
      const length = Math.min(bytes - at, end - (offset + at));
      stretches.push({ part, offset: part.start + offset + at - part.offset, at, bytes: length });
      at += length;
    }
    return stretches;
  }
}
