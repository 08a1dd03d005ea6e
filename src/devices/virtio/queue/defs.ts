/**
 * Numbers of split (VIRTIO 1.2, 2.7) and packed (2.8) virtqueues, in the specification's spelling. Offsets are in bytes.
 *
 * @module
 */

/** The greatest queue size of either format. */
export const VIRTQ_MAX_SIZE = 32768;

/** Descriptors are 16 bytes in both formats: address and length, then flags and next, or buffer ID and flags. */
export const VIRTQ_DESC_BYTES = 16;
export const VIRTQ_DESC_LEN = 8;
export const VIRTQ_DESC_FLAGS = 12;
export const VIRTQ_DESC_NEXT = 14;
export const PACKED_DESC_ID = 12;
export const PACKED_DESC_FLAGS = 14;

export const VIRTQ_DESC_F_NEXT = 1;
export const VIRTQ_DESC_F_WRITE = 2;
export const VIRTQ_DESC_F_INDIRECT = 4;
export const VIRTQ_DESC_F_AVAIL: number = 1 << 7;
export const VIRTQ_DESC_F_USED: number = 1 << 15;

/** Split rings: flags, index, then elements. */
export const VIRTQ_AVAIL_F_NO_INTERRUPT = 1;
export const VIRTQ_USED_F_NO_NOTIFY = 1;
export const VIRTQ_AVAIL_IDX = 2;
export const VIRTQ_AVAIL_RING = 4;
export const VIRTQ_USED_IDX = 2;
export const VIRTQ_USED_RING = 4;
export const VIRTQ_USED_ELEM_BYTES = 8;

/** Event suppression structures of packed rings: offset and wrap counter, then flags. */
export const PACKED_EVENT_BYTES = 4;
export const PACKED_EVENT_FLAGS = 2;
export const RING_EVENT_FLAGS_ENABLE = 0;
export const RING_EVENT_FLAGS_DISABLE = 1;
export const RING_EVENT_FLAGS_DESC = 2;
/** The wrap counter's bit beside an offset in the ring. */
export const PACKED_EVENT_WRAP: number = 1 << 15;
