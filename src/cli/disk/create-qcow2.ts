/** `typervisor create_qcow2`: crosvm's command, with its arguments. @module */
import { dirname, resolve } from 'node:path';
import { WRITABLE_FORMATS } from '../../disk/formats.ts';
import { detectFormat } from '../../host/node/disk-image.ts';
import { openImageFile } from '../../host/node/image-file.ts';
import type { ParsedArguments } from '../arguments.ts';
import { quote, UsageError } from '../usage-error.ts';
import { choiceOf, type DiskCommand, operandsOf, optionOf, parseSize } from './command.ts';
import { disposable } from './disposable.ts';
import { capacityOf } from './create.ts';
import { makeImage } from './qcow2-options.ts';

const OPERANDS = ['PATH', '[SIZE]'];

export const CREATE_QCOW2: DiskCommand = {
  name: 'create_qcow2',
  operands: OPERANDS,
  help: "Makes an empty qcow2 image, of SIZE bytes or over a backing file: crosvm's command. A file that exists is replaced.",
  options: [
    {
      name: '--backing-file',
      value: 'PATH',
      help: 'Shows this image where the new one holds nothing, and gives it its size.',
    },
    {
      name: '--backing-format',
      value: 'FORMAT',
      help: 'What the backing file is. Needed only when its contents look like something else than raw.',
    },
  ],
  examples: [
    'typervisor create_qcow2 disk.qcow2 1073741824',
    'typervisor create_qcow2 vm1.qcow2 --backing-file base.raw',
  ],
  execute: create,
};

async function create(args: ParsedArguments): Promise<number> {
  const [path = '', size] = operandsOf(args, OPERANDS);
  const name = optionOf(args, '--backing-file');
  if ((size === undefined) === (name === undefined))
    throw new UsageError('either SIZE or --backing-file is to be given, and not both');
  if (name === undefined) {
    await makeImage(path, 'qcow2', { bytes: parseSize('SIZE', size ?? '') }, true);
    return 0;
  }
  const format = choiceOf(args, '--backing-format', WRITABLE_FORMATS) ?? (await plainFormat(path, name));
  const bytes = await capacityOf(path, name, format);
  await makeImage(path, 'qcow2', { bytes, backing: { name, format } }, true);
  return 0;
}

/** Raw is what a file is that looks like nothing else; one that does may have been made to by a guest. */
async function plainFormat(image: string, backing: string): Promise<'raw'> {
  await using file = disposable(await openImageFile(resolve(dirname(image), backing), { readOnly: true }));
  const format = await detectFormat(file.disk);
  if (format === 'raw') return format;
  throw new UsageError(`--backing-file ${quote(backing)} looks like ${format}: --backing-format says what it is`);
}
