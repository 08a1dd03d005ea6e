/**
 * The memory map that the loaders hand over: entries as INT 15h, AX=E820h returns them (ACPI 6.3, 15.1).
 *
 * @module
 */
import {
  FOUR_GIB,
  HIGH_MEMORY_START,
  KVM_IDENTITY_MAP_ADDRESS,
  KVM_TSS_END,
  MP_TABLE_ADDRESS,
  PCI_ECAM_BYTES,
  PCI_ECAM_START,
  splitRam,
} from './layout.ts';

/** Address range types of ACPI 6.3, table 15-374. */
export const E820Type = { Ram: 1, Reserved: 2, Acpi: 3, Nvs: 4 } as const;
export type E820Type = (typeof E820Type)[keyof typeof E820Type];

export interface E820Entry {
  readonly address: number;
  readonly bytes: number;
  readonly type: E820Type;
}

const range = (start: number, end: number, type: E820Type): E820Entry => ({
  address: start,
  bytes: end - start,
  type,
});

/** The memory map of a machine with this much RAM, in ascending order and without overlap. */
export function buildE820(ramBytes: number): E820Entry[] {
  const { lowEnd, highEnd } = splitRam(ramBytes);
  return [
    range(0, MP_TABLE_ADDRESS, E820Type.Ram),
    range(MP_TABLE_ADDRESS, HIGH_MEMORY_START, E820Type.Reserved),
    range(HIGH_MEMORY_START, lowEnd, E820Type.Ram),
    // Linux believes MCFG only when the memory map or a motherboard resource reserves the same range.
    range(PCI_ECAM_START, PCI_ECAM_START + PCI_ECAM_BYTES, E820Type.Reserved),
    range(KVM_IDENTITY_MAP_ADDRESS, KVM_TSS_END, E820Type.Reserved),
    range(FOUR_GIB, highEnd, E820Type.Ram),
  ].filter((entry) => entry.bytes > 0);
}
