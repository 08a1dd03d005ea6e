/**
 * qcow2 images whose files are in memory.
 *
 * @module
 */
import { Qcow2Image } from '../../src/disk/qcow2/image.ts';
import { RawDisk } from '../../src/disk/raw.ts';
import { MemoryFile } from '../../src/disk/testing.ts';
import { nodeDecompressors } from '../../src/host/node/decompressors.ts';

/** Opens an image over a raw backing file, where it has one. */
export async function openInMemory(file: MemoryFile, backing: Uint8Array | undefined): Promise<Qcow2Image> {
  const disk = backing && new RawDisk(new MemoryFile(backing, 'backing.raw', true));
  return Qcow2Image.open(file, await Qcow2Image.readHeader(file), disk, nodeDecompressors);
}

/** The disk that an image holds. */
export async function readAll(image: Qcow2Image): Promise<Uint8Array> {
  const contents = new Uint8Array(image.bytes);
  await image.read(0, [contents]);
  return contents;
}
