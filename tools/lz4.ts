/**
 * LZ4 decompression of the legacy frame format that the Linux kernel packs itself with (LZ4 frame format description,
 * "Legacy frame"; LZ4 block format description). Reads whole buffers and checks every bound.
 *
 * @module
 */

export const LZ4_LEGACY_MAGIC = 0x184c2102;
/** What one block of a legacy frame unpacks to at most. */
export const LZ4_LEGACY_BLOCK_BYTES = 8 << 20;

/** Up to this many bytes a loop is faster than a call; Debian's kernel unpacks in about half the time. */
const SHORT_BYTES = 24;
/** A copy from earlier output is at least this long; the format stores lengths less this. */
const MIN_MATCH = 4;

export class Lz4Error extends Error {
  override readonly name = 'Lz4Error';
}

/** Unpacks one block into `into` from `start` on; returns the offset after the last byte written. */
export function decompressLz4Block(block: Uint8Array, into: Uint8Array, start: number): number {
  let from = 0;
  let to = start;
  const lengthFrom = (nibble: number): number => {
    let length = nibble;
    if (nibble < 15) return length;
    for (;;) {
      const byte = block[from++];
      if (byte === undefined) throw new Lz4Error(`a length runs past the end of the block at byte ${from - 1}`);
      length += byte;
      if (byte < 255) return length;
    }
  };
  while (from < block.length) {
    const token = block[from++] ?? 0;
    const literals = lengthFrom(token >> 4);
    if (from + literals > block.length) throw new Lz4Error(`${literals} literals at byte ${from} do not fit the block`);
    if (to + literals > into.length) throw new Lz4Error(`the output is longer than ${into.length} bytes`);
    if (literals <= SHORT_BYTES) for (let i = 0; i < literals; i++) into[to + i] = block[from + i] ?? 0;
    else into.set(block.subarray(from, from + literals), to);
    from += literals;
    to += literals;
    // The last sequence of a block has literals only.
    if (from === block.length) return to;
    if (from + 2 > block.length) throw new Lz4Error(`the block ends inside the offset at byte ${from}`);
    const distance = (block[from] ?? 0) | ((block[from + 1] ?? 0) << 8);
    from += 2;
    const length = lengthFrom(token & 15) + MIN_MATCH;
    if (distance === 0 || distance > to) throw new Lz4Error(`offset ${distance} at output byte ${to} is out of range`);
    if (to + length > into.length) throw new Lz4Error(`the output is longer than ${into.length} bytes`);
    if (distance >= length && length > SHORT_BYTES) {
      into.copyWithin(to, to - distance, to - distance + length);
      to += length;
    } else {
      // A copy that overlaps what it writes repeats the last `distance` bytes.
      for (const end = to + length; to < end; to++) into[to] = into[to - distance] ?? 0;
    }
  }
  return to;
}

/** Unpacks a legacy frame that fills `frame`; the result may not exceed `limitBytes`. */
export function decompressLz4Legacy(frame: Uint8Array, limitBytes: number): Uint8Array {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.length < 4 || view.getUint32(0, true) !== LZ4_LEGACY_MAGIC) {
    throw new Lz4Error('not an LZ4 legacy frame: the magic number is missing');
  }
  const parts: Uint8Array[] = [];
  let total = 0;
  for (let at = 4; at < frame.length; ) {
    if (at + 4 > frame.length) throw new Lz4Error(`the frame ends inside the block size at byte ${at}`);
    const size = view.getUint32(at, true);
    at += 4;
    // Frames may follow one another.
    if (size === LZ4_LEGACY_MAGIC) continue;
    if (size > frame.length - at) throw new Lz4Error(`the block of ${size} bytes at byte ${at} does not fit the frame`);
    const room = Math.min(LZ4_LEGACY_BLOCK_BYTES, limitBytes - total);
    const part = new Uint8Array(room);
    const length = decompressLz4Block(frame.subarray(at, at + size), part, 0);
    parts.push(part.subarray(0, length));
    total += length;
    at += size;
  }
  const whole = new Uint8Array(total);
  let to = 0;
  for (const part of parts) {
    whole.set(part, to);
    to += part.length;
  }
  return whole;
}
