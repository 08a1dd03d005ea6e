/** `typervisor disk info`: what an image says of itself. Opens no backing file. @module */
import { statSync } from 'node:fs';
import { Qcow2Image } from '../../disk/qcow2/image.ts';
import { AndroidSparseDisk } from '../../disk/android-sparse.ts';
import type { Qcow2Header } from '../../disk/qcow2/header.ts';
import { ZstdSeekableDisk } from '../../disk/zstd-seekable.ts';
import { nodeDecompressors } from '../../host/node/decompressors.ts';
import { DISK_FORMATS, type DiskFormat } from '../../disk/formats.ts';
import { detectFormat, readDescription } from '../../host/node/disk-image.ts';
import { type NodeImageFile, openImageFile } from '../../host/node/image-file.ts';
import type { ParsedArguments } from '../arguments.ts';
import { choiceOf, type DiskCommand, FORMAT_OPTION, formatSize, operandsOf } from './command.ts';

export const INFO: DiskCommand = {
  name: 'disk info',
  operands: ['PATH'],
  help: 'Prints what an image is: its format, its capacity, the space that it takes, and what else its header says. Nothing is written, and no backing file is opened.',
  options: [
    { ...FORMAT_OPTION, help: `${FORMAT_OPTION.help} The default is auto.` },
    { name: '--json', help: 'Prints it for programs.' },
  ],
  examples: ['typervisor disk info root.qcow2'],
  execute: info,
};

/** A JSON value for each name, in the order in which they are printed. */
type Facts = Readonly<Record<string, string | number | boolean>>;

async function factsOf(path: string, format: DiskFormat | 'auto'): Promise<Facts> {
  // Others may use it meanwhile: a header that is being written is a moment's matter.
  const file = await openImageFile(path, { readOnly: true, lock: false });
  try {
    const known = format === 'auto' ? await detectFormat(file) : format;
    const common = { image: path, format: known };
    const used = { 'file-length': file.bytes, 'space-used': statSync(path).blocks * 512 };
    return { ...common, ...(await formatFacts(file, known)), ...used };
  } finally {
    await file.close();
  }
}

async function formatFacts(file: NodeImageFile, format: DiskFormat): Promise<Facts> {
  switch (format) {
    case 'raw':
      return { capacity: file.bytes };
    case 'qcow2':
      return qcow2Facts(await Qcow2Image.readHeader(file));
    case 'composite': {
      const { components, bytes } = await readDescription(file);
      return { capacity: bytes, components: components.map(({ path }) => path).join(', ') };
    }
    case 'android-sparse':
      return { capacity: (await AndroidSparseDisk.open(file)).bytes };
    case 'zstd':
      return { capacity: (await ZstdSeekableDisk.open(file, nodeDecompressors)).bytes };
  }
}

const qcow2Facts = (header: Qcow2Header): Facts => ({
  capacity: header.diskBytes,
  version: header.version,
  'cluster-size': 2 ** header.clusterBits,
  'refcount-bits': 2 ** header.refcountOrder,
  compression: header.compression,
  ...(header.backing && { 'backing-file': header.backing.name }),
  ...(header.backing?.format !== undefined && { 'backing-format': header.backing.format }),
  ...(header.snapshots > 0 && { snapshots: header.snapshots }),
  ...(header.dirty && { dirty: true }),
  ...(header.corrupt && { corrupt: true }),
});

const SIZES = new Set(['capacity', 'file-length', 'space-used', 'cluster-size']);

/** Text of an image or a path as a terminal may see it. */
const printable = (value: string | number | boolean): string => String(value).replaceAll(/\p{Cc}/gu, '?');

async function info(args: ParsedArguments): Promise<number> {
  const [path = ''] = operandsOf(args, ['PATH']);
  const facts = await factsOf(path, choiceOf(args, '--format', [...DISK_FORMATS, 'auto'] as const) ?? 'auto');
  if (args.options.has('--json')) process.stdout.write(`${JSON.stringify(facts, undefined, 2)}\n`);
  else {
    for (const [name, value] of Object.entries(facts)) {
      const text = SIZES.has(name) && typeof value === 'number' ? formatSize(value) : printable(value);
      process.stdout.write(`${`${name}:`.padEnd(16)} ${text}\n`);
    }
  }
  return 0;
}
