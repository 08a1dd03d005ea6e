/**
 * The header of a qcow2 image (QEMU, docs/interop/qcow2, "Header" and "Header extensions"): bytes to a value, every field
 * checked. Refuses encryption, external data files, extended L2 entries and every incompatible feature it does not know, by
 * name. Does no I/O.
 *
 * @module
 */
import { DiskFormatError } from '../disk-format-error.ts';
import { decodeUtf8, encodeUtf8 } from '../../util/utf8.ts';
import * as defs from './defs.ts';

const FIELD = defs.HeaderField;

/** Another image that holds what this one does not. */
export interface BackingReference {
  readonly name: string;
  /** As the image names it; absent when it does not, and then nothing guesses it. */
  readonly format?: string;
}

export interface Qcow2Header {
  readonly version: 2 | 3;
  readonly clusterBits: number;
  /** Capacity of the disk. */
  readonly diskBytes: number;
  readonly l1Entries: number;
  readonly l1Offset: number;
  readonly refcountTableOffset: number;
  readonly refcountTableClusters: number;
  readonly refcountOrder: number;
  readonly snapshots: number;
  readonly snapshotsOffset: number;
  /** Refcounts may be wrong: they are to be rebuilt before anything is written. */
  readonly dirty: boolean;
  /** Something is wrong: nothing may be written. */
  readonly corrupt: boolean;
  /** An autoclear bit is set: all are to be cleared before anything is written. */
  readonly autoclear: boolean;
  /** Bitmaps take clusters that nothing else refers to. */
  readonly bitmaps: boolean;
  readonly compression: 'zlib' | 'zstd';
  readonly backing?: BackingReference;
}

/** A 64-bit field as a number; one that is not a safe integer becomes infinite, which no check lets through. */
function readU64(view: DataView, at: number): number {
  const hi = view.getUint32(at);
  return hi > defs.MAX_OFFSET_HI ? Infinity : hi * 2 ** 32 + view.getUint32(at + 4);
}

/** How many bytes `parseHeader` wants: the first cluster, in which all of the header lies. Throws DiskFormatError. */
export function headerBytes(start: Uint8Array, image: string): number {
  if (start.length < defs.V2_HEADER_BYTES)
    throw new DiskFormatError(image, 'length', start.length, 'is too short for a qcow2 header');
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
  const magic = view.getUint32(FIELD.magic);
  if (magic !== defs.QCOW2_MAGIC) throw new DiskFormatError(image, 'magic', magic, 'is not that of qcow2');
  const clusterBits = view.getUint32(FIELD.cluster_bits);
  if (clusterBits < defs.MIN_CLUSTER_BITS || clusterBits > defs.MAX_CLUSTER_BITS)
    throw new DiskFormatError(image, 'cluster_bits', clusterBits, 'is not from 9 to 21');
  return 2 ** clusterBits;
}

interface Extensions {
  readonly backingFormat?: string;
  readonly bitmaps: boolean;
  /** Names of incompatible features by bit, as the image gives them. */
  readonly names: ReadonlyMap<number, string>;
}

/** Extensions lie between the header and the backing file's name, or the end of the cluster. */
function parseExtensions(cluster: Uint8Array, start: number, end: number, image: string): Extensions {
  const view = new DataView(cluster.buffer, cluster.byteOffset, cluster.byteLength);
  const names = new Map<number, string>();
  let backingFormat: string | undefined;
  let bitmaps = false;
  for (let at = start; at + 8 <= end; ) {
    const type = view.getUint32(at);
    const bytes = view.getUint32(at + 4);
    if (type === defs.EXTENSION_END) break;
    if (bytes > end - at - 8)
      throw new DiskFormatError(image, 'header extension length', bytes, `at ${at} goes beyond its area`);
    const data = cluster.subarray(at + 8, at + 8 + bytes);
    if (type === defs.EXTENSION_BACKING_FORMAT) {
      backingFormat = decodeUtf8(data);
      if (backingFormat === undefined)
        throw new DiskFormatError(image, 'backing file format', data.length, 'bytes long, is no text');
    } else if (type === defs.EXTENSION_BITMAPS) bitmaps = true;
    else if (type === defs.EXTENSION_FEATURE_NAMES) {
      for (let entry = 0; entry + defs.FEATURE_NAME_BYTES <= bytes; entry += defs.FEATURE_NAME_BYTES) {
        const padded = data.subarray(entry + 2, entry + defs.FEATURE_NAME_BYTES);
        const length = padded.indexOf(0);
        const name = decodeUtf8(length < 0 ? padded : padded.subarray(0, length));
        if (data[entry] === 0 && name !== undefined) names.set(data[entry + 1] ?? 0, name);
      }
    }
    at += 8 + Math.ceil(bytes / 8) * 8;
  }
  return { ...(backingFormat !== undefined && { backingFormat }), bitmaps, names };
}

/** The bits of a feature word that are set, lowest first. */
function setBits(view: DataView, at: number): number[] {
  const bits: number[] = [];
  for (let bit = 0; bit < 64; bit++) {
    if ((view.getUint32(bit < 32 ? at + 4 : at) >>> (bit % 32)) & 1) bits.push(bit);
  }
  return bits;
}

/**
 * Reads the header from the image's first cluster, or what there is of it in a shorter file of `fileBytes`. Throws
 * DiskFormatError.
 */
export function parseHeader(cluster: Uint8Array, fileBytes: number, image: string): Qcow2Header {
  const clusterBytes = headerBytes(cluster, image);
  const view = new DataView(cluster.buffer, cluster.byteOffset, cluster.byteLength);
  const refuse = (field: string, value: number | string, reason: string): never => {
    throw new DiskFormatError(image, field, value, reason);
  };
  const version = view.getUint32(FIELD.version);
  if (version !== 2 && version !== 3) return refuse('version', version, 'is not 2 or 3');
  const headerLength = version === 2 ? defs.V2_HEADER_BYTES : lengthOfV3(cluster, view, clusterBytes, refuse);
  const backingOffset = readU64(view, FIELD.backing_file_offset);
  const extensionsEnd = backingOffset === 0 ? cluster.length : Math.min(cluster.length, backingOffset);
  const extensions = parseExtensions(cluster, headerLength, extensionsEnd, image);

  const incompatible = version === 2 ? [] : setBits(view, FIELD.incompatible_features);
  for (const bit of incompatible) {
    if (bit < 32 && (1 << bit) & (defs.INCOMPAT_DIRTY | defs.INCOMPAT_CORRUPT | defs.INCOMPAT_COMPRESSION)) continue;
    const name = extensions.names.get(bit) ?? defs.INCOMPATIBLE_NAMES[bit] ?? 'of no known name';
    refuse('incompatible feature', name, `(bit ${bit}) is not supported`);
  }
  const cryptMethod = view.getUint32(FIELD.crypt_method);
  if (cryptMethod !== 0) refuse('crypt_method', cryptMethod, 'is not supported: the image is encrypted');

  const compressionType =
    headerLength > FIELD.compression_type ? (cluster[FIELD.compression_type] ?? 0) : defs.COMPRESSION_ZLIB;
  if (compressionType !== defs.COMPRESSION_ZLIB && compressionType !== defs.COMPRESSION_ZSTD)
    refuse('compression_type', compressionType, 'is not 0 (zlib) or 1 (zstd)');
  if (incompatible.includes(3) !== (compressionType !== defs.COMPRESSION_ZLIB))
    refuse('compression_type', compressionType, 'does not agree with the bit of incompatible_features');

  const refcountOrder = version === 2 ? defs.DEFAULT_REFCOUNT_ORDER : view.getUint32(FIELD.refcount_order);
  if (refcountOrder > defs.MAX_REFCOUNT_ORDER) refuse('refcount_order', refcountOrder, 'is not from 0 to 6');

  const requireTable = (field: string, offset: number, bytes: number): void => {
    if (offset % clusterBytes !== 0 || offset === 0)
      refuse(field, offset, offset === Infinity ? 'is too large' : 'is not on a cluster');
    if (offset + bytes > Math.ceil(fileBytes / clusterBytes) * clusterBytes)
      refuse(field, offset, `+ ${bytes} lies beyond the end of the file (${fileBytes} bytes)`);
  };
  const diskBytes = readU64(view, FIELD.size);
  if (diskBytes === Infinity) refuse('size', diskBytes, 'is too large');
  const l1Entries = view.getUint32(FIELD.l1_size);
  const l1Offset = readU64(view, FIELD.l1_table_offset);
  const l1Bytes = l1Entries * defs.ENTRY_BYTES;
  if (l1Bytes > defs.MAX_L1_BYTES) refuse('l1_size', l1Entries, 'is more than the 4194304 that are supported');
  const neededEntries = l1EntriesFor(diskBytes, Math.log2(clusterBytes));
  if (l1Entries < neededEntries) refuse('l1_size', l1Entries, `is less than the ${neededEntries} that the disk needs`);
  // An image of an empty disk may lack the table.
  if (l1Entries > 0) requireTable('l1_table_offset', l1Offset, l1Bytes);

  const refcountTableOffset = readU64(view, FIELD.refcount_table_offset);
  const refcountTableClusters = view.getUint32(FIELD.refcount_table_clusters);
  if (refcountTableClusters === 0) refuse('refcount_table_clusters', 0, 'is no table');
  if (refcountTableClusters * clusterBytes > Math.max(defs.MAX_REFCOUNT_TABLE_BYTES, clusterBytes))
    refuse('refcount_table_clusters', refcountTableClusters, 'are more than the 8 MiB that are supported');
  requireTable('refcount_table_offset', refcountTableOffset, refcountTableClusters * clusterBytes);

  const snapshots = view.getUint32(FIELD.nb_snapshots);
  const snapshotsOffset = readU64(view, FIELD.snapshots_offset);
  if (snapshots > defs.MAX_SNAPSHOTS) refuse('nb_snapshots', snapshots, 'is more than 65536');
  if (snapshots > 0) requireTable('snapshots_offset', snapshotsOffset, 0);

  const backing = backingOffset === 0 ? undefined : backingName(cluster, view, backingOffset, refuse);
  return {
    version,
    clusterBits: Math.log2(clusterBytes),
    diskBytes,
    l1Entries,
    l1Offset,
    refcountTableOffset,
    refcountTableClusters,
    refcountOrder,
    snapshots,
    snapshotsOffset,
    dirty: incompatible.includes(0),
    corrupt: incompatible.includes(1),
    autoclear: version === 3 && setBits(view, FIELD.autoclear_features).length > 0,
    bitmaps: extensions.bitmaps,
    compression: compressionType === defs.COMPRESSION_ZSTD ? 'zstd' : 'zlib',
    ...(backing !== undefined && {
      backing: { name: backing, ...(extensions.backingFormat !== undefined && { format: extensions.backingFormat }) },
    }),
  };
}

type Refuse = (field: string, value: number | string, reason: string) => never;

function lengthOfV3(cluster: Uint8Array, view: DataView, clusterBytes: number, refuse: Refuse): number {
  if (cluster.length < defs.V3_HEADER_BYTES)
    return refuse('length', cluster.length, 'is too short for a header of version 3');
  const length = view.getUint32(FIELD.header_length);
  if (length < defs.V3_HEADER_BYTES || length % 8 !== 0 || length > clusterBytes)
    refuse('header_length', length, `is not a multiple of 8 from ${defs.V3_HEADER_BYTES} to the size of a cluster`);
  if (length > cluster.length) refuse('header_length', length, 'goes beyond the end of the file');
  return length;
}

function backingName(cluster: Uint8Array, view: DataView, offset: number, refuse: Refuse): string {
  const bytes = view.getUint32(FIELD.backing_file_size);
  if (bytes === 0 || bytes > defs.MAX_BACKING_NAME_BYTES) refuse('backing_file_size', bytes, 'is not from 1 to 1023');
  if (offset + bytes > cluster.length) refuse('backing_file_offset', offset, `+ ${bytes} is not in the first cluster`);
  return (
    decodeUtf8(cluster.subarray(offset, offset + bytes)) ?? refuse('backing file name', bytes, 'bytes long, is no text')
  );
}

/** How many L1 entries a disk of this size takes. */
export const l1EntriesFor = (diskBytes: number, clusterBits: number): number =>
  Math.ceil(diskBytes / 2 ** (2 * clusterBits - 3));

/** What a new image's header says. */
export interface NewHeader
  extends Omit<Qcow2Header, 'dirty' | 'corrupt' | 'autoclear' | 'bitmaps' | 'snapshots' | 'snapshotsOffset'> {}

/** The bytes of a header with its extensions and the backing file's name. Throws DiskFormatError when they do not fit a cluster. */
export function encodeHeader(header: NewHeader, image: string): Uint8Array {
  const bytes = new Uint8Array(2 ** header.clusterBits);
  const view = new DataView(bytes.buffer);
  const putU64 = (at: number, value: number): void => {
    view.setUint32(at, Math.floor(value / 2 ** 32));
    view.setUint32(at + 4, value >>> 0);
  };
  view.setUint32(FIELD.magic, defs.QCOW2_MAGIC);
  view.setUint32(FIELD.version, header.version);
  view.setUint32(FIELD.cluster_bits, header.clusterBits);
  putU64(FIELD.size, header.diskBytes);
  view.setUint32(FIELD.l1_size, header.l1Entries);
  putU64(FIELD.l1_table_offset, header.l1Offset);
  putU64(FIELD.refcount_table_offset, header.refcountTableOffset);
  view.setUint32(FIELD.refcount_table_clusters, header.refcountTableClusters);
  let at: number = defs.V2_HEADER_BYTES;
  if (header.version === 3) {
    const isZstd = header.compression === 'zstd';
    putU64(FIELD.incompatible_features, isZstd ? defs.INCOMPAT_COMPRESSION : 0);
    view.setUint32(FIELD.refcount_order, header.refcountOrder);
    // With the byte of the compression type and its padding, as QEMU writes it.
    at = defs.V3_HEADER_BYTES + 8;
    view.setUint32(FIELD.header_length, at);
    bytes[FIELD.compression_type] = isZstd ? defs.COMPRESSION_ZSTD : defs.COMPRESSION_ZLIB;
  }
  if (header.backing !== undefined) {
    const name = encodeUtf8(header.backing.name);
    if (header.backing.format !== undefined) {
      const format = encodeUtf8(header.backing.format);
      view.setUint32(at, defs.EXTENSION_BACKING_FORMAT);
      view.setUint32(at + 4, format.length);
      bytes.set(format.subarray(0, bytes.length - at - 8), at + 8);
      at += 8 + Math.ceil(format.length / 8) * 8;
    }
    // Behind the end of the extensions, which is eight zeros.
    const nameOffset = at + 8;
    if (name.length > defs.MAX_BACKING_NAME_BYTES || nameOffset + name.length > bytes.length)
      throw new DiskFormatError(image, 'backing file name', name.length, 'bytes long, does not fit into the header');
    bytes.set(name, nameOffset);
    putU64(FIELD.backing_file_offset, nameOffset);
    view.setUint32(FIELD.backing_file_size, name.length);
  }
  return bytes;
}
