/**
 * What the code of a region touches, found before a byte of it is written: registers, and flags that are read before they are
 * written.
 *
 * @module
 */
import type { ControlFlow } from './control-flow.ts';
import { bankOf, generalNumberOf, isRegisterShape, numberOf } from './operand-registers.ts';
import type { Region, RegionBlock } from './region.ts';

/** Whether an instruction of a region may change the mode that its code was decoded in. */
export const changesMode = (region: Region): boolean =>
  [...region.blocks.values()].some(({ insns }) => insns.some(({ traits }) => traits.changesMode));

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
export function registersOf(region: Region): Registers {
  let gprs = 0;
  let gprsWritten = 0;
  let xmms = 0;
  let xmmsWritten = 0;
  let highs = 0;
  let highsCleared = 0;
  for (const { insns } of region.blocks.values()) {
    for (const { decoded, form, traits, called } of insns) {
      gprs |= traits.gprs;
      gprsWritten |= traits.gprsWritten;
      xmms |= traits.xmms;
      xmmsWritten |= traits.xmms;
      highsCleared |= traits.highsCleared;
      if (decoded.hasMemory || called) {
        if (decoded.base >= 0) gprs |= 1 << decoded.base;
        if (decoded.index >= 0 && !decoded.encoding.vsib) gprs |= 1 << decoded.index;
      }
      decoded.operands.forEach(({ kind }, index) => {
        if (!isRegisterShape(form.shapes[index])) return;
        const written = called || (traits.operandsWritten >> index) & 1;
        const bank = bankOf(kind);
        if (bank === 'vector') {
          const bit = 1 << numberOf(decoded, index);
          xmms |= bit;
          if (written) xmmsWritten |= bit;
          if (form.vector === 32) highs |= bit;
        } else if (bank === 'general') {
          const bit = 1 << generalNumberOf(decoded, index);
          gprs |= bit;
          if (written) gprsWritten |= bit;
        }
      });
    }
  }
  // VEX forms write all of a register.
  const highsWritten = highs & (xmmsWritten | highsCleared);
  return { gprs: gprs | gprsWritten, gprsWritten, xmms, xmmsWritten, highs, highsWritten };
}

/** Blocks whose flags at their start are needed, as `needs` (`needsFlags` or `readsFlags`) has it. */
export function liveFlags(
  region: Region,
  flow: ControlFlow,
  needs: (block: RegionBlock, live: ReadonlySet<number>, isLatch: boolean) => boolean,
): Set<number> {
  const live = new Set<number>();
  for (let changed = true; changed; ) {
    changed = false;
    for (const id of [...flow.order].reverse()) {
      if (live.has(id)) continue;
      if (needs(region.blocks.get(id) as RegionBlock, live, flow.latches.has(id))) {
        live.add(id);
        changed = true;
      }
    }
  }
  return live;
}

/** Whether a block, or one after it, reads flags before any are written. */
export function readsFlags({ insns, successors }: RegionBlock, live: ReadonlySet<number>): boolean {
  for (const { traits, called } of insns) {
    if (called || traits.readsFlags || traits.nestedFlags) return true;
    if (traits.writesFlags) return false;
  }
  return successors.some((successor) => live.has(successor));
}

/**
 * The same, also counting ways out of the region, where the guest's flags must be right. `isLatch`: an edge of the block goes back, and is a
 * way out when the budget is used up.
 */
export function needsFlags(block: RegionBlock, live: ReadonlySet<number>, isLatch: boolean): boolean {
  for (const { traits, called, decoded } of block.insns) {
    // Whatever may leave needs them: faults of memory accesses too.
    if (called || traits.readsFlags || traits.nestedFlags || traits.raises || traits.leaves) return true;
    if (decoded.hasMemory || decoded.row.unit !== undefined) return true;
    if (traits.writesFlags) return false;
  }
  return isLatch || hasExit(block) || block.successors.some((successor) => live.has(successor));
}

const hasExit = ({ end, successors }: RegionBlock): boolean => end.kind !== 'next' || successors.length === 0;
