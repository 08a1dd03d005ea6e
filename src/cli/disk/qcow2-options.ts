/** The options of a new image, for the commands that make one. @module */
import type { Qcow2Options } from '../../disk/qcow2/create.ts';
import { createQcow2 } from '../../disk/qcow2/create.ts';
import type { WritableFormat } from '../../disk/formats.ts';
import { openImageFile } from '../../host/node/image-file.ts';
import { choice, integer, optional, string } from '../../util/key-value.ts';
import type { OptionSpec, ParsedArguments } from '../arguments.ts';
import { quote, UsageError } from '../usage-error.ts';
import { keyValuesOf, parseSize } from './command.ts';

export const NEW_IMAGE_OPTIONS: readonly OptionSpec[] = [
  {
    name: '--options',
    short: '-o',
    value: 'KEY=VALUE,...',
    help: 'How a qcow2 image is made.',
    keys: [
      ['cluster-size=SIZE', 'The unit of allocation, from 512 to 2M. The default is 64K.'],
      ['refcount-bits=N', '1, 2, 4, 8, 16, 32 or 64. The default is 16.'],
      ['version=N', '3, or 2 for very old programs. The default is 3.'],
      ['compression=TYPE', 'How other programs may compress it: zlib (the default) or zstd.'],
    ],
  },
  { name: '--force', help: 'Replaces a file that exists.' },
];

const QCOW2_KEYS = {
  'cluster-size': optional(string()),
  'refcount-bits': optional(integer(1, 64)),
  version: optional(integer(2, 3)),
  compression: optional(choice('zlib', 'zstd')),
};

/** What `--options` says. */
export function qcow2OptionsOf(args: ParsedArguments, format: WritableFormat): Omit<Qcow2Options, 'bytes' | 'backing'> {
  if (format !== 'qcow2' && args.options.has('--options'))
    throw new UsageError(`--options ${quote(args.options.get('--options')?.[0] ?? '')}: a ${format} image has none`);
  const parsed = keyValuesOf(args, '--options', QCOW2_KEYS);
  const clusterSize = parsed['cluster-size'];
  const { 'refcount-bits': refcountBits, version, compression } = parsed;
  return {
    ...(clusterSize !== undefined && { clusterBytes: parseSize('cluster-size', clusterSize) }),
    ...(refcountBits !== undefined && { refcountBits }),
    ...(version !== undefined && { version: version === 2 ? 2 : 3 }),
    ...(compression !== undefined && { compression }),
  };
}

/** Makes an empty image. What is left of one that could not be made is removed by the next `--force`. */
export async function makeImage(
  path: string,
  format: WritableFormat,
  options: Qcow2Options,
  force: boolean,
): Promise<void> {
  const file = await openImageFile(path, { readOnly: false, create: force ? 'replace' : 'new' });
  try {
    if (format === 'qcow2') await createQcow2(file, options);
    else await file.truncate?.(options.bytes);
    await file.flush();
  } finally {
    await file.close();
  }
}
