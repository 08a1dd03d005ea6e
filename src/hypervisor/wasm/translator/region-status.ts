/**
 * The status of a region while it is on its way out: what it returns, and above it the instructions of the block that are yet to be
 * taken off the budget. So a way out in the middle of a block has an exact count, and costs no code of its own.
 *
 * @module
 */

/** Bits of a status as it is returned. */
export const STATUS_BITS = 8;

/** `status` behind `executed` instructions of the block. */
export const statusAfter = (status: number, executed: number): number => status | (executed << STATUS_BITS);
