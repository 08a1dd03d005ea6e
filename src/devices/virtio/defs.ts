/**
 * Numbers that every virtio device shares (VIRTIO 1.2): identifiers, device status, reserved feature bits. In the
 * specification's spelling; features are bit numbers.
 *
 * @module
 */

/** Device types (5). */
export const VIRTIO_ID_BLOCK = 2;
export const VIRTIO_ID_CONSOLE = 3;
export const VIRTIO_ID_RNG = 4;
export const VIRTIO_ID_BALLOON = 5;
export const VIRTIO_ID_SCSI = 8;
export const VIRTIO_ID_PMEM = 27;

/** Device status (2.1). */
export const VIRTIO_CONFIG_S_ACKNOWLEDGE = 1;
export const VIRTIO_CONFIG_S_DRIVER = 2;
export const VIRTIO_CONFIG_S_DRIVER_OK = 4;
export const VIRTIO_CONFIG_S_FEATURES_OK = 8;
export const VIRTIO_CONFIG_S_NEEDS_RESET = 0x40;
export const VIRTIO_CONFIG_S_FAILED = 0x80;

/** Reserved feature bits (6). */
export const VIRTIO_F_INDIRECT_DESC = 28;
export const VIRTIO_F_EVENT_IDX = 29;
export const VIRTIO_F_VERSION_1 = 32;
export const VIRTIO_F_RING_PACKED = 34;
export const VIRTIO_F_IN_ORDER = 35;

/** A set of feature bits; the transports show it in words of 32. */
export type Features = bigint;

export const features = (...bits: readonly number[]): Features =>
  bits.reduce((set, bit) => set | (1n << BigInt(bit)), 0n);

export const hasFeature = (set: Features, bit: number): boolean => ((set >> BigInt(bit)) & 1n) !== 0n;
