/**
 * Does a SCSI command on a logical unit: data goes straight between guest memory and the host.
 *
 * @module
 */
import type { Disk } from '../../../disk/disk.ts';
import type { Chain } from '../queue/chain.ts';
import {
  INVALID_FIELD_IN_CDB,
  isSense,
  PARAMETER_LIST_LENGTH,
  parseUnmap,
  READ_ERROR,
  type ScsiCommand,
  type Sense,
  UNMAP_HEADER_BYTES,
  UNMAP_RANGE_BYTES,
  WRITE_ERROR,
} from './command.ts';
import * as P from './pages.ts';
import type { ScsiRequest } from './request.ts';

export interface ScsiTarget extends P.ScsiIdentity {
  readonly disk: Disk;
  readonly lunCount: number;
  /** What the unit is to say of its own accord, which is said then; or no sense. */
  readonly takeAttention: () => Sense;
  /** `DriverSession.hostWrote`. */
  readonly hostWrote: (parts: readonly Uint8Array[]) => Promise<void> | undefined;
  /** Told of errors of the host. */
  readonly onError: (command: ScsiCommand, error: unknown) => void;
}

/** What came of a command: bytes from and to the device, or the sense that refuses it; 'overrun' when it asks for more than there is room for. */
export type ScsiOutcome = { readonly in: number; readonly out: number } | Sense | 'overrun';

/** A pattern is written in pieces of this size, so that a large range does not hold up other requests. */
const PIECE_BYTES = 0x10_0000;
const NOTHING: ScsiOutcome = { in: 0, out: 0 };

/** Never rejects: an error of the host is a medium error. */
export async function execute(
  command: ScsiCommand,
  request: ScsiRequest,
  chain: Chain,
  target: ScsiTarget,
): Promise<ScsiOutcome> {
  const { disk, limits } = target;
  try {
    switch (command.kind) {
      case 'test-unit-ready':
        return NOTHING;
      case 'read': {
        if (command.bytes > request.inBytes) return 'overrun';
        const parts = chain.writableViews(request.inAt, command.bytes);
        try {
          await disk.read(command.offset, parts);
        } finally {
          // A read that failed may have written something too.
          const dropped = target.hostWrote(parts);
          if (dropped !== undefined) await dropped;
        }
        return { in: command.bytes, out: 0 };
      }
      case 'write':
        if (command.bytes > request.outBytes) return 'overrun';
        await disk.write(command.offset, chain.readableViews(request.outAt, command.bytes));
        if (command.durable) await disk.flush();
        return { in: 0, out: command.bytes };
      case 'flush':
        if (!limits.readOnly) await disk.flush();
        return NOTHING;
      case 'unmap':
        return await unmap(command.bytes, request, chain, target);
      case 'write-same':
        return await writeSame(command, request, chain, target);
      default: {
        const data = answer(command, target);
        if (data === undefined) return INVALID_FIELD_IN_CDB;
        const outcome = give(data, command.limit, request, chain);
        await target.hostWrote(chain.writableViews(request.inAt, Math.min(data.length, request.inBytes)));
        return outcome;
      }
    }
  } catch (error) {
    target.onError(command, error);
    return command.kind === 'read' ? READ_ERROR : WRITE_ERROR;
  }
}

/** As many bytes as were asked for and have room. */
export function give(data: Uint8Array, limit: number, request: ScsiRequest, chain: Chain): ScsiOutcome {
  const bytes = Math.min(data.length, limit, request.inBytes);
  chain.write(request.inAt, data.subarray(0, bytes));
  return { in: bytes, out: 0 };
}

function answer(command: ScsiCommand, target: ScsiTarget): Uint8Array | undefined {
  switch (command.kind) {
    case 'inquiry':
      return P.inquiry(0);
    case 'vital-product-data':
      return P.vitalProductData(command.page, target);
    case 'mode-sense':
      return P.modeSense(command.page, command.long, target.limits);
    case 'read-capacity':
      return P.readCapacity(command.long, target.limits);
    case 'request-sense':
      return P.senseData(target.takeAttention());
    case 'report-luns':
      return P.lunList(target.lunCount);
    default:
      return undefined;
  }
}

async function unmap(bytes: number, request: ScsiRequest, chain: Chain, target: ScsiTarget): Promise<ScsiOutcome> {
  if (bytes > request.outBytes) return 'overrun';
  // What a guest can make the host copy is bounded by the number of ranges that are taken, and one to refuse.
  const most = UNMAP_HEADER_BYTES + (target.limits.maxUnmapRanges + 1) * UNMAP_RANGE_BYTES;
  if (bytes > most) return PARAMETER_LIST_LENGTH;
  const copy = new Uint8Array(bytes);
  chain.read(request.outAt, copy);
  const parsed = parseUnmap(new DataView(copy.buffer), target.limits);
  if (isSense(parsed)) return parsed;
  for (const range of parsed.ranges) if (range.bytes > 0) await target.disk.discard(range.offset, range.bytes);
  return { in: 0, out: bytes };
}

/** Zeros are the disk's to make; anything else is written block by block. */
async function writeSame(
  { offset, bytes, unmap, zeros }: Extract<ScsiCommand, { kind: 'write-same' }>,
  request: ScsiRequest,
  chain: Chain,
  { disk, limits }: ScsiTarget,
): Promise<ScsiOutcome> {
  const { blockSize } = limits;
  if (zeros) {
    await disk.writeZeroes(offset, bytes, unmap);
    return NOTHING;
  }
  if (request.outBytes < blockSize) return 'overrun';
  const block = new Uint8Array(blockSize);
  chain.read(request.outAt, block);
  if (block.every((byte) => byte === 0)) await disk.writeZeroes(offset, bytes, unmap);
  else {
    const piece = new Uint8Array(Math.min(bytes, PIECE_BYTES));
    for (let at = 0; at < piece.length; at += blockSize) piece.set(block, at);
    for (let done = 0; done < bytes; done += piece.length) {
      await disk.write(offset + done, [piece.subarray(0, Math.min(piece.length, bytes - done))]);
    }
  }
  return { in: 0, out: blockSize };
}
