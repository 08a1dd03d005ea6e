/**
 * Requests of the SCSI host device (VIRTIO 1.2, sections 5.6.6.1 and 5.6.6.2): whom they are for, and where their parts are. Copies
 * the header once; does no I/O.
 *
 * @module
 */
import type { Chain } from '../queue/chain.ts';
import * as S from './defs.ts';

/** Sizes that the driver may choose. */
export interface ScsiSizes {
  readonly cdbBytes: number;
  readonly senseBytes: number;
}

/** Commands of SCSI are at most that long here: shorter ones are filled up with zeros. */
const CDB_BYTES = 16;
const header = new Uint8Array(S.SCSI_REQ_HEADER_BYTES);

/** A LUN of the one target; or nobody. */
export type Address = { readonly lun: number } | 'bad-target';

/** 5.6.6.1: 1, the target, a LUN of one level. `at` in the bytes. */
export function parseAddress(bytes: Uint8Array, at: number): Address {
  const [bus, target, high = 0, low = 0] = bytes.subarray(at, at + 4);
  if (bus !== 1 || target !== 0) return 'bad-target';
  // Peripheral device addressing of bus 0, or flat space.
  const method = high >> 6;
  if (method > 1 || (method === 0 && high !== 0)) return 'bad-target';
  return { lun: ((high & 0x3f) << 8) | low };
}

export interface ScsiRequest {
  readonly address: Address;
  readonly cdb: DataView;
  /** Where data for the device begins among what it may read, and how much there is. */
  readonly outAt: number;
  readonly outBytes: number;
  /** The same of data from the device. */
  readonly inAt: number;
  readonly inBytes: number;
}

/** Undefined when the chain has no room for the header, the CDB, or an answer. */
export function parseRequest(chain: Chain, { cdbBytes, senseBytes }: ScsiSizes): ScsiRequest | undefined {
  const outAt = S.SCSI_REQ_HEADER_BYTES + cdbBytes;
  const inAt = S.SCSI_RESP_HEADER_BYTES + senseBytes;
  if (chain.readableBytes < outAt || chain.writableBytes < inAt) return undefined;
  chain.read(0, header);
  const cdb = new Uint8Array(CDB_BYTES);
  chain.read(S.SCSI_REQ_HEADER_BYTES, cdb.subarray(0, Math.min(cdbBytes, CDB_BYTES)));
  return {
    address: parseAddress(header, 0),
    cdb: new DataView(cdb.buffer),
    outAt,
    outBytes: chain.readableBytes - outAt,
    inAt,
    inBytes: chain.writableBytes - inAt,
  };
}
