/** `typervisor create_composite`: crosvm's command, with its arguments. @module */
import { randomUUID } from 'node:crypto';
import { dirname, relative, resolve } from 'node:path';
import { composePartitions, PARTITION_ALIGNMENT, type PartitionFile } from '../../disk/composite/create.ts';
import { GUID, MAX_LABEL_UNITS, MAX_PARTITIONS } from '../../disk/composite/gpt.ts';
import { openImageFile } from '../../host/node/image-file.ts';
import type { ParsedArguments } from '../arguments.ts';
import { quote, UsageError } from '../usage-error.ts';
import type { DiskCommand } from './command.ts';
import { disposable } from './disposable.ts';

export const CREATE_COMPOSITE: DiskCommand = {
  name: 'create_composite',
  operands: ['PATH', 'LABEL:PARTITION[:writable][:GUID]...'],
  help: "Makes a disk with a GUID partition table whose partitions are files: crosvm's command. PATH describes it; PATH.header, PATH.footer and PATH.filler hold what is not in the partitions. Files that exist are replaced. A partition that may be written to has to be a multiple of 4096 bytes long.",
  options: [],
  examples: ['typervisor create_composite vm.composite root:root.img:writable data:data.img'],
  execute: create,
};

/** What one argument says of a partition, with its file's length and its path as the description has it. */
async function partitionOf(text: string, folder: string): Promise<PartitionFile> {
  const refuse = (reason: string): never => {
    throw new UsageError(`PARTITION ${quote(text)}: ${reason}`);
  };
  const [label = '', path = '', ...flags] = text.split(':');
  if (label === '' || path === '') refuse('a label and a path are needed, as in root:root.img');
  if (label.length > MAX_LABEL_UNITS) refuse(`the label is longer than ${MAX_LABEL_UNITS}`);
  const writable = flags[0] === 'writable';
  const [guid = randomUUID(), extra] = writable ? flags.slice(1) : flags;
  if (extra !== undefined || !GUID.test(guid)) refuse(`"${extra ?? guid}" is neither writable nor a GUID`);
  await using file = disposable(await openImageFile(path, { readOnly: true, lock: false }));
  const { bytes } = file.disk;
  if (bytes === 0) refuse('the file is empty');
  if (writable && bytes % PARTITION_ALIGNMENT !== 0)
    refuse(`its ${bytes} bytes are no multiple of ${PARTITION_ALIGNMENT}`);
  return { label, path: relative(folder, resolve(path)), bytes, writable, guid };
}

async function create({ positionals }: ParsedArguments): Promise<number> {
  const [path = '', ...texts] = positionals;
  if (path === '') throw new UsageError('PATH is missing');
  if (texts.length === 0) throw new UsageError('a partition is missing: LABEL:PARTITION[:writable][:GUID]');
  if (texts.length > MAX_PARTITIONS) throw new UsageError(`${texts.length} partitions are more than ${MAX_PARTITIONS}`);
  const folder = dirname(resolve(path));
  const partitions: PartitionFile[] = [];
  for (const text of texts) {
    const partition = await partitionOf(text, folder);
    if (partitions.some(({ label }) => label === partition.label))
      throw new UsageError(`PARTITION ${quote(text)}: its label is there already`);
    partitions.push(partition);
  }
  const name = relative(folder, resolve(path));
  const paths = { header: `${name}.header`, footer: `${name}.footer`, filler: `${name}.filler` };
  const files = composePartitions(partitions, paths, randomUUID());
  for (const [suffix, contents] of [
    ['.header', files.header],
    ['.footer', files.footer],
    ['.filler', files.filler],
    ['', files.description],
  ] as const) {
    await using file = disposable(await openImageFile(path + suffix, { readOnly: false, create: 'replace' }));
    await file.disk.write(0, [contents]);
    await file.disk.flush();
  }
  return 0;
}
