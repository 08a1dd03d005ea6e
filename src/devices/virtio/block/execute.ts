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

/** Rejects with the host's error. */
export async function execute(request: BlockRequest, chain: Chain, target: BlockTarget): Promise<void> {
  const { disk } = target;
  switch (request.kind) {
    case 'read':
    case 'write':
      return executeRun([{ request, chain }], target);
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

/** Does reads or writes that follow each other on the disk as one. Rejects with the host's error: then any of them may have failed. */
export async function executeRun(
  run: readonly { readonly request: Transfer; readonly chain: Chain }[],
  target: BlockTarget,
): Promise<void> {
  const [{ request: first }] = run as readonly [(typeof run)[number], ...typeof run];
  if (first.kind === 'read') {
    const parts = run.flatMap(({ request, chain }) => chain.writableViews(0, request.bytes));
    return readInto(parts, first.offset, target);
  }
  const parts = run.flatMap(({ request, chain }) => chain.readableViews(BLK_REQ_HEADER_BYTES, request.bytes));
  await target.disk.write(first.offset, parts);
  if (target.writeThrough) await target.disk.flush();
  return undefined;
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
