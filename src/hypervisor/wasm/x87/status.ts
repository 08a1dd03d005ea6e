/**
 * Bits of the x87 status word (SDM volume 1, 8.1.3), and what executing an instruction comes to.
 *
 * @module
 */

/** Stack fault, error summary, condition codes, busy (a copy of the error summary). */
export const SF = 0x40,
  ES = 0x80,
  C0 = 0x100,
  C1 = 0x200,
  C2 = 0x400,
  C3 = 0x4000,
  BUSY = 0x8000;
export const TOP_SHIFT = 11,
  TOP_MASK = 0x3800;
export const CONDITION_CODES: number = C0 | C1 | C2 | C3;

/**
 * DONE. FAULT: FAULT_VECTOR is to be delivered, nothing has changed. DONE_WITHOUT_WRITE: done, but memory was not written, as an
 * unmasked exception is now pending.
 */
export const DONE = 0,
  FAULT = 1,
  DONE_WITHOUT_WRITE = 2;
export type Outcome = 0 | 1 | 2;
