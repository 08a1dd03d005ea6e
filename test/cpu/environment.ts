/**
 * Where recorded cases live: the pages they see, the segments of each environment, the memory contents.
 *
 * The native recorder (recorder/recorder.c) maps the same pages; an executor that replays cases has to as well:
 *
 *     CODE_LOW  + 0x0000   2 pages, user, read and execute, full of INT3 (CC) but for the case's instruction
 *     DATA_LOW  + 0x0000   not present
 *     DATA_LOW  + 0x1000   2 pages, user, read and write, no execute
 *     DATA_LOW  + 0x3000   1 page, user, read only, no execute
 *     DATA_LOW  + 0x4000   not present
 *     HIGH + either        the same physical pages again, above 4 GiB
 *
 * Nothing else is present. Offsets into memory ("patches", "writes") count from DATA_LOW + 0x1000.
 * The instruction has run when RIP is on an INT3 that is not part of it; the executor stops there without executing it.
 *
 * Privilege level 3, CR0 = PG WP NE AM MP PE (EM and TS clear), CR4 with OSFXSR, OSXMMEXCPT, FSGSBASE, UMIP, no PKE use,
 * EFER.NXE. IOPL 0, IF 1. A task-state segment without an I/O bitmap.
 *
 * @module
 */
import { Prng } from './prng.ts';
import { CS, DS, ES, FS, GS, SS } from './machine-state.ts';

export const PAGE_BYTES = 0x1000;
export const CODE_LOW = 0x1000_0000;
export const CODE_BYTES = 2 * PAGE_BYTES;
export const DATA_LOW = 0x2000_0000;
/** First byte of the writable data pages. */
export const DATA_START = DATA_LOW + PAGE_BYTES;
export const DATA_WRITABLE_BYTES = 2 * PAGE_BYTES;
/** Writable pages and the read-only one. */
export const DATA_BYTES = 3 * PAGE_BYTES;
/** Distance of the second mapping of everything. */
export const HIGH = 0x1234_0000_0000n;
export const INT3 = 0xcc;

/** Distance of a mapping of the code pages that only random programs know, to which they may write. */
export const WRITABLE_CODE = 0x0800_0000;

/** What the data pages hold before a case's patches; the read-only page is never patched. */
export function memoryBackground(): Uint8Array {
  const words = new Uint32Array(DATA_BYTES / 4);
  const prng = new Prng(0x6d656d, 0x2e626b);
  for (let i = 0; i < words.length; i++) words[i] = prng.u32();
  return new Uint8Array(words.buffer);
}

/**
 * A segment descriptor as the cases need it. `limit` in bytes, inclusive. `type` as in the descriptor (SDM vol. 3A,
 * table 3-1), accessed bit set.
 */
export interface Descriptor {
  readonly selector: number;
  readonly base: number;
  readonly limit: number;
  readonly type: number;
  /** D/B bit. */
  readonly big: boolean;
  /** L bit. */
  readonly long: boolean;
  readonly granular: boolean;
  readonly present: boolean;
}

const DATA_RW = 0x3,
  DATA_RO = 0x1,
  DATA_DOWN_RW = 0x7,
  CODE_RX = 0xb,
  CODE_X = 0x9;
const FLAT = 0xffff_ffff;
const ldt = (index: number): number => (index * 8) | 7;
const row = (
  selector: number,
  base: number,
  limit: number,
  type: number,
  big = true,
  present = true,
  long = false,
): Descriptor => ({ selector, base, limit, type, big, long, granular: limit === FLAT, present });

export const SEL_COMPAT_CODE = 0x23,
  SEL_FLAT_DATA = 0x2b,
  SEL_LONG_CODE = 0x33;
export const SEL_CODE16 = ldt(1),
  SEL_DATA16 = ldt(2),
  SEL_PAGE = ldt(3),
  SEL_DOWN = ldt(4),
  SEL_READ_ONLY = ldt(5);
export const SEL_CODE_BASED = ldt(6),
  SEL_EXECUTE_ONLY = ldt(7),
  SEL_DOWN16 = ldt(8),
  SEL_WRAP = ldt(9),
  SEL_ABSENT = ldt(10),
  SEL_ABSENT_CODE = ldt(11);

/** All DPL 3, S = 1. The first three are Linux's own in the GDT, the rest the recorder puts into the LDT. */
export const DESCRIPTORS: readonly Descriptor[] = [
  row(SEL_COMPAT_CODE, 0, FLAT, CODE_RX),
  row(SEL_FLAT_DATA, 0, FLAT, DATA_RW),
  row(SEL_LONG_CODE, 0, FLAT, CODE_RX, false, true, true),
  row(SEL_CODE16, CODE_LOW, 0xffff, CODE_RX, false),
  row(SEL_DATA16, DATA_LOW, 0xffff, DATA_RW, false),
  row(SEL_PAGE, DATA_START, 0xfff, DATA_RW),
  row(SEL_DOWN, DATA_LOW, 0x1fff, DATA_DOWN_RW),
  row(SEL_READ_ONLY, 0, FLAT, DATA_RO),
  row(SEL_CODE_BASED, CODE_LOW, 0x1fff, CODE_RX),
  row(SEL_EXECUTE_ONLY, CODE_LOW, 0x1fff, CODE_X),
  row(SEL_DOWN16, DATA_LOW, 0x1fff, DATA_DOWN_RW, false),
  row(SEL_WRAP, 0xffff_f000, FLAT, DATA_RW),
  row(SEL_ABSENT, 0, FLAT, DATA_RW, true, false),
  row(SEL_ABSENT_CODE, 0, FLAT, CODE_RX, true, false),
];

export function descriptorOf(selector: number): Descriptor | undefined {
  return DESCRIPTORS.find((d) => d.selector === selector);
}

/**
 * Segment attributes in the layout of a VMCS access-rights field: type 0-3, S 4, DPL 5-6, P 7, L 13, D/B 14, G 15;
 * bit 16 for a null selector.
 */
export function attributesOf(selector: number): number {
  const d = descriptorOf(selector);
  if (d === undefined) return 1 << 16;
  return (
    d.type |
    (1 << 4) |
    (3 << 5) |
    (d.present ? 1 << 7 : 0) |
    (d.long ? 1 << 13 : 0) |
    (d.big ? 1 << 14 : 0) |
    (d.granular ? 1 << 15 : 0)
  );
}

/** A mode with its segments. `bits` is the code size. */
export interface Environment {
  readonly name: string;
  readonly bits: 64 | 32 | 16;
  /** ES CS SS DS FS GS. In 64-bit mode a null FS or GS has its base in the state. */
  readonly selectors: readonly number[];
  /** Base of CS: RIP counts from here. */
  readonly codeBase: number;
}

function environment(name: string, bits: 64 | 32 | 16, by: Record<number, number>, codeBase = 0): Environment {
  return { name, bits, selectors: [ES, CS, SS, DS, FS, GS].map((s) => by[s] ?? 0), codeBase };
}

/** Indices are stored in vector files: append only. */
export const ENVIRONMENTS: readonly Environment[] = [
  environment('long', 64, { [ES]: 0x2b, [CS]: 0x33, [SS]: 0x2b, [DS]: 0x2b }),
  environment('compat', 32, { [ES]: 0x2b, [CS]: 0x23, [SS]: 0x2b, [DS]: 0x2b, [FS]: SEL_PAGE, [GS]: SEL_DOWN }),
  environment(
    'code16',
    16,
    { [ES]: SEL_DATA16, [CS]: SEL_CODE16, [SS]: SEL_DATA16, [DS]: SEL_DATA16, [FS]: SEL_PAGE, [GS]: SEL_DOWN16 },
    CODE_LOW,
  ),
  environment(
    'segmented',
    32,
    { [ES]: SEL_READ_ONLY, [CS]: SEL_CODE_BASED, [SS]: SEL_PAGE, [DS]: SEL_WRAP, [FS]: 0, [GS]: SEL_CODE_BASED },
    CODE_LOW,
  ),
];
export const LONG = 0,
  COMPAT = 1,
  CODE16 = 2,
  SEGMENTED = 3;

/** Linear base of a segment of an environment; FS and GS of 64-bit mode come from the state instead. */
export function segmentBase(env: Environment, segment: number): number {
  return descriptorOf(env.selectors[segment] ?? 0)?.base ?? 0;
}
