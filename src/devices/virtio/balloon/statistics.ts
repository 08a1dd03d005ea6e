/**
 * What a guest says of its memory (VIRTIO 1.2, section 5.5.6.3): tags and values become named numbers. The values are the
 * guest's word and no more. Unknown tags are passed over, of a tag that comes twice the last counts.
 *
 * @module
 */
import * as B from './defs.ts';

/** Every value is there only when the guest gave it. Values above 2^53 are rounded. */
export interface BalloonStatistics {
  /** Since the guest started. */
  readonly swapInBytes?: number;
  readonly swapOutBytes?: number;
  readonly majorFaults?: number;
  readonly minorFaults?: number;
  /** Not in use for anything. */
  readonly freeBytes?: number;
  readonly totalBytes?: number;
  /** What programs can have without swapping. */
  readonly availableBytes?: number;
  readonly diskCacheBytes?: number;
  readonly hugePageAllocations?: number;
  readonly hugePageFailures?: number;
}

const NAMES: Readonly<Record<number, keyof BalloonStatistics>> = {
  [B.VIRTIO_BALLOON_S_SWAP_IN]: 'swapInBytes',
  [B.VIRTIO_BALLOON_S_SWAP_OUT]: 'swapOutBytes',
  [B.VIRTIO_BALLOON_S_MAJFLT]: 'majorFaults',
  [B.VIRTIO_BALLOON_S_MINFLT]: 'minorFaults',
  [B.VIRTIO_BALLOON_S_MEMFREE]: 'freeBytes',
  [B.VIRTIO_BALLOON_S_MEMTOT]: 'totalBytes',
  [B.VIRTIO_BALLOON_S_AVAIL]: 'availableBytes',
  [B.VIRTIO_BALLOON_S_CACHES]: 'diskCacheBytes',
  [B.VIRTIO_BALLOON_S_HTLB_PGALLOC]: 'hugePageAllocations',
  [B.VIRTIO_BALLOON_S_HTLB_PGFAIL]: 'hugePageFailures',
};

const TWO_32 = 0x1_0000_0000;
/** Room for every tag that there is, and for as many that there may be; what is behind is not read. */
export const MAX_STATISTICS_BYTES: number = 32 * B.BALLOON_STAT_BYTES;

/** An entry that is cut off is none. */
export function parseStatistics(bytes: Uint8Array): BalloonStatistics {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const statistics: { -readonly [K in keyof BalloonStatistics]: BalloonStatistics[K] } = {};
  for (let at = 0; at + B.BALLOON_STAT_BYTES <= bytes.length; at += B.BALLOON_STAT_BYTES) {
    const name = NAMES[view.getUint16(at, true)];
    if (name === undefined) continue;
    const low = view.getUint32(at + B.BALLOON_STAT_VAL, true);
    statistics[name] = low + view.getUint32(at + B.BALLOON_STAT_VAL + 4, true) * TWO_32;
  }
  return statistics;
}
