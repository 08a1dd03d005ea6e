import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DiskFormatError } from '../disk-format-error.ts';
import { HeaderField } from './defs.ts';
import { encodeHeader, parseHeader, type NewHeader } from './header.ts';

const CLUSTER = 65536;
const FILE_BYTES = 10 * CLUSTER;

const HEADER: NewHeader = {
  version: 3,
  clusterBits: 16,
  diskBytes: 2 ** 30,
  l1Entries: 2,
  l1Offset: 3 * CLUSTER,
  refcountTableOffset: CLUSTER,
  refcountTableClusters: 1,
  refcountOrder: 4,
  compression: 'zlib',
};

/** A header with fields changed: their value in as many bytes as they have. */
function changed(fields: Partial<Record<keyof typeof HeaderField, number>>, base: NewHeader = HEADER): Uint8Array {
  const bytes = encodeHeader(base, 'x');
  const view = new DataView(bytes.buffer);
  const wide = /^(size|.*_offset|.*_features)$/;
  for (const [name, value] of Object.entries(fields)) {
    const at = HeaderField[name as keyof typeof HeaderField];
    if (wide.test(name)) view.setBigUint64(at, BigInt(value));
    else if (name === 'compression_type') view.setUint8(at, value);
    else view.setUint32(at, value);
  }
  return bytes;
}

const refuses = (bytes: Uint8Array, message: string, fileBytes = FILE_BYTES): void =>
  assert.throws(
    () => parseHeader(bytes, fileBytes, 'x'),
    (error) => error instanceof DiskFormatError && error.message === `x: ${message}`,
    message,
  );

test('what is encoded is parsed again, with the name and format of a backing file', () => {
  const backing = { name: 'ünter/base.raw', format: 'raw' };
  const { dirty, corrupt, autoclear, bitmaps, snapshots, snapshotsOffset, ...header } = parseHeader(
    encodeHeader({ ...HEADER, backing, compression: 'zstd', refcountOrder: 6 }, 'x'),
    FILE_BYTES,
    'x',
  );
  assert.deepEqual(header, { ...HEADER, backing, compression: 'zstd', refcountOrder: 6 });
  assert.deepEqual(
    [dirty, corrupt, autoclear, bitmaps, snapshots, snapshotsOffset],
    [false, false, false, false, 0, 0],
  );
});

test('a header of version 2 is 72 bytes long, and has refcounts of 16 bits', () => {
  const bytes = encodeHeader({ ...HEADER, version: 2 }, 'x');
  assert.ok(bytes.subarray(72).every((byte) => byte === 0));
  assert.equal(parseHeader(bytes, FILE_BYTES, 'x').refcountOrder, 4);
});

test('every field that makes no sense is refused with its name and value', () => {
  refuses(new Uint8Array(71), 'length 71 is too short for a qcow2 header');
  refuses(changed({ magic: 0x514649 }), 'magic 0x514649 is not that of qcow2');
  refuses(changed({ version: 1 }), 'version 1 is not 2 or 3');
  refuses(changed({ version: 4 }), 'version 4 is not 2 or 3');
  refuses(changed({ cluster_bits: 8 }), 'cluster_bits 8 is not from 9 to 21');
  refuses(changed({ cluster_bits: 22 }), 'cluster_bits 22 is not from 9 to 21');
  refuses(changed({ crypt_method: 1 }), 'crypt_method 1 is not supported: the image is encrypted');
  refuses(changed({ crypt_method: 2 }), 'crypt_method 2 is not supported: the image is encrypted');
  refuses(changed({ size: 2 ** 60 }), 'size (more than 53 bits) is too large');
  refuses(changed({ l1_size: 1 }), 'l1_size 1 is less than the 2 that the disk needs');
  refuses(changed({ l1_size: 4194305 }), 'l1_size 0x400001 is more than the 4194304 that are supported');
  refuses(changed({ l1_table_offset: 3 * CLUSTER + 512 }), 'l1_table_offset 0x30200 is not on a cluster');
  refuses(changed({ l1_table_offset: 0 }), 'l1_table_offset 0 is not on a cluster');
  refuses(
    changed({ l1_table_offset: 10 * CLUSTER }),
    'l1_table_offset 0xa0000 + 16 lies beyond the end of the file (655360 bytes)',
  );
  refuses(changed({ l1_table_offset: 2 ** 63 }), 'l1_table_offset (more than 53 bits) is too large');
  refuses(changed({ refcount_table_offset: 1 }), 'refcount_table_offset 1 is not on a cluster');
  refuses(changed({ refcount_table_clusters: 0 }), 'refcount_table_clusters 0 is no table');
  refuses(
    changed({ refcount_table_clusters: 129 }),
    'refcount_table_clusters 129 are more than the 8 MiB that are supported',
  );
  refuses(changed({ nb_snapshots: 65537 }), 'nb_snapshots 0x10001 is more than 65536');
  refuses(
    changed({ nb_snapshots: 1, snapshots_offset: 20 * CLUSTER }),
    'snapshots_offset 0x140000 + 0 lies beyond the end of the file (655360 bytes)',
  );
  refuses(changed({ refcount_order: 7 }), 'refcount_order 7 is not from 0 to 6');
  refuses(
    changed({ header_length: 103 }),
    'header_length 103 is not a multiple of 8 from 104 to the size of a cluster',
  );
  refuses(
    changed({ header_length: 109 }),
    'header_length 109 is not a multiple of 8 from 104 to the size of a cluster',
  );
  refuses(changed({ compression_type: 2 }), 'compression_type 2 is not 0 (zlib) or 1 (zstd)');
  refuses(changed({ compression_type: 1 }), 'compression_type 1 does not agree with the bit of incompatible_features');
  refuses(
    changed({ incompatible_features: 8 }),
    'compression_type 0 does not agree with the bit of incompatible_features',
  );
  refuses(
    changed({ backing_file_offset: 2 ** 40, backing_file_size: 5 }),
    'backing_file_offset 0x10000000000 + 5 is not in the first cluster',
  );
  refuses(
    changed({ backing_file_offset: 200, backing_file_size: 1024 }),
    'backing_file_size 1024 is not from 1 to 1023',
  );
  refuses(changed({ backing_file_offset: 200, backing_file_size: 3 }), 'backing file name 3 bytes long, is no text');
});

test('unknown incompatible features are refused by the name in the image, or by their bit', () => {
  refuses(
    changed({ incompatible_features: 2 ** 40 }),
    'incompatible feature "of no known name" (bit 40) is not supported',
  );
  refuses(changed({ incompatible_features: 4 }), 'incompatible feature "external data file" (bit 2) is not supported');
  const bytes = changed({ incompatible_features: 2 ** 40 });
  const view = new DataView(bytes.buffer);
  view.setUint32(112, 0x6803_f857);
  view.setUint32(116, 48);
  bytes.set([0, 40, ...Buffer.from('time travel')], 120);
  refuses(bytes, 'incompatible feature "time travel" (bit 40) is not supported');
});

test('unknown compatible features and unknown header extensions are let be', () => {
  const bytes = changed({ compatible_features: 2 ** 50 });
  const view = new DataView(bytes.buffer);
  view.setUint32(112, 0x1234_5678);
  view.setUint32(116, 3);
  parseHeader(bytes, FILE_BYTES, 'x');
});

test('dirty, corrupt and autoclear bits are seen', () => {
  const seen = (fields: Parameters<typeof changed>[0]): boolean[] => {
    const { dirty, corrupt, autoclear } = parseHeader(changed(fields), FILE_BYTES, 'x');
    return [dirty, corrupt, autoclear];
  };
  assert.deepEqual(seen({ incompatible_features: 1 }), [true, false, false]);
  assert.deepEqual(seen({ incompatible_features: 2 }), [false, true, false]);
  assert.deepEqual(seen({ autoclear_features: 2 ** 48 }), [false, false, true]);
});

test('a header extension that goes beyond its area is refused', () => {
  const bytes = encodeHeader(HEADER, 'x');
  const view = new DataView(bytes.buffer);
  view.setUint32(112, 0xe279_2aca);
  view.setUint32(116, 0xffff_fff8);
  refuses(bytes, 'header extension length 0xfffffff8 at 112 goes beyond its area');
});

test('a backing name that does not fit is refused when it is to be written', () => {
  const backing = { name: 'n'.repeat(400), format: 'raw' };
  assert.throws(
    () => encodeHeader({ ...HEADER, clusterBits: 9, backing }, 'x'),
    /backing file name 400 bytes long, does not fit/,
  );
});
