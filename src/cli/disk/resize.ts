/** `typervisor disk resize`: another capacity. @module */
import { openDiskImage } from '../../host/node/disk-image.ts';
import type { ParsedArguments } from '../arguments.ts';
import { UsageError } from '../usage-error.ts';
import { BACKING_OPTION, type DiskCommand, FORMAT_OPTION, formatOf, operandsOf, parseSize } from './command.ts';

const OPERANDS = ['PATH', 'SIZE'];

export const RESIZE: DiskCommand = {
  name: 'disk resize',
  operands: OPERANDS,
  help: 'Gives an image another capacity: SIZE, as 20G, or so much more, as +5G. What is added reads as zeros. File systems and partitions in it do not change.',
  options: [
    FORMAT_OPTION,
    { name: '--shrink', help: 'Allows a smaller capacity. What lies behind it is gone.' },
    BACKING_OPTION,
  ],
  examples: ['typervisor disk resize -f qcow2 root.qcow2 +5G'],
  execute: resize,
};

async function resize(args: ParsedArguments): Promise<number> {
  const [path = '', size = ''] = operandsOf(args, OPERANDS);
  const format = formatOf(args);
  const isMore = size.startsWith('+');
  const amount = parseSize('SIZE', isMore ? size.slice(1) : size);
  const disk = await openDiskImage({ path, format, backing: args.options.get('--allow-backing') ?? [] });
  try {
    const bytes = isMore ? disk.bytes + amount : amount;
    if (bytes < disk.bytes && !args.options.has('--shrink'))
      throw new UsageError(`SIZE ${bytes} is less than the ${disk.bytes} bytes there are; --shrink allows that`);
    if (disk.resize === undefined) throw new UsageError(`PATH "${path}": its size is fixed`);
    await disk.resize(bytes);
  } finally {
    await disk.close();
  }
  return 0;
}
