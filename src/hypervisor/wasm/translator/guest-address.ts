/**
 * The address of a memory access as what it is made of: accesses whose parts are the same and whose registers have not changed are as far
 * apart as their displacements.
 *
 * @module
 */
import type { ByteWriter } from '../emit/byte-writer.ts';
import type { Expr, I64 } from '../emit/expr.ts';

export class AddressParts {
  /** General registers, or -1. */
  readonly base: number;
  readonly index: number;
  /** log2. */
  readonly scale: number;
  /** FS or GS where its base is added, else -1. */
  readonly segment: number;
  /** From the code's own page. */
  readonly ripRelative: boolean;
  /** Equal for equal parts. */
  readonly key: number;
  /** The general registers, by bit. */
  readonly registers: number;

  constructor(base: number, index: number, scale: number, segment: number, ripRelative: boolean) {
    this.base = base;
    this.index = index;
    this.scale = scale;
    this.segment = segment;
    this.ripRelative = ripRelative;
    this.key = ((((base + 1) * 17 + index + 1) * 4 + scale) * 8 + segment + 1) * 2 + (ripRelative ? 1 : 0);
    this.registers = (base >= 0 ? 1 << base : 0) | (index >= 0 ? 1 << index : 0);
  }
}

/** Of an address that is a register and a displacement, by register. */
export const PARTS_OF_REGISTER: readonly AddressParts[] = Array.from(
  { length: 16 },
  (_, register) => new AddressParts(register, -1, 0, -1, false),
);

/** A linear address of 64-bit code whose parts are known. */
export class GuestAddress implements Expr<'i64'> {
  readonly type = 'i64';
  readonly parts: AddressParts;
  readonly displacement: number;
  readonly value: I64;
  constructor(parts: AddressParts, displacement: number, value: I64) {
    this.parts = parts;
    this.displacement = displacement;
    this.value = value;
  }
  write(out: ByteWriter): void {
    this.value.write(out);
  }
}
