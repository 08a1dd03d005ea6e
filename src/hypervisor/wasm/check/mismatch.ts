/**
 * Translated code that did something else than the interpreter: what there is to say about it.
 *
 * @module
 */
import { CODE_MODE } from '../mmu/layout.ts';
import type { CpuState } from '../system/cpu-state.ts';
import type { CodeExtent } from '../translator/compile-region.ts';
import type { Difference } from './differences.ts';

/** The code that a region was translated from. */
export interface CheckedCode {
  /** Offset in linear memory of its first byte. */
  readonly host: number;
  readonly isHot: boolean;
  /** Where its bytes lie in linear memory, and the bytes, one extent after the other. */
  readonly extents: readonly CodeExtent[];
  readonly code: Uint8Array;
}

export interface MismatchReport {
  readonly code: CheckedCode;
  readonly before: CpuState;
  /** What the region left. */
  readonly after: CpuState;
  /** STATUS_* of the region, and how many instructions it took. */
  readonly status: number;
  readonly count: number;
  readonly differences: readonly Difference[];
}

const STATUS_NAMES = ['NEXT', 'JUMP', 'FAULT', 'LEAVE', 'AGAIN', 'BUDGET'];

const hex = (value: number | bigint): string => `0x${value.toString(16)}`;

/** The bytes from the entry to the last instruction in its page, as far as they are the region's; NOPs between. */
function entryPage({ host, extents, code }: CheckedCode): Uint8Array {
  const bytes = new Uint8Array(4096).fill(0x90);
  const start = host & ~0xfff;
  let length = 0;
  let at = 0;
  for (const { from, to } of extents) {
    const size = to - from;
    const offset = from - (start >>> 0);
    if (offset >= (host & 0xfff) && offset + size <= 4096) {
      bytes.set(code.subarray(at, at + size), offset);
      length = Math.max(length, offset + size);
    }
    at += size;
  }
  return bytes.slice(host & 0xfff, length);
}

function detailOf({ code, before, after, status, count, differences }: MismatchReport): string {
  const mode = hex(before.i32[CODE_MODE >> 2] as number);
  const width = Math.max(...differences.map(({ what }) => what.length), 'what'.length);
  const place = hex(code.host & 0xfff);
  return [
    `the region at RIP ${hex(before.rip)}, mode ${mode}${code.isHot ? ', hot' : ''}, took ${count} instructions and ended with ${STATUS_NAMES[status] ?? status} at ${hex(after.rip)}`,
    ...differences.map((d) => `${d.what.padEnd(width)}  translated ${d.translated}, interpreted ${d.interpreted}`),
    'before it:',
    before.dump(),
    'its code in the page of its entry:',
    `node tools/show-region.ts${code.isHot ? ' --hot' : ''} --at ${place} ${entryPage(code).toHex()}`,
  ].join('\n');
}

export class TranslationMismatch extends Error {
  override readonly name = 'TranslationMismatch';
  readonly differences: readonly Difference[];
  /** Several lines: the region, all that differs, the state before, and its code. */
  readonly detail: string;

  constructor(report: MismatchReport) {
    const { before, differences } = report;
    const first = differences[0] as Difference;
    const more = differences.length > 1 ? ` and ${differences.length - 1} more` : '';
    super(
      `translated code at ${hex(before.rip)} does not do what the interpreter does: ${first.what} is ${first.translated} for ${first.interpreted}${more}`,
    );
    this.differences = differences;
    this.detail = detailOf(report);
  }
}
