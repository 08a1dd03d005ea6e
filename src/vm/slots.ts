/**
 * Where each device is on the PCI bus, or in the row of MMIO devices. A device keeps its slot whatever others there are, so
 * that a guest finds what it knew where it was. The first ones are those of crosvm's machine with a console and one disk.
 *
 *     0    host bridge          3    entropy             16   the other disks, to 31
 *     1    first console        4    balloon
 *     2    first disk           5    the other consoles, to 7
 *
 * @module
 */
export const RNG_SLOT = 3;

const FIRST_DISK_SLOT = 2;
const OTHER_DISKS_SLOT = 16;
const SLOTS = 32;
export const MAX_DISKS: number = 1 + SLOTS - OTHER_DISKS_SLOT;

const FIRST_CONSOLE_SLOT = 1;
const OTHER_CONSOLES_SLOT = 5;

/** The slot of virtio console `num`, counted from 1. */
export const consoleSlot = (num: 1 | 2 | 3 | 4): number =>
  num === 1 ? FIRST_CONSOLE_SLOT : OTHER_CONSOLES_SLOT + num - 2;

/** The slot of disk `index`, counted from 0. */
export const diskSlot = (index: number): number => (index === 0 ? FIRST_DISK_SLOT : OTHER_DISKS_SLOT + index - 1);
