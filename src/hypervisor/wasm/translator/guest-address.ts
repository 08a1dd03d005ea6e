/**
 * The address of a memory access as what it is made of: accesses whose parts are the same and whose registers have not changed are as far
 * apart as their displacements.
 *
 * @module
 */
import type { ByteWriter } from '../emit/byte-writer.ts';
import type { Expr, I64 } from '../emit/expr.ts';

export interface AddressParts {
  /** General registers, or -1. */
  readonly base: number;
  readonly index: number;
  /** log2. */
  readonly scale: number;
  /** FS or GS where its base is added, else -1. */
  readonly segment: number;
  /** From the code's own page. */
  readonly ripRelative: boolean;
}

/** A linear address of 64-bit code whose parts are known. */
export class GuestAddress implements Expr<'i64'> {
  readonly type = 'i64';
  readonly parts: AddressParts;
  readonly displacement: number;
  readonly #value: I64;
  constructor(parts: AddressParts, displacement: number, value: I64) {
    this.parts = parts;
    this.displacement = displacement;
    this.#value = value;
  }
  write(out: ByteWriter): void {
    this.#value.write(out);
  }
}

/** Equal for equal parts. */
export const partsKey = ({ base, index, scale, segment, ripRelative }: AddressParts): number =>
  ((((base + 1) * 17 + index + 1) * 4 + scale) * 8 + segment + 1) * 2 + (ripRelative ? 1 : 0);

/** Whether a general register is one of the parts. */
export const isMadeOf = ({ base, index }: AddressParts, register: number): boolean =>
  base === register || index === register;
