/**
 * Numbers of the block device (VIRTIO 1.2, section 5.2), in the specification's spelling. Features are bit numbers, offsets
 * and sizes are in bytes.
 *
 * @module
 */

export const VIRTIO_BLK_F_SEG_MAX = 2;
export const VIRTIO_BLK_F_RO = 5;
export const VIRTIO_BLK_F_BLK_SIZE = 6;
export const VIRTIO_BLK_F_FLUSH = 9;
export const VIRTIO_BLK_F_TOPOLOGY = 10;
export const VIRTIO_BLK_F_MQ = 12;
export const VIRTIO_BLK_F_DISCARD = 13;
export const VIRTIO_BLK_F_WRITE_ZEROES = 14;

/** Requests (5.2.6). */
export const VIRTIO_BLK_T_IN = 0;
export const VIRTIO_BLK_T_OUT = 1;
export const VIRTIO_BLK_T_FLUSH = 4;
export const VIRTIO_BLK_T_GET_ID = 8;
export const VIRTIO_BLK_T_DISCARD = 11;
export const VIRTIO_BLK_T_WRITE_ZEROES = 13;

export const VIRTIO_BLK_S_OK = 0;
export const VIRTIO_BLK_S_IOERR = 1;
export const VIRTIO_BLK_S_UNSUPP = 2;

/** struct virtio_blk_req: type, reserved, sector; then the data; the status is the last byte. */
export const BLK_REQ_HEADER_BYTES = 16;
export const VIRTIO_BLK_ID_BYTES = 20;
/** struct virtio_blk_discard_write_zeroes: sector, number of sectors, flags. */
export const BLK_RANGE_BYTES = 16;
export const BLK_RANGE_SECTORS = 8;
export const BLK_RANGE_FLAGS = 12;
export const VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP = 1;

/** Requests count in these, whatever the block size. */
export const SECTOR_BYTES = 512;

/** struct virtio_blk_config (5.2.4). */
export const BLK_CONFIG_CAPACITY = 0;
export const BLK_CONFIG_SEG_MAX = 12;
export const BLK_CONFIG_BLK_SIZE = 20;
export const BLK_CONFIG_PHYSICAL_BLOCK_EXP = 24;
export const BLK_CONFIG_MIN_IO_SIZE = 26;
export const BLK_CONFIG_NUM_QUEUES = 34;
export const BLK_CONFIG_MAX_DISCARD_SECTORS = 36;
export const BLK_CONFIG_MAX_DISCARD_SEG = 40;
export const BLK_CONFIG_DISCARD_SECTOR_ALIGNMENT = 44;
export const BLK_CONFIG_MAX_WRITE_ZEROES_SECTORS = 48;
export const BLK_CONFIG_MAX_WRITE_ZEROES_SEG = 52;
export const BLK_CONFIG_WRITE_ZEROES_MAY_UNMAP = 56;
export const BLK_CONFIG_BYTES = 60;
