/**
 * Does a block request on a disk: data goes straight between guest memory and the host.
 *
 * @module
 */
import type { Disk } from '../../../disk/disk.ts';
import type { Chain } from '../queue/chain.ts';
import { BLK_REQ_HEADER_BYTES } from './defs.ts';
import type { BlockRequest } from './request.ts';
import type { Transfer } from './request-run.ts';

export interface BlockTarget {
  readonly disk: Disk;
  /** VIRTIO_BLK_ID_BYTES, filled up with zeros. */
  readonly id: Uint8Array;
  /** `DriverSession.hostWrote`. */
  readonly hostWrote: (parts: readonly Uint8Array[]) => Promise<void> | undefined;
  /** The driver does not flush: a write is durable when it is done (5.2.6.2). */
  readonly writeThrough: boolean;
}

/** A read or a write, and where its data is. */
interface PlacedTransfer {
  readonly request: Transfer;
  readonly chain: Chain;
}

/** Does anything but a read or a write. Rejects with the host's error. */
export async function execute(
  request: Exclude<BlockRequest, Transfer>,
  chain: Chain,
  target: BlockTarget,
): Promise<void> {
  const { disk } = target;
  switch (request.kind) {
    case 'flush':
      return disk.flush();
    case 'get-id':
      chain.write(0, target.id);
      return target.hostWrote(chain.writableViews(0, target.id.length));
    case 'discard':
      for (const { offset, bytes } of request.ranges) await disk.discard(offset, bytes);
      break;
    case 'write-zeroes':
      for (const { offset, bytes, unmap } of request.ranges) await disk.writeZeroes(offset, bytes, unmap);
      break;
  }
  if (target.writeThrough) await disk.flush();
  return undefined;
}

/**
 * Does reads, or writes, that follow each other on the disk as one; at least one there is. Rejects with the host's error: then any of them may
 * have failed.
 */
export function executeRun(run: readonly PlacedTransfer[], target: BlockTarget): Promise<void> {
  const [first] = run as readonly [PlacedTransfer];
  const { kind, offset } = first.request;
  const parts = run.length === 1 ? viewsOf(first) : run.flatMap(viewsOf);
  return kind === 'read' ? readInto(parts, offset, target) : writeFrom(parts, offset, target);
}

const viewsOf = ({ request: { kind, bytes }, chain }: PlacedTransfer): Uint8Array[] =>
  kind === 'read' ? chain.writableViews(0, bytes) : chain.readableViews(BLK_REQ_HEADER_BYTES, bytes);

async function writeFrom(
  parts: readonly Uint8Array[],
  offset: number,
  { disk, writeThrough }: BlockTarget,
): Promise<void> {
  await disk.write(offset, parts);
  if (writeThrough) await disk.flush();
}

async function readInto(parts: readonly Uint8Array[], offset: number, { disk, hostWrote }: BlockTarget): Promise<void> {
  try {
    await disk.read(offset, parts);
  } finally {
    // A read that failed may have written something too.
    const dropped = hostWrote(parts);
    if (dropped !== undefined) await dropped;
  }
}

/** Bytes from the start of the chain's writable part that a request that succeeded has written, without the status. */
export function writtenBytes(request: BlockRequest, idBytes: number): number {
  if (request.kind === 'read') return request.bytes;
  return request.kind === 'get-id' ? idBytes : 0;
}
