/**
 * What a disk says of itself (SPC-4, SBC-3): INQUIRY with its vital product data, MODE SENSE, capacity, sense, the list of LUNs.
 * Pure: a description becomes bytes, all big-endian.
 *
 * @module
 */
import type { ScsiLimits, Sense } from './command.ts';

export interface ScsiIdentity {
  /** Up to 20 characters of ASCII, unlike that of any other LUN. */
  readonly serial: string;
  readonly limits: ScsiLimits;
}

const VENDOR = 'TYPERVIS';
const PRODUCT = 'VIRTUAL DISK    ';
const REVISION = '1   ';
const SPC_3 = 5;
/** Peripheral qualifier 3, device type 1Fh: nothing can be there. */
export const NOTHING_THERE = 0x7f;
/** Blocks of the host's file systems. */
const PHYSICAL_BLOCK_BYTES = 4096;

const ascii = (text: string): number[] => [...text].map((character) => character.charCodeAt(0) & 0x7f);

/** Data whose length goes into its own header. */
class Page {
  readonly bytes: Uint8Array;
  readonly view: DataView;

  constructor(bytes: number) {
    this.bytes = new Uint8Array(bytes);
    this.view = new DataView(this.bytes.buffer);
  }
}

/** Standard INQUIRY data (SPC-4, 6.4.2). */
export function inquiry(peripheral: number): Uint8Array {
  const { bytes } = new Page(36);
  bytes[0] = peripheral;
  bytes[2] = SPC_3;
  bytes[3] = 2; // the format of this data
  bytes[4] = bytes.length - 5;
  bytes[7] = 0x02; // CMDQUE: any number of commands at once
  bytes.set(ascii(VENDOR + PRODUCT + REVISION), 8);
  return bytes;
}

/** The page, or undefined where it does not exist. */
export function vitalProductData(page: number, identity: ScsiIdentity): Uint8Array | undefined {
  const body = vitalProductBody(page, identity);
  if (body === undefined) return undefined;
  const { bytes, view } = new Page(4 + body.length);
  view.setUint8(1, page);
  view.setUint16(2, body.length);
  bytes.set(body, 4);
  return bytes;
}

function vitalProductBody(page: number, { serial, limits }: ScsiIdentity): ArrayLike<number> | undefined {
  switch (page) {
    case 0x00: // the pages there are
      return [0x00, 0x80, 0x83, 0xb0, 0xb1, ...(limits.canUnmap ? [0xb2] : [])];
    case 0x80: // unit serial number
      return ascii(serial);
    case 0x83: {
      // One designator: ASCII, of the logical unit, named by its vendor.
      const name = ascii(VENDOR + serial);
      return [0x02, 0x01, 0, name.length, ...name];
    }
    case 0xb0: {
      // Block limits (SBC-3, 6.6.4), offsets from behind the header.
      const { bytes, view } = new Page(0x3c);
      view.setUint16(2, Math.max(1, PHYSICAL_BLOCK_BYTES / limits.blockSize));
      if (!limits.readOnly) {
        view.setUint8(0, 1); // WSNZ: a WRITE SAME of no blocks is refused
        view.setUint32(36, limits.maxUnmapBlocks); // the low half of the greatest WRITE SAME
      }
      if (limits.canUnmap) {
        view.setUint32(16, limits.maxUnmapBlocks);
        view.setUint32(20, limits.maxUnmapRanges);
        view.setUint32(24, Math.max(1, PHYSICAL_BLOCK_BYTES / limits.blockSize));
      }
      return bytes;
    }
    case 0xb1: {
      const { bytes, view } = new Page(0x3c);
      view.setUint16(0, 1); // it does not rotate
      return bytes;
    }
    case 0xb2: // logical block provisioning: thin, by UNMAP and by WRITE SAME; what is unmapped may read as anything
      return limits.canUnmap ? [0, 0xe0, 2, 0] : undefined;
    default:
      return undefined;
  }
}

const CACHING_PAGE = 0x08;
const ALL_PAGES = 0x3f;
const WRITE_PROTECT = 0x80;
const WCE = 0x04;

/** The answer (SPC-4, 7.5), without block descriptors; undefined where the page does not exist. */
export function modeSense(page: number, long: boolean, { readOnly }: ScsiLimits): Uint8Array | undefined {
  if (page !== CACHING_PAGE && page !== ALL_PAGES) return undefined;
  const header = long ? 8 : 4;
  const { bytes, view } = new Page(header + 20);
  if (long) view.setUint16(0, bytes.length - 2);
  else view.setUint8(0, bytes.length - 1);
  view.setUint8(long ? 3 : 2, readOnly ? WRITE_PROTECT : 0);
  bytes.set([CACHING_PAGE, 18, readOnly ? 0 : WCE], header);
  return bytes;
}

export function readCapacity(long: boolean, { blocks, blockSize, canUnmap }: ScsiLimits): Uint8Array {
  const last = blocks - 1;
  if (!long) {
    const { bytes, view } = new Page(8);
    view.setUint32(0, Math.min(last, 0xffff_ffff));
    view.setUint32(4, blockSize);
    return bytes;
  }
  const { bytes, view } = new Page(32);
  view.setUint32(0, Math.floor(last / 0x1_0000_0000));
  view.setUint32(4, last % 0x1_0000_0000);
  view.setUint32(8, blockSize);
  view.setUint8(13, Math.log2(Math.max(1, PHYSICAL_BLOCK_BYTES / blockSize)));
  view.setUint8(14, canUnmap ? 0x80 : 0);
  return bytes;
}

/** Fixed format, of the current command (SPC-4, 4.5.3). */
export function senseData([key, code, qualifier]: Sense): Uint8Array {
  const { bytes } = new Page(18);
  bytes.set([0x70, 0, key]);
  bytes[7] = bytes.length - 8;
  bytes.set([code, qualifier], 12);
  return bytes;
}

/** LUNs from 0 to `count`, exclusively, as peripheral device addresses where they fit, else in flat space (SAM-5, 4.7). */
export function lunList(count: number): Uint8Array {
  const { bytes, view } = new Page(8 + 8 * count);
  view.setUint32(0, 8 * count);
  for (let lun = 0; lun < count; lun++) view.setUint16(8 + 8 * lun, lun < 256 ? lun : 0x4000 | lun);
  return bytes;
}
