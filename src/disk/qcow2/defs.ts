/**
 * The numbers of qcow2 (QEMU, docs/interop/qcow2), in its own spelling where it names them. All fields are big-endian.
 *
 * @module
 */

/** "QFI\xfb". */
export const QCOW2_MAGIC = 0x5146_49fb;

/** Byte offsets of the header's fields. */
// biome-ignore format: a table
export const HeaderField = {
  magic:                   0,
  version:                 4,
  backing_file_offset:     8,
  backing_file_size:       16,
  cluster_bits:            20,
  size:                    24,
  crypt_method:            32,
  l1_size:                 36,
  l1_table_offset:         40,
  refcount_table_offset:   48,
  refcount_table_clusters: 56,
  nb_snapshots:            60,
  snapshots_offset:        64,
  incompatible_features:   72,
  compatible_features:     80,
  autoclear_features:      88,
  refcount_order:          96,
  header_length:           100,
  compression_type:        104,
} as const;

export const V2_HEADER_BYTES = 72;
export const V3_HEADER_BYTES = 104;

/** Bits of incompatible_features. */
export const INCOMPAT_DIRTY = 0x1;
export const INCOMPAT_CORRUPT = 0x2;
export const INCOMPAT_COMPRESSION = 0x8;

/** What an unknown incompatible feature is called when the image does not name it. */
export const INCOMPATIBLE_NAMES: readonly string[] = [
  'dirty bit',
  'corrupt bit',
  'external data file',
  'compression type',
  'extended L2 entries',
];

export const COMPRESSION_ZLIB = 0;
export const COMPRESSION_ZSTD = 1;

// Types of header extensions.
export const EXTENSION_END = 0;
export const EXTENSION_BACKING_FORMAT = 0xe279_2aca;
export const EXTENSION_FEATURE_NAMES = 0x6803_f857;
export const EXTENSION_BITMAPS = 0x2385_2875;

export const FEATURE_NAME_BYTES = 48;

// High half of L1 and L2 entries.
/** Bit 63: the refcount is exactly one, so the cluster may be written to. */
export const ENTRY_COPIED_HI = 0x8000_0000;
/** Bit 62 of an L2 entry. */
export const ENTRY_COMPRESSED_HI = 0x4000_0000;
/** Bits 32 to 55: the upper part of an offset. */
export const ENTRY_OFFSET_HI = 0x00ff_ffff;
// Low half.
/** Bit 0 of an L2 entry, from version 3 on. */
export const ENTRY_ZERO_LO = 1;
export const ENTRY_OFFSET_LO = 0xffff_fe00;

export const ENTRY_BYTES = 8;

export const MIN_CLUSTER_BITS = 9;
/** QEMU's limit. */
export const MAX_CLUSTER_BITS = 21;
export const DEFAULT_CLUSTER_BITS = 16;
export const MAX_REFCOUNT_ORDER = 6;
export const DEFAULT_REFCOUNT_ORDER = 4;
/** QEMU's limits: an image asks for no more memory than this. */
export const MAX_L1_BYTES = 0x200_0000;
export const MAX_REFCOUNT_TABLE_BYTES = 0x80_0000;
export const MAX_BACKING_NAME_BYTES = 1023;
export const MAX_SNAPSHOTS = 65536;

/** Offsets above are no safe integers, and no host has such files. */
export const MAX_OFFSET_HI = 0x1f_ffff;
