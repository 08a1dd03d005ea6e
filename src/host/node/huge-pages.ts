/**
 * Huge pages for guest RAM and the vCPUs' decoded code (madvise(2), MADV_HUGEPAGE), as crosvm's `--hugepages` and by default: Linux then gives memory 2 MiB at a time
 * where the guest first touches it. On a host that is a virtual machine itself, where a page fault takes some 12 µs, the first touch of
 * 200 MiB took 640 ms in small pages and 20 to 400 in huge ones; with both, page tables of the host are looked at less often.
 *
 * Refuses nothing: without koffi, or where the host never or always uses huge pages, memory stays as it is.
 *
 * @module
 */
import { readFileSync } from 'node:fs';
import type { RamBacking } from '../../memory/machine-memory.ts';
import { linuxCalls, MADV_HUGEPAGE } from './linux-calls.ts';

/** Where Linux says which memory gets huge pages: `always [madvise] never`; memfds have a list of their own. */
const SETTINGS: Readonly<Record<RamBacking, string>> = {
  anonymous: '/sys/kernel/mm/transparent_hugepage/enabled',
  memfd: '/sys/kernel/mm/transparent_hugepage/shmem_enabled',
};

/** Whether memory must ask for huge pages to get them: the setting in brackets. */
export const mustAsk = (setting: string): boolean => /\[(madvise|advise)\]/.test(setting);

function readSetting(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    // Not Linux, or built without them.
    return '';
  }
}

/** Asks for huge pages for a part of a machine's memory. Loads koffi only where asking is of use. */
export function useHugePages(backing: RamBacking, part: Uint8Array): void {
  if (mustAsk(readSetting(SETTINGS[backing]))) linuxCalls()?.madvise(wholePages(part), MADV_HUGEPAGE);
}

/** Every part begins at a page of WebAssembly, which is a multiple of the host's pages. */
const wholePages = (part: Uint8Array): Uint8Array => part.subarray(0, part.length - (part.length % 4096));
