/**
 * Commands as a driver of the SCSI host writes them, and its answers taken apart.
 *
 * @module
 */
import { type Buffer, readableBytes, writable } from '../queue/testing.ts';
import * as S from './defs.ts';

const RESPONSE_BYTES = S.SCSI_RESP_HEADER_BYTES + S.VIRTIO_SCSI_SENSE_DEFAULT_SIZE;

/** A LUN of a target in the address of a request. */
export function scsiAddress(lun: number, target = 0): number[] {
  return [1, target, 0x40 | (lun >> 8), lun & 0xff, 0, 0, 0, 0];
}

export interface CommandParts {
  readonly lun?: number;
  readonly target?: number;
  /** Data for the device. */
  readonly out?: Uint8Array;
  /** Room for data from the device. */
  readonly in?: number;
}

/** struct virtio_scsi_req_cmd with a CDB, and room for the answer, each part in a buffer of its own. */
export function scsiCommand(cdb: readonly number[], parts: CommandParts = {}): Buffer[] {
  const request = new Uint8Array(S.SCSI_REQ_HEADER_BYTES + S.VIRTIO_SCSI_CDB_DEFAULT_SIZE);
  request.set(scsiAddress(parts.lun ?? 0, parts.target));
  request.set(cdb, S.SCSI_REQ_HEADER_BYTES);
  return [
    readableBytes(request),
    ...(parts.out === undefined ? [] : [readableBytes(parts.out)]),
    writable(RESPONSE_BYTES),
    ...(parts.in === undefined ? [] : [writable(parts.in)]),
  ];
}

export interface ScsiAnswer {
  readonly response: number;
  readonly status: number;
  /** Key, code, qualifier; undefined where there is none. */
  readonly sense: readonly number[] | undefined;
  readonly residual: number;
  readonly data: readonly number[];
}

/** `bytes`: what the device may write, up to what it said it has written. */
export function scsiAnswer(bytes: Uint8Array): ScsiAnswer {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const sense = bytes.subarray(S.SCSI_RESP_HEADER_BYTES, RESPONSE_BYTES);
  return {
    response: view.getUint8(S.SCSI_RESP_RESPONSE),
    status: view.getUint8(S.SCSI_RESP_STATUS),
    sense: view.getUint32(S.SCSI_RESP_SENSE_LEN, true) === 0 ? undefined : [sense[2]!, sense[12]!, sense[13]!],
    residual: view.getUint32(S.SCSI_RESP_RESIDUAL, true),
    data: [...bytes.subarray(RESPONSE_BYTES)],
  };
}
