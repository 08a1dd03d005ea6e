/**
 * The layout of zstd data (RFC 8878, section 3.1) as far as it says where a frame ends: decompressors want a frame without what
 * lies behind it. Decompresses nothing.
 *
 * @module
 */

export const ZSTD_MAGIC = 0xfd2f_b528;
/** Skippable frames have 16 magic numbers from here on. */
export const ZSTD_SKIPPABLE_MAGIC = 0x184d_2a50;

const BLOCK_RLE = 1;
const BLOCK_RESERVED = 3;

/** The length of the zstd frame at the start of `bytes`; undefined when it is none, or does not end there. */
export function zstdFrameBytes(bytes: Uint8Array): number | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 6 || view.getUint32(0, true) !== ZSTD_MAGIC) return undefined;
  const descriptor = view.getUint8(4);
  const singleSegment = (descriptor & 0x20) !== 0;
  const contentSizeFlag = descriptor >> 6;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const contentSizeBytes = contentSizeFlag === 0 ? (singleSegment ? 1 : 0) : 1 << contentSizeFlag;
  let at = 5 + (singleSegment ? 0 : 1) + dictionaryBytes + contentSizeBytes;
  for (let last = false; !last; ) {
    if (at + 3 > bytes.length) return undefined;
    const header = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    const type = (header >> 1) & 3;
    if (type === BLOCK_RESERVED) return undefined;
    at += 3 + (type === BLOCK_RLE ? 1 : header >> 3);
    last = (header & 1) !== 0;
  }
  if (descriptor & 4) at += 4;
  return at <= bytes.length ? at : undefined;
}
