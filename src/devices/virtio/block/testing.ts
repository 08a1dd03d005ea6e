/**
 * A disk in memory, and requests as a driver writes them.
 *
 * @module
 */
import type { Disk } from '../../../disk/disk.ts';
import { type Buffer, readableBytes, writable } from '../queue/testing.ts';
import { BLK_RANGE_BYTES, BLK_REQ_HEADER_BYTES } from './defs.ts';

/** Operations end when they are let to: at once, or one by one where `hold` is set. */
export class MemoryDisk implements Disk {
  readonly name = 'memory';
  readonly contents: Uint8Array;
  readonly readOnly: boolean;
  /** What was asked for, in order: "read 0+512". */
  readonly log: string[] = [];
  /** Fails every operation with this. */
  failure: Error | undefined;
  hold = false;
  readonly held: (() => void)[] = [];
  /** Its memory stays what it was, so that a test can see what reaches behind the end. */
  readonly resize: (bytes: number) => Promise<void>;
  bytes: number;

  constructor(bytes: number, readOnly = false) {
    this.contents = new Uint8Array(bytes);
    this.bytes = bytes;
    this.readOnly = readOnly;
    this.resize = (length) =>
      this.#do(`resize ${length}`, () => {
        this.bytes = length;
      });
  }

  async #do(what: string, work: () => void): Promise<void> {
    this.log.push(what);
    if (this.hold) await new Promise<void>((resolve) => void this.held.push(resolve));
    if (this.failure) throw this.failure;
    work();
  }

  #check(offset: number, bytes: number): void {
    if (offset < 0 || offset + bytes > this.bytes) throw new RangeError(`memory: ${offset}+${bytes} is outside`);
  }

  read(offset: number, into: readonly Uint8Array[]): Promise<void> {
    const bytes = into.reduce((sum, buffer) => sum + buffer.length, 0);
    return this.#do(`read ${offset}+${bytes}`, () => {
      this.#check(offset, bytes);
      let at = offset;
      for (const buffer of into) {
        buffer.set(this.contents.subarray(at, at + buffer.length));
        at += buffer.length;
      }
    });
  }

  write(offset: number, from: readonly Uint8Array[]): Promise<void> {
    const bytes = from.reduce((sum, buffer) => sum + buffer.length, 0);
    return this.#do(`write ${offset}+${bytes}`, () => {
      this.#check(offset, bytes);
      let at = offset;
      for (const buffer of from) {
        this.contents.set(buffer, at);
        at += buffer.length;
      }
    });
  }

  flush(): Promise<void> {
    return this.#do('flush', () => {});
  }

  discard(offset: number, bytes: number): Promise<void> {
    return this.#do(`discard ${offset}+${bytes}`, () => this.#check(offset, bytes));
  }

  writeZeroes(offset: number, bytes: number, unmap: boolean): Promise<void> {
    return this.#do(`zero ${offset}+${bytes}${unmap ? ' unmap' : ''}`, () => {
      this.#check(offset, bytes);
      this.contents.fill(0, offset, offset + bytes);
    });
  }

  async close(): Promise<void> {}
}

/** struct virtio_blk_req up to the data. */
export function blockHeader(type: number, sector: number | bigint = 0): Uint8Array {
  const bytes = new Uint8Array(BLK_REQ_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setBigUint64(8, BigInt(sector), true);
  return bytes;
}

/** struct virtio_blk_discard_write_zeroes. */
export function blockRange(sector: number | bigint, sectors: number, flags = 0): Uint8Array {
  const bytes = new Uint8Array(BLK_RANGE_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(sector), true);
  view.setUint32(8, sectors, true);
  view.setUint32(12, flags, true);
  return bytes;
}

/** Header, data and status in buffers of their own. */
export const blockRequest = (type: number, sector: number | bigint, ...data: readonly Buffer[]): Buffer[] => [
  readableBytes(blockHeader(type, sector)),
  ...data,
  writable(1),
];
