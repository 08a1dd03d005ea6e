/** `typervisor disk commit`: what an image holds goes into its backing file. @module */
import { dirname, resolve } from 'node:path';
import { WRITABLE_FORMATS } from '../../disk/formats.ts';
import { openDiskImage, openQcow2Image } from '../../host/node/disk-image.ts';
import { createProgressLine } from '../../host/node/progress.ts';
import type { ParsedArguments } from '../arguments.ts';
import { quote, UsageError } from '../usage-error.ts';
import { BACKING_OPTION, type DiskCommand, operandsOf } from './command.ts';
import { disposable } from './disposable.ts';

/** Contents go in pieces of this size. */
const PIECE_BYTES = 2 * 1024 * 1024;

export const COMMIT: DiskCommand = {
  name: 'disk commit',
  operands: ['PATH'],
  help: 'Writes what a qcow2 image holds to its backing file, which then shows the same, and empties the image. Other images over the same backing file are spoilt by that.',
  options: [
    {
      ...BACKING_OPTION,
      help: 'The backing file that is written to, by its name in the image or by its path; and those below it. Needed: an image may name any file of this host.',
    },
  ],
  examples: ['typervisor disk commit --allow-backing debian.qcow2 vm1.qcow2'],
  execute: commit,
};

async function commit(args: ParsedArguments): Promise<number> {
  const [path = ''] = operandsOf(args, ['PATH']);
  const allowed = args.options.get('--allow-backing') ?? [];
  await using source = disposable(await openQcow2Image({ path, withoutBacking: true }));
  const image = source.disk;
  const { backing } = image.header;
  if (backing === undefined) throw new UsageError(`PATH ${quote(path)}: the image has no backing file`);
  const backingPath = resolve(dirname(path), backing.name);
  if (!allowed.some((name) => name === backing.name || resolve(name) === backingPath))
    throw new UsageError(`PATH ${quote(path)}: --allow-backing ${quote(backing.name)} is needed to write to that file`);
  const format = WRITABLE_FORMATS.find((candidate) => candidate === backing.format);
  if (format === undefined)
    throw new UsageError(`PATH ${quote(path)}: its backing file has the format ${quote(backing.format ?? '')}`);
  await using target = disposable(await openDiskImage({ path: backingPath, format, backing: allowed }));
  if (target.disk.bytes < image.bytes) await target.disk.resize?.(image.bytes);
  const line = createProgressLine(process.stderr, undefined, 'committing');
  const buffer = new Uint8Array(PIECE_BYTES);
  try {
    for (let offset = 0; offset < image.bytes; ) {
      const { bytes, kind } = await image.stored(offset, Math.min(PIECE_BYTES, image.bytes - offset));
      if (kind === 'zero') await target.disk.writeZeroes(offset, bytes, true);
      else if (kind === 'data') {
        const piece = buffer.subarray(0, bytes);
        await image.read(offset, [piece]);
        await target.disk.write(offset, [piece]);
      }
      offset += bytes;
      line.update(path, offset, image.bytes);
    }
    // Only what is safe below is given up above.
    await target.disk.flush();
    await image.forgetAll();
  } finally {
    line.end();
  }
  return 0;
}
