/**
 * What the code of a region touches, found before a byte of it is written: registers, and flags that are read before they are
 * written.
 *
 * @module
 */
import type { ControlFlow } from './control-flow.ts';
import type { Region, RegionBlock } from './region.ts';

/** Masks of registers, bit n for register n. */
export interface Registers {
  readonly gprs: number;
  readonly gprsWritten: number;
  readonly xmms: number;
  readonly xmmsWritten: number;
  /** Upper halves of YMM registers: those of operands of 32 bytes. Where they are only cleared they are not among them. */
  readonly highs: number;
  readonly highsWritten: number;
}

/** Registers that a region touches, by bit. */
export function registersOf({ insns }: Region): Registers {
  let gprs = 0;
  let gprsWritten = 0;
  let xmms = 0;
  let xmmsWritten = 0;
  let highs = 0;
  let highsCleared = 0;
  for (const insn of insns) {
    gprs |= insn.gprs;
    gprsWritten |= insn.gprsWritten;
    xmms |= insn.xmms;
    xmmsWritten |= insn.xmmsWritten;
    highs |= insn.highs;
    highsCleared |= insn.traits.highsCleared;
  }
  // VEX forms write all of a register.
  const highsWritten = highs & (xmmsWritten | highsCleared);
  return { gprs: gprs | gprsWritten, gprsWritten, xmms, xmmsWritten, highs, highsWritten };
}

/** What a block does to the flags at its start. */
export type FlagUse =
  /** They are needed. */
  | 'needs'
  /** All six are written before they are needed. */
  | 'writes'
  /** Neither, so what comes behind it says. */
  | 'passes';

/** Blocks whose flags at their start are needed, as `use` (`needOfFlags` or `readOfFlags`) has it. */
export function liveFlags(
  region: Region,
  flow: ControlFlow,
  use: (block: RegionBlock, isLatch: boolean) => FlagUse,
): Set<number> {
  const live = new Set<number>();
  const passing: RegionBlock[] = [];
  for (let at = flow.order.length - 1; at >= 0; at--) {
    const id = flow.order[at] as number;
    const block = region.blocks.get(id) as RegionBlock;
    const found = use(block, flow.latches.has(id));
    if (found === 'needs') live.add(id);
    else if (found === 'passes') passing.push(block);
  }
  for (let changed = true; changed; ) {
    changed = false;
    for (const { id, successors } of passing) {
      if (live.has(id) || !successors.some((successor) => live.has(successor))) continue;
      live.add(id);
      changed = true;
    }
  }
  return live;
}

/** Flags are needed where they are read. */
export function readOfFlags({ insns }: RegionBlock): FlagUse {
  for (const { traits, called } of insns) {
    if (called || traits.readsFlags || traits.nestedFlags) return 'needs';
    if (traits.writesFlags) return 'writes';
  }
  return 'passes';
}

/**
 * They are needed at ways out of the region too, where the guest's flags must be right. `isLatch`: an edge of the block goes back, and is a
 * way out when the budget is used up.
 */
export function needOfFlags({ insns, end, successors }: RegionBlock, isLatch: boolean): FlagUse {
  for (const { traits, called, decoded } of insns) {
    // Whatever may leave needs them: faults of memory accesses too.
    if (called || traits.readsFlags || traits.nestedFlags || traits.raises || traits.leaves) return 'needs';
    if (decoded.hasMemory || decoded.row.unit !== undefined) return 'needs';
    if (traits.writesFlags) return 'writes';
  }
  const hasExit = end.kind !== 'next' || successors.length === 0;
  return isLatch || hasExit ? 'needs' : 'passes';
}
