/**
 * What a region's module takes from its vCPU: functions, and constants that are known when it is put in place.
 *
 * @module
 */
import type { Region } from './region.ts';
import type { RegionInsn } from './region-insn.ts';

/** Functions that a region's module imports, with their types. */
// biome-ignore format: a table
export const REGION_IMPORTS = {
  slowRead:          [['i32', 'i64', 'i32'], 'i32'],
  regionWrite:       [['i32', 'i64', 'i32'], 'i32'],
  regionStore:       [['i32', 'i64', 'i32'], 'i32'],
  probe:             [['i32', 'i64', 'i32'], 'i32'],
  divideUnsigned128: [['i32', 'i64'], 'i32'],
  divideSigned128:   [['i32', 'i64'], 'i32'],
  crc32c:            [['i32', 'i64', 'i32'], 'i32'],
  peek:              [['i32', 'i64'], 'i32'],
  lockBus:           [['i32'], undefined],
  unlockBus:         [['i32'], undefined],
  modeChanged:       [['i32'], undefined],
  clock:             [[], 'f64'],
  system:            [['i32', 'i32', 'i32'], 'i32'],
  syscall:           [['i32', 'i64'], 'i32'],
  sysret:            [['i32', 'i64'], 'i32'],
  iret:              [['i32', 'i64'], 'i32'],
  slowFloat:         [['i32', 'i32', 'i32', 'i32', 'i32'], 'i32'],
} as const;

/** What the constants that a region's module imports are: see `bindings`. */
export interface RegionBindings {
  /**
   * Instructions executed by handlers of the interpreter: `handlerR.N` of region R is an index in the table of handlers, `recordR.N` a record. For system
   * instructions it is what `system` knows them by.
   */
  readonly called: readonly RegionInsn[];
  /** Indirect jumps and calls: `logR.N` is the offset in linear memory of the log that they write their targets to. */
  readonly indirect: readonly RegionInsn[];
}

/** Of an indirect jump: u32 how many RIPs were noted at 0, then the last ones from 8 on, 8 bytes each. */
export const TARGET_LOG_ENTRIES = 15;
export const TARGET_LOG_BYTES: number = 8 + 8 * (TARGET_LOG_ENTRIES + 1);

/** The instructions of a region that need something of the vCPU, in the order of the constants. */
export function bindings(region: Region): RegionBindings {
  const called: RegionInsn[] = [];
  const indirect: RegionInsn[] = [];
  for (const insn of region.insns) {
    const { row, operands } = insn.decoded;
    if (insn.called || insn.system === 'stays') called.push(insn);
    else if ((row.name === 'jmp' || row.name === 'call') && operands[0]?.kind !== 'J') indirect.push(insn);
  }
  return { called, indirect };
}
