/**
 * What the x87 operation tables are made of.
 *
 * @module
 */
import type { Outcome } from './status.ts';
import type { X87 } from './x87.ts';

/**
 * Memory operands. `word` is a control or status word; `environment` 14 or 28 bytes and `state` 94 or 108 by operand
 * size (environment.ts).
 */
export type X87Memory =
  | 'm32fp'
  | 'm64fp'
  | 'm80fp'
  | 'm16int'
  | 'm32int'
  | 'm64int'
  | 'm80bcd'
  | 'word'
  | 'environment'
  | 'state';

export interface X87Row {
  /** The name that the encoding table uses: mnemonic and operands. */
  readonly name: string;
  readonly memory?: X87Memory;
  /** The memory operand is written, not read. */
  readonly store?: true;
  /** A pending exception is delivered first. False for the FN forms. */
  readonly waits: boolean;
  /** FCOMI and relatives: unless it faults, EFLAGS gets ZF, PF and CF from TEMP0, and OF, SF and AF are cleared. */
  readonly setsFlags?: true;
  /** A control instruction: leaves FIP alone. */
  readonly control?: true;
  /**
   * `i` is the register of ST(i), 0 for memory forms. `operand` is the offset of the memory operand; for FCMOV, whether the
   * condition holds; for the environment instructions, see environment.ts.
   */
  readonly run: (fpu: X87, i: number, operand: number) => Outcome;
}

/** Bytes of a memory operand of fixed size. */
export const MEMORY_BYTES: Readonly<Record<Exclude<X87Memory, 'environment' | 'state'>, number>> = {
  m32fp: 4,
  m64fp: 8,
  m80fp: 10,
  m16int: 2,
  m32int: 4,
  m64int: 8,
  m80bcd: 10,
  word: 2,
};
