/**
 * Decompression, which the host lends: Node has it built in, a browser brings its own.
 *
 * Both take hostile input: they reject what is malformed, and what would give more than `limit` bytes.
 *
 * @module
 */

export interface Decompressors {
  /** A raw deflate stream (RFC 1951); bytes behind its end are ignored. */
  inflateRaw(input: Uint8Array, limit: number): Promise<Uint8Array>;
  /** One zstd frame (RFC 8878), and nothing behind it. */
  zstd(input: Uint8Array, limit: number): Promise<Uint8Array>;
}
