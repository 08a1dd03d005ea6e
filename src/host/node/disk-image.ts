/**
 * Opens a disk image by path: its file, its format, what lies below it, and what is put on top. This is what `--block` and the
 * `disk` commands call.
 *
 * The format is what the user says, for a guest can write what it likes into a raw image: `auto` looks at the contents and is only
 * for images that no guest ever wrote to. A backing file is opened only when the user allowed its name, with the format that the
 * image names, read-only, at most ten deep and never one that is open above. The files of a composite disk are raw, and lie in the
 * folder of their description or below it, or were allowed like a backing file.
 *
 * @module
 */
import { realpathSync, statSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { ANDROID_SPARSE_MAGIC, AndroidSparseDisk } from '../../disk/android-sparse.ts';
import { allSettled } from '../../disk/buffers.ts';
import { CompositeDisk, type Part } from '../../disk/composite/composite-disk.ts';
import {
  COMPOSITE_MAGIC,
  type Description,
  MAX_DESCRIPTION_BYTES,
  parseDescription,
} from '../../disk/composite/description.ts';
import type { Disk } from '../../disk/disk.ts';
import { DiskFormatError, quoteText } from '../../disk/disk-format-error.ts';
import { type DiskFormat, WRITABLE_FORMATS } from '../../disk/formats.ts';
import { OverlayDisk } from '../../disk/overlay.ts';
import { checkQcow2 } from '../../disk/qcow2/check.ts';
import { QCOW2_MAGIC } from '../../disk/qcow2/defs.ts';
import type { BackingReference } from '../../disk/qcow2/header.ts';
import { Qcow2Image } from '../../disk/qcow2/image.ts';
import { RawDisk } from '../../disk/raw.ts';
import { ZSTD_MAGIC, ZSTD_SKIPPABLE_MAGIC } from '../../disk/zstd-frame.ts';
import { ZstdSeekableDisk } from '../../disk/zstd-seekable.ts';
import { nodeDecompressors } from './decompressors.ts';
import { type DirectFile, openDirectFile } from './direct-file.ts';
import { identityOf, type NodeImageFile, openImageFile } from './image-file.ts';

/** How deep images may lie above one another, as in crosvm. */
const MAX_DEPTH = 10;

export interface DiskImageOptions {
  readonly path: string;
  readonly format: DiskFormat | 'auto';
  /** The default is false. */
  readonly readOnly?: boolean;
  /** Whether what the guest discards gives the host's space back. The default is true. */
  readonly sparse?: boolean;
  /** Whether two writers, or a writer and a reader, are kept apart. The default is true. */
  readonly lock?: boolean;
  /** Whether the host's page cache is gone past (O_DIRECT). The default is false. */
  readonly direct?: boolean;
  /** Changes stay in memory, and the image is only read. The default is false. */
  readonly snapshot?: boolean;
  /** Backing files that may be opened, by the names in the images or by their paths; or any. The default is none. */
  readonly backing?: readonly string[] | 'any';
}

/** What is the same for all images of a chain. */
interface Chain {
  readonly sparse: boolean;
  readonly lock: boolean;
  readonly direct: boolean;
  readonly backing: readonly string[] | 'any';
  /** The files that are open above. */
  readonly identities: readonly string[];
}

/** Opens an image. Throws FileError for its files, DiskFormatError for what is in them. */
export async function openDiskImage(options: DiskImageOptions): Promise<Disk> {
  const { path, format, snapshot = false } = options;
  const disk = await openInChain(path, format, snapshot || (options.readOnly ?? false), chainOf(options));
  return snapshot ? new OverlayDisk(disk) : disk;
}

/** Opens a qcow2 image as what it is, for commands that work on its insides. `repair` leaves a dirty image dirty. */
export async function openQcow2Image(
  options: Omit<DiskImageOptions, 'format' | 'snapshot'> & {
    readonly withoutBacking?: boolean;
    readonly keepDirty?: boolean;
  },
): Promise<Qcow2Image> {
  const chain = chainOf(options);
  const file = await openFile(options.path, options.readOnly ?? false, chain);
  return closeOnFailure(file, () =>
    openQcow2(file, chain, options.withoutBacking ?? false, options.keepDirty ?? false),
  );
}

const chainOf = ({
  sparse = true,
  lock = true,
  direct = false,
  backing = [],
}: Omit<DiskImageOptions, 'format'>): Chain => ({
  sparse,
  lock,
  direct,
  backing,
  identities: [],
});

type HostFile = NodeImageFile | DirectFile;

const openFile = (path: string, readOnly: boolean, { sparse, lock, direct }: Chain): Promise<HostFile> =>
  direct ? openDirectFile(path, { readOnly, sparse, lock }) : openImageFile(path, { readOnly, sparse, lock });

async function openInChain(path: string, format: DiskFormat | 'auto', readOnly: boolean, chain: Chain): Promise<Disk> {
  const file = await openFile(path, readOnly, chain);
  return closeOnFailure(file, async () => {
    switch (format === 'auto' ? await detectFormat(file) : format) {
      case 'raw':
        return new RawDisk(file);
      case 'qcow2':
        return openQcow2(file, chain, false, false);
      case 'composite':
        return openComposite(file, chain);
      case 'android-sparse':
        return AndroidSparseDisk.open(file);
      case 'zstd':
        return ZstdSeekableDisk.open(file, nodeDecompressors);
    }
  });
}

async function closeOnFailure<T>(file: HostFile, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await file.close().catch(() => undefined);
    throw error;
  }
}

/** What the contents look like. */
export async function detectFormat(file: HostFile): Promise<DiskFormat> {
  const start = new Uint8Array(COMPOSITE_MAGIC.length);
  await file.read(0, [start]);
  if (String.fromCharCode(...start) === COMPOSITE_MAGIC) return 'composite';
  const view = new DataView(start.buffer);
  if (view.getUint32(0) === QCOW2_MAGIC) return 'qcow2';
  const magic = view.getUint32(0, true);
  if (magic === ANDROID_SPARSE_MAGIC) return 'android-sparse';
  return magic === ZSTD_MAGIC || (magic & ~15) >>> 0 === ZSTD_SKIPPABLE_MAGIC ? 'zstd' : 'raw';
}

/** The description of a composite disk, whose file holds nothing else. */
export async function readDescription(file: HostFile): Promise<Description> {
  if (file.bytes > MAX_DESCRIPTION_BYTES)
    throw new DiskFormatError(file.name, 'length', file.bytes, 'is too much for a description of a composite disk');
  const bytes = new Uint8Array(file.bytes);
  await file.read(0, [bytes]);
  return parseDescription(bytes, file.name);
}

async function openComposite(file: HostFile, chain: Chain): Promise<Disk> {
  const { components, bytes } = await readDescription(file);
  const folder = dirname(resolve(file.name));
  const parts: Part[] = [];
  try {
    for (const { path: name, offset, writable, fileOffset } of components) {
      const path = resolve(folder, name);
      if (!isAllowed(chain, name, path) && !isInside(folder, path))
        throw new DiskFormatError(
          file.name,
          'component',
          name,
          'is not in the folder of its description, and not allowed',
        );
      const disk = new RawDisk(await openFile(path, file.readOnly || !writable, chain));
      parts.push({ disk, offset, start: fileOffset });
    }
  } catch (error) {
    await allSettled(parts.map(({ disk }) => disk.close())).catch(() => undefined);
    throw error;
  }
  await file.close();
  return new CompositeDisk(file.name, bytes, parts);
}

/** Whether a path is in a folder, after all symbolic links. What does not exist is told when it is opened. */
function isInside(folder: string, path: string): boolean {
  try {
    const from = relative(realpathSync(folder), realpathSync(path));
    return from !== '..' && !from.startsWith('../');
  } catch {
    return true;
  }
}

const isAllowed = ({ backing }: Chain, name: string, path: string): boolean =>
  backing === 'any' || backing.some((allowed) => allowed === name || resolve(allowed) === path);

async function openQcow2(
  file: HostFile,
  chain: Chain,
  withoutBacking: boolean,
  keepDirty: boolean,
): Promise<Qcow2Image> {
  if (file.isBlockDevice) throw new DiskFormatError(file.name, 'format', 'qcow2', 'is not supported on a block device');
  let header = await Qcow2Image.readHeader(file);
  if (header.dirty && !file.readOnly && !keepDirty) {
    await repair(file);
    header = await Qcow2Image.readHeader(file);
  }
  const backing =
    header.backing === undefined || withoutBacking ? undefined : await openBacking(file, header.backing, chain);
  try {
    return await Qcow2Image.open(file, header, backing, nodeDecompressors);
  } catch (error) {
    await backing?.close().catch(() => undefined);
    throw error;
  }
}

/** Somebody's process ended without writing all refcounts ("dirty bit"): they are counted anew. */
async function repair(file: HostFile): Promise<void> {
  const image = await Qcow2Image.open(file, await Qcow2Image.readHeader(file), undefined, nodeDecompressors);
  const { errors, repairedErrors } = await checkQcow2(image, 'all');
  if (errors > repairedErrors)
    throw new DiskFormatError(file.name, 'dirty bit', errors - repairedErrors, 'errors cannot be repaired');
}

async function openBacking(file: HostFile, reference: BackingReference, chain: Chain): Promise<Disk> {
  const { name, format } = reference;
  const path = resolve(dirname(file.name), name);
  const refuse = (reason: string): never => {
    throw new DiskFormatError(file.name, 'backing file', name, reason);
  };
  if (!isAllowed(chain, name, path)) refuse('is not allowed');
  if (chain.identities.length + 1 >= MAX_DEPTH)
    refuse(`would be image ${MAX_DEPTH + 1} of a chain of at most ${MAX_DEPTH}`);
  const identities = [...chain.identities, file.identity];
  // Before it is opened: the lock would refuse it for another reason.
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat !== undefined && identities.includes(identityOf(stat))) refuse('is the image itself, or one above it');
  if (format === undefined) return refuse('has no format in the image, and none is guessed');
  const known = WRITABLE_FORMATS.find((candidate) => candidate === format);
  if (known === undefined)
    return refuse(`has the format ${quoteText(format)}, which is not ${WRITABLE_FORMATS.join(' or ')}`);
  return openInChain(path, known, true, { ...chain, identities });
}
