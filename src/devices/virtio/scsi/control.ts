/**
 * Requests in the control queue of the SCSI host device (VIRTIO 1.2, section 5.6.6.2): task management, and notifications, of which
 * none are offered. A chain becomes a value; does nothing.
 *
 * @module
 */
import type { Chain } from '../queue/chain.ts';
import * as S from './defs.ts';
import { type Address, parseAddress } from './request.ts';

export type ControlRequest =
  /** Answered when no command of the LUN, or of all when there is none, is under way any more. */
  | { readonly kind: 'settle'; readonly address: Address | 'all' }
  | { readonly kind: 'notifications'; readonly address: Address }
  | { readonly kind: 'rejected' }
  /** It cannot even be answered, or has no type. */
  | { readonly kind: 'malformed' };

const bytes = new Uint8Array(S.SCSI_TMF_BYTES);
const view = new DataView(bytes.buffer);

export function parseControl(chain: Chain): ControlRequest {
  const length = chain.read(0, bytes);
  if (length < 4 || chain.writableBytes < 1) return { kind: 'malformed' };
  const type = view.getUint32(0, true);
  if (type === S.VIRTIO_SCSI_T_AN_QUERY || type === S.VIRTIO_SCSI_T_AN_SUBSCRIBE) {
    if (length < S.SCSI_AN_BYTES || chain.writableBytes < S.SCSI_AN_ANSWER_BYTES) return { kind: 'malformed' };
    return { kind: 'notifications', address: parseAddress(bytes, 4) };
  }
  if (type !== S.VIRTIO_SCSI_T_TMF || length < S.SCSI_TMF_BYTES) return { kind: 'rejected' };
  switch (view.getUint32(4, true)) {
    case S.VIRTIO_SCSI_T_TMF_ABORT_TASK:
    case S.VIRTIO_SCSI_T_TMF_ABORT_TASK_SET:
    case S.VIRTIO_SCSI_T_TMF_CLEAR_TASK_SET:
    case S.VIRTIO_SCSI_T_TMF_LOGICAL_UNIT_RESET:
      return { kind: 'settle', address: parseAddress(bytes, 8) };
    case S.VIRTIO_SCSI_T_TMF_I_T_NEXUS_RESET:
      return { kind: 'settle', address: 'all' };
    default:
      return { kind: 'rejected' };
  }
}
