/**
 * Block requests (VIRTIO 1.2, section 5.2.6): a chain of buffers becomes a checked value. Does no I/O.
 *
 * The header and the ranges of a discard are copied once; the data is not looked at. Framing is the driver's choice (2.7.4.1):
 * the header may be spread over buffers, the status is the last byte that the device may write.
 *
 * @module
 */
import type { Chain } from '../queue/chain.ts';
import * as B from './defs.ts';

/** A part of the disk, in bytes. */
export interface BlockRange {
  readonly offset: number;
  readonly bytes: number;
  /** The host may have its space back. */
  readonly unmap: boolean;
}

export type BlockRequest =
  /** Into the first `bytes` of the chain's writable part. */
  | { readonly kind: 'read'; readonly offset: number; readonly bytes: number }
  /** From the chain's readable part behind the header. */
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: number }
  | { readonly kind: 'flush' }
  | { readonly kind: 'get-id' }
  | { readonly kind: 'discard' | 'write-zeroes'; readonly ranges: readonly BlockRange[] };

/** What is wrong with a request. */
export type BlockFault =
  | 'header-too-short'
  | 'type-unknown'
  | 'not-negotiated'
  | 'data-no-multiple-of-a-sector'
  | 'out-of-range'
  | 'disk-is-read-only'
  | 'flush-sector-not-zero'
  | 'id-too-short'
  | 'ranges-malformed'
  | 'too-many-ranges'
  | 'range-too-long'
  | 'range-flags-reserved';

/** What requests are held against. */
export interface BlockLimits {
  readonly capacitySectors: number;
  readonly readOnly: boolean;
  readonly canDiscard: boolean;
  readonly canWriteZeroes: boolean;
  readonly maxRanges: number;
  readonly maxRangeSectors: number;
}

export function faultStatus(fault: BlockFault): number {
  switch (fault) {
    case 'type-unknown':
    case 'not-negotiated':
    case 'range-flags-reserved':
      return B.VIRTIO_BLK_S_UNSUPP;
    default:
      return B.VIRTIO_BLK_S_IOERR;
  }
}

const FOUR_GIB = 0x1_0000_0000;
const header = new Uint8Array(B.BLK_REQ_HEADER_BYTES);
const headerView = new DataView(header.buffer);

/** A 64-bit number; above 2^53 it is inexact and out of every range all the same. */
const u64 = (view: DataView, offset: number): number =>
  view.getUint32(offset, true) + view.getUint32(offset + 4, true) * FOUR_GIB;

/** The chain has a byte for the status. */
export function parseRequest(chain: Chain, limits: BlockLimits): BlockRequest | BlockFault {
  if (chain.read(0, header) < header.length) return 'header-too-short';
  const sector = u64(headerView, 8);
  switch (headerView.getUint32(0, true)) {
    case B.VIRTIO_BLK_T_IN:
      return parseTransfer('read', sector, chain.writableBytes - 1, limits);
    case B.VIRTIO_BLK_T_OUT:
      if (limits.readOnly) return 'disk-is-read-only';
      return parseTransfer('write', sector, chain.readableBytes - header.length, limits);
    case B.VIRTIO_BLK_T_FLUSH:
      return sector === 0 ? { kind: 'flush' } : 'flush-sector-not-zero';
    case B.VIRTIO_BLK_T_GET_ID:
      return chain.writableBytes - 1 < B.VIRTIO_BLK_ID_BYTES ? 'id-too-short' : { kind: 'get-id' };
    case B.VIRTIO_BLK_T_DISCARD:
      return parseRanges('discard', chain, limits.canDiscard, limits);
    case B.VIRTIO_BLK_T_WRITE_ZEROES:
      return parseRanges('write-zeroes', chain, limits.canWriteZeroes, limits);
    default:
      return 'type-unknown';
  }
}

const isOutside = (sector: number, sectors: number, { capacitySectors }: BlockLimits): boolean =>
  sectors > capacitySectors || sector > capacitySectors - sectors;

function parseTransfer(
  kind: 'read' | 'write',
  sector: number,
  bytes: number,
  limits: BlockLimits,
): BlockRequest | BlockFault {
  if (bytes % B.SECTOR_BYTES !== 0) return 'data-no-multiple-of-a-sector';
  if (isOutside(sector, bytes / B.SECTOR_BYTES, limits)) return 'out-of-range';
  return { kind, offset: sector * B.SECTOR_BYTES, bytes };
}

function parseRanges(
  kind: 'discard' | 'write-zeroes',
  chain: Chain,
  negotiated: boolean,
  limits: BlockLimits,
): BlockRequest | BlockFault {
  if (limits.readOnly) return 'disk-is-read-only';
  if (!negotiated) return 'not-negotiated';
  const bytes = chain.readableBytes - header.length;
  if (bytes === 0 || bytes % B.BLK_RANGE_BYTES !== 0) return 'ranges-malformed';
  if (bytes > limits.maxRanges * B.BLK_RANGE_BYTES) return 'too-many-ranges';
  const copy = new Uint8Array(bytes);
  chain.read(header.length, copy);
  const view = new DataView(copy.buffer);
  const ranges: BlockRange[] = [];
  // A discard is one already, and may not say so (5.2.6.2).
  const allowed = kind === 'discard' ? 0 : B.VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
  for (let at = 0; at < bytes; at += B.BLK_RANGE_BYTES) {
    const sector = u64(view, at);
    const sectors = view.getUint32(at + B.BLK_RANGE_SECTORS, true);
    const flags = view.getUint32(at + B.BLK_RANGE_FLAGS, true);
    if ((flags & ~allowed) !== 0) return 'range-flags-reserved';
    if (sectors > limits.maxRangeSectors) return 'range-too-long';
    if (isOutside(sector, sectors, limits)) return 'out-of-range';
    const unmap = kind === 'discard' || flags !== 0;
    ranges.push({ offset: sector * B.SECTOR_BYTES, bytes: sectors * B.SECTOR_BYTES, unmap });
  }
  return { kind, ranges };
}
