/**
 * Where each device is on the PCI bus, or in the row of MMIO devices. A device keeps its slot whatever others there are, so
 * that a guest finds what it knew where it was. The first ones are those of crosvm's machine with a console and one disk.
 *
 *     0    host bridge          2    first disk          4    balloon
 *     1    consoles             3    entropy             16   the other disks, to 31
 *     11   SCSI host            12   persistent memory, to 15
 *
 * @module
 */
export const CONSOLE_SLOT = 1;
export const RNG_SLOT = 3;
export const BALLOON_SLOT = 4;
export const SCSI_SLOT = 11;

const FIRST_PMEM_SLOT = 12;
export const MAX_PMEM = 4;

const FIRST_DISK_SLOT = 2;
const OTHER_DISKS_SLOT = 16;
const SLOTS = 32;
export const MAX_DISKS: number = 1 + SLOTS - OTHER_DISKS_SLOT;

/** The slot of persistent memory `index`, counted from 0. */
export const pmemSlot = (index: number): number => FIRST_PMEM_SLOT + index;
/** The slot of disk `index`, counted from 0. */
export const diskSlot = (index: number): number => (index === 0 ? FIRST_DISK_SLOT : OTHER_DISKS_SLOT + index - 1);
