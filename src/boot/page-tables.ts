/**
 * Page tables for a start in long mode: the first 4 GiB mapped to themselves with 2 MiB pages (Intel SDM 3A, 4.5).
 *
 * @module
 */
import { type GuestMemory, gpa } from '../memory/guest-memory.ts';
import { BOOT_PD_ADDRESS, BOOT_PD_COUNT, BOOT_PDPT_ADDRESS, BOOT_PML4_ADDRESS } from './layout.ts';

const PAGE = 0x1000;
const LARGE_PAGE = 0x20_0000;
const ENTRIES = 512;
const PRESENT_WRITABLE = 0x3;
const PAGE_SIZE_BIT = 0x80;

/** Writes PML4, PDPT and the page directories at crosvm's addresses. CR3 is BOOT_PML4_ADDRESS. */
export function writeIdentityPageTables(memory: GuestMemory): void {
  memory.fill(gpa(BOOT_PML4_ADDRESS), PAGE, 0);
  memory.fill(gpa(BOOT_PDPT_ADDRESS), PAGE, 0);
  memory.fill(gpa(BOOT_PD_ADDRESS), BOOT_PD_COUNT * PAGE, 0);
  // Everything lies below 4 GiB, so the upper halves of all entries stay zero.
  memory.writeU32(gpa(BOOT_PML4_ADDRESS), BOOT_PDPT_ADDRESS + PRESENT_WRITABLE);
  for (let directory = 0; directory < BOOT_PD_COUNT; directory++) {
    memory.writeU32(gpa(BOOT_PDPT_ADDRESS + directory * 8), BOOT_PD_ADDRESS + directory * PAGE + PRESENT_WRITABLE);
  }
  for (let page = 0; page < BOOT_PD_COUNT * ENTRIES; page++) {
    memory.writeU32(gpa(BOOT_PD_ADDRESS + page * 8), page * LARGE_PAGE + PAGE_SIZE_BIT + PRESENT_WRITABLE);
  }
}
