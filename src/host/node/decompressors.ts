/** Decompression for disk images by Node's zlib, on the threads of its pool. @module */
import { inflateRaw, zstdDecompress } from 'node:zlib';
import { promisify } from 'node:util';
import type { Decompressors } from '../../disk/decompressors.ts';

const inflate = promisify(inflateRaw);
const unpackZstd = promisify(zstdDecompress);

export const nodeDecompressors: Decompressors = {
  inflateRaw: (input, limit) => inflate(input, { maxOutputLength: limit }),
  zstd: (input, limit) => unpackZstd(input, { maxOutputLength: limit }),
};
