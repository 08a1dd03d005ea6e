/**
 * Reads compressed clusters (QEMU, docs/interop/qcow2, "Compressed Clusters Descriptor"). They are never written: a write to one
 * makes an ordinary cluster of it.
 *
 * @module
 */
import type { Decompressors } from '../decompressors.ts';
import type { ImageFile } from '../image-file.ts';
import { zstdFrameBytes } from '../zstd-frame.ts';
import { CorruptImageError, type Extent } from './mapping.ts';

/** Memory for clusters that were unpacked last: requests are often smaller than a cluster. */
const CACHE_BYTES = 4 * 1024 * 1024;

export class CompressedReader {
  readonly #file: ImageFile;
  readonly #clusterBytes: number;
  readonly #unpack: (input: Uint8Array) => Promise<Uint8Array>;
  /** By their place in the file, the latest last. */
  readonly #cache = new Map<number, Promise<Uint8Array>>();
  readonly #capacity: number;

  constructor(file: ImageFile, clusterBytes: number, compression: 'zlib' | 'zstd', decompressors: Decompressors) {
    this.#file = file;
    this.#clusterBytes = clusterBytes;
    this.#capacity = Math.max(2, CACHE_BYTES / clusterBytes);
    this.#unpack =
      compression === 'zlib'
        ? (input) => decompressors.inflateRaw(input, clusterBytes)
        : (input) => {
            const bytes = zstdFrameBytes(input);
            if (bytes === undefined) throw new Error('there is no whole zstd frame');
            return decompressors.zstd(input.subarray(0, bytes), clusterBytes);
          };
  }

  /** The contents of a compressed cluster, not to be changed. Throws CorruptImageError, or the host's error when reading fails. */
  read(extent: Extent): Promise<Uint8Array> {
    // The length is a part of the key only in images that are wrong; they get what was asked for first.
    const key = extent.host;
    let contents = this.#cache.get(key);
    if (contents === undefined) {
      contents = this.#read(extent);
      contents.catch(() => this.#cache.delete(key));
    } else this.#cache.delete(key);
    this.#cache.set(key, contents);
    if (this.#cache.size > this.#capacity) {
      const [oldest] = this.#cache.keys();
      if (oldest !== undefined) this.#cache.delete(oldest);
    }
    return contents;
  }

  /** Forgets everything: clusters were given up, and their place may serve something else. */
  clear(): void {
    this.#cache.clear();
  }

  async #read({ host, compressedBytes }: Extent): Promise<Uint8Array> {
    const input = new Uint8Array(compressedBytes);
    await this.#file.read(host, [input]);
    let contents: Uint8Array;
    try {
      contents = await this.#unpack(input);
    } catch (error) {
      throw new CorruptImageError(this.#file.name, 'compressed cluster at', host, 'cannot be unpacked', error);
    }
    if (contents.length !== this.#clusterBytes)
      throw new CorruptImageError(
        this.#file.name,
        'compressed cluster at',
        host,
        `has ${contents.length} bytes unpacked`,
      );
    return contents;
  }
}
