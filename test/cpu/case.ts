/**
 * What a recorded case is: one instruction, the state it starts from, what the processor made of it, and how much of
 * that is defined.
 *
 * @module
 */
import type { MachineState } from './machine-state.ts';
import type { Profile } from './default-state.ts';

/** Bytes at an offset from DATA_START. */
export interface Patch {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** No exception. */
export const VECTOR_NONE = -1;

/** How a case ended. */
export interface Outcome {
  /** Exception vector, or VECTOR_NONE when the instruction completed. */
  readonly vector: number;
  /** Error code; 0 for vectors without one. */
  readonly errorCode: number;
  /** CR2, for vector 14 only, otherwise 0. */
  readonly cr2: bigint;
  /**
   * At the end, or as the exception found it (RFLAGS without RF; RIP of the faulting instruction, or of the next one
   * after a trap).
   */
  readonly state: MachineState;
  /** Memory that changed, in ascending order, not overlapping. */
  readonly writes: readonly Patch[];
}

/**
 * What of an outcome is compared. Cases share these; everything not named is compared exactly.
 */
export interface Comparison {
  /** RFLAGS bits that the manual defines for this instruction and these operands. */
  readonly flags: number;
  /** Bit n set: the value of general register n is undefined. */
  readonly ignoreGprs?: number;
  /** By register number: bits whose value is undefined (LAR's limit field). */
  readonly ignoreGprBits?: Readonly<Record<number, number>>;
  /** x87 status bits that are undefined. */
  readonly ignoreFsw?: number;
  /** Ranges of memory offsets [first, end) whose contents are not architectural (last instruction pointers, reserved bytes). */
  readonly ignoreMemory?: readonly (readonly [number, number])[];
  /** Error codes of faults are not compared. */
  readonly ignoreErrorCode?: boolean;
  /** CR2 is only required to be in the same page (accesses of several parts have no defined order). */
  readonly cr2PageOnly?: boolean;
  /** Memory and registers after a fault in the middle of a multi-part access are not compared. */
  readonly ignorePartial?: boolean;
  /** The destination is an approximation: XMM lanes of single precision may differ by this relative error (a power of two). */
  readonly f32RelativeExponent?: number;
  /** ST registers may differ by this many units in the last place of 64 bits. */
  readonly x87Ulps?: number;
}

/** A case before it was run. */
export interface CaseInput {
  /** The instruction form, for reports and statistics: "add Ev,Gv". */
  readonly form: string;
  /** Index into ENVIRONMENTS. */
  readonly environment: number;
  readonly seed: number;
  readonly profile: Profile;
  /** The bytes of one instruction, at RIP. */
  readonly code: Uint8Array;
  readonly initial: MachineState;
  readonly patches: readonly Patch[];
  readonly comparison: Comparison;
}

export interface CpuCase extends CaseInput {
  readonly expected: Outcome;
}
