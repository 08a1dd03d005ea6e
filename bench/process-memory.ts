/**
 * What of a process's memory is resident, and how much of that is guest RAM, as Linux tells in /proc.
 *
 * @module
 */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

const PAGE_BYTES = 4096;
const MIB = 0x10_0000;
/** An entry of pagemap: bit 63 of 64 is set when the page is in memory. */
const ENTRY_BYTES = 8;

/** MiB. */
export interface ResidentMemory {
  readonly total: number;
  /** Pages of guest RAM; undefined when there is no mapping of the size that was asked for. */
  readonly guest: number | undefined;
}

/** Where a guest's RAM lies: in the mapping of this size, from the offset on. */
export interface GuestRam {
  readonly mappingBytes: number;
  readonly offset: number;
  readonly bytes: number;
}

/**
 * First address of the mapping in the text of a `maps` file that has this size and can be read and written. The kernel merges none with
 * its neighbours, but one whose parts were advised of differently stands there in several pieces, one behind the other.
 */
export function findMapping(maps: string, bytes: number): number | undefined {
  /** Starts of the pieces that end where the next one begins. */
  let starts: number[] = [];
  let end = 0;
  for (const [, from = '', to = ''] of maps.matchAll(/^([0-9a-f]+)-([0-9a-f]+) rw/gm)) {
    const start = Number.parseInt(from, 16);
    if (start !== end) starts = [];
    starts.push(start);
    end = Number.parseInt(to, 16);
    const found = starts.find((at) => end - at === bytes);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** How many pages are in memory, by their entries of pagemap. */
export function countPresent(pagemap: Uint8Array): number {
  let present = 0;
  for (let at = ENTRY_BYTES - 1; at < pagemap.length; at += ENTRY_BYTES) present += (pagemap[at] as number) >> 7;
  return present;
}

function residentIn(pid: number, from: number, bytes: number): number {
  const entries = new Uint8Array((bytes / PAGE_BYTES) * ENTRY_BYTES);
  const fd = openSync(`/proc/${pid}/pagemap`, 'r');
  try {
    let done = 0;
    while (done < entries.length) {
      const count = readSync(fd, entries, done, entries.length - done, (from / PAGE_BYTES) * ENTRY_BYTES + done);
      if (count === 0) break;
      done += count;
    }
  } finally {
    closeSync(fd);
  }
  return (countPresent(entries) * PAGE_BYTES) / MIB;
}

/** Undefined when the process is gone. */
export function residentMemory(pid: number, ram: GuestRam): ResidentMemory | undefined {
  try {
    const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
    if (kib === undefined) return undefined;
    const start = findMapping(readFileSync(`/proc/${pid}/maps`, 'latin1'), ram.mappingBytes);
    const guest = start === undefined ? undefined : residentIn(pid, start + ram.offset, ram.bytes);
    return { total: Number(kib) / 1024, guest };
  } catch {
    return undefined;
  }
}
