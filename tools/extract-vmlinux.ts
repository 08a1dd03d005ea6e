/**
 * Takes the ELF vmlinux out of a Linux bzImage: `node tools/extract-vmlinux.ts BZIMAGE VMLINUX`.
 *
 * The setup header says where the packed kernel lies (Linux Documentation/x86/boot.rst: payload_offset, payload_length,
 * since protocol 2.08). Packed with gzip, zstd or LZ4, or not at all; the other packers are refused by name.
 *
 * @module
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { decompressLz4Legacy, LZ4_LEGACY_MAGIC } from './lz4.ts';

// boot.rst, "The Real-Mode Kernel Header": offsets in the file.
const SETUP_SECTS = 0x1f1;
const HEADER = 0x202;
const VERSION = 0x206;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
const HEADER_MAGIC = 0x53726448; // "HdrS"
const FIRST_VERSION_WITH_PAYLOAD = 0x208;
const SECTOR_BYTES = 512;
/** setup_sects of 0 means this many, for images older than the field. */
const DEFAULT_SETUP_SECTS = 4;

const ELF_MAGIC = 0x464c457f;
const GZIP_MAGIC = 0x8b1f;
const ZSTD_MAGIC = 0xfd2fb528;
/** Packers other than gzip are followed by the unpacked size, which their own formats lack. */
const SIZE_TRAILER_BYTES = 4;
/** More than any kernel unpacks to; keeps a damaged image from taking all memory. */
const LIMIT_BYTES = 512 << 20;

const REFUSED: readonly (readonly [name: string, magic: readonly number[]])[] = [
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a]],
  ['lzma', [0x5d, 0x00, 0x00]],
  ['lzo', [0x89, 0x4c, 0x5a, 0x4f]],
];

export class VmlinuxError extends Error {
  override readonly name = 'VmlinuxError';
}

/** The packed kernel of a bzImage, as it lies in the file. */
function payloadOf(image: Uint8Array): Uint8Array {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  if (image.length < PAYLOAD_LENGTH + 4 || view.getUint32(HEADER, true) !== HEADER_MAGIC) {
    throw new VmlinuxError('not a bzImage: no "HdrS" at offset 0x202');
  }
  const version = view.getUint16(VERSION, true);
  if (version < FIRST_VERSION_WITH_PAYLOAD) {
    throw new VmlinuxError(`boot protocol version 0x${version.toString(16)} does not say where the payload is`);
  }
  const setupBytes = ((image[SETUP_SECTS] || DEFAULT_SETUP_SECTS) + 1) * SECTOR_BYTES;
  const start = setupBytes + view.getUint32(PAYLOAD_OFFSET, true);
  const length = view.getUint32(PAYLOAD_LENGTH, true);
  if (start + length > image.length || length < SIZE_TRAILER_BYTES) {
    throw new VmlinuxError(
      `the payload of ${length} bytes at ${start} is not within the file of ${image.length} bytes`,
    );
  }
  return image.subarray(start, start + length);
}

function unpack(payload: Uint8Array): Uint8Array {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const magic = view.getUint32(0, true);
  const packed = payload.subarray(0, payload.length - SIZE_TRAILER_BYTES);
  const options = { maxOutputLength: LIMIT_BYTES };
  if (magic === ELF_MAGIC) return payload;
  if ((magic & 0xffff) === GZIP_MAGIC) return gunzipSync(payload, options);
  if (magic === ZSTD_MAGIC || magic === LZ4_LEGACY_MAGIC) {
    const whole = magic === ZSTD_MAGIC ? zstdDecompressSync(packed, options) : decompressLz4Legacy(packed, LIMIT_BYTES);
    const promised = view.getUint32(packed.length, true);
    if (whole.length === promised) return whole;
    throw new VmlinuxError(`the payload unpacks to ${whole.length} bytes and promises ${promised}`);
  }
  const refused = REFUSED.find(([, bytes]) => bytes.every((byte, at) => payload[at] === byte));
  throw new VmlinuxError(
    refused === undefined
      ? `the payload starts with 0x${magic.toString(16)}, which is no packer known here`
      : `the payload is packed with ${refused[0]}; gzip, zstd and LZ4 are supported`,
  );
}

/** The ELF vmlinux inside a bzImage. Throws VmlinuxError, or the unpacker's error when the packed data is damaged. */
export function extractVmlinux(image: Uint8Array): Uint8Array {
  const vmlinux = unpack(payloadOf(image));
  const starts = new DataView(vmlinux.buffer, vmlinux.byteOffset, vmlinux.byteLength);
  if (vmlinux.length < 64 || starts.getUint32(0, true) !== ELF_MAGIC) {
    throw new VmlinuxError('what the payload unpacks to is not an ELF file');
  }
  return vmlinux;
}

if (import.meta.main) {
  const [from, to, ...rest] = process.argv.slice(2);
  if (from === undefined || to === undefined || rest.length > 0) {
    console.error('usage: node tools/extract-vmlinux.ts BZIMAGE VMLINUX');
    process.exit(2);
  }
  try {
    writeFileSync(to, extractVmlinux(readFileSync(from)));
  } catch (error) {
    console.error(`extract-vmlinux: ${from}: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  }
}
