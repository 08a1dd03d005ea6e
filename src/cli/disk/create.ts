/** `typervisor disk create`: an empty image. @module */
import { dirname, resolve } from 'node:path';
import { WRITABLE_FORMATS } from '../../disk/formats.ts';
import { openDiskImage } from '../../host/node/disk-image.ts';
import type { ParsedArguments } from '../arguments.ts';
import { quote, UsageError } from '../usage-error.ts';
import { choiceOf, type DiskCommand, operandsOf, optionOf, parseSize } from './command.ts';
import { makeImage, NEW_IMAGE_OPTIONS, qcow2OptionsOf } from './qcow2-options.ts';

const OPERANDS = ['PATH', '[SIZE]'];

export const CREATE: DiskCommand = {
  name: 'disk create',
  operands: OPERANDS,
  help: 'Makes an empty image. SIZE is its capacity, as 512M or 10G; with a backing file it may be left out, and is then that of the backing file. The image takes space only as it is written to.',
  options: [
    {
      name: '--format',
      short: '-f',
      value: 'FORMAT',
      help: `${WRITABLE_FORMATS.join(' or ')}. The default is raw.`,
    },
    {
      name: '--backing',
      short: '-b',
      value: 'PATH',
      help: "Shows this image where the new one holds nothing. A relative path starts at the new image's folder.",
    },
    { name: '--backing-format', short: '-F', value: 'FORMAT', help: 'What the backing file is. It is never guessed.' },
    ...NEW_IMAGE_OPTIONS,
  ],
  examples: [
    'typervisor disk create -f qcow2 root.qcow2 20G',
    'typervisor disk create -f qcow2 -b debian.raw -F raw vm1.qcow2',
  ],
  execute: create,
};

async function create(args: ParsedArguments): Promise<number> {
  const [path = '', size] = operandsOf(args, OPERANDS);
  const format = choiceOf(args, '--format', WRITABLE_FORMATS) ?? 'raw';
  const name = optionOf(args, '--backing');
  const backingFormat = choiceOf(args, '--backing-format', WRITABLE_FORMATS);
  if (name !== undefined && format !== 'qcow2')
    throw new UsageError(`--backing ${quote(name)}: a ${format} image has none`);
  if ((name === undefined) !== (backingFormat === undefined))
    throw new UsageError('options --backing and --backing-format go together');
  if (size === undefined && name === undefined) throw new UsageError('SIZE is missing');
  const options = qcow2OptionsOf(args, format);
  const backing = name === undefined || backingFormat === undefined ? undefined : { name, format: backingFormat };
  const bytes =
    size === undefined ? await capacityOf(path, name ?? '', backingFormat ?? 'raw') : parseSize('SIZE', size);
  await makeImage(path, format, { bytes, ...options, ...(backing && { backing }) }, args.options.has('--force'));
  return 0;
}

/** The capacity of a backing file, which is opened for that as the image will open it. */
export async function capacityOf(image: string, backing: string, format: 'raw' | 'qcow2'): Promise<number> {
  const path = resolve(dirname(image), backing);
  const disk = await openDiskImage({ path, format, readOnly: true, backing: 'any' });
  await disk.close();
  return Math.ceil(disk.bytes / 512) * 512;
}
