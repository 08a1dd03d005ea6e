/**
 * Numbers of the memory balloon (VIRTIO 1.2, section 5.5), in the specification's spelling. Features are bit numbers, offsets
 * and sizes in bytes.
 *
 * @module
 */
import { type Features, hasFeature } from '../defs.ts';

export const VIRTIO_BALLOON_F_MUST_TELL_HOST = 0;
export const VIRTIO_BALLOON_F_STATS_VQ = 1;
export const VIRTIO_BALLOON_F_DEFLATE_ON_OOM = 2;
/** The last that version 1.2 has; 3 and 4, free page hints and poison, are not offered. */
export const VIRTIO_BALLOON_F_PAGE_REPORTING = 5;

/** What a page number counts, whatever pages the guest has (5.5.6). */
export const BALLOON_PAGE_BYTES = 4096;
export const PAGE_NUMBER_BYTES = 4;

/** Queues (5.5.2). */
export const INFLATE_QUEUE = 0;
export const DEFLATE_QUEUE = 1;
export const STATISTICS_QUEUE = 2;
export const REPORTING_QUEUE = 4;

/**
 * Where a driver has its queue of reports. Linux numbers only the queues that it negotiated, which leaves out the one of free page
 * hints; the specification counts that too.
 */
export function reportingQueue(negotiated: Features, isEnabled: (queue: number) => boolean): number | undefined {
  if (!hasFeature(negotiated, VIRTIO_BALLOON_F_PAGE_REPORTING)) return undefined;
  if (isEnabled(REPORTING_QUEUE)) return REPORTING_QUEUE;
  return hasFeature(negotiated, VIRTIO_BALLOON_F_STATS_VQ) ? STATISTICS_QUEUE + 1 : STATISTICS_QUEUE;
}

/** struct virtio_balloon_config (5.5.4), without the fields of features that are not offered. */
export const BALLOON_CONFIG_NUM_PAGES = 0;
export const BALLOON_CONFIG_ACTUAL = 4;
export const BALLOON_CONFIG_BYTES = 8;

/** struct virtio_balloon_stat (5.5.6.3): packed, a tag of 16 bits and a value of 64. */
export const BALLOON_STAT_VAL = 2;
export const BALLOON_STAT_BYTES = 10;
/** 5.5.6.4. */
export const VIRTIO_BALLOON_S_SWAP_IN = 0;
export const VIRTIO_BALLOON_S_SWAP_OUT = 1;
export const VIRTIO_BALLOON_S_MAJFLT = 2;
export const VIRTIO_BALLOON_S_MINFLT = 3;
export const VIRTIO_BALLOON_S_MEMFREE = 4;
export const VIRTIO_BALLOON_S_MEMTOT = 5;
export const VIRTIO_BALLOON_S_AVAIL = 6;
export const VIRTIO_BALLOON_S_CACHES = 7;
export const VIRTIO_BALLOON_S_HTLB_PGALLOC = 8;
export const VIRTIO_BALLOON_S_HTLB_PGFAIL = 9;
