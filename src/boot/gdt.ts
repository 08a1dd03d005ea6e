/**
 * The GDT that a kernel finds at its entry: flat segments under the selectors that Linux demands (boot.rst, "64-bit boot
 * protocol": __BOOT_CS 0x10, __BOOT_DS 0x18), and an IDT without gates.
 *
 *     descriptor (Intel SDM 3A, 3.4.5)
 *     63    56 55 52 51   48 47      40 39            16 15         0
 *     base     G D   limit   P DPL S    base             limit
 *     31..24   L AVL 19..16  type       23..0            15..0
 *
 * @module
 */
import { type GuestMemory, gpa } from '../memory/guest-memory.ts';
import type { BootSegments, SegmentState } from './cpu-boot-state.ts';
import { BOOT_GDT_ADDRESS, BOOT_GDT_ENTRIES, BOOT_IDT_ADDRESS } from './layout.ts';

export const BOOT_CS = 0x10;
export const BOOT_DS = 0x18;
export const BOOT_TSS = 0x20;

/** Present, DPL 0, code, readable, accessed; 4 KiB granularity; L or D. */
export const ATTRIBUTES_CODE64 = 0xa09b;
export const ATTRIBUTES_CODE32 = 0xc09b;
/** Present, DPL 0, data, writable, accessed; D/B and G. */
export const ATTRIBUTES_DATA = 0xc093;
/** Present, busy 32-bit TSS (64-bit in long mode), byte granularity. */
export const ATTRIBUTES_TSS = 0x008b;
/** A null segment register. */
export const ATTRIBUTES_UNUSABLE = 0x1_0000;

const G = 0x8000;
/** Smallest TSS, as PVH asks for. */
const TSS_LIMIT = 0x67;

/** The 8-byte descriptor of a segment. */
export function encodeDescriptor({ base, limit, attributes }: SegmentState): bigint {
  const units = BigInt(attributes & G ? limit >>> 12 : limit);
  const address = BigInt(base);
  return (
    (units & 0xffffn) |
    ((address & 0xff_ffffn) << 16n) |
    (BigInt(attributes & 0xf0ff) << 40n) |
    (((units >> 16n) & 0xfn) << 48n) |
    (((address >> 24n) & 0xffn) << 56n)
  );
}

/** Writes GDT and IDT at crosvm's addresses and gives all segments for a start in the code segment `cs`. */
export function writeBootGdt(memory: GuestMemory, cs: SegmentState): BootSegments {
  const data: SegmentState = { selector: BOOT_DS, base: 0, limit: 0xffff_ffff, attributes: ATTRIBUTES_DATA };
  const tr: SegmentState = { selector: BOOT_TSS, base: 0, limit: TSS_LIMIT, attributes: ATTRIBUTES_TSS };
  const ldtr: SegmentState = { selector: 0, base: 0, limit: 0, attributes: ATTRIBUTES_UNUSABLE };
  memory.fill(gpa(BOOT_GDT_ADDRESS), BOOT_GDT_ENTRIES * 8, 0);
  for (const segment of [cs, data, tr]) {
    memory.writeU64(gpa(BOOT_GDT_ADDRESS + segment.selector), encodeDescriptor(segment));
  }
  // One gate that is not present: an exception before the kernel has an IDT of its own ends in a triple fault.
  memory.writeU64(gpa(BOOT_IDT_ADDRESS), 0n);
  return {
    cs,
    ds: data,
    es: data,
    fs: data,
    gs: data,
    ss: data,
    tr,
    ldtr,
    gdtr: { base: BOOT_GDT_ADDRESS, limit: BOOT_GDT_ENTRIES * 8 - 1 },
    idtr: { base: BOOT_IDT_ADDRESS, limit: 7 },
  };
}
