/**
 * A GUID partition table around partitions that are files (UEFI 2.10, section 5): what stands before them and behind them.
 *
 * @module
 */
import { crc32 } from '../../util/crc32.ts';

const SECTOR_BYTES = 512;
const ENTRIES = 128;
const ENTRY_BYTES = 128;
const ENTRIES_BYTES = ENTRIES * ENTRY_BYTES;
const HEADER_BYTES = 92;
const NAME_UNITS = 36;
/** Protective MBR, header, entries, and room up to a boundary of 4 KiB for the first partition: as crosvm has it. */
export const GPT_BEGINNING_BYTES: number = 40 * SECTOR_BYTES;
/** Entries and header once more. */
export const GPT_END_BYTES: number = ENTRIES_BYTES + SECTOR_BYTES;
export const MAX_PARTITIONS: number = ENTRIES;

/** Linux filesystem data. */
const LINUX_FILESYSTEM = '0fc63daf-8483-4772-8e79-3d69d8477de4';

export interface Partition {
  readonly label: string;
  /** On the disk, whole sectors. */
  readonly offset: number;
  readonly bytes: number;
  /** Its own, as 8-4-4-4-12 digits. */
  readonly guid: string;
}

export const GUID: RegExp = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Sixteen bytes, the first three fields little-endian (appendix A). */
function guidBytes(guid: string): number[] {
  const [a = '', b = '', c = '', d = '', e = ''] = guid.split('-');
  const bytes = (digits: string): number[] => (digits.match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16));
  return [...bytes(a).toReversed(), ...bytes(b).toReversed(), ...bytes(c).toReversed(), ...bytes(d), ...bytes(e)];
}

/** How many UTF-16 units a label may have. */
export const MAX_LABEL_UNITS: number = NAME_UNITS;

function entriesOf(partitions: readonly Partition[]): Uint8Array {
  const bytes = new Uint8Array(ENTRIES_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [index, { label, offset, bytes: length, guid }] of partitions.entries()) {
    const at = index * ENTRY_BYTES;
    bytes.set(guidBytes(LINUX_FILESYSTEM), at);
    bytes.set(guidBytes(guid), at + 16);
    putU64(view, at + 32, offset / SECTOR_BYTES);
    putU64(view, at + 40, (offset + length) / SECTOR_BYTES - 1);
    for (let unit = 0; unit < label.length; unit++) view.setUint16(at + 56 + unit * 2, label.charCodeAt(unit), true);
  }
  return bytes;
}

function putU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}

/** One of the two headers, each of which knows where the other is. */
function header(diskBytes: number, guid: string, entries: Uint8Array, isBackup: boolean): Uint8Array {
  const bytes = new Uint8Array(SECTOR_BYTES);
  const view = new DataView(bytes.buffer);
  const last = diskBytes / SECTOR_BYTES - 1;
  const entriesSectors = ENTRIES_BYTES / SECTOR_BYTES;
  bytes.set(Uint8Array.from('EFI PART', (letter) => letter.charCodeAt(0)));
  view.setUint32(8, 0x0001_0000, true);
  view.setUint32(12, HEADER_BYTES, true);
  putU64(view, 24, isBackup ? last : 1);
  putU64(view, 32, isBackup ? 1 : last);
  putU64(view, 40, GPT_BEGINNING_BYTES / SECTOR_BYTES);
  putU64(view, 48, last - entriesSectors - 1);
  bytes.set(guidBytes(guid), 56);
  putU64(view, 72, isBackup ? last - entriesSectors : 2);
  view.setUint32(80, ENTRIES, true);
  view.setUint32(84, ENTRY_BYTES, true);
  view.setUint32(88, crc32(entries), true);
  view.setUint32(16, crc32(bytes.subarray(0, HEADER_BYTES)), true);
  return bytes;
}

/** The protective MBR ("Protective MBR"): one partition over everything, so that programs which know no GPT leave it alone. */
function protectiveMbr(diskBytes: number): Uint8Array {
  const bytes = new Uint8Array(SECTOR_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set([0x00, 0x00, 0x02, 0x00, 0xee, 0xff, 0xff, 0xff], 446);
  view.setUint32(454, 1, true);
  view.setUint32(458, Math.min(diskBytes / SECTOR_BYTES - 1, 0xffff_ffff), true);
  view.setUint16(510, 0xaa55, true);
  return bytes;
}

/** What stands before the partitions, and the last bytes of the disk. */
export function partitionTable(
  partitions: readonly Partition[],
  diskBytes: number,
  guid: string,
): { readonly beginning: Uint8Array; readonly end: Uint8Array } {
  const entries = entriesOf(partitions);
  const beginning = new Uint8Array(GPT_BEGINNING_BYTES);
  beginning.set(protectiveMbr(diskBytes));
  beginning.set(header(diskBytes, guid, entries, false), SECTOR_BYTES);
  beginning.set(entries, 2 * SECTOR_BYTES);
  const end = new Uint8Array(GPT_END_BYTES);
  end.set(entries);
  end.set(header(diskBytes, guid, entries, true), ENTRIES_BYTES);
  return { beginning, end };
}
