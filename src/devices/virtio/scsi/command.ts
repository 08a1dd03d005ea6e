/**
 * SCSI commands (SPC-4, SBC-3): a command descriptor block becomes a checked value, or the sense that refuses it. Does no I/O.
 *
 * Knows what Linux asks disks for. Refuses everything else with INVALID COMMAND OPERATION CODE: MODE SELECT, protection information,
 * reservations.
 *
 * @module
 */
import * as S from './defs.ts';

/** Sense key, additional sense code and its qualifier. */
export type Sense = readonly [key: number, code: number, qualifier: number];

export const NO_SENSE: Sense = [0, 0, 0];
export const WRITE_ERROR: Sense = [3, 0x0c, 0];
export const READ_ERROR: Sense = [3, 0x11, 0];
export const INVALID_OPCODE: Sense = [5, 0x20, 0];
export const LBA_OUT_OF_RANGE: Sense = [5, 0x21, 0];
export const INVALID_FIELD_IN_CDB: Sense = [5, 0x24, 0];
export const NO_SUCH_LUN: Sense = [5, 0x25, 0];
export const INVALID_FIELD_IN_PARAMETERS: Sense = [5, 0x26, 0];
export const PARAMETER_LIST_LENGTH: Sense = [5, 0x1a, 0];
export const WRITE_PROTECTED: Sense = [7, 0x27, 0];

export type ScsiCommand =
  | { readonly kind: 'test-unit-ready' }
  /** Answers of at most `limit` bytes that are made up, not read. */
  | { readonly kind: 'request-sense' | 'report-luns' | 'inquiry'; readonly limit: number }
  | { readonly kind: 'vital-product-data'; readonly page: number; readonly limit: number }
  | { readonly kind: 'mode-sense'; readonly page: number; readonly long: boolean; readonly limit: number }
  | { readonly kind: 'read-capacity'; readonly long: boolean; readonly limit: number }
  | { readonly kind: 'read'; readonly offset: number; readonly bytes: number }
  /** `durable`: before it is answered (FUA). */
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: number; readonly durable: boolean }
  | { readonly kind: 'flush' }
  /** The ranges are in the data, of this length. */
  | { readonly kind: 'unmap'; readonly bytes: number }
  /** One block, which is the data or, with `zeros`, not sent, all over a range; `unmap`: zeros may give the host its space back. */
  | {
      readonly kind: 'write-same';
      readonly offset: number;
      readonly bytes: number;
      readonly unmap: boolean;
      readonly zeros: boolean;
    };

/** What commands are held against. */
export interface ScsiLimits {
  readonly blocks: number;
  readonly blockSize: number;
  readonly readOnly: boolean;
  readonly canUnmap: boolean;
  readonly maxUnmapRanges: number;
  /** Of one UNMAP, and of one WRITE SAME. */
  readonly maxUnmapBlocks: number;
}

export interface ScsiRange {
  readonly offset: number;
  readonly bytes: number;
}

export const UNMAP_HEADER_BYTES = 8;
export const UNMAP_RANGE_BYTES = 16;

const EVPD = 1;
const FUA = 0x08;
const PROTECT = 0xe0;
const ANCHOR = 1;
/** Of WRITE SAME (SBC-3, 5.42): ANCHOR, UNMAP, PBDATA and LBDATA, NDOB. */
const SAME_ANCHOR = 0x10;
const SAME_UNMAP = 0x08;
const SAME_BLOCK_NUMBERS = 0x06;
const SAME_NO_DATA = 0x01;
const READ_CAPACITY_10_BYTES = 8;

/** A sense, as distinct from anything else that parsing gives. */
export const isSense = (value: object): value is Sense => Array.isArray(value);

const u64 = (view: DataView, offset: number): number =>
  // Above 2^53 it is inexact, and out of every range all the same.
  view.getUint32(offset) * 0x1_0000_0000 + view.getUint32(offset + 4);

/** The CDB is at least 16 bytes long, a copy. */
export function parseCommand(cdb: DataView, limits: ScsiLimits): ScsiCommand | Sense {
  const opcode = cdb.getUint8(0);
  switch (opcode) {
    case S.TEST_UNIT_READY:
      return { kind: 'test-unit-ready' };
    case S.REQUEST_SENSE:
      // Sense in the other format, with descriptors, is not made here.
      return (cdb.getUint8(1) & 1) === 0 ? { kind: 'request-sense', limit: cdb.getUint8(4) } : INVALID_FIELD_IN_CDB;
    case S.REPORT_LUNS:
      return { kind: 'report-luns', limit: cdb.getUint32(6) };
    case S.INQUIRY: {
      const [limit, page] = [cdb.getUint16(3), cdb.getUint8(2)];
      if ((cdb.getUint8(1) & EVPD) !== 0) return { kind: 'vital-product-data', page, limit };
      return page === 0 ? { kind: 'inquiry', limit } : INVALID_FIELD_IN_CDB;
    }
    case S.MODE_SENSE_6:
    case S.MODE_SENSE_10: {
      const long = opcode === S.MODE_SENSE_10;
      const page = cdb.getUint8(2) & 0x3f;
      // Values that can be changed and saved ones: there are none. The second is told by the page control.
      if (cdb.getUint8(2) >> 6 === 3) return [5, 0x39, 0];
      return { kind: 'mode-sense', page, long, limit: long ? cdb.getUint16(7) : cdb.getUint8(4) };
    }
    case S.READ_CAPACITY_10:
      return { kind: 'read-capacity', long: false, limit: READ_CAPACITY_10_BYTES };
    case S.SERVICE_ACTION_IN_16:
      if ((cdb.getUint8(1) & 0x1f) !== S.READ_CAPACITY_16) return INVALID_FIELD_IN_CDB;
      return { kind: 'read-capacity', long: true, limit: cdb.getUint32(10) };
    case S.SYNCHRONIZE_CACHE_10:
      return checked(cdb.getUint32(2), cdb.getUint16(7), limits) ?? { kind: 'flush' };
    case S.SYNCHRONIZE_CACHE_16:
      return checked(u64(cdb, 2), cdb.getUint32(10), limits) ?? { kind: 'flush' };
    case S.UNMAP:
      if (!limits.canUnmap) return limits.readOnly ? WRITE_PROTECTED : INVALID_OPCODE;
      return (cdb.getUint8(1) & ANCHOR) === 0 ? { kind: 'unmap', bytes: cdb.getUint16(7) } : INVALID_FIELD_IN_CDB;
    case S.WRITE_SAME_10:
      return parseWriteSame(cdb, cdb.getUint32(2), cdb.getUint16(7), false, limits);
    case S.WRITE_SAME_16:
      return parseWriteSame(cdb, u64(cdb, 2), cdb.getUint32(10), true, limits);
    default:
      return parseTransfer(opcode, cdb, limits);
  }
}

/** A length of none, as much as the disk has left, is refused as the block limits announce it (WSNZ). */
function parseWriteSame(
  cdb: DataView,
  block: number,
  blocks: number,
  isLong: boolean,
  limits: ScsiLimits,
): ScsiCommand | Sense {
  if (limits.readOnly) return WRITE_PROTECTED;
  const flags = cdb.getUint8(1);
  const zeros = isLong && (flags & SAME_NO_DATA) !== 0;
  if ((flags & (PROTECT | SAME_ANCHOR | SAME_BLOCK_NUMBERS)) !== 0) return INVALID_FIELD_IN_CDB;
  if (!isLong && (flags & SAME_NO_DATA) !== 0) return INVALID_FIELD_IN_CDB;
  if (blocks === 0 || blocks > limits.maxUnmapBlocks) return INVALID_FIELD_IN_CDB;
  const outside = checked(block, blocks, limits);
  if (outside !== undefined) return outside;
  const range = { offset: block * limits.blockSize, bytes: blocks * limits.blockSize };
  return { kind: 'write-same', ...range, unmap: (flags & SAME_UNMAP) !== 0, zeros };
}

function checked(block: number, blocks: number, limits: ScsiLimits): Sense | undefined {
  return block > limits.blocks || blocks > limits.blocks - block ? LBA_OUT_OF_RANGE : undefined;
}

function parseTransfer(opcode: number, cdb: DataView, limits: ScsiLimits): ScsiCommand | Sense {
  let block = 0;
  let blocks = 0;
  switch (opcode) {
    case S.READ_6:
    case S.WRITE_6:
      block = cdb.getUint32(0) & 0x1f_ffff;
      // SBC-3, 5.12: none means as many as there can be.
      blocks = cdb.getUint8(4) || 256;
      break;
    case S.READ_10:
    case S.WRITE_10:
      block = cdb.getUint32(2);
      blocks = cdb.getUint16(7);
      break;
    case S.READ_12:
    case S.WRITE_12:
      block = cdb.getUint32(2);
      blocks = cdb.getUint32(6);
      break;
    case S.READ_16:
    case S.WRITE_16:
      block = u64(cdb, 2);
      blocks = cdb.getUint32(10);
      break;
    default:
      return INVALID_OPCODE;
  }
  const isShort = opcode === S.READ_6 || opcode === S.WRITE_6;
  if (!isShort && (cdb.getUint8(1) & PROTECT) !== 0) return INVALID_FIELD_IN_CDB;
  const outside = checked(block, blocks, limits);
  if (outside !== undefined) return outside;
  const range = { offset: block * limits.blockSize, bytes: blocks * limits.blockSize };
  const isRead = opcode === S.READ_6 || opcode === S.READ_10 || opcode === S.READ_12 || opcode === S.READ_16;
  if (isRead) return { kind: 'read', ...range };
  if (limits.readOnly) return WRITE_PROTECTED;
  return { kind: 'write', ...range, durable: !isShort && (cdb.getUint8(1) & FUA) !== 0 };
}

/** The ranges of an UNMAP, from its data: a copy. */
export function parseUnmap(data: DataView, limits: ScsiLimits): { readonly ranges: readonly ScsiRange[] } | Sense {
  if (data.byteLength === 0) return { ranges: [] };
  if (data.byteLength < UNMAP_HEADER_BYTES) return PARAMETER_LIST_LENGTH;
  const bytes = data.getUint16(2);
  // What is said to be more than there is, and a last range that is cut off, are ignored (SBC-3, 5.28.2).
  const count = Math.floor(Math.min(bytes, data.byteLength - UNMAP_HEADER_BYTES) / UNMAP_RANGE_BYTES);
  if (count > limits.maxUnmapRanges) return INVALID_FIELD_IN_PARAMETERS;
  const ranges: ScsiRange[] = [];
  let total = 0;
  for (let n = 0; n < count; n++) {
    const at = UNMAP_HEADER_BYTES + n * UNMAP_RANGE_BYTES;
    const [block, blocks] = [u64(data, at), data.getUint32(at + 8)];
    const outside = checked(block, blocks, limits);
    if (outside !== undefined) return outside;
    total += blocks;
    if (total > limits.maxUnmapBlocks) return INVALID_FIELD_IN_PARAMETERS;
    ranges.push({ offset: block * limits.blockSize, bytes: blocks * limits.blockSize });
  }
  return { ranges };
}
