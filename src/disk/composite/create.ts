/**
 * Puts partitions that are files together to a composite disk with a GUID partition table: which files there are to be, and what
 * they hold. Does no I/O.
 *
 * @module
 */
import { type Component, encodeDescription } from './description.ts';
import { GPT_BEGINNING_BYTES, GPT_END_BYTES, type Partition, partitionTable } from './gpt.ts';

/** Partitions begin at multiples of this, and the filler has its length. */
export const PARTITION_ALIGNMENT = 4096;
/** The disk is a multiple of this, as crosvm makes it. */
const DISK_ALIGNMENT = 65536;

export interface PartitionFile {
  readonly label: string;
  readonly path: string;
  readonly bytes: number;
  readonly writable: boolean;
  readonly guid: string;
}

/** Paths of the files that come with the description. */
export interface CompositePaths {
  readonly header: string;
  readonly footer: string;
  readonly filler: string;
}

export interface CompositeFiles {
  readonly description: Uint8Array;
  readonly header: Uint8Array;
  readonly footer: Uint8Array;
  /** Zeros for the rest of partitions whose files end early. */
  readonly filler: Uint8Array;
}

const alignUp = (value: number, alignment: number): number => Math.ceil(value / alignment) * alignment;

/** The contents of all files. A partition that may be written to has to be a multiple of `PARTITION_ALIGNMENT` long. */
export function composePartitions(
  files: readonly PartitionFile[],
  paths: CompositePaths,
  diskGuid: string,
): CompositeFiles {
  const components: Component[] = [{ path: paths.header, offset: 0, writable: false, fileOffset: 0 }];
  const partitions: Partition[] = [];
  let offset = GPT_BEGINNING_BYTES;
  for (const { label, path, bytes, writable, guid } of files) {
    const aligned = alignUp(bytes, PARTITION_ALIGNMENT);
    components.push({ path, offset, writable, fileOffset: 0 });
    if (aligned > bytes)
      components.push({ path: paths.filler, offset: offset + bytes, writable: false, fileOffset: 0 });
    partitions.push({ label, offset, bytes: aligned, guid });
    offset += aligned;
  }
  const diskBytes = alignUp(offset + GPT_END_BYTES, DISK_ALIGNMENT);
  const { beginning, end } = partitionTable(partitions, diskBytes, diskGuid);
  // The backup header belongs into the last sector: what is between is a part of the footer.
  const footer = new Uint8Array(diskBytes - offset);
  footer.set(end, footer.length - end.length);
  components.push({ path: paths.footer, offset, writable: false, fileOffset: 0 });
  return {
    description: encodeDescription({ components, bytes: diskBytes }),
    header: beginning,
    footer,
    filler: new Uint8Array(PARTITION_ALIGNMENT),
  };
}
