/**
 * What drivers of a balloon write: lists of page numbers, statistics.
 *
 * @module
 */
import { BALLOON_STAT_BYTES, BALLOON_STAT_VAL } from './defs.ts';

export function pageNumbers(pages: readonly number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(pages.length * 4));
  for (const [n, page] of pages.entries()) view.setUint32(n * 4, page, true);
  return new Uint8Array(view.buffer);
}

export function statistics(...entries: readonly (readonly [tag: number, value: bigint])[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(entries.length * BALLOON_STAT_BYTES));
  for (const [n, [tag, value]] of entries.entries()) {
    view.setUint16(n * BALLOON_STAT_BYTES, tag, true);
    view.setBigUint64(n * BALLOON_STAT_BYTES + BALLOON_STAT_VAL, value, true);
  }
  return new Uint8Array(view.buffer);
}
