/**
 * What a host's disk may hold after a crash: all that was written before the last flush, and of what was written since, any sectors
 * in any order.
 *
 * @module
 */
import type { FileEvent } from '../../src/disk/testing.ts';
import { SECTOR } from './model-disk.ts';

type Random = (below: number) => number;

/** The file when the host crashes behind the first `count` events. */
export function fileAfterCrash(
  start: Uint8Array,
  log: readonly FileEvent[],
  count: number,
  random: Random,
): Uint8Array {
  const events = log.slice(0, count);
  const durable = events.findLastIndex(({ kind }) => kind === 'flush');
  const file = new Uint8Array(lengthAfter(start.length, events));
  file.set(start.subarray(0, file.length));
  // Nothing of what is not durable, all of it, or mostly some.
  const mode = random(8);
  for (const [index, event] of events.entries()) {
    if (event.kind === 'flush') continue;
    if (event.kind === 'truncate') {
      file.fill(0, event.bytes);
      continue;
    }
    const { offset, data } = event;
    if (index < durable || mode === 0) {
      file.set(data.subarray(0, Math.max(0, file.length - offset)), offset);
      continue;
    }
    if (mode === 1) continue;
    for (let at = 0; at < data.length; ) {
      // The host's disk writes whole sectors, and a write may begin inside one.
      const next = Math.min(data.length, at + SECTOR - ((offset + at) % SECTOR));
      if (random(2) === 0) file.set(data.subarray(at, next), offset + at);
      at = next;
    }
  }
  return file;
}

/** A file's length is taken to be what it became: a shorter one would only be missing what reads as zeros. */
function lengthAfter(start: number, events: readonly FileEvent[]): number {
  let length = start;
  for (const event of events) {
    if (event.kind === 'write') length = Math.max(length, event.offset + event.data.length);
    else if (event.kind === 'truncate') length = event.bytes;
  }
  return length;
}

/** One change of a disk, or a flush of it, with the file's events during which it was under way. */
export interface Operation {
  readonly kind: 'write' | 'zero' | 'discard' | 'flush';
  readonly offset: number;
  readonly data: Uint8Array;
  readonly begin: number;
  readonly end: number;
}

/** The first byte of a disk that is neither what the last flush made durable nor what was written since; undefined when there is none. */
export function lostByte(
  disk: Uint8Array,
  start: Uint8Array,
  operations: readonly Operation[],
  crash: number,
): number | undefined {
  const begun = operations.filter(({ begin }) => begin < crash);
  const flush = begun.findLastIndex(({ kind, end }) => kind === 'flush' && end <= crash);
  const durable = start.slice();
  for (const { kind, offset, data } of begun.slice(0, Math.max(0, flush)))
    if (kind !== 'flush') durable.set(data, offset);
  const since = begun.slice(flush + 1).filter(({ kind }) => kind !== 'flush');
  for (let at = 0; at < disk.length; at++) {
    if (disk[at] === durable[at]) continue;
    const isNew = since.some(
      ({ kind, offset, data }) =>
        at >= offset && at < offset + data.length && (kind === 'discard' || data[at - offset] === disk[at]),
    );
    if (!isNew) return at;
  }
  return undefined;
}
