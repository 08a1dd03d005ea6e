/** `typervisor disk convert`: the contents of an image in another format. @module */
import { WRITABLE_FORMATS } from '../../disk/formats.ts';
import { openDiskImage } from '../../host/node/disk-image.ts';
import { createProgressLine } from '../../host/node/progress.ts';
import type { ParsedArguments } from '../arguments.ts';
import { UsageError } from '../usage-error.ts';
import { BACKING_OPTION, choiceOf, type DiskCommand, FORMAT_OPTION, formatOf, operandsOf } from './command.ts';
import { disposable } from './disposable.ts';
import { copyData } from './copy.ts';
import { makeImage, NEW_IMAGE_OPTIONS, qcow2OptionsOf } from './qcow2-options.ts';

const OPERANDS = ['SOURCE', 'TARGET'];
/** Capacities are whole sectors. */
const SECTOR_BYTES = 512;

export const CONVERT: DiskCommand = {
  name: 'disk convert',
  operands: OPERANDS,
  help: 'Copies what an image shows, with its backing files, to a new one. Zeros take no space there.',
  options: [
    FORMAT_OPTION,
    {
      name: '--to',
      short: '-O',
      value: 'FORMAT',
      help: `What the new image is to be: ${WRITABLE_FORMATS.join(' or ')}.`,
    },
    ...NEW_IMAGE_OPTIONS,
    BACKING_OPTION,
  ],
  examples: ['typervisor disk convert -f qcow2 -O raw root.qcow2 root.raw'],
  execute: convert,
};

async function convert(args: ParsedArguments): Promise<number> {
  const [sourcePath = '', targetPath = ''] = operandsOf(args, OPERANDS);
  const to = choiceOf(args, '--to', WRITABLE_FORMATS);
  if (to === undefined) throw new UsageError('option --to is missing: it says what the new image is to be');
  const options = qcow2OptionsOf(args, to);
  const backing = args.options.get('--allow-backing') ?? [];
  await using source = disposable(
    await openDiskImage({ path: sourcePath, format: formatOf(args), readOnly: true, backing }),
  );
  const { bytes } = source.disk;
  const capacity = Math.ceil(bytes / SECTOR_BYTES) * SECTOR_BYTES;
  await makeImage(targetPath, to, { bytes: capacity, ...options }, args.options.has('--force'));
  await using target = disposable(await openDiskImage({ path: targetPath, format: to }));
  const line = createProgressLine(process.stderr, undefined, 'converting');
  try {
    await copyData(source.disk, target.disk, (done) => line.update(sourcePath, done, bytes));
  } finally {
    line.end();
  }
  return 0;
}
