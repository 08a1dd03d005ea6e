/**
 * What a cluster of the disk reads as, wherever it is: in the image's file, packed or plain, in the backing file, or nowhere.
 *
 * @module
 */
import { fillZero, scatter, sliceBuffers, totalBytes, type Buffers } from '../buffers.ts';
import type { Disk } from '../disk.ts';
import type { ImageFile } from '../image-file.ts';
import type { CompressedReader } from './compressed.ts';
import type { Extent } from './mapping.ts';

export class ClusterReader {
  readonly #file: ImageFile;
  readonly #clusterBytes: number;
  readonly #backing: Disk | undefined;
  readonly #compressed: CompressedReader;

  constructor(file: ImageFile, clusterBytes: number, backing: Disk | undefined, compressed: CompressedReader) {
    this.#file = file;
    this.#clusterBytes = clusterBytes;
    this.#backing = backing;
    this.#compressed = compressed;
  }

  /** Whether the backing file shows where nothing is mapped. */
  isBacked(offset: number): boolean {
    return offset < (this.#backing?.bytes ?? 0);
  }

  /** Whether an extent reads as zeros at an offset of the disk without anything being read. */
  isZero(extent: Extent, offset: number): boolean {
    return extent.kind === 'zero' || (extent.kind === 'unallocated' && !this.isBacked(offset));
  }

  /** Fills buffers from an offset of the disk, which lies in the extent. Nothing is returned when nothing is to be waited for. */
  read(extent: Extent, offset: number, into: Buffers): Promise<void> | undefined {
    switch (extent.kind) {
      case 'data':
        return this.#file.read(extent.host + (offset % this.#clusterBytes), into);
      case 'zero':
        fillZero(into);
        return undefined;
      case 'compressed':
        return this.#readCompressed(extent, offset % this.#clusterBytes, into);
      case 'unallocated':
        return this.#readBacking(offset, into);
    }
  }

  /** Compressed clusters were given up: their place in the file may serve something else. */
  forgetCompressed(): void {
    this.#compressed.clear();
  }

  async #readCompressed(extent: Extent, skip: number, into: Buffers): Promise<void> {
    const contents = await this.#compressed.read(extent);
    scatter(contents.subarray(skip), into);
  }

  /** Past the end of the backing file there are zeros. */
  #readBacking(offset: number, into: Buffers): Promise<void> | undefined {
    const bytes = totalBytes(into);
    const there = Math.max(0, Math.min(bytes, (this.#backing?.bytes ?? 0) - offset));
    fillZero(sliceBuffers(into, there, bytes - there));
    return there === 0 ? undefined : this.#backing?.read(offset, sliceBuffers(into, 0, there));
  }
}
