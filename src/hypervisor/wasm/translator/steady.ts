/**
 * Which memory accesses of a loop are likely to stay in one page: those whose base register only moves by constants in it. For
 * them the translation of the last page is kept in locals, in front of the look-up in the TLB.
 *
 * Where addresses jump about that would cost more than it saves: a branch that is predicted wrongly every other time.
 *
 * @module
 */
import type { ControlFlow } from './control-flow.ts';
import type { Region } from './region.ts';
import type { RegionInsn } from './region-insn.ts';
import { moveOf } from './register-writes.ts';

/** Registers that are always small: the destinations of byte extensions and of masks. */
function isBounded({ decoded }: RegionInsn, register: number): boolean {
  const { row, operands } = decoded;
  if (row.name === 'movzx') return decoded.reg === register && operands[1]?.size === 'b';
  const isMask = row.name === 'and' && operands[1]?.kind === 'I' && !decoded.hasMemory && decoded.rm === register;
  return isMask && decoded.immediateLow >= 0 && decoded.immediateLow < 0x200;
}

export interface SteadyAccess {
  inLoop(block: number): boolean;
  /** Base registers, by bit, that move steadily in the innermost loop around a block; none outside loops. */
  bases(block: number): number;
  /** True when an index register moves steadily there too, or is small when an instruction of the block uses it. */
  isSmall(block: number, insn: RegionInsn, index: number): boolean;
}

/** Looks at every loop of a region. */
export function steadyAccess(region: Region, flow: ControlFlow): SteadyAccess {
  const innermost = innermostLoops(flow);
  const found = new Map<ReadonlySet<number>, { bases: number; indexes: number }>();
  for (const body of new Set(innermost.values())) {
    let unsteady = 0;
    let unbounded = 0;
    for (const id of body) {
      for (const insn of region.blocks.get(id)?.insns ?? []) {
        const written = insn.gprsWritten;
        for (let register = 0; register < 16; register++) {
          if (((written >> register) & 1) === 0 || moveOf(insn, register) !== undefined) continue;
          unsteady |= 1 << register;
          if (!isBounded(insn, register)) unbounded |= 1 << register;
        }
      }
    }
    found.set(body, { bases: ~unsteady & 0xffff, indexes: ~unbounded & 0xffff });
  }
  const of = (block: number) => found.get(innermost.get(block) as ReadonlySet<number>);
  return {
    inLoop: (block) => innermost.has(block),
    bases: (block) => of(block)?.bases ?? 0,
    isSmall(block, insn, index) {
      const insns = region.blocks.get(block)?.insns ?? [];
      for (let at = insns.indexOf(insn) - 1; at >= 0; at--) {
        const before = insns[at] as RegionInsn;
        if ((before.gprsWritten >> index) & 1 && moveOf(before, index) === undefined) return isBounded(before, index);
      }
      return (((of(block)?.indexes ?? 0) >> index) & 1) !== 0;
    },
  };
}

/** The body of the innermost natural loop around each block that is in one. */
function innermostLoops(flow: ControlFlow): Map<number, ReadonlySet<number>> {
  const position = (node: number): number => flow.position.get(node) as number;
  const innermost = new Map<number, Set<number>>();
  for (const header of flow.loops) {
    const body = new Set([header]);
    const work = flow.predecessors(header).filter((node) => position(node) >= position(header));
    for (let node = work.pop(); node !== undefined; node = work.pop()) {
      if (body.has(node) || position(node) < position(header)) continue;
      body.add(node);
      work.push(...flow.predecessors(node));
    }
    for (const node of body) {
      const known = innermost.get(node);
      if (known === undefined || known.size > body.size) innermost.set(node, body);
    }
  }
  return innermost;
}
