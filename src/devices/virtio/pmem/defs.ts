/**
 * Numbers of the pmem device (VIRTIO 1.2, section 5.19), in the specification's spelling where it has one.
 *
 * @module
 */

/** struct virtio_pmem_config: the guest-physical range. */
export const PMEM_CONFIG_START = 0;
export const PMEM_CONFIG_SIZE = 8;
export const PMEM_CONFIG_BYTES = 16;

/** struct virtio_pmem_req: a type of 32 bits. */
export const PMEM_REQ_BYTES = 4;
export const VIRTIO_PMEM_REQ_TYPE_FLUSH = 0;

/** struct virtio_pmem_resp: a result of 32 bits, of which drivers know zero from anything else. Names as in crosvm. */
export const PMEM_RESP_BYTES = 4;
export const VIRTIO_PMEM_RESP_TYPE_OK = 0;
export const VIRTIO_PMEM_RESP_TYPE_EIO = 1;
