/**
 * Requests to a pmem device (VIRTIO 1.2, section 5.19.6): a chain of buffers becomes a checked value. Does no I/O.
 *
 * @module
 */
import type { Chain } from '../queue/chain.ts';
import { PMEM_REQ_BYTES, PMEM_RESP_BYTES, VIRTIO_PMEM_REQ_TYPE_FLUSH } from './defs.ts';

/** A flush, or what is wrong with the request. */
export type PmemRequest =
  | 'flush'
  | 'request-too-short'
  | 'type-unknown'
  /** It cannot even be answered. */
  | 'response-too-short';

const request = new DataView(new ArrayBuffer(PMEM_REQ_BYTES));
const requestBytes = new Uint8Array(request.buffer);

/** The request is copied once; framing is the driver's choice (2.7.4.1). */
export function parseRequest(chain: Chain): PmemRequest {
  if (chain.writableBytes < PMEM_RESP_BYTES) return 'response-too-short';
  if (chain.read(0, requestBytes) < PMEM_REQ_BYTES) return 'request-too-short';
  return request.getUint32(0, true) === VIRTIO_PMEM_REQ_TYPE_FLUSH ? 'flush' : 'type-unknown';
}
