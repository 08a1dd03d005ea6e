/**
 * Instruction definitions as rows: one row per encoding, semantics as functions.
 *
 * `enc` is written as in the SDM, volume 2: an optional mandatory prefix (`NP` none of 66 F2 F3, `NFx` none of F2 F3, `66`, `F2`, `F3`),
 * opcode bytes in hexadecimal, `+r` when the low three bits name a register, `/0`..`/7` for a ModRM.reg digit, `!C1` for
 * one exact ModRM byte, `W0`/`W1` for a REX.W requirement, `B0` when REX.B must be clear. VEX encodings begin with
 * `VEX.length.prefix.map.W`: length `128`, `256`, `X` for both (two encodings), `LZ` (L must be 0) or `LIG` (ignored); prefix `NP`,
 * `66`, `F3` or `F2`; map `0F`, `0F38` or `0F3A`; `W0`, `W1` or `WIG`. Outside 64-bit mode VEX.W counts only where it is required.
 *
 * `ops` names the operands with the SDM's letters (volume 2, appendix A.2.1): E register or memory by ModRM.rm, G by
 * ModRM.reg, R register only, M memory only, I immediate, J branch displacement, Z register in the opcode, O moffs, S
 * segment, C and D control and debug registers, V/W/U XMM (reg, rm, rm register only), P/Q/N MMX likewise, B general register
 * and H XMM in VEX.vvvv, L XMM in the upper half of an immediate byte, X memory addressed with a vector of indices (VSIB);
 * sizes b w d q o (1 2 4 8 16 bytes), v by operand size, y 4 or 8 by operand size, z immediate of 2 or 4, bs/zs sign-extended
 * immediate, x 16 or 32 by VEX.L, xh xq xe a half, a quarter and an eighth of that. Plain names (AL, CL, rAX, DX, 1) are implicit.
 *
 * @module
 */
import type { LiftBuilder } from './lift-builder.ts';

/** Writes the semantics of one instruction in one operand shape into the builder. */
export type Lift = (b: LiftBuilder) => void;

export interface RowOptions {
  /** LOCK is allowed when operand 0 is memory. */
  readonly lock?: true;
  /** Not valid in 64-bit mode. */
  readonly no64?: true;
  /** Valid only in 64-bit mode. */
  readonly only64?: true;
  /** Operand size is 64 by default in 64-bit mode, 16 with a 66 prefix. */
  readonly d64?: true;
  /** Operand size is always 64 in 64-bit mode. */
  readonly f64?: true;
  /** Operand size in bytes whatever the prefixes say. */
  readonly size?: 1 | 2 | 4 | 8 | 16;
  /** A REP prefix means something (string instructions). */
  readonly rep?: 'rep' | 'repz';
  /** The handler depends on the code size or address size although none of the above says so. */
  readonly modal?: true;
  /** The memory operand is not accessed and not checked (no-operations, prefetches). */
  readonly ignoresMemory?: true;
  /** The memory operand's offset is handed over without its segment, for the lift to go on from (bit strings). 16- and 32-bit code. */
  readonly rawOffset?: true;
  /** Ends a block: control does not (always) go to the next instruction, or the execution mode may change. */
  readonly ends?: true;
  /** Inline in the interpreter's main function (operand sizes 1, 4 and 8). */
  readonly hot?: true;
  /** A hot row whose indexed memory forms are inline too. */
  readonly indexed?: true;
  /** A hot row that often stands before a conditional jump: `cmp` or `test` forms and such get handlers that do both. */
  readonly fuses?: true;
  /** A conditional jump that can follow in the same handler. */
  readonly fusedJump?: true;
  /** The lift asks for `form.operandSize`. */
  readonly usesOperandSize?: true;
  /** Small number handed to the lift as `b.arg`: a condition code, an operation. */
  readonly arg?: number;
  /** Mnemonic by operand size where it changes: [16, 32, 64]. */
  readonly names?: readonly [string, string, string];
  /** Handled by system/: the key of its function. */
  readonly system?: string;
  /** The 16-byte memory operand must be aligned: #GP(0). The lift checks; this is for the order of faults in 16- and 32-bit code. */
  readonly aligned?: true;
  /**
   * The SSE state is used: #UD without CR4.OSFXSR, #NM with CR0.TS. MMX and x87 likewise. `avx`: #UD when XCR0 does not enable
   * it; `vex`: #UD in real and virtual-8086 mode.
   */
  readonly unit?: 'sse' | 'mmx' | 'x87' | 'fwait' | 'avx' | 'vex';
}

/** What a row is made of. */
export type RowFields = { readonly [Name in keyof RowOptions]?: RowOptions[Name] | undefined } & {
  readonly enc: string;
  readonly name: string;
  readonly ops: string;
  readonly lift: Lift | undefined;
};

/**
 * A row has every field, in one order: decoding and translating look at rows all the time, and fields of objects of many shapes are found
 * by a search.
 */
export type Row = { readonly [Name in keyof Required<RowFields>]: RowFields[Name] };

export const rowOf = (fields: RowFields): Row => ({
  enc: fields.enc,
  name: fields.name,
  ops: fields.ops,
  lift: fields.lift,
  lock: fields.lock,
  no64: fields.no64,
  only64: fields.only64,
  d64: fields.d64,
  f64: fields.f64,
  size: fields.size,
  rep: fields.rep,
  modal: fields.modal,
  ignoresMemory: fields.ignoresMemory,
  rawOffset: fields.rawOffset,
  ends: fields.ends,
  hot: fields.hot,
  indexed: fields.indexed,
  fuses: fields.fuses,
  fusedJump: fields.fusedJump,
  usesOperandSize: fields.usesOperandSize,
  arg: fields.arg,
  names: fields.names,
  system: fields.system,
  aligned: fields.aligned,
  unit: fields.unit,
});

export const row = (enc: string, name: string, ops: string, lift: Lift, options: RowOptions = {}): Row =>
  rowOf({ ...options, enc, name, ops, lift });

/** A row whose semantics live in system/ (TypeScript on the state record). It ends its block. */
export const systemRow = (enc: string, name: string, ops: string, system: string, options: RowOptions = {}): Row =>
  rowOf({ ...options, enc, name, ops, lift: undefined, system, ends: true });

/** Condition codes in encoding order (SDM volume 1, appendix B). */
export const CONDITIONS = [
  'o',
  'no',
  'b',
  'ae',
  'e',
  'ne',
  'be',
  'a',
  's',
  'ns',
  'p',
  'np',
  'l',
  'ge',
  'le',
  'g',
] as const;
